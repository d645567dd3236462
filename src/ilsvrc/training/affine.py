"""Affine maps of whole batches with Pillow's bicubic interpolation."""

import math

import torch
from torch import Tensor

ALONG, ALL = (0,), (-1, 0, 1, 2)  # neighbours of an interpolation, from the pixel before


def shear_x(images: Tensor, amounts: Tensor, fill: Tensor) -> Tensor:
    """Shears horizontally: row y moves left by `amounts` * y.

    Args:
        images: uint8 `[N, H, W, 3]`, as in all that follow.
        amounts: float `[N, 1, 1, 1]`.
        fill: uint8 `[3]`, outside of the image.
    """
    x, y = _grid(images)
    moved = x + amounts[..., 0] * y
    return sample(images, moved, y.expand_as(moved), ALL, ALONG, fill)


def shear_y(images: Tensor, amounts: Tensor, fill: Tensor) -> Tensor:
    """Shears vertically: column x moves up by `amounts` * x."""
    x, y = _grid(images)
    moved = y + amounts[..., 0] * x
    return sample(images, x.expand_as(moved), moved, ALONG, ALL, fill)


def translate_x(images: Tensor, amounts: Tensor, fill: Tensor) -> Tensor:
    """Translates to the left by `amounts` of the width."""
    x, y = _grid(images)
    moved = x + amounts[..., 0] * images.shape[2] + 0 * y
    return sample(images, moved, y.expand_as(moved), ALL, ALONG, fill)


def translate_y(images: Tensor, amounts: Tensor, fill: Tensor) -> Tensor:
    """Translates upwards by `amounts` of the height."""
    x, y = _grid(images)
    moved = y + amounts[..., 0] * images.shape[1] + 0 * x
    return sample(images, x.expand_as(moved), moved, ALONG, ALL, fill)


def rotate(images: Tensor, degrees: Tensor, fill: Tensor) -> Tensor:
    """Rotates about the centre, counter-clockwise."""
    x, y = _grid(images)
    middle_y, middle_x = images.shape[1] / 2, images.shape[2] / 2
    angle = degrees[..., 0] * (-math.pi / 180)
    cosine, sine = angle.cos(), angle.sin()
    dx, dy = x - middle_x, y - middle_y
    return sample(images, cosine * dx + sine * dy + middle_x, cosine * dy - sine * dx + middle_y, ALL, ALL, fill)


def sample(
    images: Tensor, x: Tensor, y: Tensor, columns: tuple[int, ...], rows: tuple[int, ...], fill: Tensor
) -> Tensor:
    """Samples images at places between their pixels, as Pillow's `Image.transform` with BICUBIC.

    Keys' cubic with a = -1, the border repeated, the value cut and rounded down; `fill` where the place is outside.

    Args:
        images: uint8 `[N, H, W, 3]`.
        x: places `[N, H, W]`; pixel (0, 0) has its middle at 0.5.
        y: as x.
        columns: which neighbours in x count, `ALL`, or `ALONG` where x is always a pixel's middle.
        rows: as columns, in y.
        fill: uint8 `[3]`.
    """
    count, height, width, _ = images.shape
    pixels = images.reshape(-1, 3).float()
    (x0, dx), (y0, dy) = _split(x), _split(y)
    first = torch.arange(count, device=images.device).view(-1, 1, 1) * (height * width)
    lines = []
    for row in rows:
        start = first + (y0 + row).clamp(0, height - 1) * width
        lines.append(_between([pixels[start + (x0 + column).clamp(0, width - 1)] for column in columns], dx))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return torch.where(inside[..., None], _between(lines, dy).clamp_(0, 255).to(torch.uint8), fill)


def _grid(images: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels' middles: `[1, 1, W]` and `[1, H, 1]`."""
    height, width = images.shape[1:3]
    x = torch.arange(width, device=images.device, dtype=torch.float32) + 0.5
    y = torch.arange(height, device=images.device, dtype=torch.float32) + 0.5
    return x.view(1, 1, -1), y.view(1, -1, 1)


def _split(places: Tensor) -> tuple[Tensor, Tensor]:
    """The pixel before, int64, and how far beyond its middle."""
    shifted = places - 0.5
    before = shifted.floor()
    return before.long(), shifted - before


def _between(values: list[Tensor], d: Tensor) -> Tensor:
    """The cubic through four neighbours `[N, H, W, 3]` at `d` `[N, H, W]` beyond the second; of one, itself.

    Written from the second on, as Pillow does: where all four are equal, so is what is between, rounding or not.
    """
    if len(values) == 1:
        return values[0]
    a, b, c, e = values
    d = d[..., None]
    cubic = (b - a + e - c).mul_(d).add_(2 * (a - b) + c - e)
    return cubic.mul_(d).add_(c - a).mul_(d).add_(b)
