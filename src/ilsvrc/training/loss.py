"""Loss of a training: of the network's heads, and of a teacher's distillation."""

from typing import assert_never

import torch
from torch import Tensor, nn

from ilsvrc.config import choices
from ilsvrc.models.common.layers import Classifier
from ilsvrc.training.labels import Labels, SingleLabel


class Teacher(nn.Module):
    """Teacher: a frozen network, always in evaluation mode, that sees images under its own normalisation."""

    def __init__(self, network: Classifier, normalization: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.normalization = normalization
        self.eval()

    def train(self, mode: bool = True) -> "Teacher":
        """Stays in evaluation mode, whatever the objective around it is put in."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """`[N, H, W, 3]`, 0 to 255, to logits `[N, K]`."""
        return widened(self.network(self.normalization(images)))


class Distillation(nn.Module):
    """Distillation: the teacher's part of the loss.

    - "soft": T^2 times the Kullback-Leibler divergence of softmax(z / T) from the teacher's softmax(r / T) (Hinton et
      al. 2015). Its gradient is the cross entropy's, which He et al. 2018, section 5.2, writes in its place; it is 0
      where both agree.
    - "hard": the cross entropy with the teacher's best class, not smoothed (Touvron et al. 2021; Graham et al. 2021).

    Where labels are sets of classes both are of sigmoids in the place of softmax, class by class (`labels.MultiLabel`).

    Labels have the other part: (1 - weight) l(labels) + weight l(teacher). The sum of He et al. 2018, l(labels) +
    T^2 l(teacher), is twice that at 0.5.
    """

    def __init__(
        self,
        teacher: Teacher,
        kind: choices.Distillation = "soft",
        temperature: float = 1.0,
        weight: float = 0.5,
        labels: Labels | None = None,
    ) -> None:
        super().__init__()
        self.teacher, self.kind, self.temperature, self.weight = teacher, kind, temperature, weight
        self.labels = labels or SingleLabel()

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        """Sum over images of the divergence of the network's logits `[N, K]` from the teacher's."""
        taught = self.teacher(images).to(logits.dtype)
        match self.kind:
            case "hard":
                return self.labels.loss(logits, self.labels.hard_targets(taught))
            case "soft":
                return self.temperature**2 * self.labels.divergence(logits, taught, self.temperature)
            case _:
                assert_never(self.kind)


class Objective(nn.Module):
    """The loss of `labels` with label smoothing, summed over images and, by their weights, over heads.

    A module around the network, so that the wrapper that distributes it sees one forward pass. `labels` says what
    packed labels stand for: cross entropy where they are classes, binary ones where they are sets of classes.

    With a `distillation` the teacher has its part of the loss, on the main head; a network whose `heads` gives two
    logits, as LeViT's does, learns the labels with the first and the teacher with the second.
    """

    def __init__(
        self,
        network: Classifier,
        normalization: nn.Module,
        label_smoothing: float = 0.0,
        distillation: Distillation | None = None,
        labels: Labels | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.normalization = normalization
        self.label_smoothing = label_smoothing
        self.distillation = distillation
        self.labels = labels or SingleLabel()

    def forward(self, images: Tensor, targets: Tensor, means: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The sum of the images' losses, and the logits `[N, K]` that are their class scores.

        Args:
            images: `[N, H, W, 3]`, uint8 or floats from 0 to 255.
            targets: as `labels` gives them, or mixed.
            means: what the normalisation takes with each image: of "mean_image" what it subtracts, where it is not
                the central window.
        """
        normalized = self.normalization(images) if means is None else self.normalization(images, means)
        if self.distillation is None:
            heads = [(weight, widened(logits)) for weight, logits in self.network.outputs(normalized)]
            return self._label_loss(heads, targets), heads[0][1]
        heads, taught, scores = distilled_heads(self.network, normalized)
        part = self.distillation.weight
        teacher_loss = self.distillation(taught, images)
        return (1 - part) * self._label_loss(heads, targets) + part * teacher_loss, scores

    def _label_loss(self, heads: list[tuple[float, Tensor]], targets: Tensor) -> Tensor:
        losses = [weight * self.labels.loss(logits, targets, self.label_smoothing) for weight, logits in heads]
        return torch.stack(losses).sum()


def distilled_heads(network: Classifier, normalized: Tensor) -> tuple[list[tuple[float, Tensor]], Tensor, Tensor]:
    """Heads that learn the labels, with their weights; the head that learns the teacher; the class scores `[N, K]`."""
    if callable(getattr(type(network), "heads", None)):
        of_labels, of_teacher = (widened(logits) for logits in network.heads(normalized))  # type: ignore[operator]
        return [(1.0, of_labels)], of_teacher, (of_labels + of_teacher) / 2
    heads = [(weight, widened(logits)) for weight, logits in network.outputs(normalized)]
    return heads, heads[0][1], heads[0][1]


def widened(logits: Tensor) -> Tensor:
    """Logits in float32 at least: sums of exponentials stay out of the lower precisions."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
