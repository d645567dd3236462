"""What a network costs, layer by layer, for one picture at test time: no weights are needed, meta tensors do.

A multiply-add is one multiplication and one addition of a convolution or a linear layer; biases, normalisation,
pooling and activation functions are left out, as the papers do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from ilsvrc.layers import Classifier


@dataclass(frozen=True)
class Layer:
    """A layer at work on one picture.

    `activations` counts the values that a convolution or a linear layer puts out (Radosavovic et al. 2020); it is
    0 for the layers that only transform them.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]  # without the batch
    parameters: int
    multiply_adds: int
    activations: int


@dataclass(frozen=True)
class Complexity:
    """A network's totals; all but `parameters_with_auxiliary_heads` are those of the network at test time."""

    parameters: int
    parameters_with_auxiliary_heads: int
    multiply_adds: int
    activations: int


def layers(model: Classifier, input_px: int) -> list[Layer]:
    """The layers of `model` that work at test time on a picture of `input_px`, in the order in which they do.

    `model` stays as it was; it may stand on the meta device.
    """
    found: list[Layer] = []
    hooks = [
        module.register_forward_hook(lambda m, _, output, name=name: found.append(_measure(name, m, output)))
        for name, module in model.named_modules()
        if _is_layer(module)
    ]
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.empty(1, 3, input_px, input_px, device=_device(model)))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return found


def count(model: Classifier, input_px: int) -> Complexity:
    """Totals of `model` for a picture of `input_px`."""
    found = layers(model, input_px)
    everything = _parameters(model)
    return Complexity(
        parameters=everything - sum(map(_parameters, model.auxiliary_heads())),
        parameters_with_auxiliary_heads=everything,
        multiply_adds=sum(layer.multiply_adds for layer in found),
        activations=sum(layer.activations for layer in found),
    )


def _is_layer(module: nn.Module) -> bool:
    """A leaf, or a module that has weights of its own."""
    return next(module.children(), None) is None or next(module.parameters(recurse=False), None) is not None


def _measure(name: str, module: nn.Module, output: Tensor) -> Layer:
    multiply_adds = _multiply_adds(module, output)
    return Layer(
        name=name,
        kind=type(module).__name__,
        output_shape=tuple(output.shape[1:]),
        parameters=sum(p.numel() for p in module.parameters(recurse=False)),
        multiply_adds=multiply_adds,
        activations=prod(output.shape[1:]) if multiply_adds else 0,
    )


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    """Multiply-adds that gave `output` `[1, ...]`; a type's subclasses count as it does."""
    return next((rule(module) * prod(output.shape) for kind, rule in PER_OUTPUT if isinstance(module, kind)), 0)


# Multiply-adds for each value that a layer puts out.
PER_OUTPUT: tuple[tuple[type[nn.Module], Callable[[Any], int]], ...] = (
    (nn.Conv2d, lambda conv: conv.in_channels // conv.groups * prod(conv.kernel_size)),
    (nn.Linear, lambda linear: linear.in_features),
)


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
