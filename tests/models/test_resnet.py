"""ResNets against their paper, and against torchvision with the same weights."""

import pytest
import torch
import torchvision
from residual_networks import agree, build, initialized, shapes, weightless
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.resnet import (
    OPTION_A,
    OPTION_B,
    OPTION_C,
    BasicBlock,
    Bottleneck,
    PlainBlock,
    ProjectionShortcut,
    ZeroPaddedShortcut,
)

DEPTHS = (18, 34, 50, 101, 152)


def count(network, kind):
    return sum(isinstance(module, kind) for module in network.modules())


def test_option_a_takes_every_second_pixel_and_adds_channels_of_zeros():
    x = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    expected = [[[[1.0, 3.0], [9.0, 11.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]]
    assert ZeroPaddedShortcut(1, 3, stride=2)(x).tolist() == expected


def test_option_a_rounds_odd_sides_up_as_the_convolution_does():
    x = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    assert ZeroPaddedShortcut(1, 2, stride=2)(x).tolist() == [[[[1.0, 3.0], [7.0, 9.0]], [[0.0, 0.0], [0.0, 0.0]]]]


def test_a_projection_weighs_the_channels_of_every_second_pixel():
    projection = ProjectionShortcut(2, 1, stride=2).eval()
    nn.init.constant_(projection[0].weight[0, 0], 1.0)
    nn.init.constant_(projection[0].weight[0, 1], 10.0)
    projection[1].eps = 0.0
    x = torch.stack([torch.arange(4.0).reshape(2, 2), torch.arange(4.0, 8.0).reshape(2, 2)])[None]
    assert projection(x).tolist() == [[[[0.0 + 10 * 4.0]]]]


@pytest.mark.parametrize(
    ("option", "keeping", "changing"),
    [
        (OPTION_A, nn.Identity, ZeroPaddedShortcut),
        (OPTION_B, nn.Identity, ProjectionShortcut),
        (OPTION_C, ProjectionShortcut, ProjectionShortcut),
    ],
    ids="ABC",
)
def test_options_choose_the_shortcut_by_whether_the_shape_stays(option, keeping, changing):
    assert type(option.make(8, 8, 1)) is keeping
    assert type(option.make(8, 16, 1)) is changing
    assert type(option.make(8, 8, 2)) is changing


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_block_whose_residual_is_zero_passes_its_input_through_the_relu(block):
    made = block(OPTION_A, 4, 4, 1)
    nn.init.zeros_((made.bn3 if block is Bottleneck else made.bn2).weight)
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(made(x), x.clamp(min=0))


def test_a_plain_block_whose_last_batch_norm_is_zero_passes_nothing():
    block = PlainBlock(4, 4, 1)
    nn.init.zeros_(block.bn2.weight)
    assert not block(torch.randn(2, 4, 3, 3)).any()


def test_a_plain_block_is_a_basic_block_without_the_addition():
    torch.manual_seed(0)
    block, plain = BasicBlock(OPTION_A, 4, 4, 1).eval(), PlainBlock(4, 4, 1).eval()
    plain.load_state_dict(block.state_dict())
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(block(x), (plain.residual(x) + x).clamp(min=0))
    assert torch.equal(plain(x), plain.residual(x).clamp(min=0))


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_block_leaves_its_input_as_it_was(block):
    x = torch.randn(2, 4, 6, 6)
    before = x.clone()
    block(OPTION_A, 4, 8, 2)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(("stride_in_3x3", "strides"), [(False, [2, 1, 1]), (True, [1, 2, 1])])
def test_a_bottleneck_strides_in_its_first_1x1_or_in_its_3x3(stride_in_3x3, strides):
    block = Bottleneck(OPTION_B, 256, 512, 2, stride_in_3x3)
    convolutions = [block.conv1, block.conv2, block.conv3]
    assert [conv.stride[0] for conv in convolutions] == strides
    assert [conv.kernel_size[0] for conv in convolutions] == [1, 3, 1]
    assert [conv.out_channels for conv in convolutions] == [128, 128, 512]


@pytest.mark.parametrize(
    ("name", "projections", "zero_padded"),
    [
        ("plain18", 0, 0),
        ("plain34", 0, 0),
        ("resnet18", 0, 3),
        ("resnet34", 0, 3),
        ("resnet18_b", 3, 0),
        ("resnet34_b", 3, 0),
        ("resnet34_c", 16, 0),
        ("resnet50", 4, 0),
    ],
)
def test_networks_have_as_many_shortcuts_of_each_kind_as_the_paper_says(name, projections, zero_padded):
    network = weightless(name)
    assert (count(network, ProjectionShortcut), count(network, ZeroPaddedShortcut)) == (projections, zero_padded)


def test_plain_networks_have_no_shortcuts():
    assert not any("downsample" in name for name, _ in weightless("plain34").named_modules())


@pytest.mark.parametrize("name", [f"resnet{depth}" for depth in DEPTHS] + ["plain18", "plain34"])
def test_as_many_layers_carry_weights_as_the_name_says(name):
    network = weightless(name)
    layers = [key for key, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert f"{sum('downsample' not in key for key in layers)}" == name.removeprefix("resnet").removeprefix("plain")


@pytest.mark.parametrize(
    ("name", "channels"), [("resnet18", 64), ("plain34", 64), ("resnet50", 256), ("resnet152", 256)]
)
def test_stages_have_the_output_sizes_of_table_1(name, channels):
    found = {}
    network = weightless(name).eval()
    for stage in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        network.get_submodule(stage).register_forward_hook(
            lambda _, __, output, stage=stage: found.update({stage: tuple(output.shape[1:])})
        )
    network(torch.empty(1, 3, 224, 224, device="meta"))
    assert found == {
        "conv1": (64, 112, 112),
        "maxpool": (64, 56, 56),
        "layer1": (channels, 56, 56),
        "layer2": (2 * channels, 28, 28),
        "layer3": (4 * channels, 14, 14),
        "layer4": (8 * channels, 7, 7),
    }


@pytest.mark.parametrize("depth", DEPTHS)
def test_state_dicts_have_torchvisions_names_and_shapes(depth):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"resnet{depth}")()
    assert shapes(weightless(f"resnet{depth}_b")) == shapes(theirs)


@pytest.mark.parametrize("depth", (18, 34))
def test_option_b_is_torchvisions_network_with_its_weights(depth):
    theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=5)
    assert agree(build(f"resnet{depth}_b", num_classes=5), theirs)


def test_option_a_shortcuts_and_plain_networks_have_no_weights_of_their_own():
    a, b, plain = (shapes(weightless(name)) for name in ("resnet34", "resnet34_b", "plain34"))
    assert a == plain == {key: shape for key, shape in b.items() if "downsample" not in key}


def test_the_papers_resnet50_is_torchvisions_when_the_stride_moves_to_the_first_1x1():
    theirs, ours = torchvision.models.resnet50(num_classes=5), build("resnet50", num_classes=5)
    assert not agree(ours, theirs)
    for stage in (theirs.layer2, theirs.layer3, theirs.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    assert agree(ours, theirs)


def test_strides_in_the_3x3_leave_the_first_1x1_four_times_as_many_pixels():
    costs = [flops.count(weightless(name), 224) for name in ("resnet50", "resnet50_b")]
    assert costs[0].parameters == costs[1].parameters
    first = [(28, 256, 128), (14, 512, 256), (7, 1024, 512)]  # pixels, channels, width
    more = sum(3 * px**2 * channels * width for px, channels, width in first)
    assert costs[1].multiply_adds - costs[0].multiply_adds == more


def test_a_network_built_for_one_size_tests_at_another():
    network = build("resnet18", num_classes=4, input_px=80).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, 96, 64)).shape == (1, 4)


def test_initialisation_is_he_normal_by_fan_out():
    network = initialized("resnet18_b")
    weight = network.layer2[0].conv1.weight  # 64 channels to 128
    assert weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    assert weight.mean().item() == pytest.approx(0.0, abs=5e-4)
    assert weight.abs().max().item() > 3.5 * weight.std().item()  # no uniform distribution
    assert network.fc.weight.abs().max().item() <= 512**-0.5
    assert not network.fc.bias.any()


def test_initialisation_starts_batch_norm_afresh():
    network = build("resnet18", num_classes=4, input_px=32)
    network(torch.randn(2, 3, 32, 32))
    nn.init.constant_(network.bn1.weight, 3.0)
    network.initialize_as_paper()
    norm = network.bn1
    values = [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    assert [v.unique().tolist() for v in values] == [[1.0], [0.0], [0.0], [1.0]]
