"""Images of your own: a folder, an uncompressed tar or a zip of `[<anything>/]<split>/<class>/<image>`, or a CSV.

The training split is called `train`, the test split `val`, `validation`, `valid` or `test` (the first of these that
is there); `data.train_split` and `data.test_split` in params.yaml name others. Here they are always `train` and
`val`. Nothing is copied or extracted. Hidden files and the litter of file managers are passed over; any other file in
a class is taken for an image. A folder's links are followed, and a tar's hard links; what an archive cannot give in
place (symbolic links, sparse files, other compression, a password) is an error, as is a folder of a class without a
image.

A CSV, separated by commas, semicolons or tabs, has the columns `file` (relative to its own folder, or absolute),
`label` and, if you like, `split`; without the last, a fifth of the images is the test split, chosen by a hash of the
file's name, or a fifth of each class and at least one where that leaves a class without an image in a split. Where it
has the column `labels` in the place of `label`, an image has several classes or none: their names stand in one cell,
separated by `;`, `|` or `,` (one of them in the whole table) or else by spaces, or in several rows of the same file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets._card import Card, Sample
from ilsvrc.datasets._readers import csv_table, folder_tree
from ilsvrc.datasets._readers.fingerprint import of_path

CARD = Card(
    title="A folder of images",
    licence="yours",
    address="",
    path="a folder, a tar or zip archive, or a CSV of file,label (file,labels where an image has several)",
)


def fingerprint(options: Mapping[str, Any]) -> str:
    """Fingerprint of `data.path`: names and sizes of a folder's or a CSV's files, size and 64 blocks of an archive."""
    path = Path(options["path"])
    return csv_table.fingerprint(path) if csv_table.is_one(path) else of_path(path)


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Downloads nothing; checks that the images are there.

    Raises:
        ValueError: the path is missing or empty, or a split or a class is.
    """
    raw.mkdir(parents=True, exist_ok=True)
    path = Path(options["path"])
    (csv_table.check if csv_table.is_one(path) else folder_tree.check)(path, *_names(options))


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image by split, class and name; its file relative to `raw` where `data.path` is relative."""
    path = Path(options["path"])
    yield from (csv_table.samples if csv_table.is_one(path) else folder_tree.samples)(path, raw, *_names(options))


def _names(options: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The user's names of the splits."""
    return options.get("train_split"), options.get("test_split")
