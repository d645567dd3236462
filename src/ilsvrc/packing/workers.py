"""Processes that encode images side by side and hand them on in order. A killed one is an error, never a hang."""

import os
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import IO

import numpy as np

from ilsvrc.config.specs import FormSpec
from ilsvrc.datasets._card import Sample
from ilsvrc.packing.encode import Stored, store
from ilsvrc.packing.mean_image import MeanImage, SquareSums, sums_of
from ilsvrc.packing.read_bytes import bytes_in, image_content, refuse_oversized
from ilsvrc.runtime import parent_death
from ilsvrc.runtime.progress import bar

CHUNK_BYTES, CHUNK_IMAGES = 2 << 20, 64
CHUNKS_AHEAD = 3  # a worker; what bounds the memory
Task = tuple[Sample, bool]  # an image, and True if it is measured


def outcomes(
    samples: Sequence[Sample], measured: Sequence[bool], mean_image: MeanImage, raw: Path, form: FormSpec, workers: int,
    title: str,
) -> Generator[Stored | str, None, None]:  # fmt: skip
    """Each image's stored form or the reason why it has none, in order, with few in memory.

    `measured` says which images the statistics are of; `mean_image` gets their squares, summed where they are made.
    """
    # fork: nothing here has threads yet, and a worker needs no second import
    pool = ProcessPoolExecutor(workers, get_context("fork"), initializer=_die_with_parent, initargs=(os.getpid(),))
    waiting: deque[Future[tuple[list[Stored | str], SquareSums]]] = deque()
    chunks = _chunks(zip(samples, measured, strict=True))
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_store_all, chunk, raw, form))
            if len(waiting) == CHUNKS_AHEAD * workers:
                break
        with bar(title, len(samples)) as progress:
            while waiting:
                done, squares = waiting.popleft().result()
                mean_image.add(squares)
                for chunk in chunks:
                    waiting.append(pool.submit(_store_all, chunk, raw, form))
                    break
                yield from done
                progress.update(len(done))
    except BrokenProcessPool:
        raise ChildProcessError(
            "a worker was killed while it encoded images (out of memory?); run again, with fewer"
            " workers if it repeats: `--set-threads pack=1`"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chunks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    chunk: list[Task] = []
    size = 0
    for task in tasks:
        chunk.append(task)
        size += task[0].size
        if len(chunk) == CHUNK_IMAGES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _store_all(tasks: Sequence[Task], raw: Path, form: FormSpec) -> tuple[list[Stored | str], SquareSums]:
    stored: list[Stored | str] = []
    for name, of_one_file in groupby(tasks, key=lambda task: task[0].file):
        with (raw / name).open("rb") as file:
            stored += [_store_one(sample, measured, file, form) for sample, measured in of_one_file]
    squares = sums_of(one.measured.square for one in stored if isinstance(one, Stored) and one.measured)
    return [_without_square(one) for one in stored], squares


def _without_square(one: Stored | str) -> Stored | str:
    """The outcome for the writer, without the square, which is in the sums."""
    if isinstance(one, str) or one.measured is None:
        return one
    return one._replace(measured=one.measured._replace(square=np.empty(0, np.uint8)))


def _store_one(sample: Sample, measured: bool, file: IO[bytes], form: FormSpec) -> Stored | str:
    try:
        refuse_oversized(sample)
        content = bytes_in(file, sample)
        return store(image_content(sample, content), form, measured)
    except ValueError as error:
        return str(error)


def _die_with_parent(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # how the pool ends the others where one was killed
    parent_death.die_with_parent(parent)
