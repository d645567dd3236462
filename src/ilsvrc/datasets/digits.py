"""Handwritten digits of scikit-learn: 1797 grey images of 8x8 pixels that come with the library.

Alpaydin and Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998); scikit-learn ships the test part. It has
no split of its own: a fifth of each class is `val` here, chosen by a hash of the image's name.
"""

import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets._card import Card, Sample
from ilsvrc.datasets._readers.archive import members
from ilsvrc.runtime import files

ARCHIVE = "digits.tar"
SEED = "digits-2026"
CARD = Card(
    title="Optical recognition of handwritten digits (scikit-learn's 1797 images)",
    licence="CC BY 4.0",
    address="https://archive.ics.uci.edu/dataset/80",
    classes=10,
    counts={"train": 1442, "val": 355},
    archives=(ARCHIVE,),
    short_side_px=91,  # views.square_px(80)
    upscale=True,
    encoding="raw",
    crop_px=80,
)


def fingerprint(options: Mapping[str, Any]) -> str:
    """Empty: no file of the user's is read."""
    return ""


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Writes the images to a tar in `raw`, the same bytes at every run."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    with (
        files.atomically(raw / ARCHIVE) as unfinished,
        tarfile.open(unfinished, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, index in sorted(_names(digits.target.tolist()).items()):
            _add(tar, name, _png(digits.images[index].tolist()))


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image of the tar, by split, class and name."""
    for member in members(raw / ARCHIVE):
        _, split, label_name, image = member.name.split("/")
        yield Sample(split, label_name, f"{label_name}/{image}", ARCHIVE, member.offset, member.size)


def _names(labels: list[int]) -> dict[str, int]:
    """`digits/<split>/<class>/<number>.png` -> the image's place in scikit-learn's list."""
    names = {}
    for label in range(10):
        of_label = [index for index, given in enumerate(labels) if given == label]
        shuffled = sorted(of_label, key=lambda index: hashlib.sha256(f"{SEED}/{index}".encode()).digest())
        for place, index in enumerate(shuffled):
            split = "val" if place < len(of_label) // 5 else "train"
            names[f"digits/{split}/{label}/{index:04d}.png"] = index
    return names


def _png(rows: list[list[float]]) -> bytes:
    """A grey PNG of values 0 to 16, scaled to 0 to 255. Stored, not deflated, so that every zlib writes the same."""
    pixels = b"".join(b"\0" + bytes(round(value * 255 / 16) for value in row) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    tar.addfile(info, io.BytesIO(content))
