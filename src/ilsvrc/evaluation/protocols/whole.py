"""The whole picture, its short side at the crop: the test of CIFAR and SVHN, whose pictures are the network's input."""

from ilsvrc.loading.views import View

revision = 1
AVERAGE = "probabilities"


def views(crop_px: int) -> list[View]:
    """One view; of a picture that is no square, its central one."""
    return [View(crop_px, crop_px)]
