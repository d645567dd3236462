"""Initialization of a network: its paper's, or a general one."""

from collections.abc import Callable
from functools import partial
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ilsvrc.config import choices
from ilsvrc.models.common.layers import Classifier, LocallyConnected2d


def initialize(network: Classifier, kind: choices.Initialization, seed: int) -> None:
    """Sets every parameter, a function of `seed` alone.

    paper: what the architecture says. he_normal: N(0, 2 / fan in) (He et al. 2015, section 2.2). glorot: uniform,
    variance 2 / (fan in + fan out) (Glorot and Bengio 2010, equation 16). In the last two biases are 0, and
    normalisation starts at scale 1 and shift 0.
    """
    torch.manual_seed(seed)
    match kind:
        case "paper":
            network.initialize_as_paper()
        case "he_normal":
            _fill_all(network, partial(nn.init.kaiming_normal_, nonlinearity="relu"))
        case "glorot":
            _fill_all(network, nn.init.xavier_uniform_)
        case _:
            assert_never(kind)


def _fill_all(network: nn.Module, fill: Callable[[Tensor], Tensor]) -> None:
    for module in network.modules():
        _fill(module, fill)


def _fill(module: nn.Module, fill: Callable[[Tensor], Tensor]) -> None:
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
        fill(module.weight)
    elif isinstance(module, LocallyConnected2d):
        for at_a_position in module.weight:
            fill(at_a_position)
    elif isinstance(module, (_NormBase, nn.LayerNorm, nn.GroupNorm)) and weight is not None:
        nn.init.ones_(weight)
    if isinstance(bias, nn.Parameter):
        nn.init.zeros_(bias)


def zero_last_gammas(network: nn.Module) -> int:
    """Sets the scale of the last batch norm in each residual branch to 0, so that a block begins as the identity.

    Goyal et al. 2017, section 5.1; He et al. 2018, section 3.1. A block is a module with a batch norm `bn3`, else
    `bn2`, beside a shortcut, as torchvision and timm name them.

    Returns:
        Number of them.

    Raises:
        ValueError: there is none.
    """
    blocks = [module for module in network.modules() if hasattr(module, "downsample")]
    last = [getattr(block, "bn3", None) or getattr(block, "bn2", None) for block in blocks]
    gammas = [norm.weight for norm in last if isinstance(norm, _NormBase) and norm.weight is not None]
    if not gammas:
        raise ValueError(f"zero_last_gamma: {type(network).__name__} has no residual branch that ends in a batch norm")
    for weight in gammas:
        nn.init.zeros_(weight)
    return len(gammas)
