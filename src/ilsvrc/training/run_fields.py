"""Fields of run.json that trainings and imports of weights share."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypedDict

import torch

from ilsvrc.models.common import flops
from ilsvrc.models.common.layers import Classifier
from ilsvrc.runtime import hardware
from ilsvrc.training.history import Row


class Names(TypedDict):
    """Fields that name a run, and say when it was finished."""

    run: str
    dataset: str
    architecture: str
    recipe_name: str
    seed: int
    finished: str


class Measured(TypedDict):
    """Fields that a training measures."""

    epochs: int
    train_seconds: float
    images_per_second: float


class Environment(TypedDict):
    """Fields on hardware, versions and commit."""

    hardware: str
    versions: dict[str, str]
    commit: str | None
    dirty: bool | None


class Cost(TypedDict):
    """Fields on the network's size."""

    parameters: int
    multiply_adds: int


def names(run: str, seed: int) -> Names:
    """Fields that name a run, which is finished now; `recipe_name` has the changes of the recipe, if there are any."""
    label, architecture, recipe, _ = run.split("/")
    return {
        "run": run,
        "dataset": label,
        "architecture": architecture,
        "recipe_name": recipe,
        "seed": seed,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def measured(rows: list[Row]) -> Measured:
    """Fields that a training measures, out of its history."""
    return {
        "epochs": len(rows),
        "train_seconds": sum(row["seconds"] for row in rows),
        "images_per_second": mean_rate(rows),
    }


def mean_rate(rows: list[Row]) -> float:
    """Images a second over all epochs."""
    images = sum(row["seconds"] * row["images_per_second"] for row in rows)
    return float(images / sum(row["seconds"] for row in rows))


def environment(gpus: int = 0) -> Environment:
    """Fields on hardware, versions and commit."""
    commit = hardware.commit()
    return {
        "hardware": hardware.describe(gpus),
        "versions": hardware.versions(),
        "commit": commit["commit"],
        "dirty": commit["dirty"],
    }


def commit_tag() -> str:
    """The commit and its changes, as MLflow's tag has them."""
    commit = hardware.commit()
    return f"{commit['commit'] or 'unknown'}{' with changes' if commit['dirty'] else ''}"


def cost(network: Callable[[], Classifier], crop_px: int) -> Cost:
    """Parameters and multiply-adds of the network at test time, at a size of its input."""
    with torch.device("meta"):
        counts = flops.count(network(), crop_px)
    return {"parameters": counts.parameters, "multiply_adds": counts.multiply_adds}
