import pytest
import torch
from torch import nn

from ilsvrc.models.common.layers import Classifier, LocallyConnected2d
from ilsvrc.training.initialization import initialize


class Layers(Classifier):
    """256 * 9 values in, 64 * 9 out; 1000 in, 500 out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(256, 64, 3)
        self.norm = nn.BatchNorm2d(64)
        self.linear = nn.Linear(1000, 500)

    def initialize_as_paper(self) -> None:
        nn.init.constant_(self.linear.weight, 0.5)


@pytest.mark.parametrize(
    ("kind", "conv", "linear"),
    [("he_normal", (2 / 2304) ** 0.5, (2 / 1000) ** 0.5), ("glorot", (2 / 2880) ** 0.5, (2 / 1500) ** 0.5)],
)
def test_deviations_are_the_papers(kind, conv, linear):
    network = Layers()
    nn.init.constant_(network.norm.weight, 7.0)
    initialize(network, kind, seed=0)
    assert network.conv.weight.std().item() == pytest.approx(conv, rel=0.02)
    assert network.linear.weight.std().item() == pytest.approx(linear, rel=0.02)
    assert (network.norm.weight == 1).all()
    assert not any(module.bias.any() for module in (network.conv, network.norm, network.linear))


def test_weights_of_a_locally_connected_layer_see_one_position():
    class Local(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.local = LocallyConnected2d(16, 32, 3, side=6, padding=1)

    network = Local()
    for kind, deviation in (("he_normal", (2 / 144) ** 0.5), ("glorot", (2 / 176) ** 0.5)):
        initialize(network, kind, seed=0)
        assert network.local.weight.std().item() == pytest.approx(deviation, rel=0.02)
        assert not network.local.bias.any()


def test_the_papers_own_is_the_networks():
    network = Layers()
    initialize(network, "paper", seed=0)
    assert (network.linear.weight == 0.5).all()


def test_a_seed_gives_the_same_weights():
    first, again, other = Layers(), Layers(), Layers()
    for network, seed in ((first, 3), (again, 3), (other, 4)):
        initialize(network, "he_normal", seed)
    assert torch.equal(first.conv.weight, again.conv.weight)
    assert not torch.equal(first.conv.weight, other.conv.weight)
