from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ilsvrc.layers import Classifier
from ilsvrc.training.distributed import World
from ilsvrc.training.objective import Objective
from ilsvrc.training.precision import autocast
from ilsvrc.training.validation import evaluate, held_out


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
