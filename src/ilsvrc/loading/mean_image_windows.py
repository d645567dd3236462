"""The windows of the mean image that lie under crops, as Caffe subtracts them. Torch, on the mean image's device."""

import torch
from torch import Tensor

from ilsvrc.loading.random_crops import Look

ALIGNED = ("patch", "padding", "center")  # crops that never leave the central square, whose mean the mean image is


def check(look: Look) -> None:
    """There is a window of the mean image under each crop.

    Raises:
        ValueError: there is none.
    """
    if look.crop not in ALIGNED:
        raise ValueError(
            f"crop: {look.crop} has no window of the mean image under it, only {', '.join(ALIGNED)} have; set"
            " normalization: mean by training: {...} in params.yaml"
        )


def mean_windows(mean_image: Tensor, windows: Tensor, look: Look) -> Tensor:
    """What is subtracted from each crop: float32 `[N, crop_px, crop_px, 3]`, 0 to 255.

    The mean image stands for the central square of a resized image and is scaled to its side by area averages. Around
    it lies `look.fill`: a pixel padded with it becomes exactly 0. Pixels padded by "reflect" have the means of those
    that they mirror.

    Args:
        mean_image: float32 `[S, S, 3]`.
        windows: int64 `[N, 5]` of a `Batch`; best on the CPU, where it comes from.
        look: of the crops.

    Raises:
        ValueError: `look` has crops without such windows.
    """
    check(look)
    windows = windows.cpu()
    means = mean_image.new_empty(len(windows), look.crop_px, look.crop_px, 3)
    sides = windows[:, :2].amin(dim=1)
    for side in sides.unique().tolist():
        chosen = (sides == side).nonzero()[:, 0]
        means[chosen.to(means.device)] = _cut(scaled(mean_image, side), windows[chosen], look)
    return means


def scaled(mean_image: Tensor, side_px: int) -> Tensor:
    """`[S, S, 3]` to `[side_px, side_px, 3]` by area averages."""
    if len(mean_image) == side_px:
        return mean_image
    weights = _shares(len(mean_image), side_px).to(mean_image.device)
    means = torch.einsum("yr,rcx,sc->ysx", weights, mean_image.double(), weights)
    return means.to(mean_image.dtype)


def _shares(before_px: int, after_px: int) -> Tensor:
    """How much of each new pixel is of each old one, float64 `[after_px, before_px]`; rows sum to 1."""
    edges = torch.arange(after_px + 1, dtype=torch.float64)[:, None] * before_px / after_px
    old = torch.arange(before_px, dtype=torch.float64)
    overlap = torch.minimum(edges[1:], old + 1) - torch.maximum(edges[:-1], old)
    return overlap.clamp(min=0) * after_px / before_px


def _cut(square: Tensor, windows: Tensor, look: Look) -> Tensor:
    """Windows of means of the central square `[side, side, 3]`."""
    side, device = len(square), square.device
    starts = windows[:, 2:4] - (windows[:, :2] - side) // 2
    places = torch.arange(look.crop_px)
    columns = starts[:, :1] + torch.where(windows[:, 4:] > 0, places.flip(0), places)
    rows = starts[:, 1:] + places
    if look.padding == "reflect":
        rows, columns = (_reflected(some, side) for some in (rows, columns))
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None]
    rows, columns = (some.clamp(0, side - 1).to(device) for some in (rows, columns))
    means = square[rows[:, :, None], columns[:, None]]
    if inside.all():
        return means
    return torch.where(inside[..., None].to(device), means, square.new_tensor(look.fill))


def _reflected(places: Tensor, side_px: int) -> Tensor:
    places = places.abs()
    return torch.minimum(places, 2 * (side_px - 1) - places)
