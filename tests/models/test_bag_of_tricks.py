"""ResNet-B, -C and -D against their paper, and against timm and torchvision with the same weights."""

import pytest
import timm.models.resnet
import torch
import torchvision
from residual_networks import agree, build, initialized, shapes, weightless
from torch import nn

from ilsvrc.models.bag_of_tricks import DeepStem, PooledProjection
from ilsvrc.models.common import flops
from ilsvrc.models.resnet import Bottleneck, ProjectionShortcut


def timms(depths=(3, 4, 6, 3), avg_down=True, **options):
    kind = timm.models.resnet
    return kind.ResNet(kind.Bottleneck, depths, stem_width=32, stem_type="deep", avg_down=avg_down, **options)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("resnet50_c", lambda: timms(avg_down=False)),
        ("resnet50_d", timms),
        ("resnet152_d", lambda: timms(depths=(3, 8, 36, 3))),
        ("resnet101_b", torchvision.models.resnet101),
        ("resnet152_b", torchvision.models.resnet152),
    ],
)
def test_state_dicts_have_timms_and_torchvisions_names_and_shapes(name, given):
    with torch.device("meta"):
        assert shapes(weightless(name)) == shapes(given())


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("resnet50_b", lambda: torchvision.models.resnet50(num_classes=5)),
        ("resnet50_c", lambda: timms(avg_down=False, num_classes=5)),
        ("resnet50_d", lambda: timms(num_classes=5)),
    ],
)
def test_networks_are_timms_and_torchvisions_with_their_weights(name, given):
    assert agree(build(name, num_classes=5), given())


def test_ds_shortcut_averages_2_x_2_pixels_and_projects_without_stride():
    shortcut = PooledProjection(1, 1, stride=2).eval()
    nn.init.constant_(shortcut[1].weight, 2.0)
    shortcut[2].eps = 0.0
    x = torch.tensor([[[[1.0, 2.0, 5.0], [3.0, 6.0, 7.0], [10.0, 20.0, 30.0]]]])
    assert shortcut(x).tolist() == [[[[2 * 3.0, 2 * 6.0], [2 * 15.0, 2 * 30.0]]]]  # an odd side's last by themselves


def test_ds_shortcut_pools_nothing_where_the_size_stays():
    shortcut = PooledProjection(3, 5, stride=1)
    x = torch.randn(1, 3, 4, 4)
    assert torch.equal(shortcut[0](x), x)


def test_the_deep_stem_halves_the_size_once():
    stem = DeepStem()
    found = [(m.in_channels, m.out_channels, m.stride[0]) for m in stem if isinstance(m, nn.Conv2d)]
    assert found == [(3, 32, 2), (32, 32, 1), (32, 64, 1)]
    assert stem(torch.randn(1, 3, 32, 32)).shape == (1, 64, 16, 16)


@pytest.mark.parametrize(
    ("name", "in_3x3", "stem", "shortcut"),
    [
        ("resnet50", False, nn.Conv2d, ProjectionShortcut),
        ("resnet50_b", True, nn.Conv2d, ProjectionShortcut),
        ("resnet50_c", True, DeepStem, ProjectionShortcut),
        ("resnet50_d", True, DeepStem, PooledProjection),
    ],
)
def test_each_tweak_comes_on_top_of_the_ones_before(name, in_3x3, stem, shortcut):
    network = weightless(name)
    first = network.layer2[0]
    assert (first.conv1.stride, first.conv2.stride) == (((1, 1), (2, 2)) if in_3x3 else ((2, 2), (1, 1)))
    assert type(network.conv1) is stem
    assert sum(type(m) is shortcut for m in network.modules()) == 4


def test_multiply_adds_are_table_5s():
    names = ("resnet50", "resnet50_b", "resnet50_c", "resnet50_d")
    billions = [flops.count(weightless(name), 224).multiply_adds / 1e9 for name in names]
    assert billions == pytest.approx([3.8, 4.1, 4.3, 4.3], abs=0.06)


def test_initialisation_is_xaviers_with_a_last_batch_norm_of_zero_in_each_block():
    network = initialized("resnet50_d")
    weight = network.layer2[0].conv2.weight  # 128 channels to 128, 3x3
    bound = (6 / (2 * 128 * 9)) ** 0.5
    assert 0.99 * bound < weight.abs().max().item() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    blocks = [m for m in network.modules() if isinstance(m, Bottleneck)]
    assert len(blocks) == 16 and not any(block.bn3.weight.any() for block in blocks)
    assert all((block.bn2.weight == 1).all() for block in blocks)
    assert (network.layer1[0].downsample[2].weight == 1).all()
    assert not network.fc.bias.any()


def test_every_block_passes_its_shortcut_alone_at_the_start():
    network = initialized("resnet50_b")
    x = torch.randn(2, 256, 4, 4)
    assert torch.equal(network.layer1[1](x), x.clamp(min=0))


def test_the_deeper_bs_start_as_fb_resnet_torchs():
    network = initialized("resnet101_b")
    weight = network.layer2[0].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    assert (network.layer2[0].bn3.weight == 1).all()
