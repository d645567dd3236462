"""Figures behind the errors: confusion matrices, hardest classes, and reliability diagrams."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ilsvrc.evaluation import headline_metric
from ilsvrc.reporting import figures
from ilsvrc.reporting.figures import Style

WORST, BEST = 8, 4  # classes
MAX_NETWORKS = 6  # that get figures of their own
MAX_NAME = 18
ERROR = "top1_error_percent"


def chosen(errors: pd.DataFrame) -> pd.DataFrame:
    """Rows of errors of the networks in detailed figures: each architecture's best run, by the first protocol.

    At most `MAX_NETWORKS`, the best, in the order of the table.
    """
    by = headline_metric.from_columns(errors.columns)
    first = errors[errors["seed"].notna() & (errors["protocol"] == errors["protocol"].iloc[0])]
    ranked = first.sort_values(by.column, kind="stable", ascending=not by.highest_is_best)
    chosen_rows: pd.DataFrame = first.loc[sorted(ranked.drop_duplicates("architecture").index[:MAX_NETWORKS])]
    return chosen_rows


def of(table: pd.DataFrame, row: Mapping[str, str]) -> pd.DataFrame:
    """Rows of a table (per_class, confused_classes, calibration, hardest) behind a row of errors."""
    return table[(table["run"] == row["run"]) & (table["protocol"] == row["protocol"])]


def confusion(matrices: Mapping[str, pd.DataFrame], drawn: Mapping[str, Style]) -> str:
    """Images of each class by first guess, a matrix a run: `confused_classes` by run."""
    with matplotlib.rc_context(figures.STYLE):
        figure = Figure(figsize=(4.2 * max(1, len(matrices)), 4.0), layout="constrained")
        for place, (run, table) in enumerate(matrices.items(), start=1):
            _draw_matrix(figure.add_subplot(1, len(matrices), place, title=drawn[run].name), table)
        return figures.as_svg(figure)


def classes(tables: Mapping[str, pd.DataFrame], drawn: Mapping[str, Style]) -> str:
    """Top-1 error of the worst classes and of the best, a panel a run: `per_class` by run."""
    with matplotlib.rc_context(figures.STYLE):
        rows = max((len(worst_and_best(table)) for table in tables.values()), default=1)
        figure = Figure(figsize=(4.2 * max(1, len(tables)), 0.95 + 0.24 * rows), layout="constrained")
        for place, (run, table) in enumerate(tables.items(), start=1):
            axes = figure.add_subplot(1, len(tables), place, title=drawn[run].name, xlabel="top-1 error, %")
            _draw_classes(axes, table, drawn[run])
        return figures.as_svg(figure)


def worst_and_best(table: pd.DataFrame) -> pd.DataFrame:
    """The classes of the highest errors, the highest first, then those of the lowest; all where they are few."""
    ranked = table.dropna(subset=ERROR).sort_values(
        [ERROR, "class"], ascending=[False, True], kind="stable", key=_by_number
    )
    return ranked if len(ranked) <= WORST + BEST else pd.concat([ranked.head(WORST), ranked.tail(BEST)])


def reliability(tables: Mapping[str, pd.DataFrame], drawn: Mapping[str, Style], legend: bool) -> str:
    """Accuracy by the first guess's probability, a line a run: `calibration` by run.

    A bin's point is larger the more images are in it.
    """
    with matplotlib.rc_context(figures.STYLE):
        figure = Figure(figsize=(5.6 + 2.2 * legend, 4.2), layout="constrained")
        axes = figure.add_subplot(title="Accuracy, %", xlabel="probability of the first guess, %")
        axes.plot([0, 100], [0, 100], color=figures.MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        for run, table in tables.items():
            bins, style, place = table[table["num_images"] > 0], drawn[run], list(drawn).index(run)
            x, y = bins["confidence_percent"], bins["accuracy_percent"]
            axes.plot(x, y, color=style.colour, linestyle=style.dash, gid=f"run-{place}-line", label=style.name)
            sizes = 6 + 90 * bins["num_images"] / table["num_images"].sum()
            axes.scatter(x, y, s=sizes, color=style.colour, gid=f"run-{place}-points", zorder=3)
        axes.set(xlim=(0, 101), ylim=(0, 103))
        if legend:
            figure.legend(loc="outside right upper", frameon=False, fontsize=8, handlelength=3)
        return figures.as_svg(figure)


def _by_number(column: pd.Series) -> pd.Series:
    """Sort keys: names that are all numbers become numbers."""
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().all() else column


def _draw_matrix(axes: Axes, table: pd.DataFrame) -> None:
    names = list(dict.fromkeys(table["label"]))
    shares = table["share_percent"].to_numpy().reshape(len(names), len(names))
    counts = table["num_images"].to_numpy().reshape(len(names), len(names))
    for row, column in np.argwhere(counts > 0):
        right = row == column
        colour = figures.PALETTE[0] if right else figures.PALETTE[1]
        strength = 0.12 + 0.88 * min(1.0, shares[row, column] / (100 if right else max(20.0, _most_wrong(shares))))
        axes.add_patch(_cell(row, column, colour, strength * (0.45 if right else 1)))
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=figures.INK)
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal", xlabel="first guess")
    axes.set_ylabel("class")
    labels = [shortened(name) for name in names]
    turned: dict[str, Any] = {"rotation": 90} if max(map(len, labels)) > 3 else {}
    axes.set_xticks(range(len(names)), labels, fontsize=8, **turned)
    axes.set_yticks(range(len(names)), labels, fontsize=8)
    axes.grid(visible=False)


def _most_wrong(shares: np.ndarray) -> float:
    return float(np.where(np.eye(len(shares), dtype=bool), 0, shares).max())


def _cell(row: int, column: int, colour: str, alpha: float) -> Rectangle:
    return Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=colour, alpha=round(alpha, 3), linewidth=0)


def _draw_classes(axes: Axes, table: pd.DataFrame, style: Style) -> None:
    shown = worst_and_best(table)
    errors = shown[ERROR].to_list()
    places = range(len(errors))
    axes.hlines(places, 0, errors, color=style.colour, linewidth=1.4)
    axes.plot(errors, places, "o", color=style.colour, markersize=6, clip_on=False)
    axes.set_yticks(places, [shortened(str(name)) for name in shown["class"]], fontsize=8)
    axes.tick_params(axis="y", pad=8)
    axes.set(ylim=(len(errors) - 0.5, -0.5), xlim=(0, max([*errors, 1]) * 1.15))
    for place, error, count in zip(places, errors, shown["num_images"], strict=True):
        text = f"{error:.0f} % of {count}" if place == 0 else f"{error:.0f}"
        where: dict[str, Any] = {"xytext": (9, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
        axes.annotate(text, (error, place), color=figures.MUTED, **where)
    axes.grid(visible=False, axis="y")


def shortened(name: str, max_length: int = MAX_NAME) -> str:
    """A class's name, cut to `max_length` characters."""
    return name if len(name) <= max_length else f"{name[: max_length - 1]}…"
