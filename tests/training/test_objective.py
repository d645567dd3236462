import math

import pytest
import torch
from torch import Tensor, nn

from ilsvrc.layers import Classifier
from ilsvrc.training.objective import Objective, widened

LABELS = torch.tensor([0, 2])
IMAGES = torch.zeros(2, 1, 1, 3, dtype=torch.uint8)


class Heads(Classifier):
    """Logits that do not look at the pictures."""

    def __init__(self, *heads: tuple[float, Tensor]) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, images: Tensor) -> Tensor:
        return self.heads[0][1]

    def outputs(self, images: Tensor) -> list[tuple[float, Tensor]]:
        return list(self.heads)


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
