import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from several_processes import run_script
from torch import Tensor, nn

from ilsvrc.runtime.distributed import World, process_group
from ilsvrc.training.batch_norm import group_statistics
from ilsvrc.training.weight_averaging import WeightAverage

IMAGES, WEIGHTS = 8, [4.0, -1.0, 7.0, 2.0, 5.0]


class Single(nn.Module):
    """A weight, a running statistic and a count."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("running_mean", torch.zeros(1))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def take(self, value: float) -> None:
        with torch.no_grad():
            self.weight.fill_(value)
            self.running_mean.fill_(-value)
            self.num_batches_tracked.add_(1)


def averages(kind: str, decay: float = 0.9999, from_step: int = 0) -> list[float]:
    """The weight that is tested after each step."""
    network, found = Single(), []
    average = WeightAverage(network, kind, decay, from_step)
    for step, weight in enumerate(WEIGHTS):
        network.take(weight)
        average.update(step)
        with average.swapped():
            found.append(network.weight.item())
            assert network.running_mean.item() == -found[-1] and network.num_batches_tracked == step + 1
        assert network.weight.item() == weight and network.running_mean.item() == -weight
    return found


def test_polyak_is_the_plain_mean_of_the_weights_after_each_step():
    assert averages("polyak") == pytest.approx([4, 1.5, 10 / 3, 3, 3.4])


def test_an_average_begins_at_its_first_step():
    assert averages("polyak", from_step=2) == pytest.approx([4, -1, 7, 4.5, 14 / 3])
    assert averages("exponential", 0.0, from_step=2) == pytest.approx(WEIGHTS)


def test_exponential_forgets_by_its_decay():
    a = 4.0
    expected = [a, a := 0.1 * a - 0.9, a := 0.15 * a + 0.85 * 7, a := 0.15 * a + 0.85 * 2, 0.15 * a + 0.85 * 5]
    assert averages("exponential", 0.15) == pytest.approx(expected)


def test_exponential_forgets_its_first_weights_as_tensorflows_does():
    expected = [WEIGHTS[0]]
    for updates, weight in enumerate(WEIGHTS[1:]):
        decay = min(0.9999, (1 + updates) / (10 + updates))
        expected.append(decay * expected[-1] + (1 - decay) * weight)
    assert averages("exponential") == pytest.approx(expected)


def test_polyak_still_moves_after_millions_of_steps():
    network = Single()
    average = WeightAverage(network, "polyak")
    network.take(1.0)
    average.update(0)
    average.count = 10**8
    network.take(2.0)
    average.update(1)
    assert average.averages["weight"].item() == pytest.approx(1 + 1e-8, abs=1e-12)


def test_what_wants_no_gradient_is_not_averaged():
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    average = WeightAverage(network, "polyak")
    average.update(0)
    assert list(average.averages) == ["weight"]


def test_a_failure_inside_gives_the_weights_back():
    network = Single()
    average = WeightAverage(network, "polyak")
    network.take(1.0), average.update(0), network.take(3.0)
    with pytest.raises(KeyError), average.swapped():
        raise KeyError
    assert network.weight.item() == 3


@pytest.mark.parametrize("kind", ["exponential", "polyak"])
def test_an_average_goes_on_exactly_as_if_it_had_not_stopped(kind: str, tmp_path):
    def steps(network: nn.Module, average: WeightAverage, numbers: range) -> None:
        for number in numbers:
            noise = torch.Generator().manual_seed(number)
            for tensor in (network.weight.data, network.running_mean):
                tensor.copy_(torch.randn(1, generator=noise))
            average.update(number)

    whole, resumed = Single(), Single()
    average, anew = WeightAverage(whole, kind, 0.2, 1), WeightAverage(resumed, kind, 0.2, 1)
    steps(whole, average, range(4))
    torch.save(average.state_dict(), tmp_path / "state.pt")
    anew.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    steps(whole, average, range(4, 8)), steps(resumed, anew, range(4, 8))
    assert anew.count == average.count == 7
    assert all(torch.equal(anew.averages[name], kept) for name, kept in average.averages.items())


def test_an_average_that_has_not_begun_is_kept_too():
    early, anew = WeightAverage(Single(), "polyak", from_step=5), WeightAverage(Single(), "polyak", from_step=5)
    early.update(4)
    anew.load_state_dict(early.state_dict())
    assert (anew.count, anew.averages) == (0, {})


def trained(world: World) -> list[Tensor]:
    """The averages after three steps on eight images, whose batch norm has groups of four."""
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).double()
    for p in network.parameters():
        nn.init.normal_(p, generator=torch.Generator().manual_seed(1))
    group_statistics(network, 4, IMAGES, world)
    average = WeightAverage(network, "exponential", 0.5, world=world)
    share = slice(world.rank * IMAGES // world.size, (world.rank + 1) * IMAGES // world.size)
    for step in range(3):
        noise = torch.Generator().manual_seed(step)
        network(torch.randn(IMAGES, 3, 2, 2, generator=noise, dtype=torch.float64)[share] * (step + 1))
        average.update(step)
    return list(average.averages.values())


def test_two_processes_average_what_one_does(tmp_path):
    run_script(__file__, str(tmp_path), processes=2, folder=tmp_path)
    each = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for one, *two in zip(trained(World()), *each, strict=True):
        torch.testing.assert_close(two[0], one, rtol=1e-12, atol=1e-12)
        assert all(torch.equal(mine, other) for mine, other in pairwise(two))


if __name__ == "__main__":
    with process_group(gpus=0) as world:
        torch.save(trained(world), Path(sys.argv[1]) / f"{world.rank}.pt")
