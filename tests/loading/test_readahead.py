"""What the kernel is told, and that a quasi-random order reads long pieces and still mixes."""

import numpy as np
import pytest

from ilsvrc.loading import readahead
from ilsvrc.loading.batches import open_training
from ilsvrc.packing.beton import Packed, open_packed
from ilsvrc.runtime import counter_rng

WILLNEED, DONTNEED = readahead.os.POSIX_FADV_WILLNEED, readahead.os.POSIX_FADV_DONTNEED
LOOK = {"crop": "patch", "crop_px": 32, "flip": True, "seed": 3}


@pytest.fixture
def asked(monkeypatch) -> list[tuple[int, int, int]]:
    """Offset, size and advice of each call."""
    heard: list[tuple[int, int, int]] = []
    monkeypatch.setattr(readahead.os, "posix_fadvise", lambda file, *what: heard.append(what))
    return heard


def spread_out(path, num_images: int, size: int = 1000) -> Packed:
    """Tables of images that lie one behind the other."""
    path.touch()
    counted, zeros = np.arange(num_images), np.zeros(num_images, np.int64)
    return Packed(path, zeros, zeros, zeros, counted * size, zeros + size, zeros)


def test_a_random_order_is_announced_image_by_image_two_batches_early(jpeg_beton, asked):
    packed = open_packed(jpeg_beton)
    handed = readahead.announced(packed, [np.array([4, 1]), np.array([0, 5]), np.array([2, 3]), np.array([6])])
    assert (next(handed).tolist(), len(asked)) == ([4, 1], 6)
    assert (next(handed).tolist(), len(asked)) == ([0, 5], 7)
    assert [indices.tolist() for indices in handed] == [[2, 3], [6]]
    places = zip(packed.offsets.tolist(), packed.sizes.tolist(), strict=True)
    assert sorted(what[:2] for what in asked) == sorted(places)[:7]


def test_windows_are_announced_one_early_as_long_pieces_and_forgotten_when_they_are_left(tmp_path, asked):
    packed = spread_out(tmp_path / "file", 12)
    read_chunks = [np.array([2, 0, 1, 3]), np.array([7, 4, 5, 6]), np.array([10, 11, 9, 8])]
    order = np.concatenate(read_chunks)
    handed = readahead.announced(packed, np.split(order, 6), read_chunks)
    next(handed)
    assert asked == [(0, 4000, WILLNEED), (4000, 4000, WILLNEED)]
    next(handed), next(handed)
    assert asked[2:] == [(4000, 4000, WILLNEED), (8000, 4000, WILLNEED)]
    next(handed), next(handed)
    assert asked[4:] == [(8000, 4000, WILLNEED), (0, 4000, DONTNEED)]
    assert np.concatenate(list(handed)).tolist() == [9, 8]


def test_stretches_end_where_a_gap_is_longer_than_what_is_read_along():
    gap = readahead.GAP_BYTES
    offsets, sizes = np.array([3 * gap, 0, 10, 3 * gap + 7]), np.array([5, 10, 20, 1])
    assert readahead.stretches(offsets, sizes) == [(0, 30), (3 * gap, 3 * gap + 8)]


def quasi(seed: int, epoch: int, num_images: int = 4000, in_a_piece: int = 10) -> list[np.ndarray]:
    indices = np.arange(num_images)
    return counter_rng.quasi_permutation(seed, epoch, indices, indices // in_a_piece, 8)


def test_a_quasi_random_epoch_shows_each_image_once_in_windows_of_whole_pieces():
    read_chunks = quasi(1, 0)
    assert sorted(np.concatenate(read_chunks).tolist()) == list(range(4000))
    assert {len(chunk) for chunk in read_chunks} == {80}
    assert all(len(np.unique(chunk // 10)) == 8 for chunk in read_chunks)


def test_a_quasi_random_order_depends_on_seed_and_epoch_alone():
    assert np.array_equal(np.concatenate(quasi(1, 2)), np.concatenate(quasi(1, 2)))
    assert not np.array_equal(np.concatenate(quasi(1, 2)), np.concatenate(quasi(1, 3)))
    assert not np.array_equal(np.concatenate(quasi(1, 2)), np.concatenate(quasi(2, 2)))


def test_images_of_a_window_come_in_any_order():
    places = np.concatenate([np.argsort(np.argsort(chunk // 10, kind="stable")) for chunk in quasi(5, 0)])
    steps = np.abs(np.diff(places.reshape(-1, 80), axis=1))
    assert 20 < steps.mean() < 34  # a third of 80 for a random order


@pytest.mark.parametrize("loader", ["ffcv", "pillow"])
def test_quasi_random_batches_are_the_same_from_one_process_and_from_two(jpeg_beton, monkeypatch, loader):
    monkeypatch.setattr(readahead, "PIECE_BYTES", 20_000)
    monkeypatch.setattr(readahead, "CHUNK_PIECES", 2)
    whole = shown(loader, jpeg_beton, 0, 1)
    halves = [shown(loader, jpeg_beton, rank, 2) for rank in range(2)]
    assert whole == [left + right for left, right in zip(*halves, strict=True)]
    assert len({image for batch in whole for image in batch}) == sum(map(len, whole))


def test_a_quasi_random_epoch_goes_on_where_it_was_left(jpeg_beton, monkeypatch):
    monkeypatch.setattr(readahead, "PIECE_BYTES", 20_000)
    monkeypatch.setattr(readahead, "CHUNK_PIECES", 2)
    assert shown("ffcv", jpeg_beton, 0, 1, start_step=2) == shown("ffcv", jpeg_beton, 0, 1)[2:]


def test_windows_of_repeated_images_are_announced_in_the_order_of_the_batches(jpeg_beton, monkeypatch, asked):
    monkeypatch.setattr(readahead, "PIECE_BYTES", 20_000)
    monkeypatch.setattr(readahead, "CHUNK_PIECES", 1)
    given: list[list[np.ndarray]] = []
    announced = readahead.announced

    def heard(packed, batches, read_chunks=()):
        given.extend(([*batches], [*read_chunks]))
        return announced(packed, batches, read_chunks)

    monkeypatch.setattr("ilsvrc.loading.ffcv_loader.announced", heard)
    seen = shown("ffcv", jpeg_beton, 0, 1, repeats=2)
    batches, read_chunks = given
    assert [batch.tolist() for batch in batches] == seen
    assert np.concatenate(read_chunks).tolist() == [image for batch in seen for image in batch]
    assert len(read_chunks) > 2
    assert all(not np.isin(before, after).any() for before, after in zip(read_chunks, read_chunks[2:], strict=False))


def shown(loader: str, beton, rank: int, world_size: int, start_step: int = 0, repeats: int = 1) -> list[list[int]]:
    options = {"batch_size": 4, "order": "quasi_random", "repeats": repeats, **LOOK}
    opened = open_training(loader, beton, rank=rank, world_size=world_size, **options)
    try:
        return [batch.indices.tolist() for batch in opened.epoch(1, start_step)]
    finally:
        opened.close()
