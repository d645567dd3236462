"""Pillow's antialiased bilinear resize, bit for bit, computed for a window of the result only. Numba.

Follows libImaging/Resample.c of Pillow 13: weights in 22-bit fixed point, two passes with 8 bits in between, the
vertical one first where the height shrinks by more than twice what the width does.
"""

import numpy as np

from ilsvrc.loading.compiled import njit

PRECISION_BITS = 22
HALF = 1 << (PRECISION_BITS - 1)
Table = tuple[np.ndarray, np.ndarray, np.ndarray]  # first source pixel, number of them, weights: of each output pixel


@njit()
def resized_window(
    source: np.ndarray, out_width: int, out_height: int, left: int, top: int, width: int, height: int
) -> np.ndarray:
    """The window `[height, width, 3]` at `left`, `top` of `source` resized to `out_width` x `out_height`."""
    in_height, in_width = source.shape[0], source.shape[1]
    if in_height == out_height and in_width == out_width:
        return source[top : top + height, left : left + width].copy()
    columns = _weights(in_width, out_width, left, width)
    rows = _weights(in_height, out_height, top, height)
    shrunk = in_height - out_height
    if shrunk > 0 and shrunk > 2 * (in_width - out_width):
        first, last = _span(columns)
        return _across(_down(source[:, first:last], rows, 0), columns, first)
    first, last = _span(rows)
    return _down(_across(source[first:last], columns, 0), rows, first)


@njit()
def _weights(in_px: int, out_px: int, start: int, count: int) -> Table:
    """Fixed-point weights of the output pixels `start` to `start + count` along one side."""
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
        first[index], number[index] = low, taps
    return first, number, weights


@njit()
def _span(table: Table) -> tuple[int, int]:
    first, number, _ = table
    return first[0], first[-1] + number[-1]


@njit()
def _across(source: np.ndarray, table: Table, offset: int) -> np.ndarray:
    """Resizes along x; `offset` is the first source column that is there."""
    first, number, weights = table
    result = np.empty((source.shape[0], len(first), 3), np.uint8)
    for y in range(source.shape[0]):
        for x in range(len(first)):
            red = green = blue = np.int32(HALF)
            start = first[x] - offset
            for tap in range(number[x]):
                weight = weights[x, tap]
                red += np.int32(source[y, start + tap, 0]) * weight
                green += np.int32(source[y, start + tap, 1]) * weight
                blue += np.int32(source[y, start + tap, 2]) * weight
            result[y, x, 0] = red >> PRECISION_BITS
            result[y, x, 1] = green >> PRECISION_BITS
            result[y, x, 2] = blue >> PRECISION_BITS
    return result


@njit()
def _down(source: np.ndarray, table: Table, offset: int) -> np.ndarray:
    """Resizes along y; `offset` is the first source row that is there."""
    first, number, weights = table
    width = source.shape[1]
    result = np.empty((len(first), width, 3), np.uint8)
    sums = np.empty((width, 3), np.int32)
    for y in range(len(first)):
        sums[:] = HALF
        for tap in range(number[y]):
            weight = weights[y, tap]
            row = source[first[y] - offset + tap]
            for x in range(width):
                for channel in range(3):
                    sums[x, channel] += np.int32(row[x, channel]) * weight
        for x in range(width):
            for channel in range(3):
                result[y, x, channel] = sums[x, channel] >> PRECISION_BITS
    return result
