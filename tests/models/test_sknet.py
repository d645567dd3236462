"""SKNets against their paper, the authors' Caffe definitions and timm."""

import pytest
import torch
from timm.layers.selective_kernel import SelectiveKernel, SelectiveKernelAttn
from timm.models.sknet import skresnext50_32x4d
from torch import nn

from ilsvrc.models import sknet
from ilsvrc.models.common import flops


def on_meta(name):
    with torch.device("meta"):
        return getattr(sknet, name)()


def kernels(channels=4, groups=1):
    """Selective kernels as a network has them, with weights of their own."""
    torch.manual_seed(0)
    return SelectiveKernel(channels, channels, groups=groups, rd_ratio=1 / 16, rd_divisor=32, split_input=False)


def attention_widths(network):
    return [stage[0].conv2.attn.fc_reduce.out_channels for stage in stages(network)]


def stages(network):
    return network.layer1, network.layer2, network.layer3, network.layer4


def test_selective_kernels_weigh_two_branches_by_a_softmax_over_their_sum():
    module, x = kernels().eval(), torch.randn(2, 4, 7, 7)
    with torch.no_grad():
        small, large = (branch(x) for branch in module.paths)
        squeezed = (small + large).mean(dim=(2, 3))
        compact = torch.relu(module.attn.bn(module.attn.fc_reduce(squeezed[:, :, None, None])))
        scores = module.attn.fc_select(compact).reshape(2, 2, 4)  # picture, branch, channel
        first = scores[:, 0].exp() / scores.exp().sum(1)
        expected = first[:, :, None, None] * small + (1 - first)[:, :, None, None] * large
        assert torch.allclose(module(x), expected, atol=1e-6)


def test_the_weights_of_the_branches_sum_to_1_in_each_channel():
    module = kernels()
    weights = module.attn(torch.randn(3, 2, 4, 5, 5))
    assert weights.shape == (3, 2, 4, 1, 1)
    assert torch.allclose(weights.sum(1), torch.ones(3, 4, 1, 1))
    assert not torch.allclose(weights, torch.full_like(weights, 0.5))


def test_equal_branches_give_what_each_gives():
    module, x = kernels().eval(), torch.randn(1, 4, 6, 6)
    for path in module.paths:
        nn.init.zeros_(path.conv.weight)
        path.conv.weight.data[:, :, 1, 1] = torch.eye(4)  # the middle, which dilation leaves where it is
    assert torch.allclose(module(x), module.paths[0](x), atol=1e-6)


def test_the_second_branch_is_a_5_x_5_kernel_as_a_dilated_3_x_3():
    small, large = (path.conv for path in on_meta("sknet50").layer1[0].conv2.paths)
    assert (small.kernel_size, small.dilation, small.padding, small.groups) == ((3, 3), (1, 1), (1, 1), 32)
    assert (large.kernel_size, large.dilation, large.padding, large.groups) == ((3, 3), (2, 2), (2, 2), 32)


@pytest.mark.parametrize(("name", "depths"), [("sknet50", [3, 4, 6, 3]), ("sknet101", [3, 4, 23, 3])])
def test_attention_is_a_16th_of_the_channels_and_32_at_least(name, depths):
    network = on_meta(name)
    assert [len(stage) for stage in stages(network)] == depths
    assert attention_widths(network) == [max(width // 16, 32) for width in (128, 256, 512, 1024)] == [32, 32, 32, 64]


def test_the_authors_file_of_101_layers_has_16_in_the_second_stage_and_else_this_network():
    network = on_meta("sknet101")
    with torch.device("meta"):
        for unit in network.layer2:
            unit.conv2.attn = SelectiveKernelAttn(256, 2, attn_channels=16)
    assert sum(parameter.numel() for parameter in network.parameters()) == 48_686_760


def test_stages_have_the_output_sizes_of_table_1():
    found = {layer.name: layer.output_shape for layer in flops.layers(on_meta("sknet50"), 224)}
    assert found["conv1"] == (64, 112, 112)
    assert [found[f"layer{i}.0.conv3.conv"] for i in (1, 2, 3, 4)] == [
        (256, 56, 56),
        (512, 28, 28),
        (1024, 14, 14),
        (2048, 7, 7),
    ]


def test_timms_weights_give_timms_logits_but_for_the_stems_pooling():
    torch.manual_seed(0)
    theirs, network = skresnext50_32x4d(num_classes=5).eval(), sknet.sknet50(num_classes=5).eval()
    network.load_state_dict(theirs.state_dict())
    theirs.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    images = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        assert torch.equal(network(images), theirs(images))


def test_the_stems_pooling_rounds_up_without_padding():
    pooled = on_meta("sknet50").maxpool(torch.arange(16.0).reshape(1, 1, 4, 4))
    assert pooled.tolist() == [[[[10.0, 11.0], [14.0, 15.0]]]]


def test_pictures_under_32_px_are_refused():
    with pytest.raises(ValueError, match="SKNet takes images of 32 px or more, not 31"):
        sknet.sknet50(input_px=31)


def test_initialisation_is_he_normal_by_fan_in_and_a_hundredth_in_the_attention():
    torch.manual_seed(0)
    network = sknet.sknet50(num_classes=100)
    network.initialize_as_paper()
    unit = network.layer4[1]
    assert unit.conv1.conv.weight.std().item() == pytest.approx((2 / 2048) ** 0.5, rel=0.02)
    assert unit.conv2.paths[1].conv.weight.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.02)
    assert unit.conv2.attn.fc_reduce.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert unit.conv2.attn.fc_select.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert network.fc.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not network.fc.bias.any()
