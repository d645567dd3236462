"""One centre crop: the short side at 256/224 of the crop, the central window (VGG, ResNet: "1-crop")."""

from ilsvrc.loading.views import View, square_px

revision = 1
AVERAGE = "probabilities"


def views(crop_px: int) -> list[View]:
    """The central `crop_px` square."""
    return [View(square_px(crop_px), crop_px)]
