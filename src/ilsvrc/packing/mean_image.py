"""The mean of every pixel over a split's images, which AlexNet, ZFNet and ResNet subtract, from exact sums.

Krizhevsky et al. 2012, section 2: the image's short side to 256, its central square, the mean over the training set.
"""

import ctypes
from collections.abc import Iterable, Mapping

import numpy as np

from ilsvrc.packing import c_extension

SIDE_PX = 256  # Krizhevsky et al. 2012, section 2
MAX_SUMMED = 257  # 257 * 255 is the largest uint16

SquareSums = dict[int, tuple[int, np.ndarray]]  # side -> how many squares, and their sum uint16 [side, side, 3]


def central_square(pixels: np.ndarray) -> np.ndarray:
    """The central square of uint8 `[H, W, 3]`, `[S, S * 3]` with S = min(H, W, 256).

    A larger one is sampled at the middles of 256 x 256 cells. What sampling without a filter adds to one image is
    noise that many average out; a filter would cost ten times as much.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    side = min(short, SIDE_PX)
    cells = (2 * np.arange(side) + 1) * short // (2 * side)
    return _picked(np.ascontiguousarray(pixels), (height - short) // 2 + cells, (width - short) // 2 + cells)


def _picked(pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """`[N, N * 3]`: the pixels of N rows and N columns."""
    side, pointer = len(rows), ctypes.c_void_p
    compiled = c_extension.function("ilsvrc_pick", pointer, pointer, pointer, ctypes.c_int64, pointer)
    if compiled is None:
        bytes_of = 3 * columns[:, None] + np.arange(3)
        picked: np.ndarray = pixels.reshape(len(pixels), -1)[rows].take(bytes_of.ravel(), axis=1)
        return picked
    found, starts = np.empty((side, 3 * side), np.uint8), (rows * pixels.strides[0], 3 * columns)
    compiled(pixels.ctypes.data, *(start.ctypes.data for start in starts), side, found.ctypes.data)
    return found


def sums_of(squares: Iterable[np.ndarray]) -> SquareSums:
    """Sums by side of at most 257 squares uint8 `[S, S * 3]`."""
    found: SquareSums = {}
    for square in squares:
        side = len(square)
        count, total = found.get(side, (0, np.zeros((side, side, 3), np.uint16)))
        assert count < MAX_SUMMED
        total += square.reshape(side, side, 3)
        found[side] = count + 1, total
    return found


class MeanImage:
    """Sums of the squares of all measured images: the same in any order."""

    def __init__(self) -> None:
        self._sums: dict[int, np.ndarray] = {}  # side -> int64 [side, side, 3]
        self._num_images = 0

    def add(self, sums: Mapping[int, tuple[int, np.ndarray]]) -> None:
        """More squares."""
        for side, (count, total) in sums.items():
            if side not in self._sums:
                self._sums[side] = np.zeros(total.shape, np.int64)
            self._sums[side] += total
            self._num_images += count

    def mean(self) -> np.ndarray:
        """float32 `[S, S, 3]`, 0 to 255, at the side of the largest; smaller squares are repeated up to it."""
        side = max(self._sums)
        total = np.zeros((side, side, 3), np.int64)
        for own, sums in self._sums.items():
            cells = np.arange(side) * own // side
            total += sums[cells][:, cells]
        return (total / self._num_images).astype(np.float32)
