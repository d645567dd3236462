"""How a network starts: its paper's way, or a general one."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ilsvrc.models.common.layers import Classifier, LocallyConnected2d


def initialize(network: Classifier, kind: str, seed: int) -> None:
    """Sets every parameter, a function of `seed` alone.

    paper: what the architecture says. he_normal: N(0, 2 / fan in) (He et al. 2015, section 2.2). glorot: uniform,
    variance 2 / (fan in + fan out) (Glorot and Bengio 2010, equation 16). In the last two biases are 0, and
    normalisation starts at scale 1 and shift 0.

    Raises:
        ValueError: there is no such initialisation.
    """
    torch.manual_seed(seed)
    if kind == "paper":
        network.initialize_as_paper()
        return
    for module in network.modules():
        _initialize(module, kind)


def _initialize(module: nn.Module, kind: str) -> None:
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
        _fill(module.weight, kind)
    elif isinstance(module, LocallyConnected2d):
        for at_a_position in module.weight:
            _fill(at_a_position, kind)
    elif isinstance(module, (_NormBase, nn.LayerNorm, nn.GroupNorm)) and weight is not None:
        nn.init.ones_(weight)
    if isinstance(bias, nn.Parameter):
        nn.init.zeros_(bias)


def _fill(weight: Tensor, kind: str) -> None:
    if kind == "he_normal":
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
    elif kind == "glorot":
        nn.init.xavier_uniform_(weight)
    else:
        raise ValueError(f"initialization = {kind!r}; it can be paper, he_normal or glorot (training: in params.yaml)")


def zero_last_gammas(network: nn.Module) -> int:
    """Sets the scale of the last batch norm in each residual branch to 0, so that a block begins as the identity.

    Goyal et al. 2017, section 5.1; He et al. 2018, section 3.1. A block is a module with a batch norm `bn3`, else
    `bn2`, beside a shortcut, as torchvision and timm name them.

    Returns:
        How many there were.

    Raises:
        ValueError: there is none.
    """
    blocks = [module for module in network.modules() if hasattr(module, "downsample")]
    last = [getattr(block, "bn3", None) or getattr(block, "bn2", None) for block in blocks]
    found = [norm.weight for norm in last if isinstance(norm, _NormBase) and norm.weight is not None]
    if not found:
        raise ValueError(f"zero_last_gamma: {type(network).__name__} has no residual branch that ends in a batch norm")
    for weight in found:
        nn.init.zeros_(weight)
    return len(found)
