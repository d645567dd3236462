import pytest
import torch
from torch import nn

from ilsvrc import plugins
from ilsvrc.training.optimizer import make_optimizer, parameter_groups


class Mixed(nn.Module):
    """Names that say nothing of what the modules are."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.Conv2d(3, 4, 1)
        self.weights = nn.BatchNorm2d(4)
        self.head = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2), nn.GroupNorm(1, 2), nn.Linear(2, 2, bias=False))


def test_decay_of_weights_spares_biases_and_normalisation_by_module_type():
    network = Mixed()
    decayed, spared = parameter_groups(network, 5e-4, "weights")
    assert [id(p) for p in decayed["params"]] == [id(m.weight) for m in (network.bn, network.head[1], network.head[3])]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (5e-4, 0.0)
    assert [tuple(p.shape) for p in spared["params"]] == [(4,), (4,), (4,), (4,), (4,), (2,), (2,), (2,)]


def test_decay_of_all_is_one_group_of_every_parameter():
    (group,) = parameter_groups(Mixed(), 5e-4, "all")
    assert len(group["params"]) == 11
    assert group["weight_decay"] == 5e-4


def test_every_parameter_is_in_one_group():
    network = plugins.architecture("resnet18")(num_classes=10, input_px=32)
    groups = parameter_groups(network, 1e-4, "weights")
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(map(id, network.parameters()))
    assert all(p.dim() > 1 for p in groups[0]["params"])


def test_sgd_takes_the_decay_into_the_momentum():
    parameter = nn.Parameter(torch.tensor([1.0]))
    module = nn.Module()
    module.register_parameter("weight", parameter)
    optimizer = make_optimizer(module, "sgd", momentum=0.5, weight_decay=0.1, decay="all")
    optimizer.param_groups[0]["lr"] = 0.1
    found = []
    for _ in range(2):
        parameter.grad = torch.tensor([1.0])
        optimizer.step()
        found.append(parameter.item())
    # v = 1 + 0.1, w = 1 - 0.11 = 0.89; v = 0.55 + 1 + 0.089 = 1.639, w = 0.89 - 0.1639
    assert found == pytest.approx([0.89, 0.7261], abs=1e-6)


def test_adamw_decays_apart_from_the_gradient():
    parameter = nn.Parameter(torch.tensor([1.0]))
    module = nn.Module()
    module.register_parameter("weight", parameter)
    optimizer = make_optimizer(module, "adamw", momentum=0.9, weight_decay=0.1, decay="all")
    optimizer.param_groups[0]["lr"] = 0.1
    parameter.grad = torch.tensor([7.0])
    optimizer.step()
    assert parameter.item() == pytest.approx(1 * (1 - 0.1 * 0.1) - 0.1, abs=1e-6)  # the first step's size is the rate


@pytest.mark.parametrize(
    ("kind", "decay", "said"), [("lars", "all", "sgd or adamw"), ("sgd", "biases", "weights or all")]
)
def test_what_does_not_exist_is_refused_with_what_does(kind: str, decay: str, said: str):
    with pytest.raises(ValueError, match=said):
        make_optimizer(Mixed(), kind, momentum=0.9, weight_decay=0.0, decay=decay)
