"""Xception against its paper and timm's."""

import pytest
import timm
import torch
from settled_networks import settled
from timm.models.xception import SeparableConv2d
from torch import nn

from ilsvrc.models.xception import xception


@pytest.fixture(scope="module")
def at_299():
    with torch.device("meta"):
        return xception()


def blocks(network):
    return [getattr(network, f"block{i}") for i in range(1, 13)]


def test_names_and_shapes_of_the_weights_are_timms(at_299):
    with torch.device("meta"):
        theirs = timm.create_model("legacy_xception").state_dict()
    assert {k: v.shape for k, v in at_299.state_dict().items()} == {k: v.shape for k, v in theirs.items()}


@torch.no_grad()
def test_the_same_weights_give_timms_logits():
    torch.manual_seed(0)
    images = torch.randn(3, 3, 64, 75)
    ours = settled(xception(num_classes=7, input_px=64), images)
    with torch.device("meta"):
        theirs = timm.create_model("legacy_xception", num_classes=7).eval()
    theirs.load_state_dict(ours.state_dict(), assign=True)
    assert torch.allclose(ours(images), theirs(images), atol=1e-5)
    assert (ours(images).std(dim=0) > 0.01).all()


def test_flows_have_the_output_sizes_of_figure_5(at_299):
    sizes = []
    hooks = [
        module.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
        for module in (at_299.act2, *blocks(at_299), at_299.act4)
    ]
    at_299.eval()(torch.empty(1, 3, 299, 299, device="meta"))
    for hook in hooks:
        hook.remove()
    entry = [(64, 147, 147), (128, 74, 74), (256, 37, 37), (728, 19, 19)]
    assert sizes == entry + [(728, 19, 19)] * 8 + [(1024, 10, 10), (2048, 10, 10)]


def test_a_separable_convolution_is_one_kernel_for_each_channel_and_then_a_1_x_1_with_nothing_between():
    torch.manual_seed(0)
    separable = SeparableConv2d(2, 3, 3, padding=1)
    x = torch.randn(1, 2, 4, 4)
    each = torch.cat(
        [nn.functional.conv2d(x[:, i : i + 1], separable.conv1.weight[i : i + 1], padding=1) for i in range(2)], dim=1
    )
    assert (each < 0).any()
    mixed = torch.einsum("oi,nihw->nohw", separable.pointwise.weight[:, :, 0, 0], each)
    assert torch.allclose(separable(x), mixed, atol=1e-6)


def test_every_block_but_the_first_begins_with_relu_and_each_separable_convolution_has_batch_norm(at_299):
    kinds = [[type(layer).__name__ for layer in block.rep] for block in blocks(at_299)]
    unit, pooling = ["ReLU", "SeparableConv2d", "BatchNorm2d"], ["MaxPool2d"]
    assert kinds[0] == (2 * unit)[1:] + pooling
    assert kinds[1] == kinds[2] == kinds[11] == 2 * unit + pooling
    assert kinds[3:11] == [3 * unit] * 8


def test_shortcuts_are_1_x_1_convolutions_by_2_with_batch_norm_outside_the_middle_flow(at_299):
    shortcuts = [block.skip for block in blocks(at_299)]
    assert shortcuts[3:11] == [None] * 8
    ends = shortcuts[:3] + shortcuts[11:]
    assert all(conv.kernel_size == (1, 1) and conv.stride == (2, 2) and conv.bias is None for conv in ends)


def test_a_blocks_first_relu_leaves_its_shortcut_as_it_was(at_299):
    assert not any(layer.inplace for block in blocks(at_299)[1:] for layer in block.rep[:1])


def test_dropout_is_one_half_before_the_classifier(at_299):
    assert [module.p for module in at_299.modules() if isinstance(module, nn.Dropout)] == [0.5]


@torch.no_grad()
def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    network = xception(num_classes=5, input_px=32)
    images = torch.randn(4, 3, 32, 32)
    network.train()
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_initialisation_is_kerass_glorot_uniform():
    torch.manual_seed(0)
    network = xception(input_px=32)
    network.initialize_as_paper()
    depthwise, pointwise = network.conv4.conv1, network.conv4.pointwise
    # Keras counts 9 x channels in and 9 out of a depthwise kernel [3, 3, channels, 1].
    for conv, bound in ((depthwise, (6 / (9 * 1536 + 9)) ** 0.5), (pointwise, (6 / (1536 + 2048)) ** 0.5)):
        assert 0.99 * bound < conv.weight.abs().max().item() <= bound
        assert conv.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert not network.fc.bias.any()
