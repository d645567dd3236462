"""Checksums of packed files: every flipped bit is seen before a step uses it, or lies where nobody reads."""

import json
import random
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from ilsvrc.loading.batches import open_training
from ilsvrc.packing import beton_layout, checksums
from ilsvrc.packing.beton import Packed, open_packed
from ilsvrc.packing.checksums import Checksums, crc32
from ilsvrc.runtime.files import DamagedError

TABLES = "its tables are not those that were packed"
BYTES = "the bytes are not those that were packed"


def copied(beton: Path, folder: Path) -> Path:
    """The packed file and its checksums in a folder of their own."""
    for path in (beton, checksums.beside(beton)):
        shutil.copy(path, folder)
    return folder / beton.name


def flip(path: Path, byte: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.write_bytes(content)


def epoch(loader: str, beton: Path, workers: int = 1) -> list[tuple[bytes, list[int]]]:
    batches = open_training(loader, beton, crop_px=16, batch_size=13, seed=0, workers=workers)
    try:
        return [(batch.images.numpy().tobytes(), batch.labels.tolist()) for batch in batches.epoch(0)]
    finally:
        batches.close()


@pytest.mark.parametrize("size", [0, 1, 15, 63, 64, 65, 127, 128, 1000, 100_003])
def test_the_compiled_sum_is_zlibs(size: int):
    content = random.Random(size).randbytes(size)
    assert crc32(content) == zlib.crc32(content)


@pytest.mark.parametrize(
    ("place", "bit"),
    [
        (12, 40 % 8),  # number of images
        (beton_layout.RECORDS_AT + 1, 2),  # width of the first
        (beton_layout.RECORDS_AT + 24, 1),  # its label
        (-8, 0),  # size of the last
        (700, 3),  # arguments of a field, which our reader passes over
    ],
)
def test_a_flipped_bit_of_the_tables_is_seen_when_the_file_is_opened(raw_beton, tmp_path, place: int, bit: int):
    beton = copied(raw_beton, tmp_path)
    flip(beton, place % beton.stat().st_size, bit)
    with pytest.raises(DamagedError, match=TABLES):
        open_packed(beton)


@pytest.mark.parametrize(("loader", "workers"), [("ffcv", 1), ("pillow", 1), ("pillow", 2)])
def test_a_flipped_pixel_is_seen_before_its_batch_is_out(raw_beton, tmp_path, loader: str, workers: int):
    beton = copied(raw_beton, tmp_path)
    (tmp_path / "train.images.csv").write_text("index,name\n" + "".join(f"{n},tulip/{n}.jpg\n" for n in range(53)))
    flip(beton, int(open_packed(beton).offsets[17]) + 100)
    with pytest.raises(DamagedError) as failure:
        epoch(loader, beton, workers)
    assert str(failure.value) == (
        f"{beton} is damaged: image 17 (tulip/17.jpg): {BYTES}; remove it and run snakemake again"
    )


def test_random_flips_are_seen_or_harmless(raw_beton, tmp_path):
    beton, chosen, whole = copied(raw_beton, tmp_path), random.Random(0), epoch("pillow", raw_beton)
    seen = 0
    for _ in range(30):
        place, bit = chosen.randrange(beton.stat().st_size), chosen.randrange(8)
        flip(beton, place, bit)
        try:
            found = epoch("pillow", beton)
        except DamagedError:
            seen += 1
        else:
            assert found == whole
            assert is_padding(open_packed(raw_beton), place)
        flip(beton, place, bit)
    assert seen > 0


def is_padding(opened: Packed, place: int) -> bool:
    inside = (opened.offsets <= place) & (place < opened.offsets + opened.sizes)
    table_bytes = opened.num_images * beton_layout.ALLOCATION.itemsize
    behind = beton_layout.RECORDS_AT + opened.num_images * beton_layout.RECORD.itemsize
    return behind <= place < opened.path.stat().st_size - table_bytes and not inside.any()


def test_each_image_is_compared_once(raw_beton):
    opened, summed = open_packed(raw_beton), []

    def sums_of(content: np.ndarray, offsets: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        summed.extend(offsets.tolist())
        return checksums.crc32_each(content, offsets, sizes)

    for indices in ([3, 4, 3], [4, 5]):
        opened.check(opened.mapped(), np.array(indices), sums_of)
    assert summed == opened.offsets[[3, 4, 5]].tolist()


def described(beton: Path, folder: Path, sha256: str) -> Path:
    """A packed file of an earlier release: a manifest, and no checksums."""
    shutil.copy(beton, folder)
    (folder / "train.manifest.json").write_text(json.dumps({"content_sha256": sha256}))
    return folder / beton.name


def test_a_file_without_checksums_is_read_once_and_then_watched(raw_beton, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    beton = described(raw_beton, tmp_path, checksums._read(checksums.beside(raw_beton)).content_sha256)
    assert open_packed(beton).sums.payloads.tolist() == open_packed(raw_beton).sums.payloads.tolist()
    assert [path.suffix for path in sorted(checksums.KEPT.iterdir())] == [".lock", ".npz"]
    flip(beton, beton_layout.RECORDS_AT + 24)
    with pytest.raises(DamagedError, match=TABLES):
        open_packed(beton)


def test_a_file_without_checksums_that_its_manifest_does_not_describe_is_refused(raw_beton, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DamagedError, match="its bytes are not those that its manifest describes"):
        open_packed(described(raw_beton, tmp_path, 64 * "0"))
    assert not list(checksums.KEPT.glob("*.npz"))


def test_checksums_of_another_content_and_damaged_ones_are_passed_over(raw_beton, tmp_path):
    beton = copied(raw_beton, tmp_path)
    beside = checksums.beside(beton)
    found = checksums.find(beton, "")
    assert checksums.find(beton, found.content_sha256) is not None
    assert checksums.find(beton, "other") is None
    flip(beside, beside.read_bytes().index(found.payloads.tobytes()) + 5)
    assert checksums.find(beton, "") is None
    beside.write_bytes(b"")
    assert checksums.find(beton, "") is None


def test_checksums_come_back_as_they_were_written(tmp_path):
    Checksums.of(np.array([1, 2**32 - 1], np.uint32), "a", "b").write(tmp_path / "x.checksums.npz")
    found = checksums.find(tmp_path / "x.beton", "b")
    assert (found.payloads.tolist(), found.tables_sha256, found.content_sha256) == ([1, 2**32 - 1], "a", "b")


def test_flipped_bits_of_the_checksums_accuse_no_packed_file(tmp_path):
    path, payloads = tmp_path / "x.checksums.npz", np.arange(24, dtype=np.uint32)
    Checksums.of(payloads, "a", "b").write(path)
    whole = path.read_bytes()
    for place in range(0, 8 * len(whole), 37):
        flip(path, place // 8, place % 8)
        found = checksums.find(tmp_path / "x.beton", "")
        assert found is None or (found.payloads.tolist(), found.tables_sha256) == (payloads.tolist(), "a")
        path.write_bytes(whole)
