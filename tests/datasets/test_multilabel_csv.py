"""Tables in which an image has several classes."""

import json
from pathlib import Path

import pytest

from ilsvrc.config.specs import SourceSpec
from ilsvrc.datasets import folder
from ilsvrc.datasets._acquire import AcquireJob, acquire

FILES = ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
CELLS = ["road clear", "clear", "", "clear primary"]
SPLITS = ["train", "val", "val", "train"]


def table(root: Path, rows: list[str]) -> Path:
    for file in FILES:
        (root / file).write_bytes(file.encode())
    (root / "tiles.csv").write_text("\n".join([*rows, ""]))
    return root / "tiles.csv"


def with_cells(cells: list[str]) -> list[str]:
    return ["file,labels,split", *(",".join(row) for row in zip(FILES, cells, SPLITS, strict=True))]


def listed(path: Path) -> list[tuple[str, str, str]]:
    samples = list(folder.samples(path.parent, {"path": str(path)}))
    assert all(sample.multilabel for sample in samples)
    return [(sample.split, sample.label_name, sample.name) for sample in samples]


EXPECTED = [
    ("train", "clear;primary", "4.jpg"),
    ("train", "clear;road", "1.jpg"),
    ("val", "", "3.jpg"),
    ("val", "clear", "2.jpg"),
]


@pytest.mark.parametrize("mark", [" ", ";", " | ", "  ", ";;"])
def test_a_cell_parts_its_classes_by_spaces_or_by_one_mark(tmp_path, mark: str):
    assert listed(table(tmp_path, with_cells([cell.replace(" ", mark) for cell in CELLS]))) == EXPECTED


def test_a_comma_within_quotes_parts_classes_too(tmp_path):
    cells = [f'"{cell.replace(" ", ",")}"' for cell in CELLS]
    assert listed(table(tmp_path, with_cells(cells))) == EXPECTED


def test_several_rows_of_a_image_are_one_image(tmp_path):
    rows = ["1.jpg,road,train", "4.jpg,primary,train", "2.jpg,clear,val", "3.jpg,,val"]
    again = ["./1.jpg,clear,train", "4.jpg,clear,train", "4.jpg,primary,train"]
    assert listed(table(tmp_path, ["file,labels,split", *rows, *again])) == EXPECTED


def test_where_a_mark_parts_classes_they_may_have_spaces(tmp_path):
    path = table(tmp_path, with_cells(["bare ground;clear", "clear", "", "clear;bare  ground"]))
    assert listed(path)[0] == ("train", "bare ground;clear", "1.jpg")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (with_cells(["a;b", "a", "", "a|b"]), r"separates its labels by ';' in line 2 and '\|' in line 5; one mark"),
        (
            with_cells(["a;b", "a", "", "a b"]),
            r"'a b' is one class where ';'.* parts the others, and each of its words",
        ),
        (with_cells(["a b", "a c", "", "a"]), "the training split has no images of 'c'"),
        (with_cells(["", "", "", ""]), "lists no label for any image to train on"),
        ([*with_cells(CELLS), "1.jpg,clear,val"], r"has 1\.jpg in both splits"),
        (["file,tags", "1.jpg,a"], r"has the columns file, tags; it should have file,label \(or file,labels where"),
        (["file,label,labels", "1.jpg,a,a"], "has the columns file, label, labels; it should have file,label"),
        (["file,labels", "1.jpg,a"], "has no images in the split train"),
        (["file,label,split", "1.jpg,a,train", "1.jpg,b,train", "2.jpg,a,val"], r"lists 1\.jpg more than once"),
        ([*with_cells(CELLS), "9.jpg,clear,val"], r"line 6: there is no file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, rows: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        folder.acquire(tmp_path, {"path": str(table(tmp_path, rows))})


def test_a_class_may_be_missing_in_the_test_split(tmp_path):
    assert {label for split, label, _ in listed(table(tmp_path, with_cells(CELLS))) if split == "val"} == {"", "clear"}


def test_acquiring_numbers_the_sets_of_all_splits_and_counts_images_by_class(tmp_path):
    path = table(tmp_path, with_cells(CELLS))
    spec = SourceSpec(dataset="folder", options={"path": str(path)})
    source = tmp_path / "raw/source.json"
    line = acquire(AcquireJob(spec, source, source.with_name("index.csv")))
    found = json.loads(source.read_text())
    assert found["classes"] == ["clear", "primary", "road"]
    assert found["label_sets"] == [[], [0], [0, 1], [0, 2]]
    assert found["counts"] == {
        "train": {"clear": 2, "primary": 1, "road": 1},
        "val": {"clear": 1, "primary": 0, "road": 0},
    }
    assert found["num_images"] == 4
    assert line == "acquired folder: 4 images (2 in train, 2 in val) of 3 classes in 4 combinations"
