"""Random numbers that are a function of (seed, epoch, image, draw): the same in any order, batch or process.

With repeated augmentation, `pack_keys` makes a sample key of an image and its repeat, which stands for the image.

splitmix64 (Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014) as a hash.
"""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
ORDER_DRAW = 1 << 20  # far from the draws of crops
REPEAT_AT_BIT = 40  # of a key; below lies the image


def pack_keys(images: np.ndarray, repeat_index: np.ndarray) -> np.ndarray:
    """Sample keys int64 of images and their repeats; the first repeat's key, of index 0, is the image's number."""
    keys: np.ndarray = images | (repeat_index << REPEAT_AT_BIT)
    return keys


def unpack_keys(sample_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images and repeat indices int64 of sample keys."""
    return sample_keys & ((1 << REPEAT_AT_BIT) - 1), sample_keys >> REPEAT_AT_BIT


def uniform(seed: int, epoch: int, indices: np.ndarray, draw: int) -> np.ndarray:
    """A number in [0, 1) for each image, float64, with 53 random bits."""
    return (bits(seed, epoch, indices, draw) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(seed: int, epoch: int, indices: np.ndarray, draw: int, limits: np.ndarray) -> np.ndarray:
    """A whole number in [0, limit) for each image, int64; `limits` are small against 2**53."""
    numbers: np.ndarray = (uniform(seed, epoch, indices, draw) * limits).astype(np.int64)
    return numbers


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
    """`indices` in an order that reads a file in long pieces: chunks, each in an order of its own.

    Args:
        seed: of the training.
        epoch: counted from 0.
        indices: images.
        places: for each, the piece of the file that it lies in.
        num_together: how many pieces, drawn anywhere, make a chunk.
    """
    pieces = permutation(seed, epoch, np.unique(places))
    rank = np.empty(int(places.max()) + 1, np.int64)
    rank[pieces] = np.arange(len(pieces)) // num_together
    chunks = rank[places]
    return [permutation(seed, epoch, indices[chunks == chunk]) for chunk in range(-(-len(pieces) // num_together))]


def _mix(value: np.ndarray) -> np.ndarray:
    """One splitmix64 step; arrays of uint64 wrap around."""
    value = value + GOLDEN
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = value ^ (value >> np.uint64(31))
    return mixed
