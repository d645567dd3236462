"""The process group of a training: rank, devices and reductions of this process."""

import json
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

from ilsvrc.runtime import rendezvous, stop_signal
from ilsvrc.runtime.ddp import Replicas

CPU = torch.device("cpu")
LONGEST_WAIT = timedelta(minutes=10)  # for another process; one that died is noticed at once
TIMED_OUT = re.compile(r"tim(ed|e) ?out", re.IGNORECASE)  # as gloo, NCCL and their stores say it


@dataclass(frozen=True)
class World:
    """Rank and devices of this process in the process group of a training."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU
    more_devices: tuple[torch.device, ...] = ()  # that this process has beside `device`

    @property
    def is_main(self) -> bool:
        """True of the process that writes files and messages."""
        return self.rank == 0

    def rows(self, batch_size: int) -> range:
        """This process's shard of a batch of `batch_size` images."""
        return range(self.rank * batch_size // self.size, (self.rank + 1) * batch_size // self.size)

    def sum(self, values: Tensor) -> Tensor:
        """Sum of `values` over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def agreement(self, stop: bool, due: bool, wait: int) -> tuple[bool, bool, int]:
        """`stop` of any process, and `due` and `wait` of the main process, in every process."""
        if self.size == 1:
            return stop, due, wait
        own = [due, wait] if self.is_main else [0, 0]
        stop, due, wait = self.sum(torch.tensor([stop, *own], dtype=torch.float64, device=self.device)).tolist()
        return bool(stop), bool(due), int(wait)

    def first(self, position: int, none: int, values: Tensor) -> tuple[int, list[int]]:
        """Minimum of the processes' `position`s, and the `values` `[N]` of the process that has it.

        `none`, with no values, if each process's position is `none`.
        """
        if self.size == 1:
            return position, values.tolist()
        lowest = torch.tensor(position, device=self.device)
        dist.all_reduce(lowest, dist.ReduceOp.MIN)
        if lowest == none:
            return none, []
        found = self.all_gather([position, values.tolist()])
        return int(lowest), next(remote for place, remote in found if place == lowest)

    def all_gather(self, value: Any) -> list[Any]:
        """`value`, as JSON has it, of each process, by rank; nothing that comes from elsewhere is unpickled."""
        content = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = torch.zeros(self.size, dtype=torch.int64, device=self.device)
        lengths[self.rank] = len(content)
        longest = int(self.sum(lengths).max())
        rows = torch.zeros((self.size, longest), dtype=torch.uint8, device=self.device)
        rows[self.rank, : len(content)] = content
        found = zip(self.sum(rows).tolist(), lengths.tolist(), strict=True)
        return [json.loads(bytes(row[:length])) for row, length in found]

    def hangs(self, error: BaseException) -> str:
        """Message on an `error` that means that another process did not answer in time; empty for other errors."""
        if self.size == 1 or not isinstance(error, RuntimeError) or not TIMED_OUT.search(str(error)):
            return ""
        return (
            f"process {self.rank} of {self.size} waited {LONGEST_WAIT.total_seconds():g} s for another one that no "
            "longer answers: its disk, memory or GPU hangs, or someone stopped it; the same command goes on from the "
            "last checkpoint"
        )

    def wrap(self, objective: nn.Module) -> nn.Module:
        """`objective` with gradients averaged over the processes.

        Each process keeps its own buffers during training; `average_buffers` averages them.
        """
        if self.size == 1:
            return objective
        devices = [self.device] if self.device.type == "cuda" and not self.more_devices else None
        return Replicas(objective, device_ids=devices, forward_sync_buffers=False, gradient_as_bucket_view=True)

    @torch.no_grad()
    def gather_buffers(self, network: nn.Module) -> list[Tensor]:
        """Running statistics of each process, one vector a process, on the CPU; empty if there is one process."""
        if self.size == 1:
            return []
        local = torch.cat([buffer.flatten().double() for buffer in _running(network)] or [torch.zeros(0).double()])
        all_of_them = [torch.empty_like(local) for _ in range(self.size)]
        dist.all_gather(all_of_them, local.to(self.device))
        return [vector.cpu() for vector in all_of_them]

    @torch.no_grad()
    def restore_buffers(self, network: nn.Module, gathered: Sequence[Tensor]) -> None:
        """Restores this process's part of `gather_buffers`; their mean if the number of processes differs."""
        if not gathered:
            return
        vector = gathered[self.rank] if len(gathered) == self.size else torch.stack(list(gathered)).mean(dim=0)
        at = 0
        for buffer in _running(network):
            buffer.copy_(vector[at : at + buffer.numel()].view_as(buffer))
            at += buffer.numel()

    @torch.no_grad()
    def average_buffers(self, network: nn.Module) -> None:
        """Replaces running statistics by the mean over the processes.

        They are linear in what each step adds, so this is what averaging at every step would have given.
        """
        if self.size > 1:
            for buffer in _running(network):
                dist.all_reduce(buffer)
                buffer /= self.size


def _running(network: nn.Module) -> list[Tensor]:
    return [buffer for buffer in network.buffers() if buffer.is_floating_point()]


@contextmanager
def process_group(gpus: int) -> Iterator[World]:
    """Joins the process group that the launcher's environment variables describe; a single process without them.

    The processes share `gpus` evenly; with 0 they run on the CPU.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device, *more = devices_of(int(os.environ.get("LOCAL_RANK", "0")), size, gpus)
    if gpus:
        torch.cuda.set_device(device)
    if size > 1:
        with stop_signal.left_to_the_kernel():
            store, bound = rendezvous.store(rank, size), device if gpus else None
            store.set_timeout(LONGEST_WAIT)
            backend = "nccl" if gpus else "gloo"
            dist.init_process_group(
                backend, store=store, rank=rank, world_size=size, device_id=bound, timeout=LONGEST_WAIT
            )  # fmt: skip
    try:
        yield World(rank, size, device, tuple(more))
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def devices_of(place: int, num_processes: int, gpus: int) -> list[torch.device]:
    """Devices of the process with the local rank `place` of `num_processes`.

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
