"""Occlusion maps, the class's probability with a part of the image covered: Zeiler and Fergus 2013, Figure 7 (d).

The paper does not say how large its grey square is, nor how far it moves: here a quarter of the image's side, in 13
places along each. A place is the square's centre, so that at the border a part of the square lies outside.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

GREY = 128
PLACES = 13  # along a side
COVERED = 4  # the square's side is one in so many of the image's
BATCH = 32


@torch.inference_mode()
def occlusion(probabilities: Callable[[Tensor], Tensor], image: Tensor, label: int) -> np.ndarray:
    """Probability of the class `label` with the grey square at each place, float32 `[PLACES, PLACES]`.

    Args:
        probabilities: images uint8 `[N, S, S, 3]` to `[N, K]`.
        image: uint8 `[S, S, 3]`.
        label: index of the image's class.
    """
    windows = [_window(place, image.shape[0]) for place in range(PLACES)]
    covered = image.repeat(PLACES * PLACES, 1, 1, 1)
    for place, one in enumerate(covered):
        one[windows[place // PLACES], windows[place % PLACES]] = GREY
    found = torch.cat([probabilities(some)[:, label].float().cpu() for some in torch.split(covered, BATCH)])
    return found.view(PLACES, PLACES).numpy()


def _window(place: int, side_px: int) -> slice:
    """Pixels that the square covers along a side of `side_px`."""
    square_px = max(1, side_px // COVERED)
    start = round((place + 0.5) * side_px / PLACES - square_px / 2)
    return slice(max(0, start), min(side_px, start + square_px))
