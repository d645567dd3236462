"""Inception-ResNet-v1 against the paper's figures, v2 against timm's."""

import pytest
import timm
import torch
from settled_networks import settled
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.inception_resnet import ScaledResidual, inception_resnet_v1, inception_resnet_v2

# (channels in, channels out, kernel's area) of every convolution in Figures 7 and 10 to 14.
STEM = [(3, 32, 9), (32, 32, 9), (32, 64, 9), (64, 80, 1), (80, 192, 9), (192, 256, 9)]
A = [(256, 32, 1), (256, 32, 1), (32, 32, 9), (256, 32, 1), (32, 32, 9), (32, 32, 9)]
REDUCTION_A = [(256, 384, 9), (256, 192, 1), (192, 192, 9), (192, 256, 9)]
B = [(896, 128, 1), (896, 128, 1), (128, 128, 7), (128, 128, 7)]
REDUCTION_B = [(896, 256, 1), (256, 384, 9), (896, 256, 1), (256, 256, 9), (896, 256, 1), (256, 256, 9), (256, 256, 9)]
C = [(1792, 192, 1), (1792, 192, 1), (192, 192, 3), (192, 192, 3)]


@pytest.fixture(scope="module")
def v1():
    with torch.device("meta"):
        return inception_resnet_v1()


@pytest.fixture(scope="module")
def v2():
    with torch.device("meta"):
        return inception_resnet_v2()


def normalised(convolutions):
    """Parameters of convolutions without bias and their batch norms."""
    return sum(channels * width * area + 2 * width for channels, width, area in convolutions)


def test_parameters_of_v1_are_those_of_the_figures_added_by_hand(v1):
    expansions = 5 * (96 * 256 + 256) + 10 * (256 * 896 + 896) + 5 * (384 * 1792 + 1792)
    others = normalised(STEM + 5 * A + REDUCTION_A + 10 * B + REDUCTION_B + 5 * C)
    assert flops.count(v1, 299).parameters == others + expansions + 1792 * 1000 + 1000


def test_v1_is_facenets_definition_but_for_its_sixth_module_c_and_its_embedding(v1):
    sixth = normalised(C) + 384 * 1792 + 1792
    embedding, classifier = 1792 * 512 + 2 * 512, 1792 * 1000 + 1000
    assert flops.count(v1, 299).parameters - classifier + sixth + embedding == 23_482_624


def test_stages_of_v1_have_the_output_sizes_of_figure_15(v1):
    x = torch.empty(1, 3, 299, 299, device="meta")
    sizes = []
    for stage in (v1.stem, v1.stage_a, v1.reduction_a, v1.stage_b, v1.reduction_b, v1.stage_c):
        x = stage.eval()(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(256, 35, 35), (256, 35, 35), (896, 17, 17), (896, 17, 17), (1792, 8, 8), (1792, 8, 8)]


def test_v1_has_5_modules_a_10_b_and_5_c_with_the_scales_of_the_code_released_for_v2(v1):
    scales = [module.scale for module in v1.modules() if isinstance(module, ScaledResidual)]
    assert scales == [0.17] * 5 + [0.10] * 10 + [0.20] * 5


def test_a_module_of_v1_adds_the_scaled_expansion_to_its_input_before_relu():
    torch.manual_seed(0)
    module = ScaledResidual(2, 0.1, 3, nn.Conv2d(2, 1, 1), nn.Conv2d(2, 2, 1))
    nn.init.zeros_(module.expand.weight)
    module.expand.bias.data[:] = torch.tensor([10.0, -10.0])
    x = torch.tensor([-0.5, -3.0, 0.25, 4.0]).expand(1, 2, 1, 4)
    assert module(x)[0, 0, 0].tolist() == [0.5, 0.0, 1.25, 5.0]
    assert module(x)[0, 1, 0].tolist() == [0.0, 0.0, 0.0, 3.0]


def test_a_module_of_v1_concatenates_its_branches_and_leaves_its_input_as_it_was():
    torch.manual_seed(0)
    one, two = nn.Conv2d(2, 1, 1), nn.Conv2d(2, 2, 1)
    module = ScaledResidual(2, 0.5, 3, one, two)
    x = torch.randn(1, 2, 3, 3)
    before = x.clone()
    expected = torch.relu(x + 0.5 * module.expand(torch.cat([one(x), two(x)], dim=1)))
    assert torch.allclose(module(x), expected)
    assert torch.equal(x, before)


def test_only_the_expansions_of_v1_have_biases_and_no_batch_norm(v1):
    biased = [name for name, module in v1.named_modules() if isinstance(module, nn.Conv2d) and module.bias is not None]
    assert len(biased) == 5 + 10 + 5
    assert all(name.endswith(".expand") for name in biased)


def test_names_and_shapes_of_the_weights_of_v2_are_timms(v2):
    with torch.device("meta"):
        theirs = timm.create_model("inception_resnet_v2").state_dict()
    assert {k: v.shape for k, v in v2.state_dict().items()} == {k: v.shape for k, v in theirs.items()}


@torch.no_grad()
def test_the_same_weights_give_timms_logits():
    torch.manual_seed(0)
    images = torch.randn(3, 3, 75, 91)
    ours = settled(inception_resnet_v2(num_classes=7, input_px=75), images)
    with torch.device("meta"):
        theirs = timm.create_model("inception_resnet_v2", num_classes=7).eval()
    theirs.load_state_dict(ours.state_dict(), assign=True)
    assert torch.allclose(ours(images), theirs(images), atol=1e-5)
    assert (ours(images).std(dim=0) > 0.01).all()


def test_v2_has_10_modules_a_20_b_and_10_c_with_the_released_scales(v2):
    assert [block.scale for block in v2.repeat] == [0.17] * 10
    assert [block.scale for block in v2.repeat_1] == [0.10] * 20
    assert [block.scale for block in v2.repeat_2] == [0.20] * 9
    assert v2.block8.scale == 1.0


def silence(block):
    """Lets a block's residual be 1 everywhere."""
    nn.init.zeros_(block.conv2d.weight)
    nn.init.ones_(block.conv2d.bias)
    return block.eval()


@torch.no_grad()
def test_modules_of_v2_add_the_scaled_residual_and_only_the_last_has_no_relu(v2):
    last, first = silence(v2.block8.to_empty(device="cpu")), silence(v2.repeat_2[0].to_empty(device="cpu"))
    for block in (first, last):
        for module in block.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, nn.Conv2d) and module is not block.conv2d:
                nn.init.zeros_(module.weight)
    x = torch.full((1, 2080, 2, 2), -1.5)
    assert torch.equal(last(x), torch.full_like(x, -0.5))
    assert torch.equal(first(x), torch.zeros_like(x))
    assert torch.allclose(first(-x), torch.full_like(x, 1.7))


@pytest.mark.parametrize("build", [inception_resnet_v1, inception_resnet_v2])
def test_dropout_keeps_eight_tenths_before_the_classifier(build):
    with torch.device("meta"):
        assert [module.p for module in build().modules() if isinstance(module, nn.Dropout)] == [0.2]


@pytest.mark.parametrize("build", [inception_resnet_v1, inception_resnet_v2])
def test_75_px_are_the_fewest(build):
    with torch.device("meta"):
        assert build(input_px=75).eval()(torch.empty(1, 3, 75, 75)).shape == (1, 1000)
    with pytest.raises(ValueError, match=r"Inception-ResNet-v\d takes images of 75 px or more, not 74"):
        build(input_px=74)


def test_initialisation_is_glorots_uniform():
    torch.manual_seed(0)
    network = inception_resnet_v1(input_px=75)
    network.initialize_as_paper()
    conv = network.reduction_b.get_submodule("3.1.0")
    bound = (6 / (256 * 9 + 256 * 9)) ** 0.5
    assert 0.999 * bound < conv.weight.abs().max().item() <= bound
    assert conv.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
    assert all(not m.bias.any() for m in network.modules() if getattr(m, "bias", None) is not None)
