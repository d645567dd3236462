"""The task of a network, single-label or multi-label classification, and all that evaluation derives from it.

A task is made once, from the manifest of packed images or from weights.json.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.evaluation import headline_metric, metrics, multilabel_metrics
from ilsvrc.evaluation.headline_metric import Measure
from ilsvrc.evaluation.metrics import Judgement

if TYPE_CHECKING:
    from torch import Tensor

Probabilities = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class SingleLabel:
    """Single-label classification: each image has one class; softmax, top-1 error. A packed label is a class."""

    headline: ClassVar[Measure] = headline_metric.TOP1

    def activation(self, logits: "Tensor") -> "Tensor":
        """Class probabilities of logits `[..., K]`: the softmax."""
        return logits.softmax(dim=-1)

    def targets(self, labels: Labels) -> Labels:
        """Targets int64 `[N]` of packed labels `[N]`: the classes."""
        return labels.astype(np.int64, copy=False)

    def classes_of(self, label: int) -> list[int]:
        """Classes of a packed label."""
        return [label]

    def judge(self, probabilities: Probabilities, targets: Labels) -> Judgement:
        """Ranks, guesses and likelihoods of probabilities `[N, K]` beside the images' classes `[N]`."""
        return metrics.judge(probabilities, targets)

    def num_guesses(self, probabilities: Probabilities) -> int:
        """Number of classes to show to a person, of an image's probabilities `[K]`: five."""
        return metrics.NUM_GUESSES


@dataclass(frozen=True)
class MultiLabel:
    """Multi-label classification: an image has any number of classes; a sigmoid for each class, F2.

    A packed label is the number of a set of classes. `label_sets` holds the sets, and is empty where the task was made
    from weights, which do not see packed labels.
    """

    num_classes: int
    label_sets: tuple[tuple[int, ...], ...] = ()

    headline: ClassVar[Measure] = headline_metric.F2

    def activation(self, logits: "Tensor") -> "Tensor":
        """Class probabilities of logits `[..., K]`: the sigmoid of each."""
        return logits.sigmoid()

    def targets(self, labels: Labels) -> Labels:
        """Targets uint8 `[N, K]` of packed labels `[N]`: 1 for each class of the set."""
        assert self.label_sets, "targets are made from a manifest's label sets"
        return multilabel_metrics.members(self.label_sets, self.num_classes)[labels].astype(np.uint8)

    def classes_of(self, label: int) -> list[int]:
        """Classes of a packed label."""
        return list(self.label_sets[label])

    def judge(self, probabilities: Probabilities, targets: Labels) -> Judgement:
        """Ranks, guesses and likelihoods of probabilities `[N, K]` beside the images' targets `[N, K]`."""
        return multilabel_metrics.judge(probabilities, targets)

    def num_guesses(self, probabilities: Probabilities) -> int:
        """Number of classes to show to a person, of an image's probabilities `[K]`: those above the threshold."""
        return int((probabilities > multilabel_metrics.THRESHOLD).sum())


Task = SingleLabel | MultiLabel


def from_manifest(manifest: Manifest) -> Task:
    """The task that packed images are labelled for."""
    if manifest.label_sets is None:
        return SingleLabel()
    return MultiLabel(len(manifest.classes), tuple(map(tuple, manifest.label_sets)))


def from_weights(weights: WeightsInfo) -> Task:
    """The task that a network was trained for."""
    return MultiLabel(weights.num_classes) if weights.is_multilabel else SingleLabel()


def from_targets(targets: Labels, num_classes: int) -> Task:
    """The task of targets: `[N]` of single-label images, `[N, K]` of multi-label ones."""
    return MultiLabel(num_classes) if targets.ndim == 2 else SingleLabel()


def label_name(task: Task, classes: Sequence[str], label: int) -> str:
    """Name of a packed label: its class, or the classes of its set."""
    return ", ".join(classes[k] for k in task.classes_of(label)) or "none"
