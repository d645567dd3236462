"""Images that a CSV lists: `file`, `label` (one class) or `labels` (several), and perhaps `split`."""

import csv
import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from sys import intern
from typing import NamedTuple

from ilsvrc.datasets._card import SPLITS, Sample, join_classes, split_classes
from ilsvrc.datasets._readers import multilabel_csv
from ilsvrc.datasets._readers.folder_tree import TEST_SPLITS, listed

ONE, SEVERAL = "label", "labels"  # columns
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
TEST_PART = 5  # without a column `split`, one in so many


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
        for row in csv.DictReader(file):
            image = path.parent / (row.get("file") or "")
            digest.update(f"{image.stat().st_size if _is_file(image) else 'missing'},".encode())
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
    found: set[str | None] = set()
    parting = multilabel_csv.Separator(path)
    for number, line in _lines(path):
        columns = columns or list(line)
        found.add(line.get("split"))
        parting.see(number, line.get(SEVERAL, ""))
    ours = _splits(path, found, train, test) if "split" in columns else None
    if SEVERAL in columns:
        rows = [_row(path, number, line, ours, parting.name(line[SEVERAL]), True) for number, line in _lines(path)]
        return _united(path, rows)
    rows = [_row(path, number, line, ours, line[ONE], False) for number, line in _lines(path)]
    _check_once(path, [row.file for row in rows])
    _check_classes(path, rows)
    return rows


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


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each line with its number; gone through twice, so that a million need not be kept."""
    with path.open("rb") as start:
        if start.read(2) in UTF_16:
            raise ValueError(f"{path} is text in UTF-16: save it as CSV in UTF-8")
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        table = csv.DictReader(file)
        try:
            _check_columns(path, list(table.fieldnames or []))
            for line in table:
                if None in line or None in line.values():
                    raise ValueError(
                        f"{path}, line {table.line_num}: there should be a value for each of"
                        f" {','.join(table.fieldnames or [])}; one with a comma in it stands in quotes"
                    )
                yield table.line_num, line
        except csv.Error as error:
            raise ValueError(f"{path}, line {table.line_num}: {error} (is a quote not closed?)") from None


def _check_columns(path: Path, columns: list[str]) -> None:
    if "file" not in columns or len({ONE, SEVERAL} & set(columns)) != 1:
        raise ValueError(
            f"{path} has the columns {', '.join(columns)}; it should have file,label (or file,labels where an image"
            " has several), and split if you like, named in its first line and separated by commas"
        )
    if len(set(columns)) < len(columns):
        raise ValueError(f"{path} has the columns {', '.join(columns)}; each should have a name of its own")


def _row(
    path: Path, number: int, line: dict[str, str], ours: dict[str, str] | None, label: str, multilabel: bool
) -> Row:
    file = line["file"]
    if not file or not (label or multilabel):
        raise ValueError(f"{path}, line {number}: file or label is empty")
    image = path.parent / file
    if not _is_file(image):
        raise ValueError(f"{path}, line {number}: there is no file {image}")
    split = ours[line["split"]] if ours else _split(file)
    return Row(split, intern(label), file, image.stat().st_size, multilabel)


def _is_file(image: Path) -> bool:
    """True if the file exists; a name that no file can have is that of none."""
    try:
        return image.is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def _split(file: str) -> str:
    number = int.from_bytes(hashlib.sha256(file.encode(errors="surrogateescape")).digest()[:8], "big")
    return SPLITS[number % TEST_PART == 0]


def _splits(path: Path, found: set[str | None], train: str | None, test: str | None) -> dict[str, str]:
    """The table's names of the splits -> train and val."""
    train = train or "train"
    test = test or next((name for name in TEST_SPLITS if name in found), "val")
    if found != {train, test} or train == test:
        raise ValueError(
            f"{path} has the splits {listed(repr(name or '') for name in found)}; they should be {train!r} and one of"
            f" {', '.join(TEST_SPLITS)}, or those that data.train_split and data.test_split in params.yaml name"
        )
    return {train: "train", test: "val"}


def _check_once(path: Path, files: list[str]) -> None:
    folder = path.parent.absolute()
    places = sorted(os.path.normpath(folder / file) for file in files)
    twice = {os.path.relpath(one, folder) for one, following in pairwise(places) if one == following}
    if twice:
        raise ValueError(f"{path} lists {listed(twice)} more than once")


def _check_classes(path: Path, rows: list[Row]) -> None:
    classes = {split: {row.label for row in rows if row.split == split} for split in SPLITS}
    missing = classes["train"] ^ classes["val"]
    if missing or not rows:
        raise ValueError(
            f"{path}: both splits need images of every class; one of them has none of {listed(map(repr, missing))}"
            " (without a column split, a fifth of each class is for the test: give it one, or more images)"
        )
