"""Probe of a training before it runs: a batch of a few images, and the findings of the checks on it."""

from typing import NamedTuple

from torch import Tensor

from ilsvrc.config import specs
from ilsvrc.loading.contract import Batch
from ilsvrc.training.labels import Labels
from ilsvrc.training.schedule import Schedule
from ilsvrc.training.state import Training


class Finding(NamedTuple):
    """Result of a check; `fits` is None where the time was too short to tell."""

    check: str
    fits: bool | None
    message: str

    @property
    def verdict(self) -> str:
        """The result in one word or two: ok, to change, undecided."""
        return "undecided" if self.fits is None else "ok" if self.fits else "to change"


class Probe(NamedTuple):
    """A training and the one batch that it is checked with."""

    spec: specs.TrainSpec
    training: Training
    batch: Batch
    planned: Schedule  # the recipe's own
    num_classes: int

    @property
    def labels(self) -> Labels:
        """The kind of labels: one class an image, or several."""
        return self.training.objective.labels

    @property
    def even_loss(self) -> float:
        """Loss where no class is preferred: ln K, or K ln 2 where an image has several classes."""
        return self.labels.even_loss(self.num_classes)

    def loss(self, logits: Tensor) -> float:
        """Mean loss of logits `[N, K]` for the batch, not smoothed."""
        return float(self.labels.loss(logits, self.labels.targets(self.batch.labels))) / len(logits)
