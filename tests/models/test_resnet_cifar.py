"""CIFAR's ResNets against section 4.2 of their paper."""

import pytest
import torch
from residual_networks import build, initialized, weightless
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.resnet import BasicBlock, PlainBlock, ZeroPaddedShortcut


@pytest.mark.parametrize(
    ("name", "depth"),
    [(f"resnet{depth}_cifar", depth) for depth in (20, 32, 44, 56, 110)]
    + [(f"plain{depth}_cifar", depth) for depth in (20, 32, 44, 56)],
)
def test_as_many_layers_carry_weights_as_the_name_says(name, depth):
    network = weightless(name)
    assert sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in network.modules()) == depth
    assert all(len(stage) == (depth - 2) // 6 for stage in (network.layer1, network.layer2, network.layer3))


def test_stages_have_16_32_and_64_channels_at_32_16_and_8_px():
    layers = flops.layers(weightless("resnet20_cifar"), 32)
    sizes = {layer.name: layer.output_shape for layer in layers}
    assert sizes["conv1"] == (16, 32, 32)
    assert [sizes[f"layer{i}.2.conv2"] for i in (1, 2, 3)] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_two_of_the_3n_shortcuts_change_the_shape_and_none_has_weights():
    network = weightless("resnet56_cifar")
    assert sum(type(m) is BasicBlock for m in network.modules()) == 27
    assert [name for name, m in network.named_modules() if isinstance(m, ZeroPaddedShortcut)] == [
        "layer2.0.downsample",
        "layer3.0.downsample",
    ]
    assert not any("downsample" in key for key in network.state_dict())


def test_plain_networks_have_the_same_weights_and_no_shortcuts():
    residual, plain = weightless("resnet44_cifar"), weightless("plain44_cifar")
    assert list(residual.state_dict()) == list(plain.state_dict())
    assert {type(block) for block in plain.layer2} == {PlainBlock}


def test_a_network_of_zero_residuals_shows_the_classifier_its_stem():
    network = build("resnet20_cifar").eval()
    for block in network.modules():
        if isinstance(block, BasicBlock):
            nn.init.zeros_(block.bn2.weight)
    images = torch.randn(2, 3, 32, 32)
    stem = network.bn1(network.conv1(images)).clamp(min=0)[:, :, ::4, ::4].mean(dim=(2, 3))
    expected = nn.functional.linear(stem, network.fc.weight[:, :16], network.fc.bias)  # the other 48 channels are 0
    assert torch.allclose(network(images), expected, atol=1e-6)


def test_split_padding_puts_half_of_the_new_channels_before_and_half_behind():
    images = torch.arange(1.0, 1 + 2 * 4 * 4).reshape(1, 2, 4, 4)
    padded = ZeroPaddedShortcut(2, 4, 2, split=True)(images)
    assert padded[0].tolist() == [[[0, 0], [0, 0]], [[1, 3], [9, 11]], [[17, 19], [25, 27]], [[0, 0], [0, 0]]]
    split, behind = weightless("resnet56_cifar_split_padding"), weightless("resnet56_cifar")
    assert list(split.state_dict()) == list(behind.state_dict())


def test_the_same_seed_starts_plain_and_residual_networks_alike():
    residual, plain = (initialized(name).state_dict() for name in ("resnet20_cifar", "plain20_cifar"))
    assert all(torch.equal(residual[key], plain[key]) for key in residual)


def test_initialisation_is_he_normal_by_fan_out():
    network = initialized("resnet20_cifar")
    weight = network.layer3[0].conv1.weight  # 32 channels to 64
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert not network.fc.bias.any()


def test_a_picture_of_4_px_is_the_least():
    with pytest.raises(ValueError, match="ResNet for CIFAR takes images of 4 px or more, not 3"):
        build("resnet20_cifar", input_px=3)
