"""A packed file, opened and checked. FFCV itself trains on wrong pixels from a damaged one without a word."""

import csv
import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from ilsvrc.packing import beton_layout, checksums, jpeg
from ilsvrc.packing.checksums import Checksums
from ilsvrc.runtime import files, locks
from ilsvrc.runtime.messages import say

LONG_BYTES = 4 << 30  # whose reading takes a while
SumsOf = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
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
    sums: Checksums | None = None  # None of a file that is not described

    @property
    def num_images(self) -> int:
        """Images in the file."""
        return len(self.labels)

    def payload(self, content: np.ndarray, index: int) -> np.ndarray:
        """An image's payload; `content` is `mapped()`.

        Raises:
            files.DamagedError: its bytes are not those that were packed.
        """
        self.check(content, np.array([index]))
        return content[self.offsets[index] : self.offsets[index] + self.sizes[index]]

    def check(self, content: np.ndarray, indices: np.ndarray, sums_of: SumsOf = checksums.crc32_each) -> None:
        """Compares the bytes of images with their checksums where this process reads them for the first time.

        Raises:
            files.DamagedError: they differ.
        """
        if self.sums is None:
            return
        fresh = self.sums.unseen(indices)
        if len(fresh):
            changed = self.sums.compare(fresh, sums_of(content, self.offsets[fresh], self.sizes[fresh]))
            if len(changed):
                raise self.damaged(changed, "the bytes are not those that were packed")

    def damaged(self, indices: np.ndarray, why: str) -> files.DamagedError:
        """The error for images that are damaged; the first is named."""
        first, more = int(indices[0]), len(indices) - 1
        others = f" and {more} more of its batch" if more else ""
        return files.DamagedError(self.path, f"is damaged: image {first}{self._name(first)}{others}: {why}")

    def _name(self, index: int) -> str:
        """An image's name in brackets, where the list of images has it."""
        with (
            suppress(OSError, ValueError, IndexError),
            self.path.with_suffix(".images.csv").open(newline="", errors="surrogateescape") as file,
        ):
            return "".join(f" ({row[1]})" for row in islice(csv.reader(file), index + 1, index + 2))
        return ""

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
    described = checksums.manifests_sha256(path)
    found = checksums.find(path, described)
    if found is None:
        opened = _opened(path)
        return replace(opened, sums=_made_once(opened, described)) if described else opened
    tables = checksums.tables_sha256(path, len(found.payloads))
    _require(tables == found.tables_sha256, path, "its tables are not those that were packed")
    return replace(_opened(path), sums=found)


def _made_once(opened: Packed, described: str) -> Checksums:
    """Checksums of a file that came without any, of whose readers the first one makes them."""
    try:
        with locks.locked(checksums.kept(described).with_suffix(".lock")):
            found = checksums.find(opened.path, described)
            if found is None:
                found = _by_reading(opened, described)
                found.write(checksums.kept(described))
            return found
    except OSError:  # a folder that nobody may write to, a full disk
        return _by_reading(opened, described)


def _by_reading(opened: Packed, described: str) -> Checksums:
    """Checksums of the images of a file whose content is seen to be the manifest's.

    Raises:
        files.DamagedError: it is not.
    """
    if opened.path.stat().st_size > LONG_BYTES:
        say(f"{opened.path} has no checksums yet: it is read once, to compare it with its manifest")
    content, position, digest = opened.mapped(), 0, hashlib.sha256()
    sums = np.zeros(opened.num_images, np.uint32)
    for index in np.argsort(opened.offsets):
        payload = opened.payload(content, index)
        digest.update(content[position : opened.offsets[index]].data)
        digest.update(payload.data)
        sums[index] = checksums.crc32(payload)
        position = opened.offsets[index] + opened.sizes[index]
    digest.update(content[position:].data)
    _require(digest.hexdigest() == described, opened.path, "its bytes are not those that its manifest describes")
    return Checksums.of(sums, checksums.tables_sha256(opened.path, opened.num_images), described)


def _opened(path: Path) -> Packed:
    """`open_packed` without checksums."""
    header = _header(path)
    records = _read(path, beton_layout.RECORD, header["num_samples"], beton_layout.RECORDS_AT)
    table = _read(path, beton_layout.ALLOCATION, header["num_samples"], header["table_at"])
    _require(header["table_at"] + table.nbytes == path.stat().st_size, path, "it does not end where its table does")
    sizes = _sizes(path, records["f0"]["data_ptr"], table, header)
    image = records["f0"]
    numbers = (image["width"], image["height"], image["data_ptr"], sizes, records["f1"])
    widths, heights, offsets, sizes, labels = (column.astype(np.int64) for column in numbers)
    opened = Packed(path, image["mode"].astype(np.uint8), widths, heights, offsets, sizes, labels)
    _check_images(opened)
    return opened


def content_sha256(path: Path) -> str:
    """SHA-256 of the whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_back(path: Path, crc32s: Iterable[int]) -> str:
    """Opens a file that was just written and compares each payload with its CRC-32; returns its SHA-256."""
    opened = open_packed(path)
    content = opened.mapped()
    for index, expected in enumerate(crc32s):
        same = checksums.crc32(opened.payload(content, index)) == expected
        _require(same, path, f"image {index} reads back differently")
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
        payload = content[opened.offsets[index] : opened.offsets[index] + opened.sizes[index]]
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
