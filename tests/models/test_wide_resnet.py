"""Wide ResNets against their paper and the authors' Torch code."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ilsvrc.config import registry
from ilsvrc.models.common import flops
from ilsvrc.models.wide_resnet import WideBlock

LISTED = [name for name in registry.names("models") if name.startswith("wrn_") and name.endswith("_cifar")]


def build(name, **options):
    with torch.device("meta"):
        return registry.architecture(name)(**options)


def counted_as_the_authors_build(depth, widening, num_classes):
    """Parameters by wide-resnet.lua: no biases in convolutions, a projection where the width changes."""
    widths = [16, 16 * widening, 32 * widening, 64 * widening]
    total = 3 * 9 * 16 + 2 * widths[3] + (widths[3] + 1) * num_classes
    for before, width in pairwise(widths):
        for channels in [before] + [width] * ((depth - 4) // 6 - 1):
            total += 2 * channels + 9 * channels * width + 2 * width + 9 * width * width
            total += channels * width if channels != width else 0
    return total


@pytest.mark.parametrize(
    ("name", "num_classes"), [*((name, 10) for name in LISTED), ("wrn_28_10_cifar", 100), ("wrn_10_3_cifar", 10)]
)
def test_parameters_are_those_of_the_authors_definition(name, num_classes):
    depth, widening = map(int, name.split("_")[1:3])
    counted = sum(p.numel() for p in build(name, num_classes=num_classes).parameters())
    assert counted == counted_as_the_authors_build(depth, widening, num_classes)


@pytest.mark.parametrize("name", LISTED)
def test_depth_counts_the_convolutions_with_three_projections_and_no_linear_layer(name):
    depth = int(name.split("_")[1])
    convolutions = [m for m in build(name).modules() if isinstance(m, nn.Conv2d)]
    projections = sum(m.kernel_size == (1, 1) for m in convolutions)
    assert len(convolutions) - projections == depth - 3
    assert projections == (2 if name.endswith("_1_cifar") else 3)


@pytest.mark.parametrize("name", ["wrn_15_4_cifar", "wrn_16_0_cifar", "wrn_4_1_cifar"])
def test_depths_that_are_not_6n_plus_4_have_no_network(name):
    with pytest.raises(ValueError, match=f"no architecture is called '{name}'"):
        registry.check("models", name)


def test_stages_have_the_widths_and_sizes_of_table_1():
    layers = {layer.name: layer.output_shape for layer in flops.layers(build("wrn_28_10_cifar"), 32)}
    assert [layers[f"stages.{index}.3.conv2"] for index in range(3)] == [(160, 32, 32), (320, 16, 16), (640, 8, 8)]


def test_a_block_projects_what_bn_and_relu_give():
    torch.manual_seed(0)
    block = WideBlock(4, 8, 2, 0.0)
    for norm in (block.norm1, block.norm2):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(3, 4, 6, 6)
    activated = F.relu(F.batch_norm(x, None, None, block.norm1.weight, block.norm1.bias, training=True))
    inner = F.conv2d(activated, block.conv1.weight, stride=2, padding=1)
    inner = F.relu(F.batch_norm(inner, None, None, block.norm2.weight, block.norm2.bias, training=True))
    expected = F.conv2d(inner, block.conv2.weight, padding=1) + F.conv2d(activated, block.projection.weight, stride=2)
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_a_block_of_one_width_passes_what_was_there_before_bn_and_relu():
    block = WideBlock(4, 4, 1, 0.0)
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_dropout_stands_between_the_convolutions_and_not_on_the_shortcut():
    block = WideBlock(4, 4, 1, 1.0)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)
    seen = []
    block.dropout.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    block(x)
    assert seen[0].min() == 0  # behind the second BN and ReLU
    assert seen[0].shape == (2, 4, 5, 5)


def test_the_tables_without_dropout_are_the_default():
    rates = {m.p for m in build("wrn_16_4_cifar").modules() if isinstance(m, nn.Dropout)}
    assert rates == {0.0}


def test_initialisation_is_he_normal_by_fan_in_with_torch_7s_batch_norms():
    torch.manual_seed(0)
    network = registry.architecture("wrn_10_4_cifar")()
    network.initialize_as_paper()
    conv = network.stages[2][0].conv1  # 128 to 256 channels
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.01)
    assert conv.weight.mean().item() == pytest.approx(0.0, abs=0.001)
    assert network.classifier.weight.abs().max() <= 256**-0.5
    assert not network.classifier.bias.any()
    weights = torch.cat([m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
    assert weights.min() >= 0 and weights.max() < 1
    assert weights.std().item() == pytest.approx(12**-0.5, rel=0.1)
    assert not any(m.bias.any() for m in network.modules() if isinstance(m, nn.BatchNorm2d))
