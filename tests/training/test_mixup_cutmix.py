import numpy as np
import pytest
import torch
from timm.data import mixup as of_timm
from torch import Tensor

from ilsvrc.training.mixup_cutmix import Mixing, box

CLASSES = 5


def batch(count: int = 8, side: int = 12) -> tuple[Tensor, Tensor]:
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, side, side, 3), dtype=torch.uint8, generator=noise)
    return images, torch.arange(count) % CLASSES


def mixed(mixing: Mixing, step: int = 0, epoch: int = 0, seed: int = 0, count: int = 8) -> tuple[Tensor, Tensor]:
    return mixing(*batch(count), CLASSES, seed, epoch, step)


def own_part(targets: Tensor) -> float:
    """Lambda, from the first image, whose partner has another label."""
    return targets[0, 0].item()


def test_mixup_blends_each_picture_and_label_with_its_partners():
    images, labels = batch()
    found, targets = mixed(Mixing(mixup=1.0))
    own = own_part(targets)
    assert 0 < own < 1
    for i in range(8):
        by_hand = own * images[i].double() + (1 - own) * images[7 - i].double()
        assert torch.allclose(found[i].double(), by_hand, atol=1e-3)
        expected = [0.0] * CLASSES
        expected[int(labels[i])] += own
        expected[int(labels[7 - i])] += 1 - own
        assert targets[i].tolist() == pytest.approx(expected, abs=1e-6)


def test_cutmix_takes_a_box_of_the_partner_and_its_share_of_the_label():
    images, _ = batch()
    found, targets = mixed(Mixing(cutmix=1.0), step=3)
    taken = (found == images.flip(0)).all(dim=3) & (found != images).any(dim=3)
    rows, columns = taken[0].any(dim=1), taken[0].any(dim=0)
    assert 0 < taken[0].sum() < 144
    assert torch.equal(taken[0], rows[:, None] & columns[None])
    assert torch.equal(found[~taken], images[~taken].float())
    assert own_part(targets) == pytest.approx(1 - taken[0].sum().item() / 144)


def test_the_box_is_timms(monkeypatch):
    for own in (0.0, 0.1, 0.33, 0.9, 1.0):
        middles = np.random.default_rng(1)
        rows, columns = box(middles, own, 21, 32)
        same = np.random.default_rng(1)
        monkeypatch.setattr(of_timm.np.random, "randint", lambda low, high, size=None, same=same: same.integers(high))
        assert (rows.start, rows.stop, columns.start, columns.stop) == of_timm.rand_bbox((3, 21, 32), own)


def test_smoothing_after_mixing_is_timms_smoothing_before_it():
    _, labels = batch()
    _, targets = mixed(Mixing(mixup=1.0))
    smoothed = 0.9 * targets + 0.1 / CLASSES
    assert torch.allclose(smoothed, of_timm.mixup_target(labels, CLASSES, own_part(targets), smoothing=0.1), atol=1e-6)


def test_lambda_has_its_beta_distribution():
    # of Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1))
    for alpha in (0.2, 1.0):
        parts = [own_part(mixed(Mixing(mixup=alpha), step, count=2)[1]) for step in range(2000)]
        assert np.mean(parts) == pytest.approx(0.5, abs=0.03)
        assert np.var(parts) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_with_both_each_batch_draws_one_evenly():
    images, _ = batch()
    cuts = 0
    for step in range(600):
        found, _ = mixed(Mixing(mixup=1.0, cutmix=1.0), step)
        cuts += bool(((found == images) | (found == images.flip(0))).all())
    assert cuts == pytest.approx(300, abs=50)


def test_the_same_step_mixes_the_same_and_another_does_not():
    first, parts = mixed(Mixing(mixup=0.8, cutmix=1.0), step=4, epoch=1, seed=2)
    again, _ = mixed(Mixing(mixup=0.8, cutmix=1.0), step=4, epoch=1, seed=2)
    assert torch.equal(first, again)
    for place in ({"step": 5, "epoch": 1, "seed": 2}, {"step": 4, "epoch": 2, "seed": 2}, {"step": 4, "epoch": 1}):
        assert own_part(mixed(Mixing(mixup=0.8, cutmix=1.0), **place)[1]) != own_part(parts)


@pytest.mark.parametrize("which", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_groups_mix_the_same_images_in_any_number_of_processes(which):
    images, labels = batch()
    mixing = Mixing(**which, group=2)
    whole = mixing(images, labels, CLASSES, 0, 0, 1)
    parts = [mixing(images[at : at + 4], labels[at : at + 4], CLASSES, 0, 0, 1) for at in (0, 4)]
    assert torch.equal(torch.cat([part[0] for part in parts]), whole[0])
    assert torch.equal(torch.cat([part[1] for part in parts]), whole[1])


def test_partners_stand_opposite_in_their_group():
    assert Mixing(1.0, group=4).partners(torch.arange(8)).tolist() == [3, 2, 1, 0, 7, 6, 5, 4]
    assert Mixing(1.0).partners(torch.arange(5)).tolist() == [4, 3, 2, 1, 0]
    assert Mixing(1.0, group=16).partners(torch.arange(4)).tolist() == [3, 2, 1, 0]


def test_images_that_are_no_whole_groups_are_refused():
    with pytest.raises(ValueError, match="8 images of a process are no whole groups of batch_norm_group = 3"):
        Mixing(1.0, group=3).partners(torch.arange(8))


def test_mixing_nothing_is_refused():
    with pytest.raises(ValueError, match="mixup or cutmix above 0"):
        Mixing()


def test_the_given_pictures_stay():
    images, labels = batch()
    floats = images.float()
    for mixing in (Mixing(mixup=1.0), Mixing(cutmix=1.0)):
        mixing(floats, labels, CLASSES, 0, 0, 1)
        assert torch.equal(floats, images.float())
