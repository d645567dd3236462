import errno
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from images import jpeg_bytes, photo
from PIL import Image

from ilsvrc.datasets._card import Sample
from ilsvrc.packing import beton_layout, checksums, manifest, pixel_statistics, workers, writer
from ilsvrc.packing.beton import open_packed
from ilsvrc.packing.encode import store


def test_bytes_are_the_same_for_any_number_of_workers(packer, photos):
    digests = {hashlib.sha256(packer(photos, workers=w)[0].read_bytes()).hexdigest() for w in (1, 2, 3)}
    assert len(digests) == 1


def test_every_image_is_stored_in_order_with_its_own_bytes(jpeg_beton, photos):
    packed = open_packed(jpeg_beton)
    content = packed.mapped()
    assert [packed.payload(content, i).tobytes() for i in range(packed.num_images)] == photos
    assert packed.labels.tolist() == [i % 3 for i in range(len(photos))]


def test_the_file_is_the_one_that_ffcvs_writer_makes(packer, photos, tmp_path):
    ffcv = pytest.importorskip("ffcv")
    from ffcv.fields import IntField, RGBImageField

    images = [(np.asarray(photo(i)), i % 3) for i in range(len(photos))]
    stock = tmp_path / "stock.beton"
    fields = {"image": RGBImageField(write_mode="raw"), "label": IntField()}
    ffcv.DatasetWriter(str(stock), fields, page_size=1 << 21, num_workers=1).from_indexed_dataset(images)
    pngs = [jpeg_bytes(photo(i), format="PNG") for i in range(len(photos))]
    assert packer(pngs, encoding="raw")[0].read_bytes() == stock.read_bytes()


def test_a_page_grows_to_hold_the_largest_image(packer):
    big = jpeg_bytes(Image.new("RGB", (1300, 900), (9, 8, 7)), format="PNG")
    beton, _ = packer([jpeg_bytes(photo(0)), big], encoding="raw")
    assert np.fromfile(beton, beton_layout.HEADER, 1)["page_size"] == 1 << 22
    assert open_packed(beton).sizes.tolist() == [64 * 48 * 3, 1300 * 900 * 3]


def test_no_payload_crosses_a_page(packer):
    images = [jpeg_bytes(Image.new("RGB", (600, 500), (i, 8, 7)), format="PNG") for i in range(6)]
    packed = open_packed(packer(images, encoding="raw")[0])
    page = 1 << 21
    assert (packed.offsets // page == (packed.offsets + packed.sizes - 1) // page).all()


def test_statistics_are_those_of_every_pixel(packer):
    pngs = [jpeg_bytes(photo(i), format="PNG") for i in range(5)]
    statistics = manifest.pixel_statistics(packer(pngs, encoding="raw")[1].colours)
    pixels = np.concatenate([np.asarray(photo(i)).reshape(-1, 3) for i in range(5)]).astype(np.float64)
    assert statistics["num_measured"] == 5
    np.testing.assert_allclose(statistics["mean"], pixels.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(statistics["std"], pixels.std(axis=0), rtol=1e-12)
    values, vectors = np.linalg.eigh(np.cov(pixels.T, bias=True))
    np.testing.assert_allclose(statistics["eigenvalues"], values[::-1], rtol=1e-9)
    np.testing.assert_allclose(np.abs(statistics["eigenvectors"] @ vectors[:, ::-1]), np.eye(3), atol=1e-9)


def test_statistics_are_the_same_for_any_number_of_workers(packer, photos):
    first, second = (manifest.pixel_statistics(packer(photos, workers=workers)[1].colours) for workers in (1, 3))
    assert first == second


def test_structure_and_decoding_store_the_same_bytes(packer, photos):
    structure, decode = packer(photos, verify="structure")[0], packer(photos)[0]
    assert structure.read_bytes() == decode.read_bytes()


def test_structure_decodes_only_a_sample_for_the_statistics(packer, photos, monkeypatch):
    monkeypatch.setattr(pixel_statistics, "NUM_MEASURED", 7)
    first, second = (
        manifest.pixel_statistics(packer(photos, verify="structure", workers=workers)[1].colours) for workers in (1, 2)
    )
    assert first == second
    assert first["num_measured"] == 7
    assert first["mean"] != manifest.pixel_statistics(packer(photos)[1].colours)["mean"]


def test_a_damaged_middle_is_found_by_decoding_only(packer, photos, monkeypatch):
    monkeypatch.setattr(pixel_statistics, "NUM_MEASURED", 0)
    damaged = bytearray(photos[0])
    damaged[len(damaged) * 2 // 3 : len(damaged) * 2 // 3 + 200] = b"\xff\xd0" * 100
    assert packer([photos[1], bytes(damaged)], verify="structure")[1].bad == {}
    with pytest.raises(ValueError, match="train/001: damaged JPEG"):
        packer([photos[1], bytes(damaged)])


def test_all_images_are_compared_where_asked_for(packer, photos, monkeypatch):
    assert len(packer(photos, compare=True)[1].kept) == len(photos)

    def another(content, form, measured):
        stored = store(content, form, measured)
        return stored if measured else stored._replace(payload=stored.payload[:-3] + b"x" + stored.payload[-2:])

    monkeypatch.setattr(workers, "store", another)
    with pytest.raises(ValueError, match="train/000 is not in train"):
        packer(photos, compare=True)


def test_bad_images_are_no_part_of_the_comparison(packer, photos):
    assert packer([photos[0], b"", photos[2]], on_bad_image="skip", compare=True)[1].kept == [0, 2]


def test_broken_images_are_all_named_and_nothing_is_left_behind(packer, photos, tmp_path_factory):
    with pytest.raises(ValueError, match=r"2 of 4 images") as failure:
        packer([photos[0], b"", photos[1], b"<html>"], workers=2)
    assert "train/001: empty file" in str(failure.value)
    assert "train/003: not a picture" in str(failure.value)
    assert "on_bad_image: skip" in str(failure.value)
    folder = max(tmp_path_factory.getbasetemp().glob("packed*"), key=os.path.getmtime)
    assert not list(folder.glob("*.beton*"))


def test_no_more_than_twenty_broken_images_are_named(packer):
    with pytest.raises(ValueError, match="and 5 more") as failure:
        packer([b""] * 25)
    assert str(failure.value).count("empty file") == 20


def test_broken_images_are_left_out_where_asked_for(packer, photos):
    beton, packing = packer([photos[0], b"", photos[2]], on_bad_image="skip")
    assert packing.bad == {1: "empty file"}
    assert open_packed(beton).labels.tolist() == [0, 2]


def test_nothing_but_broken_images_is_an_error_even_where_they_are_skipped(packer):
    with pytest.raises(ValueError, match="no image is left"):
        packer([b"", b""], on_bad_image="skip")


def test_a_killed_worker_is_an_error_and_no_hang(packer, photos, monkeypatch):
    def dies(content, form, measured):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(workers, "store", dies)
    with pytest.raises(OSError, match="a worker was killed"):
        packer(photos, workers=2)


def test_a_full_disk_says_what_to_do_and_leaves_nothing(packer, photos, monkeypatch, tmp_path_factory):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer.os, "fsync", full)
    with pytest.raises(OSError, match="the disk is full: make room"):
        packer(photos)
    folder = max(tmp_path_factory.getbasetemp().glob("packed*"), key=os.path.getmtime)
    assert not list(folder.glob("*.beton*"))


def test_too_little_space_is_found_before_anything_is_written(packer, photos, monkeypatch):
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(ValueError, match=r"train\.beton needs 0\.0 GB at least and 0\.0 GB are free"):
        packer(photos)


@pytest.mark.parametrize(
    ("form", "payloads"),
    [
        ({}, 900 + 40_000),
        ({"encoding": "raw"}, 900 + 40_000),
        ({"short_side_px": 100}, 0),  # what is encoded is known when it is done
        ({"short_side_px": 100, "encoding": "raw"}, 900 + 30_000),
        ({"short_side_px": 100, "encoding": "raw", "upscale": True}, 2 * 30_000),
    ],
)
def test_needed_space_is_estimated_from_below(form, payloads):
    samples = [Sample("train", "a", name, name, 0, size) for name, size in (("a", 900), ("b", 40_000))]
    assert writer.min_bytes(samples, writer.FormSpec(data="t", **form)) == payloads + 2 * (24 + 24)


def test_a_file_that_changed_on_its_way_to_the_disk_is_refused(packer, photos, monkeypatch):
    numbers = itertools.count()
    monkeypatch.setattr(checksums, "crc32", lambda payload: next(numbers))
    with pytest.raises(ValueError, match="image 0 reads back differently"):
        packer(photos)


def test_an_old_file_stays_until_the_new_one_is_complete(tmp_path):
    beton = tmp_path / "train.beton"
    beton.write_bytes(b"old")
    (tmp_path / "bad").write_bytes(b"")
    sample = Sample("train", "a", "bad", "bad", 0, 0)
    with pytest.raises(ValueError, match="empty file"):
        writer.pack([sample], {"a": 0}, tmp_path, writer.FormSpec(data="t"), beton)
    assert beton.read_bytes() == b"old"


PARENT = """
import os, sys, time
from pathlib import Path
from ilsvrc.datasets._card import Sample
from ilsvrc.packing import manifest, workers, writer

def slow(content, form, measured):
    Path(sys.argv[1], f"worker-{os.getpid()}").touch()
    time.sleep(60)

workers.store = slow
folder = Path(sys.argv[1])
(folder / "a").write_bytes(b"x")
samples = [Sample("train", "a", "a", "a", 0, 1)] * 256
writer.pack(samples, {"a": 0}, folder, writer.FormSpec(data="t"), folder / "b.beton", workers=2)
"""


def test_workers_die_with_their_parent(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], cwd=tmp_path)
    children = _wait_for(lambda: [int(p.name[7:]) for p in tmp_path.glob("worker-*")], lambda found: len(found) == 2)
    parent.kill()
    parent.wait()
    _wait_for(lambda: [_running(pid) for pid in children], lambda alive: not any(alive))


def test_a_killed_packing_leaves_nothing_under_the_final_name_and_is_begun_again(tmp_path, photos):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], cwd=tmp_path)
    _wait_for(lambda: list(tmp_path.glob("*.part")), bool)
    parent.kill()
    parent.wait()
    unfinished = tmp_path / f"b.beton.{parent.pid}.part"
    assert list(tmp_path.glob("b.beton*")) == [unfinished]
    unfinished.write_bytes(b"x" * 100_000_000)
    (tmp_path / "photo").write_bytes(photos[0])
    samples = [Sample("train", "a", "photo", "photo", 0, len(photos[0]))]
    writer.pack(samples, {"a": 0}, tmp_path, writer.FormSpec(data="t"), tmp_path / "b.beton")
    assert [path.name for path in tmp_path.glob("b.beton*")] == ["b.beton"]
    assert open_packed(tmp_path / "b.beton").num_images == 1


def _wait_for(look, holds, seconds: float = 20.0):
    deadline = time.monotonic() + seconds
    while not holds(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
