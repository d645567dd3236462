"""G-Ghost RegNet against the authors' released definition."""

import pytest
import torch
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.g_ghost_regnet import GhostStage, g_ghost_regnetx


def at_224(size):
    with torch.device("meta"):
        return g_ghost_regnetx(size)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = g_ghost_regnetx("3_2", num_classes=7, input_px=32)
    network.initialize_as_paper()
    return network


@pytest.fixture
def stage():
    torch.manual_seed(0)
    return GhostStage(channels=8, width=16, depth=4, group_channels=4).eval()  # 6 of 16 channels are thin


def test_parameters_of_3_2gf_are_those_of_the_authors_definition():
    assert flops.count(at_224("3_2"), 224).parameters == 10_511_000


@pytest.mark.parametrize(
    ("size", "thin", "ghosts"),
    [
        ("3_2", [72, 216], [120, 216]),
        ("4", [120, 270], [120, 290]),
        ("8", [90, 360], [150, 360]),
        ("16", [192, 384], [320, 512]),
    ],
)
def test_thin_channels_are_groups_of_three_quarters_that_fit_into_half_the_stage(size, thin, ghosts):
    stages = [at_224(size).layer2, at_224(size).layer3]
    assert [stage.thin for stage in stages] == thin
    assert [stage.cheap[0].out_channels for stage in stages] == ghosts


@pytest.mark.parametrize("size", ["3_2", "4", "8", "16"])
def test_stages_of_one_or_two_blocks_have_no_ghosts(size):
    network = at_224(size)
    kinds = [
        isinstance(stage, GhostStage) for stage in (network.layer1, network.layer2, network.layer3, network.layer4)
    ]
    assert kinds == [False, True, True, False]


def test_stages_of_3_2gf_have_regnets_output_sizes():
    network = at_224("3_2")
    sizes = []
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        stage.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
    network.eval()(torch.empty(1, 3, 224, 224, device="meta"))
    assert sizes == [(96, 56, 56), (192, 28, 28), (432, 14, 14), (1008, 7, 7)]


def test_a_stages_last_block_sees_thin_features_and_behind_them_ghosts(stage):
    x = torch.randn(2, 8, 8, 8)
    seen = []
    stage.end.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        stage(x)
        first = stage.base(x)
        after1 = stage.layers[0](first[:, :6])
        after2 = stage.layers[1](after1)
        mixed = stage.merge(torch.cat([first, after1, after2], dim=1))
        assert mixed.shape == (2, 10, 1, 1)
        ghosts = (stage.cheap(first[:, 6:]) + mixed).clamp(min=0)
    assert torch.equal(seen[0][:, :6], after2)
    assert torch.equal(seen[0][:, 6:], ghosts)


def test_ghosts_come_from_the_first_block_and_hear_of_the_thin_blocks_only_by_averages(stage):
    ghosts = []
    stage.end.register_forward_pre_hook(lambda _, inputs: ghosts.append(inputs[0][:, 6:]))
    stage.cheap[1].bias.data.fill_(10.0)  # no ReLU cuts
    x = torch.randn(1, 8, 8, 8)
    with torch.no_grad():
        stage(x)
        stage.layers[1].bn3.bias += 1.0
        stage(x)
    change = ghosts[1] - ghosts[0]
    assert change.abs().max() > 1e-4
    assert torch.allclose(change, change[:, :, :1, :1].expand_as(change), atol=1e-5)


def test_a_stages_convolutions_have_the_groups_of_their_blocks(stage):
    assert stage.base.conv2.groups == stage.end.conv2.groups == 16 // 4
    assert [block.conv2.groups for block in stage.layers] == [6 // 3, 6 // 3]
    assert [block.conv2.stride for block in (stage.base, *stage.layers, stage.end)] == [(2, 2), (1, 1), (1, 1), (1, 1)]


def test_a_stage_narrower_than_a_group_has_one(small):
    assert at_224("8").layer1[0].conv2.groups == 1  # 80 channels in groups of 120
    assert small.layer1[0].conv2.groups == 2


def test_dropout_is_a_fifth_before_the_classifier(small):
    assert [module.p for module in small.modules() if isinstance(module, nn.Dropout)] == [0.2]


def test_initialisation_is_hes_by_fan_out(small):
    grouped, squeeze = small.layer3.base.conv2, small.layer3.merge[1]
    assert grouped.weight.std().item() == pytest.approx((2 / (432 * 9)) ** 0.5, rel=0.02)
    assert squeeze.weight.std().item() == pytest.approx((2 / 216) ** 0.5, rel=0.02)
    norms = [module for module in small.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)
