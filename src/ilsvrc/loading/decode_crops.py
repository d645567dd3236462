"""Decoder of crops: stored images -> the pixels of a batch, in parallel, equal to Pillow's. Numba and libjpeg-turbo.

Where kernels.c is compiled, training decodes only the rows and columns of a JPEG that a crop needs. The pixels are the
same; damage is found where it shows or lies above.
"""

import ctypes

import numba
import numpy as np
from numba import types

from ilsvrc.loading.numba_cache import c_function, njit
from ilsvrc.loading.random_crops import Padding
from ilsvrc.loading.resample import resized_window, source_span
from ilsvrc.packing import beton_layout, c_extension, jpeg

JPEG_MODE, RGB_PIXELS, LIMIT_SCANS = beton_layout.JPEG, jpeg.RGB_PIXELS, jpeg.LIMIT_SCANS
MARGIN_PX = 2  # fancy upsampling needs one pixel more on each side
BLOCKS_PX = 32  # a part begins at a block of at most 32 pixels
MIN_PX = 16  # in a narrower part libjpeg-turbo may upsample otherwise, where a component is sampled every 4 pixels
WHOLE_ROWS = -2  # kernels.c: no part of a row has the right pixels
Box = tuple[int, int, int, int]  # left, top, width, height


@njit(parallel=True)
def show_all(
    content: np.ndarray, modes: np.ndarray, widths: np.ndarray, heights: np.ndarray, offsets: np.ndarray,
    sizes: np.ndarray, source_boxes: np.ndarray, crop_boxes: np.ndarray, filters: np.ndarray, shown: np.ndarray,
    whole: bool, padding: Padding,
) -> np.ndarray:  # fmt: skip
    """Fills `shown` [N, V, crop_px, crop_px, 3] and returns a status per image, 0 where it decoded without damage.

    `content` is the packed file, the next five are of the N images, `source_boxes`, `crop_boxes` and `filters` are
    `random_crops.CropBoxes`. With `whole`, all of an image is decoded, so that any damage of it is found. `padding`
    fills crops that leave the image.
    """
    status = np.zeros(len(modes), np.int32)
    crop_px = shown.shape[2]
    for image in numba.prange(len(modes)):
        payload = content[offsets[image] : offsets[image] + sizes[image]]
        if modes[image] == JPEG_MODE:
            width, height = widths[image], heights[image]
            part = (0, 0, width, height)
            if not whole:
                part = _part(source_boxes[image], crop_boxes[image], filters[image], crop_px)
            pixels, left, top = _decode(payload, width, height, part)
            if left < 0:
                status[image] = 1
                continue
            box = source_boxes[image]
            inside = (box[0] - left, box[1] - top, box[2], box[3])
            _show(pixels, inside, crop_boxes[image], filters[image], shown[image], padding)
        else:
            stored, box = payload.reshape((heights[image], widths[image], 3)), source_boxes[image]
            _show(stored, (box[0], box[1], box[2], box[3]), crop_boxes[image], filters[image], shown[image], padding)
    return status


@njit()
def _show(
    pixels: np.ndarray, box: Box, crop_boxes: np.ndarray, kind: int, shown: np.ndarray, padding: Padding
) -> None:  # fmt: skip
    """Crops `[V, 5]` of the box of one image; those of one size share one resize."""
    crop_px = shown.shape[1]
    done = np.zeros(len(crop_boxes), np.int32)
    for view in range(len(crop_boxes)):
        if done[view]:
            continue
        width, height = crop_boxes[view, 0], crop_boxes[view, 1]
        left, top, right, bottom = _bounds(crop_boxes, width, height, crop_px)
        place = (left, top, right - left, bottom - top)
        resized = resized_window(pixels, box, (width, height), place, kind)
        for other in range(view, len(crop_boxes)):
            if crop_boxes[other, 0] == width and crop_boxes[other, 1] == height:
                x, y, mirrored = crop_boxes[other, 2] - left, crop_boxes[other, 3] - top, crop_boxes[other, 4]
                _copy(resized, x, y, mirrored, shown[other], padding)
                done[other] = 1


@njit()
def _bounds(crop_boxes: np.ndarray, width: int, height: int, crop_px: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the union of all crops in the box resized to `width` x `height`."""
    left, top, right, bottom = width, height, 0, 0
    for row in crop_boxes:
        if row[0] == width and row[1] == height:
            start, count = _inside(row[2], crop_px, width)
            left, right = min(left, start), max(right, start + count)
            start, count = _inside(row[3], crop_px, height)
            top, bottom = min(top, start), max(bottom, start + count)
    return left, top, right, bottom


@njit()
def _inside(start: int, count: int, side_px: int) -> tuple[int, int]:
    """The side's pixels `start` to `start + count`; all of them where some lie outside."""
    if start < 0 or start + count > side_px:
        return 0, side_px
    return start, count


@njit()
def _copy(resized: np.ndarray, left: int, top: int, mirrored: int, window: np.ndarray, padding: Padding) -> None:
    height, width = window.shape[0], window.shape[1]
    if left < 0 or top < 0 or left + width > resized.shape[1] or top + height > resized.shape[0]:
        _copy_padded(resized, left, top, mirrored, window, padding)
        return
    part = resized[top : top + height, left : left + width]
    window[:] = part[:, ::-1] if mirrored else part[:, ::1]


@njit()
def _copy_padded(resized: np.ndarray, left: int, top: int, mirrored: int, window: np.ndarray, padding: Padding) -> None:
    height, width = window.shape[0], window.shape[1]
    fill, reflect = padding
    for y in range(height):
        row = _within(top + y, resized.shape[0], reflect)
        for x in range(width):
            column = _within(left + x, resized.shape[1], reflect)
            at = width - 1 - x if mirrored else x
            for channel in range(3):
                outside = row < 0 or column < 0
                window[y, at, channel] = fill[channel] if outside else resized[row, column, channel]


@njit()
def _within(place: int, side_px: int, reflect: bool) -> int:
    """The pixel at `place`, or the one that it mirrors, or -1 for none."""
    if 0 <= place < side_px:
        return place
    if not reflect:
        return -1
    return -place if place < 0 else 2 * (side_px - 1) - place


@njit()
def _part(box: np.ndarray, crop_boxes: np.ndarray, kind: int, crop_px: int) -> Box:
    """The part of a stored image that its crops are made of."""
    left, top, right, bottom = box[2], box[3], 0, 0
    for row in crop_boxes:
        first, count = _inside(row[2], crop_px, row[0])
        start, stop = source_span(kind, box[2], row[0], first, count)
        left, right = min(left, start), max(right, stop)
        first, count = _inside(row[3], crop_px, row[1])
        start, stop = source_span(kind, box[3], row[1], first, count)
        top, bottom = min(top, start), max(bottom, stop)
    return box[0] + left, box[1] + top, right - left, bottom - top


if (_DECODE_PART := c_extension.address("ilsvrc_decode_part")) is None:
    _init, _destroy, _decompress = (
        c_function(name, ctypes.cast(getattr(jpeg.turbojpeg(), name), ctypes.c_void_p).value, result, *arguments)
        for name, result, arguments in (
            ("tjInitDecompress", types.uintp, ()),
            ("tjDestroy", types.int32, (types.uintp,)),
            ("tjDecompress2", types.int32, (*2 * (types.uintp,), types.uint64, types.uintp, *5 * (types.int32,))),
        )
    )

    @njit()
    def _decode(payload: np.ndarray, width: int, height: int, part: Box) -> tuple[np.ndarray, int, int]:
        """All of a JPEG's pixels, and the place of the first (0, 0); its left is -1 where the file is damaged."""
        pixels = np.empty((height, width, 3), np.uint8)
        handle = _init()
        status = _decompress(
            handle, payload.ctypes.data, payload.size, pixels.ctypes.data, width, 0, height, RGB_PIXELS, LIMIT_SCANS
        )
        _destroy(handle)
        return pixels, -1 if status else 0, 0
else:
    _decode_part = c_function(
        "ilsvrc_decode_part", _DECODE_PART, types.int64, types.uintp, types.uint64, *6 * (types.int64,), types.uintp,
        types.int64,
    )  # fmt: skip

    @njit()
    def _decode(payload: np.ndarray, width: int, height: int, part: Box) -> tuple[np.ndarray, int, int]:
        """Pixels of a JPEG, `part` among them, and the place of the first; its left is -1 where the file is damaged."""
        pixels, start, top = _decode_columns(payload, width, height, part)
        if start == WHOLE_ROWS:
            return _decode_columns(payload, width, height, (0, part[1], width, part[3]))
        return pixels, start, top

    @njit()
    def _decode_columns(payload: np.ndarray, width: int, height: int, part: Box) -> tuple[np.ndarray, int, int]:
        """`_decode`, with left WHOLE_ROWS where the columns of `part` cannot be decoded alone."""
        left, top = max(0, min(part[0] - MARGIN_PX, width - MIN_PX)), max(0, part[1] - MARGIN_PX)
        columns = min(width, max(part[0] + part[2] + MARGIN_PX, left + MIN_PX)) - left
        rows = min(height, part[1] + part[3] + MARGIN_PX) - top
        pixels = np.empty((rows, columns + BLOCKS_PX, 3), np.uint8)
        start = _decode_part(
            payload.ctypes.data, payload.size, width, height, left, top, columns, rows, pixels.ctypes.data,
            pixels.strides[0],
        )  # fmt: skip
        return pixels, start, top
