"""Tables of the papers as printed, with the measurements beside their rows.

A measurement stands beside the rows of the same networks by the same test protocol; one without such a row follows
below the table. `published.csv` holds both.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ilsvrc.evaluation import metrics
from ilsvrc.reporting import published_results
from ilsvrc.reporting.published_results import Result

PUBLISHED = (
    "paper", "table", "title", "dataset", "protocol", "models", "crops",
    "published_top1_error_percent", "published_top5_error_percent", "confidence",
)  # fmt: skip
MEASURED = ("measured", "networks", "measured_protocol", "seeds", "num_images")
BY_ERROR = ("error_percent", "low_percent", "high_percent", "difference", "difference_low", "difference_high")
COLUMNS = (
    *PUBLISHED, *MEASURED, *(f"{top}_{name}" for top in ("top1", "top5") for name in BY_ERROR),
    "comparable", "why_not", "training",
)  # fmt: skip
OTHER_TRAINING = "other training"
Row = dict[str, Any]


class Measured(NamedTuple):
    """A network, or an ensemble, tested by one protocol: the mean of its seeds.

    `networks` is as in `published_results.networks`. `training` says how its training differs from the
    paper's.
    """

    name: str
    run: str  # the first seed's
    networks: str
    protocol: str
    seeds: int
    num_images: int
    top1_error_percent: float
    top5_error_percent: float  # NaN where there are too few classes
    training: str


class PaperTable(NamedTuple):
    """A paper's table. `own`: the paper is that of a network measured here; else it reports one of another's."""

    paper: str
    table: str
    own: bool
    rows: tuple[Row, ...]
    ours: tuple[Row, ...]  # measured, and in no row of the paper, where it is `own`

    @property
    def is_compared(self) -> bool:
        """True if a measurement stands in it."""
        return bool(self.ours) or any("measured" in row for row in self.rows)


def measured(errors: pd.DataFrame, swept: Sequence[str], training: Mapping[str, str]) -> list[Measured]:
    """Measurements on a data set: rows of the table of errors, averaged over seeds."""
    keys = ["architecture", "recipe", *swept, "protocol"]
    shown = [key for key in ("recipe", *swept) if errors.drop_duplicates("run")[key].nunique() > 1]
    return [_mean(rows, shown, training) for _, rows in errors.groupby(keys, sort=False, dropna=False)]


def tables(
    results: Iterable[Result], measurements: Sequence[Measured], papers_data: str | None, owners: Mapping[str, str]
) -> list[PaperTable]:
    """The tables that report a network measured here: of own papers in the order of `measurements`, then of others.

    Args:
        results: `published_results.results`.
        measurements: `measured`.
        papers_data: the papers' name of the data tested on; None: no paper has it.
        owners: architecture -> the paper that it is of.
    """
    papers: dict[str, list[Result]] = {}
    for row in results:
        papers.setdefault(row.paper, []).append(row)
    here = dict.fromkeys(name for each in measurements for name in published_results.networks(each.networks))
    owned = dict.fromkeys(owners[name] for name in here if name in owners)
    kept = [
        table
        for paper, rows in papers.items()
        if here.keys() & {name for row in rows for name in row.networks or ()}
        for table in _tables(rows, measurements, papers_data, paper in owned)
    ]
    order = {paper: place for place, paper in enumerate(owned)}
    return sorted(kept, key=lambda table: order.get(table.paper, len(order)))


def as_frame(tables: Iterable[PaperTable]) -> pd.DataFrame:
    """published.csv: a row a printed row and what was measured beside it, then what is ours alone."""
    rows = [row for table in tables for row in (*table.rows, *table.ours)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _mean(rows: pd.DataFrame, shown: Sequence[str], training: Mapping[str, str]) -> Measured:
    first = rows.iloc[0]
    values = [f"{key}={first[key]}" for key in shown if not pd.isna(first[key])]
    return Measured(
        name=" ".join([first["architecture"], *values]),
        run=first["run"],
        networks=first["networks"],
        protocol=first["protocol"],
        seeds=len(rows),
        num_images=int(first["num_images"]),
        top1_error_percent=float(rows["top1_error_percent"].mean()),
        top5_error_percent=float(rows["top5_error_percent"].mean()),
        training=training.get(first["run"], ""),
    )


def _tables(
    printed: Sequence[Result], measurements: Sequence[Measured], papers_data: str | None, own: bool
) -> Iterator[PaperTable]:
    """The tables of a paper that have a network measured here."""
    beside = _beside(printed, measurements, papers_data)
    alone = [each for each in measurements if not any(each in matches for matches in beside.values())]
    groups: dict[str, list[tuple[int, Result]]] = {}
    for place, row in enumerate(printed):
        for table in row.tables:
            groups.setdefault(table, []).append((place, row))
    for table, rows in sorted(groups.items(), key=lambda group: group[0] == published_results.IN_THE_TEXT):
        here = {name for _, row in rows for name in row.networks or ()}
        ours = [each for each in alone if own and set(published_results.networks(each.networks)) <= here]
        alone = [each for each in alone if each not in ours]
        name = {"paper": printed[0].paper, "table": table}
        lines = [line | name for place, row in rows for line in _lines(row, beside.get(place, []), papers_data)]
        under = [_unreported(each, [row for _, row in rows], papers_data) | name for each in ours]
        if here & {name for each in measurements for name in published_results.networks(each.networks)}:
            yield PaperTable(printed[0].paper, table, own, tuple(lines), tuple(under))


def _beside(
    printed: Sequence[Result], measurements: Sequence[Measured], papers_data: str | None
) -> dict[int, list[Measured]]:
    """Measurements by index of a paper's row: of its networks, by its protocol.

    Where the paper has several such rows, those on the data measured here, else the first alone.
    """
    beside: dict[int, list[Measured]] = {}
    for each in measurements:
        asked = (published_results.networks(each.networks), each.protocol)
        same = [i for i, row in enumerate(printed) if row.kind == "error" and (row.networks, row.protocol) == asked]
        for place in [i for i in same if printed[i].dataset == papers_data] or same[:1]:
            beside.setdefault(place, []).append(each)
    return beside


def _lines(row: Result, beside: Sequence[Measured], papers_data: str | None) -> Iterator[Row]:
    """The printed row with the first measurement, then the others alone."""
    yield _printed(row) | (_compared(row, beside[0], papers_data) if beside else {})
    for each in beside[1:]:
        yield _compared(row, each, papers_data)


def _printed(row: Result) -> Row:
    return {
        "title": row.title,
        "dataset": row.dataset,
        "protocol": row.protocol,
        "models": row.models,
        "crops": row.crops,
        "published_top1_error_percent": row.top1_error_percent,
        "published_top5_error_percent": row.top5_error_percent,
        "confidence": row.confidence,
    }


def _compared(row: Result, each: Measured, papers_data: str | None) -> Row:
    """The measurement, its difference where data and split are the paper's, and why they do not compare."""
    data = other_data(row.dataset, papers_data)
    why = list(filter(None, [data, OTHER_TRAINING if each.training else ""]))
    return {**_of(each), **_errors(each, None if data else row), "comparable": not why, "why_not": ", ".join(why)}


def _unreported(each: Measured, printed: Sequence[Result], papers_data: str | None) -> Row:
    """A measurement without a row in the table, and why."""
    same = [row for row in printed if row.networks == published_results.networks(each.networks)]
    data = min((other_data(row.dataset, papers_data) for row in same or printed), key=len)
    how = "other test protocol" if same else "another number of networks"
    why = ", ".join(filter(None, (data, how, OTHER_TRAINING if each.training else "")))
    return {**_of(each), **_errors(each, None), "comparable": False, "why_not": why}


def other_data(printed: str, tested: str | None) -> str:
    """`other split` or `other data`, where a printed row is not of the data tested on; else empty."""
    if printed == tested:
        return ""
    return "other split" if tested and printed.rsplit(" ", 1)[0] == tested.rsplit(" ", 1)[0] else "other data"


def _of(each: Measured) -> Row:
    return {
        "measured": each.name,
        "networks": each.networks,
        "measured_protocol": each.protocol,
        "seeds": each.seeds,
        "num_images": each.num_images,
        "training": each.training,
    }


def _errors(each: Measured, row: Result | None) -> Row:
    """Errors with their intervals, and their differences from the printed ones, which are taken as they stand."""
    cells: Row = {}
    for top in ("top1", "top5"):
        error = getattr(each, f"{top}_error_percent")
        published = getattr(row, f"{top}_error_percent") if row else None
        if not pd.isna(error):
            interval = metrics.wilson_interval_percent(error, each.num_images)
            values = (error, interval.low, interval.high)
            less = [None if published is None else round(value - published, 4) for value in values]
            cells |= dict(
                zip((f"{top}_{name}" for name in BY_ERROR), (*(round(v, 4) for v in values), *less), strict=True)
            )
    return cells
