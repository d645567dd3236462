"""Several processes that share a test's images: each fills its images' rows of files that all of them map.

The process that starts them reads the rows from the same files, so that no probability is sent, and memory holds what
the kernel has room for.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ilsvrc.runtime import files
from ilsvrc.runtime.disk import enough_disk
from ilsvrc.runtime.worker_processes import Workers

FOLDER = ".shares"  # begins the name of a folder beside the first output, while processes run
FAILURE, HOW = "failure.txt", "how.txt"


class Command(NamedTuple):
    """Worker processes to start: a module and its arguments, how many, the threads of each, and GPUs."""

    module: str
    words: Sequence[str]
    num_processes: int
    threads: int
    gpus: Sequence[str]


def run(
    command: Command, beside: Path, protocols: Sequence[str], shape: tuple[int, int]
) -> tuple[Mapping[str, np.ndarray], np.ndarray, str]:
    """Runs the workers over a folder in `beside`, to the end.

    Returns:
        Probabilities float32 of `shape` `[N, K]` by protocol, how often each image came `[N]`, and how, in words.

    Raises:
        ValueError: one of them failed; the first one's message.
        OSError: the disk is full; the message names `beside`.
    """
    with enough_disk(beside), folder_in(beside) as folder:
        rows = {name: created(folder / f"{name}.npy", shape) for name in protocols}
        status = start(command, folder)
        if status:
            raise ValueError(failure_in(folder) or f"a process ended with status {status}; the log says more")
        times_seen = np.sum([np.load(path) for path in folder.glob("times_seen.*.npy")], axis=0)
        return rows, times_seen, (folder / HOW).read_text()  # mapped files outlive their names


def fail(folder: Path, error: Exception) -> None:
    """Writes a worker's error down, unless another worker's stands there: the first one speaks for all."""
    with suppress(OSError), (folder / FAILURE).open("x") as file:
        file.write(f"{error}")


def failure_in(folder: Path) -> str:
    """The message of the worker that failed first, empty where none could write one."""
    failure = folder / FAILURE
    return failure.read_text() if failure.exists() else ""


@contextmanager
def folder_in(beside: Path) -> Iterator[Path]:
    """An empty folder for the files that processes share, removed at the end."""
    folder = files.temporary_name(beside / FOLDER)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def created(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """A file of float32 `[N, K]`, mapped; its room on the disk is taken at once."""
    rows = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return rows


def start(command: Command, folder: Path) -> int:
    """Starts the workers and waits for them; the exit status of the one that failed first."""
    environment = os.environ | {"OMP_NUM_THREADS": str(command.threads)}
    if command.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(command.gpus)
    words = [sys.executable, "-m", command.module, "--shares", str(folder), *command.words]
    return Workers().run(words, environment, range(command.num_processes), command.num_processes)
