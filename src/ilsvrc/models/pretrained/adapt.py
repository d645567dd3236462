"""Adaptation of pretrained weights to a network and to the classes of the data.

A network of a thousand outputs tells the ten classes of Imagenette apart once the other outputs are taken away: what
is left are the rows of its classifier that belong to the data's classes, in their order.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.pretrained import libraries

MAX_NAMES = 5  # names in an error
AUXILIARY = ("aux", "Aux")  # how libraries' names of heads begin that only training sees

Build = Callable[[int], Classifier]


class Places(NamedTuple):
    """Outputs of the weights that are the data's classes, in their order, and how that is known."""

    outputs: list[int]
    how: str


def places(classes: Sequence[str], num_outputs: int, named: Sequence[str] | None, from_library: bool) -> Places:
    """Finds the data's `classes` among the weights' outputs.

    `named` are the weights' classes where they come with them. Else outputs of a known number are ImageNet's synsets,
    where the data's classes are synsets too; else they are taken for the data's classes in the order of their names.

    Raises:
        ValueError: the classes differ; names some that do.
    """
    known = named or libraries.synsets(num_outputs)
    if known and set(classes) <= set(known):
        what = "by name" if named else "by ImageNet's synsets" if from_library else "assumed: ImageNet's, by synset"
        of = "" if len(classes) == num_outputs else f"{len(classes)} of the weights' {num_outputs} classes, "
        place = {name: i for i, name in enumerate(known)}
        return Places([place[name] for name in classes], f"{of}{what}")
    if named:
        strange = [name for name in classes if name not in set(named)]
        raise ValueError(
            f"the data's classes are not the weights': {', '.join(strange[:MAX_NAMES])} (of {len(strange)} that the "
            f"weights do not know; they know {', '.join(named[:MAX_NAMES])} ...)"
        )
    if len(classes) != num_outputs:
        shown = ", ".join(classes[:MAX_NAMES])
        raise ValueError(
            f"the weights tell {num_outputs} classes apart and the data has {len(classes)} ({shown} ...), which are "
            "not ImageNet's synsets, such as n01440764; take weights for these classes, or train a new classifier on "
            "these by training: {start_from: <the file>}"
        )
    return Places(list(range(num_outputs)), "assumed: the data's, sorted by name")


def classifier_dims(build: Build) -> dict[str, int]:
    """Names of the weights whose shape depends on the number of classes -> the dimension that does."""
    few, more = weightless(build, 2), weightless(build, 3)
    differing = {
        name: (value.shape, more[name].shape) for name, value in few.items() if value.shape != more[name].shape
    }
    return {
        name: next(i for i, (a, b) in enumerate(zip(*both, strict=True)) if a != b) for name, both in differing.items()
    }


def weightless(build: Build, num_classes: int) -> dict[str, Tensor]:
    """The network's state without numbers: names, shapes and types."""
    with torch.device("meta"):
        state: dict[str, Tensor] = build(num_classes).state_dict()
    return state


def num_outputs(weights: Mapping[str, Tensor], classifier: Mapping[str, int]) -> int:
    """Number of classes that the weights tell apart.

    Raises:
        ValueError: they have no such classifier.
    """
    sizes = {
        weights[name].shape[dim] for name, dim in classifier.items() if name in weights and weights[name].dim() > dim
    }
    if len(sizes) != 1:
        names = ", ".join(list(weights)[:MAX_NAMES])
        raise ValueError(
            f"the weights have no classifier {', '.join(classifier)}: are they of this architecture? The first of "
            f"their {len(weights)} names are {names}"
        )
    return int(sizes.pop())


def fitted(
    weights: Mapping[str, Tensor], build: Build, classifier: Mapping[str, int], outputs: Sequence[int]
) -> dict[str, Tensor]:
    """Weights for the network, by its names, in float32; auxiliary heads that the file lacks are zero.

    Raises:
        ValueError: names or shapes are not the network's; says which.
    """
    with torch.device("meta"):
        network = build(len(outputs))
    rows = torch.tensor(outputs)
    own, state = network.state_dict(), dict(weights)
    for name, dim in classifier.items():
        if name in state and state[name].dim() > dim:
            state[name] = state[name].index_select(dim, rows)
    optional = _auxiliary_names(network) | {name for name in own if name.endswith("num_batches_tracked")}
    missing = [name for name in own if name not in state and name not in optional]
    strange = [name for name in state if name not in own and not name.startswith(AUXILIARY)]
    if missing or strange:
        differences = {"misses": missing, "has besides": strange}
        listed = "; ".join(
            f"{what} {len(names)}: {', '.join(names[:MAX_NAMES])}" for what, names in differences.items() if names
        )
        raise ValueError(f"the weights are not of this architecture: of its {len(own)} the file {listed}")
    for name, value in own.items():
        if name in state and state[name].shape != value.shape:
            raise ValueError(
                f"{name} is {list(state[name].shape)} in the file and {list(value.shape)} in the network; other sizes "
                "of images (crop_px), or another network?"
            )
    kept = {name: _plain(state[name]) for name in own if name in state}
    require_finite(kept)
    return {name: kept[name] if name in kept else torch.zeros(v.shape, dtype=v.dtype) for name, v in own.items()}


def require_finite(weights: Mapping[str, Tensor]) -> None:
    """Refuses NaN and infinities.

    Raises:
        ValueError: names the first tensor that holds any.
    """
    for name, value in weights.items():
        if value.is_floating_point() and (bad := value.numel() - int(value.isfinite().sum())):
            raise ValueError(
                f"{name} holds NaN or infinity ({bad} of {value.numel()} values): of a training that diverged, or a "
                "damaged file; take other weights"
            )


def _auxiliary_names(network: Classifier) -> set[str]:
    heads = {id(module) for head in network.auxiliary_heads() for module in head.modules()}
    inside = tuple(f"{name}." for name, module in network.named_modules() if id(module) in heads)
    return {name for name in network.state_dict() if name.startswith(inside)}


def _plain(value: Tensor) -> Tensor:
    return (value.float() if value.is_floating_point() else value).contiguous().clone()
