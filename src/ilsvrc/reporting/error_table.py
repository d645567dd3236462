"""The published tables: every measured error with its interval and its paper's figure, and means over seeds."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ilsvrc.evaluation import headline_metric, metrics
from ilsvrc.reporting import csv_tables


class Published(NamedTuple):
    """Errors that a paper reports of an architecture, in percent; None where it gives none.

    They are comparable where data set, split, protocol and training are those measured here; `why` says what differs.
    """

    top1_error_percent: float | None
    top5_error_percent: float | None
    citation: str
    comparable: bool
    why: str = ""


def read_scores(path: Path) -> pd.DataFrame:
    """scores.csv; an ensemble has no seed, which leaves the others whole numbers."""
    scores = csv_tables.read(path, missing=False)
    seeds = [None if pd.isna(seed) else int(seed) for seed in scores["seed"]]
    return scores.assign(seed=pd.Series(seeds, dtype=object, index=scores.index))


def read_table(path: Path) -> pd.DataFrame:
    """A table behind the errors: names of classes stay text, whatever they look like."""
    columns = pd.read_csv(path, nrows=0).columns
    names = {name: str for name in columns if name.startswith(("class", "label", "guess", "image"))}
    return csv_tables.read(path, missing=False, dtype=names)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table, by column."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def errors(scores: pd.DataFrame, published: Callable[[Mapping[str, Any]], Published | None]) -> pd.DataFrame:
    """`scores` with the 95 % intervals behind their errors and the papers' figures as the last columns."""
    table = scores.copy()
    for top in ("top1", "top5"):
        pairs = zip(scores[f"{top}_error_percent"], scores["num_images"], strict=True)
        intervals = [metrics.wilson_interval_percent(error, n) for error, n in pairs]
        after = list(table.columns).index(f"{top}_error_percent") + 1
        table.insert(after, f"{top}_low_percent", [round(i.low, 4) for i in intervals])
        table.insert(after + 1, f"{top}_high_percent", [round(i.high, 4) for i in intervals])
    papers = [published(row) for row in records(scores)]
    for name in Published._fields:
        table[f"paper_{name}"] = [getattr(paper, name) if paper else None for paper in papers]
    return table


def over_seeds(scores: pd.DataFrame, swept: Sequence[str]) -> pd.DataFrame:
    """Mean and standard deviation (of a sample, n - 1) over seeds, a row where a run has two seeds or more."""
    same = ["dataset", "architecture", "recipe", *swept, "protocol"]
    by, columns = headline_metric.from_columns(scores.columns), {"seeds": ("seed", "count")}
    for stem, column in ((by.stem, by.column), (by.second_stem, by.second)):
        columns |= {f"{stem}_mean_percent": (column, "mean"), f"{stem}_deviation_percent": (column, "std")}
    table = scores.groupby(same, sort=False, dropna=False).agg(**columns).reset_index()
    return table[table["seeds"] > 1].reset_index(drop=True)
