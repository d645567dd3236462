"""State of a training: what a step needs, and how far the training is."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ilsvrc.loading.contract import Batch
from ilsvrc.models.common.layers import Classifier
from ilsvrc.runtime.distributed import World
from ilsvrc.runtime.precision import Autocast, LossScale
from ilsvrc.training.best_checkpoint import BestEpoch
from ilsvrc.training.history import Row
from ilsvrc.training.loss import Objective
from ilsvrc.training.schedule import Schedule
from ilsvrc.training.torch_compile import Compiled
from ilsvrc.training.weight_averaging import WeightAverage

Augment = Callable[[Batch, int, int], Tensor]  # batch, seed, epoch -> images [N, H, W, 3]
Mixup = Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]]  # images, labels, epoch, step -> images, targets
NormalizationInputs = Callable[[Batch, int], Tensor | None]  # batch, epoch -> values for each image, such as a mean


class Batches(Protocol):
    """Training batches of an epoch."""

    def __len__(self) -> int:
        """Steps an epoch."""

    def epoch(self, epoch: int, start_step: int = 0) -> Any:
        """This process's shard of each batch: images uint8 `[N, H, W, 3]`, labels `[N]`, indices `[N]`."""


@dataclass
class Training:
    """Network, objective, optimizer and schedule of a training, and the optional parts of its steps."""

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
    grad_scaler: LossScale | None = None  # float16's
    micro_batches: int = 1  # of a process's shard of a batch, passed one after the other
    augment: Augment | None = None  # see `augmentation`
    mixup: Mixup | None = None  # see `mixup_cutmix`
    normalization_inputs: NormalizationInputs | None = None  # see `data.mean_image_inputs`
    project_weights: Callable[[nn.Module], None] | None = None  # after each step; see `max_norm`
    weight_average: WeightAverage | None = None  # tested in the place of the network's own weights
    best_checkpoint: BestEpoch | None = None  # reported in the place of the last weights
    frozen: Sequence[nn.Module] = ()  # stay in evaluation mode
    name_of: Callable[[int], str] = str  # an image's name
    not_compiled: Callable[[str], None] | None = None  # told why compiling failed; None: nothing is compiled
    distributed: nn.Module = field(init=False)  # the objective, compiled and with gradients averaged over processes

    def __post_init__(self) -> None:
        compiled = Compiled(self.objective, self.not_compiled) if self.not_compiled else self.objective
        self.distributed = self.world.wrap(compiled)

    def stateful_parts(self) -> dict[str, Any]:
        """Parts that a checkpoint keeps beside the schedule's errors, by their names in it."""
        parts = {
            "network": self.network,
            "optimizer": self.optimizer,
            "averages": self.weight_average,
            "scale": self.grad_scaler,
            "best": self.best_checkpoint,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def micro_batch_rows(self, num_images: int) -> list[slice]:
        """Rows of each micro-batch of a shard of `num_images`."""
        ends = [part * num_images // self.micro_batches for part in range(self.micro_batches + 1)]
        return [slice(start, stop) for start, stop in pairwise(ends)]

    def steps_before(self, progress: "Progress") -> int:
        """Steps of the epochs that are done."""
        return len(progress.history) * self.schedule.steps_an_epoch

    def swapped(self) -> AbstractContextManager[Any]:
        """Context in which the network has the weights that are tested."""
        return self.weight_average.swapped() if self.weight_average else nullcontext()

    def end(self) -> None:
        """Gives the network the weights that are reported for good: those of the best epoch where there is one."""
        if self.best_checkpoint is not None:
            self.best_checkpoint.take()
            self.weight_average = None


@dataclass
class Progress:
    """Progress of a training: finished epochs, and of the present one its steps, sums and seconds.

    `sums` are those of losses, errors and images, over all processes; `buffers` each process's running statistics
    inside an epoch. The fields' names stand in checkpoints.
    """

    history: list[Row] = field(default_factory=list)
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    seconds: float = 0.0
    buffers: list[Tensor] = field(default_factory=list)

    def end_epoch(self, row: Row) -> None:
        """Adds an epoch's row of history; the next epoch starts from nothing."""
        self.history.append(row)
        self.step, self.sums, self.seconds, self.buffers = 0, [0.0, 0.0, 0.0], 0.0, []
