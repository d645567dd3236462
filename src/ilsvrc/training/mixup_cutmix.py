"""Mixed images and labels: mixup (Zhang et al. 2017) and CutMix (Yun et al. 2019)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MIXES = 0x6D697865  # apart from what else is drawn from (seed, epoch, step)


class Mixing:
    """Mixes each image with another of its batch, and their labels alike.

    One lambda ~ Beta(alpha, alpha) a batch, a function of (seed, epoch, step), so that all processes have the same;
    with both alphas above 0 a batch is mixed by one of the two, drawn evenly (timm's `Mixup`, mode "batch").
    Partners are a group's first and last, second and last but one, and so on, as timm's flip of a batch.

    Args:
        mixup: alpha; 0: none.
        cutmix: alpha; 0: none.
        group: neighbours in the global batch that are mixed among each other, so that the same images are at any
            number of processes whose shares are whole groups; None, or more than a share: the share.
    """

    def __init__(self, mixup: float = 0.0, cutmix: float = 0.0, group: int | None = None) -> None:
        if max(mixup, cutmix) <= 0:
            raise ValueError("mixing wants mixup or cutmix above 0 (training: in params.yaml)")
        self.mixup, self.cutmix, self.group = mixup, cutmix, group

    @torch.no_grad()
    def __call__(
        self, images: Tensor, labels: Tensor, num_classes: int, seed: int, epoch: int, step: int
    ) -> tuple[Tensor, Tensor]:
        """Float32 images `[N, H, W, 3]` and what each is of every class, float32 `[N, num_classes]`, not smoothed.

        The objective smooths them; as smoothing is linear, that is smoothing before mixing.

        Args:
            images: `[N, H, W, 3]`, uint8 or floats; stays as it is.
            labels: int64 `[N]`, or of sets of classes float `[N, K]`.
            num_classes: K.
            seed: of the training.
            epoch: counted from 0.
            step: of the training or of its epoch.

        Raises:
            ValueError: the images are no whole groups.
        """
        draws = np.random.default_rng((seed, epoch, step, MIXES))
        cuts = self.cutmix > 0 and (self.mixup == 0 or draws.random() < 0.5)
        alpha = self.cutmix if cuts else self.mixup
        own = float(draws.beta(alpha, alpha))
        images, partners = images.float(), self.partners(images).float()
        if cuts:
            images, own = cut(images, partners, *box(draws, own, *images.shape[1:3]))
        else:
            images = torch.lerp(partners, images, own)
        targets = labels.float() if labels.is_floating_point() else F.one_hot(labels, num_classes).float()
        return images, torch.lerp(self.partners(targets), targets, own)

    def partners(self, values: Tensor) -> Tensor:
        """`[N, ...]`: each one's partner's."""
        size = min(self.group or len(values), len(values))
        if len(values) % size:
            raise ValueError(
                f"{len(values)} images of a process are no whole groups of batch_norm_group = {size}, which are mixed; "
                "set it or batch_size by training: {...} in params.yaml"
            )
        return values.reshape(-1, size, *values.shape[1:]).flip(1).flatten(0, 1)


def box(draws: np.random.Generator, own: float, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a part 1 - `own` of the image, about a place anywhere, cut at the borders."""
    side = (1 - own) ** 0.5
    return _stretch(draws, int(height * side), height), _stretch(draws, int(width * side), width)


def _stretch(draws: np.random.Generator, length: int, whole: int) -> slice:
    middle = int(draws.integers(whole))
    return slice(max(0, middle - length // 2), min(whole, middle + (length + 1) // 2))


def cut(images: Tensor, partners: Tensor, rows: slice, columns: slice) -> tuple[Tensor, float]:
    """`images` with a box of their partners', and the part of each that stays its own."""
    mixed = images.clone()
    mixed[:, rows, columns] = partners[:, rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - area / (images.shape[1] * images.shape[2])
