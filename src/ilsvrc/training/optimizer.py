"""Optimizers, and which parameters weight decay reaches."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

NORMALIZATIONS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def make_optimizer(
    network: nn.Module, kind: str, *, momentum: float, weight_decay: float, decay: str
) -> torch.optim.Optimizer:
    """The optimizer of a recipe; its learning rate is set before each step.

    `sgd` is torch's form, v <- momentum v + g + weight_decay w and w <- w - rate v, where the papers keep the rate
    inside v: the same until the rate changes, and about 1 / (1 - momentum) steps after. `adamw` decouples the decay
    (Loshchilov and Hutter 2017); `momentum` is its first beta.

    Raises:
        ValueError: there is no such optimizer.
    """
    groups = parameter_groups(network, weight_decay, decay)
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=momentum)
    if kind == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, betas=(momentum, 0.999))
    raise ValueError(f"optimizer = {kind!r}; it can be sgd or adamw (training: in params.yaml)")


def parameter_groups(network: nn.Module, weight_decay: float, decay: str) -> list[dict[str, Any]]:
    """Groups for an optimizer: `decay` all, or weights (not biases, not normalisation's parameters)."""
    if decay == "all":
        return [{"params": list(network.parameters()), "weight_decay": weight_decay}]
    if decay != "weights":
        raise ValueError(f"decay = {decay!r}; it can be weights or all (training: in params.yaml)")
    spared = set(map(id, _biases_and_normalizations(network)))
    weights = [p for p in network.parameters() if id(p) not in spared]
    others = [p for p in network.parameters() if id(p) in spared]
    groups = [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _biases_and_normalizations(network: nn.Module) -> Iterator[nn.Parameter]:
    for module in network.modules():
        own = dict(module.named_parameters(recurse=False))
        if isinstance(module, NORMALIZATIONS):
            yield from own.values()
        elif "bias" in own:
            yield own["bias"]
