"""AlexNet against its paper."""

import pytest
import torch
from torch import nn

from ilsvrc.models.alexnet import (
    alexnet,
    alexnet_no_groups,
    alexnet_no_lrn,
    alexnet_one_gpu,
    alexnet_plain_pooling,
    alexnet_sixth_conv,
    alexnet_tanh,
    alexnet_without_conv,
)
from ilsvrc.models.common import flops
from ilsvrc.models.common.layers import LocalResponseNorm

CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5", "conv6")


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = alexnet(num_classes=3, input_px=80).eval()
    network.initialize_as_paper()
    return network


def test_layers_put_out_the_neurons_of_figure_2():
    with torch.device("meta"):
        network = alexnet()
    outputs = [layer.activations for layer in flops.layers(network, 227) if layer.activations]
    # The first is 55 x 55 x 96: the 253,440 of Figure 2 fit neither 55 nor any other side of 96 channels.
    assert outputs == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]


def test_convolutions_2_4_and_5_are_two_towers_that_do_not_see_each_other(small):
    assert [conv.groups for conv in (small.conv1, small.conv2, small.conv3, small.conv4, small.conv5)] == [
        1,
        2,
        1,
        2,
        2,
    ]
    x = torch.randn(1, 96, 8, 8)
    other = x.clone()
    other[:, 48:] = torch.randn(1, 48, 8, 8)
    before, after = small.conv2(x), small.conv2(other)
    assert torch.equal(before[:, :128], after[:, :128])
    assert not torch.equal(before[:, 128:], after[:, 128:])


def test_normalisation_follows_the_relu_and_precedes_the_pooling(small):
    order = []
    hooks = [
        module.register_forward_hook(lambda m, given, _: order.append((type(m).__name__, bool((given[0] < 0).any()))))
        for module in (small.conv1, small.norm1, small.pool)
    ]
    small(torch.randn(1, 3, 80, 80))
    for hook in hooks:
        hook.remove()
    assert order[:3] == [("Conv2d", True), ("LocalResponseNorm", False), ("MaxPool2d", False)]


def test_normalisation_has_the_papers_constants(small):
    for norm in (small.norm1, small.norm2):
        assert isinstance(norm, LocalResponseNorm)
        assert (norm.k, norm.size, norm.alpha) == (2.0, 5, 1e-4)


@pytest.mark.parametrize("norm", ["norm1", "norm2"])
def test_normalisation_stays_within_a_tower(small, norm):
    half = {"norm1": 48, "norm2": 128}[norm]
    x = torch.rand(1, 2 * half, 2, 2) * 30
    other = x.clone()
    other[:, half:] += 30
    before, after = getattr(small, norm)(x), getattr(small, norm)(other)
    assert torch.equal(before[:, :half], after[:, :half])
    crossing = LocalResponseNorm()
    assert not torch.equal(crossing(x)[:, half - 2 : half], crossing(other)[:, half - 2 : half])


def test_pooling_windows_overlap(small):
    assert (small.pool.kernel_size, small.pool.stride) == (3, 2)


def test_dropout_of_one_half_acts_on_the_two_hidden_linear_layers():
    torch.manual_seed(0)
    network = alexnet(num_classes=3, input_px=80).train()
    seen = []
    network.dropout.register_forward_hook(lambda module, given, output: seen.append((given[0], output)))
    network(torch.randn(8, 3, 80, 80))
    assert [given.shape for given, _ in seen] == [(8, 4096), (8, 4096)]
    for given, output in seen:
        assert (output[given > 0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_initialisation_is_section_5s(small):
    layers = [m for m in small.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert [m.bias.unique().tolist() for m in layers] == [[0.0], [1.0], [0.0], [1.0], [1.0], [1.0], [1.0], [0.0]]
    for layer in layers:
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert layer.weight.mean().item() == pytest.approx(0.0, abs=5e-4)


def weightless(build, *given):
    with torch.device("meta"):
        return build(*given)


def shapes(network):
    """Name -> (kernels, kernel maps that each sees, towers) of the convolutions that there are."""
    found = {name: getattr(network, name) for name in CONVOLUTIONS}
    return {
        name: (conv.out_channels, conv.in_channels // conv.groups, conv.groups) for name, conv in found.items() if conv
    }


def parameters(convolutions, fc6_inputs):
    """Counted from (kernels, inputs of each) of the convolutions: weights and a bias each; then fc6 to fc8."""
    linear = 4096 * (fc6_inputs + 1) + 4096 * (4096 + 1) + 1000 * (4096 + 1)
    return sum(kernels * (inputs + 1) for kernels, inputs in convolutions) + linear


@pytest.mark.parametrize(
    ("build", "convolutions", "fc6_inputs"),
    [
        (alexnet_one_gpu, [(48, 363), (128, 48 * 25), (192, 128 * 9), (192, 192 * 9), (256, 192 * 9)], 9216),
        (alexnet_no_groups, [(96, 363), (256, 96 * 25), (384, 256 * 9), (384, 384 * 9), (256, 384 * 9)], 9216),
        (
            alexnet_sixth_conv,
            [(96, 363), (256, 48 * 25), (384, 256 * 9), (384, 192 * 9), (256, 192 * 9), (256, 128 * 9)],
            9216,
        ),
    ],
)
def test_parameters_are_those_of_the_layers_by_hand(build, convolutions, fc6_inputs):
    assert flops.count(weightless(build), 227).parameters == parameters(convolutions, fc6_inputs)


@pytest.mark.parametrize(
    ("layer", "convolutions", "fc6_inputs"),
    [
        (2, [(96, 363), (384, 96 * 9), (384, 192 * 9), (256, 192 * 9)], 9216),
        (3, [(96, 363), (256, 48 * 25), (384, 128 * 9), (256, 192 * 9)], 9216),
        (4, [(96, 363), (256, 48 * 25), (384, 256 * 9), (256, 192 * 9)], 9216),
        (5, [(96, 363), (256, 48 * 25), (384, 256 * 9), (384, 192 * 9)], 384 * 36),
    ],
)
def test_parameters_without_a_layer_are_those_of_the_others_by_hand(layer, convolutions, fc6_inputs):
    network = weightless(alexnet_without_conv, layer)
    assert flops.count(network, 227).parameters == parameters(convolutions, fc6_inputs)


def test_on_one_gpu_all_convolutions_but_the_fifth_have_half_the_kernels_and_no_towers():
    network = weightless(alexnet_one_gpu)
    assert [getattr(network, name).out_channels for name in CONVOLUTIONS[:5]] == [48, 128, 192, 192, 256]
    assert {getattr(network, name).groups for name in CONVOLUTIONS[:5]} == {1}
    assert network.norm1.groups == network.norm2.groups == 1
    more = flops.count(weightless(alexnet), 227).parameters / flops.count(network, 227).parameters
    assert more == pytest.approx(1, abs=0.02)  # "approximately the same number of parameters"


def test_without_groups_every_kernel_sees_all_maps():
    network = weightless(alexnet_no_groups)
    assert shapes(network) == {
        "conv1": (96, 3, 1),
        "conv2": (256, 96, 1),
        "conv3": (384, 256, 1),
        "conv4": (384, 384, 1),
        "conv5": (256, 384, 1),
    }
    assert network.norm1.groups == network.norm2.groups == 1


def test_without_normalisation_responses_go_to_the_pooling_as_they_are():
    network = weightless(alexnet_no_lrn)
    assert not any(isinstance(module, LocalResponseNorm) for module in network.modules())
    assert shapes(network) == shapes(weightless(alexnet))


def test_plain_pooling_has_no_overlap_and_outputs_of_equal_size():
    network = weightless(alexnet_plain_pooling)
    assert (network.pool.kernel_size, network.pool.stride) == (2, 2)
    plain, overlapping = (
        [layer.output_shape for layer in flops.layers(net, 227) if layer.kind == "MaxPool2d"]
        for net in (network, weightless(alexnet))
    )
    assert plain == overlapping == [(96, 27, 27), (256, 13, 13), (256, 6, 6)]


def test_plain_pooling_takes_smaller_pictures():
    assert weightless(alexnet_plain_pooling, 3, 39)(torch.empty(2, 3, 39, 39, device="meta")).shape == (2, 3)
    with pytest.raises(ValueError, match="takes images of 39 px or more, not 38"):
        weightless(alexnet_plain_pooling, 3, 38)
    with pytest.raises(ValueError, match="takes images of 67 px or more, not 66"):
        weightless(alexnet, 3, 66)


def test_with_tanh_every_activation_lies_between_minus_1_and_1_and_some_on_each_side():
    torch.manual_seed(0)
    network = alexnet_tanh(num_classes=3, input_px=67).eval()
    seen = []
    for layer in (network.conv2, network.conv3, network.fc7, network.fc8):
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(torch.randn(2, 3, 67, 67) * 100)
    assert len(seen) == 4
    for x in seen:
        assert x.abs().max() <= 1
        assert x.min() < 0 < x.max()


def test_with_tanh_all_biases_start_at_zero():
    network = alexnet_tanh(num_classes=3, input_px=67)
    network.initialize_as_paper()
    assert not any(m.bias.any() for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
    assert network.fc7.weight.std().item() == pytest.approx(0.01, rel=0.01)


def test_the_sixth_convolution_sees_the_last_pooling_and_has_the_shape_of_the_fifth():
    network = weightless(alexnet_sixth_conv)
    kinds = [(layer.kind, layer.output_shape) for layer in flops.layers(network, 227)]
    assert kinds[-8:-5] == [
        ("MaxPool2d", (256, 6, 6)),
        ("Conv2d", (256, 6, 6)),
        ("FixedFlatten", (9216,)),
    ]
    assert shapes(network) == {**shapes(weightless(alexnet)), "conv6": (256, 128, 2)}


def test_the_sixth_convolution_is_rectified_and_starts_with_biases_of_one():
    torch.manual_seed(0)
    network = alexnet_sixth_conv(num_classes=3, input_px=67)
    network.initialize_as_paper()
    assert (network.conv6.bias == 1).all()
    nn.init.constant_(network.conv6.bias, -100.0)
    seen = []
    network.flatten.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(torch.randn(1, 3, 67, 67))
    assert not seen[0].any()


def test_without_a_layer_the_next_one_sees_the_one_before_and_keeps_its_kernels_and_towers():
    whole = shapes(weightless(alexnet))
    changed = {2: {"conv3": (384, 96, 1)}, 3: {"conv4": (384, 128, 2)}, 4: {"conv5": (256, 192, 2)}, 5: {}}
    for layer, change in changed.items():
        rest = {name: shape for name, shape in whole.items() if name != f"conv{layer}"}
        assert shapes(weightless(alexnet_without_conv, layer)) == {**rest, **change}


@pytest.mark.parametrize("layer", [2, 3, 4, 5])
def test_without_a_layer_all_other_maps_keep_their_sizes(layer):
    def sizes(network):
        at_work = [found for found in flops.layers(network, 227) if found.kind in ("Conv2d", "MaxPool2d")]
        return [(found.name, found.output_shape[1:]) for found in at_work]

    whole = sizes(weightless(alexnet))
    assert sizes(weightless(alexnet_without_conv, layer)) == [x for x in whole if x[0] != f"conv{layer}"]


def test_with_the_second_convolution_goes_its_normalisation():
    network = weightless(alexnet_without_conv, 2)
    assert [type(norm).__name__ for norm in (network.norm1, network.norm2)] == ["LocalResponseNorm", "Identity"]
