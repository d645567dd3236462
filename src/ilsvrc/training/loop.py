"""Training loop: steps, epochs, what is measured on the way, and when it is saved.

Everything random is a function of (seed, epoch, image) or (seed, step), so that a training that was stopped goes on
as if nothing had happened.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ilsvrc.loading.contract import Batch
from ilsvrc.training import dropout, history, optimizer
from ilsvrc.training.health_checks import HELP, Checks, Listener
from ilsvrc.training.history import Row
from ilsvrc.training.prefetch import ahead
from ilsvrc.training.state import Batches, Progress, Training
from ilsvrc.training.validation import evaluate


def train(
    training: Training,
    batches: Batches,
    validation: Callable[[], Iterable[Batch]],
    progress: Progress,
    listener: Listener,
) -> None:
    """Trains from where `progress` stands to the schedule's end, and leaves the network as it is reported.

    Raises:
        ValueError: the loss is NaN or infinite.
        StoppedError: the listener wanted to stop; a checkpoint was saved.
    """
    while len(progress.history) < training.schedule.epochs and not training.schedule.is_over():
        row = train_epoch(training, batches, progress, listener)
        row |= validate(training, validation(), row["epoch"])
        training.schedule.errors.append(history.watched(row).error_percent)
        progress.end_epoch(row)
        listener.save(progress)
        listener.epoch_ended(row)
    training.end()


def validate(training: Training, batches: Iterable[Batch], epoch: int) -> Row:
    """Validation columns of an epoch's row of history; the epoch may become the best one.

    Raises:
        ValueError: the validation loss is NaN or infinite.
    """
    with training.swapped():
        row: Row = dict(evaluate(training.objective, batches, training.world, training.autocast))
        if not math.isfinite(row["validation_loss"]):
            raise ValueError(f"the validation loss is NaN or infinite after epoch {epoch}; {HELP}")
        if training.best_checkpoint is not None:
            training.best_checkpoint.consider(epoch, history.watched(row).error_percent)
    return row


def train_epoch(training: Training, batches: Batches, progress: Progress, listener: Listener) -> Row:
    """Trains the rest of an epoch; its row of history, without validation."""
    epoch, before = len(progress.history), training.steps_before(progress)
    steps = min(len(batches), training.schedule.total_steps - before)
    checks = Checks(training, progress)
    in_training_mode(training)
    with closing(batches.epoch(epoch, progress.step)) as rest:
        for batch in islice(ahead(rest, training.world.device), steps - progress.step):
            checks.add(batch, train_step(training, batch, before + progress.step, epoch))
            progress.step += 1
            listener.stepped(training.batch_size)
            checks.make(listener, progress.step == steps)
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
    """Puts the network in training mode, but for what is frozen."""
    training.network.train()
    for module in training.frozen:
        module.eval()


def train_step(training: Training, batch: Batch, step: int, epoch: int = 0) -> Tensor:
    """One step of the whole training, counted from 0; sums of losses, errors and images of this process `[3]`."""
    rate = training.schedule.learning_rate(step)
    for group in training.optimizer.param_groups:
        group["lr"] = rate * group.get("rate_factor", 1.0)
    shard = augmented(training, batch, step, epoch)
    sums = torch.zeros(3, dtype=torch.float64, device=shard.labels.device)
    for part in range(training.micro_batches):
        sums += _forward_backward(training, shard, step, part)
    _update(training, step)
    return sums


class Shard(NamedTuple):
    """Shard of a batch that a process trains on, after augmentation and mixup."""

    images: Tensor  # [N, H, W, 3]
    targets: Tensor  # as the loss takes them, mixed
    labels: Tensor  # as the errors are counted with, not mixed
    normalization_inputs: Tensor | None


def augmented(training: Training, batch: Batch, step: int, epoch: int) -> Shard:
    """This process's shard of a batch as the network sees it."""
    images, labels = batch.images, training.objective.labels.targets(batch.labels)
    targets = labels
    if training.augment is not None:
        images = training.augment(batch, training.seed, epoch)
    if training.mixup is not None:
        images, targets = training.mixup(images, labels, epoch, step)
    inputs = None if training.normalization_inputs is None else training.normalization_inputs(batch, epoch)
    return Shard(images, targets, labels, inputs)


def _forward_backward(training: Training, shard: Shard, step: int, part: int) -> Tensor:
    """Adds the gradients of a micro-batch; its sums of losses, errors and images `[3]`."""
    world = training.world
    rows = training.micro_batch_rows(len(shard.labels))[part]
    first = world.rows(training.batch_size).start
    dropout.seed(training.seed, step, slice(first + rows.start, first + rows.stop), training.batch_size)
    last = part == training.micro_batches - 1
    unsynchronized: Any = nullcontext if last or world.size == 1 else training.distributed.no_sync
    with unsynchronized():
        with training.autocast():
            inputs = () if shard.normalization_inputs is None else (shard.normalization_inputs[rows],)
            loss, logits = training.distributed(shard.images[rows], shard.targets[rows], *inputs)
        # the wrapper averages over processes, whose shards of the batch may differ by one image
        scaled = loss * (world.size / training.batch_size)
        (training.grad_scaler(scaled) if training.grad_scaler else scaled).backward()
    errors = training.objective.labels.wrong(logits, shard.labels[rows]).double()
    return torch.stack([loss.detach().double(), errors, torch.full_like(errors, len(logits))])


def _update(training: Training, step: int) -> None:
    """Moves the weights by the gradients that are there."""
    if training.grad_scaler:
        training.grad_scaler.unscale(training.optimizer)
    if training.clip_norm is not None:
        nn.utils.clip_grad_norm_(training.network.parameters(), training.clip_norm)
    if training.clip_adaptive is not None:
        optimizer.clip_adaptively(training.network, training.clip_adaptive)
    if training.grad_scaler:
        training.grad_scaler.step(training.optimizer)
    else:
        training.optimizer.step()
    training.optimizer.zero_grad()
    if training.project_weights is not None:
        training.project_weights(training.network)
    if training.weight_average is not None:
        training.weight_average.update(step)
