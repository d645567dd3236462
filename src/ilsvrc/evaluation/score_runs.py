"""Scores of every run, ensemble and protocol: arithmetic on predictions that carry the specification asked for."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import registry, specs
from ilsvrc.config.ensembles import ResolvedEnsemble
from ilsvrc.config.schema import Section
from ilsvrc.evaluation import (
    breakdown,
    ensembles,
    metrics,
    multilabel_scores,
    prediction_file,
    predictions,
    register_models,
    scores,
)
from ilsvrc.runtime.files import write_text
from ilsvrc.tracking import mlflow_runs


class ResultsSpec(Section):
    """Specification of scores and report: runs, protocols, swept recipe keys, and ensembles."""

    runs: tuple[str, ...]
    protocols: tuple[str, ...]
    swept: tuple[str, ...]
    ensembles: tuple[ResolvedEnsemble, ...] = ()


@dataclass(frozen=True)
class ScoreJob:
    """Arguments of scoring: the specification and the files to write.

    `scores` is a CSV with a row for each run and protocol, `metrics` a JSON for DVC, `curves` a CSV with a row for each
    run and epoch, `tables` a folder. A `partial` job leaves incomplete runs out and names them.
    """

    spec: ResultsSpec
    scores: Path
    metrics: Path
    curves: Path
    tables: Path
    partial: bool = False


class Scored(NamedTuple):
    """Rows of scores.csv, and the names of incomplete runs and ensembles that were left out."""

    rows: list[scores.Row]
    left_out: list[str]

    def lines(self, swept: Sequence[str]) -> list[str]:
        """Lines for a person: the runs left out, then a line for each row."""
        return [f"left out, not complete: {name}" for name in self.left_out] + scores.result_lines(self.rows, swept)


def score(job: ScoreJob) -> Scored:
    """Checks and scores the runs and ensembles of the job's specification, and writes and registers the results.

    Raises:
        ValueError: a run is not complete, or its files belong to another run; a file of predictions is damaged, and
            removed.
    """
    complete, incomplete = choose_runs(job.spec.runs, job.spec.protocols, job.partial)
    chosen, absent = choose_ensembles(job.spec.ensembles, complete)
    tables = breakdown.Breakdown()
    try:
        rows, curve_rows = score_runs(complete, job.spec, tables)
        rows += score_ensembles(chosen, rows, tables)
    except prediction_file.DamagedError as error:
        error.path.unlink()
        raise ValueError(
            f"{error.path} {error.why}; it is removed: run snakemake again, which makes it anew"
        ) from error
    write(job, rows, curve_rows, tables)
    register_models.register(rows, job.spec.protocols[0])
    return Scored(rows, incomplete + absent)


def write(
    job: ScoreJob, rows: Sequence[scores.Row], curve_rows: Sequence[scores.Row], tables: breakdown.Breakdown
) -> None:
    """Writes all files of a job, scores.csv last."""
    columns = list(dict.fromkeys([*scores.CURVE_COLUMNS, *(key for row in curve_rows for key in row)]))
    write_text(job.curves, scores.as_csv(curve_rows, columns))
    write_text(job.metrics, json.dumps(scores.tree(rows, job.spec.swept), indent=2) + "\n")
    for name, text in tables.tables().items():
        write_text(job.tables / f"{name}.csv", text)
    columns = [*scores.COLUMNS, *multilabel_scores.columns(rows), *job.spec.swept]
    write_text(job.scores, scores.as_csv(rows, columns))


def score_runs(
    complete: Sequence[str], spec: ResultsSpec, tables: breakdown.Breakdown
) -> tuple[list[scores.Row], list[scores.Row]]:
    """A row of each run and protocol, and the rows of their learning curves."""
    rows, curve_rows = [], []
    for run in complete:
        info, weights = checked_run(run)
        counts = count(info, weights)
        curve_rows += scores.curve(info, run_files.RUNS / run / "history.csv")
        for protocol in spec.protocols:
            prediction = predictions.read_for_scores(prediction_file.prediction_file(run, protocol))
            predictions.check_prediction(run, protocol, prediction, weights)
            rows.append(scores.score(info, protocol, prediction, counts) | swept_values(weights, spec.swept))
            tables.add(rows[-1], prediction)
            track(info, rows[-1])
    return rows, curve_rows


def score_ensembles(
    chosen: Sequence[ResolvedEnsemble], of_runs: Sequence[scores.Row], tables: breakdown.Breakdown
) -> list[scores.Row]:
    """A row of each ensemble and set of protocols, from the kept predictions of its members."""
    by_run = {row["run"]: row for row in of_runs}
    rows = []
    for ensemble in chosen:
        members = [by_run[run] for run in ensemble.members]
        for protocols in ensemble.protocols:
            prediction = combined(ensemble, protocols)
            row = scores.score_ensemble(ensemble.name, ensemble.networks, protocols, prediction, members)
            rows.append(row)
            tables.add(row, prediction)
            track_ensemble(row, ensemble.members)
    return rows


def combined(ensemble: ResolvedEnsemble, protocols: Sequence[str]) -> predictions.Prediction:
    """The prediction of an ensemble by protocols that are averaged; errors name the ensemble."""
    paths = [prediction_file.prediction_file(run, protocol) for run in ensemble.members for protocol in protocols]
    try:
        return ensembles.combine(paths, ensemble.average)
    except prediction_file.DamagedError:
        raise
    except ValueError as error:
        raise ValueError(f"ensembles.{ensemble.name}: {error}") from error


def choose_runs(runs: Sequence[str], protocols: Sequence[str], partial: bool) -> tuple[list[str], list[str]]:
    """Complete and incomplete runs; without `partial`, an incomplete one is a ValueError."""
    missing = {run: paths for run in runs if (paths := predictions.missing(run, protocols))}
    if missing and not partial:
        run, paths = next(iter(missing.items()))
        raise ValueError(f"{run} is not complete: {', '.join(paths)} missing; run snakemake, or make report")
    complete = [run for run in runs if run not in missing]
    if not complete:
        raise ValueError(f"none of the {len(runs)} runs of params.yaml is complete yet; run snakemake first")
    return complete, list(missing)


def choose_ensembles(
    asked: Sequence[ResolvedEnsemble], complete: Sequence[str]
) -> tuple[list[ResolvedEnsemble], list[str]]:
    """The ensembles whose members are complete, and the names of the others with the members that are not."""
    chosen, left_out = [], []
    for ensemble in asked:
        absent = [run for run in ensemble.members if run not in complete]
        if absent:
            left_out.append(f"ensemble {ensemble.name} ({', '.join(absent)})")
        else:
            chosen.append(ensemble)
    return chosen, left_out


def checked_run(run: str) -> tuple[RunInfo, WeightsInfo]:
    """run.json and weights.json of a run, both made from the specification of its name.

    Raises:
        ValueError: one of them belongs to another run.
    """
    paths = [run_files.RUNS / run / name for name in ("run.json", "weights.json")]
    info, weights = RunInfo.read(paths[0]), WeightsInfo.read(paths[1])
    for record, path in zip((info, weights), paths, strict=True):
        run_files.check_key(run, record, path)
    return info, weights


def swept_values(weights: WeightsInfo, swept: Sequence[str]) -> dict[str, Any]:
    """The run's point of the sweep, out of its specification."""
    spec = weights.made_from
    if not isinstance(spec, specs.TrainSpec):
        return dict.fromkeys(swept)
    return {key: spec.crop_px if key == "crop_px" else getattr(spec.recipe, key) for key in swept}


def track(info: RunInfo, row: scores.Row) -> None:
    """Logs a row as a protocol of the training's run in MLflow."""
    mlflow_runs.log_protocol(
        register_models.mlflow_run(info.run),
        row["protocol"],
        tracked_metrics(row),
        {"num_images": str(row["num_images"])},
    )


def track_ensemble(row: scores.Row, members: Sequence[str]) -> None:
    """Logs a row as a protocol of a run of the ensemble's own in MLflow."""
    keys = " ".join(map(run_files.run_key, members))
    tags = {"kind": "ensemble", "networks": row["networks"], "dataset": row["dataset"], "members": keys}
    parent = mlflow_runs.open_ensemble(row["run"], tags)
    mlflow_runs.log_protocol(parent, row["protocol"], tracked_metrics(row), {"num_images": str(row["num_images"])})


def tracked_metrics(row: scores.Row) -> dict[str, float]:
    """Metrics of a row for tracking, where they were measured: its figures, and the 95 % intervals of errors."""
    found = {key: row[key] for key in (*scores.MEASURED, *multilabel_scores.COLUMNS) if key in row}
    for top in ("top1", "top5"):
        interval = metrics.wilson_interval_percent(row[f"{top}_error_percent"], row["num_images"])
        found |= {f"{top}_low_percent": interval.low, f"{top}_high_percent": interval.high}
    return {key: float(value) for key, value in found.items() if not math.isnan(value)}


def count(info: RunInfo, weights: WeightsInfo) -> Mapping[str, int]:
    """Parameters and multiply-adds of a run's network: those of run.json, or counted where it has none."""
    if info.parameters is not None and info.multiply_adds is not None:
        return {"parameters": info.parameters, "multiply_adds": info.multiply_adds}
    return _count(info.architecture, weights.num_classes, weights.crop_px)


@cache
def _count(architecture: str, num_classes: int, input_px: int) -> Mapping[str, int]:
    import torch  # seconds, and not needed where run.json counts

    from ilsvrc.models.common import flops

    with torch.device("meta"):
        network = registry.architecture(architecture)(num_classes=num_classes, input_px=input_px)
    found = flops.count(network, input_px)
    return {"parameters": found.parameters, "multiply_adds": found.multiply_adds}
