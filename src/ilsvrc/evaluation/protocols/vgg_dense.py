"""VGG's dense test at one scale: the fully convolutional network on the whole picture and on its mirror.

Simonyan and Zisserman 2014, section 3.2: the short side at Q, no crop; the class score map is averaged over space, and
the two softmax posteriors over the mirrors. The softmax comes after the map's mean, which the paper leaves open.
Section 4.1: Q = S for networks trained at one size S, and 0.5 (S_min + S_max) for those trained at many.
"""

from ilsvrc.loading.views import View, square_px, with_mirrors

revision = 1
AVERAGE = "probabilities"


def views(crop_px: int, train_short_sides_px: tuple[int, int] | None = None) -> list[View]:
    """The whole image, then its mirror; `train_short_sides_px`: the least and the largest short side in training."""
    low, high = train_short_sides_px or (square_px(crop_px),) * 2
    return with_mirrors([View((low + high) // 2, None, region="rectangle")])
