import pytest

from ilsvrc.datasets import _index
from ilsvrc.datasets._card import Sample
from ilsvrc.datasets._index import Index

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
