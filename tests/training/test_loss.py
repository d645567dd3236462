import math

import pytest
import torch
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.levit import levit_128s
from ilsvrc.training.loss import Distillation, Objective, Teacher, widened

LABELS = torch.tensor([0, 2])
IMAGES = torch.zeros(2, 1, 1, 3, dtype=torch.uint8)


class Heads(Classifier):
    """Logits that do not look at the pictures."""

    def __init__(self, *heads: tuple[float, Tensor]) -> None:
        super().__init__()
        self.listed = heads

    def forward(self, images: Tensor) -> Tensor:
        return self.listed[0][1]

    def outputs(self, images: Tensor) -> list[tuple[float, Tensor]]:
        return list(self.listed)


class TwoHeads(Heads):
    """One head for the labels, one for the teacher."""

    def heads(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.listed[0][1], self.listed[1][1]


class Pixels(Classifier):
    """One linear layer with dropout on three pixel values."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.linear = nn.Dropout(0.5), nn.Linear(3, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.dropout(images.flatten(1)))


MAIN = torch.tensor([[math.log(2), 0.0, 0.0], [0.0, 0.0, math.log(6)]])  # the labels' probabilities: 2/4, 6/8
EVEN = torch.zeros(2, 3)


def test_loss_is_the_sum_over_images():
    loss, logits = Objective(Heads((1.0, MAIN)), nn.Identity())(IMAGES, LABELS)
    assert loss.item() == pytest.approx(math.log(2) + math.log(8 / 6))
    assert logits is not None and torch.equal(logits, MAIN)


def test_heads_are_added_by_their_weights_and_the_first_ones_logits_come_back():
    loss, logits = Objective(Heads((1.0, MAIN), (0.3, EVEN), (0.5, EVEN)), nn.Identity())(IMAGES, LABELS)
    assert loss.item() == pytest.approx(math.log(2) + math.log(8 / 6) + 0.8 * 2 * math.log(3))
    assert torch.equal(logits, MAIN)


def test_smoothing_gives_every_class_its_part():
    loss, _ = Objective(Heads((1.0, MAIN)), nn.Identity(), label_smoothing=0.3)(IMAGES, LABELS)
    # Targets 0.8, 0.1, 0.1. The negative logarithms: log 2, log 4, log 4; and log 8/6, log 8, log 8.
    by_hand = 0.8 * math.log(2) + 0.2 * math.log(4) + 0.8 * math.log(8 / 6) + 0.2 * math.log(8)
    assert loss.item() == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_losses_are_float32_at_least(given: torch.dtype, expected: torch.dtype):
    assert widened(torch.zeros(1, dtype=given)).dtype == expected


MIXED = torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.4, 0.6]], dtype=torch.float64)
# The negative logarithms of MAIN's probabilities.
MINUS_LOG = [[math.log(2), math.log(4), math.log(4)], [math.log(8), math.log(8), math.log(8 / 6)]]


def by_hand(targets: list[list[float]]) -> float:
    rows = zip(targets, MINUS_LOG, strict=True)
    return sum(part * loss for parts, losses in rows for part, loss in zip(parts, losses, strict=True))


def test_mixed_targets_weigh_the_classes():
    loss, _ = Objective(Heads((1.0, MAIN)), nn.Identity())(IMAGES, MIXED)
    assert loss.item() == pytest.approx(by_hand([[0.75, 0.25, 0.0], [0.0, 0.4, 0.6]]))


def test_one_hot_targets_are_the_labels():
    one_hot = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    objective = Objective(Heads((1.0, MAIN), (0.3, EVEN)), nn.Identity(), label_smoothing=0.2)
    assert objective(IMAGES, one_hot)[0].item() == pytest.approx(objective(IMAGES, LABELS)[0].item())


def test_mixed_targets_are_smoothed_as_labels_are():
    loss, _ = Objective(Heads((1.0, MAIN)), nn.Identity(), label_smoothing=0.3)(IMAGES, MIXED)
    smoothed = [[0.7 * 0.75 + 0.1, 0.7 * 0.25 + 0.1, 0.1], [0.1, 0.7 * 0.4 + 0.1, 0.7 * 0.6 + 0.1]]
    assert loss.item() == pytest.approx(by_hand(smoothed))


def taught(student: Classifier, teacher: Tensor, smoothing: float = 0.0, **how: object) -> tuple[float, Tensor]:
    distillation = Distillation(Teacher(Heads((1.0, teacher)), nn.Identity()), **how)
    loss, logits = Objective(student, nn.Identity(), smoothing, distillation)(IMAGES, LABELS)
    return loss.item(), logits


def softened(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in logits]
    return [power / sum(powers) for power in powers]


def test_soft_distillation_adds_the_divergence_of_softened_outputs():
    teacher = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
    found, logits = taught(Heads((1.0, MAIN)), teacher, kind="soft", temperature=4.0, weight=0.25)
    divergence = 0.0
    for mine, theirs in zip(MAIN.tolist(), teacher.tolist(), strict=True):
        pairs = zip(softened(theirs, 4.0), softened(mine, 4.0), strict=True)
        divergence += sum(p * math.log(p / q) for p, q in pairs)
    of_labels = math.log(2) + math.log(8 / 6)
    assert found == pytest.approx(0.75 * of_labels + 0.25 * 16 * divergence)
    assert torch.equal(logits, MAIN)


def test_hard_distillation_learns_the_teachers_best_class_unsmoothed():
    teacher = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])  # classes 1 and 2
    found, _ = taught(Heads((1.0, MAIN)), teacher, smoothing=0.3, kind="hard", weight=0.5)
    of_labels = by_hand([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    assert found == pytest.approx(0.5 * of_labels + 0.5 * (math.log(4) + math.log(8 / 6)))


def test_a_distillation_head_learns_the_teacher_and_the_other_the_labels():
    teacher = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    found, logits = taught(TwoHeads((1.0, MAIN), (1.0, EVEN)), teacher, kind="hard", weight=0.25)
    assert found == pytest.approx(0.75 * (math.log(2) + math.log(8 / 6)) + 0.25 * 2 * math.log(3))
    assert torch.equal(logits, (MAIN + EVEN) / 2)


def test_auxiliary_heads_learn_the_labels_alone():
    teacher = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    found, _ = taught(Heads((1.0, MAIN), (0.3, EVEN)), teacher, kind="hard", weight=0.5)
    of_labels = math.log(2) + math.log(8 / 6) + 0.3 * 2 * math.log(3)
    assert found == pytest.approx(0.5 * of_labels + 0.5 * (math.log(4) + math.log(8)))


def test_without_a_teacher_two_heads_are_one_network():
    loss, logits = Objective(TwoHeads((1.0, MAIN)), nn.Identity())(IMAGES, LABELS)
    assert loss.item() == pytest.approx(math.log(2) + math.log(8 / 6))
    assert torch.equal(logits, MAIN)


def test_the_teacher_is_frozen_in_evaluation_and_sees_its_own_normalisation():
    class Half(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images / 2

    teacher = Teacher(Pixels(), Half())
    student = Pixels()
    objective = Objective(student, nn.Identity(), 0.0, Distillation(teacher, "soft", 2.0)).train()
    assert student.training and not teacher.network.training
    images = torch.rand(2, 1, 1, 3)
    assert torch.equal(teacher(images), teacher.network.linear(images.flatten(1) / 2))
    objective(images, LABELS)[0].backward()
    assert student.linear.weight.grad is not None
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())


def test_means_reach_the_normalization():
    class Minus(nn.Module):
        def forward(self, images: Tensor, means: Tensor | None = None) -> Tensor:
            return images if means is None else images - means

    student = Pixels().eval()
    images, means = torch.rand(2, 1, 1, 3), torch.rand(2, 1, 1, 3)
    _, logits = Objective(student, Minus())(images, LABELS, means)
    assert torch.equal(logits, student((images - means).flatten(1)))


def test_both_heads_of_levit_are_trained_by_a_teacher():
    torch.manual_seed(0)
    student = levit_128s(num_classes=3, input_px=80)

    class Planes(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.permute(0, 3, 1, 2)

    distillation = Distillation(Teacher(Heads((1.0, EVEN)), nn.Identity()), "hard")
    loss, logits = Objective(student, Planes(), 0.1, distillation)(torch.rand(2, 80, 80, 3), LABELS)
    loss.backward()
    assert logits.shape == (2, 3)
    assert all(p.grad is not None for p in student.parameters())
