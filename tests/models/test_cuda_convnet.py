"""cuda-convnet's networks for CIFAR-10 against the authors' files."""

import pytest
import torch
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.common.layers import LocalResponseNorm
from ilsvrc.models.cuda_convnet import cuda_convnet_cifar, cuda_convnet_no_lrn_cifar, cuda_convnet_tanh_cifar

BUILDERS = [cuda_convnet_cifar, cuda_convnet_no_lrn_cifar, cuda_convnet_tanh_cifar]


def weightless(build, *given):
    with torch.device("meta"):
        return build(*given)


def test_with_normalisation_layers_follow_the_11_percent_file():
    found = flops.layers(weightless(cuda_convnet_cifar), 24)
    assert [(layer.kind, layer.output_shape) for layer in found if layer.kind != "FixedSize"] == [
        ("Conv2d", (64, 24, 24)),
        ("MaxPool2d", (64, 12, 12)),
        ("LocalResponseNorm", (64, 12, 12)),
        ("Conv2d", (64, 12, 12)),
        ("LocalResponseNorm", (64, 12, 12)),
        ("MaxPool2d", (64, 6, 6)),
        ("LocallyConnected2d", (64, 6, 6)),
        ("LocallyConnected2d", (32, 6, 6)),
        ("Linear", (10,)),
    ]


@pytest.mark.parametrize("build", [cuda_convnet_no_lrn_cifar, cuda_convnet_tanh_cifar])
def test_without_normalisation_layers_follow_the_13_percent_file(build):
    found = flops.layers(weightless(build), 24)
    assert [(layer.kind, layer.output_shape) for layer in found if layer.kind not in ("FixedSize", "Identity")] == [
        ("Conv2d", (64, 24, 24)),
        ("MaxPool2d", (64, 12, 12)),
        ("Conv2d", (64, 12, 12)),
        ("MaxPool2d", (64, 6, 6)),
        ("LocallyConnected2d", (32, 6, 6)),
        ("LocallyConnected2d", (32, 6, 6)),
        ("Linear", (10,)),
    ]


@pytest.mark.parametrize(("build", "local3"), [(cuda_convnet_cifar, 64), (cuda_convnet_no_lrn_cifar, 32)])
def test_parameters_are_those_of_the_layers_by_hand(build, local3):
    convolutions = 64 * (3 * 25 + 1) + 64 * (64 * 25 + 1)
    local = 36 * local3 * (64 * 9 + 1) + 36 * 32 * (local3 * 9 + 1)  # weights and biases of their own at 36 positions
    assert flops.count(weightless(build), 24).parameters == convolutions + local + 10 * (32 * 36 + 1)


def test_normalisation_divides_the_files_scale_by_its_nine_channels():
    norm = weightless(cuda_convnet_cifar).norm
    assert isinstance(norm, LocalResponseNorm)
    assert (norm.size, norm.k, norm.groups) == (9, 1.0, 1)
    x = torch.randn(1, 64, 3, 3) * 50
    assert torch.allclose(norm(x), nn.LocalResponseNorm(9, alpha=0.001, beta=0.75, k=1.0)(x), rtol=1e-4, atol=1e-5)


def test_pooling_covers_the_last_row_and_column():
    network = weightless(cuda_convnet_cifar)
    x = torch.zeros(1, 1, 24, 24)
    x[..., 23, 23] = 1.0
    assert network.pool(x).shape == (1, 1, 12, 12)
    assert network.pool(x)[0, 0, 11, 11] == 1


def test_figure_1s_pair_differs_in_the_activation_alone():
    relu, tanh = weightless(cuda_convnet_no_lrn_cifar), weightless(cuda_convnet_tanh_cifar)
    assert (relu.activation, tanh.activation) == (torch.relu_, torch.tanh_)
    assert {name: p.shape for name, p in relu.named_parameters()} == {
        name: p.shape for name, p in tanh.named_parameters()
    }


@pytest.mark.parametrize(
    ("build", "low", "high"), [(cuda_convnet_no_lrn_cifar, 0, 1e9), (cuda_convnet_tanh_cifar, -1, 1)]
)
def test_every_layer_but_the_last_is_followed_by_its_activation(build, low, high):
    torch.manual_seed(0)
    network = build()
    network.initialize_as_paper()
    nn.init.normal_(network.conv1.weight)
    seen = []
    for layer in (network.conv2, network.local3, network.local4, network.fc10):
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    logits = network(torch.randn(2, 3, 24, 24) * 10)
    assert len(seen) == 4
    for x in seen:
        assert low <= x.min() < x.max() <= high
        assert (x == 0).any() == (low == 0)
    assert logits.min() < 0 < logits.max()


def test_other_sizes_are_refused_since_local_weights_belong_to_positions():
    network = weightless(cuda_convnet_cifar)
    with pytest.raises(ValueError, match=r"built for images of 24 x 24 px.* 6 x 6 pixels and not 8 x 8.*crop_px"):
        network(torch.empty(1, 3, 32, 32, device="meta"))
    assert weightless(cuda_convnet_cifar, 10, 32)(torch.empty(1, 3, 32, 32, device="meta")).shape == (1, 10)


@pytest.mark.parametrize("side", [4, 5, 6, 7, 24, 25, 26, 27, 32])
def test_the_locally_connected_layers_fit_any_side(side):
    assert weightless(cuda_convnet_cifar, 10, side)(torch.empty(1, 3, side, side, device="meta")).shape == (1, 10)


def test_4_px_are_the_fewest():
    with pytest.raises(ValueError, match="takes images of 4 px or more, not 3"):
        weightless(cuda_convnet_cifar, 10, 3)


@pytest.mark.parametrize("build", BUILDERS)
def test_initialisation_is_the_files(build):
    torch.manual_seed(0)
    network = build()
    network.initialize_as_paper()
    deviations = {"conv1": 1e-4, "conv2": 0.01, "local3": 0.04, "local4": 0.04, "fc10": 0.01}
    for name, deviation in deviations.items():
        layer = getattr(network, name)
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert layer.weight.mean().item() == pytest.approx(0.0, abs=0.05 * deviation)
        assert not layer.bias.any()
