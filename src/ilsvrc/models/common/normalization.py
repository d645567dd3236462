"""Images of pixels from 0 to 255 to what a network sees, on the device: training and prediction share it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

KINDS = ("mean_std", "mean", "mean_image", "unit", "none")
MIDDLE = 127.5  # of 0 to 255


class Normalization(nn.Module):
    """Subtracts and divides, as `kind` says.

    - "mean_std": (x - mean) / std per channel, of variance 1.
    - "mean": x - mean per channel, on the pixels' scale (the papers before batch norm).
    - "mean_image": x - the mean image, pixel by pixel, on the pixels' scale (Krizhevsky et al. 2012, section 2).
    - "unit": (x - 127.5) / 127.5, from -1 to 1 (the Inception networks).
    - "none": x.

    `mean` and `std` are of the training split, red, green, blue, in units of 0 to 255. The mean image is float32
    `[S, S, 3]`, 0 to 255. None of them is part of the state.
    """

    offset: Tensor
    factor: Tensor
    mean_image: Tensor | None

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], kind: str = "mean_std", mean_image: Any = None
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"normalization = {kind!r}; it can be {', '.join(KINDS)} (training: in params.yaml)")
        if kind == "mean_std" and min(std) <= 0:
            raise ValueError(f"normalization: mean_std divides by the channels' deviations, {list(std)}; use mean")
        if (kind == "mean_image") != (mean_image is not None):
            raise ValueError(f"normalization: {kind} {'wants a' if mean_image is None else 'has no'} mean image")
        offset, factor = _line(kind, mean, std)
        self.register_buffer("offset", _a_channel(offset), persistent=False)
        self.register_buffer("factor", _a_channel(factor), persistent=False)
        image = None if mean_image is None else torch.as_tensor(mean_image, dtype=torch.get_default_dtype())
        self.register_buffer("mean_image", image, persistent=False)

    def forward(self, images: Tensor, means: Tensor | None = None) -> Tensor:
        """`[N, H, W, 3]`, uint8 or floats from 0 to 255, to floats `[N, 3, H, W]`, channels last.

        `means`, for "mean_image", is what is subtracted: the window of the mean image that lies under each image
        `[N, H, W, 3]` (Caffe), or one for all `[H, W, 3]`; None is the mean image's central window
        (cuda-convnet2, wherever the image's own window lies).

        Raises:
            ValueError: the mean image is smaller than the images.
        """
        pixels = images.permute(0, 3, 1, 2).to(self.offset.dtype)
        if self.mean_image is None:
            return (pixels - self.offset) * self.factor
        under = central(self.mean_image, images.shape[1], images.shape[2]) if means is None else means
        return pixels - under.to(pixels).movedim(-1, -3)

    def kept(self) -> dict[str, Tensor]:
        """Persistent buffers of a trained network beside its weights: the mean image, where there is one."""
        return {} if self.mean_image is None else {"mean_image": self.mean_image}

    def of_any_size(self) -> "Normalization":
        """The same for images that no window of the mean image lies under: its mean by channel in its place."""
        if self.mean_image is None:
            return self
        mean = self.mean_image.mean(dim=(0, 1)).tolist()
        return Normalization(mean, [1.0] * 3, "mean").to(self.offset)


def central(mean_image: Tensor, height: int, width: int) -> Tensor:
    """The central `[height, width, 3]` of `[S, S, 3]`.

    Raises:
        ValueError: it has not as many pixels.
    """
    side = len(mean_image)
    if max(height, width) > side:
        raise ValueError(
            f"the mean image has {side} x {side} px, fewer than images of {height} x {width} px; set a lower crop_px "
            "or normalization: mean by training: {...} in params.yaml"
        )
    top, left = (side - height) // 2, (side - width) // 2
    return mean_image[top : top + height, left : left + width]


def _line(kind: str, mean: Sequence[float], std: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Offset that is subtracted from a channel, and the scale of the difference."""
    if kind == "mean_std":
        return mean, [1 / s for s in std]
    if kind == "unit":
        return [MIDDLE] * 3, [1 / MIDDLE] * 3
    return mean if kind == "mean" else [0.0] * 3, [1.0] * 3


def _a_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1).to(torch.get_default_dtype())
