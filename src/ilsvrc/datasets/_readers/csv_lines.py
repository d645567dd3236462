"""Lines of a CSV that a person wrote: its separator, its columns, and the files that it names."""

import csv
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

ONE, SEVERAL = "label", "labels"  # columns
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
SEPARATORS = ",;\t"


def lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each line with its number; read anew at each call, so that a million need not be kept.

    Raises:
        ValueError: the text is UTF-16, its columns are others, or a line has more or fewer values than columns.
    """
    with path.open("rb") as start:
        if start.read(2) in UTF_16:
            raise ValueError(f"{path} is text in UTF-16: save it as CSV in UTF-8")
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        number = 1
        try:
            table = table_of(file)
            _check_columns(path, list(table.fieldnames or []))
            for line in table:
                number = table.line_num
                if None in line or None in line.values():
                    raise ValueError(
                        f"{path}, line {number}: there should be a value for each of"
                        f" {','.join(table.fieldnames or [])}; one with a comma in it stands in quotes"
                    )
                yield number, line
        except csv.Error as error:
            raise ValueError(f"{path}, line {number}: {error} (is a quote not closed?)") from None


def table_of(file: TextIO) -> "csv.DictReader[str]":
    """A table's reader: separated by what its first line has first, columns without the spaces around their names."""
    header = file.readline()
    file.seek(0)
    separator = next((mark for mark in header if mark in SEPARATORS), ",")
    table = csv.DictReader(file, delimiter=separator)
    table.fieldnames = [name.strip() for name in table.fieldnames or []]
    return table


def image_file(path: Path, cell: str) -> Path | None:
    """The file that a cell names, with or without the spaces around it; None where there is none."""
    return next((image for name in (cell, cell.strip()) if _is_file(image := path.parent / name)), None)


def _is_file(image: Path) -> bool:
    """True if the file exists; a name that no file can have is that of none."""
    try:
        return image.is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def _check_columns(path: Path, columns: list[str]) -> None:
    if "file" not in columns or len({ONE, SEVERAL} & set(columns)) != 1:
        raise ValueError(
            f"{path} has the columns {', '.join(columns)}; it should have file,label (or file,labels where an image"
            " has several), and split if you like, named in its first line and separated by commas"
        )
    if len(set(columns)) < len(columns):
        raise ValueError(f"{path} has the columns {', '.join(columns)}; each should have a name of its own")
