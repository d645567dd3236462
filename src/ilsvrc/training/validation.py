"""Errors on images that training does not see, each once."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ilsvrc.training.distributed import World
from ilsvrc.training.objective import Objective, widened
from ilsvrc.training.precision import Autocast


@torch.no_grad()
def evaluate(objective: Objective, batches: Iterable[Any], world: World, autocast: Autocast) -> dict[str, float | None]:
    """Mean cross entropy, top-1 and top-5 error in percent of single views uint8 `[N, 1, H, W, 3]`.

    Over the images of all processes. Top-5 is None where there are no more than five classes.
    """
    objective.eval()
    sums = torch.zeros(4, dtype=torch.float64, device=world.device)
    num_classes = 0
    for batch in batches:
        images, labels = batch.images[:, 0].to(world.device), batch.labels.to(world.device)
        with autocast():
            logits = widened(objective.network(objective.normalization(images)))
        num_classes = logits.shape[1]
        best = logits.topk(min(5, num_classes), dim=1).indices == labels[:, None]
        wrong = [len(labels) - best[:, :k].sum() for k in (1, 5)]
        sums += torch.stack([F.cross_entropy(logits, labels, reduction="sum"), *wrong, labels.new_tensor(len(labels))])
    loss, wrong1, wrong5, num_images = world.sum(sums).tolist()
    return {
        "validation_loss": loss / num_images,
        "validation_top1_error_percent": 100 * wrong1 / num_images,
        "validation_top5_error_percent": 100 * wrong5 / num_images if num_classes > 5 else None,
    }


def held_out(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits a training set by class: places to train on, and `fraction` of each class, one at least, to watch.

    Args:
        labels: int64 `[N]`.
        fraction: above 0.
        seed: which images: the same for the same labels.

    Returns:
        Two arrays of places, int64, ascending.

    Raises:
        ValueError: a class would keep no image to train on.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    watched = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        places = order[labels[order] == label]
        count = max(1, round(fraction * len(places)))
        if count >= len(places):
            raise ValueError(
                f"validation_fraction = {fraction} leaves class {label}, which has {len(places)} images, none to train "
                "on; set it lower by training: {validation_fraction: ...} in params.yaml"
            )
        watched[places[:count]] = True
    return np.flatnonzero(~watched), np.flatnonzero(watched)
