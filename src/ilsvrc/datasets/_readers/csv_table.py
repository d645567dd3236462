"""Images that a CSV lists: `file`, `label` (one class) or `labels` (several), and perhaps `split`."""

import csv
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from sys import intern
from typing import NamedTuple

from ilsvrc.datasets._card import SPLITS, Sample, join_classes, split_classes
from ilsvrc.datasets._readers import class_names, csv_splits, multilabel_csv
from ilsvrc.datasets._readers.csv_lines import ONE, SEVERAL, image_file, lines, table_of
from ilsvrc.datasets._readers.folder_tree import listed


class Row(NamedTuple):
    """An image of the table; `label` is a class, or the name of a set of classes."""

    split: str
    label: str
    file: str
    size: int
    multilabel: bool


def is_one(path: Path) -> bool:
    """True if `path` is a table."""
    return path.suffix.lower() == ".csv" and not path.is_dir()


def fingerprint(path: Path) -> str:
    """The table's content and the sizes of the files that it lists; "missing" where it is not there."""
    if not path.is_file():
        return "missing"
    digest = hashlib.sha256(path.read_bytes())
    text = path.open(newline="", encoding="utf-8-sig", errors="surrogateescape")
    with text as file, suppress(csv.Error):  # `check` says what is wrong
        for row in table_of(file):
            image = image_file(path, row.get("file") or "")
            digest.update(f"{image.stat().st_size if image else 'missing'},".encode())
    return digest.hexdigest()[:16]


def check(path: Path, train_split: str | None = None, test_split: str | None = None) -> None:
    """Sees that the table is one and that its files are there.

    Raises:
        ValueError: it has other columns or splits, lists a file twice (with the column `label`) or one that is not
            there, or lacks a class.
    """
    _rows(path, train_split, test_split)


def samples(path: Path, raw: Path, train_split: str | None = None, test_split: str | None = None) -> Iterator[Sample]:
    """Every image by split, class and name; its file relative to `raw` where the table's path is relative."""
    base = str(path.parent) if path.is_absolute() else os.path.relpath(path.parent, raw)
    for row in sorted(_rows(path, train_split, test_split)):
        name = row.file if row.multilabel else f"{row.label}/{row.file}"
        yield Sample(row.split, row.label, name, str(Path(base, row.file)), 0, row.size, multilabel=row.multilabel)


def _rows(path: Path, train: str | None, test: str | None) -> list[Row]:
    if not path.is_file():
        raise ValueError(f"data.path = {str(path)!r} in params.yaml: there is no such table")
    columns: list[str] = []
    found: set[str] = set()
    parting = multilabel_csv.Separator(path)
    for number, line in lines(path):
        columns = columns or list(line)
        found.add(line.get("split", "").strip())
        parting.see(number, line.get(SEVERAL, ""))
    ours = csv_splits.named(path, found, train, test) if "split" in columns else None
    if SEVERAL in columns:
        return _united(path, list(_kept(path, ours, parting)))
    rows = _of_one_class(list(_kept(path, ours, None)))
    _check_once(path, [row.file for row in rows])
    if ours is None and _missing(rows):
        rows = _of_each_class(rows)
    _check_classes(path, rows)
    return rows


def _kept(path: Path, ours: dict[str, str] | None, parting: multilabel_csv.Separator | None) -> Iterator[Row]:
    """The rows of the two splits; `parting` is of a table whose images may have several classes."""
    for number, line in lines(path):
        if ours is None or line["split"].strip() in ours:
            label = parting.name(line[SEVERAL]) if parting else line[ONE].strip()
            yield _row(path, number, line, ours, label, parting is not None)


def _of_one_class(rows: list[Row]) -> list[Row]:
    """The rows, with one name for a class that is written in several ways."""
    one = class_names.united(row.label for row in rows)
    return [row._replace(label=intern(one[row.label])) for row in rows] if one else rows


def _of_each_class(rows: list[Row]) -> list[Row]:
    """The rows, with a fifth of each class in the test split."""
    test = csv_splits.fifth_of_each((row.label, row.file) for row in rows)
    return [row._replace(split=SPLITS[row.file in test]) for row in rows]


def _united(path: Path, rows: list[Row]) -> list[Row]:
    """A row an image, with the classes of all rows that list it."""
    images: dict[str, Row] = {}
    for row in rows:
        place = os.path.normpath(path.parent.absolute() / row.file)
        first = images.setdefault(place, row)
        if first.split != row.split:
            raise ValueError(f"{path} has {row.file} in both splits")
        images[place] = first._replace(
            label=intern(join_classes(split_classes(first.label) + split_classes(row.label)))
        )
    found = {split: {row.label for row in images.values() if row.split == split} for split in SPLITS}
    multilabel_csv.check_classes(path, found)
    multilabel_csv.check_names(path, found["train"])
    return list(images.values())


def _row(
    path: Path, number: int, line: dict[str, str], ours: dict[str, str] | None, label: str, multilabel: bool
) -> Row:
    if not line["file"].strip() or not (label or multilabel):
        raise ValueError(f"{path}, line {number}: file or label is empty")
    image = image_file(path, line["file"])
    for cell in (label, "" if image else line["file"]):
        if not class_names.is_utf8(cell):
            raise ValueError(
                f"{path}, line {number}: {os.fsencode(cell)!r} is not UTF-8 (Latin-1?): save the table as CSV in UTF-8"
            )
    if image is None:
        raise ValueError(f"{path}, line {number}: there is no file {path.parent / line['file']}")
    file = line["file"] if image == path.parent / line["file"] else line["file"].strip()
    split = ours[line["split"].strip()] if ours else csv_splits.hashed(file)
    return Row(split, intern(label), file, image.stat().st_size, multilabel)


def _check_once(path: Path, files: list[str]) -> None:
    folder = path.parent.absolute()
    places = sorted(os.path.normpath(folder / file) for file in files)
    twice = {os.path.relpath(one, folder) for one, following in pairwise(places) if one == following}
    if twice:
        raise ValueError(f"{path} lists {listed(twice)} more than once")


def _missing(rows: list[Row]) -> set[str]:
    """The classes that only one of the splits has."""
    classes = {split: {row.label for row in rows if row.split == split} for split in SPLITS}
    return classes["train"] ^ classes["val"]


def _check_classes(path: Path, rows: list[Row]) -> None:
    missing = _missing(rows)
    if missing or not rows:
        raise ValueError(
            f"{path}: both splits need images of every class; one of them has none of {listed(map(repr, missing))}"
            " (without a column split, a fifth of each class is for the test, so each needs two images at least)"
        )
