"""Inception-v3 against its paper and torchvision's."""

import pytest
import torch
import torchvision
from settled_networks import settled
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.inception_v3 import inception_v3


@pytest.fixture(scope="module")
def at_299():
    with torch.device("meta"):
        return inception_v3()


IMAGES = torch.randn(3, 3, 107, 91, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def ours():
    torch.manual_seed(0)
    return settled(inception_v3(num_classes=7, input_px=107), IMAGES)


@pytest.fixture(scope="module")
def theirs(ours):
    """torchvision's, with our weights."""
    with torch.device("meta"):
        network = torchvision.models.inception_v3(weights=None, init_weights=False, num_classes=7)
    network.load_state_dict(ours.state_dict(), assign=True)
    return network.eval()


@pytest.fixture(scope="module")
def initialized():
    torch.manual_seed(0)
    network = inception_v3(num_classes=1000, input_px=75)
    network.initialize_as_paper()
    return network


def test_names_and_shapes_of_the_weights_are_torchvisions(at_299):
    with torch.device("meta"):
        theirs = torchvision.models.inception_v3(weights=None, init_weights=False).state_dict()
    assert {k: v.shape for k, v in at_299.state_dict().items()} == {k: v.shape for k, v in theirs.items()}


@torch.no_grad()
def test_the_same_weights_give_torchvisions_logits(ours, theirs):
    assert torch.allclose(ours(IMAGES), theirs(IMAGES), atol=1e-5)
    assert (ours(IMAGES).std(dim=0) > 0.01).all()


@torch.no_grad()
def test_the_same_weights_give_torchvisions_auxiliary_logits(ours, theirs):
    features = torch.randn(2, 768, 17, 19)
    assert torch.equal(ours.AuxLogits(features), theirs.AuxLogits(features))


@torch.no_grad()
def test_the_auxiliary_head_surrounds_what_is_below_17_x_17_with_zeros(ours, theirs):
    features = torch.randn(2, 768, 3, 18)
    padded = torch.zeros(2, 768, 17, 18)
    padded[:, :, 7:10] = features
    assert torch.equal(ours.AuxLogits(features), theirs.AuxLogits(padded))


def test_stages_have_the_output_sizes_of_table_1(at_299):
    shapes = {}
    names = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_4a_3x3", "maxpool2"]
    names += ["Mixed_5b", "Mixed_5d", "Mixed_6a", "Mixed_6e", "Mixed_7a", "Mixed_7c"]
    hooks = [
        at_299.get_submodule(name).register_forward_hook(lambda _, __, out, n=name: shapes.update({n: out.shape[1:]}))
        for name in names
    ]
    at_299.eval()(torch.empty(1, 3, 299, 299, device="meta"))
    for hook in hooks:
        hook.remove()
    assert [tuple(shapes[name]) for name in names] == [
        (32, 149, 149),
        (32, 147, 147),
        (64, 147, 147),
        (64, 73, 73),
        (192, 71, 71),
        (192, 35, 35),
        (256, 35, 35),
        (288, 35, 35),
        (768, 17, 17),
        (768, 17, 17),
        (1280, 8, 8),
        (2048, 8, 8),
    ]


def test_training_gives_a_tensor_and_an_auxiliary_head_that_weighs_four_tenths(at_299):
    images = torch.empty(2, 3, 299, 299, device="meta")
    assert at_299.train()(images).shape == (2, 1000)
    outputs = at_299.outputs(images)
    assert [(weight, tuple(logits.shape)) for weight, logits in outputs] == [(1.0, (2, 1000)), (0.4, (2, 1000))]


def test_the_auxiliary_head_sees_5_x_5_of_the_last_17_x_17_and_normalises_both_its_convolutions(at_299):
    seen = []
    hooks = [
        at_299.AuxLogits.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape[1:]))),
        at_299.AuxLogits.conv1.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape[1:]))),
    ]
    at_299.train().outputs(torch.empty(2, 3, 299, 299, device="meta"))
    for hook in hooks:
        hook.remove()
    assert seen == [(768, 17, 17), (128, 5, 5)]
    assert [type(m) for m in at_299.AuxLogits.modules() if not list(m.children())] == [
        nn.Conv2d,
        nn.BatchNorm2d,
        nn.Conv2d,
        nn.BatchNorm2d,
        nn.Linear,
    ]


def test_the_pictures_are_taken_as_they_are(ours):
    assert not ours.transform_input
    assert flops.layers(ours, 107)[0].name == "Conv2d_1a_3x3.conv"


def test_75_px_are_the_fewest(initialized):
    assert initialized.eval()(torch.zeros(1, 3, 75, 75)).shape == (1, 1000)
    with pytest.raises(ValueError, match="Inception-v3 takes images of 75 px or more, not 74"):
        inception_v3(input_px=74)


def test_initialisation_is_slims(initialized):
    conv = initialized.Mixed_7c.branch3x3dbl_2.conv
    assert conv.weight.std().item() == pytest.approx((2 / (448 * 9)) ** 0.5, rel=0.01)
    assert conv.weight.abs().max().item() <= 2 * (2.6 / (448 * 9)) ** 0.5 * 1.0001
    assert initialized.fc.weight.std().item() == pytest.approx((2 / 2048) ** 0.5, rel=0.01)
    assert not initialized.fc.bias.any() and not initialized.AuxLogits.fc.bias.any()


def test_the_auxiliary_head_starts_with_small_weights(initialized):
    head = initialized.AuxLogits
    assert head.conv1.conv.weight.std().item() == pytest.approx(0.88 * 0.01, rel=0.01)
    assert head.fc.weight.std().item() == pytest.approx(0.88 * 0.001, rel=0.01)
    assert head.conv0.conv.weight.std().item() == pytest.approx((2 / 768) ** 0.5, rel=0.01)
