"""Memory at the peak, held against cases of known sizes."""

import pytest
import torch
from torch import nn

from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.resnet_cifar import resnet_cifar
from ilsvrc.profiling import memory, training_memory
from ilsvrc.runtime.distributed import World
from ilsvrc.runtime.precision import autocast
from ilsvrc.training.loss import Objective
from ilsvrc.training.schedule import Schedule
from ilsvrc.training.state import Training

CPU = torch.device("cpu")
MEGABYTE = 250_000  # float32 values


def test_the_peak_is_of_what_is_held_at_once():
    def work():
        first = torch.empty(4 * MEGABYTE)
        second = torch.empty(8 * MEGABYTE)
        del first
        third = torch.empty(2 * MEGABYTE)
        return second, third

    assert memory.peaks([work], CPU) == [12_000_000]


def test_what_one_piece_of_work_leaves_is_held_in_the_next():
    kept = []
    works = [
        lambda: kept.append(torch.empty(3 * MEGABYTE)),
        lambda: torch.empty(2 * MEGABYTE),
        kept.clear,
        lambda: torch.empty(1 * MEGABYTE),
    ]
    assert memory.peaks(works, CPU) == [3_000_000, 5_000_000, 3_000_000, 1_000_000]


def test_weights_are_parameters_and_buffers():
    network = nn.Sequential(nn.Linear(10, 4), nn.BatchNorm1d(4))
    assert memory.weight_bytes(network) == 4 * (40 + 4 + 4 + 4 + 4 + 4) + 8  # the count of batches is int64


class Flat(Classifier):
    """One linear layer, without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 16 * 16, 1000, bias=False)

    def forward(self, x):
        return self.layer(x.flatten(1))


def prepared(network):
    schedule = Schedule("constant", 0.1, 1, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, foreach=False)
    objective = Objective(network, lambda images, *_: images.permute(0, 3, 1, 2).float())
    return Training(network, objective, optimizer, schedule, 4, 0, World(), autocast("float32", CPU))


def test_a_step_holds_weights_momentum_and_gradients_and_what_the_passes_need():
    weights = 4 * 3 * 16 * 16 * 1000
    found = training_memory.parts(prepared(Flat()), batch_size=4, input_px=16)
    assert found.held == 2 * weights + 4 * 3 * 16 * 16  # weights, momentum, the images' bytes
    assert weights < found.passes < 1.2 * weights  # the gradient, and little for four images
    assert weights <= found.update < 2.1 * weights


def test_the_same_step_takes_the_same_memory_again():
    def once():
        return training_memory.parts(prepared(resnet_cifar(depth=8)), batch_size=8, input_px=32).total

    assert once() == once()


def test_what_is_extended_from_smaller_batches_is_what_would_be_measured(monkeypatch):
    def prepare(size):
        return prepared(resnet_cifar(depth=8))

    monkeypatch.setattr(training_memory, "STEP_SECONDS", 1e9)
    measured = training_memory.peak(prepare, 32, 32, free_bytes=8e9)
    monkeypatch.setattr(training_memory, "STEP_SECONDS", 1e-9)
    extended = training_memory.peak(prepare, 32, 32, free_bytes=8e9)
    assert (measured.extended_from, extended.extended_from) == (None, (2, 4))
    assert extended.num_bytes == pytest.approx(measured.num_bytes, rel=0.1)


def test_a_batch_that_would_not_fit_is_not_tried():
    found = training_memory.peak(lambda size: prepared(resnet_cifar(depth=8)), 1024, 32, free_bytes=20e6)
    assert found.extended_from
    assert found.num_bytes > 200e6
