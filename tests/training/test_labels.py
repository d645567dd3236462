"""Losses and errors of sets of classes, by numbers made by hand."""

import math

import pytest
import torch
from tiny import CLASSES, Linear
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.training.labels import MultiLabel, SingleLabel
from ilsvrc.training.loss import Distillation, Objective, Teacher
from ilsvrc.training.mixup_cutmix import Mixing

SETS = [[], [0], [0, 2]]
KIND = MultiLabel(SETS, 3)
LABELS = torch.tensor([2, 0])
TARGETS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
LOGITS = torch.tensor([[math.log(3), 0.0, 0.0], [-math.log(3), 0.0, 0.0]])  # probabilities 3/4, 1/2, 1/2; 1/4 ...
IMAGES = torch.zeros(2, 1, 1, 3, dtype=torch.uint8)


class Fixed(Classifier):
    """Logits that do not look at the pictures."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


def test_labels_become_targets_of_each_class():
    assert torch.equal(KIND.targets(LABELS), TARGETS)
    assert torch.equal(SingleLabel().targets(LABELS), LABELS)


def test_the_loss_sums_binary_cross_entropies_over_classes_and_images():
    loss, logits = Objective(Fixed(LOGITS), nn.Identity(), labels=KIND)(IMAGES, KIND.targets(LABELS))
    assert loss.item() == pytest.approx(2 * math.log(4 / 3) + 4 * math.log(2))
    assert torch.equal(logits, LOGITS)


def test_its_gradient_by_a_logit_is_the_probability_less_the_target():
    logits = LOGITS.clone().requires_grad_()
    KIND.loss(logits, TARGETS).backward()
    expected = torch.tensor([[-0.25, 0.5, -0.5], [0.25, 0.5, 0.5]])
    torch.testing.assert_close(logits.grad, expected)


def test_smoothing_is_between_a_classs_two_outcomes():
    # targets 0.9 and 0.1: -(0.9 ln 3/4 + 0.1 ln 1/4) twice, and ln 2 where both are likely
    loss = KIND.loss(LOGITS, TARGETS, smoothing=0.2)
    assert loss.item() == pytest.approx(-2 * (0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4)) + 4 * math.log(2))


def test_wrong_is_the_share_of_answers_of_each_image():
    said = torch.tensor([[1.0, 2.0, -1.0], [-1.0, -1.0, -1.0]])
    assert KIND.wrong(said, TARGETS).item() == pytest.approx(2 / 3)


def test_what_is_watched_is_f2_at_a_fifth():
    quarter = math.log(0.25 / 0.75)
    logits = torch.tensor([[quarter, quarter, -5.0], [-5.0, -5.0, -5.0]])
    loss, f2 = KIND.validation_sums(logits, TARGETS)
    assert f2.item() == pytest.approx(5 / (8 + 2) + 1)
    assert KIND.validation_metrics([1.5, f2.item() / 2], 3) == {
        "validation_loss": 1.5, "validation_top1_error_percent": None, "validation_top5_error_percent": None,
        "validation_f2_percent": 75.0,
    }  # fmt: skip
    assert loss.item() == pytest.approx(KIND.loss(logits, TARGETS).item())


def test_mixed_pictures_have_parts_of_all_their_classes():
    images = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 4, 4, 3) * 100
    mixed, targets = Mixing(mixup=0.4)(images, TARGETS, 3, seed=0, epoch=0, step=0)
    own = 1 - mixed[0, 0, 0, 0] / 100
    assert 0 < own < 1
    torch.testing.assert_close(targets, torch.stack([own * TARGETS[0], (1 - own) * TARGETS[0]]))


def distilled(kind: str, taught: Tensor, temperature: float = 1.0) -> float:
    distillation = Distillation(Teacher(Fixed(taught), nn.Identity()), kind, temperature, weight=1.0, labels=KIND)
    loss, _ = Objective(Fixed(LOGITS), nn.Identity(), 0.0, distillation, KIND)(IMAGES, TARGETS)
    return loss.item()


def test_a_teacher_that_says_the_same_adds_nothing():
    assert distilled("soft", LOGITS, 2.0) == pytest.approx(0, abs=1e-6)


def test_a_soft_teacher_adds_the_divergence_of_each_class():
    # five times sigmoid(0) beside 1/2; one class of 3/4 where the teacher says 1/2
    taught = torch.tensor([[0.0, 0.0, 0.0], [-math.log(3), 0.0, 0.0]])
    assert distilled("soft", taught) == pytest.approx(0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25), abs=1e-6)


def test_a_hard_teacher_decides_for_classes():
    assert distilled("hard", 4 * TARGETS - 2) == pytest.approx(KIND.loss(LOGITS, TARGETS).item())


def test_one_linear_layer_learns_sets():
    torch.manual_seed(0)
    network = Linear().eval()
    objective = Objective(network, Normalization([128.0] * 3, [64.0] * 3), labels=MultiLabel(SETS, CLASSES))
    images = torch.randint(256, (3, 2, 2, 3), dtype=torch.uint8)
    targets = objective.labels.targets(torch.arange(3))
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(60):
        loss, logits = objective(images, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal((logits > 0).float(), targets)
