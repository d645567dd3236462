"""A training and a batch that `check_recipe` looks at it with, and what it says."""

from typing import NamedTuple

from torch import Tensor

from ilsvrc.config import specs
from ilsvrc.loading import batches
from ilsvrc.training.labels import Labels
from ilsvrc.training.loop import Training
from ilsvrc.training.schedule import Schedule


class Finding(NamedTuple):
    """What a check says; `fits` is None where the time was too short to tell."""

    check: str
    fits: bool | None
    said: str


class Look(NamedTuple):
    """A training and the one batch that it is looked at with."""

    spec: specs.TrainSpec
    training: Training
    batch: batches.Batch
    planned: Schedule  # the recipe's own
    classes: int

    @property
    def labels(self) -> Labels:
        """What the batch's labels stand for."""
        return self.training.objective.labels

    @property
    def even_loss(self) -> float:
        """Where no class is preferred: ln K, or K ln 2 where a picture has several classes."""
        return self.labels.even_loss(self.classes)

    def loss(self, logits: Tensor) -> float:
        """The mean loss of logits for the batch, not smoothed."""
        return float(self.labels.loss(logits, self.labels.targets(self.batch.labels))) / len(logits)
