"""GoogLeNet against its paper."""

import pytest
import torch
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.googlenet import Inception, googlenet


@pytest.fixture(scope="module")
def at_224():
    with torch.device("meta"):
        return googlenet()


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = googlenet(num_classes=7, input_px=80)
    network.initialize_as_paper()
    return network


def test_modules_have_the_output_sizes_of_table_1(at_224):
    sizes = {}
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: sizes.update({name: tuple(output.shape[1:])}))
        for name, module in at_224.inception.items()
    ]
    at_224.eval()(torch.empty(1, 3, 224, 224, device="meta"))
    for hook in hooks:
        hook.remove()
    assert sizes == {
        "3a": (256, 28, 28),
        "3b": (480, 28, 28),
        "4a": (512, 14, 14),
        "4b": (512, 14, 14),
        "4c": (512, 14, 14),
        "4d": (528, 14, 14),
        "4e": (832, 14, 14),
        "5a": (832, 7, 7),
        "5b": (1024, 7, 7),
    }


def test_the_convolutions_before_the_modules_have_the_sizes_of_table_1(at_224):
    layers = {layer.name: layer.output_shape for layer in flops.layers(at_224, 224)}
    assert layers["conv1"] == (64, 112, 112)
    assert layers["conv2_reduce"] == (64, 56, 56)
    assert layers["conv2"] == (192, 56, 56)


def test_multiply_adds_of_the_modules_are_table_1s(at_224):
    found = flops.layers(at_224, 224)
    millions = [
        sum(layer.multiply_adds for layer in found if layer.name.startswith(f"inception.{name}.")) / 1e6
        for name in at_224.inception
    ]
    # 5a is printed as 54 million; its six widths give 51.
    assert millions == pytest.approx([128, 304, 73, 88, 100, 119, 170, 51, 71], abs=1)


def test_a_module_has_a_real_5_x_5_convolution(at_224):
    assert at_224.inception["3a"].branch5[1].kernel_size == (5, 5)


def test_branches_are_concatenated_in_the_papers_order():
    torch.manual_seed(0)
    module = Inception(8, 1, 2, 3, 2, 4, 5)
    x = torch.randn(1, 8, 6, 6)
    joined = module(x)
    assert joined.shape == (1, 1 + 3 + 4 + 5, 6, 6)
    assert torch.equal(joined[:, :1], module.branch1(x))
    assert torch.equal(joined[:, 1:4], module.branch3(x))
    assert torch.equal(joined[:, 4:8], module.branch5(x))
    assert torch.equal(joined[:, 8:], module.branch_pool(x))


def test_training_sees_two_more_heads_that_weigh_three_tenths(small):
    images = torch.randn(2, 3, 80, 80)
    outputs = small.outputs(images)
    assert [weight for weight, _ in outputs] == [1.0, 0.3, 0.3]
    assert all(logits.shape == (2, 7) for _, logits in outputs)


def test_the_main_head_gives_the_same_logits_with_and_without_the_others(small):
    small.eval()
    images = torch.randn(2, 3, 80, 80)
    assert torch.equal(small(images), small.outputs(images)[0][1])
    small.train()


def test_the_auxiliary_heads_stand_on_4a_and_4d_and_see_4_x_4(at_224):
    pooled = at_224.auxiliary_4a.pool(torch.empty(1, 512, 14, 14, device="meta"))
    assert pooled.shape == (1, 512, 4, 4)
    assert at_224.auxiliary_4a.conv.in_channels == 512
    assert at_224.auxiliary_4d.conv.in_channels == 528
    assert at_224.auxiliary_4d.hidden.in_features == 128 * 4 * 4


def test_79_px_are_the_fewest_that_the_auxiliary_heads_pool():
    with torch.device("meta"):
        network = googlenet(input_px=79)
        assert [logits.shape for _, logits in network.outputs(torch.empty(2, 3, 79, 79))] == [(2, 1000)] * 3
    with pytest.raises(ValueError, match="GoogLeNet takes images of 79 px or more, not 78"):
        googlenet(input_px=78)


def test_dropout_is_40_percent_and_70_in_the_heads(at_224):
    assert at_224.dropout.p == 0.4
    assert [head.dropout.p for head in at_224.auxiliary_heads()] == [0.7, 0.7]


def test_a_network_built_for_one_size_tests_at_another(small):
    small.eval()
    with torch.no_grad():
        assert small(torch.randn(1, 3, 96, 112)).shape == (1, 7)
    small.train()


def test_initialisation_is_caffes_xavier_with_biases_of_a_fifth(small):
    conv = small.inception["3a"].branch3[1]
    bound = (3 / (96 * 3 * 3)) ** 0.5
    assert 0.98 * bound < conv.weight.abs().max().item() <= bound
    assert all((m.bias == 0.2).all() for m in small.modules() if isinstance(m, nn.Conv2d))
    assert all((head.hidden.bias == 0.2).all() for head in small.auxiliary_heads())
    assert not small.classifier.bias.any()
