"""Processes that train one network together: who this one is, and what they add up."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ilsvrc.runtime.ddp import Replicas

CPU = torch.device("cpu")
LONGEST_WAIT = timedelta(minutes=10)  # for another process; one that died is noticed at once
WAITED = re.compile(r"tim(ed|e) ?out", re.IGNORECASE)  # what gloo, NCCL and their stores say after it


@dataclass(frozen=True)
class World:
    """This process among those of a training."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU
    more_devices: tuple[torch.device, ...] = ()  # that this process has beside `device`

    @property
    def is_main(self) -> bool:
        """The one process that writes and speaks."""
        return self.rank == 0

    def rows(self, batch_size: int) -> range:
        """This process's images of a batch of `batch_size` over all processes."""
        return range(self.rank * batch_size // self.size, (self.rank + 1) * batch_size // self.size)

    def sum(self, values: Tensor) -> Tensor:
        """`values` added up over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def agreement(self, stop: bool, due: bool, wait: int) -> tuple[bool, bool, int]:
        """`stop` where any process wants it; what the main process says of `due` and `wait`, in every process."""
        if self.size == 1:
            return stop, due, wait
        own = [due, wait] if self.is_main else [0, 0]
        stop, due, wait = self.sum(torch.tensor([stop, *own], dtype=torch.float64, device=self.device)).tolist()
        return bool(stop), bool(due), int(wait)

    def first(self, mine: int, none: int, what: Tensor) -> tuple[int, list[int]]:
        """The lowest of every process's `mine`, and the `what` (numbers `[N]`) of the process that has it.

        `mine` is `none` where a process has none; where no process has one, so is the lowest.
        """
        if self.size == 1:
            return mine, what.tolist()
        lowest = torch.tensor(mine, device=self.device)
        dist.all_reduce(lowest, dist.ReduceOp.MIN)
        if lowest == none:
            return none, []
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, (mine, what.tolist()))
        return int(lowest), next(theirs for own, theirs in found if own == lowest)

    def everyones(self, value: Any) -> list[Any]:
        """`value` (plain) of each process."""
        found = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(found, value)
        return found

    def hangs(self, error: BaseException) -> str:
        """What to tell of `error` where another process did not answer in time; empty of any other."""
        if self.size == 1 or not isinstance(error, RuntimeError) or not WAITED.search(str(error)):
            return ""
        return (
            f"process {self.rank} of {self.size} waited {LONGEST_WAIT.total_seconds():g} s for another one that no "
            "longer answers: its disk, memory or GPU hangs, or someone stopped it; the same command goes on from the "
            "last checkpoint"
        )

    def wrap(self, objective: nn.Module) -> nn.Module:
        """`objective`, with gradients averaged over the processes as they are computed.

        Buffers stay apart while training (`average_buffers` brings them together).
        """
        if self.size == 1:
            return objective
        devices = [self.device] if self.device.type == "cuda" and not self.more_devices else None
        return Replicas(objective, device_ids=devices, forward_sync_buffers=False, gradient_as_bucket_view=True)

    @torch.no_grad()
    def everyones_buffers(self, network: nn.Module) -> list[Tensor]:
        """Each process's running statistics, one vector a process, on the CPU; none where there is one process."""
        if self.size == 1:
            return []
        mine = torch.cat([buffer.flatten().double() for buffer in _running(network)] or [torch.zeros(0).double()])
        all_of_them = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(all_of_them, mine.to(self.device))
        return [vector.cpu() for vector in all_of_them]

    @torch.no_grad()
    def take_buffers(self, network: nn.Module, everyones: Sequence[Tensor]) -> None:
        """This process's part of `everyones_buffers`; where there were more or fewer processes, the mean."""
        if not everyones:
            return
        vector = everyones[self.rank] if len(everyones) == self.size else torch.stack(list(everyones)).mean(dim=0)
        at = 0
        for buffer in _running(network):
            buffer.copy_(vector[at : at + buffer.numel()].view_as(buffer))
            at += buffer.numel()

    @torch.no_grad()
    def average_buffers(self, network: nn.Module) -> None:
        """Running statistics become the processes' mean.

        They are linear in what each step adds, so this is what averaging at every step would have given.
        """
        if self.size > 1:
            for buffer in _running(network):
                dist.all_reduce(buffer)
                buffer /= self.size


def _running(network: nn.Module) -> list[Tensor]:
    return [buffer for buffer in network.buffers() if buffer.is_floating_point()]


@contextmanager
def joined(gpus: int) -> Iterator[World]:
    """This process's place, from torchrun's environment variables; alone where there are none.

    The processes share `gpus` evenly; with 0 they stand on the CPU.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device, *more = devices_of(int(os.environ.get("LOCAL_RANK", "0")), size, gpus)
    if gpus:
        torch.cuda.set_device(device)
    if size > 1:
        backend = "nccl" if gpus else "gloo"
        dist.init_process_group(backend, device_id=device if gpus else None, timeout=LONGEST_WAIT)
    try:
        yield World(rank, size, device, tuple(more))
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def devices_of(place: int, num_processes: int, gpus: int) -> list[torch.device]:
    """The devices of the process at `place` of a machine's `num_processes`.

    Raises:
        ValueError: the processes do not share the GPUs evenly.
    """
    if not gpus:
        return [CPU]
    if gpus % num_processes:
        raise ValueError(
            f"{num_processes} processes cannot share {gpus} GPUs evenly; leave processes at 0 (one a GPU) in the "
            "profile"
        )
    share = gpus // num_processes
    return [torch.device("cuda", number) for number in range(place * share, (place + 1) * share)]
