"""Scores every run and protocol: arithmetic on predictions that carry the specification that was asked for."""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ilsvrc.artifacts import run_files
from ilsvrc.config import registry, specs
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
from ilsvrc.runtime import entry_point, messages
from ilsvrc.runtime.files import Info, read_json, write_text
from ilsvrc.tracking import mlflow_runs


def main(given: argparse.Namespace) -> None:
    """Checks and scores the runs and ensembles of `--spec`, writes the tables, prints a line for each row."""
    spec = json.loads(given.spec)
    complete = choose_runs(spec["runs"], spec["protocols"], given.partial)
    behind = breakdown.Breakdown()
    try:
        rows, curve_rows = score_runs(complete, spec, behind)
        rows += score_ensembles(choose_ensembles(spec.get("ensembles", []), complete), rows, behind)
    except prediction_file.DamagedError as error:
        error.path.unlink()
        raise ValueError(f"{error}; it is removed: run snakemake again, which makes it anew") from error
    columns = list(dict.fromkeys([*scores.CURVE_COLUMNS, *(key for row in curve_rows for key in row)]))
    write_text(given.curves, scores.as_csv(curve_rows, columns))
    write_text(given.metrics, json.dumps(scores.tree(rows, spec["swept"]), indent=2) + "\n")
    for name, text in behind.tables().items():
        write_text(given.tables / f"{name}.csv", text)
    write_text(given.scores, scores.as_csv(rows, [*scores.COLUMNS, *multilabel_scores.columns(rows), *spec["swept"]]))
    register_models.register(rows, spec["protocols"][0])
    for line in scores.result_lines(rows, spec["swept"]):
        messages.say(line)


def score_runs(
    complete: Sequence[str], spec: Mapping[str, Any], behind: breakdown.Breakdown
) -> tuple[list[scores.Row], list[scores.Row]]:
    """A row of each run and protocol, and the rows of their learning curves."""
    rows, curve_rows = [], []
    for run in complete:
        info, weights = checked_run(run)
        counts = count(info, weights)
        curve_rows += scores.curve(info, run_files.RUNS / run / "history.csv")
        for protocol in spec["protocols"]:
            prediction = predictions.read_for_scores(prediction_file.prediction_file(run, protocol))
            predictions.check_prediction(run, protocol, prediction, weights)
            rows.append(scores.score(info, protocol, prediction, counts) | swept_values(weights, spec["swept"]))
            behind.add(rows[-1], prediction)
            track(info, rows[-1])
    return rows, curve_rows


def score_ensembles(
    chosen: Sequence[Mapping[str, Any]], of_runs: Sequence[scores.Row], behind: breakdown.Breakdown
) -> list[scores.Row]:
    """A row of each ensemble and set of protocols, from the kept predictions of its members."""
    of_run = {row["run"]: row for row in of_runs}
    rows = []
    for ensemble in chosen:
        for protocols in ensemble["protocols"]:
            files = [prediction_file.prediction_file(run, p) for run in ensemble["members"] for p in protocols]
            try:
                prediction = ensembles.combine(files, ensemble["average"])
            except prediction_file.DamagedError:
                raise
            except ValueError as error:
                raise ValueError(f"ensembles.{ensemble['name']}: {error}") from error
            members = [of_run[run] for run in ensemble["members"]]
            row = scores.score_ensemble(ensemble["name"], ensemble["networks"], protocols, prediction, members)
            rows.append(row)
            behind.add(row, prediction)
            track_ensemble(row, ensemble["members"])
    return rows


def choose_ensembles(asked: Sequence[Mapping[str, Any]], complete: Sequence[str]) -> list[Mapping[str, Any]]:
    """The ensembles whose members are complete; the others are named."""
    chosen = []
    for ensemble in asked:
        absent = [run for run in ensemble["members"] if run not in complete]
        if absent:
            messages.say(f"left out, not complete: ensemble {ensemble['name']} ({', '.join(absent)})")
        else:
            chosen.append(ensemble)
    return chosen


def choose_runs(runs: list[str], protocols: list[str], partial: bool) -> list[str]:
    """The runs that are complete; without `partial`, all of them or a ValueError."""
    missing = {run: files for run in runs if (files := predictions.missing(run, protocols))}
    for run, files in missing.items():
        if not partial:
            raise ValueError(f"{run} is not complete: {', '.join(files)} missing; run snakemake, or make report")
        messages.say(f"left out, not complete: {run}")
    complete = [run for run in runs if run not in missing]
    if not complete:
        raise ValueError(f"none of the {len(runs)} runs of params.yaml is complete yet; run snakemake first")
    return complete


def checked_run(run: str) -> tuple[Info, Info]:
    """run.json and weights.json of a run, both made from the specification that its name says."""
    files = [run_files.RUNS / run / name for name in ("run.json", "weights.json")]
    info, weights = map(read_json, files)
    run_files.check_key(run, info, files[0])
    run_files.check_key(run, weights, files[1])
    return info, weights


def swept_values(weights: Info, swept: Sequence[str]) -> dict[str, Any]:
    """The run's point of the sweep, out of its specification."""
    spec = specs.made_from(weights)
    if not isinstance(spec, specs.TrainSpec):
        return dict.fromkeys(swept)
    return {key: spec.crop_px if key == "crop_px" else getattr(spec.recipe, key) for key in swept}


def track(info: Info, row: scores.Row) -> None:
    """Logs a row as a protocol of the training's run in MLflow."""
    mlflow_runs.log_protocol(
        register_models.mlflow_run(info["run"]), row["protocol"], known(row), {"num_images": str(row["num_images"])}
    )


def track_ensemble(row: scores.Row, members: Sequence[str]) -> None:
    """Logs a row as a protocol of a run of the ensemble's own in MLflow."""
    keys = " ".join(map(run_files.run_key, members))
    tags = {"kind": "ensemble", "networks": row["networks"], "dataset": row["dataset"], "members": keys}
    parent = mlflow_runs.open_ensemble(row["run"], tags)
    mlflow_runs.log_protocol(parent, row["protocol"], known(row), {"num_images": str(row["num_images"])})


def known(row: scores.Row) -> dict[str, float]:
    """What is tracked of a row, where it was measured: its figures, and the 95 % intervals of those that have one."""
    found = {key: row[key] for key in (*scores.MEASURED, *multilabel_scores.COLUMNS) if key in row}
    for top in ("top1", "top5"):
        interval = metrics.wilson_interval_percent(row[f"{top}_error_percent"], row["num_images"])
        found |= {f"{top}_low_percent": interval.low, f"{top}_high_percent": interval.high}
    return {key: float(value) for key, value in found.items() if not math.isnan(value)}


def count(info: Info, weights: Info) -> Mapping[str, int]:
    """Parameters and multiply-adds of a run's network, of run.json where they stand there."""
    if {"parameters", "multiply_adds"} <= info.keys():
        return {name: info[name] for name in ("parameters", "multiply_adds")}
    return _count(info["architecture"], weights["num_classes"], weights["crop_px"])


@cache
def _count(architecture: str, num_classes: int, input_px: int) -> Mapping[str, int]:
    import torch  # seconds, and not needed where run.json counts

    from ilsvrc.models.common import flops

    with torch.device("meta"):
        network = registry.architecture(architecture)(num_classes=num_classes, input_px=input_px)
    found = flops.count(network, input_px)
    return {"parameters": found.parameters, "multiply_adds": found.multiply_adds}


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--spec", required=True, help='JSON: {"runs": [...], "protocols": [...], "swept": [...]}')
    parser.add_argument("--scores", type=Path, required=True, help="CSV to write, a row a run and protocol")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON to write, for dvc metrics")
    parser.add_argument("--curves", type=Path, required=True, help="CSV to write, a row a run and epoch")
    parser.add_argument("--tables", type=Path, required=True, help="folder for the tables behind the errors")
    parser.add_argument("--partial", action="store_true", help="leave incomplete runs out and name them")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
