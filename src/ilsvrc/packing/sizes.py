"""Sizes of resized images."""


def resized(width: int, height: int, short_side_px: int) -> tuple[int, int]:
    """Width and height with the short side at `short_side_px`, the long side rounded down as torchvision does."""
    if width <= height:
        return short_side_px, max(1, short_side_px * height // width)
    return max(1, short_side_px * width // height), short_side_px
