"""Launch of a training: claims the devices, keeps others out of the run's work folder, and starts its processes."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType

from ilsvrc.artifacts import run_files
from ilsvrc.config import specs
from ilsvrc.runtime import files, hardware, locks, messages, progress, stop_signal
from ilsvrc.runtime.worker_processes import Workers
from ilsvrc.tracking import mlflow_runs
from ilsvrc.training import nodes
from ilsvrc.training.job import Resources, TrainJob, words
from ilsvrc.training.work_folder import FAILURE, LOCK, MACHINE, RUN_ID, STOPPED

PLACEMENT = ("processes", "gpus", "accumulate")  # a person may want others than the run began with
# glibc would give big tensors back to the kernel after each step and page them in again: AlexNet's takes half the time.
# OpenMP's threads would spin while they wait for each other, on cores that the loader's threads want.
ENVIRONMENT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "OMP_WAIT_POLICY": "PASSIVE",
}
ENDED_BY_NCCL = "TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"  # a process that waits in vain, as torchrun has it
COMPILED = "TORCHINDUCTOR_CACHE_DIR"  # where torch keeps compiled programs for the next time
LIKELY_CAUSES = {"SIGKILL": " (no memory left?)", "SIGABRT": " (a GPU that no longer answers?)"}


def launch(job: TrainJob) -> None:
    """Runs the workers; their outputs are whole or not there.

    Raises:
        ValueError: the job is impossible, or a worker died without a message.
        SystemExit: with 75 where a signal stopped the training, with 1 where a worker failed and message why.
    """
    check(job)
    nodes.check(job.nodes)
    job.work.mkdir(parents=True, exist_ok=True)
    lock = nullcontext() if job.nodes.node_rank else locked(job.work, job.run)
    workers = Workers()
    with lock, hardware.claimed_gpus(job.resources.gpus) as devices, signals_passed_to(workers):
        status = run_workers(job, resources_of(job), devices, workers)
        if status:
            fail(job, status, workers.asked_to_stop)


def check(job: TrainJob) -> None:
    """Refuses a name that is not the specification's.

    Raises:
        ValueError: the name's end is another key; names both.
    """
    key = specs.key8(job.spec)
    if key != run_files.run_key(job.run):
        raise ValueError(f"--run {job.run} does not end with its specification's key, {key}")


def fail(job: TrainJob, status: int, asked_to_stop: bool) -> None:
    """Tells MLflow, and the person unless a worker did; exits with 1, or 75 where a signal stopped the training.

    Of several nodes the first one tells.
    """
    progress.wipe()
    failed = (job.work / FAILURE).exists()
    was_stopped = status == os.EX_TEMPFAIL or (asked_to_stop and not failed)
    if job.nodes.node_rank:
        sys.exit(os.EX_TEMPFAIL if was_stopped else 1)
    mlflow_runs.stop(job.work / RUN_ID, "KILLED" if status > 128 or was_stopped else "FAILED")
    if was_stopped:
        messages.say(f"{job.run}: {where(job.work)}; the same command goes on from there")
        sys.exit(os.EX_TEMPFAIL)
    if not failed:
        raise ValueError(f"{job.run} stopped: {reason(status)}; the same command goes on from its last checkpoint")
    sys.exit(1)


def resources_of(job: TrainJob) -> Resources:
    """Resources of the run: those that it began with, else those that the job asks for.

    Processes and GPUs are those of all nodes: how many nodes they stand on changes no bit.
    """
    requested, began = requested_resources(job), first_resources(job.work)
    if began is None:
        return requested
    began = replace(began, loader=requested.loader)  # each loader gives the same pixels
    if began == requested:
        return requested
    places = {name: getattr(requested, name) for name in PLACEMENT}
    if not job.resources.processes:
        places["processes"] = began.processes
    if places == {name: getattr(began, name) for name in PLACEMENT}:
        return began
    messages.say(
        f"{job.run} began with {described(began)} and goes on with {described(requested)}: its weights will not be "
        "those of an uninterrupted run"
    )
    return replace(requested, precision=began.precision, compile=began.compile)


def requested_resources(job: TrainJob) -> Resources:
    """Resources over all nodes that the job asks for, and threads of each process."""
    asked, num_nodes = job.resources, job.nodes.nodes
    processes = asked.processes or asked.gpus or 1
    return replace(
        asked,
        processes=processes * num_nodes,
        threads=max(1, asked.threads // processes),
        gpus=asked.gpus * num_nodes,
    )


def described(resources: Resources) -> str:
    """Resources that settle a run's bits, in words."""
    return ", ".join(f"{name} = {getattr(resources, name)}" for name in PLACEMENT)


def first_resources(work: Path) -> Resources | None:
    """Resources that the checkpoint in `work` was made with."""
    path = work / MACHINE
    if not path.exists():
        return None
    try:
        return Resources.of({"compile": "off"} | files.read_json(path))  # once never compiled
    except (files.DamagedError, KeyError, TypeError):
        path.unlink(missing_ok=True)
        messages.say(f"{path} was damaged: whether the training began with the same resources is not known")
        return None


def keep_resources(work: Path, resources: Resources) -> None:
    """Keeps the resources of a checkpoint beside it, for the next launcher."""
    files.write_text(work / MACHINE, json.dumps(asdict(resources)))


def where(work: Path) -> str:
    """How far a training came that a signal stopped."""
    stopped = work / STOPPED
    return stopped.read_text() if stopped.exists() else "stopped without a new checkpoint"


def run_workers(job: TrainJob, resources: Resources, devices: list[str], workers: Workers) -> int:
    """Runs the processes of this node; their exit status as a shell gives it."""
    for left in (FAILURE, STOPPED) if not job.nodes.node_rank else ():
        (job.work / left).unlink(missing_ok=True)
    ranks = nodes.ranks(job.nodes, resources.processes)
    command = [sys.executable, "-m", "ilsvrc.stages.train_worker", *words(replace(job, resources=resources), job.log)]
    with nodes.meeting(job.nodes, resources.processes, job.work) as meeting:
        environment = worker_environment(job, resources, devices) | meeting
        return workers.run(command, environment, ranks, resources.processes)


def worker_environment(job: TrainJob, resources: Resources, devices: list[str]) -> dict[str, str]:
    """Environment variables of the workers."""
    environment = os.environ | ENVIRONMENT | {"OMP_NUM_THREADS": str(resources.threads)}
    environment.setdefault(*ENDED_BY_NCCL)
    environment.setdefault(COMPILED, str(job.work.absolute().parent / "compiled"))
    if job.resources.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    return environment


@contextmanager
def signals_passed_to(workers: Workers) -> Iterator[None]:
    """Signals to stop end the workers, not this process before them."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        workers.stop()

    before = {number: signal.signal(number, pass_on) for number in stop_signal.SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def locked(work: Path, run: str) -> Iterator[None]:
    """One training of a run at a time: a second launcher says which process trains it, and waits."""
    message = f"{run} is being trained by process {{}}; waiting for it"
    with locks.locked(work / LOCK, lambda process: messages.say(message.format(process))):
        yield


def reason(status: int) -> str:
    """An exit status in words."""
    if status <= 128:
        return f"a worker ended with status {status}; the log says more"
    name = signal.Signals(status - 128).name
    return f"ended by {name}{LIKELY_CAUSES.get(name, '')}"
