"""Networks in int8: what becomes of their layers, and why some have no such form."""

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from ilsvrc.models.alexnet_two_gpu import alexnet_two_gpu
from ilsvrc.models.bn_inception import bn_inception
from ilsvrc.models.common.layers import LocalResponseNorm
from ilsvrc.profiling import int8, memory


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def calibration(side: int = 16) -> list[torch.Tensor]:
    return [torch.randn(8, 3, side, side) for _ in range(4)]


def layers(*more: nn.Module) -> nn.Sequential:
    """A convolution, `more`, and a linear layer."""
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *more, nn.Flatten(), nn.Linear(8 * 16 * 16, 5)).eval()


def test_convolutions_with_their_norms_and_linear_layers_are_in_int8_and_near_what_they_were():
    network, images = layers(nn.BatchNorm2d(8), nn.ReLU()), calibration()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    made = int8.quantize(network, images)
    assert (made.int8_layers, made.layers) == (2, 2)
    with torch.no_grad():
        expected, found = network(images[0]), made.network(images[0])
    assert 0 < (found - expected).abs().max() < 0.1 * expected.std()
    assert memory.weight_bytes(made.network) < 0.6 * memory.weight_bytes(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_has_no_form_in_int8_runs_in_float_between_layers_that_have():
    made = int8.quantize(layers(LocalResponseNorm()), calibration())
    assert (made.int8_layers, made.layers) == (2, 2)
    assert any(isinstance(module, LocalResponseNorm) for module in made.network.modules())


def test_layers_are_made_plain_to_the_same_function():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding="valid"), BatchNormAct2d(8, act_layer=nn.ReLU), nn.Conv2d(8, 4, 3, padding="same"),
        nn.BatchNorm2d(4, affine=False),
    ).eval()  # fmt: skip
    network[1].running_mean.normal_()
    network[3].running_var.uniform_(0.5, 2)
    images = calibration()[0]
    with torch.no_grad():
        expected = network(images)
        found = int8.plain(network)(images)
    assert torch.equal(found, expected)
    assert type(network[1][0]) is nn.BatchNorm2d
    assert (network[0].padding, network[2].padding, network[3].affine) == ((0, 0), (1, 1), True)


class Forks(nn.Module):
    """Its convolution depends on what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.conv(x) if x.mean() > 0 else x


def test_a_network_whose_layers_depend_on_the_picture_says_why_it_has_no_int8_form():
    with pytest.raises(ValueError, match=r"Forks cannot be traced \(.*control flow"):
        int8.quantize(nn.Sequential(Forks()).eval(), calibration())


def test_pooling_that_looks_at_sizes_does_not_stand_in_the_way():
    found = int8.untraced(bn_inception(num_classes=10, input_px=32).eval())
    assert len(found) == 1


def test_a_network_over_two_devices_has_no_int8_form_and_says_so():
    with pytest.raises(ValueError, match="has no attribute 'weight'"):
        int8.quantize(alexnet_two_gpu(num_classes=10, input_px=67).eval(), calibration(67))
