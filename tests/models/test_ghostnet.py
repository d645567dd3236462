"""GhostNet against its paper, and timm's."""

import pytest
import timm.models.ghostnet as timm_ghostnet
import torch
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.ghostnet import STAGES, ghostnet


def at_224(width):
    with torch.device("meta"):
        return ghostnet(width)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = ghostnet("0_5", num_classes=7, input_px=32)
    network.initialize_as_paper()
    return network


@pytest.mark.parametrize(("width", "parameters"), [("0_5", 2_587_292), ("1", 5_182_508), ("1_3", 7_358_820)])
def test_parameters_are_those_of_the_authors_code(width, parameters):
    assert flops.count(at_224(width), 224).parameters == parameters


def test_bottlenecks_have_the_output_sizes_of_table_1():
    network = at_224("1")
    sizes = []
    for stage in network.blocks:
        stage.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
    network.eval()(torch.empty(1, 3, 224, 224, device="meta"))
    assert sizes == [
        (16, 112, 112),
        (24, 56, 56),
        (24, 56, 56),
        (40, 28, 28),
        (40, 28, 28),
        (80, 14, 14),
        (112, 14, 14),
        (160, 7, 7),
        (160, 7, 7),
        (960, 7, 7),
    ]
    assert [len(stage) for stage in network.blocks] == [1, 1, 1, 1, 1, 1, 5, 1, 4, 1]


def test_squeeze_and_excitation_stands_where_table_1_has_it():
    bottlenecks = [bottleneck for stage in at_224("1").blocks[:-1] for bottleneck in stage]
    gated = [i for i, bottleneck in enumerate(bottlenecks) if bottleneck.se is not None]
    assert gated == [3, 4, 9, 10, 11, 13, 15]
    assert bottlenecks[10].se.conv_reduce.out_channels == 672 / 4
    assert bottlenecks[3].se.conv_reduce.out_channels == 20  # 72 / 4, to a multiple of 4


def test_half_of_a_ghost_modules_features_come_by_1x1_and_half_from_those_by_depthwise_3x3():
    torch.manual_seed(0)
    module = ghostnet("1").blocks[1][0].ghost1
    primary, cheap = module.primary_conv[0], module.cheap_operation[0]
    assert (primary.kernel_size, primary.in_channels, primary.out_channels) == ((1, 1), 16, 24)
    assert (cheap.kernel_size, cheap.groups, cheap.out_channels) == ((3, 3), 24, 24)
    module.eval()
    x = torch.randn(2, 16, 6, 6)
    with torch.no_grad():
        features = module(x)
        intrinsic = module.primary_conv(x)
        assert torch.equal(features[:, :24], intrinsic)
        assert torch.equal(features[:, 24:], module.cheap_operation(intrinsic))


def test_a_ghost_feature_sees_its_own_intrinsic_feature_and_no_other():
    torch.manual_seed(0)
    module = ghostnet("1").blocks[1][0].ghost1.eval()
    intrinsic = torch.rand(1, 24, 4, 4)
    other = intrinsic.clone()
    other[:, 5] += 1
    convolution = module.cheap_operation[0]
    changed = (convolution(intrinsic) != convolution(other)).any(dim=(0, 2, 3)).nonzero().flatten()
    assert changed.tolist() == [5]


def test_an_odd_number_of_features_cuts_the_last_ghost():
    module = timm_ghostnet.GhostModule(8, 5).eval()
    x = torch.randn(1, 8, 4, 4)
    assert module.primary_conv(x).shape[1] == module.cheap_operation(module.primary_conv(x)).shape[1] == 3
    assert module(x).shape == (1, 5, 4, 4)


def test_the_same_weights_give_the_same_logits_in_timms_network(small):
    timms = timm_ghostnet.GhostNet(STAGES, num_classes=7, width=0.5)
    timms.load_state_dict(small.state_dict())
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(small.eval()(images), timms.eval()(images))
    small.train()


def test_dropout_is_a_fifth_before_the_classifier(small):
    assert [module.p for module in small.modules() if isinstance(module, nn.Dropout)] == [0.2]
    seen = []
    hook = small.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    small.dropout.p = 1.0
    small(torch.randn(2, 3, 32, 32))
    hook.remove()
    small.dropout.p = 0.2
    assert not seen[0].any()


def test_initialisation_is_hes_by_fan_out(small):
    head, depthwise = small.conv_head, small.blocks[3][0].conv_dw
    assert head.weight.std().item() == pytest.approx((2 / 1280) ** 0.5, rel=0.02)
    assert depthwise.weight.std().item() == pytest.approx((2 / (36 * 25)) ** 0.5, rel=0.1)
    norms = [module for module in small.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)
    bound = 1280**-0.5
    assert 0.9 * bound < small.classifier.weight.abs().max().item() <= bound
