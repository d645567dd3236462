"""Random numbers that are a function of (seed, epoch, image, draw): the same in any order, batch or process.

Where an epoch shows an image in several copies, `joined` keys stand for images.

splitmix64 (Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014) as a hash.
"""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
ORDER_DRAW = 1 << 20  # far from the draws of crops
COPY_AT_BIT = 40  # of a key; below lies the image


def joined(images: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Keys int64: what draws know a copy of an image by. A first copy's, number 0, is its image's own number."""
    return images | (copies << COPY_AT_BIT)


def parted(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images and copies int64 of keys."""
    return keys & ((1 << COPY_AT_BIT) - 1), keys >> COPY_AT_BIT


def uniform(seed: int, epoch: int, indices: np.ndarray, draw: int) -> np.ndarray:
    """A number in [0, 1) for each image, float64, with 53 random bits."""
    return (bits(seed, epoch, indices, draw) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(seed: int, epoch: int, indices: np.ndarray, draw: int, limits: np.ndarray) -> np.ndarray:
    """A whole number in [0, limit) for each image, int64; `limits` are small against 2**53."""
    return (uniform(seed, epoch, indices, draw) * limits).astype(np.int64)


def bits(seed: int, epoch: int, indices: np.ndarray, draw: int) -> np.ndarray:
    """64 random bits for each image."""
    key = np.zeros(1, np.uint64)
    for part in (seed, epoch, draw):
        key = _mix(key ^ np.uint64(part))
    return _mix(key ^ indices.astype(np.uint64))


def permutation(seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
    """`indices` in the epoch's order."""
    return indices[np.argsort(bits(seed, epoch, indices, ORDER_DRAW), kind="stable")]


def quasi_permutation(
    seed: int, epoch: int, indices: np.ndarray, places: np.ndarray, num_together: int
) -> list[np.ndarray]:
    """`indices` in an order that reads a file in long pieces: windows, each in an order of its own.

    Args:
        seed: of the training.
        epoch: counted from 0.
        indices: images.
        places: for each, the piece of the file that it lies in.
        num_together: how many pieces, drawn anywhere, make a window.
    """
    pieces = permutation(seed, epoch, np.unique(places))
    rank = np.empty(int(places.max()) + 1, np.int64)
    rank[pieces] = np.arange(len(pieces)) // num_together
    windows = rank[places]
    return [permutation(seed, epoch, indices[windows == window]) for window in range(-(-len(pieces) // num_together))]


def _mix(value: np.ndarray) -> np.ndarray:
    """One splitmix64 step; arrays of uint64 wrap around."""
    value = value + GOLDEN
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
