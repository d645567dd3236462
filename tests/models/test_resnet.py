"""ResNet-18 against its paper."""

import pytest
import torch
import torchvision
from torch import nn

from ilsvrc import complexity
from ilsvrc.models.resnet import BasicBlock, ProjectionShortcut, ZeroPaddedShortcut, resnet18, resnet18_b


def test_option_a_takes_every_second_pixel_and_adds_channels_of_zeros():
    x = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    expected = [[[[1.0, 3.0], [9.0, 11.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]]
    assert ZeroPaddedShortcut(1, 3, stride=2)(x).tolist() == expected


def test_option_a_rounds_odd_sides_up_as_the_convolution_does():
    x = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    assert ZeroPaddedShortcut(1, 2, stride=2)(x).tolist() == [[[[1.0, 3.0], [7.0, 9.0]], [[0.0, 0.0], [0.0, 0.0]]]]


def test_a_block_whose_residual_is_zero_passes_its_input_through_the_relu():
    block = BasicBlock(2, 2, 1, ZeroPaddedShortcut)
    nn.init.zeros_(block.norm2.weight)
    x = torch.tensor([[[[-1.0, 2.0], [3.0, -4.0]], [[5.0, -6.0], [-7.0, 8.0]]]])
    assert block(x).tolist() == [[[[0.0, 2.0], [3.0, 0.0]], [[5.0, 0.0], [0.0, 8.0]]]]


def test_a_block_leaves_its_input_as_it_was():
    x = torch.randn(2, 4, 6, 6)
    before = x.clone()
    BasicBlock(4, 8, 2, ZeroPaddedShortcut)(x)
    assert torch.equal(x, before)


def test_shortcuts_change_the_shape_three_times():
    with torch.device("meta"):
        a, b = resnet18(), resnet18_b()
    assert sum(isinstance(m, ZeroPaddedShortcut) for m in a.modules()) == 3
    assert sum(isinstance(m, ProjectionShortcut) for m in b.modules()) == 3
    assert not any(isinstance(m, ProjectionShortcut) for m in a.modules())


def test_stages_have_the_output_sizes_of_table_1():
    with torch.device("meta"):
        network = resnet18()
    layers = {layer.name: layer.output_shape for layer in complexity.layers(network, 224)}
    assert layers["conv1"] == (64, 112, 112)
    assert [layers[f"stages.{i}.1.conv2"] for i in range(4)] == [
        (64, 56, 56),
        (128, 28, 28),
        (256, 14, 14),
        (512, 7, 7),
    ]


def test_option_b_is_torchvisions_resnet18_with_its_weights():
    torch.manual_seed(0)
    theirs, ours = torchvision.models.resnet18(num_classes=5).eval(), resnet18_b(num_classes=5).eval()
    pairs = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)  # both in the order of definition
    ours.load_state_dict(dict(pairs))
    images = torch.randn(2, 3, 80, 80)
    assert torch.allclose(ours(images), theirs(images), atol=1e-5)


def test_eighteen_layers_carry_weights():
    with torch.device("meta"):
        network = resnet18()
    assert sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in network.modules()) == 18


def test_a_network_built_for_one_size_tests_at_another():
    network = resnet18(num_classes=4, input_px=80).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, 96, 64)).shape == (1, 4)


def test_initialisation_is_he_normal_by_fan_out():
    torch.manual_seed(0)
    network = resnet18_b(num_classes=4)
    network.initialize_as_paper()
    assert network.stages[1][0].conv1.weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    assert not network.classifier.bias.any()


def test_initialisation_starts_batch_norm_afresh():
    network = resnet18(num_classes=4, input_px=32)
    network(torch.randn(2, 3, 32, 32))
    nn.init.constant_(network.norm1.weight, 3.0)
    network.initialize_as_paper()
    norm = network.norm1
    values = [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    assert [v.unique().tolist() for v in values] == [[1.0], [0.0], [0.0], [1.0]]
