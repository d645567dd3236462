"""Ten crops of the whole rectangle: its four corners, the centre, and their mirrors (ResNet, DenseNet).

He et al. 2015, section 3.4, adopt "the standard 10-crop testing [21]", and the released code takes the corners of the
whole resized picture, where AlexNet's (`ten_crop`) come from its central square: two sets of crops wherever a picture
is no square. Softmax averaged.
"""

from ilsvrc.loading.views import CORNERS_AND_CENTRE, View, square_px, with_mirrors

revision = 1
AVERAGE = "probabilities"


def views(crop_px: int) -> list[View]:
    """Five windows of `crop_px`, the centre `single_crop`'s, then their mirrors in the same order."""
    short_side_px = square_px(crop_px)
    corners = [View(short_side_px, crop_px, anchor, "rectangle") for anchor in CORNERS_AND_CENTRE[:4]]
    return with_mirrors([*corners, View(short_side_px, crop_px)])
