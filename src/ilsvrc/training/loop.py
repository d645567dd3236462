"""The loop: steps, epochs, what is measured on the way, and when it is saved.

Everything random is a function of (seed, epoch, image) or (seed, step), so that a training that was stopped goes on
as if nothing had happened.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ilsvrc.layers import Classifier, seed_batch_draws
from ilsvrc.training.distributed import World
from ilsvrc.training.history import Row
from ilsvrc.training.objective import Objective
from ilsvrc.training.precision import Autocast
from ilsvrc.training.schedule import Schedule
from ilsvrc.training.validation import evaluate

STEPS_BETWEEN_CHECKS = 20
SECONDS_BETWEEN_CHECKPOINTS = 600.0  # inside an epoch; each epoch ends with one


class Batches(Protocol):
    """Steps of an epoch."""

    def __len__(self) -> int:
        """Steps."""

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Any]:
        """This process's part of each batch: images uint8 `[N, H, W, 3]`, labels `[N]`, indices `[N]`."""


@dataclass
class Training:
    """What a step needs."""

    network: Classifier
    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    batch_size: int  # over all processes
    seed: int
    world: World
    autocast: Autocast
    clip_norm: float | None = None
    distributed: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.distributed = self.world.wrap(self.objective)


@dataclass
class Progress:
    """How far a training is: finished epochs, and within the present one its steps, sums and seconds.

    `sums` are those of losses, errors and images, over all processes.
    """

    history: list[Row] = field(default_factory=list)
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    seconds: float = 0.0


class Listener(Protocol):
    """Who hears how it goes."""

    def stepped(self, num_images: int) -> None:
        """A step of `num_images` over all processes is done."""

    def save(self, progress: Progress) -> None:
        """Time for a checkpoint; called in every process."""

    def epoch_ended(self, row: Row) -> None:
        """A row of history; called in every process."""


def train(
    training: Training, batches: Batches, validation: Callable[[], Iterable[Any]], progress: Progress, to: Listener
) -> None:
    """Trains from where `progress` stands to the schedule's last epoch.

    Raises:
        ValueError: the loss is no longer a number.
    """
    while len(progress.history) < training.schedule.epochs:
        row = train_epoch(training, batches, progress, to)
        row |= evaluate(training.objective, validation(), training.world, training.autocast)
        check_loss(row["validation_loss"], f"after epoch {row['epoch']}")
        training.schedule.errors.append(row["validation_top1_error_percent"])
        progress.history.append(row)
        progress.step, progress.sums, progress.seconds = 0, [0.0, 0.0, 0.0], 0.0
        to.save(progress)
        to.epoch_ended(row)


def train_epoch(training: Training, batches: Batches, progress: Progress, to: Listener) -> Row:
    """The rest of an epoch: its row of history, without validation."""
    epoch, steps = len(progress.history), len(batches)
    clock = _Clock(progress.seconds)
    sums = torch.zeros(3, dtype=torch.float64, device=training.world.device)
    training.network.train()
    for batch in batches.epoch(epoch, progress.step):
        sums += train_step(training, batch, epoch * steps + progress.step)
        progress.step += 1
        to.stepped(training.batch_size)
        if progress.step % STEPS_BETWEEN_CHECKS == 0 or progress.step == steps:
            check_loss(sums[0].item(), f"in epoch {epoch + 1} (step {progress.step})")
            if progress.step < steps and training.world.agrees(clock.is_due()):
                sums = _gather(training, progress, sums, clock)
                to.save(progress)
    _gather(training, progress, sums, clock)
    loss, errors, num_images = progress.sums
    return {
        "epoch": epoch + 1,
        "learning_rate": training.schedule.learning_rate(epoch * steps + steps - 1),
        "train_loss": loss / num_images,
        "train_error_percent": 100 * errors / num_images,
        "seconds": progress.seconds,
        "images_per_second": num_images / progress.seconds,
    }


def train_step(training: Training, batch: Any, step: int) -> Tensor:
    """One step of the whole training, counted from 0; sums of losses, errors and images of this process `[3]`."""
    images = batch.images.to(training.world.device, non_blocking=True)
    labels = batch.labels.to(training.world.device, non_blocking=True)
    for group in training.optimizer.param_groups:
        group["lr"] = training.schedule.learning_rate(step)
    seed_draws(training.seed, step, training.world.rank)
    with training.autocast():
        loss, logits = training.distributed(images, labels)
    # the wrapper averages over processes, whose shares of the batch may differ by one image
    (loss * (training.world.size / training.batch_size)).backward()
    if training.clip_norm is not None:
        nn.utils.clip_grad_norm_(training.network.parameters(), training.clip_norm)
    training.optimizer.step()
    training.optimizer.zero_grad()
    errors = (logits.argmax(dim=1) != labels).sum()
    return torch.stack([loss.detach().double(), errors.double(), torch.full_like(errors, len(labels)).double()])


def check_loss(loss: float, when: str) -> None:
    """Stops a training that has diverged.

    Raises:
        ValueError: the loss is no longer a number; names the recipe's keys that help.
    """
    if not math.isfinite(loss):
        raise ValueError(
            f"the loss is not a number any more {when}; set a lower learning_rate, a longer warmup_epochs, a clip_norm "
            "or another initialization by training: {...} in params.yaml"
        )


def seed_draws(seed: int, step: int, rank: int) -> None:
    """Seeds what a step draws, so that a resume repeats it.

    torch's generators, which give each picture its dropout, by (seed, step, rank): no two processes share a mask.
    Draws for the whole batch by (seed, step): all processes share them.
    """
    torch.manual_seed(_hash(seed, step, rank))
    seed_batch_draws(_hash(seed, step))


def _hash(*place: int) -> int:
    digest = hashlib.blake2b(repr(place).encode(), digest_size=4).digest()  # torch's CPU generator takes 32 bits
    return int.from_bytes(digest, "big")


def _gather(training: Training, progress: Progress, sums: Tensor, clock: "_Clock") -> Tensor:
    """Adds every process's `sums` to `progress`, brings running statistics together; returns zeros."""
    training.world.average_buffers(training.network)
    both = zip(progress.sums, training.world.sum(sums).tolist(), strict=True)
    progress.sums, progress.seconds = [kept + new for kept, new in both], clock.seconds()
    return torch.zeros_like(sums)


class _Clock:
    """Seconds of an epoch, those before a resume included."""

    def __init__(self, seconds_before: float) -> None:
        self.start = time.perf_counter() - seconds_before
        self.saved = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def is_due(self) -> bool:
        """Long enough since the last checkpoint; says so once."""
        now = time.perf_counter()
        if now - self.saved < SECONDS_BETWEEN_CHECKPOINTS:
            return False
        self.saved = now
        return True
