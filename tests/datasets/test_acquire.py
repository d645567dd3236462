import csv
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ilsvrc.config.specs import SourceSpec
from ilsvrc.datasets import _index
from ilsvrc.datasets._acquire import AcquireJob, acquire
from ilsvrc.datasets._card import Card, Sample
from ilsvrc.datasets._census import Census, describe
from ilsvrc.runtime import locks


def run(folder: Path, spec: SourceSpec) -> tuple[dict, list[dict[str, str]]]:
    source, index = folder / "source.json", folder / "index.csv"
    acquire(AcquireJob(spec, source, index))
    with index.open(errors="surrogateescape") as file:
        return json.loads(source.read_text()), list(csv.DictReader(file))


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> tuple[dict, list[dict[str, str]]]:
    return run(tmp_path_factory.mktemp("raw"), SourceSpec(dataset="digits"))


def test_the_source_counts_images_by_split_and_class(digits):
    source, _ = digits
    assert source["num_images"] == 1797
    assert source["classes"] == [str(label) for label in range(10)]
    assert source["counts"]["val"] == dict(zip("0123456789", (35, 36, 35, 36, 36, 36, 36, 35, 34, 36), strict=True))


def test_the_index_names_every_image_in_packing_order(digits):
    _, index = digits
    assert len(index) == 1797
    assert index[0] == {
        "split": "train", "label_name": "0", "name": "0/0010.png", "file": "digits.tar", "offset": "512", "size": "140",
        "kind": "",
    }  # fmt: skip


def images(root: Path) -> Path:
    for name in ("train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg", "val/b/4.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def test_the_source_is_the_same_wherever_the_images_are(tmp_path):
    sources = []
    for place in ("here", "there"):
        path = images(tmp_path / place / "mine")
        spec = SourceSpec(dataset="folder", options={"path": str(path)}, fingerprint="f")
        sources.append(run(tmp_path / place / "raw", spec)[0])
    assert sources[0] == sources[1]
    assert str(tmp_path) not in json.dumps(sources[0])
    assert sources[0]["spec"] == {"dataset": "folder", "fingerprint": "f", "options": {"path": "mine"}}


def test_nothing_but_source_index_and_its_hash_is_left(tmp_path):
    spec = SourceSpec(dataset="folder", options={"path": str(images(tmp_path / "mine"))})
    run(tmp_path / "raw", spec)
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [
        "index.csv",
        "index.csv.sha256",
        "source.json",
        "source.lock",
    ]


@pytest.mark.parametrize("path", [None, ""])
def test_a_path_that_is_not_set_is_named(tmp_path, path: str | None):
    with pytest.raises(ValueError, match=r"data\.path in params\.yaml is not set; for folder it should name a folder,"):
        run(tmp_path / "raw", SourceSpec(dataset="folder", options={"path": path}))


def test_odd_names_come_out_of_the_index_as_they_went_in(tmp_path):
    names = ["a\nb.jpg", 'q"u,o.jpg', os.fsdecode(b"\xff.jpg"), " .jpg"]
    for name in names:
        (images(tmp_path / "mine") / "train/a" / name).write_bytes(b"x")
    run(tmp_path / "raw", SourceSpec(dataset="folder", options={"path": str(tmp_path / "mine")}))
    found = {sample.name: sample for sample in _index.read(tmp_path / "raw/index.csv", "train")}
    assert set(found) == {f"a/{name}" for name in [*names, "1.jpg"]} | {"b/2.jpg"}
    assert all((tmp_path / "raw" / sample.file).stat().st_size == sample.size for sample in found.values())


def test_a_name_that_the_index_cannot_hold_is_an_error(tmp_path):
    (images(tmp_path / "mine") / "train/a/1\r.jpg").touch()
    with pytest.raises(ValueError, match=r"'a/1\\r.jpg' has a carriage return or a null byte in its name: rename"):
        run(tmp_path / "raw", SourceSpec(dataset="folder", options={"path": str(tmp_path / "mine")}))
    assert list((tmp_path / "raw").glob("*index*unchecked")) == []


def counted(*samples: tuple[str, str]) -> Census:
    census = Census()
    list(census.counting(Sample(split, label_name, "x", "x", 0, 1) for split, label_name in samples))
    return census


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (Card("t", "", "", classes=3), "t should have 3 classes; 2 were found: remove data/raw/t"),
        (Card("t", "", "", counts={"train": 5}), "t should have 5 images in train; 2 were found"),
    ],
)
def test_counts_are_checked_against_the_card(card: Card, message: str):
    with pytest.raises(ValueError, match=message):
        describe(SourceSpec(dataset="t"), card, counted(("train", "a"), ("train", "b")))


def test_what_another_process_acquired_meanwhile_is_not_acquired_again(tmp_path, capsys):
    """Two clones that share their data."""
    spec, raw = SourceSpec(dataset="folder", options={"path": str(images(tmp_path / "mine"))}), tmp_path / "raw"
    run(raw, spec)
    before = (raw / "index.csv").stat().st_ino
    held = locks.try_lock(raw / "source.lock")
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(acquire, AcquireJob(spec, raw / "source.json", raw / "index.csv"))
        while "waiting for it" not in capsys.readouterr().err:
            assert not waiting.done()
        held.release()
        assert waiting.result() == "acquired folder: another process did, just now"
    assert (raw / "index.csv").stat().st_ino == before
