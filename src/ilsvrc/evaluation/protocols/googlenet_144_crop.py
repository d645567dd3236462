"""GoogLeNet's 144 crops: 4 scales x 3 squares x 6 views x 2 mirrors.

Szegedy et al. 2014, section 7: the shorter side at 256, 288, 320 and 352; of each the left, centre and right square
(of portraits top, centre, bottom); of each square the four corners and the centre 224 x 224, and the square resized to
224 x 224; and their mirrors. The softmax is averaged over all. The ten crops of AlexNet are among them.
"""

from ilsvrc.loading.views import CORNERS_AND_CENTRE, Region, View, scaled, with_mirrors

revision = 1
AVERAGE = "probabilities"

SCALES_PX = (256, 288, 320, 352)  # for crops of 224
SQUARES: tuple[Region, ...] = ("first_square", "square", "last_square")


def views(crop_px: int) -> list[View]:
    """72 windows, scale by scale and square by square, then their mirrors in the same order."""
    return with_mirrors(
        [
            view
            for scale_px in SCALES_PX
            for square in SQUARES
            for view in _six(View(scaled(crop_px, scale_px), crop_px, region=square))
        ]
    )


def _six(centre: View) -> list[View]:
    """Four corners and the centre of a square, and the square as a whole."""
    return [*(centre._replace(anchor=anchor) for anchor in CORNERS_AND_CENTRE), centre._replace(squeezed=True)]
