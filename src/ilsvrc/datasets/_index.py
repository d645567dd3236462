"""Index of a data set's images and the places of their bytes: a million of them in a hundred megabytes."""

import csv
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ilsvrc.datasets._card import Sample
from ilsvrc.runtime import files

SHA256 = re.compile("[0-9a-f]{64}")
COLUMNS = ("split", "label_name", "name", "file", "offset", "size", "kind")


class Index(Sequence[Sample]):
    """Images as columns; each becomes a `Sample` when it is asked for."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._text, self._ends = bytearray(), array("q", [0])  # name, last part of the file's path, kind
        self._offsets, self._sizes = array("q"), array("q")
        self._shared = array("l")  # place in `_values` of the columns that many images share
        self._values: list[tuple[str, str, str]] = []  # split, class, folder of the file
        self._places: dict[tuple[str, str, str], int] = {}
        for sample in samples:
            self.add(sample)

    def add(self, sample: Sample) -> None:
        """One more image, at the end."""
        folder, slash, file = sample.file.rpartition("/")
        self._text += "\0".join((sample.name, file, sample.kind)).encode(errors="surrogateescape")
        self._ends.append(len(self._text))
        self._offsets.append(sample.offset)
        self._sizes.append(sample.size)
        shared = (sample.split, sample.label_name, folder + slash)
        if shared not in self._places:
            self._places[shared] = len(self._values)
            self._values.append(shared)
        self._shared.append(self._places[shared])

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, place: int) -> Sample:  # type: ignore[override]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        split, label_name, folder = self._values[self._shared[place]]
        text = self._text[self._ends[place] : self._ends[place + 1]].decode(errors="surrogateescape")
        name, file, kind = text.split("\0")
        return Sample(split, label_name, name, folder + file, self._offsets[place], self._sizes[place], kind)


def write(path: Path, samples: Iterable[Sample]) -> None:
    """A CSV of the samples, under its final name when it is whole."""
    with (
        files.atomically(path) as unfinished,
        unfinished.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows([getattr(sample, column) for column in COLUMNS] for sample in samples)


def sign(path: Path) -> None:
    """Writes the CSV's SHA-256 beside it: the hash in source.json leaves out where the images' bytes lie."""
    files.write_text(_signature(path), f"{files.file_sha256(path)}\n")


def read(path: Path, split: str, counted: Callable[[Iterable[Sample]], Iterable[Sample]] = iter) -> Index:
    """The images of `split` in a CSV; `counted` hands on those of all splits.

    Raises:
        files.DamagedError: it is no such CSV, or not as `sign` found it; those of earlier releases are not signed.
        ValueError: it has none.
    """
    signed = _signed(path)
    if signed and signed != files.file_sha256(path):
        raise files.DamagedError(path, "is not as it was written")
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        try:
            found = Index(sample for sample in counted(_samples(csv.reader(file))) if sample.split == split)
        except (csv.Error, KeyError, IndexError, ValueError) as error:
            raise files.DamagedError(path, f"is no index of images ({type(error).__name__}: {error})") from None
    if not found:
        raise ValueError(f"{path} lists no images of the split {split!r}")
    return found


def _signed(path: Path) -> str:
    """SHA-256 that `sign` wrote; empty where it did not, or where the file is lost."""
    with suppress(OSError, ValueError):
        if SHA256.fullmatch(signed := _signature(path).read_text().strip()):
            return signed
    return ""


def _signature(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _samples(rows: Iterator[list[str]]) -> Iterator[Sample]:
    at = {column: place for place, column in enumerate(next(rows, []))}
    for row in rows:
        split, label_name, name, file = (row[at[column]] for column in COLUMNS[:4])
        kind = row[at["kind"]] if "kind" in at else ""
        yield Sample(split, label_name, name, file, int(row[at["offset"]]), int(row[at["size"]]), kind)
