"""The DenseNets for ImageNet against their paper and torchvision."""

from math import prod

import pytest
import torch
import torchvision
from torch import nn

from ilsvrc.config import registry
from ilsvrc.models.common import flops
from ilsvrc.models.densenet import densenet121

LAYERS = {  # Table 1: 1 x 1 and 3 x 3 pairs of the dense blocks
    "densenet121": (6, 12, 24, 16),
    "densenet169": (6, 12, 32, 32),
    "densenet201": (6, 12, 48, 32),
    "densenet264": (6, 12, 64, 48),
    "densenet161": (6, 12, 36, 24),
}
TORCHVISIONS = [name for name in LAYERS if name != "densenet264"]


def weightless(name):
    with torch.device("meta"):
        return registry.architecture(name)()


@pytest.mark.parametrize("name", LAYERS)
def test_the_name_is_the_number_of_layers_with_weights_or_one_less_for_264(name):
    layers = [m for m in weightless(name).modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == int(name.removeprefix("densenet")) + (name == "densenet264")


@pytest.mark.parametrize("name", LAYERS)
def test_blocks_have_the_layers_and_sizes_of_table_1(name):
    found = flops.layers(weightless(name), 224)
    blocks = [
        [layer.output_shape[1] for layer in found if f"denseblock{block}." in layer.name and "conv2" in layer.name]
        for block in (1, 2, 3, 4)
    ]
    assert blocks == [[side] * count for side, count in zip((56, 28, 14, 7), LAYERS[name], strict=True)]


@pytest.mark.parametrize(("name", "growth"), [("densenet121", 32), ("densenet264", 32), ("densenet161", 48)])
def test_channels_follow_from_the_growth_rate_by_hand(name, growth):
    features = weightless(name).features
    channels = 2 * growth
    assert features.conv0.out_channels == channels
    for block, num_layers in enumerate(LAYERS[name], start=1):
        dense = features.get_submodule(f"denseblock{block}")
        assert dense.denselayer1.conv1.weight.shape == (4 * growth, channels, 1, 1)
        assert dense.denselayer2.conv1.in_channels == channels + growth
        assert dense.denselayer1.conv2.weight.shape == (growth, 4 * growth, 3, 3)
        channels += num_layers * growth
        if block < 4:
            transition = features.get_submodule(f"transition{block}").conv
            assert transition.weight.shape == (channels // 2, channels, 1, 1)
            channels //= 2
    assert features.norm5.num_features == channels


@pytest.mark.parametrize("name", TORCHVISIONS)
def test_names_and_shapes_of_parameters_are_torchvisions(name):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)()
    shapes = {key: value.shape for key, value in weightless(name).state_dict().items()}
    assert shapes == {key: value.shape for key, value in theirs.state_dict().items()}


def test_torchvisions_weights_give_torchvisions_logits():
    torch.manual_seed(0)
    theirs, ours = torchvision.models.densenet121(num_classes=3).eval(), densenet121(num_classes=3).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 40, 33)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


def test_a_block_keeps_earlier_maps_in_order_and_each_layer_sees_them_all():
    torch.manual_seed(0)
    block = densenet121(num_classes=2).features.denseblock1.eval()
    x = torch.randn(1, 64, 5, 5)
    with torch.no_grad():
        joined = block(x)
        assert joined.shape == (1, 64 + 6 * 32, 5, 5)
        assert torch.equal(joined[:, :64], x)
        for i, layer in enumerate(block.values()):
            start = 64 + 32 * i
            assert torch.equal(joined[:, start : start + 32], layer(joined[:, :start]))


def test_checkpointing_and_dropout_stay_off():
    layers = weightless("densenet121").features.denseblock4.values()
    assert {(layer.memory_efficient, layer.drop_rate) for layer in layers} == {(False, 0.0)}


def test_29_px_are_the_fewest_that_leave_a_pixel():
    with torch.device("meta"):
        assert densenet121(input_px=29)(torch.empty(2, 3, 29, 29)).shape == (2, 1000)
    with pytest.raises(ValueError, match="DenseNet takes images of 29 px or more, not 28"):
        densenet121(input_px=28)


def test_initialisation_is_hes_by_fan_in():
    torch.manual_seed(0)
    network = densenet121(num_classes=50)
    network.initialize_as_paper()
    for conv in (network.features.conv0, network.features.denseblock4.denselayer16.conv2):
        deviation = (2 / prod(conv.weight.shape[1:])) ** 0.5
        assert conv.weight.std().item() == pytest.approx(deviation, rel=0.03)
        assert abs(conv.weight.mean().item()) < 0.05 * deviation
    assert network.classifier.weight.abs().max().item() == pytest.approx(1024**-0.5, rel=0.01)
    assert not network.classifier.bias.any()
