"""A packed file, opened and checked. FFCV itself trains on wrong pixels from a damaged one without a word."""

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ilsvrc.packing import beton_layout, jpeg
from ilsvrc.runtime import files

MAX_PROBED = 10_000  # images whose first and last bytes are looked at: each costs a page from the disk


@dataclass(frozen=True)
class Packed:
    """Tables of a packed file, in the file's order. Arrays of `num_images`."""

    path: Path
    modes: np.ndarray  # uint8: layout.JPEG or layout.RAW
    widths: np.ndarray  # int64, pixels
    heights: np.ndarray
    offsets: np.ndarray  # int64, bytes
    sizes: np.ndarray
    labels: np.ndarray  # int64

    @property
    def num_images(self) -> int:
        """Images in the file."""
        return len(self.labels)

    def payload(self, content: np.ndarray, index: int) -> np.ndarray:
        """An image's payload; `content` is `mapped()`."""
        return content[self.offsets[index] : self.offsets[index] + self.sizes[index]]

    def mapped(self) -> np.ndarray:
        """The whole file as uint8, read where it is touched."""
        return np.memmap(self.path, np.uint8, "r")


def open_packed(path: Path) -> Packed:
    """The packed file at `path`, its tables checked whole and its images' ends where they are few or by sample.

    Raises:
        files.DamagedError: it is truncated, damaged or no packed file.
        ValueError: there is no such file.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not there; the rule `pack` writes it")
    header = _header(path)
    records = _read(path, beton_layout.RECORD, header["num_samples"], beton_layout.RECORDS_AT)
    table = _read(path, beton_layout.ALLOCATION, header["num_samples"], header["table_at"])
    _require(header["table_at"] + table.nbytes == path.stat().st_size, path, "it does not end where its table does")
    sizes = _sizes(path, records["f0"]["data_ptr"], table, header)
    image = records["f0"]
    columns = (image["mode"], image["width"], image["height"], image["data_ptr"], sizes, records["f1"])
    kinds = (np.uint8, *5 * (np.int64,))
    opened = Packed(path, *(column.astype(kind) for column, kind in zip(columns, kinds, strict=True)))
    _check_images(opened)
    return opened


def content_sha256(path: Path) -> str:
    """SHA-256 of the whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_back(path: Path, checksums: Iterable[int]) -> str:
    """Opens a file that was just written and compares each payload with its CRC-32; returns its SHA-256."""
    opened = open_packed(path)
    content = opened.mapped()
    for index, expected in enumerate(checksums):
        _require(
            zlib.crc32(opened.payload(content, index).data) == expected, path, f"image {index} reads back differently"
        )
    return content_sha256(path)


def _header(path: Path) -> np.void:
    header: np.void = _read(path, beton_layout.HEADER, 1, 0)[0]
    _require(
        header["version"] == beton_layout.VERSION,
        path,
        f"version {header['version']}, not FFCV's {beton_layout.VERSION}",
    )
    fields = _read(path, beton_layout.FIELD, len(beton_layout.FIELDS), beton_layout.HEADER.itemsize)
    ours = beton_layout.field_descriptors()
    same = header["num_fields"] == len(ours) and (fields["name"] == ours["name"]).all()
    _require(bool(same), path, "its fields are not an image and a label")
    _require(header["table_at"] > 0 and header["num_samples"] > 0, path, "it was never finished")
    return header


def _sizes(path: Path, pointers: np.ndarray, table: np.ndarray, header: np.void) -> np.ndarray:
    """Each image's payload size, int64, from a table that is complete, inside the file and free of overlaps."""
    order = np.argsort(table["ptr"], kind="stable")
    starts, sizes = table["ptr"][order].astype(np.int64), table["size"][order].astype(np.int64)
    _require(bool((sizes > 0).all()), path, "its table has empty entries")
    _require(bool((starts[1:] >= (starts + sizes)[:-1]).all()), path, "its table has overlapping entries")
    inside = starts[0] >= beton_layout.RECORDS_AT + len(table) * beton_layout.RECORD.itemsize
    _require(bool(inside and starts[-1] + sizes[-1] <= header["table_at"]), path, "its table leaves the file")
    places = np.minimum(np.searchsorted(starts, pointers.astype(np.int64)), len(starts) - 1)
    _require(bool((starts[places] == pointers).all()), path, "an image is not in its table")
    _require(bool((np.bincount(places) <= 1).all()), path, "two images are stored at one place")
    return sizes[places]


def _check_images(opened: Packed) -> None:
    path, raw = opened.path, opened.modes == beton_layout.RAW
    _require(
        bool(np.isin(opened.modes, (beton_layout.JPEG, beton_layout.RAW)).all()), path, "an image has an unknown mode"
    )
    _require(bool((opened.widths * opened.heights > 0).all()), path, "an image has no pixels")
    _require(bool((opened.labels >= 0).all()), path, "a label is negative")
    wrong = raw & (opened.sizes != 3 * opened.widths * opened.heights)
    _require(not wrong.any(), path, f"raw image {np.argmax(wrong)} has not three bytes a pixel")
    content = opened.mapped()
    encoded = np.flatnonzero(~raw)
    for index in encoded[:: max(1, len(encoded) // MAX_PROBED)]:
        payload = opened.payload(content, index)
        whole = payload[:2].tobytes() == jpeg.START and payload[-2:].tobytes() == jpeg.END
        _require(whole, path, f"image {index} is no whole JPEG")


def _read(path: Path, kind: np.dtype, count: int, offset: int) -> np.ndarray:
    if path.stat().st_size < int(offset) + int(count) * kind.itemsize:
        raise _damaged(path, f"it is truncated at {path.stat().st_size} bytes")
    return np.fromfile(path, kind, int(count), offset=int(offset))


def _require(holds: bool, path: Path, what: str) -> None:
    if not holds:
        raise _damaged(path, what)


def _damaged(path: Path, what: str) -> files.DamagedError:
    return files.DamagedError(path, f"is damaged or no packed file: {what}")
