"""Validation: errors on images that training does not see, each once."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from ilsvrc.runtime.distributed import World
from ilsvrc.runtime.precision import Autocast
from ilsvrc.training.loss import Objective, widened


@torch.no_grad()
def evaluate(objective: Objective, batches: Iterable[Any], world: World, autocast: Autocast) -> dict[str, float | None]:
    """The mean loss and the errors, or F2, of single views uint8 `[N, 1, H, W, 3]`: history's columns `validation_*`.

    Over the images of all processes. Not smoothed, and without auxiliary heads.
    """
    objective.eval()
    kind, num_classes = objective.labels, 0
    sums = torch.zeros(kind.num_validation_sums + 1, dtype=torch.float64, device=world.device)
    for batch in batches:
        images, labels = batch.images[:, 0].to(world.device), batch.labels.to(world.device)
        with autocast():
            logits = widened(objective.network(objective.normalization(images)))
        num_classes = logits.shape[1]
        sums[:-1] += kind.validation_sums(logits, kind.targets(labels))
        sums[-1] += len(labels)
    *totals, num_images = world.sum(sums).tolist()
    return kind.validation_metrics([each / num_images for each in totals], num_classes)


def held_out(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits a training set by class: places to train on, and `fraction` of each class, one at least, to validate on.

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


def held_out_multilabel(
    labels: np.ndarray, members: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Splits a multi-label training set: about `fraction` of each class's images is held out, for validation.

    Class by class, the one with the fewest images that are not settled yet first (after Sechidis et al. 2011, section
    3.2): as many of these are watched as its share lacks, the others are trained on. A class of few images may have
    none to watch.

    Args:
        labels: int64 `[N]`.
        members: which classes each set has, bool `[S, K]`.
        fraction: above 0.
        seed: which images.

    Raises:
        ValueError: no image would be watched, or a class would keep none to train on.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    has = np.column_stack([members, ~members.any(axis=1)])[labels[order]]  # the last column: images of no class
    wanted = np.rint(fraction * has.sum(axis=0)).astype(np.int64)
    left, watched, settled = has.sum(axis=0), np.zeros(len(order), bool), np.zeros(len(order), bool)
    while left.any():
        column = int(np.where(left > 0, left, len(order) + 1).argmin())
        places = np.flatnonzero(has[:, column] & ~settled)
        lacking = max(0, wanted[column] - int((watched & has[:, column]).sum()))
        watched[places[:lacking]] = True
        settled[places] = True
        left -= has[places].sum(axis=0)
    without = np.flatnonzero((has.any(axis=0) & ~has[~watched].any(axis=0))[:-1])
    if len(without) or not watched.any():
        what = f"class {without[0]} no image to train on" if len(without) else "no image to watch"
        raise ValueError(
            f"validation_fraction = {fraction} leaves {what}; set another by training: {{validation_fraction: ...}} in "
            "params.yaml"
        )
    return np.sort(order[~watched]), np.sort(order[watched])
