"""One centre crop of 320 for networks trained at 224, "320x320": ResNet's successors (He et al. 2016, Table 5).

The network is unchanged: its last pooling covers the larger map. The short side is at 320 too, and for other crops
all is in that proportion.
"""

from ilsvrc.loading.views import View, scaled

revision = 1
AVERAGE = "probabilities"


def views(crop_px: int) -> list[View]:
    """The central square of 320/224 of `crop_px`."""
    side_px = scaled(crop_px, 320)
    return [View(side_px, side_px)]
