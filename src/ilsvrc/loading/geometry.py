"""Which part of each image a batch shows: the geometry that every loader shares. Numpy only.

A loader takes `box` out of the stored image, resizes it to `width` x `height` (Pillow's antialiased bilinear),
takes the window of `crop_px` at `left`, `top` and mirrors it where `mirrored` is 1.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from ilsvrc import views
from ilsvrc.loading import keyed

Crop = Literal["patch", "area_aspect", "center"]
AREA, ASPECT, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10  # Szegedy et al. 2015; torchvision's RandomResizedCrop
FLIP, LEFT, TOP, AREA_DRAW, ASPECT_DRAW = 0, 1, 2, 10, 30  # draws of an image


class Regions(NamedTuple):
    """What to show of N images, V windows each; all int64, in pixels."""

    boxes: np.ndarray  # [N, 4]: left, top, width, height in the stored image
    windows: np.ndarray  # [N, V, 5]: width, height (of the resized box), left, top (in it), mirrored


def training(
    crop: Crop, crop_px: int, flip: bool, seed: int, epoch: int, indices: np.ndarray, widths: np.ndarray,
    heights: np.ndarray,
) -> Regions:  # fmt: skip
    """One random window an image (V = 1), a function of (seed, epoch, image).

    `patch`: short side to `views.square_px(crop_px)`, a window anywhere in the central square (Krizhevsky et al.
    2012). `area_aspect`: 8 to 100 % of the area, aspect 3/4 to 4/3, scaled to the crop (Szegedy et al. 2015).
    `center`: the central window of the test.
    """
    if crop == "area_aspect":
        boxes = _area_aspect(seed, epoch, indices, widths, heights)
        sizes = np.full((len(indices), 2), crop_px)
        corners = np.zeros((len(indices), 2), np.int64)
    else:
        boxes, sizes = _whole(widths, heights), _resized(widths, heights, views.square_px(crop_px))
        corners = _corners(crop, crop_px, seed, epoch, indices, sizes)
    mirrored = keyed.uniform(seed, epoch, indices, FLIP) < (0.5 if flip else 0.0)
    windows = np.column_stack((sizes, corners, mirrored)).astype(np.int64)
    return Regions(boxes.astype(np.int64), windows[:, None])


def testing(shown: Sequence[views.View], widths: np.ndarray, heights: np.ndarray) -> Regions:
    """The views' windows in each image."""
    rows = [_windows(tuple(shown), int(w), int(h)) for w, h in zip(widths, heights, strict=True)]
    return Regions(_whole(widths, heights).astype(np.int64), np.array(rows, np.int64))


@lru_cache(maxsize=4096)
def _windows(shown: tuple[views.View, ...], width: int, height: int) -> tuple[tuple[int, ...], ...]:
    return tuple((*views.window(view, width, height), int(view.mirrored)) for view in shown)


def _whole(widths: np.ndarray, heights: np.ndarray) -> np.ndarray:
    zeros = np.zeros_like(widths)
    return np.column_stack((zeros, zeros, widths, heights))


def _resized(widths: np.ndarray, heights: np.ndarray, short_side_px: int) -> np.ndarray:
    """`views.resized` of every image, `[N, 2]`."""
    short = np.minimum(widths, heights)
    return np.column_stack((short_side_px * widths // short, short_side_px * heights // short))


def _corners(crop: Crop, crop_px: int, seed: int, epoch: int, indices: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Left and top `[N, 2]` of a window in the central square, at random or in its middle."""
    square_px = views.square_px(crop_px)
    room = square_px - crop_px
    start = (sizes - square_px) // 2
    if crop == "center":
        return start + room // 2
    limits = np.full(len(indices), room + 1)
    return start + np.column_stack([keyed.below(seed, epoch, indices, draw, limits) for draw in (LEFT, TOP)])


def _area_aspect(seed: int, epoch: int, indices: np.ndarray, widths: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Boxes `[N, 4]` as torchvision's RandomResizedCrop draws them: ten tries, then the centre."""
    width, height = _central_boxes(widths, heights)
    left, top = (widths - width) // 2, (heights - height) // 2
    waiting = np.arange(len(indices))
    for attempt in range(TRIES):
        w, h = _sides(seed, epoch, indices[waiting], widths[waiting] * heights[waiting], attempt)
        fits = (w > 0) & (w <= widths[waiting]) & (h > 0) & (h <= heights[waiting])
        found, waiting = waiting[fits], waiting[~fits]
        width[found], height[found] = w[fits], h[fits]
        left[found] = keyed.below(seed, epoch, indices[found], LEFT, widths[found] - w[fits] + 1)
        top[found] = keyed.below(seed, epoch, indices[found], TOP, heights[found] - h[fits] + 1)
    return np.column_stack((left, top, width, height))


def _sides(
    seed: int, epoch: int, indices: np.ndarray, areas: np.ndarray, attempt: int
) -> tuple[np.ndarray, np.ndarray]:
    area = areas * (AREA[0] + (AREA[1] - AREA[0]) * keyed.uniform(seed, epoch, indices, AREA_DRAW + attempt))
    low, high = np.log(ASPECT[0]), np.log(ASPECT[1])
    aspect = np.exp(low + (high - low) * keyed.uniform(seed, epoch, indices, ASPECT_DRAW + attempt))
    return np.rint(np.sqrt(area * aspect)).astype(np.int64), np.rint(np.sqrt(area / aspect)).astype(np.int64)


def _central_boxes(widths: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Width and height of the largest central boxes whose aspect is allowed."""
    tall, wide = widths / heights < ASPECT[0], widths / heights > ASPECT[1]
    width = np.where(wide, np.rint(heights * ASPECT[1]), widths).astype(np.int64)
    height = np.where(tall, np.rint(widths / ASPECT[0]), heights).astype(np.int64)
    return width, height
