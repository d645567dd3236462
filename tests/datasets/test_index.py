from collections.abc import Callable
from pathlib import Path

import pytest

from ilsvrc.datasets import _index
from ilsvrc.datasets._card import Sample
from ilsvrc.datasets._census import Census, Source
from ilsvrc.datasets._index import Index
from ilsvrc.runtime.files import DamagedError

SAMPLES = [
    Sample("train", "a", "a/1.jpg", "../x/all.tar", 512, 7),
    Sample("train", "a", "a/\udcff.jpg", "../x/all.tar", 1 << 40, 0, "deflated:99"),
    Sample("train", "b", 'b/"2", or 3.png', "one.bin", 0, 3072, "planes:3x32x32"),
    Sample("val", "a", "a/1.jpg", "/abs/val/a/1.jpg", 0, 1),
]


def test_samples_come_back_as_they_went_in():
    kept = Index(SAMPLES)
    assert list(kept) == SAMPLES
    assert (len(kept), kept[-1], kept[1]) == (4, SAMPLES[3], SAMPLES[1])
    with pytest.raises(IndexError):
        kept[4]


def test_a_csv_keeps_every_column_and_gives_one_split(tmp_path):
    _index.write(tmp_path / "index.csv", SAMPLES)
    assert list(_index.read(tmp_path / "index.csv", "train")) == SAMPLES[:3]
    assert [path.name for path in tmp_path.iterdir()] == ["index.csv"]


def test_an_index_of_before_there_were_kinds_is_read(tmp_path):
    (tmp_path / "index.csv").write_text("split,label_name,name,file,offset,size\nval,a,a/1.jpg,x.tar,512,9\n")
    assert list(_index.read(tmp_path / "index.csv", "val")) == [Sample("val", "a", "a/1.jpg", "x.tar", 512, 9)]


def test_an_index_without_the_split_is_an_error(tmp_path):
    _index.write(tmp_path / "index.csv", SAMPLES[:3])
    with pytest.raises(ValueError, match="lists no images of the split 'val'"):
        _index.read(tmp_path / "index.csv", "val")


def checked(index: Path) -> list[Sample]:
    """The training images of an index that is compared with the source of SAMPLES."""
    expected, found = Census(), Census()
    list(expected.counting(SAMPLES))
    source = Source(
        spec={}, classes=["a", "b"], counts={}, num_images=len(SAMPLES), content_sha256=expected.digest.hexdigest()
    )
    samples = list(_index.read(index, "train", found.counting))
    found.check(source, index)
    return samples


def signed(folder: Path) -> Path:
    _index.write(folder / "index.csv", SAMPLES)
    _index.sign(folder / "index.csv")
    return folder / "index.csv"


def without_last_line(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-1])


CHANGES = {
    "cut at a line's end": (without_last_line, "lists 3 of 4 images"),
    "another class": (
        lambda text: text.replace("train,b,", "train,c,"),
        "lists other images than source.json tells of",
    ),
    "another size": (lambda text: text.replace("3072", "3073"), "lists other images than source.json tells of"),
    "cut in a line": (lambda text: text[:-20], "is no index of images"),
    "no number": (lambda text: text.replace(",512,", ",5x2,"), "is no index of images"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_index_that_lost_or_changed_rows_is_damaged(tmp_path, change: str):
    index, (change_text, why) = signed(tmp_path), CHANGES[change]
    assert checked(index) == SAMPLES[:3]
    index.write_text(change_text(index.read_text(errors="surrogateescape")), errors="surrogateescape")
    with pytest.raises(DamagedError, match="is not as it was written"):
        checked(index)
    (tmp_path / "index.csv.sha256").unlink()  # as those of earlier releases
    with pytest.raises(DamagedError, match=why):
        checked(index)


@pytest.mark.parametrize(
    "change", [lambda text: text.replace(",512,", ",513,"), lambda text: text.replace("one.b", "two.b")]
)
def test_another_place_of_an_image_is_seen_by_the_indexs_own_hash(tmp_path, change: Callable[[str], str]):
    index = signed(tmp_path)
    index.write_text(change(index.read_text(errors="surrogateescape")), errors="surrogateescape")
    with pytest.raises(DamagedError, match="is not as it was written"):
        checked(index)


@pytest.mark.parametrize("content", ["", "\0" * 65, "no hash"])
def test_a_hash_that_was_lost_is_passed_over(tmp_path, content: str):
    index = signed(tmp_path)
    (tmp_path / "index.csv.sha256").write_text(content)
    assert checked(index) == SAMPLES[:3]
