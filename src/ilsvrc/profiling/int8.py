"""A network in int8 on the CPU: post-training static quantization by torch's FX graph mode.

Weights are int8 by channel, activations uint8 by tensor, in the ranges that calibration images show. Convolutions and
linear layers take their batch norms and ReLUs in; layers without an int8 form, such as local response normalization,
run in float32 between two conversions.
"""

import copy
import io
import warnings
from collections.abc import Iterable
from contextlib import redirect_stderr
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, fx, nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.fx.custom_config import PrepareCustomConfig
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

WEIGHTED = (nn.Conv2d, nn.Linear)


class Quantized(NamedTuple):
    """The network, and how many of its convolutions and linear layers are in int8."""

    network: nn.Module
    int8_layers: int
    layers: int


def quantize(network: nn.Module, calibration: Iterable[Tensor]) -> Quantized:
    """`network` in int8; itself it stays as it was.

    Args:
        network: in evaluation mode, on the CPU.
        calibration: batches of training images, normalized, float32 `[N, 3, H, W]`.

    Raises:
        ValueError: the network has no such form; the message says why.
    """
    engine = torch.backends.quantized.engine
    if engine == "none":
        raise ValueError("this build of torch has no int8 layers for this processor")
    try:
        # torch.fx prints where a traced network failed, besides raising
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            return _quantized(plain(copy.deepcopy(network)), iter(calibration), engine)
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}") from error


def _quantized(network: nn.Module, calibration: Any, engine: str) -> Quantized:
    first = next(calibration)
    config = PrepareCustomConfig().set_non_traceable_module_classes(untraced(network))
    observed = prepare_fx(network, get_default_qconfig_mapping(engine), (first,), prepare_custom_config=config)
    for batch in (first, *calibration):
        observed(batch)
    converted = convert_fx(observed)
    converted(first)
    places = [_is_int8(node, converted) for node in converted.graph.nodes]
    return Quantized(converted, places.count(True), len(places) - places.count(None))


def untraced(network: nn.Module) -> list[type[nn.Module]]:
    """Classes of modules that FX cannot trace, and need not: they hold no convolution and no linear layer.

    Raises:
        ValueError: a module that holds one cannot be traced.
    """
    leaves: list[type[nn.Module]] = []
    while True:
        tracer = _Tracer(tuple(leaves))
        try:
            tracer.trace(network)
            return leaves
        except Exception as error:
            inside = tracer.at_work[-1] if tracer.at_work else network
            if type(inside) in leaves or any(isinstance(module, WEIGHTED) for module in inside.modules()):
                raise ValueError(f"{type(inside).__name__} cannot be traced ({error})") from error
            leaves.append(type(inside))


class _Tracer(fx.Tracer):
    """A tracer that knows the module in which it fails."""

    def __init__(self, leaves: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self.leaves, self.at_work = leaves, list[nn.Module]()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self.leaves) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        self.at_work.append(m)
        output = super().call_module(m, forward, args, kwargs)
        self.at_work.pop()
        return output


def plain(network: nn.Module) -> nn.Module:
    """`network` in layers that quantization knows, to the same function: changed in place and returned.

    timm's batch norms with an activation become two layers, batch norms without weights get 1 and 0,
    named paddings become numbers.
    """
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, BatchNormAct2d):
                setattr(module, name, nn.Sequential(_batch_norm(child), child.drop, child.act))
            elif isinstance(child, nn.BatchNorm2d) and not child.affine:
                setattr(module, name, _batch_norm(child))
            elif isinstance(child, nn.Conv2d) and isinstance(child.padding, str):
                child.padding = tuple(child._reversed_padding_repeated_twice[::-2])
    return network


def _batch_norm(norm: nn.modules.batchnorm._BatchNorm) -> nn.BatchNorm2d:
    plain_norm = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum)
    plain_norm.load_state_dict(norm.state_dict(), strict=False)
    return plain_norm.eval()


def _is_int8(node: fx.Node, network: nn.Module) -> bool | None:
    """True if a convolution or a linear layer is in int8; None for other nodes."""
    if node.op == "call_module":
        module = network.get_submodule(str(node.target))
        name, home = type(module).__name__, type(module).__module__
        if name.startswith(("Conv", "Linear")) and "quantized" in home:
            return "reference" not in home
        return False if any(isinstance(inner, WEIGHTED) for inner in module.modules()) else None
    name = getattr(node.target, "__name__", "") if node.op == "call_function" else ""
    if node.target in (F.conv2d, F.linear):
        return False
    return True if name.startswith(("conv2d", "linear")) and "quantized" in str(node.target) else None
