"""Leftovers: runs, predictions, costs, packed forms and checkpoints that params.yaml no longer names, unfinished files.

A run of the pipeline removes none of them: going back to earlier parameters finds what is there.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilsvrc.artifacts import run_files
from ilsvrc.config import packed_formats, runs
from ilsvrc.config.params import Params, load
from ilsvrc.evaluation import prediction_file
from ilsvrc.pipeline import wiring
from ilsvrc.runtime import files, unrecorded

WORK = Path("work")
QUIET_S = 3600


@dataclass(frozen=True)
class PruneJob:
    """Leftovers of the configuration file at `params`, to be listed, or removed too."""

    params: Path = Path("params.yaml")
    remove: bool = False


@dataclass(frozen=True)
class Leftovers:
    """Sizes in bytes by path."""

    job: PruneJob
    num_bytes: dict[Path, int]


def prune(job: PruneJob) -> Leftovers:
    """Finds the leftovers and their sizes, and removes them where the job says so.

    Raises:
        ValueError: the configuration file is wrong.
    """
    found = Leftovers(job, {path: size(path) for path in leftovers(load(job.params))})
    for path in found.num_bytes if job.remove else ():
        remove(path)
    return found


def as_text(found: Leftovers) -> str:
    """A line for each path, and the sum."""
    lines = [f"{readable(num_bytes):>9}  {path}" for path, num_bytes in found.num_bytes.items()]
    total = f"{len(lines)} left over, {readable(sum(found.num_bytes.values()))}"
    if not lines:
        closing = f"nothing to prune: {found.job.params} names everything that is here"
    elif found.job.remove:
        closing = f"removed: {total}"
    else:
        closing = f"{total}; --remove removes them (DVC keeps recorded files in its cache: dvc gc)"
    return "\n".join([*lines, closing])


def as_json(found: Leftovers) -> dict[str, Any]:
    """The same for programs."""
    listed = [{"path": str(path), "bytes": num_bytes} for path, num_bytes in found.num_bytes.items()]
    return {"params": str(found.job.params), "removed": found.job.remove, "leftovers": listed}


def leftovers(params: Params) -> Iterator[Path]:
    """Files and folders that `params` does not name, damaged files set aside, and unfinished ones of the killed."""
    unnamed = [*_unnamed(params), *sorted(files.ASIDE.glob("*"))]
    yield from unnamed
    yield from (path for path in _unfinished() if not any(path.is_relative_to(removed) for removed in unnamed))


def _unnamed(params: Params) -> Iterator[Path]:
    """Folders and files of runs, protocols and packed forms that `params` does not name, by place."""
    flow = wiring.Pipeline(params)
    named = {run.name: run for run in runs.with_dependencies(flow.runs.values())}
    yield from _runs(named, params.protocols)
    measured = {Path(path) for path in flow.costs.files}
    yield from (path for path in sorted(run_files.COSTS.rglob("*.json")) if path not in measured)
    inspected = run_files.folders(run_files.INSPECTED)
    yield from (run_files.INSPECTED / run for run in inspected if run not in flow.inspected)
    forms = packed_formats.requested_forms(params)
    asked = [run_files.PACKED / form.data / packed_formats.form_name(form) for form in forms]
    yield from (path for path in sorted(run_files.PACKED.glob("*/*")) if path.is_dir() and path not in asked)
    keys = {run_files.run_key(name) for name in named}
    yield from (path for path in sorted(WORK.glob("[0-9a-f]" * 8)) if path.is_dir() and path.name not in keys)


def _unfinished() -> Iterator[Path]:
    """Unfinished files and folders of killed processes, whose names end with the process's number and `.part`.

    Nobody here knows whether a process of another machine runs, and earlier releases wrote no number: what was changed
    within the last hour stays.
    """
    for root in (run_files.RUNS.parent, run_files.PACKED, WORK):
        for path in sorted(root.rglob("*.part")):
            if not files.is_of_running_process(path) and time.time() - _last_write(path) > QUIET_S:
                yield path


def _last_write(path: Path) -> float:
    """Time of the last change of a file, or of a folder's files."""
    return max(each.stat().st_mtime for each in (path, *path.rglob("*")))


def _runs(named: dict[str, runs.Run], protocols: tuple[str, ...]) -> Iterator[Path]:
    """Folders of runs that are not `named`, and predictions by other protocols of those that are."""
    for run in run_files.folders(run_files.RUNS):
        if run not in named:
            yield run_files.RUNS / run
    for run in run_files.folders(prediction_file.PREDICTIONS):
        folder = prediction_file.PREDICTIONS / run
        if run not in named:
            yield folder
        else:
            yield from (path for path in sorted(folder.glob("*.npz")) if path.stem not in protocols)


def remove(path: Path) -> None:
    """Removes a file or folder, and the folders above it that it leaves empty."""
    unrecorded.forget(path)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    for parent in list(path.parents)[:-2]:  # never the first folder of the path
        if any(parent.iterdir()):
            break
        parent.rmdir()


def size(path: Path) -> int:
    """Bytes of a file, or of a folder's files."""
    inside = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in inside if file.is_file())


def readable(num_bytes: float) -> str:
    """1500000 -> 1.5 MB."""
    for unit, bytes_each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= bytes_each:
            return f"{num_bytes / bytes_each:.1f} {unit}"
    return f"{num_bytes} B"
