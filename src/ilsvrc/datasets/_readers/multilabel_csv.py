"""A table's column `labels`: the classes of an image in one cell, `clear primary road`, or in several rows."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ilsvrc.datasets._card import join_classes, split_classes

MARKS = (";", "|", ",")  # where none of them occurs, white space parts the names


class Separator:
    """Separator of the names in a table's cells: one mark in all of them, else white space."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first: dict[str, int] = {}  # mark -> the line that it first occurs in

    def see(self, number: int, cell: str) -> None:
        """Notes the marks in a line's cell."""
        for mark in MARKS:
            if mark in cell:
                self.first.setdefault(mark, number)

    def name(self, cell: str) -> str:
        """The set that a cell lists, by its canonical name; empty where it lists nothing.

        Raises:
            ValueError: the table has several marks.
        """
        if len(self.first) > 1:
            marks = " and ".join(f"{mark!r} in line {number}" for mark, number in self.first.items())
            raise ValueError(f"{self.path} separates its labels by {marks}; one mark should separate all of them")
        mark = next(iter(self.first), None)
        return join_classes(name for part in cell.split(mark) if (name := " ".join(part.split())))


def check_names(path: Path, label_names: Iterable[str]) -> None:
    """Refuses a name of several words that are classes themselves, as another mark in some lines would leave.

    Raises:
        ValueError: names it.
    """
    classes = {name for label_name in label_names for name in split_classes(label_name)}
    for name in sorted(classes):
        words = name.split()
        if len(words) > 1 and classes.issuperset(words):
            raise ValueError(
                f"{path}: {name!r} is one class where ';', '|' or ',' parts the others, and each of its words is a"
                " class too: part all labels by one mark, or write the class without a space"
            )


def check_classes(path: Path, label_names: Mapping[str, set[str]]) -> None:
    """Sees that each class can be learned; the test split (`val`) may lack some.

    Raises:
        ValueError: a split is empty, there is no class, or the training split has none of one.
    """
    empty = [split for split, found in label_names.items() if not found]
    if empty:
        raise ValueError(
            f"{path} has no images in the split {' and '.join(empty)}"
            " (without a column split, a fifth of the images is for the test: give it one, or more images)"
        )
    classes = {split: {name for each in found for name in split_classes(each)} for split, found in label_names.items()}
    if not classes["train"]:
        raise ValueError(f"{path} lists no label for any image to train on")
    missing = sorted(classes["val"] - classes["train"])
    if missing:
        raise ValueError(f"{path}: the training split has no images of {', '.join(map(repr, missing[:10]))}")
