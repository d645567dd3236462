"""Packs images into FFCV's format: workers encode, one process writes in order. Same input, same bytes.

FFCV's own writer hangs where an image is broken or a worker dies, and its bytes depend on the workers' race.
"""

import errno
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO

import numpy as np

from ilsvrc.config.specs import FormSpec
from ilsvrc.datasets._card import Sample
from ilsvrc.datasets._index import Index
from ilsvrc.packing import beton_layout, checksums
from ilsvrc.packing.beton import open_packed, read_back
from ilsvrc.packing.encode import Stored
from ilsvrc.packing.mean_image import MeanImage
from ilsvrc.packing.pixel_statistics import Colours, measured_places
from ilsvrc.packing.workers import outcomes
from ilsvrc.runtime import files

MAX_NAMED = 20


class Packing:
    """Table of the written images, in the file's order, and sums over their pixels."""

    def __init__(self, most: int) -> None:
        self.kept: list[int] = []  # places in `samples`
        self.bad: dict[int, str] = {}  # place -> reason
        self.records = np.zeros(0, beton_layout.RECORD)  # when all are there
        self._columns = np.zeros((most, 5), np.int64)  # mode, width, height, position, label
        self.sizes, self.checksums = np.zeros(most, np.int64), np.zeros(most, np.uint32)
        self.how: Counter[str] = Counter()
        self.colours, self.mean_image = Colours(), MeanImage()
        self.content_sha256 = ""

    def add(self, place: int, label: int, stored: Stored, position: int) -> None:
        """Notes an image that was written at `position`."""
        row = len(self.kept)
        self.kept.append(place)
        self._columns[row] = (stored.mode, stored.width, stored.height, position, label)
        self.sizes[row], self.checksums[row] = len(stored.payload), checksums.crc32(stored.payload)
        self.how[stored.how] += 1
        if stored.measured is not None:
            self.colours.add(stored.width, stored.height, stored.measured.sums)

    def complete(self) -> None:
        """Makes the records, and forgets the rows that no image took."""
        num_images = len(self.kept)
        self.sizes, self.checksums = self.sizes[:num_images], self.checksums[:num_images]
        self.records = np.zeros(num_images, beton_layout.RECORD)  # zeros also between the fields
        for name, column in zip(beton_layout.IMAGE.names or (), self._columns.T, strict=False):
            self.records["f0"][name] = column[:num_images]
        self.records["f1"] = self._columns[:num_images, 4]


class _PageTooSmallError(Exception):
    """A payload is larger than a page."""


def pack(
    samples: Sequence[Sample],
    labels: Mapping[str, int],
    raw: Path,
    form: FormSpec,
    beton: Path,
    workers: int = 1,
    page_bytes: int = beton_layout.DEFAULT_PAGE_BYTES,
    compare: bool = False,
) -> Packing:
    """Writes `beton`: checked, flushed to the disk, read back, then moved to its name, its checksums beside it.

    Args:
        samples: the images, in the order that they are packed in.
        labels: class name -> index.
        raw: the folder that `Sample.file` is relative to.
        form: how they are stored.
        beton: the file to write.
        workers: processes that encode; the bytes do not depend on it.
        page_bytes: a power of two; it doubles until the largest image fits in.
        compare: encode every image once more and compare it with the file as the disk returns it.

    Raises:
        ValueError: too little space is free, or images are broken (up to 20 are named) and `form.on_bad_image` is
            `stop`, or none is left.
        OSError: the disk is full, a file cannot be read, or a worker was killed.
    """
    try:
        with files.atomically(beton) as unfinished:  # what a killed packing left is removed: its room is free
            _check_space(samples, form, beton)
            packing = _with_fitting_pages(samples, labels, raw, form, unfinished, workers, page_bytes)
            packing.content_sha256 = read_back(unfinished, packing.checksums.tolist())
            if compare:
                _compare(packing, samples, raw, form, unfinished, workers)
            tables_sha256 = checksums.tables_sha256(unfinished, len(packing.kept))
            checked = checksums.Checksums.of(packing.checksums, tables_sha256, packing.content_sha256)
            checked.write(checksums.beside(beton))
    except OSError as error:
        raise _explained(error, beton) from error
    return packing


def _with_fitting_pages(
    samples: Sequence[Sample], labels: Mapping[str, int], raw: Path, form: FormSpec, path: Path, workers: int,
    page_bytes: int,
) -> Packing:  # fmt: skip
    """Writes the file at `path`, anew with pages of twice the size until the largest image fits in."""
    while True:
        try:
            return _attempt(samples, labels, raw, form, path, workers, page_bytes)
        except _PageTooSmallError:
            page_bytes = _doubled(page_bytes)


def _attempt(
    samples: Sequence[Sample], labels: Mapping[str, int], raw: Path, form: FormSpec, path: Path, workers: int,
    page_bytes: int,
) -> Packing:  # fmt: skip
    """Writes all of the file at `path` with pages of `page_bytes`."""
    packing = Packing(len(samples))
    position = first_page = beton_layout.payloads_at(len(samples), page_bytes)
    measured, title = measured_places(samples, form), f"pack {path.name.split('.')[0]}"
    encoded = outcomes(samples, measured, packing.mean_image, raw, form, workers, title)
    with path.open("wb") as file, closing(encoded) as stored:
        file.seek(first_page)
        for place, outcome in enumerate(stored):
            if isinstance(outcome, str):
                packing.bad[place] = outcome
                continue
            behind, position = position, _place(position, len(outcome.payload), first_page, page_bytes)
            if position != behind:
                file.seek(position)  # which empties the buffer
            file.write(outcome.payload)
            packing.add(place, labels[samples[place].label_name], outcome, position)
            position += len(outcome.payload)
        _refuse_bad(packing, samples, form)
        packing.complete()
        pages = -(-(position - first_page) // page_bytes)
        _finish(file, packing, page_bytes, table_at=first_page + pages * page_bytes)
    return packing


def _compare(packing: Packing, samples: Sequence[Sample], raw: Path, form: FormSpec, path: Path, workers: int) -> None:
    """Makes every image once more and compares its bytes with what the disk gives back."""
    opened = open_packed(path)
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # out of memory
    content, kept = opened.mapped(), Index(samples[place] for place in packing.kept)
    title, unmeasured = f"compare {path.name.split('.')[0]}", [False] * len(kept)
    with closing(outcomes(kept, unmeasured, MeanImage(), raw, form, workers, title)) as again:
        for row, outcome in enumerate(again):
            if isinstance(outcome, str) or outcome.payload != opened.payload(content, row).tobytes():
                raise ValueError(
                    f"{kept[row].split}/{kept[row].name} is not in {path.name} what its source gives now: the disk,"
                    " the memory or the source is at fault; run again"
                )


def _place(position: int, size: int, first_page: int, page_bytes: int) -> int:
    """Offset of the next payload: this one, or the next page's if it would cross the page's end."""
    if size > page_bytes:
        raise _PageTooSmallError
    used = (position - first_page) % page_bytes
    return position if used + size <= page_bytes else position + page_bytes - used


def _finish(file: IO[bytes], packing: Packing, page_bytes: int, table_at: int) -> None:
    """The table behind the last page, records and header at the start, all of it on the disk."""
    records = packing.records
    table = np.zeros(len(records), beton_layout.ALLOCATION)
    table["sample_id"], table["ptr"], table["size"] = range(len(table)), records["f0"]["data_ptr"], packing.sizes
    header = np.array(
        [(beton_layout.VERSION, len(beton_layout.FIELDS), page_bytes, len(records), table_at)], beton_layout.HEADER
    )
    file.seek(table_at)
    file.write(table.tobytes())
    file.seek(0)
    file.write(header.tobytes() + beton_layout.field_descriptors().tobytes() + records.tobytes())
    file.flush()
    os.fsync(file.fileno())


def _refuse_bad(packing: Packing, samples: Sequence[Sample], form: FormSpec) -> None:
    if packing.bad and form.on_bad_image == "stop":
        named = [f"  {samples[p].split}/{samples[p].name}: {why}" for p, why in list(packing.bad.items())[:MAX_NAMED]]
        more = len(packing.bad) - len(named)
        raise ValueError(
            f"{len(packing.bad)} of {len(samples)} images cannot be packed:\n" + "\n".join(named)
            + (f"\n  and {more} more" if more else "")
            + "\nmend or remove them, or set data: {on_bad_image: skip} in params.yaml to leave them out"
        )  # fmt: skip
    if not packing.kept:
        raise ValueError("no image is left to pack")


def _check_space(samples: Sequence[Sample], form: FormSpec, beton: Path) -> None:
    """Refuses to begin what cannot fit."""
    folder = beton.absolute().parent
    needed, free = min_bytes(samples, form), shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"{beton.name} needs {needed / 1e9:.1f} GB at least and {free / 1e9:.1f} GB are free in {folder}:"
            " make room, or choose a smaller data.short_side_px or encoding: jpeg in params.yaml"
        )


def min_bytes(samples: Sequence[Sample], form: FormSpec) -> int:
    """Lower bound of the packed file's size: bytes that pass through are known, encoded ones are not."""
    tables = len(samples) * (beton_layout.RECORD.itemsize + beton_layout.ALLOCATION.itemsize)
    square = 3 * form.short_side_px**2 if form.short_side_px else None
    if square and form.encoding == "jpeg":
        return tables
    if square and form.upscale:
        return tables + square * len(samples)
    own = (
        sample.size for sample in samples if not sample.kind or sample.kind.startswith("stored:")
    )  # raw pixels are no fewer bytes than their encoding
    return tables + sum(min(size, square) if square else size for size in own)


def _doubled(page_bytes: int) -> int:
    if 2 * page_bytes > beton_layout.MAX_PAGE_BYTES:
        raise ValueError(
            f"an image is larger than {beton_layout.MAX_PAGE_BYTES} bytes; set data.short_side_px in params.yaml"
        )
    return 2 * page_bytes


def _explained(error: OSError, beton: Path) -> OSError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OSError(
            error.errno, "the disk is full: make room, or choose a smaller form (data: in params.yaml)", str(beton)
        )
    return error
