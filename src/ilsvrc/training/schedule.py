"""Learning rates: a function of the step, and for `plateau` of the validation errors so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Schedule:
    """The rate of each step; steps and epochs count from 0, and epochs may be fractions.

    step: `rate`, multiplied by `factor` at each of `milestones` (epochs).
    plateau: `rate`, multiplied by `factor` each time that `patience` epochs passed without a lower validation error.
    cosine: half a cosine from `rate` to 0 over what follows the warm-up (Loshchilov and Hutter 2016).

    The warm-up is linear and goes before each: step s of W has (s + 1) / W of the rate (Goyal et al. 2017).
    """

    kind: str
    rate: float
    epochs: int
    steps_an_epoch: int
    warmup_epochs: float = 0.0
    milestones: Sequence[int] = ()
    patience: int = 5
    factor: float = 0.1
    errors: list[float] = field(default_factory=list)  # plateau: each epoch's validation error, grows

    def learning_rate(self, step: int) -> float:
        """The rate of a step of the whole training."""
        warmup = round(self.warmup_epochs * self.steps_an_epoch)
        if step < warmup:
            return self.rate * (step + 1) / warmup
        if self.kind == "cosine":
            remaining = self.epochs * self.steps_an_epoch - warmup
            return self.rate * (1 + math.cos(math.pi * (step - warmup) / remaining)) / 2
        return self.rate * self.factor ** self._falls(step // self.steps_an_epoch)

    def _falls(self, epoch: int) -> int:
        if self.kind == "step":
            return sum(epoch >= milestone for milestone in self.milestones)
        return plateaus(self.errors[:epoch], self.patience)


def plateaus(errors: Sequence[float], patience: int) -> int:
    """How often `patience` errors in a row were not below the lowest before them; each time counting starts anew."""
    best, waited, found = math.inf, 0, 0
    for error in errors:
        best, waited = (error, 0) if error < best else (best, waited + 1)
        if waited == patience:
            found, waited = found + 1, 0
    return found
