"""Colour jitter: brightness, contrast, saturation and hue, and light along the principal components.

Values are float32 from 0 to 255 and stay so: nothing is rounded.
"""

from collections.abc import Callable, Sequence
from typing import assert_never

import numpy as np
import torch
from torch import Tensor

from ilsvrc.config import choices
from ilsvrc.training.augmentation_rng import Draw, Draws, on

RED, GREEN, BLUE = 0.299, 0.587, 0.114  # parts of grey: ITU-R BT.601
WHITE = 255.0

Operation = Callable[[Tensor, Tensor], Tensor]


class ColourJitter:
    """Multiplies brightness, contrast and saturation by U[1 - x, 1 + x], turns the hue by U[-x, x]; order drawn.

    As fb.resnet.torch and torchvision, whose `ColorJitter` it is where values are cut to 0 to 255 after each
    operation; the factors and the order are drawn for each image. A strength of 0 leaves its operation out.
    """

    def __init__(
        self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0
    ) -> None:
        all_of_them: list[tuple[float, float, Draw, Operation]] = [
            (brightness, 1.0, Draw.BRIGHTNESS, brighten),
            (contrast, 1.0, Draw.CONTRAST, change_contrast),
            (saturation, 1.0, Draw.SATURATION, saturate),
            (hue, 0.0, Draw.HUE, turn_hue),
        ]
        self.chosen = [each for each in all_of_them if each[0] > 0]

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Float32 `[N, H, W, 3]` from 0 to 255 to the same."""
        order = draws.order(Draw.JITTER_ORDER, len(self.chosen))
        for place in range(len(self.chosen)):
            for number, (strength, middle, draw, operation) in enumerate(self.chosen):
                amounts = draws.uniform(draw, middle - strength, middle + strength)
                images = where(order[:, place] == number, operation, images, amounts)
        return images


def where(chosen: np.ndarray, operation: Operation, images: Tensor, amounts: np.ndarray) -> Tensor:
    """`images` with `operation(images, amounts)` in the places of those `chosen`, bool `[N]`; may write into them."""
    places = np.flatnonzero(chosen)
    if len(places) == 0:
        return images
    if len(places) == len(images):
        return operation(images, on(images.device, amounts))
    at = torch.from_numpy(places).to(images.device)
    return images.index_copy_(0, at, operation(images[at], on(images.device, amounts[places])))


def brighten(images: Tensor, factors: Tensor) -> Tensor:
    """Scales values away from black: `[N, H, W, 3]` times `[N, 1, 1, 1]`, cut to 0 to 255, as in all that follow."""
    return (images * factors).clamp_(0, WHITE)


def change_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Scales values away from the mean grey of the image."""
    return _away(images, grey(images).mean(dim=(1, 2), keepdim=True), factors)


def saturate(images: Tensor, factors: Tensor) -> Tensor:
    """Scales values away from each pixel's grey."""
    return _away(images, grey(images), factors)


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turns hues by `turns` of the circle, 1 the whole; value and chroma stay.

    In sixths of a turn, with n = 5, 3, 1 for red, green, blue and k = n + hue mod 6, a channel is
    value - chroma max(0, min(k, 4 - k, 1)).
    """
    value, chroma, hue = _value_chroma_hue(images)
    starts = torch.tensor([5.0, 3.0, 1.0], device=images.device)
    k = (hue + 6 * turns + starts).remainder_(6)
    share = torch.minimum(k, 4 - k).clamp_(0, 1)
    return value - chroma * share


def grey(images: Tensor) -> Tensor:
    """Grey of colours `[N, H, W, 3]`: `[N, H, W, 1]`."""
    red, green, blue = images.unbind(dim=3)
    return (red * RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE).unsqueeze_(3)


def _away(images: Tensor, base: Tensor, factors: Tensor) -> Tensor:
    return (images - base).mul_(factors).add_(base).clamp_(0, WHITE)


def _value_chroma_hue(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value, chroma and hue `[N, H, W, 1]` each; the hue in sixths of a turn, 0 where there is no chroma."""
    red, green, blue = (images[..., i : i + 1] for i in range(3))
    value = images.amax(dim=3, keepdim=True)
    chroma = value - images.amin(dim=3, keepdim=True)
    divisor = torch.where(chroma == 0, 1.0, chroma)
    of_others = torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    return value, chroma, torch.where(value == red, (green - blue) / divisor, of_others)


class Lighting:
    """Adds to an image's pixels sum_i alpha_i s_i p_i, one alpha_i ~ N(0, lighting) a component and image.

    p_i are the training set's principal components. The paper says s_i = lambda_i, an eigenvalue, which on pixels from
    0 to 255 shifts by hundreds (Krizhevsky et al. 2012, section 4.1). Two readings are in use:

    - "deviation": s_i = sqrt(lambda_i), as the first author's cuda-convnet2 (which also divides by 1 + lighting; here
      nothing is divided).
    - "variance": eigenvalues of pixels from 0 to 1, so that s_i = 255 lambda_i / 255^2, as fb.resnet.torch.

    Nothing is cut to 0 to 255, as in both.
    """

    def __init__(
        self,
        lighting: float,
        unit: choices.LightingUnit,
        eigenvalues: Sequence[float],
        eigenvectors: Sequence[Sequence[float]],
    ) -> None:
        variances = np.asarray(eigenvalues, np.float64)  # of pixels from 0 to 255
        scales = _scales(variances, unit)
        self.axes = lighting * scales[:, None] * np.asarray(eigenvectors, np.float64)  # component x channel

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Float32 `[N, H, W, 3]` to the same."""
        alphas = np.stack([draws.normal(Draw.LIGHTING + 2 * i) for i in range(3)], axis=1)
        shifts = (alphas[:, :, None] * self.axes).sum(axis=1)  # N x 3
        return images.add_(torch.from_numpy(shifts).to(images.device, torch.float32)[:, None, None])


def _scales(variances: np.ndarray, unit: choices.LightingUnit) -> np.ndarray:
    """Lengths of the principal components, on pixels from 0 to 255, out of variances of such pixels."""
    scales: np.ndarray
    match unit:
        case "deviation":
            scales = np.sqrt(variances)
        case "variance":
            scales = variances / WHITE
        case _:
            assert_never(unit)
    return scales
