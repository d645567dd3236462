"""The loop: steps, epochs, what is measured on the way, and when it is saved.

Everything random is a function of (seed, epoch, image) or (seed, step), so that a training that was stopped goes on
as if nothing had happened.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from ilsvrc.training import dropout, history, optimizer
from ilsvrc.training.health_checks import HELP, Checks, Listener
from ilsvrc.training.history import Row
from ilsvrc.training.prefetch import ahead
from ilsvrc.training.state import Batches, Progress, Training
from ilsvrc.training.validation import evaluate


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
