"""Ten crops of the central square: four corners, the centre, and their mirrors.

Krizhevsky et al. 2012, section 4.1: "the four corner patches and the center patch as well as their
horizontal reflections", the softmax averaged over the ten. The square is the picture's central 256 x 256
(section 2) for a crop of 224, and in that proportion for others.
"""

from ilsvrc.loading.views import CORNERS_AND_CENTRE, View, square_px, with_mirrors

revision = 1
AVERAGE = "probabilities"


def views(crop_px: int) -> list[View]:
    """Five windows of `crop_px`, then their mirrors in the same order."""
    return with_mirrors([View(square_px(crop_px), crop_px, anchor) for anchor in CORNERS_AND_CENTRE])
