"""BN-Inception and SE-BN-Inception against Figure 5 of the paper and the definition that Hu et al. released."""

import pytest
import torch
from torch import nn

from ilsvrc.models.bn_inception import INCEPTION, HalvingMaxPool, Inception, Reduction, bn_inception, se_bn_inception
from ilsvrc.models.common import flops


@pytest.fixture(scope="module")
def at_224():
    with torch.device("meta"):
        return bn_inception()


@pytest.fixture(scope="module")
def excited():
    with torch.device("meta"):
        return se_bn_inception()


def output_shapes(network):
    """Name -> shape of a picture's values after each module of `inception`."""
    shapes = {}
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: shapes.update({name: tuple(output.shape[1:])}))
        for name, module in network.inception.named_children()
    ]
    network.eval()(torch.empty(1, 3, 224, 224, device="meta"))
    for hook in hooks:
        hook.remove()
    return shapes


def test_modules_have_the_output_sizes_of_the_released_definition(at_224):
    assert output_shapes(at_224) == {
        "3a": (256, 28, 28),
        "3b": (320, 28, 28),
        "3c": (576, 14, 14),
        "4a": (576, 14, 14),
        "4b": (576, 14, 14),
        "4c": (608, 14, 14),
        "4d": (608, 14, 14),
        "4e": (1056, 7, 7),
        "5a": (1024, 7, 7),
        "5b": (1024, 7, 7),
    }


def test_the_convolutions_before_the_modules_have_the_sizes_of_figure_5(at_224):
    layers = {layer.name: layer.output_shape for layer in flops.layers(at_224, 224)}
    assert layers["conv1.conv"] == (64, 112, 112)
    assert layers["conv2_reduce.conv"] == (64, 56, 56)
    assert layers["conv2.conv"] == (192, 56, 56)


def test_no_convolution_has_a_bias_and_each_has_batch_norm(at_224):
    convolutions = [module for module in at_224.modules() if isinstance(module, nn.Conv2d)]
    assert all(conv.bias is None for conv in convolutions)
    assert len(convolutions) == sum(isinstance(module, nn.BatchNorm2d) for module in at_224.modules()) == 3 + 8 * 7 + 10


def test_only_the_last_module_takes_the_largest_value_before_its_projection(at_224):
    whole = {name: module for name, module in at_224.inception.named_children() if isinstance(module, Inception)}
    kinds = {name: type(module.branch_pool[0]) for name, module in whole.items()}
    assert kinds.pop("5b") is nn.MaxPool2d
    assert set(kinds.values()) == {nn.AvgPool2d}
    assert sorted(kinds) == ["3a", "3b", "4a", "4b", "4c", "4d", "5a"]


def test_average_pooling_counts_the_zeros_beyond_the_border_as_caffe_does(at_224):
    pooled = at_224.inception.get_submodule("3a").branch_pool[0](torch.ones(1, 1, 3, 3))
    expected = torch.tensor([[4.0, 6, 4], [6, 9, 6], [4, 6, 4]]) / 9
    assert torch.allclose(pooled[0, 0], expected)


def test_a_reducing_module_halves_by_its_last_convolutions_and_passes_its_input_through():
    torch.manual_seed(0)
    module = Reduction(5, 2, 3, 2, 4).eval()
    x = torch.rand(1, 5, 6, 6)
    joined = module(x)
    assert joined.shape == (1, 3 + 4 + 5, 3, 3)
    assert [conv.conv.stride for conv in module.branch_double] == [(1, 1), (1, 1), (2, 2)]
    assert torch.equal(joined[:, 7:], nn.functional.max_pool2d(x, 3, stride=2, ceil_mode=True))


def test_branches_are_concatenated_in_the_papers_order():
    torch.manual_seed(0)
    module = Inception(8, 1, 2, 3, 2, 4, 5, max_pooled=False).eval()
    x = torch.randn(1, 8, 6, 6)
    branches = [module.branch1(x), module.branch3(x), module.branch_double(x), module.branch_pool(x)]
    assert [branch.shape[1] for branch in branches] == [1, 3, 4, 5]
    assert torch.equal(module(x), torch.cat(branches, dim=1))


def test_windows_of_the_pooling_by_2_start_at_the_first_pixel_and_the_last_stands_out():
    row = torch.tensor([9.0, 1, 2, 3, 4, 5]).expand(1, 1, 6, 6)
    assert HalvingMaxPool()(row)[0, 0, 0].tolist() == [9, 4, 5]


def test_of_odd_sides_the_pooling_by_2_leaves_what_a_convolution_by_2_leaves():
    row = torch.tensor([9.0, 1, 2, 3, 4]).expand(1, 1, 5, 5)
    assert HalvingMaxPool()(row)[0, 0, 0].tolist() == [9, 3, 4]
    assert nn.Conv2d(1, 1, 3, stride=2, padding=1)(row).shape == (1, 1, 3, 3)


@pytest.mark.parametrize("height, width", [(225, 193), (33, 32), (299, 250)])
def test_pictures_of_any_size_pass(at_224, height, width):
    assert at_224.eval()(torch.empty(1, 3, height, width, device="meta")).shape == (1, 1000)


def test_hidden_units_of_squeeze_and_excitation_are_those_of_the_released_definition(excited):
    hidden = [module.fc1.out_channels for name, module in excited.inception.named_children() if name.endswith("_se")]
    assert hidden == [16, 20, 36, 36, 36, 38, 38, 66, 64, 64]


def test_squeeze_and_excitation_adds_two_biased_layers_for_each_module(at_224, excited):
    widths = [shape[0] for shape in output_shapes(at_224).values()]
    added = sum(2 * width * (width // 16) + width // 16 + width for width in widths)
    with_se, without = flops.count(excited, 224).parameters, flops.count(at_224, 224).parameters
    assert with_se - without == added == 646_398
    assert list(output_shapes(excited)) == [name for module in INCEPTION for name in (module, f"{module}_se")]


def test_squeeze_and_excitation_scales_each_channel_of_a_module_by_a_number_between_0_and_1():
    torch.manual_seed(0)
    scale = se_bn_inception(num_classes=2, input_px=32).inception.get_submodule("3a_se")
    nn.init.zeros_(scale.fc2.weight)
    nn.init.zeros_(scale.fc2.bias)
    scale.fc2.bias.data[1] = 100.0
    x = torch.rand(1, 256, 3, 3)
    assert torch.allclose(scale(x)[:, 0], x[:, 0] / 2)
    assert torch.allclose(scale(x)[:, 1], x[:, 1])


def test_initialisation_is_he_s_by_fan_in():
    torch.manual_seed(0)
    network = se_bn_inception(input_px=32)
    network.initialize_as_paper()
    conv = network.inception.get_submodule("5b").branch_double[2].conv
    assert conv.weight.std().item() == pytest.approx((2 / (224 * 9)) ** 0.5, rel=0.01)
    assert abs(conv.weight.mean().item()) < 1e-3
    assert network.classifier.weight.std().item() == pytest.approx((2 / 1024) ** 0.5, rel=0.01)
    assert all(not m.bias.any() for m in network.modules() if getattr(m, "bias", None) is not None)
