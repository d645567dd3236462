"""VGG's dense test at three scales: the softmax posteriors of six passes averaged.

Simonyan and Zisserman 2014, section 4.2: Q is S - 32, S and S + 32 for networks trained at one size S (32 for crops of
224), and S_min, 0.5 (S_min + S_max) and S_max for those trained at many.
"""

from ilsvrc.loading.views import View, scaled, square_px, with_mirrors

revision = 1
AVERAGE = "probabilities"

STEP_PX = 32  # for crops of 224


def views(crop_px: int, train_short_sides_px: tuple[int, int] | None = None) -> list[View]:
    """The whole picture at three sizes, then their mirrors; `train_short_sides_px` as for `vgg_dense`."""
    return with_mirrors([View(side_px, None, region="rectangle") for side_px in scales(crop_px, train_short_sides_px)])


def scales(crop_px: int, train_short_sides_px: tuple[int, int] | None) -> list[int]:
    """The three short sides, none below the crop."""
    low, high = train_short_sides_px or (square_px(crop_px),) * 2
    if low == high:
        low, high = max(crop_px, low - scaled(crop_px, STEP_PX)), high + scaled(crop_px, STEP_PX)
        return [low, high - scaled(crop_px, STEP_PX), high]
    return [low, (low + high) // 2, high]
