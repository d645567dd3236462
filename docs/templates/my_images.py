"""Bars, upright or level. Template of a data set: src/ilsvrc/datasets/my_images.py.

The name of the file is the data set's. Images are read in place, from files that are not compressed: nothing is
extracted. Imports stay light: a dry run reads them.
"""

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets._card import Card, Sample
from ilsvrc.datasets._readers.archive import members
from ilsvrc.runtime import files

ARCHIVE = "my_images.tar"
NUM_IMAGES = {"train": 40, "val": 10}  # of each class
CARD = Card(
    title="Bars, upright or level",
    licence="CC0",
    address="https://example.org/my_images",
    classes=2,
    counts={split: 2 * number for split, number in NUM_IMAGES.items()},
    archives=(ARCHIVE,),
    encoding="raw",
    crop_px=32,
)


def fingerprint(options: Mapping[str, Any]) -> str:
    """Nothing of the user's is read: no `path` on the card."""
    return ""


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Draws the images into a tar in `raw`.

    A data set of the web is downloaded here, with its checksum: see `fetch` and `Remote` of `ilsvrc.runtime.download`,
    and datasets/cifar10.py.
    """
    with files.atomically(raw / ARCHIVE) as unfinished, tarfile.open(unfinished, "w") as archive:
        for split, number in NUM_IMAGES.items():
            for label_name in ("level", "upright"):
                for place in range(number):
                    _add(archive, f"{split}/{label_name}/{place:02d}.ppm", _bar(place % 28, label_name == "upright"))


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image by split, class and name."""
    for member in members(raw / ARCHIVE):
        split, label_name, image = member.name.split("/")
        yield Sample(split, label_name, f"{label_name}/{image}", ARCHIVE, member.offset, member.size)


def _bar(place: int, upright: bool) -> bytes:
    """A white bar of 4 pixels on black, 32 x 32, as a PPM."""
    line = bytes(255 if place <= x < place + 4 else 0 for x in range(32))
    rows = [line] * 32 if upright else [bytes([value]) * 32 for value in line]
    return b"P6 32 32 255\n" + b"".join(bytes([value]) * 3 for row in rows for value in row)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
