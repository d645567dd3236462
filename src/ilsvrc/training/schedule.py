"""Learning rate schedules: a function of the step, and for `plateau` of the validation errors so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from ilsvrc.config import choices


@dataclass(frozen=True)
class Schedule:
    """Learning rate of each step; steps and epochs count from 0. Each kind says the share of `rate` that is left.

    Of `polynomial`, `linear` and `cosine` the share is of what lies between `rate` and `lowest_rate`, where they end
    (timm's cosine); the others do not fall below it.

    constant: all of it.
    step: multiplied by `factor` at each of `milestones` (steps).
    plateau: multiplied by `factor` each time that `patience` epochs passed without a lower validation error. With
        `most_falls` training ends where it would fall once more (Krizhevsky et al. 2012, section 5).
    exponential: multiplied by `factor` at every `decay_steps`-th step, a staircase.
    polynomial: (1 - t / T) ** `power`, linear: 1 - t / T, cosine: (1 + cos(pi t / T)) / 2 (Loshchilov and Hutter 2016),
        with t of the T steps that follow the warm-up.

    The warm-up goes before each, and what counts steps or epochs counts them too. At a constant `warmup_rate` (He et
    al. 2015, section 4.2), or else linear: step s of W has (s + 1) / W of the rate (Goyal et al. 2017), with
    `warmup_from` that and s / W of the way to the rate (timm's).

    Raises:
        ValueError: the warm-up leaves no step, or a lower rate is above the rate.
    """

    kind: choices.Schedule
    rate: float
    total_steps: int
    steps_an_epoch: int
    warmup_steps: int = 0
    warmup_rate: float | None = None
    warmup_from: float | None = None
    lowest_rate: float = 0.0
    milestones: Sequence[int] = ()
    decay_steps: int | None = None
    factor: float = 0.1
    power: float = 1.0
    patience: int = 5
    most_falls: int | None = None
    errors: list[float] = field(default_factory=list)  # plateau: each epoch's validation error, grows

    def __post_init__(self) -> None:
        if 0 < self.total_steps <= self.warmup_steps:
            raise ValueError(
                f"a warm-up of {self.warmup_steps} steps leaves none of the {self.total_steps}; set warmup_epochs or "
                "warmup_iterations lower by training: {...} in params.yaml"
            )
        for name in ("lowest_rate", "warmup_from"):
            if (getattr(self, name) or 0.0) > self.rate:
                raise ValueError(
                    f"{name} = {getattr(self, name):g} is above the learning rate, {self.rate:g}, both for this "
                    "batch_size (training: in params.yaml)"
                )
        assert self.kind != "exponential" or self.decay_steps

    @property
    def epochs(self) -> int:
        """Number of epochs, of which the last may be a part of one."""
        return -(-self.total_steps // self.steps_an_epoch)

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step of the whole training."""
        if step >= self.warmup_steps:
            return self._after_warmup(_share(self, step))
        if self.warmup_rate is not None:
            return self.warmup_rate
        if self.warmup_from is not None:
            return self.warmup_from + (self.rate - self.warmup_from) * step / self.warmup_steps
        return self.rate * (step + 1) / self.warmup_steps

    def _after_warmup(self, share: float) -> float:
        if self.kind in TO_THE_LOWEST:
            return self.lowest_rate + (self.rate - self.lowest_rate) * share
        return max(self.rate * share, self.lowest_rate)

    def is_over(self) -> bool:
        """True if the rate of `plateau` would fall once more than `most_falls` allows."""
        if self.kind != "plateau" or self.most_falls is None:
            return False
        return plateaus(self.errors, self.patience) > self.most_falls

    def part_done(self, step: int) -> float:
        """Part of the steps after the warm-up that is done before `step`, from 0 to 1."""
        return min(1.0, (step - self.warmup_steps) / (self.total_steps - self.warmup_steps))


def _step(schedule: Schedule, step: int) -> float:
    return schedule.factor ** sum(step >= milestone for milestone in schedule.milestones)


def _plateau(schedule: Schedule, step: int) -> float:
    return schedule.factor ** plateaus(schedule.errors[: step // schedule.steps_an_epoch], schedule.patience)


def _exponential(schedule: Schedule, step: int) -> float:
    assert schedule.decay_steps
    return schedule.factor ** (step // schedule.decay_steps)


def _polynomial(schedule: Schedule, step: int) -> float:
    share: float = (1 - schedule.part_done(step)) ** schedule.power
    return share


def _linear(schedule: Schedule, step: int) -> float:
    return 1 - schedule.part_done(step)


def _cosine(schedule: Schedule, step: int) -> float:
    return (1 + math.cos(math.pi * schedule.part_done(step))) / 2


def _share(schedule: Schedule, step: int) -> float:
    """Share of the rate that is left at a step after the warm-up."""
    match schedule.kind:
        case "constant":
            return 1.0
        case "step":
            return _step(schedule, step)
        case "plateau":
            return _plateau(schedule, step)
        case "exponential":
            return _exponential(schedule, step)
        case "polynomial":
            return _polynomial(schedule, step)
        case "linear":
            return _linear(schedule, step)
        case "cosine":
            return _cosine(schedule, step)
        case _:
            assert_never(schedule.kind)


TO_THE_LOWEST = {"polynomial", "linear", "cosine"}  # those that end at the lowest rate


def plateaus(errors: Sequence[float], patience: int) -> int:
    """Number of plateaus: `patience` errors in a row that are not below the lowest; then counting restarts."""
    best, waited, num_plateaus = math.inf, 0, 0
    for error in errors:
        best, waited = (error, 0) if error < best else (best, waited + 1)
        if waited == patience:
            num_plateaus, waited = num_plateaus + 1, 0
    return num_plateaus


def in_steps(epochs: float | None, iterations: int | None, steps_an_epoch: int) -> int:
    """Number of steps, the nearest to a length in epochs or in iterations; 0 if neither is given."""
    return iterations or round((epochs or 0) * steps_an_epoch)
