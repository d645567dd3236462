"""What is timed, and what of memory it takes."""

import torch
from torch import nn

from ilsvrc.profiling import inference, memory
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
    monkeypatch.setattr(inference, "LATENCY_SECONDS", 0.02)
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


def test_weights_that_are_cast_once_give_the_numbers_of_weights_that_are_cast_at_each_pass():
    network, images = Small().eval(), torch.randn(2, 3, 16, 16)
    with torch.inference_mode(), precision.autocast("bfloat16", CPU)():
        expected = network(images)
        found = inference.cast_weights(network, torch.bfloat16)(images)
    assert torch.equal(found, expected)
    assert memory.weight_bytes(network) == 2 * (8 * 27 + 8 + 40 + 5)
