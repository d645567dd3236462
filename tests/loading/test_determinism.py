"""Training batches bit for bit: threads, processes and resumed epochs, each in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

JOB = """
import sys
import torch
from ilsvrc.loading.batches import open_training
from ilsvrc.loading.random_crops import CropPolicy
beton, result, workers, rank, world_size, start_step = *sys.argv[1:3], *map(int, sys.argv[3:])
share = dict(rank=rank, world_size=world_size, workers=workers)
options = {
    "area_aspect": dict(crop="area_aspect", crop_px=32, flip=True),
    "repeats": dict(policy=CropPolicy("area_aspect", 32, interpolation="random"), repeats=3),
    "rectangle": dict(policy=CropPolicy("rectangle", 32, short_side_px=(32, 60)), order="quasi_random"),
    "padding": dict(policy=CropPolicy("padding", 32, padding="reflect", interpolation="random")),
}
found = {}
for name, asked in options.items():
    opened = open_training("auto", beton, **asked, batch_size=12, seed=5, **share)
    if start_step == 0:
        next(opened.epoch(2))  # left in the middle
    found[name] = [tuple(batch) for batch in opened.epoch(3, start_step)]
    opened.close()
torch.save(found, result)
"""
LOOKS = ("area_aspect", "repeats", "rectangle", "padding")
JOBS = {  # workers, rank, processes, first step
    "one thread": (1, 0, 1, 0),
    "four threads": (4, 0, 1, 0),
    "first of two processes": (2, 0, 2, 0),
    "second of two processes": (2, 1, 2, 0),
    "resumed": (2, 0, 1, 2),
}


@pytest.fixture(scope="module")
def seen(request, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[tuple[torch.Tensor, ...]]]]:
    """The batches of an epoch that each job saw, by policy."""
    beton: Path = request.getfixturevalue("jpeg_beton")
    folder = tmp_path_factory.mktemp("jobs")

    def start(name: str) -> "subprocess.Popen[bytes]":
        words = map(str, JOBS[name])
        return subprocess.Popen([sys.executable, "-c", JOB, beton, folder / name, *words])

    assert [job.wait() for job in [start(name) for name in JOBS]] == [0] * len(JOBS)
    return {name: torch.load(folder / name) for name in JOBS}


@pytest.fixture(params=LOOKS)
def epochs(request, seen) -> dict[str, list[tuple[torch.Tensor, ...]]]:
    """Those of one policy."""
    return {name: policy_options[request.param] for name, policy_options in seen.items()}


def equal(some: list[tuple[torch.Tensor, ...]], others: list[tuple[torch.Tensor, ...]]) -> bool:
    pairs = zip(some, others, strict=True)
    return all(torch.equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


def test_four_threads_make_the_batches_of_one(epochs):
    assert len(epochs["one thread"]) == 4
    assert equal(epochs["one thread"], epochs["four threads"])


def test_two_processes_make_the_batches_of_one(epochs):
    halves = zip(epochs["first of two processes"], epochs["second of two processes"], strict=True)
    joined = [tuple(torch.cat(parts) for parts in zip(*both, strict=True)) for both in halves]
    assert equal(epochs["one thread"], joined)


def test_a_resumed_epoch_is_the_rest_of_the_uninterrupted_one(epochs):
    assert equal(epochs["one thread"][2:], epochs["resumed"])
