"""Nearest neighbours by the last hidden layer: Krizhevsky et al. 2012, section 6.1 and Figure 4 (right)."""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

Activations = Callable[[Tensor], Tensor]


class Neighbours(NamedTuple):
    """The nearest images of each of T, the nearest first: places int64 and distances float32 `[T, count]`."""

    places: np.ndarray
    distances: np.ndarray


def last_hidden_layer(network: nn.Module, classifier: Collection[str]) -> Activations:
    """A function from normalized images to the last hidden layer's activations, float32 `[N, D]`.

    They are the classifier's input; its mean over space where that is a map, as in Network in Network.

    Args:
        network: in evaluation mode.
        classifier: names of its parameters whose shape depends on the number of classes.
    """
    owners = [network.get_submodule(name) for name in sorted({name.rpartition(".")[0] for name in classifier})]

    @torch.inference_mode()
    def activations(images: Tensor) -> Tensor:
        inputs: list[Tensor] = []
        hooks = [owner.register_forward_pre_hook(lambda _, args: inputs.append(args[0])) for owner in owners]
        try:
            network(images)
        finally:
            for hook in hooks:
                hook.remove()
        assert inputs, "no classifier was reached"
        first = inputs[0].float()  # the main head's
        return first.mean(dim=(2, 3)) if first.dim() == 4 else first.flatten(1)

    return activations


def nearest(wanted: Tensor, batches: Iterable[tuple[np.ndarray, Tensor]], count: int) -> Neighbours:
    """The `count` images with the smallest Euclidean distance from each of `wanted` `[T, D]`.

    `batches` give places `[N]` and activations `[N, D]`. Of equally near images the earlier one comes first.
    """
    places, distances = [], []
    for at, activations in batches:
        places.append(at)
        distances.append(torch.stack([(activations - one).square().sum(dim=1).sqrt() for one in wanted]).cpu().numpy())
    together, found = np.concatenate(places), np.concatenate(distances, axis=1)
    order = found.argsort(axis=1, kind="stable")[:, :count]
    return Neighbours(together[order], np.take_along_axis(found, order, axis=1))
