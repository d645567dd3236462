"""A network in several processes, whose gradients are rounded alike at every step, the first after a start too."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ilsvrc.runtime.batch_rng import other_batch_rng


class Replicas(DistributedDataParallel):
    """Averages gradients over processes as they are computed, in buckets that do not change while it trains.

    torch lays its buckets anew before the second pass, in the order in which the first one's gradients came, and where
    a gradient stands in its bucket says in which order three or more processes' are added up. A training that was
    taken up again would round its first step differently. So a pass that counts for nothing goes before the first; it
    draws alike whenever that is, since what a network draws may change the order.
    """

    settled = False

    def forward(self, *inputs: Any) -> Any:
        """What the wrapped module gives, a tuple whose first part is its loss."""
        if not self.settled and torch.is_grad_enabled():
            self.settled = True
            self._settle(inputs)
        return super().forward(*inputs)  # type: ignore[no-untyped-call]

    def _settle(self, inputs: tuple[Any, ...]) -> None:
        synchronizes, self.require_backward_grad_sync = self.require_backward_grad_sync, True
        with as_if_nothing_happened(self.module):
            super().forward(*inputs)[0].backward()  # type: ignore[no-untyped-call]
        self.require_backward_grad_sync = synchronizes
        for parameter in self.module.parameters():
            parameter.grad = None


@contextmanager
def as_if_nothing_happened(module: nn.Module) -> Iterator[None]:
    """Buffers, and what is drawn after, are as they were before."""
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    devices = {buffer.device for buffer, _ in buffers} | {p.device for p in module.parameters()}
    cuda = [device for device in devices if device.type == "cuda"]
    with torch.random.fork_rng(cuda), other_batch_rng(0):
        torch.manual_seed(0)
        yield
    with torch.no_grad():
        for buffer, kept in buffers:
            buffer.copy_(kept)
