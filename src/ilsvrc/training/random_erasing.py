"""Random erasing: Zhong et al. 2017, in the form of timm's `RandomErasing`, mode "pixel"."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ilsvrc.training.augmentation_rng import Draw, Draws, pixel_noise

AREA, ASPECT, ATTEMPTS = (0.02, 1 / 3), (0.3, 1 / 0.3), 10


class Erasing:
    """Fills a rectangle with noise in an image out of 1 / `probability`.

    Area 2 to 33 % of the image's, uniform; height by width 0.3 to 3.3, log-uniform. The noise is normal, for each
    pixel and channel, with the training set's mean and deviation: N(0, 1) after "mean_std".
    """

    def __init__(self, probability: float, mean: Sequence[float], std: Sequence[float]) -> None:
        self.probability, self.mean, self.std = probability, torch.tensor(mean), torch.tensor(std)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Float32 `[N, H, W, 3]` to the same; writes into it."""
        height, width = images.shape[1:3]
        places, boxes = rectangles(draws, self.probability, height, width)
        total = int(boxes[:, 2:].prod(axis=1).sum())
        if total == 0:
            return images
        own, left, top, wide, pixel = _pixels(places, boxes, total, images.device)
        noise = pixel_noise(draws.keys(Draw.NOISE, images.device)[own], pixel)
        rows = (own * height + top + pixel // wide) * width + left + pixel % wide
        mean, std = self.mean.to(images), self.std.to(images)
        images.view(-1, 3).index_copy_(0, rows, noise * std + mean)
        return images


def rectangles(draws: Draws, probability: float, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in the batch of the images that are erased, int64 `[M]`, and int64 `[M, 4]`: left, top, width, height.

    The first of ten draws that fits strictly inside is taken; where none does, nothing is erased.
    """
    size = np.zeros((len(draws), 2), np.int64)
    for attempt in range(ATTEMPTS):
        area = height * width * draws.uniform(Draw.AREA + attempt, *AREA)
        aspect = np.exp(draws.uniform(Draw.ASPECT + attempt, math.log(ASPECT[0]), math.log(ASPECT[1])))
        drawn = np.rint(np.sqrt(np.stack((area / aspect, area * aspect), axis=1))).astype(np.int64)
        fits = (size[:, 0] == 0) & (drawn < (width, height)).all(axis=1)
        size[fits] = drawn[fits]
    left = (draws.uniform(Draw.LEFT) * (width - size[:, 0] + 1)).astype(np.int64)
    top = (draws.uniform(Draw.TOP) * (height - size[:, 1] + 1)).astype(np.int64)
    places = np.flatnonzero((draws.uniform(Draw.ERASED) < probability) & size.all(axis=1))
    return places, np.column_stack((left, top, size))[places]


def _pixels(places: np.ndarray, boxes: np.ndarray, total: int, device: torch.device) -> tuple[Tensor, ...]:
    """For each of the rectangles' `total` pixels: image, left, top and width of its box, and its number in it."""
    counts = boxes[:, 2] * boxes[:, 3]
    table = np.column_stack((places, boxes[:, :3], np.cumsum(counts) - counts, counts))
    facts = torch.from_numpy(table).to(device)
    each = torch.repeat_interleave(facts[:, :5], facts[:, 5], dim=0, output_size=total)
    own, left, top, wide, start = each.unbind(dim=1)
    return own, left, top, wide, torch.arange(total, device=device) - start
