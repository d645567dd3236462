"""What is timed, and what of memory it takes."""

from collections import namedtuple

import pytest
import torch
from torch import nn

from ilsvrc.profiling import inference, memory, quiet, timing
from ilsvrc.profiling.cost_files import costs_text
from ilsvrc.profiling.energy import Counter
from ilsvrc.runtime import precision

CPU = torch.device("cpu")


class Small(nn.Module):
    """A convolution and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def test_costs_are_of_the_best_batch_that_fits(monkeypatch):
    monkeypatch.setattr(inference, "LATENCY_SECONDS", 0.01)
    monkeypatch.setattr(timing, "ROUNDS", 2)
    monkeypatch.setattr(inference, "SEARCH_SECONDS", 0.1)
    joules = iter(range(1000))
    counter = Counter("a test", lambda: [float(next(joules))], [float("inf")])
    of = inference.Pass(Small().eval(), 16, CPU)
    found = inference.measure(of, "float32", 8e9, counter)
    best = found.best_batch
    assert found.images_per_second == max(rate for size, rate in found.tried_batches.items() if size <= best)
    assert found.weight_bytes == 4 * (8 * 27 + 8 + 40 + 5)
    assert found.joules_an_image == 1 / found.latency.passes
    assert found.peak_bytes > found.weight_bytes + 4 * 8 * 14 * 14


def test_batches_that_do_not_fit_memory_are_not_tried():
    of = inference.Pass(Small().eval(), 16, CPU)
    found = inference.measure(of, "float32", 0.0, "not measured")
    assert (found.best_batch, list(found.tried_batches)) == (1, [1])
    assert found.joules_an_image is None
    assert found.best_batch_peak_bytes == found.peak_bytes


@pytest.mark.parametrize(
    ("seconds", "others", "busy"),
    [([1e-3] * 4, 0.2, False), ([1e-3] * 4, 1.5, True), ([1e-3, 2e-3, 4e-3, 8e-3], 0.2, True)],
)
def test_costs_say_how_far_repetitions_differ_and_whether_the_machine_was_busy(monkeypatch, seconds, others, busy):
    rounds = iter([1e-3, *seconds])  # the first is the warm-up
    monkeypatch.setattr(timing, "passes", lambda *given, **options: [next(rounds)] * 3)
    monkeypatch.setattr(quiet.OtherLoad, "cores", lambda self: others)
    found = inference.measure(inference.Pass(Small().eval(), 16, CPU), "float32", 0.0, "not measured")
    assert (found.busy_machine, found.other_cores) == (busy, others)
    assert found.spread == (pytest.approx(1.0) if seconds[1] > 1e-3 else 0.0)
    assert ("`ilsvrc remeasure` measures again" in costs_text(found)) is busy


def test_others_load_is_of_this_processes_cores_and_without_itself(monkeypatch):
    times = namedtuple("times", "user system idle guest")
    cores = iter([[times(10, 1, 50, 5), times(0, 0, 90, 0)], [times(12, 2, 50, 5), times(1, 0, 92, 0)]])
    clock, own = iter([100.0, 102.0]), iter([1.0, 2.0])
    monkeypatch.setattr(quiet.psutil, "cpu_times", lambda percpu: next(cores))
    monkeypatch.setattr(quiet.os, "sched_getaffinity", lambda process: {0, 1})
    monkeypatch.setattr(quiet.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(quiet.time, "process_time", lambda: next(own))
    assert quiet.OtherLoad().cores() == 1.5  # 4 seconds in 2, of which this process took 1
    assert [quiet.is_busy(load, cores) for load, cores in ((0.5, 2), (0.6, 2), (3.0, 32), (3.3, 32))] == [
        False, True, False, True,
    ]  # fmt: skip


def test_weights_that_are_cast_once_give_the_numbers_of_weights_that_are_cast_at_each_pass():
    network, images = Small().eval(), torch.randn(2, 3, 16, 16)
    with torch.inference_mode(), precision.autocast("bfloat16", CPU)():
        expected = network(images)
        found = inference.cast_weights(network, torch.bfloat16)(images)
    assert torch.equal(found, expected)
    assert memory.weight_bytes(network) == 2 * (8 * 27 + 8 + 40 + 5)
