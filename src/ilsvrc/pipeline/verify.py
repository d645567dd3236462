"""Removes the files that are not what params.yaml asks for, so that Snakemake makes them again.

Times do not travel with git or DVC, so that a clone cannot tell old from new by them. Contents can (`faults.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilsvrc.artifacts import run_files
from ilsvrc.config import runs
from ilsvrc.config.params import load
from ilsvrc.pipeline import wiring
from ilsvrc.pipeline.faults import (
    Fault,
    cost_faults,
    inspection_faults,
    packed_faults,
    prediction_faults,
    run_faults,
    summary_faults,
)
from ilsvrc.pipeline.prune import remove
from ilsvrc.runtime.messages import say
from ilsvrc.runtime.progress import track
from ilsvrc.tracking import dvc


@dataclass(frozen=True)
class VerifyJob:
    """A check of the results of the configuration file at `params`."""

    params: Path = Path("params.yaml")


@dataclass(frozen=True)
class Verified:
    """Files and folders that were removed, and the numbers of runs that are here and that are named."""

    job: VerifyJob
    removed: list[Fault]
    num_present: int
    num_named: int


def verify(job: VerifyJob) -> Verified:
    """Checks packed data, runs and predictions, in this order, since each is checked against those before it.

    Raises:
        ValueError: the configuration file is wrong.
    """
    flow = wiring.Pipeline(load(job.params))
    removed = [fault for form in flow.forms for fault in _discard(packed_faults(form))]
    for run in track(runs.with_dependencies(flow.runs.values()), "verify", unit="runs"):
        removed += _discard(run_faults(run))
        removed += _discard(prediction_faults(run, flow.params.protocols))
    removed += _discard(cost_faults(flow.costs))
    removed += _discard(inspection_faults(flow))
    removed += _discard(summary_faults(flow))
    dvc.mark(dvc.MARKER, recorded=True, reason="pulled as it was recorded elsewhere")
    num_present = sum((run_files.RUNS / run).is_dir() for run in flow.runs)
    return Verified(job, removed, num_present, len(flow.runs))


def as_text(result: Verified) -> str:
    """The sum, in a line; what was removed was said when it was."""
    number = len(result.removed)
    removed = f"{number} removed, snakemake makes them again" if number else "nothing removed"
    present = f"{result.num_present} of {result.num_named} runs of {result.job.params} are here and as they should be"
    return f"verified: {present}; {removed}"


def as_json(result: Verified) -> dict[str, Any]:
    """The same for programs."""
    removed = [{"path": str(path), "why": why} for path, why in result.removed]
    return {"params": str(result.job.params), "present": result.num_present, "named": result.num_named} | {
        "removed": removed
    }


def _discard(faults: Iterable[Fault]) -> list[Fault]:
    """The faults, whose files are removed and said one by one: a later fault may depend on an earlier file."""
    removed = []
    for fault in faults:
        remove(fault.path)
        say(f"removed {fault.path}: {fault.why}")
        removed.append(fault)
    return removed
