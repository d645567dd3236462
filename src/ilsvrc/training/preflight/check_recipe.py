"""Check of recipes before hours are spent: can each network's first training start, and overfit a few images?"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ilsvrc.artifacts import manifest as manifests
from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.config import specs
from ilsvrc.runtime import distributed
from ilsvrc.runtime.distributed import World
from ilsvrc.training.preflight import checks, setup
from ilsvrc.training.preflight.checks import FirstStep
from ilsvrc.training.preflight.probe import Finding


@dataclass(frozen=True)
class CheckRecipeJob:
    """Check of the recipes of `runs` on the packed training images."""

    packed: Path  # training images
    runs: tuple[specs.TrainSpec, ...]  # the first run of each architecture
    seconds: float = 30.0  # for each run
    threads: int = 1  # on a CPU
    gpus: int = 0  # 0 or 1
    loader: str = "auto"


class RecipeFinding(NamedTuple):
    """Finding of a check on the recipe of an architecture."""

    architecture: str
    finding: Finding


def check_recipes(job: CheckRecipeJob) -> Iterator[RecipeFinding]:
    """Findings, each as soon as it is made; a run is checked within `job.seconds` but for a step that is under way."""
    with distributed.process_group(job.gpus) as world:
        for spec in job.runs:
            for finding in findings(job, spec, world):
                yield RecipeFinding(spec.architecture, finding)


def findings(job: CheckRecipeJob, spec: specs.TrainSpec, world: World) -> Iterator[Finding]:
    """Findings on one run; none after a start that fails."""
    until = time.perf_counter() + job.seconds
    manifest = Manifest.read(manifests.beside(job.packed))
    try:
        plan = setup.plan(job.packed, spec, manifest, job.loader)
        probe = setup.probe(job.packed, spec, manifest, world, plan.schedule, job.loader, job.threads)
        yield Finding("start", True, plan.message)
        start = {name: value.clone() for name, value in probe.training.network.state_dict().items()}
        first = FirstStep(probe)
    except ValueError as error:
        yield Finding("start", False, str(error))
        return
    yield checks.first_loss(probe, first)
    yield checks.signal(first)
    yield checks.gradients(probe, first)
    yield checks.first_update(probe, first)
    yield checks.overfit(probe, start, until)


def as_text(found: RecipeFinding) -> str:
    """One line of the table."""
    architecture, finding = found
    return f"{architecture:<23} {finding.check:<14}{finding.verdict}: {finding.message}"


def as_json(found: Iterable[RecipeFinding]) -> list[dict[str, str]]:
    """Findings as JSON holds them."""
    return [
        {"architecture": name, "check": finding.check, "verdict": finding.verdict, "message": finding.message}
        for name, finding in found
    ]


def require_fit(found: Iterable[RecipeFinding]) -> None:
    """Refuses recipes that are to be changed.

    Raises:
        ValueError: names each architecture and check.
    """
    wrong = [f"{name} ({finding.check})" for name, finding in found if finding.fits is False]
    if wrong:
        raise ValueError(f"{len(wrong)} to change, by training: {{...}} in params.yaml: {', '.join(wrong)}")
