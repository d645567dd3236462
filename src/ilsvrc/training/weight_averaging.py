"""Weight averages over steps, which are tested in the place of the last weights."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from ilsvrc.config import choices
from ilsvrc.runtime.distributed import World


class WeightAverage:
    """Average of a network's weights and of its running statistics, updated after each step.

    exponential: a <- d a + (1 - d) w with d = min(`decay`, n / (9 + n)) after n steps, as TensorFlow's
        ExponentialMovingAverage does in Inception's released training, so that short trainings forget their first
        weights too. (LeViT's has d = `decay` from its first step, which at its end is the same.)
    polyak: the plain mean of the weights after each step (Polyak and Juditsky 1992), in float64: float32 stops moving
        after about a million steps.

    Both begin with the weights after `from_step`, the first step that counts; before it there is no average. What is
    averaged are the parameters that want gradients and the running statistics, as in Inception's and LeViT's released
    training: those of the last weights' activations do not fit the average's. Of several processes it is the mean of
    theirs, the same in all of them. Whole numbers, such as a batch norm's count, stay the network's.

    Args:
        network: as it is trained: on its device, with its batch norms grouped.
        kind: exponential or polyak.
        decay: exponential's.
        from_step: of the whole training, counted from 0.
        world: the processes that train it.
    """

    def __init__(
        self,
        network: nn.Module,
        kind: choices.Averaging,
        decay: float = 0.9999,
        from_step: int = 0,
        world: World | None = None,
    ) -> None:
        self.kind, self.decay, self.from_step, self.world = kind, decay, from_step, world or World()
        self.weights = {name: p.detach() for name, p in network.named_parameters() if p.requires_grad}
        self.statistics = {name: b for name, b in network.named_buffers() if b.is_floating_point()}
        self.averages: dict[str, Tensor] = {}
        self.count = 0

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Step `step` of the whole training was made; called in every process."""
        if step < self.from_step:
            return
        weights, statistics = list(self.weights.values()), list(self.statistics.values())
        new = weights + _mean_over_processes(statistics, self.world)
        if not self.averages:
            names = [*self.weights, *self.statistics]
            self.averages = {n: torch.zeros_like(t, dtype=self._dtype(t)) for n, t in zip(names, new, strict=True)}
        kept = list(self.averages.values())
        new = [tensor.to(average.dtype) for tensor, average in zip(new, kept, strict=True)]
        torch._foreach_lerp_(kept, new, self._part())
        self.count += 1

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Context in which the network has the averages; its own values come back afterwards, bit by bit."""
        own = [(self.weights | self.statistics)[name] for name in self.averages]
        before = [tensor.clone() for tensor in own]
        _copy(own, list(self.averages.values()))
        try:
            yield
        finally:
            _copy(own, before)

    @torch.no_grad()
    def keep_statistics(self) -> None:
        """The network's running statistics, computed anew with the averaged weights, replace their averages."""
        for name, own in self.statistics.items():
            if name in self.averages:
                self.averages[name].copy_(own)

    def state_dict(self) -> dict[str, Any]:
        """Number of averaged steps, and the averages by name."""
        return {"count": self.count, "averages": self.averages}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resumes from what `state_dict` gave."""
        own = self.weights | self.statistics
        self.count = state["count"]
        self.averages = {name: kept.to(own[name].device, copy=True) for name, kept in state["averages"].items()}

    def _part(self) -> float:
        """Part of the average that the next step's weights replace."""
        match self.kind:
            case "exponential":
                return 1 - min(self.decay, self.count / (9 + self.count))
            case "polyak":
                return 1 / (self.count + 1)
            case _:
                assert_never(self.kind)

    def _dtype(self, tensor: Tensor) -> torch.dtype:
        return torch.float64 if self.kind == "polyak" else tensor.dtype


def _mean_over_processes(statistics: Sequence[Tensor], world: World) -> list[Tensor]:
    """Means of statistics over all processes, in one message."""
    if world.size == 1 or not statistics:
        return list(statistics)
    whole = world.sum(torch.cat([tensor.flatten().to(world.device) for tensor in statistics])) / world.size
    parts = torch.split_with_sizes(whole, [tensor.numel() for tensor in statistics])
    return [part.view_as(own).to(own.device) for part, own in zip(parts, statistics, strict=True)]


@torch.no_grad()
def _copy(into: Sequence[Tensor], given: Sequence[Tensor]) -> None:
    for own, new in zip(into, given, strict=True):
        own.copy_(new)
