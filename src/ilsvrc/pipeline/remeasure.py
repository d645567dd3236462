"""Costs measured again: those that a busy machine disturbed, or those of some architectures."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ilsvrc.config import params, registry
from ilsvrc.pipeline import wiring
from ilsvrc.profiling.cost_files import CostFile, Int8File, TestCosts

BOOK = Path("params.yaml")


@dataclass(frozen=True)
class RemeasureJob:
    """Measurements of `architectures` (none: the disturbed ones) of the configuration file at `params`."""

    architectures: tuple[str, ...] = ()
    params: Path = BOOK
    dry_run: bool = False


def remeasure(job: RemeasureJob, follow: Callable[[str], None]) -> int:
    """Runs snakemake for the measurements, their table and the report; its exit status.

    Raises:
        ValueError: the configuration measures nothing of the named architectures, or there is no pipeline here.
    """
    found = list(measurements(job))
    if not found:
        follow("no measurement was taken on a busy machine; name architectures to measure them again all the same")
        return 0
    if not Path("Snakefile").exists():
        raise ValueError("there is no Snakefile here; run this where snakemake is run")
    return subprocess.run(command(job, found), check=False).returncode


def command(job: RemeasureJob, found: list[str]) -> list[str]:
    """The command of snakemake that makes the files `found` again."""
    book = [] if job.params == BOOK else ["--configfile", str(job.params)]
    return [
        sys.executable, "-m", "snakemake", "--cores", "all", *book, *(["--dry-run"] if job.dry_run else []),
        "--forcerun", *found,
    ]  # fmt: skip


def measurements(job: RemeasureJob) -> Iterator[str]:
    """Paths of the files to make again.

    Raises:
        ValueError: nothing of a named architecture is measured.
    """
    flow = wiring.Pipeline(params.load(job.params))
    plan, named = flow.costs, {registry.check("models", name) for name in job.architectures}
    owners = {path: spec.architecture for path, spec in plan.forms.items()}
    owners |= {path: flow.runs[run].spec.architecture for run, path in plan.quantized.items()}
    if strange := named - set(owners.values()):
        raise ValueError(f"{job.params} measures no costs of {', '.join(sorted(strange))}; see architectures and costs")
    for path, architecture in owners.items():
        if architecture in named or (not named and is_disturbed(Path(path))):
            yield path


def is_disturbed(path: Path) -> bool:
    """True if the file of costs at `path` says that the machine was busy."""
    if not path.exists():
        return False
    measured = (Int8File if path.stem == "int8" else CostFile).read(path)
    return any(isinstance(tested, TestCosts) and tested.busy_machine for tested in measured.tests)
