"""Pillow's resize by four filters, bit for bit, computed for a part of the result only. Numba.

Follows libImaging/Resample.c of Pillow 13: weights in 22-bit fixed point, two passes with 8 bits in between, the
vertical one first where the height shrinks by more than twice what the width does. The nearest pixel, which Geometry.c
finds, is a weight of 1. The passes are kernels.c's where it is compiled and the processor has AVX2, else numba's.
"""

import numpy as np
from numba import types

from ilsvrc.loading.numba_cache import c_function, njit
from ilsvrc.loading.random_crops import BILINEAR, BOX, CUBIC, NEAREST
from ilsvrc.packing import c_extension

PRECISION_BITS = 22
HALF = 1 << (PRECISION_BITS - 1)
VECTOR_BYTES = 32  # that kernels.c's pass along y makes at once, cut to 0 to 255; those left over are not
Table = tuple[np.ndarray, np.ndarray, np.ndarray]  # first source pixel, number of them, weights: of each output pixel


@njit()
def resized_window(
    source: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int], window: tuple[int, int, int, int],
    kind: int,
) -> np.ndarray:  # fmt: skip
    """A window of a resized box of an image.

    Args:
        source: uint8 `[H, W, 3]`, contiguous.
        box: left, top, width, height in `source`.
        size: width and height that the box is resized to.
        window: left, top, width, height in the resized box.
        kind: the filter, numbered as in `random_crops`.

    Returns:
        uint8 `[window height, window width, 3]`.
    """
    if box[2] == size[0] and box[3] == size[1]:
        left, top = box[0] + window[0], box[1] + window[1]
        return source[top : top + window[3], left : left + window[2]].copy()
    columns = _weights(kind, box[0], box[2], size[0], window[0], window[2])
    rows = _weights(kind, box[1], box[3], size[1], window[1], window[3])
    shrunk, overshoots = box[3] - size[1], kind == CUBIC
    if shrunk > 0 and shrunk > 2 * (box[2] - size[0]):
        start, stop = _span(columns)
        return _across(_down(source, start, stop, rows, overshoots), 0, window[3], columns)
    start, stop = _span(rows)
    return _down(_across(source, start, stop, columns), 0, window[2], rows, overshoots)


@njit()
def source_span(kind: int, in_px: int, out_px: int, start: int, count: int) -> tuple[int, int]:
    """Start and stop of the source pixels of output pixels `start` to `start + count`, or a wider span."""
    scale = in_px / out_px
    support = max(scale, 1.0) * (2.0 if kind == CUBIC else 1.0)
    low = max(0, int((start + 0.5) * scale - support + 0.5))
    return low, min(in_px, int((start + count - 0.5) * scale + support + 0.5))


@njit()
def _weights(kind: int, origin: int, in_px: int, out_px: int, start: int, count: int) -> Table:
    """Fixed-point weights of the output pixels `start` to `start + count` along one side of a box at `origin`."""
    if kind == NEAREST:
        return _nearest(origin, in_px, out_px, start, count)
    scale = in_px / out_px
    widened = max(scale, 1.0)
    inverse, support = 1.0 / widened, widened * (0.5 if kind == BOX else 2.0 if kind == CUBIC else 1.0)
    first, number = np.empty(count, np.int64), np.empty(count, np.int64)
    weights = np.zeros((count, int(np.ceil(support)) * 2 + 1), np.int32)
    values = np.empty(weights.shape[1], np.float64)
    for index in range(count):
        center = (start + index + 0.5) * scale
        low = max(0, int(center - support + 0.5))
        taps = min(in_px, int(center + support + 0.5)) - low
        total = 0.0
        for tap in range(taps):
            values[tap] = _filter(kind, (tap + low - center + 0.5) * inverse)
            total += values[tap]
        for tap in range(taps):
            weight = values[tap] / total * (1 << PRECISION_BITS)
            weights[index, tap] = int(weight - 0.5 if weight < 0 else weight + 0.5)
        first[index], number[index] = origin + low, taps
    return first, number, weights


@njit()
def _filter(kind: int, x: float) -> float:
    """A filter's height at `x` pixels from its middle."""
    if kind == BILINEAR:
        return max(0.0, 1.0 - abs(x))
    if kind == BOX:
        return 1.0 if -0.5 < x <= 0.5 else 0.0
    x = abs(x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5 if x < 2.0 else 0.0


@njit()
def _nearest(origin: int, in_px: int, out_px: int, start: int, count: int) -> Table:
    """A single whole weight each. Pillow adds up from the first pixel, and its rounding with it."""
    scale = in_px / out_px
    first, place = np.empty(count, np.int64), 0.5 * scale
    for index in range(start + count):
        if index >= start:
            first[index - start] = origin + int(place)
        place += scale
    return first, np.ones(count, np.int64), np.full((count, 1), 1 << PRECISION_BITS, np.int32)


@njit()
def _span(table: Table) -> tuple[int, int]:
    """Source pixels from the first to behind the last that are needed; the table then counts from the first."""
    first, number, _ = table
    start, stop = first[0], first[-1] + number[-1]
    first -= start
    return start, stop


@njit()
def _numba_across(source: np.ndarray, start: int, stop: int, table: Table) -> np.ndarray:
    """Resizes the rows `start` to `stop` along x."""
    first, number, weights = table
    result = np.empty((stop - start, len(first), 3), np.uint8)
    for y in range(stop - start):
        for x in range(len(first)):
            red = green = blue = np.int32(HALF)
            for tap in range(number[x]):
                weight, column = weights[x, tap], first[x] + tap
                red += np.int32(source[start + y, column, 0]) * weight
                green += np.int32(source[start + y, column, 1]) * weight
                blue += np.int32(source[start + y, column, 2]) * weight
            result[y, x, 0] = min(255, max(0, red >> PRECISION_BITS))
            result[y, x, 1] = min(255, max(0, green >> PRECISION_BITS))
            result[y, x, 2] = min(255, max(0, blue >> PRECISION_BITS))
    return result


@njit()
def _numba_down(source: np.ndarray, start: int, stop: int, table: Table, overshoots: bool) -> np.ndarray:
    """Resizes the columns `start` to `stop` along y; sums that overshoot 0 to 255 are cut."""
    first, number, weights = table
    lines = source.reshape((source.shape[0], 3 * source.shape[1]))
    begin, length = 3 * start, 3 * (stop - start)
    result = np.empty((len(first), length), np.uint8)  # FFCV makes numba take uint8 [n] for read-only
    sums = np.empty(length, np.int32)
    for y in range(len(first)):
        sums[:] = HALF
        for tap in range(number[y]):
            weight, line = weights[y, tap], first[y] + tap
            for x in range(length):
                sums[x] += np.int32(lines[line, begin + x]) * weight
        for x in range(length):
            result[y, x] = min(255, max(0, sums[x] >> PRECISION_BITS))
    return result.reshape((len(first), stop - start, 3))


if (_ACROSS := c_extension.address("ilsvrc_across")) is None:
    _across, _down = _numba_across, _numba_down
else:
    _row, _whole = types.uintp, types.int64
    _c_across = c_function(
        "ilsvrc_across", _ACROSS, types.void, _row, _whole, _whole, _row, _row, _row, _whole, _whole, _row, _row
    )
    _c_down = c_function(
        "ilsvrc_down", c_extension.address("ilsvrc_down"), types.void,
        _row, _whole, _whole, _row, _row, _row, _whole, _whole, _row,
    )  # fmt: skip

    @njit()
    def _across(source: np.ndarray, start: int, stop: int, table: Table) -> np.ndarray:
        """`_numba_across` in C."""
        first, number, weights = table
        width = source.shape[1]
        last = np.empty((width + 1, 3), np.uint8)
        result = np.empty((stop - start, len(first), 3), np.uint8)
        _c_across(
            source[start:].ctypes.data, width, stop - start, first.ctypes.data, number.ctypes.data,
            weights.ctypes.data, weights.shape[1], len(first), last.ctypes.data, result.ctypes.data,
        )  # fmt: skip
        return result

    @njit()
    def _down(source: np.ndarray, start: int, stop: int, table: Table, overshoots: bool) -> np.ndarray:
        """`_numba_down` in C."""
        if overshoots and 3 * (stop - start) % VECTOR_BYTES:
            return _numba_down(source, start, stop, table, overshoots)
        first, number, weights = table
        result = np.empty((len(first), stop - start, 3), np.uint8)
        _c_down(
            source[:, start:].ctypes.data, 3 * source.shape[1], 3 * (stop - start), first.ctypes.data,
            number.ctypes.data, weights.ctypes.data, weights.shape[1], len(first), result.ctypes.data,
        )  # fmt: skip
        return result
