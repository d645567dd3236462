"""Stored images -> the windows that a batch shows, in parallel, with Pillow's pixels. Numba and libjpeg-turbo."""

import ctypes

import llvmlite.binding
import numba
import numpy as np
from numba import types

from ilsvrc.loading import jpeg, layout
from ilsvrc.loading.compiled import njit
from ilsvrc.loading.resample import resized_window

JPEG_MODE, RGB_PIXELS = layout.JPEG, jpeg.RGB_PIXELS


def _function(name: str, result: types.Type, *arguments: types.Type) -> types.ExternalFunction:
    """A C function of libjpeg-turbo by its symbol's name, so that what calls it can be cached."""
    address = ctypes.cast(getattr(jpeg.turbojpeg(), name), ctypes.c_void_p).value
    llvmlite.binding.add_symbol(name, address)
    return types.ExternalFunction(name, result(*arguments))


_init = _function("tjInitDecompress", types.uintp)
_destroy = _function("tjDestroy", types.int32, types.uintp)
_decompress = _function(
    "tjDecompress2", types.int32, types.uintp, types.uintp, types.uint64, types.uintp,
    types.int32, types.int32, types.int32, types.int32, types.int32,
)  # fmt: skip


@njit(parallel=True)
def show_all(
    content: np.ndarray, modes: np.ndarray, widths: np.ndarray, heights: np.ndarray, offsets: np.ndarray,
    sizes: np.ndarray, boxes: np.ndarray, windows: np.ndarray, shown: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Fills `shown` [N, V, crop_px, crop_px, 3] and returns a status per image, 0 where it decoded without damage.

    `content` is the packed file, the next five are of the N images, `boxes` and `windows` are `geometry.Regions`.
    """
    status = np.zeros(len(modes), np.int32)
    for image in numba.prange(len(modes)):
        payload = content[offsets[image] : offsets[image] + sizes[image]]
        if modes[image] == JPEG_MODE:
            pixels = np.empty((heights[image], widths[image], 3), np.uint8)
            status[image] = _decode(payload, pixels)
            _show(pixels, boxes[image], windows[image], shown[image])
        else:
            stored = payload.reshape((heights[image], widths[image], 3))
            _show(stored, boxes[image], windows[image], shown[image])
    return status


@njit()
def _decode(payload: np.ndarray, pixels: np.ndarray) -> int:
    height, width = pixels.shape[0], pixels.shape[1]
    handle = _init()
    status = _decompress(handle, payload.ctypes.data, payload.size, pixels.ctypes.data, width, 0, height, RGB_PIXELS, 0)
    _destroy(handle)
    return status


@njit()
def _show(pixels: np.ndarray, box: np.ndarray, windows: np.ndarray, shown: np.ndarray) -> None:
    """Windows `[V, 5]` of the box of one image; those of one size share one resize."""
    crop_px = shown.shape[1]
    done = np.zeros(len(windows), np.int32)
    for view in range(len(windows)):
        if done[view]:
            continue
        width, height = windows[view, 0], windows[view, 1]
        left, top, right, bottom = _bounds(windows, width, height, crop_px)
        place = (left, top, right - left, bottom - top)
        resized = resized_window(pixels, (box[0], box[1], box[2], box[3]), (width, height), place)
        for other in range(view, len(windows)):
            if windows[other, 0] == width and windows[other, 1] == height:
                _copy(resized, windows[other, 2] - left, windows[other, 3] - top, windows[other, 4], shown[other])
                done[other] = 1


@njit()
def _bounds(windows: np.ndarray, width: int, height: int, crop_px: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of all windows in the box resized to `width` x `height`."""
    left, top, right, bottom = width, height, 0, 0
    for row in windows:
        if row[0] == width and row[1] == height:
            left, top = min(left, row[2]), min(top, row[3])
            right, bottom = max(right, row[2] + crop_px), max(bottom, row[3] + crop_px)
    return left, top, right, bottom


@njit()
def _copy(resized: np.ndarray, left: int, top: int, mirrored: int, window: np.ndarray) -> None:
    height, width = window.shape[0], window.shape[1]
    part = resized[top : top + height, left : left + width]
    window[:] = part[:, ::-1] if mirrored else part[:, ::1]
