"""Health checks of all processes together every few steps: finite losses, checkpoints that are due, stop signals."""

import math
import time
from typing import Protocol

import torch
from torch import Tensor

from ilsvrc.loading.contract import Batch
from ilsvrc.training.history import Row
from ilsvrc.training.state import Progress, Training

SECONDS_BETWEEN_CHECKS = 2.0
MAX_STEPS_BETWEEN_CHECKS = 100
SECONDS_BETWEEN_CHECKPOINTS = 600.0  # inside an epoch; each epoch ends with one
MAX_NAMES = 10  # images of a step that went wrong
HELP = (
    "set a lower learning_rate, a longer warmup_epochs, a clip_norm or another initialization by training: {...} in "
    "params.yaml"
)


class StoppedError(Exception):
    """A signal asked the training to stop; its checkpoint holds everything up to now."""


class Listener(Protocol):
    """Listener of a training."""

    def stepped(self, num_images: int) -> None:
        """A step of `num_images` over all processes is done."""

    def should_stop(self) -> bool:
        """True if this process was asked to stop."""

    def save(self, progress: Progress) -> None:
        """Time for a checkpoint; called in every process."""

    def epoch_ended(self, row: Row) -> None:
        """A row of history; called in every process."""


class Checks:
    """Health checks of one epoch."""

    def __init__(self, training: Training, progress: Progress) -> None:
        self.training, self.progress = training, progress
        self.sums: list[Tensor] = []  # since the last check: losses, errors, images of each step
        self.indices: list[Tensor] = []
        self.gathered = torch.zeros(3, dtype=torch.float64, device=training.world.device)
        now = time.perf_counter()
        self.started, self.saved, self.checked = now - progress.seconds, now, now
        self.wait = 1  # steps until the next check

    def add(self, batch: Batch, sums: Tensor) -> None:
        """Adds a step's images and its sums `[3]`."""
        self.sums.append(sums)
        self.indices.append(batch.indices)

    def make(self, listener: Listener, at_the_end: bool) -> None:
        """Checks the losses, saves and stops, if a check is due.

        Raises:
            ValueError: a loss is NaN or infinite; names step, learning rate and images.
            StoppedError: after a checkpoint.
        """
        if not at_the_end and len(self.sums) < self.wait:
            return
        self._require_finite()
        self.gathered += torch.stack(self.sums).sum(dim=0)
        stop, save = self._agree(listener.should_stop())
        if at_the_end:
            self._gather(at_the_end=True)
        elif stop or save:
            self._gather(at_the_end=False)
            listener.save(self.progress)
            self.saved = time.perf_counter()
        if stop and not at_the_end:
            raise StoppedError(f"stopped in epoch {len(self.progress.history) + 1} after {self.progress.step} steps")

    def _agree(self, stop: bool) -> tuple[bool, bool]:
        """Agreement of all processes to stop, to save, and on the steps until the next check."""
        now = time.perf_counter()
        pace = len(self.sums) * SECONDS_BETWEEN_CHECKS / max(1e-9, now - self.checked)
        due = now - self.saved >= SECONDS_BETWEEN_CHECKPOINTS
        wait = min(max(1, int(pace)), MAX_STEPS_BETWEEN_CHECKS)
        stop, due, self.wait = self.training.world.agreement(stop, due, wait)
        self.checked, self.sums, self.indices = now, [], []
        return stop, due

    def _gather(self, at_the_end: bool) -> None:
        """Adds every process's sums to the progress; running statistics become one at the end, and are kept before."""
        world, network = self.training.world, self.training.network
        if at_the_end:
            world.average_buffers(network)
        self.progress.buffers = [] if at_the_end else world.gather_buffers(network)
        sums = world.sum(self.gathered.clone()).tolist()
        self.progress.sums = [kept + new for kept, new in zip(self.progress.sums, sums, strict=True)]
        self.gathered.zero_()
        self.progress.seconds = time.perf_counter() - self.started

    def _require_finite(self) -> None:
        losses = torch.stack(self.sums)[:, 0].tolist()
        local = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
        indices = self.indices[min(local, len(losses) - 1)]
        first, images = self.training.world.first(local, len(losses), indices)
        if first == len(losses):
            return
        step = self.progress.step - len(losses) + first
        names = ", ".join(map(self.training.name_of, images[:MAX_NAMES]))
        more = f" and {len(images) - MAX_NAMES} more" if len(images) > MAX_NAMES else ""
        rate = self.training.schedule.learning_rate(step + self.training.steps_before(self.progress))
        raise ValueError(
            f"the loss is NaN or infinite in epoch {len(self.progress.history) + 1}, step {step + 1}, at learning rate"
            f" {rate:.3g}; {HELP}. The last good checkpoint stays. The step's images: {names}{more}"
        )
