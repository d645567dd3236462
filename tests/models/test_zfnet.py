"""ZFNet against its paper."""

import pytest
import torch
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.common.layers import LocalResponseNorm
from ilsvrc.models.zfnet import zfnet, zfnet_b


@pytest.fixture(scope="module")
def at_224():
    with torch.device("meta"):
        return zfnet()


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = zfnet(num_classes=3, input_px=63).eval()
    network.initialize_as_paper()
    return network


def test_feature_maps_have_the_sizes_of_figure_3(at_224):
    found = flops.layers(at_224, 224)
    assert [layer.output_shape for layer in found if layer.kind in ("Conv2d", "MaxPool2d")] == [
        (96, 110, 110),
        (96, 55, 55),
        (256, 26, 26),
        (256, 13, 13),
        (384, 13, 13),
        (384, 13, 13),
        (256, 13, 13),
        (256, 6, 6),
    ]
    assert [layer.output_shape for layer in found if layer.kind == "Linear"] == [(4096,), (4096,), (1000,)]


def test_kernels_strides_and_paddings_are_those_of_figure_3_and_the_docstring(at_224):
    convolutions = [m for m in at_224.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.kernel_size[0], m.stride[0], m.padding[0]) for m in convolutions] == [
        (7, 2, 1),
        (5, 2, 0),
        (3, 1, 1),
        (3, 1, 1),
        (3, 1, 1),
    ]


def test_connections_are_dense_where_alexnet_has_two_towers(at_224):
    assert all(m.groups == 1 for m in at_224.modules() if isinstance(m, nn.Conv2d))


def test_parameters_are_the_sum_of_figure_3_by_hand(at_224):
    weights = 96 * 3 * 49, 256 * 96 * 25, 384 * 256 * 9, 384 * 384 * 9, 256 * 384 * 9
    linear = 4096 * 256 * 36, 4096 * 4096, 1000 * 4096
    biases = 96, 256, 384, 384, 256, 4096, 4096, 1000
    assert sum(p.numel() for p in at_224.parameters()) == sum(weights + linear + biases) == 62_357_608


def test_model_b_widens_layers_3_to_5():
    with torch.device("meta"):
        network = zfnet_b()
    widths = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [96, 256, 512, 1024, 512]


def test_each_of_the_first_two_layers_is_rectified_then_pooled_then_normalised(small):
    order = []
    hooks = [
        module.register_forward_hook(lambda m, given, _: order.append((type(m).__name__, bool((given[0] < 0).any()))))
        for module in (small.conv1, small.conv2, small.conv3, small.norm, small.pool)
    ]
    small(torch.randn(1, 3, 63, 63))
    for hook in hooks:
        hook.remove()
    first = [("Conv2d", True), ("MaxPool2d", False), ("LocalResponseNorm", False)]
    others = [("Conv2d", False), ("MaxPool2d", False), ("LocalResponseNorm", False)]
    assert order == first + others + [("Conv2d", False), ("MaxPool2d", False)]


def test_normalisation_across_feature_maps_has_alexnets_constants(small):
    assert isinstance(small.norm, LocalResponseNorm)
    assert (small.norm.k, small.norm.size, small.norm.alpha) == (2.0, 5, 1e-4)


def test_dropout_of_one_half_follows_the_two_hidden_linear_layers(small):
    given = []
    hook = small.dropout.register_forward_hook(lambda m, x, _: given.append((m.p, tuple(x[0].shape))))
    small(torch.randn(2, 3, 63, 63))
    hook.remove()
    assert given == [(0.5, (2, 4096)), (0.5, (2, 4096))]


def test_47_px_are_the_fewest_that_leave_a_pixel():
    with torch.device("meta"):
        assert zfnet(input_px=47)(torch.empty(2, 3, 47, 47)).shape == (2, 1000)
    with pytest.raises(ValueError, match="ZFNet takes images of 47 px or more, not 46"):
        zfnet(input_px=46)


@pytest.mark.parametrize("side", [47, 48, 64, 65, 79, 100, 223, 225, 299])
def test_the_linear_layers_fit_every_size(side):
    with torch.device("meta"):
        assert zfnet(input_px=side)(torch.empty(1, 3, side, side)).shape == (1, 1000)


def test_initialisation_is_normal_of_a_hundredth_with_biases_of_0(small):
    layers = [m for m in small.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert all(m.weight.std().item() == pytest.approx(0.01, rel=0.03) for m in layers)
    assert all(abs(m.weight.mean().item()) < 5e-4 for m in layers)
    assert not any(m.bias.any() for m in layers)
