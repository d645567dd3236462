"""What packed labels stand for, classes or sets of classes: the loss, what is wrong, and what is watched."""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ilsvrc.evaluation import multilabel_metrics

Measured = dict[str, float | None]


class Labels(Protocol):
    """One of the two kinds. `logits` are `[N, K]` in float32 at least; what it gives are sums over images."""

    even: str  # `even_loss` in words, of {} classes
    num_watched: int  # sums that `watch` gives

    def targets(self, labels: Tensor) -> Tensor:
        """What the labels int64 `[N]` of a batch stand for, as the losses take it."""

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """What training minimises."""

    def taught(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """The divergence from what a teacher's logits say, softened."""

    def decided(self, taught: Tensor) -> Tensor:
        """The targets that a teacher's logits decide for."""

    def wrong(self, logits: Tensor, targets: Tensor) -> Tensor:
        """What `train_error_percent` is the mean of."""

    def even_loss(self, num_classes: int) -> float:
        """An image's loss where no class is preferred."""

    def usual_room(self, num_classes: int) -> float:
        """The unit in which first losses usually differ from `even_loss`, see `stages/_first_steps.py`."""

    def watch(self, logits: Tensor, targets: Tensor) -> Tensor:
        """What `measured` wants of a batch: sums `[num_watched]`."""

    def measured(self, means: Sequence[float], num_classes: int) -> Measured:
        """A row of history out of the means of `watch` over all images."""


class SingleLabel:
    """A label is a class: softmax and cross entropy; wrong is an image whose best class is another (top-1)."""

    even, num_watched = "ln {}", 3

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

    def taught(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """The Kullback-Leibler divergence of softmax(z / T) from the teacher's softmax(r / T)."""
        mine, others = ((z / temperature).log_softmax(dim=1) for z in (logits, taught))
        return F.kl_div(mine, others, reduction="sum", log_target=True)

    def decided(self, taught: Tensor) -> Tensor:
        """The teacher's best class, int64 `[N]`."""
        return taught.argmax(dim=1)

    def wrong(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Images whose best class is not the label."""
        return (logits.argmax(dim=1) != targets).sum()

    def even_loss(self, num_classes: int) -> float:
        """The logarithm of K."""
        return math.log(num_classes)

    def usual_room(self, num_classes: int) -> float:
        """1: logits of deviation s add s^2 / 2."""
        return 1.0

    def watch(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy, and images whose label is not the best class, and not among the five best."""
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices == targets[:, None]
        wrong = [len(targets) - best[:, :k].sum() for k in (1, 5)]
        return torch.stack([F.cross_entropy(logits, targets, reduction="sum"), *wrong])

    def measured(self, means: Sequence[float], num_classes: int) -> Measured:
        """Top-5 is None where there are no more than five classes."""
        loss, wrong1, wrong5 = means
        return {
            "validation_loss": loss,
            "validation_top1_error_percent": 100 * wrong1,
            "validation_top5_error_percent": 100 * wrong5 if num_classes > 5 else None,
            "validation_f2_percent": None,
        }


class MultiLabel:
    """A label is the number of a set of classes: a sigmoid and a binary cross entropy for each class.

    Args:
        label_sets: each set's classes, by its number.
        num_classes: K.
        device: where batches are.
    """

    even, num_watched = "{} ln 2", 2

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

    def taught(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """The Kullback-Leibler divergences of sigmoid(z / T) from the teacher's sigmoid(r / T), of each class."""
        mine, others = logits / temperature, taught / temperature
        cross, own = (F.binary_cross_entropy_with_logits(z, others.sigmoid(), reduction="sum") for z in (mine, others))
        return cross - own

    def decided(self, taught: Tensor) -> Tensor:
        """The classes that the teacher holds for likelier than not."""
        return (taught > 0).to(taught.dtype)

    def wrong(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of each image, the share of its K answers, likelier than not or else, that are wrong (Hamming error)."""
        return ((logits > 0) != (targets > 0.5)).float().mean(dim=1).sum()

    def even_loss(self, num_classes: int) -> float:
        """K times the logarithm of 2."""
        return num_classes * math.log(2)

    def usual_room(self, num_classes: int) -> float:
        """K / 4: logits of deviation s add s^2 / 8 for each class; no less than 1, as few classes even out little."""
        return max(1.0, num_classes / 4)

    def watch(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss, and F2 at `multilabel.THRESHOLD`."""
        said, true = logits.sigmoid() > multilabel_metrics.THRESHOLD, targets > 0.5
        f2 = multilabel_metrics.f_beta((said & true).sum(dim=1), said.sum(dim=1), true.sum(dim=1)).sum()
        return torch.stack([self.loss(logits, targets), f2])

    def measured(self, means: Sequence[float], num_classes: int) -> Measured:
        """F2; top-1 and top-5 errors are None."""
        loss, f2 = means
        return {
            "validation_loss": loss,
            "validation_top1_error_percent": None,
            "validation_top5_error_percent": None,
            "validation_f2_percent": 100 * f2,
        }
