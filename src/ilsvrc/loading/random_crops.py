"""Random crops of training images: the geometry that every loader shares. Numpy only.

A loader takes `box` out of the stored image, resizes it to `width` x `height` (as Pillow's filter does), takes the
crop of `crop_px` at `left`, `top` and mirrors it where `mirrored` is 1. A crop may leave the resized image where the
policy has padding.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from ilsvrc.config import choices
from ilsvrc.loading import views
from ilsvrc.runtime import counter_rng

AREA, ASPECT, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10  # Szegedy et al. 2015; torchvision's RandomResizedCrop
FLIP, LEFT, TOP, FILTER, SHORT_SIDE, AREA_DRAW, ASPECT_DRAW, SWAP_DRAW = 0, 1, 2, 3, 4, 10, 30, 50  # of an image
BILINEAR, BOX, NEAREST, CUBIC = range(4)  # filters
Padding = tuple[np.ndarray, bool]  # uint8 [3], or the image mirrored
NO_PADDING: Padding = (np.zeros(3, np.uint8), False)


@dataclass(frozen=True)
class CropPolicy:
    """Crops, padding and mirroring of training images, in a recipe's words.

    `crop` is one of

    - "patch": the short side at a size drawn evenly from the whole numbers of `short_side_px`, a crop anywhere in the
      central square (Krizhevsky et al. 2012).
    - "rectangle": the same, a crop anywhere in the whole image (Simonyan and Zisserman 2014; He et al. 2015).
    - "area_aspect": a box of a fraction `area` of the image's area and an `aspect` (width to height), scaled to the
      crop (Szegedy et al. 2015). The paper draws the aspect evenly ("uniform"), torchvision its logarithm.
      With `swap_aspect`, width and height change places in half of the draws (fb.resnet.torch, after an even draw,
      which alone favours wide boxes).
    - "padding": the central square at `crop_px` (a stored square of this size as it is) with `padding_px` more on each
      side, a crop anywhere (He et al. 2015, section 4.2).
    - "center": the same size as for "patch", the central crop.

    Padding is `fill` ("zero"), or the image mirrored at its outermost pixels, which are not repeated ("reflect":
    numpy's and torch's mode of this name). `fill` is the training set's mean in whole numbers, red, green, blue, so
    that a padded pixel is 0 after normalisation but for the rounding: half of one of 256 steps at most, 0.01
    deviations.

    Without `short_side_px`, the short side is `views.square_px(crop_px)`. `interpolation` "random" draws one of
    bilinear, area averages (Pillow's BOX), nearest and cubic for each image (Howard 2013; Szegedy et al. 2015).

    Raises:
        ValueError: the sizes, areas or aspects are impossible.
    """

    crop: choices.Crop
    crop_px: int
    flip: bool = True
    short_side_px: tuple[int, int] | None = None
    area: tuple[float, float] = AREA
    aspect: tuple[float, float] = ASPECT
    aspect_draw: choices.AspectDraw = "log_uniform"
    swap_aspect: bool = False
    padding_px: int = 4
    padding: choices.Padding = "zero"
    interpolation: Literal[choices.Interpolation, "random"] = "bilinear"
    fill: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise ValueError(f"crop = {self.crop!r}; it can be {', '.join(CROPS)} (training: in params.yaml)")
        low, high = self.short_side_range
        if not self.crop_px <= low <= high:
            raise ValueError(
                f"short_side_px = [{low}, {high}] must rise, from crop_px = {self.crop_px} or more (training: in"
                " params.yaml)"
            )
        for name, (least, most), limit in (("area", self.area, 1.0), ("aspect", self.aspect, np.inf)):
            if not 0 < least <= most <= limit:
                raise ValueError(f"{name} = [{least}, {most}] must rise, from above 0 to {limit:g} at most")
        if self.crop == "padding" and self.padding_px >= self.crop_px:
            raise ValueError(f"padding_px = {self.padding_px} wants a crop_px above it, not {self.crop_px}")

    @property
    def short_side_range(self) -> tuple[int, int]:
        """The smallest and the largest short side of a resized image."""
        square_px = views.square_px(self.crop_px)
        return self.short_side_px or (square_px, square_px)

    def at(self, crop_px: int) -> "CropPolicy":
        """The same in crops of another side: sizes before the crop and padding go in proportion."""
        if crop_px == self.crop_px:
            return self
        scale = crop_px / self.crop_px
        low, high = (max(crop_px, round(side * scale)) for side in self.short_side_range)
        short_side_px = self.short_side_px and (low, high)
        return replace(
            self, crop_px=crop_px, short_side_px=short_side_px, padding_px=max(1, round(self.padding_px * scale))
        )

    @property
    def outside(self) -> Padding:
        """Padding around the image."""
        return np.array(self.fill, np.uint8), self.padding == "reflect"


class CropBoxes(NamedTuple):
    """Crops of N images, V of each; all int64, in pixels."""

    source_boxes: np.ndarray  # [N, 4]: left, top, width, height in the stored image
    crop_boxes: np.ndarray  # [N, V, 5]: width, height (of the resized box), left, top (in it), mirrored
    filters: np.ndarray  # [N]: BILINEAR, BOX, NEAREST or CUBIC


At = tuple[int, int, np.ndarray]  # seed, epoch, and sample keys
Placement = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes [N, 4], sizes [N, 2], corners [N, 2]


def draw(
    policy: CropPolicy, seed: int, epoch: int, sample_keys: np.ndarray, widths: np.ndarray, heights: np.ndarray
) -> CropBoxes:
    """One random crop an image (V = 1), a function of (seed, epoch, image, repeat).

    Args:
        policy: of the crops.
        seed: of the training.
        epoch: counted from 0.
        sample_keys: `counter_rng.pack_keys` of images and repeats `[N]`; an image's number is its first repeat's key.
        widths: of the stored images `[N]`.
        heights: theirs.
    """
    at = (seed, epoch, sample_keys)
    boxes, sizes, corners = CROPS[policy.crop](policy, at, widths, heights)
    mirrored = counter_rng.uniform(*at, FLIP) < (0.5 if policy.flip else 0.0)
    crop_boxes = np.column_stack((sizes, corners, mirrored)).astype(np.int64)
    return CropBoxes(boxes.astype(np.int64), crop_boxes[:, None], _filters(policy, at))


def _filters(policy: CropPolicy, at: At) -> np.ndarray:
    if policy.interpolation == "cubic":
        return np.full(len(at[2]), CUBIC)
    kinds = np.full(len(at[2]), 4 if policy.interpolation == "random" else 1)
    return counter_rng.below(*at, FILTER, kinds)


def _whole(widths: np.ndarray, heights: np.ndarray) -> np.ndarray:
    zeros = np.zeros_like(widths)
    return np.column_stack((zeros, zeros, widths, heights))


def _patch(policy: CropPolicy, at: At, widths: np.ndarray, heights: np.ndarray) -> Placement:
    short, sizes = _resized(policy, at, widths, heights)
    return _whole(widths, heights), sizes, (sizes - short) // 2 + _anywhere(at, short - policy.crop_px)


def _rectangle(policy: CropPolicy, at: At, widths: np.ndarray, heights: np.ndarray) -> Placement:
    _, sizes = _resized(policy, at, widths, heights)
    return _whole(widths, heights), sizes, _anywhere(at, sizes - policy.crop_px)


def _center(policy: CropPolicy, at: At, widths: np.ndarray, heights: np.ndarray) -> Placement:
    short, sizes = _resized(policy, at, widths, heights)
    return _whole(widths, heights), sizes, (sizes - short) // 2 + (short - policy.crop_px) // 2


def _padding(policy: CropPolicy, at: At, widths: np.ndarray, heights: np.ndarray) -> Placement:
    sides = np.minimum(widths, heights)
    boxes = np.column_stack(((widths - sides) // 2, (heights - sides) // 2, sides, sides))
    room = np.full((len(sides), 2), 2 * policy.padding_px)
    return boxes, np.full_like(room, policy.crop_px), _anywhere(at, room) - policy.padding_px


def _area_aspect(policy: CropPolicy, at: At, widths: np.ndarray, heights: np.ndarray) -> Placement:
    """Boxes as torchvision's RandomResizedCrop draws them: ten tries, then the centre."""
    seed, epoch, sample_keys = at
    boxes = _central_boxes(policy.aspect, widths, heights)
    waiting = np.arange(len(sample_keys))
    for attempt in range(TRIES):
        trying = (seed, epoch, sample_keys[waiting])
        sides = _sides(policy, trying, widths[waiting] * heights[waiting], attempt)
        stored = np.column_stack((widths[waiting], heights[waiting]))
        fits = ((sides > 0) & (sides <= stored)).all(axis=1)
        found = (seed, epoch, sample_keys[waiting[fits]])
        boxes[waiting[fits]] = np.column_stack((_anywhere(found, (stored - sides)[fits]), sides[fits]))
        waiting = waiting[~fits]
        if not len(waiting):
            break
    sizes = np.full((len(sample_keys), 2), policy.crop_px)
    return boxes, sizes, np.zeros_like(sizes)


CROPS: dict[str, Callable[[CropPolicy, At, np.ndarray, np.ndarray], Placement]] = {
    "patch": _patch,
    "rectangle": _rectangle,
    "area_aspect": _area_aspect,
    "padding": _padding,
    "center": _center,
}


def _resized(policy: CropPolicy, at: At, widths: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Short sides `[N, 1]` and `views.resized` of every image `[N, 2]`."""
    low, high = policy.short_side_range
    short = low + counter_rng.below(*at, SHORT_SIDE, np.full(len(widths), high - low + 1))[:, None]
    stored = np.column_stack((widths, heights))
    return short, short * stored // stored.min(axis=1, keepdims=True)


def _anywhere(at: At, room: np.ndarray) -> np.ndarray:
    """Left and top `[N, 2]` from 0 to `room` `[N, 1]` or `[N, 2]`."""
    return np.column_stack([counter_rng.below(*at, draw, room[:, side] + 1) for draw, side in ((LEFT, 0), (TOP, -1))])


def _sides(policy: CropPolicy, at: At, areas: np.ndarray, attempt: int) -> np.ndarray:
    """Widths and heights `[N, 2]` of a try."""
    low, high = policy.area
    area = areas * (low + (high - low) * counter_rng.uniform(*at, AREA_DRAW + attempt))
    aspect = _ASPECTS[policy.aspect_draw](policy.aspect, counter_rng.uniform(*at, ASPECT_DRAW + attempt))
    if policy.swap_aspect:
        aspect = np.where(counter_rng.uniform(*at, SWAP_DRAW + attempt) < 0.5, 1 / aspect, aspect)
    sides: np.ndarray = np.rint(np.sqrt(np.column_stack((area * aspect, area / aspect)))).astype(np.int64)
    return sides


def _log_uniform(limits: tuple[float, float], drawn: np.ndarray) -> np.ndarray:
    low, high = np.log(limits[0]), np.log(limits[1])
    aspects: np.ndarray = np.exp(low + (high - low) * drawn)
    return aspects


def _uniform(limits: tuple[float, float], drawn: np.ndarray) -> np.ndarray:
    aspects: np.ndarray = limits[0] + (limits[1] - limits[0]) * drawn
    return aspects


_ASPECTS = {"log_uniform": _log_uniform, "uniform": _uniform}


def _central_boxes(aspect: tuple[float, float], widths: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """The largest central boxes `[N, 4]` whose aspect is allowed."""
    tall, wide = widths / heights < aspect[0], widths / heights > aspect[1]
    width = np.where(wide, np.rint(heights * aspect[1]), widths).astype(np.int64)
    height = np.where(tall, np.rint(widths / aspect[0]), heights).astype(np.int64)
    return np.column_stack(((widths - width) // 2, (heights - height) // 2, width, height))
