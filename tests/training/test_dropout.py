import pytest
import torch
from torch import nn

from ilsvrc.config import registry
from ilsvrc.training.dropout import SharedDropout, draw_for_whole_batch, seed

DROPPING = ["alexnet", "inception_v3", "inception_v4", "ghostnet_1x", "fractalnet20_cifar", "levit_384", "xception"]


def rows(x: torch.Tensor, dropout: nn.Module, start: int, stop: int, step: int = 0) -> torch.Tensor:
    seed(1, step, slice(start, stop), len(x))
    return dropout(x[start:stop])


@pytest.mark.parametrize("whole_images", [False, True])
def test_two_processes_drop_what_one_drops(whole_images):
    x, dropout = torch.ones(8, 5, 3), SharedDropout(0.5, whole_images)
    alone = rows(x, dropout, 0, 8)
    assert torch.equal(torch.cat([rows(x, dropout, 0, 3), rows(x, dropout, 3, 8)]), alone)
    assert not torch.equal(rows(x, dropout, 0, 8, step=1), alone)
    assert set(alone.unique().tolist()) == {0.0, 2.0}


def test_drop_path_keeps_or_leaves_whole_images():
    dropped = rows(torch.ones(64, 4, 2, 2), SharedDropout(0.25, whole_images=True), 0, 64)
    assert all(len(image.unique()) == 1 for image in dropped)
    assert dropped.max().item() == pytest.approx(1 / 0.75)


def test_the_mean_stays():
    dropped = rows(torch.ones(100, 1000), SharedDropout(0.3), 0, 100)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)


def test_several_rows_of_an_image_stay_together():
    x, dropout = torch.ones(12, 4), SharedDropout(0.5)
    seed(0, 0, slice(0, 6), 6)
    alone = dropout(x)  # two rows for each of six images
    seed(0, 0, slice(2, 4), 6)
    assert torch.equal(dropout(x[4:8]), alone[4:8])


def test_nothing_is_dropped_in_testing_or_at_rate_zero():
    x = torch.ones(4, 3)
    assert torch.equal(rows(x, SharedDropout(0.5).eval(), 0, 4), x)
    assert torch.equal(rows(x, SharedDropout(0.0), 0, 4), x)


@pytest.mark.parametrize("name", DROPPING)
def test_every_draw_of_a_network_is_for_the_whole_batch(name):
    """A process with half of the rows leaves the generator where one with all of them leaves it."""
    input_px = registry.input_px(name)
    network = registry.architecture(name)(num_classes=3, input_px=input_px)
    draw_for_whole_batch(network)
    images = torch.randn(4, 3, input_px, input_px)
    left = []
    with torch.no_grad():
        for start, stop in ((0, 4), (0, 2), (2, 4)):
            seed(0, 0, slice(start, stop), 4)
            network.train()(images[start:stop])
            left.append(torch.get_rng_state())
    assert torch.equal(left[0], left[1])
    assert torch.equal(left[0], left[2])
    seed(0, 0, slice(0, 4), 4)
    assert not torch.equal(torch.get_rng_state(), left[0]), "nothing was drawn"
