"""Kinds of labels, single-label and multi-label: their losses, errors and validation metrics."""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ilsvrc.evaluation import multilabel_metrics

Metrics = dict[str, float | None]


class Labels(Protocol):
    """Kind of labels. `logits` are `[N, K]` in float32 at least; what it gives are sums over images."""

    even_loss_formula: str  # of `even_loss`, of {} classes
    num_validation_sums: int  # sums that `watch` gives

    def targets(self, labels: Tensor) -> Tensor:
        """Targets of a batch's labels int64 `[N]`, as the losses take them."""

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Loss that training minimises."""

    def divergence(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """Divergence from a teacher's logits, softened by a temperature."""

    def hard_targets(self, taught: Tensor) -> Tensor:
        """Hard targets of a teacher's logits."""

    def wrong(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Errors, whose mean is `train_error_percent`."""

    def even_loss(self, num_classes: int) -> float:
        """Loss of an image where no class is preferred."""

    def first_loss_scale(self, num_classes: int) -> float:
        """Unit in which first losses usually differ from `even_loss`, see `preflight/checks.py`."""

    def validation_sums(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Sums of a batch for `validation_metrics`, `[num_validation_sums]`."""

    def validation_metrics(self, means: Sequence[float], num_classes: int) -> Metrics:
        """Columns of a row of history, out of the means of `validation_sums` over all images."""


class SingleLabel:
    """Single-label: a label is a class; softmax and cross entropy, and top-1 errors."""

    even_loss_formula, num_validation_sums = "ln {}", 3

    def targets(self, labels: Tensor) -> Tensor:
        """The labels themselves."""
        return labels

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross entropy.

        With smoothing e the target is 1 - e + e / K for the label and e / K for each other class (Szegedy et al. 2015,
        section 7); of a mixed target t it is (1 - e) t + e / K.

        Args:
            logits: `[N, K]`.
            targets: labels int64 `[N]`, or the classes' parts float `[N, K]`, of sum 1.
            smoothing: e.
        """
        wanted = targets.to(logits.dtype) if targets.is_floating_point() else targets
        return F.cross_entropy(logits, wanted, reduction="sum", label_smoothing=smoothing)

    def divergence(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """The Kullback-Leibler divergence of softmax(z / T) from the teacher's softmax(r / T)."""
        own, others = ((z / temperature).log_softmax(dim=1) for z in (logits, taught))
        return F.kl_div(own, others, reduction="sum", log_target=True)

    def hard_targets(self, taught: Tensor) -> Tensor:
        """The teacher's best class, int64 `[N]`."""
        return taught.argmax(dim=1)

    def wrong(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Images whose best class is not the label."""
        return (logits.argmax(dim=1) != targets).sum()

    def even_loss(self, num_classes: int) -> float:
        """The logarithm of K."""
        return math.log(num_classes)

    def first_loss_scale(self, num_classes: int) -> float:
        """1: logits of deviation s add s^2 / 2."""
        return 1.0

    def validation_sums(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy, and images whose label is not the best class, and not among the five best."""
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices == targets[:, None]
        wrong = [len(targets) - best[:, :k].sum() for k in (1, 5)]
        return torch.stack([F.cross_entropy(logits, targets, reduction="sum"), *wrong])

    def validation_metrics(self, means: Sequence[float], num_classes: int) -> Metrics:
        """Top-5 is None where there are no more than five classes."""
        loss, wrong1, wrong5 = means
        return {
            "validation_loss": loss,
            "validation_top1_error_percent": 100 * wrong1,
            "validation_top5_error_percent": 100 * wrong5 if num_classes > 5 else None,
            "validation_f2_percent": None,
        }


class MultiLabel:
    """Multi-label: a label is the number of a set of classes; a sigmoid and a binary cross entropy for each class.

    Args:
        label_sets: each set's classes, by its number.
        num_classes: K.
        device: where batches are.
    """

    even_loss_formula, num_validation_sums = "{} ln 2", 2

    def __init__(
        self, label_sets: Sequence[Sequence[int]], num_classes: int, device: torch.device | str = "cpu"
    ) -> None:
        self.table = torch.from_numpy(multilabel_metrics.members(label_sets, num_classes)).to(device)

    def targets(self, labels: Tensor) -> Tensor:
        """1 for the classes of each image, 0 for the others: float32 `[N, K]`."""
        return self.table[labels].float()

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Binary cross entropies, summed over classes.

        The sum, not the mean: its gradient by a logit is sigmoid(z) - t, of the size of softmax's p - t, so that a
        recipe's learning rate serves both; the mean's would fall with the number of classes.

        Smoothing e is between a class's two outcomes: of a target t it is (1 - e) t + e / 2.

        Args:
            logits: `[N, K]`.
            targets: float `[N, K]`, 0 to 1.
            smoothing: e.
        """
        wanted = (1 - smoothing) * targets.to(logits.dtype) + smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")

    def divergence(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """The Kullback-Leibler divergences of sigmoid(z / T) from the teacher's sigmoid(r / T), of each class."""
        student, teacher = logits / temperature, taught / temperature
        targets = teacher.sigmoid()
        cross, own = (F.binary_cross_entropy_with_logits(z, targets, reduction="sum") for z in (student, teacher))
        return cross - own

    def hard_targets(self, taught: Tensor) -> Tensor:
        """The classes that the teacher holds for likelier than not."""
        return (taught > 0).to(taught.dtype)

    def wrong(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Hamming errors: the share of an image's K answers, likelier than not or else, that are wrong."""
        return ((logits > 0) != (targets > 0.5)).float().mean(dim=1).sum()

    def even_loss(self, num_classes: int) -> float:
        """K times the logarithm of 2."""
        return num_classes * math.log(2)

    def first_loss_scale(self, num_classes: int) -> float:
        """K / 4: logits of deviation s add s^2 / 8 for each class; no less than 1, as few classes even out little."""
        return max(1.0, num_classes / 4)

    def validation_sums(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss, and F2 at `multilabel_metrics.THRESHOLD`."""
        predicted, true = logits.sigmoid() > multilabel_metrics.THRESHOLD, targets > 0.5
        f2 = multilabel_metrics.f_beta((predicted & true).sum(dim=1), predicted.sum(dim=1), true.sum(dim=1)).sum()
        return torch.stack([self.loss(logits, targets), f2])

    def validation_metrics(self, means: Sequence[float], num_classes: int) -> Metrics:
        """F2; top-1 and top-5 errors are None."""
        loss, f2 = means
        return {
            "validation_loss": loss,
            "validation_top1_error_percent": None,
            "validation_top5_error_percent": None,
            "validation_f2_percent": 100 * f2,
        }
