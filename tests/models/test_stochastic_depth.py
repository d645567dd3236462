"""Stochastic depth against its paper and the authors' Torch code."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ilsvrc.models.stochastic_depth import (
    DroppedBlock,
    PooledShortcut,
    basic,
    stochastic_depth_resnet110_cifar,
    stochastic_depth_resnet152,
)
from ilsvrc.runtime.batch_rng import seed_batch_rng


@pytest.fixture(scope="module")
def cifar():
    torch.manual_seed(0)
    network = stochastic_depth_resnet110_cifar(input_px=8)
    network.initialize_as_paper()
    return network


@pytest.fixture
def images():
    torch.manual_seed(1)
    return torch.randn(2, 3, 8, 8)


def blocks(network):
    return [block for stage in network.stages for block in stage]


def tiny(death_rate):
    """A block whose branch multiplies by -3."""
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(conv.weight, -3.0)
    return DroppedBlock(nn.Sequential(conv), nn.Identity(), death_rate)


def test_the_last_of_54_blocks_survives_half_of_the_steps_and_the_first_nearly_all(cifar):
    survival = [block.survival.item() for block in blocks(cifar)]
    assert len(survival) == 54
    assert survival[:4] == pytest.approx([0.990741, 0.981481, 0.972222, 0.962963], abs=1e-6)
    assert survival[26] == 0.75
    assert survival[-3:] == pytest.approx([0.518519, 0.509259, 0.5], abs=1e-6)


def test_the_expected_number_of_surviving_blocks_is_the_papers_40(cifar):
    assert sum(block.survival.item() for block in blocks(cifar)) == pytest.approx((3 * 54 - 1) / 4, abs=1e-4)


def test_blocks_of_the_imagenet_network_are_counted_through_all_stages():
    with torch.device("meta"):
        network = stochastic_depth_resnet152(drop_path=0.4)
    assert [block.death_rate for block in blocks(network)] == pytest.approx([0.4 * n / 50 for n in range(1, 51)])


@pytest.mark.parametrize("death_rate", [0.1, 0.5])
def test_a_block_is_dropped_as_often_as_its_rate_says(death_rate):
    seed_batch_rng(0)
    block, x = tiny(death_rate), -torch.ones(1, 1, 1, 1)
    with torch.no_grad():
        outputs = [block(x).item() for _ in range(4000)]
    assert set(outputs) == {2.0, 0.0}  # ReLU(-1 + 3), and ReLU(-1) where the branch is dropped
    assert outputs.count(0.0) / 4000 == pytest.approx(death_rate, abs=0.025)


def test_a_block_is_dropped_for_all_pictures_of_a_batch_or_for_none():
    seed_batch_rng(0)
    block = tiny(0.5)
    with torch.no_grad():
        outputs = [block(-torch.ones(8, 1, 1, 1)).flatten() for _ in range(20)]
    assert all(len(output.unique()) == 1 for output in outputs)
    assert {output[0].item() for output in outputs} == {0.0, 2.0}


def test_at_test_the_branch_is_multiplied_by_its_survival_probability():
    block = tiny(0.25).eval()
    assert block(-torch.ones(1, 1, 1, 1)).item() == -1 + 0.75 * 3
    assert block(torch.ones(1, 1, 1, 1)).item() == 0.0  # ReLU(1 - 0.75 * 3)


def test_the_survival_probability_is_saved_with_the_weights():
    trained, other = tiny(0.25), tiny(0.0)
    other.load_state_dict(trained.state_dict())
    assert other.eval()(-torch.ones(1, 1, 1, 1)).item() == -1 + 0.75 * 3


def test_a_rate_of_zero_gives_the_plain_residual_network(images):
    plain = stochastic_depth_resnet110_cifar(input_px=8, drop_path=0.0)
    with torch.no_grad():
        for training in (True, False):
            plain.train(training)
            x = plain.stem(images)
            for block in blocks(plain):
                x = F.relu(block.shortcut(x) + block.branch(x))
            assert torch.equal(plain(images), plain.classifier(x.mean(dim=(2, 3))))


def test_equal_draws_drop_equal_blocks(cifar, images):
    cifar.train()
    logits = []
    with torch.no_grad():
        for seed in (3, 3, 4):
            seed_batch_rng(seed)
            logits.append(cifar(images))
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])


def test_a_dropped_block_gives_its_parameters_gradients_of_zero_and_keeps_its_statistics():
    torch.manual_seed(0)
    block = basic(4, 8, 2, death_rate=1.0)
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    out = block(x)
    out.sum().backward()
    assert torch.equal(out, F.relu(block.shortcut(x)))
    assert all(p.grad is not None and not p.grad.any() for p in block.parameters())
    assert x.grad.any()
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(norm.num_batches_tracked == 0 and not norm.running_mean.any() for norm in norms)


def test_every_parameter_has_a_gradient_in_a_step_that_drops_blocks(cifar, images):
    seed_batch_rng(0)
    cifar.train().zero_grad()
    cifar(images).sum().backward()
    dropped = [not any(p.grad.any() for p in block.branch.parameters()) for block in blocks(cifar)]
    assert 5 < sum(dropped) < 25
    assert all(p.grad is not None for p in cifar.parameters())


def test_a_shortcut_to_a_smaller_picture_averages_and_pads_with_zeros():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    out = PooledShortcut(1, 3, 2)(x)
    assert out[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert out.shape == (1, 3, 2, 2)
    assert not out[0, 1:].any()


def test_odd_sides_shrink_alike_on_both_ways():
    block = basic(2, 4, 2, 0.0)
    assert block(torch.randn(2, 2, 5, 7)).shape == (2, 4, 3, 4)


def test_initialisation_is_he_normal_by_fan_in(cifar):
    conv = cifar.stages[2][0].branch[0]  # 32 to 64 channels
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.02)
    assert conv.weight.mean().item() == pytest.approx(0.0, abs=0.002)
    assert cifar.classifier.bias.any()
    assert cifar.classifier.bias.abs().max() <= 64**-0.5


def test_batch_norms_start_as_torch_7_starts_them():
    network = stochastic_depth_resnet110_cifar(input_px=8)
    network.initialize_as_paper()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    weights = torch.cat([norm.weight for norm in norms])  # 4,048 uniform from [0, 1)
    assert 0.0 <= weights.min() < 0.01 and 0.99 < weights.max() < 1.0
    assert weights.std().item() == pytest.approx(12**-0.5, rel=0.03)
    assert not any(norm.bias.any() for norm in norms)
