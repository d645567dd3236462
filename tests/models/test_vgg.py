"""VGG against its paper."""

import pytest
import torch
import torchvision
from torch import nn

from ilsvrc.models.vgg import CONFIGURATIONS, VGG, vgg_a

WEIGHT_LAYERS = {"A": 11, "B": 13, "D": 16, "E": 19}  # Table 1
MILLIONS_OF_PARAMETERS = {"A": 133, "B": 133, "D": 138, "E": 144}  # Table 2


@pytest.mark.parametrize("letter", CONFIGURATIONS)
def test_configurations_have_the_papers_depth_and_parameters(letter):
    with torch.device("meta"):
        network = VGG(CONFIGURATIONS[letter], num_classes=1000, input_px=224, dropout=0.5)
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == WEIGHT_LAYERS[letter]
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == MILLIONS_OF_PARAMETERS[letter]


def test_convolutions_are_3_x_3_and_keep_the_size():
    with torch.device("meta"):
        network = vgg_a()
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert {(m.kernel_size, m.stride, m.padding) for m in convolutions} == {((3, 3), (1, 1), (1, 1))}
    assert [m.out_channels for m in convolutions] == [64, 128, 256, 256, 512, 512, 512, 512]


def test_the_network_is_torchvisions_vgg11_with_its_weights():
    torch.manual_seed(0)
    with torch.device("meta"):
        ours, theirs = vgg_a(num_classes=5).eval(), torchvision.models.vgg11(num_classes=5).eval()
    shapes = [tuple(p.shape) for p in theirs.parameters()]
    assert [tuple(p.shape) for p in ours.parameters()] == shapes
    # At 224 px torchvision's adaptive pooling does nothing, so the feature extractors decide.
    theirs = torchvision.models.vgg11(num_classes=5).features
    ours = vgg_a(num_classes=5, input_px=32).features
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours(images), theirs(images))


def test_initialisation_reads_the_variance_as_a_standard_deviation():
    torch.manual_seed(0)
    network = vgg_a(num_classes=3, input_px=32)
    network.initialize_as_paper()
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert all(m.weight.std().item() == pytest.approx(0.01, rel=0.1) for m in layers)
    assert not any(m.bias.any() for m in layers)
