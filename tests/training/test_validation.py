from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier
from ilsvrc.runtime.distributed import World
from ilsvrc.runtime.precision import autocast
from ilsvrc.training.labels import MultiLabel
from ilsvrc.training.loss import Objective
from ilsvrc.training.validation import evaluate, held_out, held_out_multilabel


class Batch(NamedTuple):
    images: Tensor
    labels: Tensor


class Counting(Classifier):
    """The first pixel's value is the class that is said."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.dropout = nn.Dropout(1.0)  # wrong answers where it is not off

    def forward(self, images: Tensor) -> Tensor:
        said = images[:, 0, 0, 0].long()
        falling = -torch.arange(self.num_classes, dtype=torch.float32).expand(len(said), -1)  # class 0, then 1, ...
        return self.dropout(falling + 100 * nn.functional.one_hot(said, self.num_classes))


def evaluated(num_classes: int, said: list[int], labels: list[int], batch: int = 3) -> dict[str, float | None]:
    images = torch.tensor(said, dtype=torch.uint8).view(-1, 1, 1, 1, 1).expand(-1, 1, 2, 2, 3)
    to_floats = nn.Module()
    to_floats.forward = lambda pixels: pixels.permute(0, 3, 1, 2).float()
    parts = zip(images.split(batch), torch.tensor(labels).split(batch), strict=True)
    objective = Objective(Counting(num_classes), to_floats)
    return evaluate(objective, [Batch(*part) for part in parts], World(), autocast("float32", torch.device("cpu")))


def test_errors_are_counted_over_batches_of_every_size():
    found = evaluated(8, said=[0, 1, 2, 7, 7], labels=[0, 1, 5, 3, 4])
    # What is said, then 0, 1, 2, 3 (and so 4 is the sixth): 5 and 4 are not among the five, 3 is.
    assert found["validation_top1_error_percent"] == 60.0
    assert found["validation_top5_error_percent"] == 40.0
    assert found["validation_loss"] == pytest.approx((0 + 0 + 103 + 96 + 97) / 5)  # 100 - said + label where wrong


def test_top_5_of_five_classes_is_not_measured():
    assert evaluated(5, said=[0, 1], labels=[0, 2])["validation_top5_error_percent"] is None


def test_images_are_held_out_by_class():
    labels = np.array([0] * 10 + [1] * 20 + [2] * 2)
    kept, watched = held_out(labels, 0.2, seed=0)
    assert np.bincount(labels[watched]).tolist() == [2, 4, 1]
    assert sorted([*kept, *watched]) == list(range(32))


def test_what_is_held_out_depends_on_the_seed_alone():
    labels = np.repeat(np.arange(4), 25)
    first, again, other = (held_out(labels, 0.2, seed)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_a_class_is_not_held_out_whole():
    with pytest.raises(ValueError, match="leaves class 1, which has 1 images, none"):
        held_out(np.array([0, 0, 0, 1]), 0.1, seed=0)


def test_sets_are_watched_by_f2():
    kind = MultiLabel([[0], [0, 1], []], 2)
    images = torch.tensor([0, 1, 0], dtype=torch.uint8).view(-1, 1, 1, 1, 1).expand(-1, 1, 2, 2, 3)
    to_floats = nn.Module()
    to_floats.forward = lambda pixels: pixels.permute(0, 3, 1, 2).float()
    objective = Objective(Counting(2), to_floats, labels=kind)
    batches = [Batch(images[:2], torch.tensor([0, 1])), Batch(images[2:], torch.tensor([2]))]
    found = evaluate(objective, batches, World(), autocast("float32", torch.device("cpu")))
    # class 0 has a logit of 100 or 0, class 1 of -1 or 99: at a fifth both are said, but of sigmoid(-1) = 0.27 too
    assert found["validation_f2_percent"] == pytest.approx(100 * (5 / (4 + 2) + 1 + 0) / 3)
    assert found["validation_top1_error_percent"] is found["validation_top5_error_percent"] is None


MEMBERS = np.array([[False, False, False], [True, False, False], [True, True, False], [False, True, True]])


def test_of_sets_about_a_share_of_each_class_is_watched():
    labels = np.repeat([0, 1, 2, 3], [20, 100, 40, 10])
    kept, watched = held_out_multilabel(labels, MEMBERS, 0.2, seed=0)
    assert sorted([*kept, *watched]) == list(range(170))
    # 140, 50 and 10 images of the classes, and 20 of none: a fifth of each
    assert MEMBERS[labels[watched]].sum(axis=0).tolist() == [28, 10, 2]
    assert (labels[watched] == 0).sum() == 4
    again, other = (held_out_multilabel(labels, MEMBERS, 0.2, seed)[1].tolist() for seed in (0, 1))
    assert watched.tolist() == again != other


def test_sets_that_occur_once_may_be_watched_and_a_rare_class_is_trained_on():
    draws = np.random.default_rng(0)
    members = np.unique(draws.random((400, 12)) < 0.3, axis=0)
    members[:, 11] = False
    members[7, 11] = True  # in one set, of one image
    labels = np.arange(len(members))
    kept, watched = held_out_multilabel(labels, members, 0.1, seed=0)
    assert 7 in kept
    shares = members[watched, :11].sum(axis=0) / members[:, :11].sum(axis=0)
    assert shares.min() > 0.08 and shares.max() < 0.15


def test_sets_of_which_none_would_be_watched_or_trained_on_are_an_error():
    with pytest.raises(ValueError, match="leaves no image to watch"):
        held_out_multilabel(np.array([1, 1, 2]), MEMBERS, 0.1, seed=0)
    with pytest.raises(ValueError, match="leaves class 1 no image to train on"):
        held_out_multilabel(np.array([1, 1, 3]), MEMBERS, 0.6, seed=0)
