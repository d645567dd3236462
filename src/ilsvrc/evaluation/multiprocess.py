"""Several processes that share a test's images: each fills its images' rows of files that all of them map.

The process that starts them reads what they filled, so that no probability is sent, and memory holds what the kernel
has room for.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ilsvrc.runtime import parent_death, torchrun

FOLDER = ".shares"  # beside the first output, while processes run
FAILURE, HOW = "failure.txt", "how.txt"


def run(
    given: argparse.Namespace, num_processes: int, gpus: Sequence[str], protocols: Sequence[str], shape: tuple[int, int]
) -> tuple[Mapping[str, np.ndarray], np.ndarray, str]:
    """Starts the processes; what `predict.probabilities` returns.

    Raises:
        ValueError: one of them failed; the first one's message.
    """
    with folder_beside(given.output[0]) as folder:
        rows = {name: created(folder / f"{name}.npy", shape) for name in protocols}
        status = start(given, num_processes, gpus, folder)
        if status:
            failure = folder / FAILURE
            raise ValueError(failure.read_text() if failure.exists() else f"a process ended with status {status}")
        times_seen = np.sum([np.load(path) for path in folder.glob("times_seen.*.npy")], axis=0)
        return rows, times_seen, (folder / HOW).read_text()  # what is mapped outlives its name


@contextmanager
def folder_beside(output: Path) -> Iterator[Path]:
    """An empty folder for what processes share."""
    folder = output.parent / FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of a job that was killed
    folder.mkdir(parents=True)
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


def start(given: argparse.Namespace, num_processes: int, gpus: Sequence[str], folder: Path) -> int:
    """torchrun's exit status."""
    threads = max(1, given.threads // num_processes)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), torchrun.LOG: str(given.log or "")}
    environment[parent_death.PARENT] = str(os.getpid())
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    words = ["--standalone", f"--nproc-per-node={num_processes}", "-m", "ilsvrc.stages.predict_worker"]
    words += ["--shares", str(folder), "--threads", str(threads)]
    for name, value in vars(given).items():
        if name not in ("threads", "processes") and value is not None:
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    command = [sys.executable, "-m", "ilsvrc.runtime.torchrun", *words]
    return subprocess.run(command, env=environment, check=False).returncode
