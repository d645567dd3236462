"""RandAugment: Cubuk et al. 2019, in timm's form "rand-m9-mstd0.5-inc1", which DeiT and LeViT train with.

Two of fifteen operations are drawn for each image, with repetition, and each is applied with probability 1/2. Their
magnitude is drawn from N(magnitude, 0.5), cut to 0 to 10. Where timm has two variants, the one that grows with the
magnitude is in: posterize, solarize, colour, contrast, brightness and sharpness. Between operations values are whole
numbers, as in Pillow, whose arithmetic this is; geometry is bicubic, and outside is the training set's mean.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ilsvrc.training import affine
from ilsvrc.training.augmentation_rng import Draw, Draws
from ilsvrc.training.colour_jitter import Operation, where

LAYERS, PROBABILITY, DEVIATION, LARGEST = 2, 0.5, 0.5, 10.0
GREY = (19595, 38470, 7471)  # Pillow's, in units of 2 ** -16

Amount = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of magnitudes from 0 to 1 and signs


class RandAugment:
    """RandAugment: two drawn operations of about one `magnitude`, 0 to 10."""

    def __init__(self, magnitude: float, mean: Sequence[float]) -> None:
        self.magnitude = magnitude
        self.fill = torch.tensor([round(value) for value in mean], dtype=torch.uint8)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """uint8 `[N, H, W, 3]` to the same; the given tensor stays as it is."""
        images, operations = images.clone(), operations_of(self.fill.to(images.device))
        for layer in range(LAYERS):
            draw = Draw.RAND_AUGMENT + 10 * layer
            chosen = draws.uniform(draw, high=len(operations)).astype(np.int64)
            applied = draws.uniform(draw + 1) < PROBABILITY
            sign = np.where(draws.uniform(draw + 2) < 0.5, -1.0, 1.0)
            level = (self.magnitude + DEVIATION * draws.normal(draw + 3)).clip(0, LARGEST) / LARGEST
            for number, (amount, operation) in enumerate(operations.values()):
                images = where(applied & (chosen == number), operation, images, amount(level, sign))
        return images


def operations_of(fill: Tensor) -> dict[str, tuple[Amount, Operation]]:
    """Operations by name, each with the amount of a magnitude (timm's scales); `fill` is uint8 `[3]`."""
    return {
        "auto_contrast": (_signed(0), auto_contrast),
        "equalize": (_signed(0), equalize),
        "invert": (_signed(0), invert),
        "rotate": (_signed(30), partial(affine.rotate, fill=fill)),  # degrees
        "posterize": (_bits, posterize),
        "solarize": (lambda level, sign: 256 - np.floor(level * 256), solarize),  # from where it inverts
        "solarize_add": (lambda level, sign: np.floor(level * 110), solarize_add),
        "colour": (_factor, colour),
        "contrast": (_factor, contrast),
        "brightness": (_factor, brightness),
        "sharpness": (_factor, sharpness),
        "shear_x": (_signed(0.3), partial(affine.shear_x, fill=fill)),
        "shear_y": (_signed(0.3), partial(affine.shear_y, fill=fill)),
        "translate_x": (_signed(0.45), partial(affine.translate_x, fill=fill)),
        "translate_y": (_signed(0.45), partial(affine.translate_y, fill=fill)),
    }


def _signed(largest: float) -> Amount:
    return lambda level, sign: sign * level * largest


def _bits(level: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """Bits that posterize keeps; one at least, as Pillow refuses timm's 0 of the largest magnitude."""
    bits: np.ndarray = np.maximum(1, 4 - np.floor(level * 4))
    return bits


def _factor(level: np.ndarray, sign: np.ndarray) -> np.ndarray:
    factor: np.ndarray = np.maximum(0.1, 1 + sign * level * 0.9)
    return factor


def auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretches each channel to 0 to 255."""
    low, high = (edge.double()[..., None] for edge in (images.amin(dim=(1, 2)), images.amax(dim=(1, 2))))
    scale = 255 / (high - low)
    values = torch.arange(256, device=images.device, dtype=torch.float64)
    table = (values * scale - low * scale).clamp(0, 255)
    return _looked_up(images, torch.where(high > low, table, values))


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Spreads each channel's values so that all are about as frequent."""
    channels = images.permute(0, 3, 1, 2).flatten(2).long()  # N x 3 x H W
    counts = torch.zeros(*channels.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, channels, torch.ones_like(channels))
    of_largest = counts.gather(2, channels.amax(dim=2, keepdim=True))
    step = (channels.shape[2] - of_largest) // 255
    below = counts.cumsum(dim=2) - counts
    table = ((step // 2 + below) // step.clamp(min=1)).clamp(max=255)
    return _looked_up(images, torch.where(step > 0, table, torch.arange(256, device=images.device)))


def invert(images: Tensor, _: Tensor) -> Tensor:
    """Inverts values: black becomes white."""
    return 255 - images


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps the highest bits."""
    return images & (256 - 2 ** (8 - bits)).to(torch.uint8)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Inverts values from `threshold` on."""
    return torch.where(images < threshold, images, 255 - images)


def solarize_add(images: Tensor, added: Tensor) -> Tensor:
    """Makes values below 128 larger."""
    return torch.where(images < 128, (images + added).clamp(max=255).to(torch.uint8), images)


def colour(images: Tensor, factors: Tensor) -> Tensor:
    """Scales values away from each pixel's grey."""
    return _away(images, _grey(images), factors)


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Scales values away from the mean grey of the image, a whole number."""
    mean = _grey(images).double().mean(dim=(1, 2), keepdim=True)
    return _away(images, (mean + 0.5).floor().float(), factors)


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Scales values away from black."""
    return (images * factors).clamp_(0, 255).to(torch.uint8)


def sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Scales values away from the image smoothed by 3 x 3 weights, 5 in the middle; the border is not smoothed."""
    smooth = images.float()
    lines = smooth[:, :-2] + smooth[:, 1:-1] + smooth[:, 2:]
    sums = lines[:, :, :-2] + lines[:, :, 1:-1] + lines[:, :, 2:] + 4 * smooth[:, 1:-1, 1:-1]
    smooth[:, 1:-1, 1:-1] = (sums / 13 + 0.5).floor()
    return _away(images, smooth, factors)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.int().unbind(dim=3)
    return (red * GREY[0] + green * GREY[1] + blue * GREY[2] + 2**15)[..., None] >> 16


def _away(images: Tensor, base: Tensor, factors: Tensor) -> Tensor:
    """Values are rounded down."""
    return ((images - base) * factors + base).clamp_(0, 255).to(torch.uint8)


def _looked_up(images: Tensor, table: Tensor) -> Tensor:
    """uint8 `[N, H, W, 3]`: each value's entry in its channel's table `[N, 3, 256]`."""
    channels = images.permute(0, 3, 1, 2).flatten(2).long()
    values = table.to(torch.uint8).gather(2, channels)
    return values.transpose(1, 2).reshape(images.shape)
