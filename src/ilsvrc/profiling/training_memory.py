"""Peak memory of a training step: forward, backward and the optimizer's update, in one process."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from ilsvrc.profiling import memory
from ilsvrc.training.state import Training

STEP_SECONDS = 1.5  # what a step on a CPU may take; a larger batch's memory is extended from smaller ones
SMALL_BATCH = 8

Prepare = Callable[[int], Training]


@dataclass(frozen=True)
class Peak:
    """Peak memory of a step in bytes; `extended_from` names the two batch sizes that it was extrapolated from."""

    num_bytes: int
    extended_from: tuple[int, int] | None


def peak(prepare: Prepare, batch_size: int, input_px: int, free_bytes: float) -> Peak:
    """Most bytes that a step of `batch_size` images holds, weights and optimizer's state included.

    Where such a step takes longer than STEP_SECONDS or more memory than is free, the line through two smaller batches
    is extended, which `extended_from` names: what forward and backward passes take grows with the images, an update
    does not.

    Args:
        prepare: makes the training of a batch size, with its first weights.
        batch_size: images a step.
        input_px: their side.
        free_bytes: what may be taken.
    """
    small = min(SMALL_BATCH, batch_size)
    start = time.perf_counter()
    first = parts(prepare(small), small, input_px)
    affordable = int(small * STEP_SECONDS / (time.perf_counter() - start))
    affordable = min(affordable, int(small * free_bytes / (first.passes + first.update)))
    if small == batch_size:
        return Peak(first.total, None)
    if batch_size <= affordable:
        try:
            return Peak(parts(prepare(batch_size), batch_size, input_px).total, None)
        except torch.OutOfMemoryError:
            affordable = small
    return _extended(prepare, batch_size, input_px, affordable)


class Parts:
    """Bytes that are held all the time, and the most of the passes and of the update beside them."""

    def __init__(self, held: int, passes: int, update: int) -> None:
        self.held, self.passes, self.update = held, passes, update

    @property
    def total(self) -> int:
        """The most at any time."""
        return self.held + max(self.passes, self.update)


def parts(training: Training, batch_size: int, input_px: int) -> Parts:
    """Measured in the first step: what it adds to the optimizer's state is held from then on."""
    device = training.world.device
    noise = torch.randint(0, 256, (batch_size, input_px, input_px, 3), dtype=torch.uint8, device=device)
    labels = torch.zeros(batch_size, dtype=torch.long, device=device)
    training.network.train()
    before = _held(training)
    passes, update = memory.peaks(
        [lambda: _forward_backward(training, noise, labels), lambda: _update(training)], device
    )
    state = _held(training) - before
    return Parts(before + state + noise.nbytes, passes, update - state)


def _forward_backward(training: Training, images: Tensor, labels: Tensor) -> None:
    with training.autocast():
        loss, _ = training.distributed(images, labels)
    (training.grad_scaler(loss) if training.grad_scaler else loss).backward()


def _update(training: Training) -> None:
    training.optimizer.step()
    training.optimizer.zero_grad()


def _held(training: Training) -> int:
    """Bytes of weights, averages and the optimizer's state."""
    return sum(memory.tensor_bytes(tree_leaves(part.state_dict())) for part in training.stateful_parts().values())


def _extended(prepare: Prepare, batch_size: int, input_px: int, affordable: int) -> Peak:
    """The line through two batches that can be paid for, at `batch_size`."""
    large = max(4, 2 ** (affordable.bit_length() - 1))
    low, high = (parts(prepare(size), size, input_px) for size in (large // 2, large))
    slope = (high.passes - low.passes) / (large - large // 2)
    passes = high.passes + round(slope * (batch_size - large))
    noise = (batch_size - large) * 3 * input_px**2
    return Peak(Parts(high.held + noise, passes, high.update).total, (large // 2, large))
