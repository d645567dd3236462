"""Costs: their table, and error against each of them with the Pareto front marked."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ilsvrc.evaluation import headline_metric
from ilsvrc.evaluation.pareto import front
from ilsvrc.profiling.cost_files import (
    CostFile,
    Int8Costs,
    Int8File,
    NotMeasured,
    TestCosts,
    TrainingMemory,
    TrainingNotMeasured,
)
from ilsvrc.reporting import figures
from ilsvrc.reporting.error_table import records
from ilsvrc.reporting.figures import Style

COLUMNS = (
    "network", "run", "architecture", "crop_px", "num_classes", "precision", "device", "threads",
    "parameters", "multiply_adds", "activations",
    "training_batch", "training_precision", "training_bytes", "training_extended_from",
    "weight_bytes", "test_bytes", "best_batch_test_bytes",
    "latency_ms", "latency_p95_ms", "latency_p99_ms", "latency_passes",
    "best_batch", "images_per_second", "ms_an_image", "joules_an_image", "best_batch_joules_an_image", "energy",
    "top1_error_percent", "float32_top1_error_percent", "num_images", "int8_layers", "layers", "why_not", "hardware",
)  # fmt: skip
OF_SETS = ("f2_percent", "float32_f2_percent")  # in the place of errors, where an image may have several classes
BUSY = "busy_machine"
OF_A_BUSY_MACHINE = (BUSY, "other_cores", "spread")  # columns where any measurement was disturbed
# What error is drawn against -> its axis; those of the network alone are the same in every precision.
OF_THE_NETWORK = {
    "parameters": "parameters",
    "multiply_adds": "multiply-adds an image",
    "activations": "activations an image",
    "training_bytes": "memory of a training step, bytes",
}
OF_A_PRECISION = {
    "test_bytes": "memory of a test at batch 1, bytes",
    "latency_ms": "latency at batch 1, ms",
    "ms_an_image": "time an image at the best batch, ms",
    "best_batch_joules_an_image": "energy an image at the best batch, J",
}
COSTS = OF_THE_NETWORK | OF_A_PRECISION
TIMED = ("latency_ms", "ms_an_image", "best_batch_joules_an_image")  # costs that a busy machine raises
MARKERS = {"float32": "o", "bfloat16": "s", "int8": "^"}


def rows(network: str, measured: CostFile | Int8File) -> list[dict[str, Any]]:
    """A row of costs.csv for each precision of a file of costs, called `network`; int8's file names a run."""
    shared = {key: value for key, value in measured.model_dump().items() if key in COLUMNS} | {"network": network}
    if isinstance(measured, CostFile):
        shared |= _trained(measured.training)
    return [shared | _tested(tested) for tested in measured.tests] or [shared | {"precision": None}]


def table(rows_: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """costs.csv: what is of the network alone stands in its int8 row too, and marks of busy machines where any was."""
    content = list(rows_)
    of_sets = OF_SETS if any(row.get(OF_SETS[0]) is not None for row in content) else ()
    disturbed = OF_A_BUSY_MACHINE if any(row.get(BUSY) for row in content) else ()
    costs = pd.DataFrame(content, columns=[*COLUMNS, *of_sets, *disturbed])
    of_network = costs.groupby("network", sort=False)[list(OF_THE_NETWORK)].transform("first")
    return costs.assign(**{name: costs[name].fillna(of_network[name]) for name in OF_THE_NETWORK})


def points(costs: pd.DataFrame, scores: pd.DataFrame, networks: Mapping[str, str], protocol: str) -> pd.DataFrame:
    """A row a run and precision: its error (or F2), its costs, and whether it is on the Pareto front of each cost.

    The error is the run's by `protocol`, whatever the precision that it was predicted in; int8's is its own, of the
    run that was quantised.

    Args:
        costs: `table`.
        scores: scores.csv.
        networks: run -> the name of its network in `costs`.
        protocol: whose errors are taken, one of `scores`.
    """
    by = headline_metric.from_columns(scores.columns).column
    errors = scores.loc[scores["protocol"] == protocol, ["run", "architecture", by]]
    errors = errors.assign(network=errors["run"].map(networks)).dropna(subset="network")
    costs = costs[costs["why_not"].isna()]
    own = costs["precision"] == "int8"
    numbers = ["network", "precision", *COSTS, *([BUSY] if BUSY in costs else [])]
    joined = pd.concat(
        [
            errors.merge(costs.loc[~own, numbers], on="network"),
            costs[own & costs["run"].isin(errors["run"])].reindex(columns=["run", "architecture", by, *numbers]),
        ]
    )
    order = {run: place for place, run in enumerate(errors["run"])}
    joined = joined.sort_values("run", key=lambda runs: runs.map(order), kind="stable").reset_index(drop=True)
    joined[list(COSTS)] = joined[list(COSTS)].astype(float)
    return joined.assign(**{f"on_front_{name}": on_front(joined, name) for name in COSTS})


def on_front(points: pd.DataFrame, cost: str) -> npt.NDArray[np.bool_]:
    """Rows of `points` on the Pareto front of error and `cost`, bool `[N]`; a disturbed measurement is on none."""
    by = headline_metric.from_columns(points.columns)
    errors = 100 - points[by.column] if by.highest_is_best else points[by.column]
    return front(errors.where(_drawn(points, cost) & ~disturbed(points, cost)), points[cost])


def disturbed(points: pd.DataFrame, cost: str) -> npt.NDArray[np.bool_]:
    """Rows of `points` whose `cost` was measured on a busy machine, bool `[N]`."""
    if BUSY not in points or cost not in TIMED:
        return np.zeros(len(points), dtype=bool)
    return points[BUSY].eq(True).to_numpy(dtype=bool)


def error_against(
    points: pd.DataFrame, drawn: Sequence[Style], columns: Mapping[str, str] | None = None, legend: bool = True
) -> str:
    """Top-1 error, or F2, against costs as SVG, a panel each, in two columns where there are more; those measured.

    Points on the Pareto front are filled and joined by a line; a run has its colour, a precision its marker. What was
    measured on a busy machine is crossed out.

    Args:
        points: `points`.
        drawn: style of each run, in the order in which runs appear in `points`.
        columns: columns of `points` -> titles; None: all of `COSTS`.
        legend: whether colours and markers are explained beside the panels.
    """
    shown = {name: title for name, title in (columns or COSTS).items() if points[name].notna().any()}
    across = min(2, len(shown)) or 1
    down = -(-len(shown) // across)
    with matplotlib.rc_context(figures.STYLE):
        figure = Figure(figsize=(5.6 * across + 2.2 * legend, 3.2 * max(1, down)), layout="constrained")
        for place, (name, title) in enumerate(shown.items(), start=1):
            axes = figure.add_subplot(down, across, place, xlabel=f"{title} (log scale)")
            axes.set_title(f"{headline_metric.from_columns(points.columns).title}, %")
            _draw(axes, points, name, drawn)
        if legend:
            handles = [_mark("o", style.name, style.colour) for style in drawn]
            handles += [_mark(MARKERS[name], name) for name in MARKERS if (points["precision"] == name).any()]
            if any(disturbed(points, name).any() for name in shown):
                handles.append(_mark("x", "busy machine"))
            figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)
        return figures.as_svg(figure)


def _trained(step: TrainingMemory | TrainingNotMeasured) -> dict[str, Any]:
    """Columns of a training step."""
    if isinstance(step, TrainingNotMeasured):
        return {"training_batch": step.batch_size}
    return {
        "training_batch": step.batch_size,
        "training_precision": step.precision,
        "training_bytes": step.peak_bytes,
        "training_extended_from": " ".join(map(str, step.extended_from or ())) or None,
    }


def _tested(tested: TestCosts | NotMeasured) -> dict[str, Any]:
    """Columns of a precision."""
    if isinstance(tested, NotMeasured):
        return tested.model_dump()
    kept = (*COLUMNS, *OF_SETS, *OF_A_BUSY_MACHINE)
    columns = {key: value for key, value in tested.model_dump().items() if key in kept}
    columns |= {
        "test_bytes": tested.peak_bytes,
        "best_batch_test_bytes": tested.best_batch_peak_bytes,
        "latency_ms": tested.latency.median_ms,
        "latency_p95_ms": tested.latency.p95_ms,
        "latency_p99_ms": tested.latency.p99_ms,
        "latency_passes": tested.latency.passes,
        "ms_an_image": 1e3 / tested.images_per_second,
    }
    if isinstance(tested, Int8Costs):
        columns |= {"top1_error_percent": tested.int8_top1_error_percent, "f2_percent": tested.int8_f2_percent}
    return columns


def _drawn(points: pd.DataFrame, cost: str) -> npt.NDArray[np.bool_]:
    """Rows that a cost's panel shows: a run once, where the cost is of the network alone."""
    if cost in OF_A_PRECISION:
        return np.ones(len(points), dtype=bool)
    floats = points["precision"] != "int8"
    return (floats & ~points[floats].duplicated("run").reindex(points.index, fill_value=True)).to_numpy()


def _draw(axes: Axes, points: pd.DataFrame, cost: str, drawn: Sequence[Style]) -> None:
    places = {run: place for place, run in enumerate(points["run"].unique())}
    shown = points[_drawn(points, cost) & points[cost].notna()]
    best = shown[shown[f"on_front_{cost}"]].sort_values(cost)
    by = headline_metric.from_columns(points.columns).column
    axes.plot(best[cost], best[by], color=figures.MUTED, linewidth=1, drawstyle="steps-post")
    for step, row in enumerate(records(shown)):
        place, filled = places[row["run"]], row[f"on_front_{cost}"]
        marker = MARKERS[row["precision"]] if cost in OF_A_PRECISION else "o"
        look: dict[str, Any] = {
            "color": drawn[place].colour,
            "markerfacecolor": drawn[place].colour if filled else "none",
        }
        axes.plot(
            row[cost], row[by], marker, markersize=7, markeredgewidth=1.6, clip_on=False,
            gid=f"run-{place}-{cost}-{step}", **look,
        )  # fmt: skip
    crossed = shown[disturbed(shown, cost)]
    if len(crossed):
        axes.plot(
            crossed[cost], crossed[by], "x", color=figures.MUTED, markersize=11, clip_on=False, gid=f"busy-{cost}"
        )
    low, high = shown[cost].min(), shown[cost].max()
    axes.set(xscale="log", xlim=(low / 1.4, high * 2.5), ylim=(0, 1.12 * (points[by].max() or 1)))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: figures.short(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _label(axes, best, cost, [drawn[places[run]].name for run in best["run"]])


def _label(axes: Axes, best: pd.DataFrame, cost: str, names: Sequence[str]) -> None:
    """Names of the Pareto front's points, each once, above the point to the right."""
    labelled: set[str] = set()
    for name, x, y in zip(names, best[cost], best[headline_metric.from_columns(best.columns).column], strict=True):
        if name not in labelled:
            look: dict[str, Any] = {"fontsize": 8.5, "color": figures.INK, "textcoords": "offset points"}
            axes.annotate(name, (x, y), xytext=(5, 6), **look)
        labelled.add(name)


def _mark(marker: str, name: str, colour: str = figures.MUTED) -> Line2D:
    return Line2D([], [], marker=marker, linestyle="none", color=colour, markerfacecolor="none", label=name)
