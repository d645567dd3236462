"""Random numbers that are a function of (seed, epoch, image, draw): the same in any order, batch or process.

splitmix64 (Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014) as a hash.
"""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
ORDER_DRAW = 1 << 20  # far from the draws of crops


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


def _mix(value: np.ndarray) -> np.ndarray:
    """One splitmix64 step; arrays of uint64 wrap around."""
    value = value + GOLDEN
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
