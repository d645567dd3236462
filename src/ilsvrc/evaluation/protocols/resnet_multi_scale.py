"""ResNet's multi-scale test: the fully convolutional network on whole pictures of five sizes.

He et al. 2015, section 3.4: "the fully-convolutional form as in [41, 13], and average the scores at multiple scales
(images are resized such that the shorter side is in {224, 256, 384, 480, 640})". Whether pictures are mirrored too is
not said: we mirror, and average softmax scores, as [41] does (VGG's dense test).
"""

from ilsvrc.loading.views import View, scaled, with_mirrors

revision = 1
AVERAGE = "probabilities"

SHORT_SIDES_PX = (224, 256, 384, 480, 640)  # for crops of 224


def views(crop_px: int) -> list[View]:
    """The whole picture at five sizes, then their mirrors."""
    return with_mirrors([View(scaled(crop_px, px), None, region="rectangle") for px in SHORT_SIDES_PX])
