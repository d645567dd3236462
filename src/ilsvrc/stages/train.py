"""Trains a run: claims the devices, keeps others out of the run's work folder, and starts torchrun.

The same command again goes on where the last one stopped, however that ended. Started once on each of several nodes
that see the same folders, with `--nodes`, it trains one run over all of them.
"""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from ilsvrc.artifacts import run_files
from ilsvrc.config import specs
from ilsvrc.runtime import entry_point, files, hardware, messages, parent_death, progress
from ilsvrc.runtime.torchrun import LOG
from ilsvrc.tracking import mlflow_runs
from ilsvrc.training import nodes

CHOICES = ("processes", "threads", "gpus", "precision", "loader", "accumulate", "compile")
PLACES = ("processes", "gpus", "accumulate")  # where other numbers than at the start are what a person wants
MACHINE = "machine.json"  # what the machine chose, kept beside the checkpoint
# glibc would give big tensors back to the kernel after each step and page them in again: AlexNet's takes half the time.
# OpenMP's threads would spin while they wait for each other, on cores that the loader's threads want.
ENVIRONMENT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "OMP_WAIT_POLICY": "PASSIVE",
}
COMPILED = "TORCHINDUCTOR_CACHE_DIR"  # where torch keeps compiled programs for the next time
RUN_ID = "mlflow_run"
STOPPED = "stopped.txt"  # how far a training came that a signal asked to stop
TRY_AGAIN = 75  # exit status of a stopped training: sysexits' EX_TEMPFAIL
PERHAPS = {"SIGKILL": " (no memory left?)", "SIGABRT": " (a GPU that no longer answers?)"}
FAILURE = "failure.txt"  # what went wrong: the worker that writes it speaks for all


def main(given: argparse.Namespace) -> None:
    """Runs the workers; their outputs are whole or not there."""
    parent_death.die_with_parent(os.getppid())
    check(given)
    nodes.check(given)
    given.work.mkdir(parents=True, exist_ok=True)
    alone = nullcontext() if given.node_rank else locked(given.work / "lock", given.run)
    with alone, hardware.claimed_gpus(given.gpus) as devices:
        status = run_workers(given, choices(given), devices)
        if status:
            fail(given, status)


def check(given: argparse.Namespace) -> None:
    """Refuses a name that is not the specification's.

    Raises:
        ValueError: the name's end is another key; names both.
    """
    key = specs.key8(specs.parse_specification(specs.TrainSpec, given.spec))
    if key != run_files.run_key(given.run):
        raise ValueError(f"--run {given.run} does not end with its specification's key, {key}")


def fail(given: argparse.Namespace, status: int) -> None:
    """Tells MLflow, and the person unless a worker did; exits with 1, or 75 where a signal stopped the training.

    Of several nodes the first one tells.
    """
    progress.wipe()
    if given.node_rank:
        sys.exit(TRY_AGAIN if status in (TRY_AGAIN, 128 + signal.SIGTERM) else 1)
    stopped = given.work / STOPPED
    mlflow_runs.stop(given.work / RUN_ID, "KILLED" if status > 128 or stopped.exists() else "FAILED")
    if stopped.exists():
        messages.say(f"{given.run}: {stopped.read_text()}; the same command goes on from there")
        sys.exit(TRY_AGAIN)
    if not (given.work / FAILURE).exists():
        raise ValueError(f"{given.run} stopped: {reason(status)}; the same command goes on from its last checkpoint")
    sys.exit(1)


def choices(given: argparse.Namespace) -> dict[str, Any]:
    """Processes, threads of each, precision and so on: those that the run began with, else what is asked for now.

    Processes and GPUs are those of all nodes: how many nodes they stand on changes no bit.
    """
    processes_ = given.processes or given.gpus or 1
    asked = {
        "processes": processes_ * given.nodes,
        "threads": max(1, given.threads // processes_),
        "gpus": given.gpus * given.nodes,
        "precision": given.precision,
        "loader": given.loader,
        "accumulate": given.accumulate,
        "compile": given.compile,
    }
    kept = kept_choices(given.work)
    if kept is None or kept == asked:
        return asked
    began = {name: kept[name] for name in PLACES}
    now = {name: asked[name] if name != "processes" or given.processes else kept[name] for name in PLACES}
    if began != now:
        messages.say(
            f"{given.run} began with {in_words(began)} and goes on with {in_words(asked)}: its weights will not be "
            "those of an uninterrupted run"
        )
        return asked | {name: kept[name] for name in ("precision", "compile")}
    return kept


def in_words(chosen: Mapping[str, Any]) -> str:
    """What settles a run's bits, beside its specification."""
    return ", ".join(f"{name} = {chosen[name]}" for name in PLACES)


def kept_choices(work: Path) -> dict[str, Any] | None:
    """What the checkpoint in `work` was made with."""
    path = work / MACHINE
    return {"compile": "off"} | files.read_json(path) if path.exists() else None  # once there was no such choice


def run_workers(given: argparse.Namespace, chosen: dict[str, Any], devices: list[str]) -> int:
    """Exit status of torchrun as a shell gives it; torchrun gets the signals that this process gets."""
    for left in (FAILURE, STOPPED) if not given.node_rank else ():
        (given.work / left).unlink(missing_ok=True)
    environment = os.environ | ENVIRONMENT | {"OMP_NUM_THREADS": str(chosen["threads"]), LOG: str(given.log or "")}
    environment[parent_death.PARENT] = str(os.getpid())
    environment.setdefault(COMPILED, str(given.work.absolute().parent / "compiled"))
    if given.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    words = [*nodes.meeting(given, chosen["processes"]), "-m", "ilsvrc.stages.train_worker"]
    for name in CHOICES[1:]:
        words += [f"--{name}", str(chosen[name])]
    command = [sys.executable, "-m", "ilsvrc.runtime.torchrun", *words, *passed_on(given)]
    with subprocess.Popen(command, env=environment) as torchrun, signals_passed_to(torchrun):
        status = torchrun.wait()
    return status if status >= 0 else 128 - status


def passed_on(given: argparse.Namespace) -> list[str]:
    """The arguments that workers get as they came."""
    words = []
    for name, value in vars(given).items():
        if name not in CHOICES and value is not None:
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return words


@contextmanager
def signals_passed_to(torchrun: "subprocess.Popen[bytes]") -> Iterator[None]:
    """SIGTERM and SIGINT end torchrun and its workers, not this process before them."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        torchrun.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def locked(path: Path, run: str) -> Iterator[None]:
    """One training of a run at a time: a second one says who has it, and waits."""
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            messages.say(f"{run} is being trained by process {lock.read()}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def reason(status: int) -> str:
    """An exit status in words."""
    if status <= 128:
        return f"a worker ended with status {status}; the log says more"
    name = signal.Signals(status - 128).name
    return f"ended by {name}{PERHAPS.get(name, '')}"


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments; the workers' too."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--spec", required=True, help="specs.TrainSpec as JSON")
    parser.add_argument("--run", required=True, help="name of the run: its folder under results/runs")
    for name in ("train", "train-manifest", "val", "val-manifest"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="packed split, or its manifest")
    for name in ("start", "teacher"):
        parser.add_argument(f"--{name}", type=Path, nargs="*", default=[], help="weights of a run that goes before")
    for name in ("weights", "weights-info", "history", "run-info"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="file to write")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint, outside every output")
    parser.add_argument("--processes", type=int, default=0, help="of this node; 0: one a GPU, or one on a CPU")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, over all processes")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of this node, 0 for the CPU")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16 or float64")
    parser.add_argument("--loader", default="ffcv", help="ffcv, pillow or synthetic")
    parser.add_argument(
        "--accumulate", type=int, default=1, help="parts that a process's share of a batch is passed in"
    )
    parser.add_argument("--compile", default="auto", help="auto, on or off")
    nodes.add_arguments(parser)
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
