"""Saliency maps, the gradient of a score by each pixel: Simonyan, Vedaldi and Zisserman 2013, section 3.1."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

BRIGHTEST = 0.995  # quantile of a map that is shown white: single pixels would leave all others black


def saliency(scores: Callable[[Tensor], Tensor], image: Tensor, label: int) -> np.ndarray:
    """Size of the gradient of the score of class `label` with respect to each pixel, the channels' largest.

    Args:
        scores: images, floats `[N, H, W, 3]` from 0 to 255, to logits `[N, K]`.
        image: uint8 `[H, W, 3]`.
        label: index of the image's class.

    Returns:
        Float32 `[H, W]`.
    """
    pixels = image[None].float().requires_grad_()
    (gradient,) = torch.autograd.grad(scores(pixels)[0, label], pixels)
    found: np.ndarray = gradient[0].abs().amax(dim=-1).cpu().numpy()
    return found


def shown(found: np.ndarray) -> np.ndarray:
    """A map of saliency as uint8 `[H, W]`: black is 0, white its 99.5 % quantile and above."""
    brightest = np.quantile(found, BRIGHTEST) or found.max() or 1.0
    return (255 * np.minimum(found / brightest, 1)).round().astype(np.uint8)
