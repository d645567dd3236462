"""Crops of the mean image at the places of image crops, as Caffe subtracts them. Torch, on the mean image's device."""

import torch
from torch import Tensor

from ilsvrc.loading.random_crops import CropPolicy

ALIGNED = ("patch", "padding", "center")  # crops that never leave the central square, whose mean the mean image is


def check(policy: CropPolicy) -> None:
    """Checks that the mean image covers each crop.

    Raises:
        ValueError: it does not.
    """
    if policy.crop not in ALIGNED:
        raise ValueError(
            f"crop: {policy.crop} has no window of the mean image under it, only {', '.join(ALIGNED)} have; set"
            " normalization: mean by training: {...} in params.yaml"
        )


def mean_image_crops(mean_image: Tensor, crop_boxes: Tensor, policy: CropPolicy) -> Tensor:
    """Means to subtract from each crop: float32 `[N, crop_px, crop_px, 3]`, 0 to 255.

    The mean image stands for the central square of a resized image and is scaled to its side by area averages. Around
    it lies `policy.fill`: a pixel padded with it becomes exactly 0. Pixels padded by "reflect" have the means of those
    that they mirror.

    Args:
        mean_image: float32 `[S, S, 3]`.
        crop_boxes: int64 `[N, 5]`, `boxes` of a `Batch`; best on the CPU, where they come from.
        policy: of the crops.

    Raises:
        ValueError: `policy` has crops that leave the central square.
    """
    check(policy)
    crop_boxes = crop_boxes.cpu()
    means = mean_image.new_empty(len(crop_boxes), policy.crop_px, policy.crop_px, 3)
    sides = crop_boxes[:, :2].amin(dim=1)
    for side in torch.unique(sides).tolist():
        chosen = (sides == side).nonzero()[:, 0]
        means[chosen.to(means.device)] = _cut(scaled(mean_image, side), crop_boxes[chosen], policy)
    return means


def scaled(mean_image: Tensor, side_px: int) -> Tensor:
    """`[S, S, 3]` to `[side_px, side_px, 3]` by area averages."""
    if len(mean_image) == side_px:
        return mean_image
    weights = _overlaps(len(mean_image), side_px).to(mean_image.device)
    means = torch.einsum("yr,rcx,sc->ysx", weights, mean_image.double(), weights)
    return means.to(mean_image.dtype)


def _overlaps(before_px: int, after_px: int) -> Tensor:
    """Part of each new pixel that each old one covers, float64 `[after_px, before_px]`; rows sum to 1."""
    edges = torch.arange(after_px + 1, dtype=torch.float64)[:, None] * before_px / after_px
    old = torch.arange(before_px, dtype=torch.float64)
    overlap = torch.minimum(edges[1:], old + 1) - torch.maximum(edges[:-1], old)
    return overlap.clamp(min=0) * after_px / before_px


def _cut(square: Tensor, crop_boxes: Tensor, policy: CropPolicy) -> Tensor:
    """Crops of the means of the central square `[side, side, 3]`."""
    side, device = len(square), square.device
    starts = crop_boxes[:, 2:4] - (crop_boxes[:, :2] - side) // 2
    places = torch.arange(policy.crop_px)
    columns = starts[:, :1] + torch.where(crop_boxes[:, 4:] > 0, places.flip(0), places)
    rows = starts[:, 1:] + places
    if policy.padding == "reflect":
        rows, columns = (_reflected(some, side) for some in (rows, columns))
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None]
    rows, columns = (some.clamp(0, side - 1).to(device) for some in (rows, columns))
    means = square[rows[:, :, None], columns[:, None]]
    if inside.all():
        return means
    return torch.where(inside[..., None].to(device), means, square.new_tensor(policy.fill))


def _reflected(places: Tensor, side_px: int) -> Tensor:
    places = places.abs()
    return torch.minimum(places, 2 * (side_px - 1) - places)
