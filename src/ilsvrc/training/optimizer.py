"""Optimizers, which parameters weight decay reaches, and clipping by each unit's weights."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, assert_never

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ilsvrc.config import choices

NORMALIZATIONS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
BIASES = ("bias", "attention_biases")  # what a module calls its own; the latter is timm's in LeViT
SMALLEST_NORM = 1e-3  # of a unit's weights, that clipping reckons with (Brock et al. 2021, section 4)


def make_optimizer(
    network: nn.Module,
    kind: choices.Optimizer,
    *,
    momentum: float,
    weight_decay: float,
    decay: choices.Decay,
    nesterov: bool = False,
    rate_in_momentum: bool = False,
    square_momentum: float | None = None,
    epsilon: float | None = None,
    rates: Mapping[int, float] | None = None,
    decays: Mapping[int, float] | None = None,
) -> torch.optim.Optimizer:
    """Optimizer of a recipe; `lr` of its groups, their `rate_factor` times the rate, is set before each step.

    sgd: torch's form, v <- momentum v + g + weight_decay w and w <- w - rate v, without dampening, where the papers
        keep the rate inside v (`rate_in_momentum`, see `PapersSGD`): the same until the rate changes, and about
        1 / (1 - momentum) steps after. With `nesterov`, w <- w - rate (g + weight_decay w + momentum v).
    rmsprop: TensorFlow's: mean squares begin as 1, `epsilon` stands inside the root, and momentum holds steps that
        have their rate: v <- momentum v + rate g / sqrt(s + epsilon), w <- w - v.
    adamw: weight decay apart from the gradient (Loshchilov and Hutter 2017); `momentum` is its first beta.

    Args:
        network: what is optimized: its parameters that want gradients.
        kind: sgd, rmsprop or adamw.
        momentum: from 0 to 1.
        weight_decay: in sgd and rmsprop the gradient's part, in adamw the weights' own, times the rate.
        decay: see `parameter_groups`.
        nesterov: sgd's.
        rate_in_momentum: sgd's; rmsprop has it always.
        square_momentum: of the mean squares; None: 0.9 in rmsprop, 0.999 in adamw.
        epsilon: None: 1.0 in rmsprop, 1e-8 in adamw.
        rates: learning rates of parameters, by `id`, in units of the others'.
        decays: weight decays of parameters, by `id`, in the place of `weight_decay`.

    """
    groups = parameter_groups(network, weight_decay, decay, rates, decays)
    # not on a CPU, where torch's fused kernels read gradients of another memory format than the weights' wrongly
    fused = all(p.device.type == "cuda" for group in groups for p in group["params"]) or None
    match kind:
        case "sgd" if rate_in_momentum:
            return PapersSGD(groups, momentum, nesterov)
        case "sgd":
            return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov, fused=fused)
        case "rmsprop":
            return _tensorflows_rmsprop(groups, momentum, square_momentum, epsilon)
        case "adamw":
            betas = (momentum, 0.999 if square_momentum is None else square_momentum)
            return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=epsilon or 1e-8, fused=fused)
        case _:
            assert_never(kind)


def _tensorflows_rmsprop(
    groups: list[dict[str, Any]], momentum: float, square_momentum: float | None, epsilon: float | None
) -> torch.optim.Optimizer:
    from timm.optim.rmsprop_tf import RMSpropTF  # here, because it takes seconds

    alpha = 0.9 if square_momentum is None else square_momentum
    optimizer: torch.optim.Optimizer = RMSpropTF(groups, lr=0.0, alpha=alpha, eps=epsilon or 1.0, momentum=momentum)
    return optimizer


class PapersSGD(torch.optim.Optimizer):
    """v <- momentum v - rate (g + weight_decay w), w <- w + v (Krizhevsky et al. 2012, section 5; Caffe).

    With `nesterov`, w <- w + momentum v - rate (g + weight_decay w), v being the new one. That is the look-ahead of
    Sutskever et al. 2013, equations 3 and 4, seen from the point that it looks at: w here is their theta + momentum v,
    exactly so at rates that change too, where torch's form is only at a constant rate.
    """

    def __init__(self, groups: Any, momentum: float, nesterov: bool = False) -> None:
        super().__init__(groups, {"lr": 0.0, "momentum": momentum, "nesterov": nesterov, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Moves the parameters that have gradients."""
        assert closure is None
        for group in self.param_groups:
            weights, gradients = _with_gradients(group["params"])
            if weights:
                self._move(weights, gradients, group)

    def _move(self, weights: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        rate, momentum, shrink = group["lr"], group["momentum"], -group["lr"] * group["weight_decay"]
        velocities = [self._velocity(p) for p in weights]
        torch._foreach_mul_(velocities, momentum)
        torch._foreach_add_(velocities, gradients, alpha=-rate)
        if shrink:
            torch._foreach_add_(velocities, weights, alpha=shrink)
        if not group["nesterov"]:
            torch._foreach_add_(weights, velocities)
            return
        torch._foreach_mul_(weights, 1 + shrink)
        torch._foreach_add_(weights, gradients, alpha=-rate)
        torch._foreach_add_(weights, velocities, alpha=momentum)

    def _velocity(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        velocity: Tensor = state["momentum_buffer"]
        return velocity


def parameter_groups(
    network: nn.Module,
    weight_decay: float,
    decay: choices.Decay,
    rates: Mapping[int, float] | None = None,
    decays: Mapping[int, float] | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer, of one decay and one `rate_factor` each: the parameters that want gradients.

    `decay` is all, or weights (not biases, not normalisation's parameters). `rates` and `decays` are by the parameters'
    `id`; those without one have 1, and `weight_decay`. What `decay` spares has none, whatever `decays` say.
    """
    spared = _spared(network, decay)
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for p in network.parameters():
        if p.requires_grad:
            own = 0.0 if id(p) in spared else (decays or {}).get(id(p), weight_decay)
            members.setdefault((own, (rates or {}).get(id(p), 1.0)), []).append(p)
    return [{"params": ps, "weight_decay": own, "rate_factor": factor} for (own, factor), ps in members.items()]


def _spared(network: nn.Module, decay: choices.Decay) -> set[int]:
    """Parameters without weight decay, by `id`."""
    match decay:
        case "weights":
            return set(map(id, _biases_and_normalizations(network)))
        case "all":
            return set()
        case _:
            assert_never(decay)


def _biases_and_normalizations(network: nn.Module) -> Iterator[nn.Parameter]:
    for module in network.modules():
        own = dict(module.named_parameters(recurse=False))
        if isinstance(module, NORMALIZATIONS):
            yield from own.values()
        else:
            yield from (own[name] for name in BIASES if name in own)


@torch.no_grad()
def clip_adaptively(network: nn.Module, largest: float) -> None:
    """Scales each unit's gradient down to `largest` of the norm of its weights (Brock et al. 2021, equation 3).

    A unit is a row of a matrix, or a filter; a vector of biases or gains is one. Every parameter is clipped, as in
    LeViT's released training, where Brock et al. leave the classifier's alone (as timm's training script does; its
    function clips what it is given).
    """
    weights, gradients = _with_gradients(network.parameters())
    factors, norms = ([_unit_norms(tensor) for tensor in tensors] for tensors in (weights, gradients))
    torch._foreach_clamp_min_(factors, SMALLEST_NORM)
    torch._foreach_mul_(factors, largest)
    torch._foreach_clamp_min_(norms, 1e-6)
    torch._foreach_div_(factors, norms)
    torch._foreach_clamp_max_(factors, 1.0)
    torch._foreach_mul_(gradients, factors)


def _unit_norms(tensor: Tensor) -> Tensor:
    """`[O, ...]` to `[O, 1, ...]`, and a vector to `[1]`."""
    unit = tuple(range(1, tensor.dim())) or (0,)
    norms: Tensor = torch.linalg.vector_norm(tensor, dim=unit, keepdim=True)
    return norms


def _with_gradients(parameters: Iterable[nn.Parameter]) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters that have gradients, and their gradients."""
    pairs = [(p, p.grad) for p in parameters if p.grad is not None]
    return [weight for weight, _ in pairs], [gradient for _, gradient in pairs]
