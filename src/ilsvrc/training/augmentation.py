"""Augmentation of training images after their crop, on the device: drawn for each image, applied to the batch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ilsvrc.config import choices
from ilsvrc.training.augmentation_rng import Draws
from ilsvrc.training.colour_jitter import ColourJitter, Lighting
from ilsvrc.training.rand_augment import RandAugment
from ilsvrc.training.random_erasing import Erasing

IMAGES_AT_ONCE = {"cpu": 16}  # what a processor's caches hold takes half the time that a whole batch does
MAX_AT_ONCE = 256  # bounds a GPU's memory


class Augmentation(nn.Module):
    """RandAugment, colour jitter, lighting, erasing: those that a recipe asks for, in this order.

    Every draw is a function of (seed, epoch, image): of no process, and of no place in a batch. RandAugment works on
    whole numbers, the others on float32 without rounding; jitter cuts values to 0 to 255, lighting and the noise of
    erasing go beyond.

    Args:
        mean: of the training set, red, green, blue, 0 to 255, as all statistics here.
        std: deviations.
        eigenvalues: variances along the principal components.
        eigenvectors: a row for each.
        others: named as a recipe's keys; 0 leaves out.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        eigenvalues: Sequence[float],
        eigenvectors: Sequence[Sequence[float]],
        *,
        lighting: float = 0.0,
        lighting_unit: choices.LightingUnit = "deviation",
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        rand_augment: float = 0.0,
        erasing: float = 0.0,
    ) -> None:
        super().__init__()
        self.of_bytes = RandAugment(rand_augment, mean) if rand_augment else None
        self.of_floats: list[Callable[[Tensor, Draws], Tensor]] = []
        if any((brightness, contrast, saturation, hue)):
            self.of_floats.append(ColourJitter(brightness, contrast, saturation, hue))
        if lighting:
            self.of_floats.append(Lighting(lighting, lighting_unit, eigenvalues, eigenvectors))
        if erasing:
            self.of_floats.append(Erasing(erasing, mean, std))

    @property
    def changes_nothing(self) -> bool:
        """True if the recipe asks for no augmentation."""
        return self.of_bytes is None and not self.of_floats

    @torch.no_grad()
    def forward(self, images: Tensor, seed: int, epoch: int, indices: Tensor) -> Tensor:
        """uint8 `[N, H, W, 3]` to uint8, or float32 where values are no whole numbers; the given tensor stays.

        Args:
            images: on any device.
            seed: of the training.
            epoch: counted from 0.
            indices: int64 `[N]` on the CPU, the indices of the images; a second view of an image within an epoch, as
                repeated augmentation shows it, gets its own draws by an index of its own.
        """
        size = IMAGES_AT_ONCE.get(images.device.type, MAX_AT_ONCE)
        parts = zip(images.split(size), indices.split(size), strict=True)  # type: ignore[no-untyped-call]
        return torch.cat([self._changed(part, Draws(seed, epoch, which)) for part, which in parts])

    def _changed(self, images: Tensor, draws: Draws) -> Tensor:
        if self.of_bytes:
            images = self.of_bytes(images, draws)
        if self.of_floats:
            images = images.to(torch.float32, copy=True)
        for change in self.of_floats:
            images = change(images, draws)
        return images
