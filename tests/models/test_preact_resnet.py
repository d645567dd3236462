"""Pre-activation ResNets against their paper and the authors' Torch code."""

import pytest
import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d, create_conv2d
from timm.models.resnetv2 import PreActBottleneck
from torch import nn

from ilsvrc.config import registry
from ilsvrc.models.common import flops
from ilsvrc.models.preact_resnet import PreActivation, ZeroPaddedShortcut, basic, bottleneck, preact_resnet164_cifar

DEPTHS = {
    "preact_resnet110_cifar": (110, (18, 18, 18)),
    "preact_resnet164_cifar": (164, (18, 18, 18)),
    "preact_resnet1001_cifar": (1001, (111, 111, 111)),
    "preact_resnet152": (152, (3, 8, 36, 3)),
    "preact_resnet200": (200, (3, 24, 36, 3)),
}


@pytest.fixture(scope="module", params=DEPTHS)
def weightless(request):
    with torch.device("meta"):
        return registry.architecture(request.param)(), request.param


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = preact_resnet164_cifar(num_classes=7, input_px=8)
    network.initialize_as_paper()
    return network.eval()


def test_depth_counts_convolutions_but_projections_and_the_linear_layer(weightless):
    network, name = weightless
    projections = sum(isinstance(unit.shortcut, nn.Conv2d) for stage in network.stages for unit in stage)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    depth, units = DEPTHS[name]
    assert convolutions - projections + 1 == depth
    assert tuple(map(len, network.stages)) == units


def test_only_the_first_unit_leaves_the_pre_activation_to_conv1(weightless):
    network, _ = weightless
    units = [unit for stage in network.stages for unit in stage]
    assert isinstance(units[0].activation, nn.Identity)
    assert all(isinstance(unit.activation, PreActivation) for unit in units[1:])
    assert [type(layer) for layer in list(network.stem)[:3]] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]


def test_the_stages_of_resnet_200_have_the_sizes_of_resnet_152():
    with torch.device("meta"):
        network = registry.architecture("preact_resnet200")()
    shapes = {layer.name: layer.output_shape for layer in flops.layers(network, 224)}
    last = [shapes[f"stages.{index}.{len(stage) - 1}.branch.6"] for index, stage in enumerate(network.stages)]
    assert last == [(256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)]
    assert shapes["stages.1.0.branch.0"] == (128, 28, 28)  # the first 1x1 has the stride


def test_an_identity_shortcut_passes_what_was_there_before_bn_and_relu():
    unit = bottleneck(8, 8, 1, PreActivation(8)).eval()
    nn.init.zeros_(unit.branch[-1].weight)
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(unit(x), x)


def test_a_projection_sees_what_bn_and_relu_give():
    torch.manual_seed(0)
    unit = bottleneck(8, 16, 2, PreActivation(8)).eval()
    nn.init.normal_(unit.activation[0].weight)
    nn.init.zeros_(unit.branch[-1].weight)
    x = torch.randn(2, 8, 4, 4)
    activated = F.relu(x * unit.activation[0].weight[:, None, None] / (1 + 1e-5) ** 0.5)
    assert torch.allclose(unit(x), F.conv2d(activated, unit.shortcut.weight, stride=2), atol=1e-6)


def test_basic_units_keep_option_a():
    unit = basic(4, 8, 2, PreActivation(4)).eval()
    nn.init.zeros_(unit.branch[-1].weight)
    x = torch.randn(1, 4, 5, 5)
    assert isinstance(unit.shortcut, ZeroPaddedShortcut)
    assert torch.equal(unit(x)[:, :4], x[:, :, ::2, ::2])
    assert not unit(x)[:, 4:].any()


@pytest.mark.parametrize("channels", [16, 32], ids=["projecting", "identity"])
def test_a_unit_gives_what_timms_gives(channels):
    torch.manual_seed(0)
    ours = bottleneck(channels, 32, 1, PreActivation(channels)).eval()
    theirs = PreActBottleneck(
        channels, 32, stride=1, act_layer=nn.ReLU, conv_layer=create_conv2d, norm_layer=BatchNormAct2d,
        proj_layer=None if channels == 32 else _projection,
    ).eval()  # fmt: skip
    assert [p.shape for p in _by_use(theirs)] == [p.shape for p in _by_use(ours)]
    with torch.no_grad():
        for a, b in zip(_by_use(ours), _by_use(theirs), strict=True):
            b.copy_(nn.init.normal_(a))
        x = torch.randn(2, channels, 5, 5)
        assert torch.allclose(ours(x), theirs(x), rtol=1e-4, atol=1e-3)


def _projection(channels, width, **_):
    return nn.Conv2d(channels, width, 1, bias=False)


def _by_use(unit):
    """Weights of the norms, of the branch's convolutions, of the projection."""
    modules = [module for name, module in unit.named_modules() if "shortcut" not in name and "downsample" not in name]
    norms = [m.weight for m in modules if isinstance(m, nn.BatchNorm2d)]
    convolutions = [m.weight for m in modules if isinstance(m, nn.Conv2d)]
    return norms + convolutions + [p for name, p in unit.named_parameters() if "shortcut" in name or "downs" in name]


def test_the_last_sum_is_normalised_and_rectified_before_pooling(small):
    seen = []
    hook = small.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        small(images)
        last_sum = small.stages(small.stem(images))
        norm = small.last[0]
        assert torch.allclose(seen[0], F.relu(norm(last_sum)).mean(dim=(2, 3)), atol=1e-6)
    hook.remove()
    assert last_sum.min() < 0 <= seen[0].min()


def test_initialisation_is_he_normal_by_fan_out(small):
    conv = small.stages[2][1].branch[3]  # 64 to 64 channels, 3 x 3
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
    assert conv.weight.mean().item() == pytest.approx(0.0, abs=0.001)
    widening = small.stages[2][1].branch[6]  # 64 to 256 channels, 1 x 1
    assert widening.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert not small.classifier.bias.any()
