import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from ilsvrc.config import registry
from ilsvrc.training.optimizer import clip_adaptively, make_optimizer, parameter_groups

RATES = [0.1, 0.1, 0.01, 0.01]  # one that changes tells the forms of momentum apart
GRADIENTS = [1.0, -2.0, 3.0, 0.5]
KINDS = [
    {"kind": "sgd"},
    {"kind": "sgd", "nesterov": True},
    {"kind": "sgd", "rate_in_momentum": True},
    {"kind": "sgd", "rate_in_momentum": True, "nesterov": True},
    {"kind": "rmsprop"},
    {"kind": "adamw"},
]


class Mixed(nn.Module):
    """Names that say nothing of what the modules are."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.Conv2d(3, 4, 1)
        self.weights = nn.BatchNorm2d(4)
        self.head = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2), nn.GroupNorm(1, 2), nn.Linear(2, 2, bias=False))


def single(weight: float = 1.0) -> nn.Module:
    module = nn.Module()
    module.register_parameter("weight", nn.Parameter(torch.tensor([weight], dtype=torch.float64)))
    return module


def taken(optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> list[float]:
    """The weight after each step."""
    found = []
    for rate, gradient in zip(RATES, GRADIENTS, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate * group["rate_factor"]
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        found.append(weight.item())
    return found


def weights_of(**choices: Any) -> list[float]:
    module = single()
    choices = {"momentum": 0.5, "weight_decay": 0.1, "decay": "all"} | choices
    return taken(make_optimizer(module, **choices), module.weight)


def test_decay_of_weights_spares_biases_and_normalisation_by_module_type():
    network = Mixed()
    decayed, spared = parameter_groups(network, 5e-4, "weights")
    assert [id(p) for p in decayed["params"]] == [id(m.weight) for m in (network.bn, network.head[1], network.head[3])]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (5e-4, 0.0)
    assert [tuple(p.shape) for p in spared["params"]] == [(4,), (4,), (4,), (4,), (4,), (2,), (2,), (2,)]


def test_decay_of_weights_spares_attention_biases():
    with torch.device("meta"):
        network = registry.architecture("levit_128s")()
    spared = set(map(id, parameter_groups(network, 5e-4, "weights")[1]["params"]))
    biases = [p for name, p in network.named_parameters() if name.endswith("attention_biases")]
    assert biases and all(id(p) in spared and p.dim() == 2 for p in biases)


def test_decay_of_all_is_one_group_of_every_parameter():
    (group,) = parameter_groups(Mixed(), 5e-4, "all")
    assert len(group["params"]) == 11
    assert (group["weight_decay"], group["rate_factor"]) == (5e-4, 1.0)


def test_every_parameter_is_in_one_group():
    network = registry.architecture("resnet18")(num_classes=10, input_px=32)
    groups = parameter_groups(network, 1e-4, "weights")
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(map(id, network.parameters()))
    assert all(p.dim() > 1 for p in groups[0]["params"])


def test_parameters_of_a_rate_of_their_own_are_groups_of_their_own():
    network = Mixed()
    groups = parameter_groups(network, 1e-4, "weights", {id(p): 0.1 for p in network.bn.parameters()})
    found = [(group["weight_decay"], group["rate_factor"], len(group["params"])) for group in groups]
    assert found == [(1e-4, 0.1, 1), (0.0, 0.1, 1), (0.0, 1.0, 7), (1e-4, 1.0, 2)]


def test_what_wants_no_gradient_is_not_optimized():
    network = Mixed()
    network.bn.requires_grad_(False)
    (group,) = parameter_groups(network, 1e-4, "all")
    assert len(group["params"]) == 9


def test_sgd_multiplies_the_velocity_by_the_rate():
    w, v, expected = 1.0, 0.0, []
    for rate, gradient in zip(RATES, GRADIENTS, strict=True):
        v = 0.5 * v + gradient + 0.1 * w
        w -= rate * v
        expected.append(w)
    assert weights_of(kind="sgd") == pytest.approx(expected)
    assert expected[:2] == pytest.approx([0.89, 0.89 + 0.1 * 1.361])


def test_nesterov_takes_the_gradient_once_more():
    w, v, expected = 1.0, 0.0, []
    for rate, gradient in zip(RATES, GRADIENTS, strict=True):
        g = gradient + 0.1 * w
        v = 0.5 * v + g
        w -= rate * (g + 0.5 * v)
        expected.append(w)
    assert weights_of(kind="sgd", nesterov=True) == pytest.approx(expected)


def test_the_papers_sgd_keeps_the_rate_inside_the_velocity():
    w, v, expected = 1.0, 0.0, []
    for rate, gradient in zip(RATES, GRADIENTS, strict=True):
        v = 0.5 * v - 0.1 * rate * w - rate * gradient
        w += v
        expected.append(w)
    assert weights_of(kind="sgd", rate_in_momentum=True) == pytest.approx(expected)
    torchs = weights_of(kind="sgd")
    assert torchs[:2] == pytest.approx(expected[:2]) and abs(torchs[2] - expected[2]) > 0.01


def test_the_papers_nesterov_is_sutskevers_seen_from_where_it_looks():
    curvature = 2.0  # the loss is w ** 2
    theta, v, expected = 1.0, 0.0, []
    for rate in RATES:
        v = 0.5 * v - rate * curvature * (theta + 0.5 * v)
        theta += v
        expected.append(theta + 0.5 * v)
    module = single()
    optimizer = make_optimizer(
        module, "sgd", momentum=0.5, weight_decay=curvature, decay="all", nesterov=True, rate_in_momentum=True
    )
    found = []
    for rate in RATES:  # its decay is this loss's gradient
        optimizer.param_groups[0]["lr"] = rate
        module.weight.grad = torch.zeros_like(module.weight)
        optimizer.step()
        found.append(module.weight.item())
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("epsilon", [None, 1e-3])
def test_rmsprop_is_tensorflows(epsilon: float | None):
    w, square, v, expected = 1.0, 1.0, 0.0, []
    for rate, gradient in zip(RATES, GRADIENTS, strict=True):
        g = gradient + 0.1 * w
        square = 0.9 * square + 0.1 * g**2
        v = 0.5 * v + rate * g / math.sqrt(square + (epsilon or 1.0))
        w -= v
        expected.append(w)
    assert weights_of(kind="rmsprop", epsilon=epsilon) == pytest.approx(expected)


def test_rmsprops_squares_have_a_momentum_of_their_own():
    first = 1 - 0.1 * 1.1 / math.sqrt(0.6 + 0.4 * 1.1**2 + 1.0)
    assert weights_of(kind="rmsprop", square_momentum=0.6)[0] == pytest.approx(first)


@pytest.mark.parametrize(("square_momentum", "epsilon"), [(None, None), (0.9, 0.1)])
def test_adamw_decays_apart_from_the_gradient(square_momentum: float | None, epsilon: float | None):
    w, first, second, expected, beta = 1.0, 0.0, 0.0, [], square_momentum or 0.999
    for step, (rate, g) in enumerate(zip(RATES, GRADIENTS, strict=True), start=1):
        w -= rate * 0.1 * w
        first, second = 0.5 * first + 0.5 * g, beta * second + (1 - beta) * g**2
        w -= rate * first / (1 - 0.5**step) / (math.sqrt(second / (1 - beta**step)) + (epsilon or 1e-8))
        expected.append(w)
    assert weights_of(kind="adamw", square_momentum=square_momentum, epsilon=epsilon) == pytest.approx(expected)


@pytest.mark.parametrize("choices", KINDS, ids=str)
def test_a_factor_scales_what_a_parameter_moves(choices: dict[str, Any]):
    module = single()
    slow = make_optimizer(
        module, **choices, momentum=0.5, weight_decay=0.0, decay="all", rates={id(module.weight): 0.25}
    )
    moved = [1 - w for w in taken(slow, module.weight)]
    assert moved == pytest.approx([0.25 * (1 - w) for w in weights_of(**choices, weight_decay=0.0)])


@pytest.mark.parametrize("device", ["cpu", *["cuda"] * torch.cuda.is_available()])
@pytest.mark.parametrize("choices", KINDS, ids=str)
def test_an_optimizer_goes_on_exactly_as_if_it_had_not_stopped(choices: dict[str, Any], device: str, tmp_path):
    def steps(network: nn.Module, optimizer: torch.optim.Optimizer, numbers: range) -> None:
        for number in numbers:
            noise = torch.Generator().manual_seed(number)
            optimizer.param_groups[0]["lr"] = RATES[number % 4]
            for p in network.parameters():
                p.grad = torch.randn(p.shape, generator=noise).to(device)
            optimizer.step()

    torch.manual_seed(0)
    whole, choices = Mixed().to(device), {"momentum": 0.9, "weight_decay": 0.1, "decay": "weights"} | choices
    optimizer = make_optimizer(whole, **choices)
    steps(whole, optimizer, range(3))
    resumed = copy.deepcopy(whole)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    anew = make_optimizer(resumed, **choices)
    anew.load_state_dict(torch.load(tmp_path / "state.pt", "cpu", weights_only=True))
    steps(whole, optimizer, range(3, 6)), steps(resumed, anew, range(3, 6))
    for found, expected in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_a_parameter_without_a_gradient_stays():
    network = Mixed()
    before = network.bn.weight.clone()
    optimizer = make_optimizer(network, "sgd", momentum=0.9, weight_decay=1.0, decay="all", rate_in_momentum=True)
    optimizer.param_groups[0]["lr"] = 1.0
    network.head[1].weight.grad = torch.ones(2, 4)
    optimizer.step()
    assert torch.equal(network.bn.weight, before)


def test_clipping_scales_rows_to_a_part_of_their_weights_norm():
    layer = nn.Linear(2, 3)
    layer.weight.data = torch.tensor([[3.0, 4.0], [0.0, 0.0], [6.0, 8.0]])
    layer.weight.grad = torch.tensor([[30.0, 40.0], [0.0, 2.0], [0.03, 0.04]])
    layer.bias.data = torch.tensor([3.0, 0.0, 4.0])
    layer.bias.grad = torch.tensor([0.0, 8.0, 6.0])
    clip_adaptively(layer, 0.01)
    # 50 to 0.01 * 5; 2 to 0.01 * 0.001; 0.05 is below 0.01 * 10; the bias is one unit: 10 to 0.01 * 5
    assert layer.weight.grad.flatten().tolist() == pytest.approx([0.03, 0.04, 0, 1e-5, 0.03, 0.04])
    assert layer.bias.grad.tolist() == pytest.approx([0, 0.04, 0.03])


def test_clipping_takes_a_filter_for_a_unit_and_agrees_with_timm():
    from timm.utils.agc import adaptive_clip_grad

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.Linear(4, 2))
    network[2].weight.requires_grad_(False)
    for p in network.parameters():
        p.grad = torch.randn_like(p) * torch.rand(len(p), *[1] * (p.dim() - 1)) ** 4 if p.requires_grad else None
    reference = copy.deepcopy(network)
    for p, copied in zip(network.parameters(), reference.parameters(), strict=True):
        copied.grad = None if p.grad is None else p.grad.clone()
    clip_adaptively(network, 0.3)
    adaptive_clip_grad(reference.parameters(), 0.3)
    for p, expected in zip(network.parameters(), reference.parameters(), strict=True):
        assert p.grad is None or torch.allclose(p.grad, expected.grad, rtol=1e-6, atol=0)
