"""A whole image at another size: Pillow's antialiased bilinear resize, bit for bit, by the kernels in C if compiled.

The arithmetic is described in `kernels/resize.c`, which resizes crops for the loaders.
"""

import ctypes
from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np
from PIL import Image

from ilsvrc.packing import c_extension

PRECISION_BITS = 22
Pass = Callable[..., None]
Table = tuple[np.ndarray, np.ndarray, np.ndarray]  # first source pixel, number of them, weights: of each output pixel


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 `[H, W, 3]` at `size`, width and height."""
    height, width = pixels.shape[:2]
    if size == (width, height):
        return pixels
    passes = _compiled()
    if passes is None or size[0] == width or size[1] == height:
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    across, down = passes
    pixels = np.ascontiguousarray(pixels)
    shrunk = height - size[1]
    if shrunk > 0 and shrunk > 2 * (width - size[0]):  # as Pillow chooses
        return _across(across, _down(down, pixels, size[1]), size[0])
    return _down(down, _across(across, pixels, size[0]), size[1])


def _across(compiled: Pass, pixels: np.ndarray, width: int) -> np.ndarray:
    """Another width."""
    first, number, weights = _weights(pixels.shape[1], width)
    last = np.empty((pixels.shape[1] + 1, 3), np.uint8)
    result = np.empty((len(pixels), width, 3), np.uint8)
    compiled(
        _at(pixels), pixels.shape[1], len(pixels), _at(first), _at(number), _at(weights), weights.shape[1], width,
        _at(last), _at(result),
    )  # fmt: skip
    return result


def _down(compiled: Pass, pixels: np.ndarray, height: int) -> np.ndarray:
    """Another height."""
    first, number, weights = _weights(len(pixels), height)
    result = np.empty((height, pixels.shape[1], 3), np.uint8)
    line = 3 * pixels.shape[1]
    compiled(
        _at(pixels), line, line, _at(first), _at(number), _at(weights), weights.shape[1], height, _at(result),
    )  # fmt: skip
    return result


@lru_cache(maxsize=256)
def _weights(in_px: int, out_px: int) -> Table:
    """Fixed-point weights along one side."""
    scale = in_px / out_px
    support = max(scale, 1.0)
    center = (np.arange(out_px) + 0.5) * scale
    low = np.maximum(0, (center - support + 0.5).astype(np.int64))
    number = np.minimum(in_px, (center + support + 0.5).astype(np.int64)) - low
    taps = np.arange(int(np.ceil(support)) * 2 + 1)
    values = np.maximum(0.0, 1.0 - np.abs((taps + low[:, None] - center[:, None] + 0.5) * (1.0 / support)))
    values[taps >= number[:, None]] = 0.0
    total = np.cumsum(values, axis=1)[:, -1:]  # one after another, as Pillow adds
    return low, number, (0.5 + values / total * (1 << PRECISION_BITS)).astype(np.int32)


@cache
def _compiled() -> tuple[Pass, Pass] | None:
    """The passes along x and y in C, None where they are not compiled."""
    across, down = c_extension.address("ilsvrc_across"), c_extension.address("ilsvrc_down")
    if across is None or down is None:
        return None
    row, whole = ctypes.c_void_p, ctypes.c_int64
    first = ctypes.CFUNCTYPE(None, row, whole, whole, row, row, row, whole, whole, row, row)(across)
    return first, ctypes.CFUNCTYPE(None, row, whole, whole, row, row, row, whole, whole, row)(down)


def _at(array: np.ndarray) -> int:
    return int(array.ctypes.data)
