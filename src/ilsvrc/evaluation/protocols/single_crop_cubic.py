"""One centre crop of a picture resized by Pillow's bicubic filter: fb.resnet.torch, LeViT, most of timm's weights."""

from ilsvrc.loading.views import View, square_px

revision = 1
AVERAGE = "probabilities"


def views(crop_px: int) -> list[View]:
    """The central `crop_px` square."""
    return [View(square_px(crop_px), crop_px, interpolation="cubic")]
