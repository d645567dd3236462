"""Transfer learning: the weights that a training starts from, and the layers that it trains.

A new classifier on a frozen trunk, the last stages, or everything with a rate of its own (Karpathy et al., CS231n,
"Transfer learning"); and VGG's deeper networks, which start with some of configuration A's layers.
"""

from collections.abc import Mapping
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from ilsvrc.config import choices
from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.pretrained import adapt

VGG_CONVS, VGG_LINEARS = 4, 3  # Simonyan and Zisserman 2014, section 3.1: the first four, and the last three


def take_over(
    network: Classifier, weights: Mapping[str, Tensor], which: choices.StartLayers, classifier: set[str]
) -> list[str]:
    """Copies weights into `network`; names of those that were taken over.

    Args:
        network: on the CPU or a device, initialised.
        weights: by name.
        which: `all`, `but_classifier`, or `vgg` (the first four convolutions and the three linear layers, by place).
        classifier: names of what depends on the number of classes (`classifier_names`).

    Raises:
        ValueError: names or shapes do not fit, or nothing does.
    """
    own = network.state_dict()
    match which:
        case "vgg":
            return _take(own, _vggs_layers(own, weights), own)
        case "all":
            wanted = set(own)
        case "but_classifier":
            wanted = set(own) - classifier
        case _:
            assert_never(which)
    missing = sorted(name for name in wanted - set(weights) if not name.endswith("num_batches_tracked"))
    if missing:
        raise ValueError(
            f"start_from: {len(missing)} of {len(wanted)} weights are not in the file, {', '.join(missing[:5])} among "
            f"them; is it of this architecture? The first of its {len(weights)} names are {', '.join([*weights][:5])}"
        )
    return _take(own, {name: weights[name] for name in own if name in wanted and name in weights}, own)


def _take(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> list[str]:
    for name, value in weights.items():
        if own[name].shape != value.shape:
            raise ValueError(
                f"start_from: {name} is {list(value.shape)} in the file and {list(own[name].shape)} here; another "
                "number of classes wants start_layers: but_classifier, other images the same crop_px"
            )
    try:
        adapt.require_finite(weights)
    except ValueError as error:
        raise ValueError(f"start_from: {error}") from None
    with torch.no_grad():
        for name, value in weights.items():
            into[name].copy_(value)
    return list(weights)


def _vggs_layers(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that a deeper VGG takes over, by its own names.

    Raises:
        ValueError: one of the two is no VGG.
    """
    in_order = {name: weights[name] for name in sorted(weights, key=_by_number)}
    try:
        pairs = dict(_vgg_pairs(own, in_order))
    except ValueError:  # other numbers of linear layers
        pairs = {}
    if not pairs or not (own.keys() >= pairs.keys() and weights.keys() >= set(pairs.values())):
        raise ValueError(
            "start_layers: vgg takes VGG's first and last layers, and one of the two networks is no VGG; set "
            "start_layers: but_classifier by training: {...} in params.yaml"
        )
    return {name: weights[in_file] for name, in_file in pairs.items()}


def _by_number(name: str) -> list[tuple[int, str]]:
    """A key that puts `features.3` before `features.11`, which a safetensors file does not."""
    return [(int(part) if part.isdigit() else -1, part) for part in name.split(".")]


def _vgg_pairs(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Names of the same layers, here and in the file: a convolution goes to the next one of its shape."""
    pairs, places = [], iter([name for name, value in own.items() if value.dim() == 4])
    for in_file in [name for name, value in weights.items() if value.dim() == 4][:VGG_CONVS]:
        pairs.append((next((name for name in places if own[name].shape == weights[in_file].shape), in_file), in_file))
    linears = ([name for name, value in state.items() if value.dim() == 2][-VGG_LINEARS:] for state in (own, weights))
    pairs += zip(*linears, strict=True)
    return [pair for both in pairs for pair in (both, _biases(both))]


def _biases(both: tuple[str, str]) -> tuple[str, str]:
    name, in_file = (name.removesuffix("weight") + "bias" for name in both)
    return name, in_file


def freeze(network: nn.Module, classifier: set[str], trained: choices.TrainedLayers | int) -> list[nn.Module]:
    """Leaves only the classifier, or also the last `trained` stages, to training; returns what is frozen.

    A stage is a child of the network that has parameters, children of `features` and the like one by one.

    Raises:
        ValueError: the network has no so many stages.
    """
    if trained == "all":
        return []
    trunk = [module for name, module in _stages(network) if not _is_of(name, classifier)]
    count = 0 if trained == "classifier" else int(trained)
    if count >= len(trunk):
        raise ValueError(f"trained_layers = {count}: the network has {len(trunk)} stages, of which one stays frozen")
    frozen = trunk[: len(trunk) - count]
    for module in frozen:
        module.requires_grad_(False)
    return frozen


def _stages(network: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    found: list[tuple[str, nn.Module]] = []
    for name, child in network.named_children():
        if not any(True for _ in child.parameters()):
            continue
        inside = isinstance(child, nn.Sequential) and not prefix
        found += _stages(child, f"{prefix}{name}.") if inside else [(f"{prefix}{name}", child)]
    return found


def _is_of(stage: str, classifier: set[str]) -> bool:
    return any(name == stage or name.startswith(f"{stage}.") for name in classifier)


def rates(network: nn.Module, taken: list[str], trunk_rate: float) -> dict[int, float]:
    """Learning rate factors of weights that were taken over, by `id` of the parameter; empty if all are 1."""
    if trunk_rate == 1.0:
        return {}
    names: dict[str, Any] = dict(network.named_parameters())
    return {id(names[name]): trunk_rate for name in taken if name in names}
