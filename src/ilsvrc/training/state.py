"""State of a training: what a step needs, and how far the training is."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier
from ilsvrc.runtime.distributed import World
from ilsvrc.runtime.precision import Autocast, LossScale
from ilsvrc.training.best_checkpoint import BestEpoch
from ilsvrc.training.history import Row
from ilsvrc.training.loss import Objective
from ilsvrc.training.schedule import Schedule
from ilsvrc.training.torch_compile import Compiled


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
