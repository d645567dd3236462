"""Random numbers of augmentation: a function of (seed, epoch, image) alone, on the host and on a device."""

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from ilsvrc.runtime import counter_rng

FIRST = 1 << 16  # far from the draws of crops
# splitmix64's constants, as the signed numbers of the same bits.
GOLDEN, FACTOR1, FACTOR2 = (n - (1 << 64) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
PART_BITS = 21  # three parts of 64 bits


class Draw(IntEnum):
    """Numbers of an image's draws; where one stands for several, the next follow it."""

    LIGHTING = 0  # three normal numbers
    JITTER_ORDER = 10  # four
    BRIGHTNESS = 20
    CONTRAST = 21
    SATURATION = 22
    HUE = 23
    ERASED = 30
    LEFT = 31
    TOP = 32
    NOISE = 33
    AREA = 40  # one an attempt
    ASPECT = 60  # one an attempt
    RAND_AUGMENT = 100  # ten a layer


class Draws:
    """The draws of one batch's images.

    Args:
        seed: of the training.
        epoch: counted from 0.
        indices: int64 `[N]`, which images; a second view of one within an epoch needs an index of its own.
    """

    def __init__(self, seed: int, epoch: int, indices: Tensor) -> None:
        self.seed, self.epoch, self.indices = seed, epoch, indices.cpu().numpy()

    def __len__(self) -> int:
        """Images."""
        return len(self.indices)

    def uniform(self, draw: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """float64 `[N]` in [low, high)."""
        return low + (high - low) * counter_rng.uniform(self.seed, self.epoch, self.indices, FIRST + draw)

    def normal(self, draw: int) -> np.ndarray:
        """float64 `[N]`, of deviation 1, from `draw` and the next (Box and Muller 1958)."""
        radius = np.sqrt(-2 * np.log(1 - self.uniform(draw)))
        angle: np.ndarray = radius * np.cos(2 * np.pi * self.uniform(draw + 1))
        return angle

    def order(self, draw: int, length: int) -> np.ndarray:
        """int64 `[N, length]`: a permutation of 0 to length - 1 for each image."""
        return np.stack([self.uniform(draw + i) for i in range(length)], axis=1).argsort(axis=1, kind="stable")

    def keys(self, draw: int, device: torch.device) -> Tensor:
        """64 bits for each image, int64 `[N]`, that `pixel_noise` goes on from."""
        bits = counter_rng.bits(self.seed, self.epoch, self.indices, FIRST + draw)
        return torch.from_numpy(bits.view(np.int64)).to(device)


def pixel_noise(keys: Tensor, pixels: Tensor) -> Tensor:
    """Three normal numbers for each pixel, float32 `[P, 3]`, of deviation 1 and below 5.

    Args:
        keys: of the image that each pixel lies in, int64 `[P]`.
        pixels: each one's number in its image, int64 `[P]`.
    """
    bits = splitmix64(keys ^ pixels)
    mask = (1 << PART_BITS) - 1
    parts = torch.stack([(bits >> shift) & mask for shift in (0, PART_BITS, 2 * PART_BITS)], dim=1)
    middles = (2 * parts + 1 - (1 << PART_BITS)).float() / (1 << PART_BITS)  # of equal parts of (-1, 1), exact
    return torch.erfinv(middles) * 2**0.5


def splitmix64(values: Tensor) -> Tensor:
    """`loading/keyed.py`'s step, bit by bit, on int64, whose arithmetic wraps around like that of 64 bits."""
    values = values + GOLDEN
    values = (values ^ _shifted(values, 30)) * FACTOR1
    values = (values ^ _shifted(values, 27)) * FACTOR2
    return values ^ _shifted(values, 31)


def _shifted(values: Tensor, places: int) -> Tensor:
    """To the right, with zeros from the left."""
    return (values >> places) & ((1 << (64 - places)) - 1)


def on(device: torch.device, values: np.ndarray) -> Tensor:
    """A number for each image, float32 `[N, 1, 1, 1]`."""
    return torch.from_numpy(values).to(device, torch.float32).view(-1, 1, 1, 1)
