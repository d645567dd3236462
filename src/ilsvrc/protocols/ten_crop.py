"""Ten crops of the central square: four corners, the centre, and their mirrors.

Krizhevsky et al. 2012, section 4.1: "the four corner patches and the center patch as well as their
horizontal reflections", the softmax averaged over the ten. The square is the picture's central 256 x 256
(section 2) for a crop of 224, and in that proportion for others.
"""

from ilsvrc.views import View, square_px

revision = 1
AVERAGE = "probabilities"

ANCHORS = ((0, 0), (2, 0), (0, 2), (2, 2), (1, 1))  # left or right, top or bottom; the centre last


def views(crop_px: int) -> list[View]:
    """Five windows of `crop_px`, then their mirrors in the same order."""
    return [
        View(square_px(crop_px), crop_px, anchor, mirrored=mirrored) for mirrored in (False, True) for anchor in ANCHORS
    ]
