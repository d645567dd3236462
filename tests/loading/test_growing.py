"""Crops whose side changes from epoch to epoch."""

import threading
from pathlib import Path

import pytest
import torch

from ilsvrc.loading.batches import Batch, open_training
from ilsvrc.loading.random_crops import CropPolicy

LOADERS = ("ffcv", "pillow")
SIDES = (24, 24, 32, 40)  # of epochs
LOOK = CropPolicy("rectangle", 40, short_side_px=(48, 80))


def crop_px_in(epoch: int) -> int:
    return SIDES[epoch]


def growing(loader: str, beton: Path, **options: object):
    return open_training(loader, beton, policy=LOOK, batch_size=12, seed=5, crop_px_in=crop_px_in, **options)


def of_one_side(loader: str, beton: Path, policy: CropPolicy, epoch: int) -> list[Batch]:
    opened = open_training(loader, beton, policy=policy, batch_size=12, seed=5)
    found = list(opened.epoch(epoch))
    opened.close()
    return found


def equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("loader", LOADERS)
def test_an_epochs_crops_are_those_of_a_look_of_its_side_whatever_came_before(jpeg_beton, loader: str):
    opened = growing(loader, jpeg_beton)
    for epoch in (0, 1, 2, 3, 1, 2):
        found = list(opened.epoch(epoch))
        assert {batch.images.shape[1:] for batch in found} == {(SIDES[epoch], SIDES[epoch], 3)}
        expected = of_one_side("pillow", jpeg_beton, LOOK.at(SIDES[epoch]), epoch)
        assert all(equal(one, other) for one, other in zip(found, expected, strict=True))
    opened.close()


@pytest.mark.parametrize("loader", LOADERS)
def test_an_epoch_resumed_at_a_step_goes_on_as_it_would_have(jpeg_beton, loader: str):
    whole = of_one_side(loader, jpeg_beton, LOOK.at(32), 2)
    opened = growing(loader, jpeg_beton)
    rest = list(opened.epoch(2, start_step=2))
    opened.close()
    assert [equal(one, other) for one, other in zip(rest, whole[2:], strict=True)] == [True, True]


def test_processes_share_what_one_alone_sees(jpeg_beton):
    alone = list(growing("ffcv", jpeg_beton).epoch(2))
    shares = [list(growing("ffcv", jpeg_beton, rank=rank, world_size=3).epoch(2)) for rank in range(3)]
    for step, batch in enumerate(alone):
        together = torch.cat([share[step].images for share in shares])
        assert torch.equal(together, batch.images)


def test_no_thread_of_an_earlier_side_is_left(jpeg_beton):
    opened = growing("ffcv", jpeg_beton)
    before = threading.active_count()
    for epoch in (0, 2, 3, 0):
        next(opened.epoch(epoch))
        assert threading.active_count() <= before + 1
    opened.close()
    assert threading.active_count() == before


def test_noise_grows_too(jpeg_beton):
    opened = growing("synthetic", jpeg_beton)
    assert [next(opened.epoch(epoch)).images.shape[1] for epoch in range(4)] == list(SIDES)


def test_a_look_in_another_size_is_in_proportion():
    small = LOOK.at(20)
    assert (small.crop_px, small.short_side_px) == (20, (24, 40))
    assert CropPolicy("padding", 32, padding_px=4).at(24).padding_px == 3
    assert CropPolicy("patch", 224).at(112).short_side_range == (128, 128)
    assert LOOK.at(40) == LOOK
