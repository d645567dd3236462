"""Pillow's antialiased bilinear resize, bit for bit, computed for a window of the result only. Numba.

Follows libImaging/Resample.c of Pillow 13: weights in 22-bit fixed point, two passes with 8 bits in between, the
vertical one first where the height shrinks by more than twice what the width does. The passes are partial.c's where it
is compiled and the processor has AVX2, else numba's.
"""

import numpy as np
from numba import types

from ilsvrc.loading import native
from ilsvrc.loading.compiled import c_function, njit

PRECISION_BITS = 22
HALF = 1 << (PRECISION_BITS - 1)
Table = tuple[np.ndarray, np.ndarray, np.ndarray]  # first source pixel, number of them, weights: of each output pixel


@njit()
def resized_window(
    source: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int], window: tuple[int, int, int, int]
) -> np.ndarray:
    """A window of a resized box of a picture.

    Args:
        source: uint8 `[H, W, 3]`, contiguous.
        box: left, top, width, height in `source`.
        size: width and height that the box is resized to.
        window: left, top, width, height in the resized box.

    Returns:
        uint8 `[window height, window width, 3]`.
    """
    if box[2] == size[0] and box[3] == size[1]:
        left, top = box[0] + window[0], box[1] + window[1]
        return source[top : top + window[3], left : left + window[2]].copy()
    columns = _weights(box[0], box[2], size[0], window[0], window[2])
    rows = _weights(box[1], box[3], size[1], window[1], window[3])
    shrunk = box[3] - size[1]
    if shrunk > 0 and shrunk > 2 * (box[2] - size[0]):
        start, stop = _span(columns)
        return _across(_down(source, start, stop, rows), 0, window[3], columns)
    start, stop = _span(rows)
    return _down(_across(source, start, stop, columns), 0, window[2], rows)


@njit()
def source_span(in_px: int, out_px: int, start: int, count: int) -> tuple[int, int]:
    """Where the pixels begin and stop that the output pixels `start` to `start + count` are made of."""
    scale = in_px / out_px
    support = max(scale, 1.0)
    low = max(0, int((start + 0.5) * scale - support + 0.5))
    return low, min(in_px, int((start + count - 0.5) * scale + support + 0.5))


@njit()
def _weights(origin: int, in_px: int, out_px: int, start: int, count: int) -> Table:
    """Fixed-point weights of the output pixels `start` to `start + count` along one side of a box at `origin`."""
    scale = in_px / out_px
    support = max(scale, 1.0)
    inverse = 1.0 / support
    first, number = np.empty(count, np.int64), np.empty(count, np.int64)
    weights = np.zeros((count, int(np.ceil(support)) * 2 + 1), np.int32)
    values = np.empty(weights.shape[1], np.float64)
    for index in range(count):
        center = (start + index + 0.5) * scale
        low = max(0, int(center - support + 0.5))
        taps = min(in_px, int(center + support + 0.5)) - low
        total = 0.0
        for tap in range(taps):
            values[tap] = max(0.0, 1.0 - abs((tap + low - center + 0.5) * inverse))
            total += values[tap]
        for tap in range(taps):
            weights[index, tap] = int(0.5 + values[tap] / total * (1 << PRECISION_BITS))
        first[index], number[index] = origin + low, taps
    return first, number, weights


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
            result[y, x, 0] = red >> PRECISION_BITS
            result[y, x, 1] = green >> PRECISION_BITS
            result[y, x, 2] = blue >> PRECISION_BITS
    return result


@njit()
def _numba_down(source: np.ndarray, start: int, stop: int, table: Table) -> np.ndarray:
    """Resizes the columns `start` to `stop` along y."""
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
            result[y, x] = sums[x] >> PRECISION_BITS
    return result.reshape((len(first), stop - start, 3))


if (_ACROSS := native.address("ilsvrc_across")) is None:
    _across, _down = _numba_across, _numba_down
else:
    _row, _whole = types.uintp, types.int64
    _c_across = c_function(
        "ilsvrc_across", _ACROSS, types.void, _row, _whole, _whole, _row, _row, _row, _whole, _whole, _row, _row
    )
    _c_down = c_function(
        "ilsvrc_down", native.address("ilsvrc_down"), types.void,
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
    def _down(source: np.ndarray, start: int, stop: int, table: Table) -> np.ndarray:
        """`_numba_down` in C."""
        first, number, weights = table
        result = np.empty((len(first), stop - start, 3), np.uint8)
        _c_down(
            source[:, start:].ctypes.data, 3 * source.shape[1], 3 * (stop - start), first.ctypes.data,
            number.ctypes.data, weights.ctypes.data, weights.shape[1], len(first), result.ctypes.data,
        )  # fmt: skip
        return result
