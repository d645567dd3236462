"""Processes that train one network together: who this one is, and what they add up."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

CPU = torch.device("cpu")


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

    def sum(self, values: Tensor) -> Tensor:
        """`values` added up over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def agrees(self, mine: bool) -> bool:
        """What the main process says, in every process."""
        said = torch.tensor(float(mine and self.is_main), device=self.device)
        return bool(self.sum(said))

    def wrap(self, objective: nn.Module) -> nn.Module:
        """`objective`, with gradients averaged over the processes as they are computed.

        Buffers stay apart while training (`average_buffers` brings them together).
        """
        if self.size == 1:
            return objective
        devices = [self.device] if self.device.type == "cuda" and not self.more_devices else None
        return DistributedDataParallel(
            objective, device_ids=devices, forward_sync_buffers=False, gradient_as_bucket_view=True
        )

    @torch.no_grad()
    def average_buffers(self, network: nn.Module) -> None:
        """Running statistics become the processes' mean.

        They are linear in what each step adds, so this is what averaging at every step would have given.
        """
        for buffer in network.buffers():
            if self.size > 1 and buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= self.size


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
        dist.init_process_group("nccl" if gpus else "gloo", device_id=device if gpus else None)
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
