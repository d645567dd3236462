"""Provenance of the runs in a report: machines, software, commits, dates, and choices of epochs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.config.recipe import Recipe
from ilsvrc.config.specs import TrainSpec
from ilsvrc.reporting import formatting
from ilsvrc.reporting.formatting import text


@dataclass(frozen=True)
class Environment:
    """Facts on a machine, its software and a commit, and the runs that were made there."""

    facts: Mapping[str, str]
    runs: Sequence[str]


def recipe_of(info: RunInfo | None) -> Recipe | None:
    """The recipe of a training; None of pretrained weights and of ensembles."""
    spec = info.made_from if info else None
    return spec.recipe if isinstance(spec, TrainSpec) else None


def chosen_by_test(errors: pd.DataFrame, run_infos: Mapping[str, RunInfo]) -> list[str]:
    """Architectures whose training watched the test images, as their papers did."""
    recipes = {run: recipe_of(run_infos.get(run)) for run in errors["run"]}
    watched = [run for run, recipe in recipes.items() if recipe and recipe.monitor == "test"]
    return list(dict.fromkeys(errors.loc[errors["run"].isin(watched), "architecture"]))


def validated_on_test(run_infos: Mapping[str, RunInfo]) -> list[str]:
    """Trainings whose validation is on the test split: their recipes hold out no training images."""
    recipes = {run: recipe_of(info) for run, info in run_infos.items()}
    return [run for run, recipe in recipes.items() if recipe and not recipe.validation_fraction]


def best_epochs(errors: pd.DataFrame, run_infos: Mapping[str, RunInfo]) -> list[str]:
    """`resnet18 (epoch 7 of 12)` for each run that reports its best epoch, not its last."""
    named = []
    for run, architecture in dict(zip(errors["run"], errors["architecture"], strict=True)).items():
        info = run_infos.get(run)
        if info and (recipe := recipe_of(info)) and recipe.report_epoch == "best":
            named.append(f"{architecture} (epoch {text(info.reported_epoch)} of {text(info.epochs)})")
    return named


def environments(run_infos: Mapping[str, RunInfo]) -> list[Environment]:
    """One entry for each different machine, software and commit, with its runs."""
    facts = {run: _facts(info) for run, info in run_infos.items()}
    different = {str(each): each for each in facts.values()}
    return [
        Environment(each, [run for run, own in facts.items() if str(own) == key]) for key, each in different.items()
    ]


def _facts(info: RunInfo) -> dict[str, str]:
    return {
        "Hardware": text(info.hardware),
        "Precision": text(info.precision),
        "Processes": processes(info),
        "Software": text(info.versions),
        "Commit": f"{text(info.commit)}{' with uncommitted changes' if info.dirty else ''}",
    }


def processes(info: RunInfo) -> str:
    """Number of processes and threads of a training; a dash of pretrained weights."""
    return f"{info.processes}, {text(info.threads)} threads each" if info.processes else formatting.DASH


def period(run_infos: Mapping[str, RunInfo]) -> str:
    """The days between which the trainings ended; empty where it is not known."""
    days = sorted(info.finished[:10] for info in run_infos.values() if info.finished)
    return "" if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
