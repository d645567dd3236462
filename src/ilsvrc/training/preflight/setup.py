"""What a look before a training takes: the packed images, the runs, and a run that needs no other and little memory."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ilsvrc.config import registry, runs, specs
from ilsvrc.config.params import Params
from ilsvrc.pipeline import wiring
from ilsvrc.stages.train import ENVIRONMENT


def packed_train(flow: wiring.Pipeline) -> Path:
    """The packed training images.

    Raises:
        ValueError: they are not there.
    """
    beton = Path(flow.packed) / "train.beton"
    if not beton.exists():
        raise ValueError(f"{beton} is not there; pack the pictures first: snakemake --cores all data")
    return beton


def first_runs(flow: wiring.Pipeline, architectures: list[str]) -> list[specs.TrainSpec]:
    """The first run of each architecture that is asked for, else of each in params.yaml."""
    by_name: dict[str, specs.TrainSpec] = {}
    params = flow.params
    if architectures:
        names = tuple(registry.check("models", name) for name in architectures)
        params = Params(**params.model_dump() | {"architectures": names})
    for run in runs.expand(params):
        if isinstance(run.spec, specs.TrainSpec):
            by_name.setdefault(run.spec.architecture, run.spec)
    return list(by_name.values())


def alone(spec: specs.TrainSpec, batch_size: int) -> specs.TrainSpec:
    """`spec` in small batches, without a teacher, from its own initialisation."""
    changes = {"batch_size": batch_size, "repeats": 1, "teacher": None, "start_from": None, "trained_layers": "all"}
    return spec.model_copy(update={"recipe": spec.recipe.model_copy(update=changes)})


def with_trainings_memory() -> None:
    """Starts this program again with the allocator's settings that a training has."""
    started_with(ENVIRONMENT)


def started_with(variables: Mapping[str, str]) -> None:
    """Starts this program again with `variables` in its environment, where they are not there yet."""
    if not variables.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | variables)
