"""Error against the size of networks, the papers' points in grey behind ours, the Pareto front marked."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ilsvrc.evaluation.headline_metric import TOP1, Measure
from ilsvrc.evaluation.pareto import front
from ilsvrc.reporting import figures
from ilsvrc.reporting.error_table import records
from ilsvrc.reporting.figures import Style
from ilsvrc.reporting.published_results import Result

PANELS = {"multiply_adds": "multiply-adds of one view", "parameters": "parameters"}
COLUMNS = ("whose", "run", "architecture", "dataset", "protocol", "num_images", *PANELS)
OURS = "ours"
IMAGENET = "ILSVRC-2012 val"  # the papers' points, where no paper reports on the data tested here


def points(
    errors: pd.DataFrame, by: Measure, results: Iterable[Result], counts: Mapping[str, Mapping[str, Any]],
    papers_data: str | None,
) -> pd.DataFrame:  # fmt: skip
    """error_against_size.csv: a row a run and protocol of ours, and a row an architecture that a paper reports.

    `on_front_<size>`: on the Pareto front of ours, or on that of the papers'.

    Args:
        errors: the table of errors.
        by: the headline metric; papers' points are top-1 errors.
        results: `published_results.results`.
        counts: `reference_counts.architectures`.
        papers_data: the papers' name of the data tested on.
    """
    papers = published_points(results, counts, papers_data) if by is TOP1 else []
    measured = [by.column, f"{by.stem}_low_percent", f"{by.stem}_high_percent"]
    ours = errors.assign(whose=OURS)[[*COLUMNS, *measured]]
    table = pd.concat([ours, pd.DataFrame(papers, columns=list(ours))], ignore_index=True)
    wrong = 100 - table[by.column] if by.highest_is_best else table[by.column]
    for name in PANELS:
        table[f"on_front_{name}"] = False
        for _, rows in table.groupby(table["whose"] == OURS):
            table.loc[rows.index, f"on_front_{name}"] = front(wrong[rows.index], rows[name])
    return table


def published_points(
    results: Iterable[Result], counts: Mapping[str, Mapping[str, Any]], papers_data: str | None
) -> list[dict[str, Any]]:
    """Rows of papers on the data tested here, else on ImageNet, with our exact counts at their papers' input.

    Of each architecture the first row in `results` that is of one network, its own paper's before others'.
    """
    known = [row for row in results if _of_one(row, counts)]
    same_data = [row for row in known if row.dataset == papers_data]
    rows = same_data or [row for row in known if row.dataset == IMAGENET]
    own_first = sorted(rows, key=lambda row: counts[str(row.architecture)]["paper"] != row.paper)
    first = {row.architecture: row for row in reversed(own_first)}
    return [_published(row, counts[str(row.architecture)]) for row in rows if first[row.architecture] is row]


def together(points: pd.DataFrame) -> bool:
    """True if ours and the papers' points are errors on the same data, and so share an axis."""
    return points["dataset"].nunique() == 1


def error_against(
    points: pd.DataFrame, drawn: Mapping[str, Style], by: Measure, columns: Sequence[str] = tuple(PANELS)
) -> str:
    """Top-1 error, or F2, against sizes as SVG, a panel each; papers' points on other data stand in panels below.

    Args:
        points: `points`, `dataset` of ours the papers' name where it is published.
        drawn: style by run.
        by: the metric that is drawn.
        columns: the sizes.
    """
    ours, published = points[points["whose"] == OURS], points[points["whose"] != OURS]
    apart = [] if together(points) or published.empty else [published]
    with matplotlib.rc_context(figures.STYLE):
        figure = Figure(figsize=(5.6 * len(columns), 3.5 * (1 + len(apart))), layout="constrained")
        figure.get_layout_engine().set(hspace=0.08)  # type: ignore[union-attr,call-arg]
        for place, column in enumerate(columns, start=1):
            axes = figure.add_subplot(1 + len(apart), len(columns), place, title=f"{by.title}, %")
            _draw(axes, ours, published if not apart else None, by, column, drawn)
            for part in apart:
                title = f"Top-1 error on {part['dataset'].iloc[0]}, %, as published"
                axes = figure.add_subplot(2, len(columns), len(columns) + place, title=title)
                _draw_papers(axes, part, column, {row["architecture"]: drawn[row["run"]] for row in records(ours)})
        return figures.as_svg(figure)


def _of_one(row: Result, counts: Mapping[str, Mapping[str, Any]]) -> bool:
    return (
        row.architecture in counts
        and row.kind == "error"
        and row.models == 1
        and row.top1_error_percent is not None
        and row.confidence != "from memory"
    )


def _published(row: Result, counts: Mapping[str, Any]) -> dict[str, Any]:
    sizes = {name: int(counts[name]) for name in PANELS}
    labels = {"whose": row.paper, "architecture": row.architecture, "dataset": row.dataset, "protocol": row.protocol}
    return {**labels, "top1_error_percent": row.top1_error_percent, **sizes}


def _draw(
    axes: Axes, ours: pd.DataFrame, published: pd.DataFrame | None, by: Measure, column: str, drawn: Mapping[str, Style]
) -> None:
    if published is not None:
        axes.plot(published[column], published[by.column], "o", color=figures.FAINT, markersize=5, zorder=1)
    best = ours[ours[f"on_front_{column}"]].sort_values([column, by.column])
    axes.plot(best[column], best[by.column], color=figures.MUTED, linewidth=0.9, drawstyle="steps-post")
    runs = list(ours["run"].unique())
    for run in runs:
        rows = ours[ours["run"] == run]
        for step, row in enumerate(records(rows)):
            x = row[column] * 1.03 ** (step - (len(rows) - 1) / 2)
            gid = f"run-{runs.index(run)}-{column}-{step}"
            _draw_point(axes, row, by, x, drawn[run], row[f"on_front_{column}"], gid)
    _settle(axes, ours if published is None else pd.concat([ours, published]), column)
    figures.label_points(axes, ours, [drawn[run].name for run in runs], column)


def _draw_point(
    axes: Axes, row: Mapping[str, Any], by: Measure, x: float, style: Style, filled: bool, gid: str
) -> None:
    ends = [row[f"{by.stem}_{end}_percent"] for end in ("low", "high")]
    axes.plot([x, x], ends, color=style.colour, linewidth=1.2, zorder=2, gid=f"{gid}-interval")
    look: dict[str, Any] = {
        "color": style.colour,
        "markerfacecolor": style.colour if filled else figures.CARD,
        "clip_on": False,
    }
    axes.plot(x, row[by.column], "o", markersize=7, markeredgewidth=1.5, gid=gid, **look)


def _draw_papers(axes: Axes, published: pd.DataFrame, column: str, ours: Mapping[str, Style]) -> None:
    """The papers' points, those of the networks that were run here in their colours."""
    axes.plot(published[column], published["top1_error_percent"], "o", color=figures.FAINT, markersize=5)
    best = published[published[f"on_front_{column}"]].sort_values(column)
    axes.plot(best[column], best["top1_error_percent"], color=figures.MUTED, linewidth=0.9, drawstyle="steps-post")
    for row in records(published[published["architecture"].isin(list(ours))]):
        axes.plot(row[column], row["top1_error_percent"], "o", color=ours[row["architecture"]].colour, markersize=7)
        where: dict[str, Any] = {"xytext": (8, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5}
        axes.annotate(row["architecture"], (row[column], row["top1_error_percent"]), color=figures.INK, **where)
    _settle(axes, published, column)


def _settle(axes: Axes, shown: pd.DataFrame, column: str) -> None:
    low, high = shown[column].min(), shown[column].max()
    axes.set(xscale="log", xlim=(low / 1.6, high * 2.4), ylim=(0, None), xlabel=f"{PANELS[column]} (log scale)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,), numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: figures.short(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())
