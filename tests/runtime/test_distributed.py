from pathlib import Path

import pytest
import small_training
import torch
import two_processes
from several_processes import run_script

from ilsvrc.config import registry
from ilsvrc.runtime.distributed import CPU, World, devices_of
from ilsvrc.training import build

# batch size, precision, steps -> the greatest difference, relative to the greatest weight
CASES = {(16, "float64", 20): 1e-10, (15, "float64", 20): 1e-10, (16, "float32", 3): 1e-4}


@pytest.fixture(scope="module")
def beton(tmp_path_factory) -> Path:
    return small_training.pack_digits(tmp_path_factory.mktemp("packed"), small_training.form()) / "train.beton"


@pytest.fixture(scope="module", params=CASES, ids=str)
def both(request, beton, tmp_path_factory) -> tuple[dict, dict, float]:
    """What one process and what two made of the same steps."""
    out = tmp_path_factory.mktemp("two") / "found.pt"
    words = map(str, (beton, *request.param, out))
    run_script(two_processes.__file__, *words, processes=2, folder=out.parent)
    return two_processes.train(beton, *request.param), torch.load(out), CASES[request.param]


def test_two_processes_make_the_weights_of_one(both):
    one, two, limit = both
    for name, expected in one["weights"].items():
        difference = (two["weights"][name] - expected).abs().max() / expected.abs().max()
        assert difference <= limit, name


def test_every_step_has_the_same_images_in_contiguous_shares(both):
    one, two, _ = both
    assert two["images"] == one["images"]
    (alone,) = one["shares"]
    assert [first + second for first, second in zip(*two["shares"], strict=True)] == alone


def test_history_is_over_the_images_of_both(both):
    one, two, limit = both
    for row, expected in zip(two["history"], one["history"], strict=True):
        for name in ("train_loss", "train_error_percent", "validation_loss", "validation_top1_error_percent"):
            assert row[name] == pytest.approx(expected[name], rel=10 * limit)


def test_plain_values_are_gathered_by_rank(both):
    assert both[1]["gathered"] == [[0, "é"], [1, "éé"]]
    assert World().all_gather({"a": [1, 2.5, None]}) == [{"a": [1, 2.5, None]}]


@pytest.mark.parametrize(
    ("place", "num_processes", "gpus", "numbers"),
    [(0, 1, 1, [0]), (2, 4, 4, [2]), (0, 1, 2, [0, 1]), (1, 2, 4, [2, 3])],
)
def test_processes_share_the_gpus_in_order(place, num_processes, gpus, numbers):
    assert devices_of(place, num_processes, gpus) == [torch.device("cuda", number) for number in numbers]


def test_without_gpus_every_process_stands_on_the_cpu():
    assert devices_of(1, 2, 0) == [CPU]


def test_gpus_that_processes_cannot_share_are_refused():
    with pytest.raises(ValueError, match="2 processes cannot share 3 GPUs evenly; leave processes at 0"):
        devices_of(0, 2, 3)


def test_a_process_with_two_devices_spreads_the_network_over_them():
    world = World(device=CPU, more_devices=(CPU,))
    network = build.place(registry.architecture("alexnet_two_gpu")(num_classes=2, input_px=67), world, torch.float32)
    assert network(torch.zeros(1, 3, 67, 67)).shape == (1, 2)
    with pytest.raises(ValueError, match="AlexNet stands on one GPU a process and 2 are given; leave processes at 0"):
        build.place(registry.architecture("alexnet")(num_classes=2, input_px=67), world, torch.float32)
