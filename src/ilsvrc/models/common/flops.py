"""Parameters, multiply-adds and activations of a network's layers for one image at test time; meta tensors suffice.

A multiply-add is one multiplication and one addition of a convolution, a linear layer or a product of two
activations (attention); biases, normalisation, pooling and activation functions are left out, as the papers do.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ilsvrc.models.common.layers import Classifier, LocallyConnected2d


@dataclass(frozen=True)
class Layer:
    """A layer at work on one image.

    `activations` counts the values that a convolution or a linear layer puts out (Radosavovic et al. 2020); it is
    0 for the layers that only transform them, and for attention.
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
    """The layers of `model` that work at test time on an image of `input_px`, in the order in which they do.

    `model` stays as it was; it may stand on the meta device.
    """
    with _watched(model) as worked:
        model(torch.empty(1, 3, input_px, input_px, device=_device(model)))
    return worked


def count(model: Classifier, input_px: int) -> Complexity:
    """Totals of `model` for an image of `input_px`."""
    worked = layers(model, input_px)
    everything = _parameters(model)
    return Complexity(
        parameters=everything - sum(map(_parameters, model.auxiliary_heads())),
        parameters_with_auxiliary_heads=everything,
        multiply_adds=sum(layer.multiply_adds for layer in worked),
        activations=sum(layer.activations for layer in worked),
    )


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes each layer as it ends, and which modules multiply activations with each other.

    Such products are batched matrix products, `[B, I, J] x [B, J, K]`; a convolution's and a linear layer's own count
    by the rules of `PER_OUTPUT`.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: list[Layer] = []
        self.at_work: list[int] = []  # products of the modules that are at work, the innermost last

    def started(self) -> None:
        self.at_work.append(0)

    def ended(self, name: str, module: nn.Module, output: Tensor) -> None:
        rule, products = _rule(module), self.at_work.pop()
        if rule or products or _is_layer(module):
            self.layers.append(_measure(name, module, output, rule, products))

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.bmm.default and self.at_work:
            self.at_work[-1] += output.numel() * args[0].shape[-1]
        return output


@contextmanager
def _watched(model: nn.Module) -> Iterator[list[Layer]]:
    """The layers of `model` that work inside this context, in evaluation mode."""
    watch, was_training = _Watch(), model.training
    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_: watch.started()))
        hooks.append(module.register_forward_hook(lambda m, _, output, name=name: watch.ended(name, m, output)))
    try:
        with torch.no_grad(), watch:
            model.eval()
            yield watch.layers
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()


def _is_layer(module: nn.Module) -> bool:
    """A leaf, or a module that has weights of its own."""
    return next(module.children(), None) is None or next(module.parameters(recurse=False), None) is not None


def _measure(name: str, module: nn.Module, output: Tensor, rule: "Rule | None", products: int) -> Layer:
    return Layer(
        name=name,
        kind=type(module).__name__,
        output_shape=tuple(output.shape[1:]),
        parameters=sum(p.numel() for p in module.parameters(recurse=False)),
        multiply_adds=rule(module) * output.numel() if rule else products,
        activations=output.numel() if rule else 0,
    )


Rule = Callable[[Any], int]
# Multiply-adds for each value that a layer puts out; a type's subclasses count as it does.
PER_OUTPUT: tuple[tuple[type[nn.Module], Rule], ...] = (
    (nn.Conv2d, lambda conv: conv.in_channels // conv.groups * prod(conv.kernel_size)),
    (nn.Linear, lambda linear: linear.in_features),
    (LocallyConnected2d, lambda local: local.weight.shape[2]),
)


def _rule(module: nn.Module) -> Rule | None:
    return next((rule for kind, rule in PER_OUTPUT if isinstance(module, kind)), None)


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
