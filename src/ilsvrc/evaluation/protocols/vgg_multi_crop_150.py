"""VGG's multi-crop test at three scales: 50 crops of each (`vgg_multi_crop`), 150 in all.

Simonyan and Zisserman 2014, section 3.2, "a reasonable number compared to 144 crops over 4 scales". The scales are
those of the dense test at three. Softmax averaged.
"""

from ilsvrc.evaluation.protocols import vgg_dense_multi_scale, vgg_multi_crop
from ilsvrc.loading.views import View, with_mirrors

revision = 1
AVERAGE = "probabilities"


def views(crop_px: int, train_short_sides_px: tuple[int, int] | None = None) -> list[View]:
    """75 windows, scale by scale, then their mirrors; `train_short_sides_px` as for `vgg_dense`."""
    scales = vgg_dense_multi_scale.scales(crop_px, train_short_sides_px)
    return with_mirrors([view for side_px in scales for view in vgg_multi_crop.grid(side_px, crop_px)])
