"""Statistics of the pixels in one pass, from exact sums: mean, deviation, covariance and principal components.

The same for any number of workers, and on any machine: nothing here depends on the order of a floating-point sum.
"""

import ctypes
import hashlib
from collections.abc import Sequence

import numpy as np

from ilsvrc.config.specs import FormSpec
from ilsvrc.datasets._card import Sample
from ilsvrc.packing import c_extension

NUM_MEASURED = 1000  # images that the statistics are of where none need be decoded
BLOCK_PX, ABREAST = 256, 4  # 256 * 255 ** 2 < 2 ** 24: exact in float32; four pixels abreast fill a processor's lanes
ENOUGH_ROWS = 64
MAX_SWEEPS = 30

Matrix = list[list[float]]


def measured_places(samples: Sequence[Sample], form: FormSpec) -> list[bool]:
    """Mask of the images in the statistics: all, or if not all are decoded the 1000 of the lowest hashed names."""
    if form.verify != "structure" or len(samples) <= NUM_MEASURED:
        return [True] * len(samples)
    digests = b"".join(hashlib.sha256(s.name.encode(errors="surrogateescape")).digest()[:8] for s in samples)
    chosen = np.zeros(len(samples), bool)
    chosen[np.argsort(np.frombuffer(digests, ">u8"), kind="stable")[:NUM_MEASURED]] = True
    return list(chosen.tolist())


def sums(pixels: np.ndarray) -> np.ndarray:
    """Exact sums over uint8 `[height, width, 3]`, int64 `[6, 3]`.

    Of the values and of their squares over every pixel; then, over some rows, of the values and of their products: row
    3 + i holds red, green and blue, each multiplied by channel i.
    """
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    some = rows[:: rows_apart(len(rows))]
    return np.vstack([_sums_and_squares(rows), _sums_and_squares(some)[:1], _products(some.reshape(-1))])


def _sums_and_squares(rows: np.ndarray) -> np.ndarray:
    """int64 `[2, 3]`: of each channel, and of its squares, over uint8 `[N, W * 3]`, rows at any distance."""
    places = ctypes.c_void_p, *3 * (ctypes.c_int64,), *2 * (ctypes.c_void_p,)
    compiled = c_extension.function("ilsvrc_sums", *places)
    if compiled is not None:
        found = np.zeros((2, 3), np.int64)
        at = found.ctypes.data
        compiled(rows.ctypes.data, len(rows), rows.strides[0], rows.shape[1], at, at + found.strides[0])
        return found
    squares = np.square(rows, dtype=np.uint16).sum(axis=0, dtype=np.uint32)  # 65535 rows of 255 ** 2 fit 32 bits
    both = np.stack([rows.sum(axis=0, dtype=np.uint32), squares])
    total: np.ndarray = both.reshape(2, -1, 3).sum(axis=1, dtype=np.int64)
    return total


def rows_apart(height: int) -> int:
    """Stride of the rows whose products are summed: all of them, or 64 or a few more, as products are slow."""
    return max(1, height // ENOUGH_ROWS)


def _products(values: np.ndarray) -> np.ndarray:
    """Sums of the products of two channels, int64 `[3, 3]`, of RGB values one after another."""
    whole = len(values) - len(values) % (3 * ABREAST * BLOCK_PX)
    blocks = values[:whole].astype(np.float32).reshape(-1, BLOCK_PX, 3 * ABREAST)
    products = np.matmul(blocks.transpose(0, 2, 1), blocks).sum(axis=0, dtype=np.float64)
    rest = values[whole:].reshape(-1, 3).astype(np.int64)
    same_pixel = np.einsum("pipj->ij", products.reshape(ABREAST, 3, ABREAST, 3))
    total: np.ndarray = same_pixel.astype(np.int64) + rest.T @ rest
    return total


class Colours:
    """Sums over the pixels of the measured images."""

    def __init__(self) -> None:
        self.num_measured = self.num_pixels = self.num_in_products = 0
        self._sums = np.zeros((6, 3), object)  # Python's integers: no overflow
        self._latest = np.zeros((6, 3), np.int64)

    def add(self, width: int, height: int, sums: np.ndarray) -> None:
        """One more image."""
        self.num_measured += 1
        self.num_pixels += width * height
        self.num_in_products += width * -(-height // rows_apart(height))
        self._latest += sums
        if self.num_measured % 10_000 == 0:  # of 65535 ** 2 pixels: far from 2 ** 63
            self._gather()

    def _gather(self) -> np.ndarray:
        """The sums over all images so far."""
        self._sums = self._sums + self._latest.astype(object)
        self._latest[:] = 0
        return self._sums

    def mean(self) -> list[float]:
        """Per channel over every pixel, 0 to 255."""
        return [int(total) / self.num_pixels for total in self._gather()[0]]

    def std(self) -> list[float]:
        """Per channel over every pixel, 0 to 255."""
        n, (totals, squares) = self.num_pixels, self._gather()[:2]
        return [((int(s) * n - int(t) ** 2) / n**2) ** 0.5 for t, s in zip(totals, squares, strict=True)]

    def covariance(self) -> Matrix:
        """Of red, green and blue, in squared units of 0 to 255."""
        found, n = self._gather(), self.num_in_products
        totals, products = [int(total) for total in found[2]], found[3:]
        return [[(int(products[i, j]) * n - totals[i] * totals[j]) / n**2 for j in range(3)] for i in range(3)]


def principal_components(covariance: Matrix) -> tuple[list[float], Matrix]:
    """Eigenvalues, the largest first, and a unit eigenvector for each, whose largest component is positive.

    Jacobi's rotations: additions, products, quotients and roots alone, so that every machine gets the same digits.
    """
    matrix = [row[:] for row in covariance]
    vectors = [[float(i == j) for j in range(3)] for i in range(3)]  # rows
    for _ in range(MAX_SWEEPS):
        for p, q in ((0, 1), (0, 2), (1, 2)):
            _rotate(matrix, vectors, p, q)
    order = sorted(range(3), key=lambda i: -matrix[i][i])
    signs = [1.0 if max(row, key=abs) > 0 else -1.0 for row in vectors]
    return [max(matrix[i][i], 0.0) for i in order], [[signs[i] * v + 0.0 for v in vectors[i]] for i in order]


def _rotate(matrix: Matrix, vectors: Matrix, p: int, q: int) -> None:
    """Makes `matrix[p][q]` zero by a rotation in the plane of p and q (Golub and Van Loan, section 8.5)."""
    if matrix[p][q] == 0:
        return
    ratio = (matrix[q][q] - matrix[p][p]) / (2 * matrix[p][q])
    tangent = (1 if ratio >= 0 else -1) / (abs(ratio) + (1 + ratio * ratio) ** 0.5)
    cosine = 1 / (1 + tangent * tangent) ** 0.5
    sine = tangent * cosine
    for row in matrix:
        row[p], row[q] = cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]
    for rows in (matrix, vectors):
        first, second = rows[p], rows[q]
        rows[p] = [cosine * a - sine * b for a, b in zip(first, second, strict=True)]
        rows[q] = [sine * a + cosine * b for a, b in zip(first, second, strict=True)]
    matrix[p][q] = matrix[q][p] = 0.0
