"""Rows of the page's table of errors, with small axes, and means over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ilsvrc.evaluation import headline_metric
from ilsvrc.evaluation.headline_metric import Measure
from ilsvrc.reporting import error_table, figures, pretrained, provenance
from ilsvrc.reporting.error_table import records
from ilsvrc.reporting.figures import Style
from ilsvrc.reporting.formatting import given, text
from ilsvrc.reporting.pretrained import Pretrained
from ilsvrc.reporting.report_data import ReportData

ROUND_PERCENTS = (1, 2, 5, 10, 15, 20, 30, 40, 50, 60, 80)
Row = Mapping[str, Any]


@dataclass(frozen=True)
class ErrorSection:
    """The table of errors; `seeds` are means over seeds, `best_epochs` the runs that report their best epoch."""

    by: Measure
    rows: Sequence[Row]
    axis_end: float
    shows_seed: bool
    shows_recipe: bool
    pretrained: Sequence[Pretrained]
    best_epochs: Sequence[str]
    seeds: Sequence[Row]
    num_protocols: int


def error_section(data: ReportData) -> ErrorSection:
    """The table of errors of the page."""
    errors, runs = data.errors, data.errors.drop_duplicates("run")
    by, drawn = headline_metric.from_columns(errors.columns), list(data.drawn.values())
    places = {run: place for place, run in enumerate(data.drawn)}
    top = axis_end(errors[f"{by.stem}_high_percent"].max())
    return ErrorSection(
        by=by,
        rows=[row_cells(row, places, drawn, by, top) for row in records(errors)],
        axis_end=top,
        shows_seed=runs["seed"].nunique() > 1,
        shows_recipe=runs["recipe"].nunique() > 1,
        pretrained=pretrained.not_trained_here(runs, data.run_infos),
        best_epochs=provenance.best_epochs(errors, data.run_infos),
        seeds=records(error_table.over_seeds(errors, data.swept)),
        num_protocols=errors["protocol"].nunique(),
    )


def row_cells(row: Row, places: Mapping[str, int], drawn: Sequence[Style], by: Measure, top: float) -> dict[str, Any]:
    """A table row: the measured values, its run's mark and its error's place on the small axis."""
    place, shown = places[row["run"]], measured(row, by)
    low, at, high = (round(100 * shown[key] / top, 2) for key in ("low", "at", "high"))
    return {
        **{key: value if given(value) else None for key, value in {**row, **shown}.items()},
        "place": place,
        "mark": figures.PALETTE.index(drawn[place].colour),
        "whisker": {"low": low, "at": at, "high": high},
        "swept_values": {key: text(value) for key, value in row.items()},
    }


def measured(row: Row, by: Measure) -> dict[str, Any]:
    """The headline metric as `at` with its interval, and the second metric, whose interval may not be known."""
    second = {end: row.get(f"{by.second_stem}_{end}_percent") for end in ("low", "high")}
    return {
        "at": row[by.column], "low": row[f"{by.stem}_low_percent"], "high": row[f"{by.stem}_high_percent"],
        "second": row[by.second], "second_low": second["low"], "second_high": second["high"],
    }  # fmt: skip


def axis_end(percent: float) -> float:
    """The next round number for the end of an axis that starts at 0."""
    return next((end for end in ROUND_PERCENTS if percent <= end), 100)


def trained_here(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of runs that were trained here: neither ensembles nor pretrained weights."""
    return runs[[given(seed) and not given(source) for seed, source in zip(runs["seed"], runs["source"], strict=True)]]
