"""What a test protocol looks at: views of a picture, and where each lies in it. Whole numbers only.

A view is a square window of a resized picture. Its geometry is the papers': resize so that the short side has
`short_side_px`, then take the window by its anchor in the central square (AlexNet) or in the whole rectangle
(ResNet). Offsets are rounded down, so that the centre of the central square is the centre of the rectangle
wherever the two sides differ by an even number, as 256 and 224 do.
"""

from typing import Literal, NamedTuple


class View(NamedTuple):
    """A square window of `crop_px` in the picture resized to `short_side_px`, mirrored or not.

    `anchor` holds two numbers of 0 (left, top), 1 (centre), 2 (right, bottom).
    """

    short_side_px: int
    crop_px: int
    anchor: tuple[int, int] = (1, 1)
    region: Literal["square", "rectangle"] = "square"
    mirrored: bool = False


class Window(NamedTuple):
    """A view's place: the resized picture's size, and the window's upper left corner in it, in pixels."""

    width: int
    height: int
    left: int
    top: int


def square_px(crop_px: int) -> int:
    """The short side that the papers resize to for a crop: 256 for 224, and in that proportion (80: 91)."""
    return round(crop_px * 256 / 224)


def resized(width: int, height: int, short_side_px: int) -> tuple[int, int]:
    """Width and height with the short side at `short_side_px`, the long side rounded down as torchvision does."""
    if width <= height:
        return short_side_px, max(1, short_side_px * height // width)
    return max(1, short_side_px * width // height), short_side_px


def window(view: View, width: int, height: int) -> Window:
    """Where `view` lies in a picture of `width` x `height` pixels."""
    new_width, new_height = resized(width, height, view.short_side_px)
    left, top = (
        _offset(side, view.short_side_px if view.region == "square" else side, view.crop_px, anchor)
        for side, anchor in zip((new_width, new_height), view.anchor, strict=True)
    )
    return Window(new_width, new_height, left, top)


def _offset(side_px: int, region_px: int, crop_px: int, anchor: int) -> int:
    """Start of a window of `crop_px` at `anchor` of the central `region_px` of `side_px`."""
    return (side_px - region_px) // 2 + (region_px - crop_px) * anchor // 2
