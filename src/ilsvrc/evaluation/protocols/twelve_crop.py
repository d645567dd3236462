"""Twelve crops (Inception): four corners, the centre, the whole picture resized to the crop, and their mirrors.

Szegedy et al. 2015 (Inception-v3), Table 4, and 2016 (Inception-v4), Table 2, say "12 crops" and refer to GoogLeNet's
paper, whose six views of a square they are. We take them from the whole rectangle at one scale, 256/224 of the crop,
as the evaluation script of soeaver/caffe-model does; the whole picture is resized without keeping its shape. Softmax
averaged.
"""

from ilsvrc.loading.views import CORNERS_AND_CENTRE, View, square_px, with_mirrors

revision = 1
AVERAGE = "probabilities"


def views(crop_px: int) -> list[View]:
    """Five windows, the centre `single_crop`'s, and the whole picture; then their mirrors in the same order."""
    short_side_px = square_px(crop_px)
    corners = [View(short_side_px, crop_px, anchor, "rectangle") for anchor in CORNERS_AND_CENTRE[:4]]
    whole = View(short_side_px, crop_px, region="rectangle", squeezed=True)
    return with_mirrors([*corners, View(short_side_px, crop_px), whole])
