import pytest
import torch
from torch import nn

from ilsvrc.config import registry
from ilsvrc.runtime.distributed import World
from ilsvrc.training.batch_norm import group_statistics
from ilsvrc.training.optimizer import make_optimizer, parameter_groups
from ilsvrc.training.parameter_groups import layer_settings


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        self.fc = nn.Linear(2, 2)


def by_name(network: nn.Module, values: dict[int, float]) -> dict[str, float]:
    return {name: values[id(p)] for name, p in network.named_parameters() if id(p) in values}


def test_biases_have_their_own_rate_and_those_of_normalisation_the_weights():
    network = Net()
    rates = by_name(network, layer_settings(network, bias_rate=2.0).rates)
    assert rates == {"conv1.bias": 2.0, "block.0.bias": 2.0, "block.2.bias": 2.0, "fc.bias": 2.0}
    assert layer_settings(network).rates == {}


@pytest.mark.parametrize(
    ("pattern", "layers"),
    [
        ("block.2", ["block.2"]),
        ("block", ["block.0", "block.2"]),
        ("conv*", ["conv1"]),
        ("Conv2d", ["conv1", "block.0", "block.2"]),
        ("_BatchNorm", ["norm"]),  # a type that the layer's is derived from
        ("[fn]*", ["norm", "fc"]),
    ],
)
def test_a_pattern_is_of_a_layers_name_of_what_holds_it_or_of_its_type(pattern, layers):
    network = Net()
    decays = by_name(network, layer_settings(network, layer_decays={pattern: 0.004}).decays)
    assert decays == {f"{layer}.{kind}": 0.004 for layer in layers for kind in ("weight", "bias")}


def test_a_layers_rate_and_its_biases_rate_multiply():
    network = Net()
    own = layer_settings(network, bias_rate=2.0, layer_rates={"fc": 0.1})
    rates = by_name(network, own.rates)
    assert (rates["fc.weight"], rates["fc.bias"], rates["conv1.bias"]) == (0.1, 0.2, 2.0)
    slower = own.times({id(network.fc.weight): 0.5, id(network.norm.weight): 0.5})
    rates = by_name(network, slower.rates)
    assert (rates["fc.weight"], rates["fc.bias"], rates["norm.weight"]) == (0.05, 0.2, 0.5)


def test_what_decay_spares_has_none_and_layers_have_their_own():
    network = Net()
    own = layer_settings(network, bias_rate=2.0, layer_decays={"conv*": 0.0, "block": 0.004})
    groups = parameter_groups(network, 0.01, "weights", **own._asdict())
    names = {id(p): name for name, p in network.named_parameters()}
    found = {(g["weight_decay"], g["rate_factor"]): [names[id(p)] for p in g["params"]] for g in groups}
    assert found == {
        (0.0, 1.0): ["conv1.weight", "norm.weight", "norm.bias"],
        (0.0, 2.0): ["conv1.bias", "block.0.bias", "block.2.bias", "fc.bias"],
        (0.004, 1.0): ["block.0.weight", "block.2.weight"],
        (0.01, 1.0): ["fc.weight"],
    }


def test_a_step_moves_weights_and_biases_as_counted_by_hand():
    network = nn.Sequential(nn.Linear(1, 1))
    nn.init.constant_(network[0].weight, 3.0), nn.init.constant_(network[0].bias, 5.0)
    own = layer_settings(network, bias_rate=2.0, layer_decays={"Linear": 0.5})
    optimizer = make_optimizer(
        network, "sgd", momentum=0.0, weight_decay=9.0, decay="weights", rate_in_momentum=True, **own._asdict()
    )
    for group in optimizer.param_groups:
        group["lr"] = 0.1 * group["rate_factor"]
    network[0].weight.grad, network[0].bias.grad = torch.ones(1, 1), torch.ones(1)
    optimizer.step()
    assert network[0].weight.item() == pytest.approx(3 - 0.1 * (1 + 0.5 * 3))
    assert network[0].bias.item() == pytest.approx(5 - 0.2 * 1)


def test_grouping_batch_norms_leaves_what_was_said_of_them():
    network = Net()
    own = layer_settings(network, layer_decays={"BatchNorm2d": 0.25})
    group_statistics(network, 2, 4, World())
    assert by_name(network, own.decays) == {"norm.weight": 0.25, "norm.bias": 0.25}


def test_a_pattern_that_names_no_layer_is_refused_with_those_that_there_are():
    said = (
        r"layer_rates: cccp6 names no layer; there are mlpconv1.0, mlpconv1.2, .*mlpconv3.4, of the types Conv2d "
        r"\(training: in params.yaml\)"
    )
    with torch.device("meta"):
        network = registry.architecture("nin_cifar")()
    with pytest.raises(ValueError, match=said):
        layer_settings(network, layer_rates={"cccp6": 0.1, "mlpconv1": 1.0})


def test_two_patterns_for_one_layer_are_refused():
    with pytest.raises(ValueError, match=r"layer_decays: block and Conv2d both name block.0"):
        layer_settings(Net(), layer_decays={"block": 0.0, "Conv2d": 0.1})


def test_a_long_list_of_layers_is_cut():
    with torch.device("meta"):
        network = registry.architecture("googlenet")()
    with pytest.raises(ValueError, match=r"conv1, conv2_reduce, .* and 52 more, of the types ConvReLU, Linear "):
        layer_settings(network, layer_rates={"fc": 0.1})
