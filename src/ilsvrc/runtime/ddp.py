"""Distributed data parallel training with equal rounding of gradients at every step, also the first after a resume."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ilsvrc.runtime.batch_rng import other_batch_rng


class Replicas(DistributedDataParallel):
    """DistributedDataParallel whose gradient buckets do not change during training.

    torch rebuilds its buckets before the second pass, in the order of the first pass's gradients, and a gradient's
    place in its bucket decides the order in which three or more processes' gradients are added. A resumed training
    would round its first step differently. So a pass without effect precedes the first one. Its random numbers are
    always the same, since a network's random numbers may change the order.
    """

    settled = False

    def forward(self, *inputs: Any) -> Any:
        """Output of the wrapped module: a tuple that begins with the loss."""
        if not self.settled and torch.is_grad_enabled():
            self.settled = True
            self._settle(inputs)
        return super().forward(*inputs)  # type: ignore[no-untyped-call]

    def _settle(self, inputs: tuple[Any, ...]) -> None:
        synchronizes, self.require_backward_grad_sync = self.require_backward_grad_sync, True
        with preserved_state(self.module):
            super().forward(*inputs)[0].backward()  # type: ignore[no-untyped-call]
        self.require_backward_grad_sync = synchronizes
        for parameter in self.module.parameters():
            parameter.grad = None


@contextmanager
def preserved_state(module: nn.Module) -> Iterator[None]:
    """Restores buffers and the states of random generators at the end."""
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    devices = {buffer.device for buffer, _ in buffers} | {p.device for p in module.parameters()}
    cuda = [device for device in devices if device.type == "cuda"]
    with torch.random.fork_rng(cuda), other_batch_rng(0):
        torch.manual_seed(0)
        yield
    with torch.no_grad():
        for buffer, kept in buffers:
            buffer.copy_(kept)
