"""The DenseNets for CIFAR against their paper and its authors' densenet.lua."""

import pytest
import torch
import torchvision
from torch import nn

from ilsvrc.config import registry
from ilsvrc.models.common import flops

LISTED = {
    "densenet40_12_cifar": 40,
    "densenet100_12_cifar": 100,
    "densenet100_24_cifar": 100,
    "densenet_bc_100_12_cifar": 100,
    "densenet_bc_190_40_cifar": 190,
    "densenet_bc_250_24_cifar": 250,
}


def weightless(name, **options):
    with torch.device("meta"):
        return registry.architecture(name)(**options)


@pytest.fixture(scope="module", params=["densenet10_3_cifar", "densenet_bc_16_3_cifar"])
def small(request):
    """Two layers a block, three maps each, with running statistics of its own."""
    torch.manual_seed(0)
    network = registry.architecture(request.param)()
    with torch.no_grad():
        network(torch.randn(8, 3, 16, 16))
    return network.eval()


@pytest.mark.parametrize(("name", "depth"), LISTED.items())
def test_the_name_is_the_number_of_layers_with_weights(name, depth):
    assert sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in weightless(name).modules()) == depth


@pytest.mark.parametrize("name", LISTED)
def test_blocks_work_at_32_and_16_and_8_px(name):
    found = flops.layers(weightless(name), 32)
    sides = [{layer.output_shape[1] for layer in found if f"denseblock{block}." in layer.name} for block in (1, 2, 3)]
    assert sides == [{32}, {16}, {8}]


@pytest.mark.parametrize(
    ("name", "millions"),
    [("densenet_bc_40_36_cifar", 1.5), ("densenet_bc_40_48_cifar", 2.7), ("densenet_bc_40_60_cifar", 4.3)],
)
def test_the_authors_wide_networks_have_the_parameters_that_they_print(name, millions):
    assert round(sum(p.numel() for p in weightless(name).parameters()) / 1e6, 1) == millions


def test_plain_networks_start_with_16_channels_and_keep_all_of_them_in_transitions():
    features = weightless("densenet40_12_cifar").features
    assert features.conv0.out_channels == 16
    assert features.transition1.conv.weight.shape == (160, 160, 1, 1)  # 16 + 12 * 12
    assert features.transition2.conv.weight.shape == (304, 304, 1, 1)
    assert features.norm_final.num_features == 448
    assert features.denseblock1.denselayer2.conv1.weight.shape == (12, 28, 3, 3)


def test_bc_networks_start_with_2k_channels_and_keep_half_of_them_in_transitions():
    features = weightless("densenet_bc_100_12_cifar").features
    assert features.conv0.out_channels == 24
    assert features.transition1.conv.weight.shape == (108, 216, 1, 1)  # 24 + 16 * 12 = 216
    assert features.transition2.conv.weight.shape == (150, 300, 1, 1)
    assert features.norm_final.num_features == 342
    assert features.denseblock1.denselayer2.conv1.weight.shape == (48, 36, 1, 1)
    assert features.denseblock1.denselayer2.conv2.weight.shape == (12, 48, 3, 3)


def test_no_convolution_has_biases(small):
    assert all(m.bias is None for m in small.modules() if isinstance(m, nn.Conv2d))


def test_a_block_keeps_earlier_maps_in_order_and_puts_new_ones_behind(small):
    block = small.features.denseblock1
    channels = small.features.conv0.out_channels
    x = torch.randn(1, channels, 7, 7)
    given = x.clone()
    with torch.no_grad():
        first = block.denselayer1(x)
        joined = block(x)
    assert joined.shape == (1, channels + 6, 7, 7)
    assert torch.equal(joined[:, :channels], given)
    assert torch.equal(joined[:, : channels + 3], first)


def test_a_layers_new_maps_depend_on_every_earlier_layers(small):
    layer = small.features.denseblock1.denselayer2
    channels = small.features.conv0.out_channels + 3
    x = torch.randn(1, channels, 7, 7, requires_grad=True)
    layer(x)[:, channels:].square().sum().backward()
    assert (x.grad.abs().sum(dim=(0, 2, 3)) > 0).all()


def test_a_layer_is_bn_relu_convolution_by_hand(small):
    layer = small.features.denseblock2.denselayer1
    x = torch.randn(2, layer.norm1.num_features, 5, 5)
    with torch.no_grad():
        expected = layer.conv1(torch.relu(layer.norm1(x)))
        if hasattr(layer, "conv2"):
            expected = layer.conv2(torch.relu(layer.norm2(expected)))
        assert torch.equal(layer(x)[:, x.shape[1] :], expected)


def test_a_transition_is_bn_relu_1_x_1_and_average_of_2_x_2(small):
    transition = small.features.transition1
    x = torch.randn(2, transition.norm.num_features, 6, 6)
    with torch.no_grad():
        mixed = transition.conv(torch.relu(transition.norm(x)))
        expected = mixed.reshape(2, -1, 3, 2, 3, 2).mean(dim=(3, 5))
        assert torch.allclose(transition(x), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["densenet40_12_cifar", "densenet_bc_100_12_cifar"])
def test_dropout_follows_every_convolution_but_the_first_and_is_off_by_default(name):
    kinds = [type(m) for m in weightless(name).modules() if isinstance(m, (nn.Conv2d, nn.Dropout))]
    assert kinds == [nn.Conv2d] + [nn.Conv2d, nn.Dropout] * (kinds.count(nn.Conv2d) - 1)
    assert {m.p for m in weightless(name).modules() if isinstance(m, nn.Dropout)} == {0.0}
    assert {m.p for m in weightless(name, dropout=0.2).modules() if isinstance(m, nn.Dropout)} == {0.2}


def test_parameters_have_torchvisions_names():
    names = list(weightless("densenet_bc_16_3_cifar").state_dict())
    assert "features.denseblock3.denselayer2.norm2.running_var" in names
    assert {"features.conv0.weight", "features.transition1.norm.weight", "features.transition2.conv.weight"} < set(
        names
    )
    assert names[-2:] == ["classifier.weight", "classifier.bias"]


def test_a_bottleneck_block_is_torchvisions_with_its_weights():
    torch.manual_seed(0)
    ours = registry.architecture("densenet_bc_16_3_cifar")().features.denseblock1.eval()
    theirs = torchvision.models.densenet._DenseBlock(2, 6, bn_size=4, growth_rate=3, drop_rate=0.0).eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 7, 7)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))


def test_depths_that_leave_a_rest_are_no_networks():
    for name in ("densenet41_12_cifar", "densenet_bc_103_12_cifar", "densenet4_12_cifar"):
        with pytest.raises(ValueError, match="no architecture is called"):
            registry.architecture(name)


def test_4_px_are_the_fewest_that_leave_a_pixel():
    assert weightless("densenet40_12_cifar", input_px=4)(torch.empty(2, 3, 4, 4, device="meta")).shape == (2, 10)
    with pytest.raises(ValueError, match="DenseNet for CIFAR takes images of 4 px or more, not 3"):
        weightless("densenet40_12_cifar", input_px=3)


def test_initialisation_is_hes_by_fan_out():
    torch.manual_seed(0)
    network = registry.architecture("densenet40_12_cifar")()
    network.initialize_as_paper()
    conv = network.features.denseblock3.denselayer12.conv1
    deviation = (2 / (9 * 12)) ** 0.5
    assert conv.weight.std().item() == pytest.approx(deviation, rel=0.03)
    assert abs(conv.weight.mean().item()) < 0.05 * deviation
    assert network.classifier.weight.abs().max().item() == pytest.approx(448**-0.5, rel=0.01)
    assert not network.classifier.bias.any()
