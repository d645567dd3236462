"""Plan of an experiment: what each run of params.yaml is at, and what is still to be made. Nothing runs."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ilsvrc.artifacts import run_files
from ilsvrc.config import packed_formats, runs
from ilsvrc.config.params import load
from ilsvrc.evaluation import prediction_file
from ilsvrc.pipeline import wiring

WORK, LOGS = Path("work"), Path("logs/train")
CHECKPOINTS = ("checkpoint.pt", "checkpoint.before.pt")
FAILURE = "failure.txt"  # of training.work_folder, which this package does not import
EPOCH = re.compile(r": epoch (\d+)/(\d+), ")  # of a training's log
SPLITS = ("train", "val")
STATES = ("done", "resumes", "failed", "new", "imported")


@dataclass(frozen=True)
class PlannedRun:
    """A run and its state.

    `state` is "done", "resumes" (a checkpoint is there), "failed" (the last command failed, which `detail` says),
    "new", or "imported": pretrained weights that are still to be read. Tests are predictions by protocols of
    params.yaml; a run that is only another's teacher has none.
    """

    run: str
    state: str
    detail: str
    tests_done: int
    tests: int


@dataclass(frozen=True)
class Plan:
    """A plan of the configuration file at `params`: its runs, and how many other files are still to be made."""

    params: str
    runs: tuple[PlannedRun, ...]
    packed_splits: int
    costs: int


@dataclass(frozen=True)
class PlanJob:
    """A plan of the configuration file at `params`."""

    params: Path = Path("params.yaml")


def plan(job: PlanJob) -> Plan:
    """The plan.

    Raises:
        ValueError: the configuration file is wrong, or the pictures that it names are not there.
    """
    flow = wiring.Pipeline(load(job.params))
    flow.check_pictures()
    planned = tuple(_planned(flow, run) for run in runs.with_dependencies(flow.runs.values()))
    return Plan(
        params=str(job.params),
        runs=planned,
        packed_splits=sum(not path.exists() for path in _packed(flow)),
        costs=sum(not Path(path).exists() for path in flow.costs.files),
    )


def _planned(flow: wiring.Pipeline, run: runs.Run) -> PlannedRun:
    protocols = flow.params.protocols if run.name in flow.runs else ()
    tested = [prediction_file.prediction_file(run.name, protocol).exists() for protocol in protocols]
    return PlannedRun(run.name, *_state(run), tests_done=sum(tested), tests=len(tested))


def _state(run: runs.Run) -> tuple[str, str]:
    folder, work = run_files.RUNS / run.name, WORK / run_files.run_key(run.name)
    if all((folder / name).exists() for name in run_files.RUN_FILES):
        return "done", ""
    if not run.is_trained_here:
        return "imported", ""
    if (work / FAILURE).exists():
        return "failed", " ".join((work / FAILURE).read_text(errors="replace").split())
    if any((work / name).exists() for name in CHECKPOINTS):
        return "resumes", _progress(run.name)
    return "new", ""


def _progress(run: str) -> str:
    """How far the log says that a training came; a checkpoint may be a little older."""
    log = LOGS / f"{run}.log"
    epochs = EPOCH.findall(log.read_text(errors="replace")) if log.exists() else []
    return f"after epoch {epochs[-1][0]} of {epochs[-1][1]}" if epochs else "in its first epoch"


def _packed(flow: wiring.Pipeline) -> Iterator[Path]:
    for form in flow.forms:
        folder = run_files.PACKED / form.data / packed_formats.form_name(form)
        yield from (folder / f"{split}.manifest.json" for split in SPLITS)


def as_text(found: Plan) -> str:
    """A line a run, and the sums."""
    names = [one.run.removesuffix(f"-{run_files.run_key(one.run)}") for one in found.runs]
    width = max(map(len, names), default=0)
    lines = [
        f"{name:{width}}  {one.state:8}  tests {one.tests_done} of {one.tests}  {one.detail}".rstrip()
        for name, one in zip(names, found.runs, strict=True)
    ]
    count = Counter(one.state for one in found.runs)
    states = ", ".join(f"{count[state]} {state}" for state in STATES if count[state])
    left = sum(one.tests - one.tests_done for one in found.runs)
    to_make = {"predictions": left, "packed splits": found.packed_splits, "measurements of costs": found.costs}
    rest = ", ".join(f"{number} {what}" for what, number in to_make.items() if number)
    return "\n".join((*lines, f"{len(found.runs)} runs: {states}; to be made: {rest or 'nothing more'}"))


def as_json(found: Plan) -> dict[str, Any]:
    """The same for programs."""
    return asdict(found)
