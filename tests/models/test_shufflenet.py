"""ShuffleNet against its paper, and against the counts of the authors' released code."""

import pytest
import torch
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.shufflenet import CHANNELS, ShuffleNet, Unit, shufflenet

SIZES_AT_1X = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}  # Table 1, stage 2


def at_224(groups, width):
    with torch.device("meta"):
        return shufflenet(groups, width)


def output_shapes(network, modules):
    """The shapes that `modules` put out for a picture of 224 px, without the batch."""
    shapes = []
    hooks = [module.register_forward_hook(lambda *a: shapes.append(tuple(a[2].shape[1:]))) for module in modules]
    network.eval()(torch.empty(1, 3, 224, 224, device="meta"))
    for hook in hooks:
        hook.remove()
    return shapes


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = shufflenet(3, "1", num_classes=7, input_px=32)
    network.initialize_as_paper()
    return network


@pytest.mark.parametrize("groups", CHANNELS)
def test_layers_have_the_output_sizes_of_table_1(groups):
    network = at_224(groups, "1")
    channels = SIZES_AT_1X[groups]
    assert output_shapes(network, [network.stem, network.pool, *network.stages]) == [
        (24, 112, 112),
        (24, 56, 56),
        (channels, 28, 28),
        (2 * channels, 14, 14),
        (4 * channels, 7, 7),
    ]
    assert [len(stage) for stage in network.stages] == [4, 8, 4]


@pytest.mark.parametrize(
    ("groups", "width", "parameters"),
    [(3, "0_5", 717_324), (3, "1", 1_864_728), (3, "1_5", 3_441_168), (3, "2", 5_449_776)],
)
def test_parameters_are_those_of_the_authors_code(groups, width, parameters):
    assert flops.count(at_224(groups, width), 224).parameters == parameters


@pytest.mark.parametrize(("groups", "millions"), [(1, 143), (2, 140), (3, 137), (4, 133), (8, 137)])
def test_multiply_adds_without_the_classifier_are_table_1s(groups, millions):
    layers = flops.layers(at_224(groups, "1"), 224)
    assert round(sum(layer.multiply_adds for layer in layers if layer.name != "classifier") / 1e6) == millions


@pytest.mark.parametrize(
    ("groups", "width", "stem"), [(3, "0_5", 12), (8, "0_5", 16), (8, "1", 24), (3, "1_5", 24), (8, "2", 48)]
)
def test_the_stem_is_the_authors_codes(groups, width, stem):
    assert at_224(groups, width).stem.out_channels == stem


@pytest.mark.parametrize("groups", CHANNELS)
@pytest.mark.parametrize("width", ["0_25", "0_5", "1", "1_5", "2"])
def test_bottlenecks_have_a_quarter_of_the_channels_within_half_a_multiple_of_the_groups(groups, width):
    for stage in at_224(groups, width).stages:
        for unit in stage:
            quarter = stage[-1].expand.out_channels / 4
            assert unit.reduce.out_channels % groups == 0
            assert abs(unit.reduce.out_channels - quarter) <= groups / 2


def test_only_the_first_1x1_convolution_of_stage_2_is_not_grouped():
    network = at_224(4, "1")
    groups = [unit.reduce.groups for stage in network.stages for unit in stage]
    assert groups == [1] + [4] * 15
    assert all(unit.expand.groups == 4 for stage in network.stages for unit in stage)


def test_channels_are_shuffled_as_section_3_1_says():
    shuffle = Unit(6, 24, 1, groups=2, first_groups=2).shuffle
    channels = torch.arange(6.0).view(1, 6, 1, 1)  # 2 groups: 0 1 2 and 3 4 5, as rows of [2, 3], read by columns
    assert shuffle(channels).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def affects(unit, channel):
    """The output channels in which a change of one input channel shows."""
    x = torch.randn(2, 48, 4, 4)
    other = x.clone()
    other[:, channel] += 1
    with torch.no_grad():
        residuals = [unit.expand(unit.shuffle(unit.reduce(images))) for images in (x, other)]
    return set((residuals[0] != residuals[1]).any(dim=(0, 2, 3)).nonzero().flatten().tolist())


def test_the_shuffle_carries_information_from_each_group_to_all():
    torch.manual_seed(0)
    unit = Unit(48, 48, 1, groups=3, first_groups=3)
    assert affects(unit, channel=0) == set(range(48))
    unit.shuffle = nn.Identity()
    assert affects(unit, channel=0) == set(range(16))


def test_a_unit_of_stride_1_adds_its_input_before_the_last_relu():
    torch.manual_seed(0)
    unit = Unit(12, 12, 1, groups=3, first_groups=3)
    nn.init.zeros_(unit.norm3.weight)
    x = torch.randn(2, 12, 4, 4)
    assert torch.equal(unit(x), x.clamp(min=0))


def test_a_unit_of_stride_2_concatenates_its_averaged_input():
    torch.manual_seed(0)
    unit = Unit(12, 36, 2, groups=3, first_groups=3)
    nn.init.zeros_(unit.norm3.weight)
    joined = unit(torch.ones(2, 12, 4, 4))
    assert joined.shape == (2, 36, 2, 2)
    # 3 x 3 windows with padding around 4 x 4 ones: the first holds 4 ones, the last 9.
    assert torch.allclose(joined[0, 0], torch.tensor([[4.0, 6.0], [6.0, 9.0]]) / 9)
    assert not joined[:, 12:].any()


def test_no_relu_follows_the_depthwise_convolution():
    unit = Unit(12, 12, 1, groups=3, first_groups=3)
    nn.init.zeros_(unit.norm2.weight)
    nn.init.constant_(unit.norm2.bias, -1.0)
    seen = []
    unit.expand.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    unit(torch.randn(2, 12, 4, 4))
    assert (seen[0] == -1).all()


def test_the_network_classifies_pictures_of_other_sizes_than_it_was_built_for(small):
    with torch.no_grad():
        assert small.eval()(torch.randn(1, 3, 40, 64)).shape == (1, 7)
    small.train()


def test_initialisation_is_the_authors_codes(small):
    assert isinstance(small, ShuffleNet)
    assert small.stem.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert small.classifier.weight.std().item() == pytest.approx(0.01, rel=0.05)
    unit = small.stages[1][1]
    assert unit.reduce.weight.std().item() == pytest.approx(1 / 160, rel=0.05)
    assert unit.depthwise.weight.std().item() == pytest.approx(1.0, rel=0.1)
    norms = [module for module in small.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all((norm.weight == 1).all() and (norm.bias == 1e-4).all() for norm in norms)
