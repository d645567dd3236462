"""The loop: steps, epochs, what is measured on the way, and when it is saved.

Everything random is a function of (seed, epoch, image) or (seed, step), so that a training that was stopped goes on
as if nothing had happened.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier
from ilsvrc.runtime.distributed import World
from ilsvrc.runtime.precision import Autocast, LossScale
from ilsvrc.training import dropout, history, optimizer
from ilsvrc.training.best_checkpoint import BestEpoch
from ilsvrc.training.health_checks import HELP, Checks, Listener
from ilsvrc.training.history import Row
from ilsvrc.training.loss import Objective
from ilsvrc.training.prefetch import ahead
from ilsvrc.training.schedule import Schedule
from ilsvrc.training.torch_compile import Compiled
from ilsvrc.training.validation import evaluate


class Batches(Protocol):
    """Steps of an epoch."""

    def __len__(self) -> int:
        """Steps."""

    def epoch(self, epoch: int, start_step: int = 0) -> Any:
        """This process's part of each batch: images uint8 `[N, H, W, 3]`, labels `[N]`, indices `[N]`."""


class Averages(Protocol):
    """Weights averaged over steps, in the place of the network's own where it is tested."""

    def update(self, step: int) -> None:
        """A step was made."""

    def swapped(self) -> AbstractContextManager[Any]:
        """Within it the network has the averaged weights."""

    def keep_statistics(self) -> None:
        """The network's running statistics replace their averages."""


@dataclass
class Training:
    """What a step needs. `look` and `mix` change images; see `augmentation` and `mixing`."""

    network: Classifier
    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    batch_size: int  # over all processes
    seed: int
    world: World
    autocast: Autocast
    clip_norm: float | None = None
    clip_adaptive: float | None = None
    scale: LossScale | None = None  # float16's
    parts: int = 1  # that a process's share of a batch is passed in, one after the other
    look: Callable[[Any, int, int], Tensor] | None = None  # batch, seed, epoch -> images
    mix: Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]] | None = None  # see `mixing`
    beside: Callable[[Any, int], Tensor | None] | None = None  # batch, epoch -> what the normalisation takes with each
    constrain: Callable[[nn.Module], None] | None = None  # the weights, after each step
    averages: Averages | None = None
    best: BestEpoch | None = None  # whose weights are reported, not the last ones
    frozen: Sequence[nn.Module] = ()  # that stay as in testing
    name_of: Callable[[int], str] = str  # an image's name
    not_compiled: Callable[[str], None] | None = None  # hears why compiling failed; None: nothing is compiled
    distributed: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        compiled = Compiled(self.objective, self.not_compiled) if self.not_compiled else self.objective
        self.distributed = self.world.wrap(compiled)

    def parts_with_state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the schedule's errors, by name."""
        kept = {"network": self.network, "optimizer": self.optimizer, "averages": self.averages, "scale": self.scale}
        kept["best"] = self.best
        return {name: part for name, part in kept.items() if part is not None}

    def rows_of_parts(self, mine: int) -> list[slice]:
        """The rows of a share of `mine` images that are passed together."""
        return [slice(part * mine // self.parts, (part + 1) * mine // self.parts) for part in range(self.parts)]

    def steps_before(self, progress: "Progress") -> int:
        """Steps of the epochs that are done."""
        return len(progress.history) * self.schedule.steps_an_epoch

    def swapped(self) -> AbstractContextManager[Any]:
        """Within it the network has the weights that are tested."""
        return self.averages.swapped() if self.averages else nullcontext()

    def end(self) -> None:
        """From here on the network is what is reported: where the recipe says so, as it was tested at its best."""
        if self.best is not None:
            self.best.take()
            self.averages = None


@dataclass
class Progress:
    """How far a training is: finished epochs, and within the present one its steps, sums and seconds.

    `sums` are those of losses, errors and images, over all processes; `buffers` each process's running statistics
    inside an epoch.
    """

    history: list[Row] = field(default_factory=list)
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    seconds: float = 0.0
    buffers: list[Tensor] = field(default_factory=list)


def train(
    training: Training, batches: Batches, validation: Callable[[], Iterable[Any]], progress: Progress, to: Listener
) -> None:
    """Trains from where `progress` stands to the schedule's end, and leaves the network as it is reported.

    Raises:
        ValueError: the loss is no longer a number.
        StoppedError: the listener wanted to stop; a checkpoint was saved.
    """
    while len(progress.history) < training.schedule.epochs and not training.schedule.is_over():
        row = train_epoch(training, batches, progress, to)
        with training.swapped():
            row |= evaluate(training.objective, validation(), training.world, training.autocast)
            if not math.isfinite(row["validation_loss"]):
                raise ValueError(f"the validation loss is not a number after epoch {row['epoch']}; {HELP}")
            error = history.watched(row).error_percent
            if training.best is not None:
                training.best.consider(row["epoch"], error)
        training.schedule.errors.append(error)
        progress.history.append(row)
        progress.step, progress.sums, progress.seconds, progress.buffers = 0, [0.0, 0.0, 0.0], 0.0, []
        to.save(progress)
        to.epoch_ended(row)
    training.end()


def train_epoch(training: Training, batches: Batches, progress: Progress, to: Listener) -> Row:
    """The rest of an epoch: its row of history, without validation."""
    epoch, before = len(progress.history), training.steps_before(progress)
    steps = min(len(batches), training.schedule.total_steps - before)
    checks = Checks(training, progress)
    in_training_mode(training)
    with closing(batches.epoch(epoch, progress.step)) as given:
        for batch in islice(ahead(given, training.world.device), steps - progress.step):
            checks.add(batch, train_step(training, batch, before + progress.step, epoch))
            progress.step += 1
            to.stepped(training.batch_size)
            checks.make(to, progress.step == steps)
    loss, errors, num_images = progress.sums
    return {
        "epoch": epoch + 1,
        "learning_rate": training.schedule.learning_rate(before + steps - 1),
        "train_loss": loss / num_images,
        "train_error_percent": 100 * errors / num_images,
        "seconds": progress.seconds,
        "images_per_second": num_images / progress.seconds,
    }


def in_training_mode(training: Training) -> None:
    """The network as it is trained; what is frozen, as it is tested."""
    training.network.train()
    for module in training.frozen:
        module.eval()


def train_step(training: Training, batch: Any, step: int, epoch: int = 0) -> Tensor:
    """One step of the whole training, counted from 0; sums of losses, errors and images of this process `[3]`."""
    rate = training.schedule.learning_rate(step)
    for group in training.optimizer.param_groups:
        group["lr"] = rate * group.get("rate_factor", 1.0)
    images, labels = batch.images, training.objective.labels.targets(batch.labels)
    targets = labels
    if training.look is not None:
        images = training.look(batch, training.seed, epoch)
    if training.mix is not None:
        images, targets = training.mix(images, labels, epoch, step)
    beside = training.beside(batch, epoch) if training.beside is not None else None
    sums = torch.zeros(3, dtype=torch.float64, device=labels.device)
    for part in range(training.parts):
        sums += _forward_backward(training, (images, targets, labels, beside), step, part)
    _update(training, step)
    return sums


def _forward_backward(training: Training, share: tuple[Any, ...], step: int, part: int) -> Tensor:
    """Adds the gradients of a part of this process's share of a batch: images, targets, labels, beside."""
    images, targets, labels, beside = share
    world, mine = training.world, len(labels)
    rows = training.rows_of_parts(mine)[part]
    first = world.rows(training.batch_size).start
    dropout.seed(training.seed, step, slice(first + rows.start, first + rows.stop), training.batch_size)
    last = part == training.parts - 1
    alone: Any = nullcontext if last or world.size == 1 else training.distributed.no_sync
    with alone():
        with training.autocast():
            own = () if beside is None else (beside[rows],)
            loss, logits = training.distributed(images[rows], targets[rows], *own)
        # the wrapper averages over processes, whose shares of the batch may differ by one image
        scaled = loss * (world.size / training.batch_size)
        (training.scale(scaled) if training.scale else scaled).backward()
    errors = training.objective.labels.wrong(logits, labels[rows]).double()
    return torch.stack([loss.detach().double(), errors, torch.full_like(errors, len(logits))])


def _update(training: Training, step: int) -> None:
    """Moves the weights by the gradients that are there."""
    if training.scale:
        training.scale.unscale(training.optimizer)
    if training.clip_norm is not None:
        nn.utils.clip_grad_norm_(training.network.parameters(), training.clip_norm)
    if training.clip_adaptive is not None:
        optimizer.clip_adaptively(training.network, training.clip_adaptive)
    if training.scale:
        training.scale.step(training.optimizer)
    else:
        training.optimizer.step()
    training.optimizer.zero_grad()
    if training.constrain is not None:
        training.constrain(training.network)
    if training.averages is not None:
        training.averages.update(step)
