"""uint8 pictures to what a network sees, on the device: training and prediction share it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

KINDS = ("mean_std", "mean")


class Normalization(nn.Module):
    """(x - mean) / std per channel, or x - mean where `kind` is "mean" (the papers before batch norm).

    `mean` and `std` are of the training split, red, green, blue, in units of 0 to 255: after "mean" the pixels keep
    that scale, after "mean_std" they have variance 1.
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], kind: str = "mean_std") -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"normalization = {kind!r}; it can be {' or '.join(KINDS)} (training: in params.yaml)")
        if kind == "mean_std" and min(std) <= 0:
            raise ValueError(f"normalization: mean_std divides by the channels' deviations, {list(std)}; use mean")
        factor = [1 / s for s in std] if kind == "mean_std" else [1.0] * len(std)
        self.register_buffer("mean", _a_channel(mean), persistent=False)
        self.register_buffer("factor", _a_channel(factor), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """uint8 `[N, H, W, 3]` to floats `[N, 3, H, W]`, channels last: the memory stays in its order."""
        return (images.permute(0, 3, 1, 2).to(self.mean.dtype) - self.mean) * self.factor


def _a_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1).to(torch.get_default_dtype())
