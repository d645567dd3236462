"""Packs pictures into FFCV's format: workers encode, one process writes in order. Same input, same bytes.

FFCV's own writer hangs where a picture is broken or a worker dies, and its bytes depend on the workers' race.
"""

import ctypes
import errno
import os
import shutil
import signal
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any

import numpy as np

from ilsvrc.card import Sample
from ilsvrc.loading import layout, packed
from ilsvrc.loading.encode import Stored, store
from ilsvrc.progress import bar
from ilsvrc.runs import FormSpec

CHUNK_BYTES, CHUNK_IMAGES = 2 << 20, 32
CHUNKS_AHEAD = 3  # a worker; what bounds the memory
MOST_NAMED = 20
PR_SET_PDEATHSIG = 1


@dataclass
class Packing:
    """What was written: a row an image, in the file's order, and sums over the pixels."""

    kept: list[int] = field(default_factory=list)  # places in `samples`
    bad: dict[int, str] = field(default_factory=dict)  # place -> reason
    records: list[tuple[tuple[int, int, int, int], int]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    checksums: list[int] = field(default_factory=list)
    how: Counter[str] = field(default_factory=Counter)
    sums: np.ndarray = field(default_factory=lambda: np.zeros((2, 3), object))  # Python's integers: no overflow
    content_sha256: str = ""

    def mean_std(self) -> tuple[list[float], list[float]]:
        """Per channel over every pixel, 0 to 255, from exact sums."""
        pixels = sum(width * height for (_, width, height, _), _ in self.records)
        total, squares = self.sums
        mean = [int(value) / pixels for value in total]
        variance = [(int(s) * pixels - int(t) ** 2) / pixels**2 for t, s in zip(total, squares, strict=True)]
        return mean, [value**0.5 for value in variance]


class _PageTooSmallError(Exception):
    """A payload is larger than a page."""


def pack(
    samples: Sequence[Sample],
    labels: Mapping[str, int],
    raw: Path,
    form: FormSpec,
    beton: Path,
    workers: int = 1,
    page_bytes: int = layout.DEFAULT_PAGE_BYTES,
) -> Packing:
    """Writes `beton`: checked, flushed to the disk, read back, then moved to its name.

    Args:
        samples: the pictures, in the order that they are packed in.
        labels: class name -> index.
        raw: the folder that `Sample.file` is relative to.
        form: how they are stored.
        beton: the file to write.
        workers: processes that encode; the bytes do not depend on it.
        page_bytes: a power of two; it doubles until the largest picture fits in.

    Raises:
        ValueError: pictures are broken (up to 20 are named) and `form.on_bad_image` is `stop`, or none is left.
        OSError: the disk is full, a file cannot be read, or a worker was killed.
    """
    _check_space(samples, form, beton)
    beton.parent.mkdir(parents=True, exist_ok=True)
    unfinished = beton.with_name(f"{beton.name}.{os.getpid()}.tmp")
    try:
        while True:
            try:
                packing = _attempt(samples, labels, raw, form, unfinished, workers, page_bytes)
                break
            except _PageTooSmallError:
                page_bytes = _doubled(page_bytes)
        packing.content_sha256 = packed.read_back(unfinished, packing.checksums)
        unfinished.replace(beton)
    except OSError as error:
        raise _explained(error, beton) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return packing


def _attempt(
    samples: Sequence[Sample], labels: Mapping[str, int], raw: Path, form: FormSpec, path: Path, workers: int,
    page_bytes: int,
) -> Packing:  # fmt: skip
    packing = Packing()
    first_page = layout.payloads_at(len(samples), page_bytes)
    with path.open("wb") as file:
        file.seek(first_page)
        position = first_page
        for place, outcome in enumerate(_outcomes(samples, raw, form, workers, beton_name=path.name.split(".")[0])):
            if isinstance(outcome, str):
                packing.bad[place] = outcome
                continue
            if len(outcome.payload) > page_bytes:
                raise _PageTooSmallError
            position = _place(position, len(outcome.payload), first_page, page_bytes)
            file.seek(position)
            file.write(outcome.payload)
            _note(packing, place, labels[samples[place].label_name], outcome, position)
            position += len(outcome.payload)
        _refuse_bad(packing, samples, form)
        _finish(file, packing, page_bytes, table_at=first_page + -(-(position - first_page) // page_bytes) * page_bytes)
    return packing


def _place(position: int, size: int, first_page: int, page_bytes: int) -> int:
    """Where the next payload goes: here, or at the next page where it would cross the page's end."""
    used = (position - first_page) % page_bytes
    return position if used + size <= page_bytes else position + page_bytes - used


def _note(packing: Packing, place: int, label: int, stored: Stored, position: int) -> None:
    packing.kept.append(place)
    packing.records.append(((stored.mode, stored.width, stored.height, position), label))
    packing.sizes.append(len(stored.payload))
    packing.checksums.append(zlib.crc32(stored.payload))
    packing.how[stored.how] += 1
    packing.sums = packing.sums + stored.sums.astype(object)


def _finish(file: IO[bytes], packing: Packing, page_bytes: int, table_at: int) -> None:
    """The table behind the last page, records and header at the start, all of it on the disk."""
    table = np.zeros(len(packing.records), layout.ALLOCATION)
    records = np.zeros(len(table), layout.RECORD)  # zeros also between the fields
    records["f0"] = np.array([image for image, _ in packing.records], layout.IMAGE)
    records["f1"] = [label for _, label in packing.records]
    table["sample_id"], table["ptr"], table["size"] = range(len(table)), records["f0"]["data_ptr"], packing.sizes
    header = np.array([(layout.VERSION, len(layout.FIELDS), page_bytes, len(records), table_at)], layout.HEADER)
    file.seek(table_at)
    file.write(table.tobytes())
    file.seek(0)
    file.write(header.tobytes() + layout.field_descriptors().tobytes() + records.tobytes())
    file.flush()
    os.fsync(file.fileno())


def _outcomes(
    samples: Sequence[Sample], raw: Path, form: FormSpec, workers: int, beton_name: str
) -> Iterator[Stored | str]:
    """Each picture's stored form or the reason why it has none, in order, with few in memory."""
    # fork: nothing here has threads yet, and a worker needs no second import
    pool = ProcessPoolExecutor(workers, get_context("fork"), initializer=_die_with_parent, initargs=(os.getpid(),))
    waiting: deque[Future[list[Stored | str]]] = deque()
    chunks = _chunks(samples)
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_store_all, chunk, raw, form))
            if len(waiting) == CHUNKS_AHEAD * workers:
                break
        with bar(f"pack {beton_name}", len(samples)) as progress:
            while waiting:
                outcomes = waiting.popleft().result()
                for chunk in chunks:
                    waiting.append(pool.submit(_store_all, chunk, raw, form))
                    break
                yield from outcomes
                progress.update(len(outcomes))
    except BrokenProcessPool:
        raise ChildProcessError(
            f"a worker was killed while it encoded pictures for {beton_name} (out of memory?); run again, with fewer"
            " workers if it repeats: `--set-threads pack=1`"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chunks(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    chunk: list[Sample] = []
    for sample in samples:
        chunk.append(sample)
        if len(chunk) == CHUNK_IMAGES or sum(s.size for s in chunk) >= CHUNK_BYTES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _store_all(samples: Sequence[Sample], raw: Path, form: FormSpec) -> list[Stored | str]:
    return [_store_one(sample, raw, form) for sample in samples]


def _store_one(sample: Sample, raw: Path, form: FormSpec) -> Stored | str:
    with (raw / sample.file).open("rb") as file:
        file.seek(sample.offset)
        content = file.read(sample.size)
    if len(content) != sample.size:
        raise OSError(
            errno.EIO, f"{sample.name} has {len(content)} of {sample.size} bytes: run acquire again", file.name
        )
    try:
        return store(content, form)
    except ValueError as error:
        return str(error)


def _die_with_parent(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _refuse_bad(packing: Packing, samples: Sequence[Sample], form: FormSpec) -> None:
    if packing.bad and form.on_bad_image == "stop":
        named = [f"  {samples[p].split}/{samples[p].name}: {why}" for p, why in list(packing.bad.items())[:MOST_NAMED]]
        more = len(packing.bad) - len(named)
        raise ValueError(
            f"{len(packing.bad)} of {len(samples)} pictures cannot be packed:\n" + "\n".join(named)
            + (f"\n  and {more} more" if more else "")
            + "\nmend or remove them, or set data: {on_bad_image: skip} in params.yaml to leave them out"
        )  # fmt: skip
    if not packing.kept:
        raise ValueError("no picture is left to pack")


def _check_space(samples: Sequence[Sample], form: FormSpec, beton: Path) -> None:
    """Refuses to begin what cannot fit; an estimate from below."""
    folder = next(parent for parent in beton.absolute().parents if parent.exists())
    raw_bytes = 3 * (form.short_side_px or 1) ** 2 * len(samples)
    needed = raw_bytes if form.encoding == "raw" else 0 if form.short_side_px else sum(s.size for s in samples)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"{needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free: make room, or choose a smaller"
            " data.short_side_px or encoding: jpeg in params.yaml",
            str(beton),
        )


def _doubled(page_bytes: int) -> int:
    if 2 * page_bytes > layout.MAX_PAGE_BYTES:
        raise ValueError(
            f"a picture is larger than {layout.MAX_PAGE_BYTES} bytes; set data.short_side_px in params.yaml"
        )
    return 2 * page_bytes


def _explained(error: OSError, beton: Path) -> OSError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and "needed" not in str(error):
        return OSError(
            error.errno, "the disk is full: make room, or choose a smaller form (data: in params.yaml)", str(beton)
        )
    return error


def summary(packing: Packing) -> dict[str, Any]:
    """The manifest's part that is measured."""
    mean, std = packing.mean_std()
    sizes = packing.sizes
    return {
        "num_images": len(packing.kept),
        "content_sha256": packing.content_sha256,
        "mean": mean,
        "std": std,
        "stored": {how: packing.how[how] for how in ("passed_through", "encoded", "raw")},
        "stored_bytes": {"min": min(sizes), "max": max(sizes), "mean": sum(sizes) / len(sizes)},
    }
