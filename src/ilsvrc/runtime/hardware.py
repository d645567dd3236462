"""Hardware and software of the machine, and claims on its GPUs. Never imports torch."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from ilsvrc.runtime import locks

PACKAGES = ("torch", "torchvision", "timm", "ffcv", "numpy", "mlflow", "snakemake", "dvc")
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")  # set where a scheduler hands out devices


def num_cores() -> int:
    """CPU cores that this process may use; those of the machine where a system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_gpus() -> int:
    """GPUs that this process may use."""
    return len(visible_gpus())


def visible_gpus() -> list[str]:
    """GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [d.strip() for d in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if d.strip() not in ("", "-1")]
    return [str(number) for number in range(len(gpu_names()))]


def gpu_names() -> list[str]:
    """Names of the machine's GPUs, such as `NVIDIA A100-SXM4-80GB`, in the driver's order."""
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    return [line.split(": ", 1)[1].split(" (UUID")[0] for line in lines]


@contextmanager
def claimed_gpus(count: int, folder: Path = Path("work/gpus")) -> Iterator[list[str]]:
    """`count` GPUs that no other job of this folder has, waiting until they are free.

    The kernel gives them back however this process ends. Where a scheduler has handed out as many as are asked for,
    its choice stands: the numbers of jobs on other machines, or behind a cgroup, name other devices.

    Raises:
        ValueError: the machine has fewer.
    """
    visible = visible_gpus() if count else []
    if count > len(visible):
        there = ", ".join(visible) or "none"
        raise ValueError(f"{count} GPUs are asked for and {len(visible)} there ({there}); lower gpu in the profile")
    if count == 0 or (count == len(visible) and any(name in os.environ for name in SCHEDULERS)):
        yield visible
        return
    with ExitStack() as claims:
        while len(claimed := _claim(visible, count, folder / platform.node(), claims)) < count:
            claims.close()
            time.sleep(1)
        yield claimed


def _claim(visible: list[str], count: int, folder: Path, claims: ExitStack) -> list[str]:
    """Up to `count` free devices, which `claims` holds from now on; one process at a time claims."""
    claimed: list[str] = []
    with locks.locked(folder / "looking.lock"):
        for device in visible:
            if len(claimed) == count:
                break
            lock = locks.try_lock(folder / f"{device.replace('/', '_')}.lock")
            if lock is not None:
                claims.callback(lock.release)
                claimed.append(device)
    return claimed


def describe(num_gpus: int = 0) -> str:
    """One line on the machine, such as `2 x AMD EPYC 7763, 16 GB` or `8 cores of ..., 1 x NVIDIA A100 ...`."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    parts = [f"{num_cores()} cores of {_cpu()}", f"{memory:.0f} GB"]
    if num_gpus:
        parts.append(f"{num_gpus} x {' and '.join(sorted(set(gpu_names()))) or 'GPU'}")
    return ", ".join(parts)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, as far as they are installed."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def commit() -> dict[str, Any]:
    """`commit` and `dirty` (tracked files differ from it) of the working folder; both None outside git."""
    head = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no") if head else None
    return {"commit": head, "dirty": None if changed is None else bool(changed)}


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _git(*words: str) -> str | None:
    if shutil.which("git") is None:
        return None
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None
