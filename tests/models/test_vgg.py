"""VGG against its paper."""

import pytest
import torch
import torchvision
from torch import nn

from ilsvrc.config import registry
from ilsvrc.models.common import flops
from ilsvrc.models.common.layers import LocalResponseNorm
from ilsvrc.models.vgg import vgg_a, vgg_a_lrn, vgg_c

WEIGHT_LAYERS = {"vgg_a": 11, "vgg_a_lrn": 11, "vgg_b": 13, "vgg_c": 16, "vgg_d": 16, "vgg_e": 19}  # Table 1
MILLIONS = {"vgg_a": 133, "vgg_a_lrn": 133, "vgg_b": 133, "vgg_c": 134, "vgg_d": 138, "vgg_e": 144}  # Table 2
TORCHVISIONS = {"vgg_a": "vgg11", "vgg_b": "vgg13", "vgg_d": "vgg16", "vgg_e": "vgg19"}


def weightless(name):
    with torch.device("meta"):
        return registry.architecture(name)()


def layers_with_weights(network):
    return [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


@pytest.mark.parametrize("name", WEIGHT_LAYERS)
def test_configurations_have_the_papers_depth_and_parameters(name):
    network = weightless(name)
    assert len(layers_with_weights(network)) == WEIGHT_LAYERS[name]
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == MILLIONS[name]


@pytest.mark.parametrize("name", WEIGHT_LAYERS)
def test_convolutions_keep_the_size_and_each_stage_halves_it(name):
    found = flops.layers(weightless(name), 224)
    sides = [layer.output_shape[1] for layer in found if layer.kind == "Conv2d"]
    assert sides == sorted(sides, reverse=True)
    assert [layer.output_shape for layer in found if layer.kind == "MaxPool2d"] == [
        (64, 112, 112),
        (128, 56, 56),
        (256, 28, 28),
        (512, 14, 14),
        (512, 7, 7),
    ]


def test_convolutions_of_a_are_3_x_3_with_the_widths_of_table_1():
    convolutions = [m for m in weightless("vgg_a").modules() if isinstance(m, nn.Conv2d)]
    assert {(m.kernel_size, m.stride, m.padding) for m in convolutions} == {((3, 3), (1, 1), (1, 1))}
    assert [m.out_channels for m in convolutions] == [64, 128, 256, 256, 512, 512, 512, 512]


def test_c_is_b_with_1_x_1_convolutions_and_their_relus_at_the_ends_of_the_last_three_stages():
    b, c = weightless("vgg_b").features, weightless("vgg_c").features
    narrow = [i for i, m in enumerate(c) if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    assert [(c[i].in_channels, c[i].out_channels, c[i].padding) for i in narrow] == [
        (256, 256, (0, 0)),
        (512, 512, (0, 0)),
        (512, 512, (0, 0)),
    ]
    assert all(isinstance(c[i + 1], nn.ReLU) and isinstance(c[i + 2], nn.MaxPool2d) for i in narrow)
    others = [str(m) for i, m in enumerate(c) if i not in narrow and i - 1 not in narrow]
    assert others == [str(m) for m in b]


def test_a_lrn_normalises_once_behind_the_first_relu_by_alexnets_constants():
    kinds = [type(m) for m in weightless("vgg_a_lrn").features]
    assert kinds[:4] == [nn.Conv2d, nn.ReLU, LocalResponseNorm, nn.MaxPool2d]
    assert kinds.count(LocalResponseNorm) == 1
    norm = vgg_a_lrn(num_classes=2, input_px=32).features[2]
    assert (norm.size, norm.alpha, norm.k) == (5, 1e-4, 2.0)


@pytest.mark.parametrize("name", TORCHVISIONS)
def test_names_and_shapes_of_parameters_are_torchvisions(name):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, TORCHVISIONS[name])()
    shapes = {key: value.shape for key, value in weightless(name).state_dict().items()}
    assert shapes == {key: value.shape for key, value in theirs.state_dict().items()}


@pytest.mark.parametrize("name", TORCHVISIONS)
def test_torchvisions_weights_give_torchvisions_features(name):
    torch.manual_seed(0)
    ours = registry.architecture(name)(num_classes=2, input_px=32).features
    theirs = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs[name[-1].upper()])
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(1, 3, 64, 32)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


def test_the_classifier_is_linear_relu_dropout_twice_and_linear():
    classifier = vgg_c(num_classes=7, input_px=32, dropout=0.25).classifier
    kinds = [nn.Linear, nn.ReLU, nn.Dropout] * 2 + [nn.Linear]
    assert [type(m) for m in classifier] == kinds
    assert [m.out_features for m in classifier if isinstance(m, nn.Linear)] == [4096, 4096, 7]


def test_pictures_of_another_size_are_refused_with_both_sizes():
    network = vgg_a(num_classes=2, input_px=32)
    with pytest.raises(ValueError, match=r"built for images of 32 x 32 px, .* not 2 x 1;"):
        network(torch.randn(1, 3, 64, 32))


def test_initialisation_reads_the_variance_as_a_standard_deviation():
    torch.manual_seed(0)
    network = vgg_a(num_classes=3, input_px=32)
    network.initialize_as_paper()
    layers = layers_with_weights(network)
    assert all(m.weight.std().item() == pytest.approx(0.01, rel=0.1) for m in layers)
    assert all(abs(m.weight.mean().item()) < 1e-3 for m in layers)
    assert not any(m.bias.any() for m in layers)
