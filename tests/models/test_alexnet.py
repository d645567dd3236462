"""AlexNet against its paper."""

import pytest
import torch
from torch import nn

from ilsvrc import complexity
from ilsvrc.layers import LocalResponseNorm
from ilsvrc.models.alexnet import alexnet


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = alexnet(num_classes=3, input_px=80).eval()
    network.initialize_as_paper()
    return network


def test_layers_put_out_the_neurons_of_figure_2():
    with torch.device("meta"):
        network = alexnet()
    outputs = [layer.activations for layer in complexity.layers(network, 227) if layer.activations]
    # The first is 55 x 55 x 96: the 253,440 of Figure 2 fit neither 55 nor any other side of 96 channels.
    assert outputs == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]


def test_convolutions_2_4_and_5_are_two_towers_that_do_not_see_each_other(small):
    assert [conv.groups for conv in (small.conv1, small.conv2, small.conv3, small.conv4, small.conv5)] == [
        1,
        2,
        1,
        2,
        2,
    ]
    x = torch.randn(1, 96, 8, 8)
    other = x.clone()
    other[:, 48:] = torch.randn(1, 48, 8, 8)
    before, after = small.conv2(x), small.conv2(other)
    assert torch.equal(before[:, :128], after[:, :128])
    assert not torch.equal(before[:, 128:], after[:, 128:])


def test_normalisation_follows_the_relu_and_precedes_the_pooling(small):
    order = []
    hooks = [
        module.register_forward_hook(lambda m, given, _: order.append((type(m).__name__, bool((given[0] < 0).any()))))
        for module in (small.conv1, small.norm, small.pool)
    ]
    small(torch.randn(1, 3, 80, 80))
    for hook in hooks:
        hook.remove()
    assert order[:3] == [("Conv2d", True), ("LocalResponseNorm", False), ("MaxPool2d", False)]


def test_normalisation_has_the_papers_constants(small):
    assert isinstance(small.norm, LocalResponseNorm)
    assert (small.norm.k, small.norm.size, small.norm.alpha) == (2.0, 5, 1e-4)


def test_pooling_windows_overlap(small):
    assert (small.pool.kernel_size, small.pool.stride) == (3, 2)


def test_dropout_of_one_half_acts_on_the_two_hidden_linear_layers():
    torch.manual_seed(0)
    network = alexnet(num_classes=3, input_px=80).train()
    seen = []
    network.dropout.register_forward_hook(lambda module, given, output: seen.append((given[0], output)))
    network(torch.randn(8, 3, 80, 80))
    assert [given.shape for given, _ in seen] == [(8, 4096), (8, 4096)]
    for given, output in seen:
        assert (output[given > 0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_initialisation_is_section_5s(small):
    layers = [m for m in small.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert [m.bias.unique().tolist() for m in layers] == [[0.0], [1.0], [0.0], [1.0], [1.0], [1.0], [1.0], [0.0]]
    for layer in layers:
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert layer.weight.mean().item() == pytest.approx(0.0, abs=5e-4)
