"""Read-ahead hints to the kernel: bytes of a packed file that come next, and bytes that are done with.

A disk is quicker where it knows what comes. In a quasi-random epoch a chunk of the file comes next as a whole, in long
pieces, and is forgotten when the epoch has left it: the page cache holds a few chunks, however large the file is.
"""

import os
from collections.abc import Iterator, Sequence

import numpy as np

from ilsvrc.packing.beton import Packed

PIECE_BYTES = 8 << 20  # of a file that lie together in a quasi-random order
CHUNK_PIECES = 32  # whose images are mixed
BATCHES_AHEAD = 2  # that are announced in a random order
GAP_BYTES = 1 << 20  # what is read along rather than left out


def pieces(packed: Packed, indices: np.ndarray) -> np.ndarray:
    """The piece of the file that each image lies in."""
    numbers: np.ndarray = packed.offsets[indices] // PIECE_BYTES
    return numbers


def announced(
    packed: Packed, batches: Sequence[np.ndarray], read_chunks: Sequence[np.ndarray] = ()
) -> Iterator[np.ndarray]:
    """The batches, with the bytes of the next ones announced to the kernel.

    `read_chunks` are the images of a quasi-random order, chunk by chunk, in the order of the batches; none for a random
    order.
    """
    if not read_chunks:
        yield from _random(packed, batches)
        return
    ends = np.cumsum([len(chunk) for chunk in read_chunks])
    reached, done = -1, 0
    with packed.path.open("rb") as file:
        for batch in batches:
            chunk = int(np.searchsorted(ends, done, side="right"))
            if chunk != reached:
                _advise(file.fileno(), packed, read_chunks[chunk : chunk + 2], os.POSIX_FADV_WILLNEED)
                _advise(file.fileno(), packed, read_chunks[: max(0, chunk - 1)][-1:], os.POSIX_FADV_DONTNEED)
                reached = chunk
            yield batch
            done += len(batch)


def _random(packed: Packed, batches: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    with packed.path.open("rb") as file:
        for step in range(-BATCHES_AHEAD, len(batches)):
            for indices in batches[step + BATCHES_AHEAD : step + BATCHES_AHEAD + 1]:
                for offset, size in zip(packed.offsets[indices].tolist(), packed.sizes[indices].tolist(), strict=True):
                    os.posix_fadvise(file.fileno(), offset, size, os.POSIX_FADV_WILLNEED)
            if step >= 0:
                yield batches[step]


def _advise(file: int, packed: Packed, read_chunks: Sequence[np.ndarray], advice: int) -> None:
    for chunk in read_chunks:
        for start, stop in stretches(packed.offsets[chunk], packed.sizes[chunk]):
            os.posix_fadvise(file, start, stop - start, advice)


def stretches(offsets: np.ndarray, sizes: np.ndarray) -> list[tuple[int, int]]:
    """Starts and ends of the long pieces of a file that hold `sizes` bytes at `offsets`, and little else."""
    order = np.argsort(offsets)
    starts, stops = offsets[order], (offsets + sizes)[order]
    begins = np.flatnonzero(np.append(True, starts[1:] - stops[:-1] > GAP_BYTES))
    ends = np.append(begins[1:] - 1, len(starts) - 1)
    return list(zip(starts[begins].tolist(), stops[ends].tolist(), strict=True))
