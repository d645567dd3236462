"""Inception-v4 against its paper and timm's."""

import pytest
import timm
import torch
from settled_networks import settled
from torch import nn

from ilsvrc.models.inception_v4 import inception_v4


@pytest.fixture(scope="module")
def at_299():
    with torch.device("meta"):
        return inception_v4()


def test_names_and_shapes_of_the_weights_are_timms(at_299):
    with torch.device("meta"):
        theirs = timm.create_model("inception_v4").state_dict()
    assert {k: v.shape for k, v in at_299.state_dict().items()} == {k: v.shape for k, v in theirs.items()}


@torch.no_grad()
def test_the_same_weights_give_timms_logits():
    torch.manual_seed(0)
    images = torch.randn(3, 3, 75, 91)
    ours = settled(inception_v4(num_classes=7, input_px=75), images)
    with torch.device("meta"):
        theirs = timm.create_model("inception_v4", num_classes=7).eval()
    theirs.load_state_dict(ours.state_dict(), assign=True)
    assert torch.allclose(ours(images), theirs(images), atol=1e-5)
    assert (ours(images).std(dim=0) > 0.01).all()


def test_stages_have_the_numbers_of_modules_and_the_output_sizes_of_figure_9(at_299):
    x, stages = torch.empty(1, 3, 299, 299, device="meta"), []
    for module in at_299.eval().features[3:]:
        x = module(x) if stages else module(at_299.features[:3](x))
        stages.append((type(module).__name__, tuple(x.shape[1:])))
    assert stages == [
        ("Mixed3a", (160, 73, 73)),
        ("Mixed4a", (192, 71, 71)),
        ("Mixed5a", (384, 35, 35)),
        *[("InceptionA", (384, 35, 35))] * 4,
        ("ReductionA", (1024, 17, 17)),
        *[("InceptionB", (1024, 17, 17))] * 7,
        ("ReductionB", (1536, 8, 8)),
        *[("InceptionC", (1536, 8, 8))] * 3,
    ]


def test_average_pooling_leaves_out_what_is_beyond_the_border(at_299):
    pools = [module for module in at_299.modules() if isinstance(module, nn.AvgPool2d)]
    assert len(pools) == 4 + 7 + 3
    assert all(torch.allclose(pool(torch.ones(1, 1, 3, 3)), torch.ones(1)) for pool in pools)


def test_dropout_keeps_eight_tenths_before_the_classifier(at_299):
    assert [module.p for module in at_299.modules() if isinstance(module, nn.Dropout)] == [0.2]


def test_75_px_are_the_fewest():
    with torch.device("meta"):
        assert inception_v4(input_px=75).eval()(torch.empty(1, 3, 75, 75)).shape == (1, 1000)
    with pytest.raises(ValueError, match="Inception-v4 takes images of 75 px or more, not 74"):
        inception_v4(input_px=74)


def test_initialisation_is_slims():
    torch.manual_seed(0)
    network = inception_v4(input_px=75)
    network.initialize_as_paper()
    conv = network.features[18].branch1[2].conv
    fan_in = conv.weight[0].numel()
    assert conv.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.01)
    assert conv.weight.abs().max().item() <= 2 * (2.6 / fan_in) ** 0.5 * 1.0001
    assert not network.last_linear.bias.any()


def test_the_classifier_alone_starts_by_glorots_uniform_distribution_as_slims_linear_layers_do():
    torch.manual_seed(0)
    network = inception_v4(input_px=75)
    network.initialize_as_paper()
    weight, bound = network.last_linear.weight, (6 / (1536 + 1000)) ** 0.5
    assert 0.999 * bound < weight.abs().max().item() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
