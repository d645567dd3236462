"""Views of test protocols, and the box of each in an image. Whole numbers only.

A view is made in three steps, the papers': resize the image so that its short side has `short_side_px`; take a
`region` of it, the whole rectangle or a square; take the crop of `crop_px` at `anchor` of the region, or the whole
region as it is (dense), or the whole region resized once more to `crop_px`. Offsets are rounded down, so that the
centre of the central square is the centre of the rectangle wherever short side and crop differ by an even number, as
256 and 224 do.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ilsvrc.config import choices
from ilsvrc.packing.sizes import resized

Region = Literal["square", "rectangle", "first_square", "last_square"]
PAPERS_CROP_PX, PAPERS_SQUARE_PX = 224, 256  # what the papers' sizes go with
CORNERS_AND_CENTRE = ((0, 0), (2, 0), (0, 2), (2, 2), (1, 1))  # left or right, top or bottom; the centre last


class View(NamedTuple):
    """A part of the image resized to `short_side_px`, mirrored or not.

    `crop_px` is the side of the square that is shown; None shows the whole region at its own size. `anchor` places it:
    two numbers of 0 (left, top) to `steps` (right, bottom), evenly apart. `region` is the central square of
    `short_side_px` (AlexNet), the whole rectangle (ResNet), or the square at the image's left or upper end, or at its
    right or lower one (GoogLeNet). `squeezed` resizes the whole region to `crop_px`, whatever the anchor.
    """

    short_side_px: int
    crop_px: int | None
    anchor: tuple[int, int] = (1, 1)
    region: Region = "square"
    mirrored: bool = False
    steps: int = 2
    squeezed: bool = False
    interpolation: choices.Interpolation = "bilinear"


class ViewBox(NamedTuple):
    """Box of a view, in pixels.

    The resized image's size; the upper left corner in it, the size of what is taken there; and the size that this is
    resized to, its own where it is shown as it is.
    """

    width: int
    height: int
    left: int
    top: int
    part_width: int
    part_height: int
    shown_width: int
    shown_height: int


def scaled(crop_px: int, papers_px: int) -> int:
    """A size that a paper gives for crops of 224, in proportion for `crop_px`."""
    return round(crop_px * papers_px / PAPERS_CROP_PX)


def square_px(crop_px: int) -> int:
    """The short side that the papers resize to for a crop: 256 for 224, and in that proportion (80: 91)."""
    return scaled(crop_px, PAPERS_SQUARE_PX)


def with_mirrors(views: Sequence[View]) -> list[View]:
    """`views`, then their mirrors in the same order."""
    return [view._replace(mirrored=mirrored) for mirrored in (False, True) for view in views]


def view_box(view: View, width: int, height: int) -> ViewBox:
    """The box of `view` in an image of `width` x `height` pixels."""
    size = resized(width, height, view.short_side_px)
    regions = [_region(side, view) for side in size]
    if view.crop_px is None or view.squeezed:
        (left, top), part = (start for start, _ in regions), [px for _, px in regions]
        shown = part if view.crop_px is None else [view.crop_px] * 2
        return ViewBox(*size, left, top, part[0], part[1], shown[0], shown[1])
    left, top = (
        start + (px - view.crop_px) * anchor // view.steps
        for (start, px), anchor in zip(regions, view.anchor, strict=True)
    )
    return ViewBox(*size, left, top, *[view.crop_px] * 4)


def _region(side_px: int, view: View) -> tuple[int, int]:
    """Start and length of the view's region along a side of the resized image."""
    if view.region == "rectangle":
        return 0, side_px
    spare = side_px - view.short_side_px
    return {"first_square": 0, "square": spare // 2, "last_square": spare}[view.region], view.short_side_px
