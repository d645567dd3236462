"""SENets against their paper, the authors' Caffe definitions and timm."""

import pytest
import timm.models.senet as timm_senet
import torch
from timm.models.senet import SEModule
from torch import nn

from ilsvrc.models import senet
from ilsvrc.models.common import flops

THEIRS = {
    "se_resnet50": "legacy_seresnet50",
    "se_resnet101": "legacy_seresnet101",
    "se_resnet152": "legacy_seresnet152",
    "se_resnext50_32x4d": "legacy_seresnext50_32x4d",
    "se_resnext101_32x4d": "legacy_seresnext101_32x4d",
    "senet154": "legacy_senet154",
}


def on_meta(name, **options):
    with torch.device("meta"):
        return getattr(senet, name)(**options)


def shapes(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def sizes(name):
    return {layer.name: layer.output_shape for layer in flops.layers(on_meta(name), 224)}


def test_a_gate_squeezes_reduces_expands_and_scales_each_channel():
    gate = SEModule(2, reduction=2)
    for layer, weight, bias in [(gate.fc1, [[1.0, -2.0]], [0.5]), (gate.fc2, [[1.0], [-1.0]], [0.0, 2.0])]:
        layer.weight.data = torch.tensor(weight)[:, :, None, None]
        layer.bias.data = torch.tensor(bias)
    x = torch.tensor([[[[1.0, 3.0]], [[0.0, 1.0]]]])  # means 2 and 0.5, reduced to 2 - 1 + 0.5 = 1.5
    scales = torch.tensor([1.5, 0.5]).sigmoid()  # 1.5 and 2 - 1.5
    assert torch.allclose(gate(x), x * scales[None, :, None, None])


def test_a_gate_whose_reduction_is_negative_is_the_sigmoid_of_its_last_bias():
    gate = SEModule(2, reduction=2)
    nn.init.constant_(gate.fc1.weight, -1.0)
    nn.init.constant_(gate.fc1.bias, 0.0)
    nn.init.constant_(gate.fc2.bias, 0.0)
    x = torch.ones(1, 2, 3, 3)
    assert torch.equal(gate(x), 0.5 * x)


def test_the_gate_scales_the_residual_and_not_the_shortcut():
    block = on_meta("se_resnet50", num_classes=2).layer1[1].to_empty(device="cpu").eval()
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(block.bn3.bias, 4.0)
    block.bn3.running_mean.zero_(), block.bn3.running_var.fill_(1.0)
    for norm in (block.bn1, block.bn2):
        norm.running_mean.zero_(), norm.running_var.fill_(1.0)
    assert torch.equal(block(torch.ones(1, 256, 2, 2)), torch.full((1, 256, 2, 2), 1.0 + 0.5 * 4.0))


@pytest.mark.parametrize(("ours", "theirs"), THEIRS.items())
def test_parameters_have_timms_names_and_shapes(ours, theirs):
    with torch.device("meta"):
        expected = getattr(timm_senet, theirs)()
    assert shapes(on_meta(ours)) == shapes(expected)


@pytest.mark.parametrize("ours", ["se_resnet50", "se_resnext50_32x4d"])
def test_timms_weights_give_timms_logits(ours):
    torch.manual_seed(0)
    theirs = getattr(timm_senet, THEIRS[ours])(num_classes=5, drop_rate=0.0).eval()
    network = getattr(senet, ours)(num_classes=5).eval()
    network.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        assert torch.equal(network(images), theirs(images))


def test_a_bottleneck_of_senet_154_gives_timms_output():
    torch.manual_seed(0)
    stem = on_meta("senet154").layer0
    assert [stem.conv1.kernel_size, stem.conv2.kernel_size, stem.conv3.kernel_size] == [(3, 3)] * 3
    layers = {"depths": (1, 1, 1, 1), "groups": 64, "stem_channels": 128, "deep_stem": True, "projection_kernel": 3}
    ours = senet.SENet(timm_senet.SEBottleneck, dropout=0.2, num_classes=3, input_px=32, **layers).eval()
    theirs = timm_senet.SENet(
        timm_senet.SEBottleneck, (1, 1, 1, 1), 64, 16,
        inplanes=128, input_3x3=True, downsample_kernel_size=3, downsample_padding=1, num_classes=3,
    ).eval()  # fmt: skip
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


def test_stages_have_the_output_sizes_and_gates_of_table_1():
    found = sizes("se_resnet50")
    assert found["layer0.conv1"] == (64, 112, 112)
    assert [found[f"layer{i}.0.conv3"] for i in (1, 2, 3, 4)] == [
        (256, 56, 56),
        (512, 28, 28),
        (1024, 14, 14),
        (2048, 7, 7),
    ]
    widths = [(found[f"layer{i}.0.se_module.fc1"][0], found[f"layer{i}.0.se_module.fc2"][0]) for i in (1, 2, 3, 4)]
    assert widths == [(16, 256), (32, 512), (64, 1024), (128, 2048)]


@pytest.mark.parametrize(
    ("name", "gates"),
    [("se_resnet50", 16), ("se_resnet101", 33), ("se_resnet152", 50), ("se_resnext101_32x4d", 33), ("senet154", 50)],
)
def test_each_residual_has_a_gate_with_biases(name, gates):
    found = [module for module in on_meta(name).modules() if isinstance(module, SEModule)]
    assert len(found) == gates
    assert all(gate.fc1.bias is not None and gate.fc2.bias is not None for gate in found)


def test_se_resnets_stride_in_the_first_convolution_and_se_resnexts_in_the_second():
    resnet, resnext = on_meta("se_resnet50").layer2[0], on_meta("se_resnext50_32x4d").layer2[0]
    assert (resnet.conv1.stride, resnet.conv2.stride) == ((2, 2), (1, 1))
    assert (resnext.conv1.stride, resnext.conv2.stride) == ((1, 1), (2, 2))
    assert (resnext.conv2.groups, resnext.conv2.in_channels) == (32, 32 * 8)


def test_senet_154_halves_the_first_convolution_and_projects_by_3_x_3():
    network = on_meta("senet154")
    block = network.layer2[0]
    assert (block.conv1.out_channels, block.conv2.out_channels, block.conv2.groups) == (256, 512, 64)
    assert [stage[0].downsample[0].kernel_size[0] for stage in (network.layer1, network.layer2)] == [1, 3]
    weighted = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(weighted) - 2 * 50 - 4 == 154  # without gates and projections


def test_dropout_is_a_fifth_before_senet_154s_classifier_alone():
    assert on_meta("senet154").dropout.p == 0.2
    assert on_meta("senet154", dropout=0.0).dropout.p == 0.0
    assert on_meta("se_resnet152").dropout.p == 0.0


def test_dropout_acts_in_training_only():
    layers = {"depths": (1, 1, 1, 1), "groups": 1, "num_classes": 3, "input_px": 32}
    network = senet.SENet(timm_senet.SEResNetBottleneck, dropout=1.0, **layers)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(images), network.last_linear.bias.expand(2, 3))
        assert not torch.equal(network.eval()(images), network.last_linear.bias.expand(2, 3))


def test_pictures_under_32_px_are_refused():
    with pytest.raises(ValueError, match="SENet takes images of 32 px or more, not 31"):
        on_meta("se_resnet50", input_px=31)


def test_initialisation_is_he_normal_by_fan_in():
    torch.manual_seed(0)
    network = senet.se_resnext50_32x4d(num_classes=100)
    nn.init.constant_(network.layer1[0].bn1.weight, 3.0)
    network.initialize_as_paper()
    grouped, gate = network.layer4[1].conv2, network.layer4[1].se_module
    assert grouped.weight.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.02)
    assert gate.fc1.weight.std().item() == pytest.approx((2 / 2048) ** 0.5, rel=0.02)
    assert gate.fc2.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.02)
    assert grouped.weight.mean().abs().item() < 0.001
    assert not any(m.bias.any() for m in network.modules() if isinstance(m, nn.Conv2d) and m.bias is not None)
    assert network.last_linear.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not network.last_linear.bias.any()
    assert (network.layer1[0].bn1.weight == 1).all()
