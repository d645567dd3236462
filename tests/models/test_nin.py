"""NIN against its paper and its author's definition for CIFAR-10."""

import pytest
import torch
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.nin import MlpConv, nin_cifar


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = nin_cifar().eval()
    network.initialize_as_paper()
    return network


def test_convolutions_are_those_of_the_authors_definition(network):
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.out_channels, m.kernel_size[0], m.padding[0]) for m in convolutions] == [
        (192, 5, 2),
        (160, 1, 0),
        (96, 1, 0),
        (192, 5, 2),
        (192, 1, 0),
        (192, 1, 0),
        (192, 3, 1),
        (192, 1, 0),
        (10, 1, 0),
    ]
    assert all(m.bias is not None and m.stride == (1, 1) for m in convolutions)


def test_poolings_round_up_so_that_the_last_average_is_over_8_x_8(network):
    found = flops.layers(network, 32)
    assert [layer.output_shape for layer in found if layer.kind == "MaxPool2d"] == [(96, 16, 16), (192, 8, 8)]
    assert [layer.output_shape for layer in found[-2:]] == [(10, 8, 8), (10,)]


def test_a_relu_follows_every_convolution_also_the_last(network):
    for block in (network.mlpconv1, network.mlpconv2, network.mlpconv3):
        assert [type(m) for m in block] == [nn.Conv2d, nn.ReLU] * 3
    with torch.no_grad():
        assert (network(torch.randn(4, 3, 32, 32)) >= 0).all()


def test_a_logit_is_the_average_of_its_own_map(network):
    images = torch.randn(2, 3, 32, 32)
    maps = []
    hook = network.mlpconv3.register_forward_hook(lambda _, __, output: maps.append(output))
    with torch.no_grad():
        logits = network(images)
    hook.remove()
    assert torch.allclose(logits[1, 7], maps[0][1, 7].sum() / 64)


def test_an_mlpconv_layer_is_one_perceptron_slid_over_the_picture():
    torch.manual_seed(0)
    block = MlpConv(2, 5, 4, 3, kernel=3)
    x = torch.randn(1, 2, 6, 6)
    patch = x[0, :, 1:4, 2:5].reshape(-1)  # around row 2, column 3
    for convolution in (block[0], block[2], block[4]):
        patch = torch.relu(convolution.weight.flatten(1) @ patch + convolution.bias)
    assert torch.allclose(block(x)[0, :, 2, 3], patch, atol=1e-6)


def test_dropout_of_one_half_follows_the_two_poolings():
    order = []
    network = nin_cifar()
    for module in (network.pool, network.dropout):
        module.register_forward_hook(lambda m, _, __: order.append(type(m).__name__))
    network(torch.randn(1, 3, 32, 32))
    assert order == ["MaxPool2d", "Dropout"] * 2
    assert network.dropout.p == 0.5


def test_4_px_are_the_fewest_that_leave_a_pixel():
    with torch.device("meta"):
        assert nin_cifar(input_px=4)(torch.empty(2, 3, 4, 4)).shape == (2, 10)
    with pytest.raises(ValueError, match="NIN takes images of 4 px or more, not 3"):
        nin_cifar(input_px=3)


def test_initialisation_is_normal_of_a_twentieth_with_biases_of_0(network):
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.weight.std().item() == pytest.approx(0.05, rel=0.05) for m in convolutions)
    assert all(abs(m.weight.mean().item()) < 4e-3 for m in convolutions)
    assert not any(m.bias.any() for m in convolutions)
