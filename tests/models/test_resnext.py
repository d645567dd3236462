"""ResNeXt and WRN-50-2 against their papers, and against torchvision with the same weights."""

import pytest
import timm
import torch
import torchvision
from residual_networks import agree, build, initialized, shapes, weightless
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.resnet import OPTION_B, Bottleneck, ProjectionShortcut


def theirs(name, **options):
    """torchvision's network; of ResNeXt-101 32x4d, which it lacks, timm's class with the same arguments."""
    if name == "resnext101_32x4d":
        bottleneck = timm.models.resnet.Bottleneck
        return timm.models.resnet.ResNet(bottleneck, (3, 4, 23, 3), cardinality=32, base_width=4, **options)
    return getattr(torchvision.models, {"wrn_50_2": "wide_resnet50_2"}.get(name, name))(**options)


@pytest.mark.parametrize("name", ["resnext50_32x4d", "resnext101_32x4d", "resnext101_64x4d", "wrn_50_2"])
def test_state_dicts_have_torchvisions_names_and_shapes(name):
    with torch.device("meta"):
        assert shapes(weightless(name)) == shapes(theirs(name))


@pytest.mark.parametrize("name", ["resnext50_32x4d", "wrn_50_2"])
def test_networks_are_torchvisions_with_its_weights(name):
    assert agree(build(name, num_classes=5), theirs(name, num_classes=5))


def test_channels_of_one_group_see_only_their_group():
    torch.manual_seed(0)
    block = Bottleneck(OPTION_B, 256, 256, 1, stride_in_3x3=True, groups=32, base_width=4)
    x = torch.zeros(1, 128, 3, 3)
    x[:, 4:8] = 1.0  # the second of 32 groups
    seen = block.conv2(x).abs().sum(dim=(0, 2, 3)).nonzero().flatten().tolist()
    assert seen == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("name", "block", "groups", "widths"),
    [
        ("resnext50_32x4d", "layer1.0", 32, (64, 128, 256)),
        ("resnext50_32x4d", "layer4.0", 32, (1024, 1024, 2048)),
        ("resnext101_64x4d", "layer1.1", 64, (256, 256, 256)),
        ("resnext29_8x64d_cifar", "layer1.0", 8, (64, 512, 256)),
        ("resnext29_8x64d_cifar", "layer3.2", 8, (1024, 2048, 1024)),
        ("resnext29_16x64d_cifar", "layer2.0", 16, (256, 2048, 512)),
        ("wrn_50_2", "layer1.0", 1, (64, 128, 256)),
        ("wrn_50_2", "layer4.2", 1, (2048, 1024, 2048)),
    ],
)
def test_bottlenecks_have_the_papers_widths_and_groups(name, block, groups, widths):
    block = weightless(name).get_submodule(block)
    assert (block.conv1.in_channels, block.conv2.in_channels, block.conv3.out_channels) == widths
    assert (block.conv1.groups, block.conv2.groups, block.conv3.groups) == (1, groups, 1)


@pytest.mark.parametrize("name", ["resnext50_32x4d", "resnext29_8x64d_cifar", "wrn_50_2"])
def test_the_stride_stands_in_the_3x3(name):
    block = weightless(name).layer2[0]
    assert [conv.stride[0] for conv in (block.conv1, block.conv2, block.conv3)] == [1, 2, 1]


@pytest.mark.parametrize(
    ("name", "depth", "projections"), [("resnext101_64x4d", 101, 4), ("resnext29_16x64d_cifar", 29, 3)]
)
def test_as_many_layers_carry_weights_as_the_name_says(name, depth, projections):
    network = weightless(name)
    assert sum(isinstance(m, ProjectionShortcut) for m in network.modules()) == projections
    assert sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in network.modules()) == depth + projections


def test_cifar_stages_have_32_16_and_8_px():
    layers = flops.layers(weightless("resnext29_8x64d_cifar"), 32)
    sizes = {layer.name: layer.output_shape for layer in layers}
    assert sizes["conv1"] == (64, 32, 32)
    assert [sizes[f"layer{i}.2.conv3"] for i in (1, 2, 3)] == [(256, 32, 32), (512, 16, 16), (1024, 8, 8)]


def test_cifar_activates_after_the_addition():
    torch.manual_seed(0)
    network = build("resnext29_8x64d_cifar")
    assert (network.layer1(torch.randn(1, 64, 4, 4)) >= 0).all()


@pytest.mark.parametrize(
    ("name", "layer", "fan"),
    [
        ("resnext50_32x4d", "conv1", 128),
        ("resnext50_32x4d", "conv2", 128 * 9),  # fb.resnet.torch's fan-out leaves the groups out of account
        ("resnext29_8x64d_cifar", "conv1", 512),
        ("wrn_50_2", "conv1", 64),  # fan-in
    ],
)
def test_initialisation_is_he_normal(name, layer, fan):
    network = initialized(name)
    weight = network.layer1[0].get_submodule(layer).weight
    assert weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.03)
    assert not network.fc.bias.any()
