"""Figures as SVG text, the same bytes for the same numbers.

Colours are the names of the page's palette: `for_page` turns them into its CSS variables, so that a figure inside
the page follows its light or dark mode, and each run's line carries its number for highlighting.
"""

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ilsvrc.evaluation import headline_metric

PALETTE = ("#2f6db5", "#d9622b", "#2b8f6a", "#9c4bb0", "#b58a08", "#c43a53", "#3aa0c0", "#74747c")
INK, MUTED, LINE, FAINT, CARD = "#1d1d20", "#6c6c74", "#e3e3e6", "#b4b4bc", "#ffffff"
DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)))
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "ilsvrc", "font.family": "sans-serif", "font.size": 9.5,
    "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": LINE, "axes.titlecolor": INK,
    "axes.titlesize": 10.5, "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlepad": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": LINE, "grid.linewidth": 0.8, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0,
    "lines.linewidth": 1.7, "lines.solid_capstyle": "round", "figure.facecolor": "none", "axes.facecolor": "none",
}  # fmt: skip
PANELS = {
    "train_loss": "Training loss",
    "train_error_percent": "Training error (augmented), %",
    "validation_top1_error_percent": "Validation top-1 error, %",
    "validation_f2_percent": "Validation F2, %",
}


class Style(NamedTuple):
    """Name, colour and dash of a run in every figure."""

    name: str
    colour: str
    dash: Any


def styles(names: Sequence[str], architectures: Sequence[str]) -> list[Style]:
    """A style for each run: a colour an architecture and a dash a run of it, where that tells them apart.

    Else every colour solid first, then dashed.
    """
    colours = list(dict.fromkeys(architectures))
    nth = [list(architectures[:i]).count(architecture) for i, architecture in enumerate(architectures)]
    by_architecture = 1 < len(colours) <= len(PALETTE) and max(nth) < len(DASHES)
    places = [
        (colours.index(a), n) if by_architecture else divmod(i, len(PALETTE))[::-1]
        for i, (a, n) in enumerate(zip(architectures, nth, strict=True))
    ]
    return [Style(name, PALETTE[c], DASHES[d % len(DASHES)]) for name, (c, d) in zip(names, places, strict=True)]


def panels(curves: pd.DataFrame) -> dict[str, str]:
    """Columns of the learning curves that hold anything -> their titles."""
    return {key: title for key, title in PANELS.items() if key in curves and curves[key].notna().any()}


def learning_curves(
    curves: pd.DataFrame,
    drawn: Sequence[Style],
    columns: Mapping[str, str],
    legend: bool,
    places: Sequence[int] | None = None,
    validated_on: str = "",
) -> str:
    """`columns` by epoch, a panel each and in it a line a run, in the order in which the runs appear.

    `places` are theirs in `drawn`, where some of the runs that have a style have no curve. `validated_on` stands above
    the legend. Without columns (nothing was trained) a sentence says so.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.6 * len(columns) + 2.2 * legend, 3.4), layout="constrained")
        for place, (column, title) in enumerate(columns.items()):
            axes = figure.add_subplot(1, len(columns), place + 1, title=title, xlabel="epoch")
            _draw_curves(axes, curves, column, drawn, range(len(drawn)) if places is None else places)
        if not columns:
            figure.text(0.02, 0.5, "Nothing was trained here.", color=MUTED)
        elif legend:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            look: dict[str, Any] = {"loc": "outside right upper", "frameon": False, "fontsize": 8, "handlelength": 3}
            note = textwrap.fill(validated_on, 36) or None
            figure.legend(handles, labels, title=note, title_fontsize=8, alignment="left", **look)
        return as_svg(figure)


def for_page(svg: str, prefix: str) -> str:
    """An SVG to stand inside the page: its palette's variables for colours, ids of its own, no fixed size."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r' id="run-(\d+)[^"]*"', r' class="run run-\1"', svg)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    for colour, name in [(INK, "ink"), (MUTED, "muted"), (LINE, "line"), (FAINT, "faint"), (CARD, "card")]:
        svg = svg.replace(colour, f"var(--{name})")
    for place, colour in enumerate(PALETTE):
        svg = svg.replace(colour, f"var(--run{place})")
    return svg


def embedded(svg: str, prefix: str) -> Markup:
    """A figure's SVG, to stand in the page as it is; its ids begin with `prefix`."""
    return Markup(for_page(svg, prefix))


def _draw_curves(axes: Axes, curves: pd.DataFrame, column: str, drawn: Sequence[Style], places: Sequence[int]) -> None:
    for place, (_, run) in zip(places, curves.groupby("run", sort=False), strict=False):
        marker = {"marker": "o", "markersize": 4} if len(run) == 1 else {}  # a line of one epoch would not show
        look = {"color": drawn[place].colour, "linestyle": drawn[place].dash, "label": drawn[place].name, **marker}
        axes.plot(run["epoch"], run[column], gid=f"run-{place}-{column}", **look)
    if column.endswith("_percent"):
        axes.set_ylim(0, None)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.grid(visible=False, axis="x")


def label_points(axes: Axes, scores: pd.DataFrame, names: Sequence[str], column: str) -> None:
    """Names beside the last protocol's point: each run's where they are few, else each architecture's once."""
    runs = scores.groupby("run", sort=False).last().reset_index()
    runs["name"] = list(names) if len(runs) <= 8 else runs["architecture"]
    spots = runs.groupby([column, "name"], sort=False)[headline_metric.from_columns(scores.columns).column].median()
    heights = {(float(x), str(name)): float(y) for (x, name), y in zip(spots.index, spots, strict=True)}
    for (x, name), y in _spread(heights, axes).items():
        axes.annotate(name, (x, y), xytext=(9, 5), textcoords="offset points", fontsize=9, color=INK)


def _spread(spots: dict[tuple[float, str], float], axes: Axes) -> dict[tuple[float, str], float]:
    """Heights of labels, moved up where one would stand on another: a line is a twentieth of the axis."""
    line, width = axes.get_ylim()[1] / 20, np.log(axes.get_xlim()[1] / axes.get_xlim()[0]) / 8
    placed: dict[tuple[float, str], float] = {}
    for (x, name), y in sorted(spots.items(), key=lambda item: item[1]):
        near = [height for (other, _), height in placed.items() if abs(np.log(other / x)) < width]
        placed[x, name] = max([y, *(height + line for height in near if height + line > y)])
    return placed


def short(number: float) -> str:
    """1500000 -> 1.5 M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def as_svg(figure: Figure) -> str:
    """SVG text without a date or a name."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
