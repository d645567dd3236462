"""Decoder of test views: every view of an image from one decode, in parallel, equal to Pillow's pixels."""

import ctypes

import numba
import numpy as np
from numba import types

from ilsvrc.loading.decode_crops import JPEG_MODE, _decode
from ilsvrc.loading.numba_cache import c_function, njit
from ilsvrc.loading.resample import resized_window

_copy_bytes = c_function(
    "ilsvrc_memcpy", ctypes.cast(ctypes.CDLL(None).memcpy, ctypes.c_void_p).value, types.uintp, *3 * (types.uintp,)
)


@njit(parallel=True)
def show_views(
    content: np.ndarray, modes: np.ndarray, widths: np.ndarray, heights: np.ndarray, offsets: np.ndarray,
    sizes: np.ndarray, view_boxes: np.ndarray, filters: np.ndarray, places: np.ndarray, shown: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Fills `shown`, the memory of a batch, and returns a status per image, 0 where it decoded without damage.

    `content` is the packed file, the next five are of the N images; `view_boxes`, `filters` and `places` are those of
    `view_layout.ViewLayout`. `shown` is uint8 `[bytes, 1, 1]`: FFCV makes numba take uint8 `[bytes]` for read-only.
    """
    status = np.zeros(len(modes), np.int32)
    for image in numba.prange(len(modes)):
        payload = content[offsets[image] : offsets[image] + sizes[image]]
        width, height = widths[image], heights[image]
        if modes[image] == JPEG_MODE:
            pixels, left, _ = _decode(payload, width, height, (0, 0, width, height))
            if left < 0:
                status[image] = 1
            else:
                _show(pixels, width, height, view_boxes[image], filters, places[image], shown)
        else:
            stored = payload.reshape((height, width, 3))
            _show(stored, width, height, view_boxes[image], filters, places[image], shown)
    return status


@njit()
def _show(
    pixels: np.ndarray, width: int, height: int, view_boxes: np.ndarray, filters: np.ndarray, places: np.ndarray,
    shown: np.ndarray,
) -> None:  # fmt: skip
    """All views of one image, `width` x `height` of `pixels`; those of one resized size share a resize."""
    done = np.zeros(len(view_boxes), np.int32)
    for view in range(len(view_boxes)):
        if done[view]:
            continue
        size, kind = (view_boxes[view, 0], view_boxes[view, 1]), filters[view]
        start_x, start_y, stop_x, stop_y = size[0], size[1], 0, 0
        for other in range(view, len(view_boxes)):
            if view_boxes[other, 0] == size[0] and view_boxes[other, 1] == size[1] and filters[other] == kind:
                start_x, start_y = min(start_x, view_boxes[other, 2]), min(start_y, view_boxes[other, 3])
                stop_x = max(stop_x, view_boxes[other, 2] + view_boxes[other, 4])
                stop_y = max(stop_y, view_boxes[other, 3] + view_boxes[other, 5])
        part = (start_x, start_y, stop_x - start_x, stop_y - start_y)
        resized = resized_window(pixels, (0, 0, width, height), size, part, kind)
        for other in range(view, len(view_boxes)):
            if view_boxes[other, 0] == size[0] and view_boxes[other, 1] == size[1] and filters[other] == kind:
                _copy(resized, view_boxes[other, 2] - start_x, view_boxes[other, 3] - start_y, view_boxes[other], kind,
                      shown, places[other])  # fmt: skip
                done[other] = 1


@njit()
def _copy(
    resized: np.ndarray, left: int, top: int, window: np.ndarray, kind: int, shown: np.ndarray, place: int
) -> None:
    """One view out of the resized image, resized again where it is shown at another size."""
    part_width, part_height, width, height = window[4], window[5], window[6], window[7]
    if part_width != width or part_height != height:
        box = (left, top, part_width, part_height)
        resized, left, top = resized_window(resized, box, (width, height), (0, 0, width, height), kind), 0, 0
    source, line = resized[top:].ctypes.data + 3 * left, 3 * resized.shape[1]
    target = shown[place:].ctypes.data
    for row in range(height):
        _copy_bytes(target + row * 3 * width, source + row * line, 3 * width)
