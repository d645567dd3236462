"""Costs of a network at test: latency, throughput, memory and energy of forward passes on noise."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ilsvrc.profiling import memory, quiet, timing
from ilsvrc.profiling.cost_files import TestCosts
from ilsvrc.profiling.energy import Counter

WARM_UP_SECONDS, LATENCY_SECONDS = 0.15, 0.3  # the latter a round, of which there are two or more
BATCH_SECONDS = 0.1  # of each batch that is tried
SEARCH_SECONDS = 1.2  # of all of them; a slow network gets 16 single images' time, but no more than
MAX_SEARCH_SECONDS = 20.0
MEMORY_SHARE = 0.5  # of what is free

Work = TypeVar("Work")


class Pass:
    """Forward passes of a network on noise, on its device."""

    def __init__(
        self,
        network: nn.Module,
        input_px: int,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.network, self.input_px, self.device, self.autocast = network, input_px, device, autocast

    def noise(self, batch_size: int) -> Tensor:
        """Normalized images: standard normal noise, float32 `[N, 3, H, W]`, channels last."""
        shape = (batch_size, 3, self.input_px, self.input_px)
        return torch.randn(shape, device=self.device).to(memory_format=torch.channels_last)

    def of(self, images: Tensor) -> Callable[[], Tensor]:
        """A pass of `images`, done when it returns."""

        def run() -> Tensor:
            with torch.inference_mode(), self.autocast():
                logits: Tensor = self.network(images)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            return logits

        return run


def cast_weights(network: nn.Module, dtype: torch.dtype | None) -> nn.Module:
    """Weights that autocast would cast at each pass, cast once, as one would for use: the numbers are the same."""
    for module in network.modules():
        if dtype and isinstance(module, (nn.Conv2d, nn.Linear)):
            module.to(dtype)
    return network


def measure(of: Pass, precision: str, free_bytes: int, energy: Counter | str) -> TestCosts:
    """Latency at batch 1, throughput at the best batch, and the memory and energy of both.

    Both are repeated until they agree within timing.MAX_SPREAD; where they do not, or other processes keep cores busy
    (`quiet.is_busy`), the costs are marked as of a busy machine.

    Args:
        of: the network.
        precision: the name of what it computes in.
        free_bytes: what the device has free; larger batches than fit half of it are not tried.
        energy: the machine's counter, or why it has none.
    """
    others, one = quiet.OtherLoad(), of.of(of.noise(1))
    timing.passes(one, WARM_UP_SECONDS, at_least=2)
    weights = memory.weight_bytes(of.network)
    peak = weights + memory.peaks([one], of.device)[0]
    found, joules = _with_energy(lambda: timing.settled(lambda: timing.passes(one, LATENCY_SECONDS)), energy)
    latency = timing.latency(found.seconds)
    joules_an_image = None if joules is None else joules / found.passes
    search = _Search(of, weights, peak, free_bytes * MEMORY_SHARE, latency.median_ms / 1e3, energy)
    best, rates = timing.best_batch(search.seconds_of, latency.median_ms / 1e3)
    rates[best], spread = search.settled(best, rates[best])
    spread, other_cores = max(found.spread, spread), others.cores()
    return TestCosts(
        precision=precision,
        latency=latency,
        images_per_second=rates[best],
        best_batch=best,
        tried_batches=rates,
        weight_bytes=weights,
        peak_bytes=peak,
        best_batch_peak_bytes=peak if best == 1 else weights + memory.peaks([of.of(of.noise(best))], of.device)[0],
        joules_an_image=joules_an_image,
        best_batch_joules_an_image=search.joules.get(best, joules_an_image),
        spread=spread,
        other_cores=other_cores,
        busy_machine=spread > timing.MAX_SPREAD or quiet.is_busy(other_cores),
    )


class _Search:
    """Times batches, as long as they fit memory and what time is left."""

    def __init__(
        self, of: Pass, weights: int, peak: int, free_bytes: float, alone: float, energy: Counter | str
    ) -> None:
        self.of, self.weights, self.an_image, self.free = of, weights, peak - weights, free_bytes
        self.seconds_an_image, self.energy = alone, energy
        self.left = min(MAX_SEARCH_SECONDS, max(SEARCH_SECONDS, 16 * alone))
        self.joules: dict[int, float | None] = {}

    def settled(self, batch_size: int, rate: float) -> tuple[float, float]:
        """A batch's images a second and their spread, repeated while time is left; `rate` and 0 where there is none."""
        seconds = batch_size / rate
        if batch_size == 1 or 2 * seconds > self.left:
            return rate, 0.0
        run = self.of.of(self.of.noise(batch_size))
        run()
        rounds = 1 + min(timing.ROUNDS, max(1, int(self.left / max(BATCH_SECONDS, 2 * seconds))))
        again = timing.settled(lambda: timing.passes(run, BATCH_SECONDS, at_least=2), rounds)
        return max(rate, batch_size / again.median), again.spread

    def seconds_of(self, batch_size: int) -> float | None:
        """Median seconds of a pass; None where it does not fit."""
        expected = 3 * batch_size * self.seconds_an_image  # a pass to warm up, two that count
        if expected > self.left or self.weights + self.an_image * batch_size > self.free:
            return None
        try:
            run = self.of.of(self.of.noise(batch_size))
            run()
            times, joules = _with_energy(lambda: timing.passes(run, BATCH_SECONDS, at_least=2), self.energy)
        except torch.OutOfMemoryError:
            return None
        self.joules[batch_size] = None if joules is None else joules / (len(times) * batch_size)
        self.left -= sum(times) * (1 + 1 / len(times))
        median = timing.latency(times).median_ms / 1e3
        self.seconds_an_image = median / batch_size
        return median


def _with_energy(work: Callable[[], Work], energy: Counter | str) -> tuple[Work, float | None]:
    """The result of `work`, and the joules that it took; None where the machine has no counter."""
    if isinstance(energy, str):
        return work(), None
    before = energy.read()
    done = work()
    return done, energy.between(before, energy.read())
