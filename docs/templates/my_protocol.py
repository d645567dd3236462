"""The central square and the four corners. Template of a test protocol: src/ilsvrc/evaluation/protocols/my_protocol.py.

The name of the file is the protocol's. Imports stay light: a dry run reads them.
"""

from ilsvrc.loading.views import CORNERS_AND_CENTRE, View, square_px

revision = 1  # a new number has the kept predictions made again
AVERAGE = "probabilities"  # of a test image's views; or "logits"


def views(crop_px: int) -> list[View]:
    """Five squares of `crop_px`, of the short side that is 256/224 of it.

    A second parameter, `train_short_sides_px`, would get the least and the largest short side of the training, or None.
    """
    return [View(square_px(crop_px), crop_px, anchor) for anchor in CORNERS_AND_CENTRE]
