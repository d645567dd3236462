"""Scores: a row for each run (or ensemble) and protocol, learning curves, printed lines. No torch, no plots."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ilsvrc.artifacts import spreadsheet
from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.evaluation import metrics, multilabel_scores
from ilsvrc.evaluation.predictions import Prediction
from ilsvrc.evaluation.task import MultiLabel
from ilsvrc.runtime import files

COLUMNS = (
    "run", "dataset", "architecture", "recipe", "seed", "protocol", "networks", "members", "num_images",
    "top1_error_percent", "top5_error_percent", "negative_log_likelihood", "expected_calibration_error_percent",
    "brier_score", "parameters", "multiply_adds", "train_seconds", "images_per_second", "source",
)  # fmt: skip
MEASURED = COLUMNS[9:14]  # of predictions; NaN where it does not apply
ERRORS = (*MEASURED[:2], *multilabel_scores.SCORES)  # what metrics.json holds of them
ENSEMBLE = "ensemble/"  # begins the name that an ensemble has among runs
CURVE_COLUMNS = ("run", "dataset", "architecture", "recipe", "seed", "epoch")

Row = dict[str, Any]


def score(run: RunInfo, protocol: str, prediction: Prediction, counts: Mapping[str, int]) -> Row:
    """A row of scores.csv, less its swept values.

    `counts` are the network's parameters and multiply_adds.
    """
    return {
        **_identity(run),
        "protocol": protocol,
        "networks": run.architecture,
        "members": 1,
        **measured(prediction),
        "parameters": counts["parameters"],
        "multiply_adds": counts["multiply_adds"],
        "train_seconds": run.train_seconds,
        "images_per_second": run.images_per_second,
        "source": run.source or "",  # of pretrained weights
    }


def score_ensemble(
    name: str, networks: str, protocols: Sequence[str], prediction: Prediction, members: Sequence[Row]
) -> Row:
    """A row of scores.csv for an ensemble of `members`, a row of each of its runs; its costs are theirs added up.

    `networks` says what they are, such as `5 alexnet`; protocols that are averaged are joined by a plus.
    """
    recipes = {member["recipe"] for member in members}
    costs = ("parameters", "multiply_adds", "train_seconds")
    return {
        "run": f"{ENSEMBLE}{name}",
        "dataset": members[0]["dataset"],
        "architecture": name,
        "recipe": recipes.pop() if len(recipes) == 1 else "",
        "seed": "",
        "protocol": "+".join(protocols),
        "networks": networks,
        "members": len(members),
        **measured(prediction),
        **{key: _sum(member[key] for member in members) for key in costs},
        "images_per_second": "",
        "source": " + ".join(dict.fromkeys(member["source"] for member in members if member["source"])),
    }


def is_ensemble(row: Mapping[str, Any]) -> bool:
    """True if a row of scores.csv is an ensemble's."""
    return str(row["run"]).startswith(ENSEMBLE)


def measured(prediction: Prediction) -> Row:
    """The figures of a row that come from its predictions."""
    ranks, num_classes = prediction.ranks, prediction.num_classes
    bins = reliability(prediction)
    if isinstance(prediction.task, MultiLabel):
        calibration = {"expected_calibration_error_percent": metrics.expected_calibration_error_percent(bins)}
        return dict.fromkeys(MEASURED, math.nan) | multilabel_scores.measured(prediction) | calibration
    return {
        "num_images": len(ranks),
        "top1_error_percent": metrics.top_k_error_percent(ranks, 1, num_classes),
        "top5_error_percent": metrics.top_k_error_percent(ranks, 5, num_classes),
        "negative_log_likelihood": metrics.negative_log_likelihood(prediction.log_probabilities),
        "expected_calibration_error_percent": metrics.expected_calibration_error_percent(bins),
        "brier_score": metrics.brier_score(prediction.log_probabilities, prediction.squared_norms),
    }


def reliability(prediction: Prediction) -> list[metrics.Bin]:
    """Bins of the reliability diagram: of first guesses, or of each class of each image of a multi-label task."""
    if isinstance(prediction.task, MultiLabel):
        return multilabel_scores.reliability(prediction)
    return metrics.reliability(prediction.guess_probabilities[:, 0], prediction.ranks == 0)


def curve(run: RunInfo, history: Path) -> list[Row]:
    """The run's learning curve, a row an epoch: history.csv's columns behind the run's identity.

    Raises:
        files.DamagedError: the file has not a row of each of the run's epochs.
    """
    with history.open(newline="", errors="replace") as file:
        rows = list(csv.DictReader(file))
    if run.epochs is not None and len(rows) != run.epochs:
        raise files.DamagedError(history, f"has rows of {len(rows)} of {run.epochs} epochs")
    return [{**_identity(run), **{k: "" if v == "nan" else v for k, v in row.items()}} for row in rows]


def as_csv(rows: Iterable[Row], columns: Sequence[str], header: bool = True) -> str:
    """CSV text; numbers as Python writes them, so that they read back the same; empty where nothing was measured."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def tree(rows: Iterable[Row], swept: Sequence[str]) -> dict[str, Any]:
    """metrics.json: data set -> run's short name -> protocol -> error in percent. Without keys that change by hash,
    so that DVC compares a run with the same run under other parameters."""
    found: dict[str, Any] = {}
    for row in rows:
        errors = {k: row[k] for k in ERRORS if not math.isnan(row.get(k, math.nan))}
        found.setdefault(row["dataset"], {}).setdefault(short_name(row, swept), {})[row["protocol"]] = errors
    return found


def short_name(row: Mapping[str, Any], swept: Sequence[str]) -> str:
    """Short name, unique among the runs of a data set: `resnet18,learning_rate=0.05,seed=0`.

    Of pretrained weights, architecture and weights: `resnet18_b,torchvision-IMAGENET1K_V1`.
    """
    if is_ensemble(row):
        return str(row["architecture"])
    if row["source"]:
        return f"{row['architecture']},{row['recipe']}"
    return ",".join([str(row["architecture"]), *(f"{key}={row[key]}" for key in swept), f"seed={row['seed']}"])


def result_lines(rows: Sequence[Row], swept: Sequence[str]) -> list[str]:
    """One aligned line a row: what, which protocol, errors with their 95 % intervals, n."""
    several_seeds = len({row["seed"] for row in rows if not is_ensemble(row)}) > 1
    some_are_not_ours = any(row["source"] for row in rows)
    cells = [
        [
            row["dataset"],
            row["architecture"],
            *([row["recipe"] if row["source"] else "trained here"] if some_are_not_ours else []),
            *("" if row.get(key) is None else f"{key}={row[key]}" for key in swept),
            *([f"seed={row['seed']}" if row["seed"] != "" else row["networks"]] if several_seeds else []),
            row["protocol"],
            *error_cells(row),
            f"n = {row['num_images']}",
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def error_cells(row: Row) -> list[str]:
    """Cells of a printed line with the errors."""
    if multilabel_scores.columns([row]):
        return multilabel_scores.cells(row)
    return [f"top-{k} {error_with_interval(row[f'top{k}_error_percent'], row['num_images'])}" for k in (1, 5)]


def error_with_interval(error_percent: float, num_images: int) -> str:
    """`0.8 % [0.3, 2.4]`, or a dash where nothing was measured."""
    if math.isnan(error_percent):
        return "-"
    interval = metrics.wilson_interval_percent(error_percent, num_images)
    return f"{error_percent:4.1f} % [{interval.low:.1f}, {interval.high:.1f}]"


def _sum(costs: Iterable[float | None]) -> float | str:
    """All of them, or nothing where one is not known: that of pretrained weights."""
    known = list(costs)
    return "" if None in known else sum(cost for cost in known if cost is not None)


def _identity(run: RunInfo) -> Row:
    return {
        "run": run.run,
        "dataset": run.dataset,
        "architecture": run.architecture,
        "recipe": run.recipe_name,
        "seed": run.seed,
    }


def _cell(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return ""
    return spreadsheet.escaped("-".join(map(str, value)) if isinstance(value, (list, tuple)) else value)
