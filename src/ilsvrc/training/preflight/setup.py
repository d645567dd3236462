"""What a look before a training takes: the packed images, the runs, and a run that needs no other and little memory."""

import os
import sys
from collections.abc import Mapping

from ilsvrc.config import specs
from ilsvrc.stages.train import ENVIRONMENT


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
