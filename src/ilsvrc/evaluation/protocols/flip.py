"""The centre crop and its mirror: what "flip" says of a test where a paper says no more."""

from ilsvrc.loading.views import View, square_px, with_mirrors

revision = 1
AVERAGE = "probabilities"


def views(crop_px: int) -> list[View]:
    """The central `crop_px` square, then its mirror."""
    return with_mirrors([View(square_px(crop_px), crop_px)])
