"""Figures of a few networks in detail: confusions, classes, calibration, hardest images, costs, and times."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from ilsvrc.evaluation import headline_metric
from ilsvrc.reporting import error_figures, error_vs_cost, error_vs_size, figures, hardest_images, stage_times
from ilsvrc.reporting.error_table import records
from ilsvrc.reporting.figures import Style
from ilsvrc.reporting.report_data import ReportData

MAX_PAIRS = 15
Draw = Callable[[Mapping[str, pd.DataFrame], Mapping[str, Style]], str]


@dataclass(frozen=True)
class CloseUpSection:
    """Figures behind the errors of a few networks, by one protocol; `pairs` are McNemar's tests between them."""

    protocol: str
    matrices: Sequence[Markup]
    classes: Sequence[Markup]
    reliability: Markup
    has_reliability: bool
    pairs: Sequence[Mapping[str, Any]]
    hardest: "Sequence[HardestImages]"


@dataclass(frozen=True)
class HardestImages:
    """The hardest images of a network, with its guesses."""

    name: str
    cards: Sequence[Markup]


@dataclass(frozen=True)
class CostSection:
    """Errors against costs, and the rows of the table of costs."""

    rows: Sequence[Mapping[str, Any]]
    figures: Sequence[Markup]
    busy: bool  # any was measured on a busy machine


@dataclass(frozen=True)
class TimeSection:
    """Times of the pipeline's stages, and their figure."""

    rows: Sequence[Mapping[str, Any]]
    figure: Markup


def close_up_section(data: ReportData) -> CloseUpSection:
    """Figures and rows behind the errors, for the page."""
    reliability = error_figures.reliability(part(data, "calibration"), data.drawn, legend=False)
    return CloseUpSection(
        protocol=data.errors["protocol"].iloc[0],
        matrices=_each("matrix", error_figures.confusion, data, "confused_classes"),
        classes=_each("classes", error_figures.classes, data, "per_class"),
        reliability=figures.embedded(reliability, "reliability"),
        has_reliability=bool(part(data, "calibration")),
        pairs=pairs(data),
        hardest=[
            HardestImages(name, [_card(nth, place, *each) for place, each in enumerate(cards)])
            for nth, (name, cards) in enumerate(hardest(data).items())
        ],
    )


def time_section(data: ReportData) -> TimeSection:
    """Times of the stages, for the page."""
    figure = figures.embedded(stage_times.stacked(data.times, data.drawn), "times")
    return TimeSection(stage_times.by_stage(data.times), figure)


def as_files(data: ReportData) -> dict[str, str]:
    """The page's figures as SVG by name, whole."""
    curves = data.curves
    return {
        "learning_curves": figures.learning_curves(
            curves,
            list(data.drawn.values()),
            figures.panels(curves),
            legend=True,
            places=data.with_curves,
            validated_on=data.validated_on,
        ),
        "error_against_size": error_vs_size.error_against(
            data.size, data.drawn, headline_metric.from_columns(data.errors.columns)
        ),
        "confusion": error_figures.confusion(part(data, "confused_classes"), data.drawn),
        "classes": error_figures.classes(part(data, "per_class"), data.drawn),
        "reliability": error_figures.reliability(part(data, "calibration"), data.drawn, legend=True),
        "hardest": hardest_images.sheet(hardest(data)),
        "times": stage_times.stacked(data.times, data.drawn),
    }


def part(data: ReportData, name: str) -> dict[str, pd.DataFrame]:
    """Rows of a table behind the errors, by run of the networks that get figures of their own."""
    rows = records(error_figures.chosen(data.errors))
    tables = {row["run"]: error_figures.of(data.breakdown[name], row) for row in rows}
    if name == "per_class" and error_figures.ERROR not in data.breakdown[name]:
        return {}  # where images have several classes, no class has an error
    return {run: table for run, table in tables.items() if len(table)}


def hardest(data: ReportData) -> dict[str, Sequence[tuple[Mapping[str, Any], str]]]:
    """Rows of hardest.csv and their images, by the network's name; of the images that are here."""
    shown: dict[str, Sequence[tuple[Mapping[str, Any], str]]] = {
        data.names[run]: [(row, data.images[row["image"]]) for row in records(table) if row["image"] in data.images]
        for run, table in part(data, "hardest").items()
    }
    return {name: cards for name, cards in shown.items() if cards}


def pairs(data: ReportData) -> list[dict[str, Any]]:
    """McNemar's test between the networks that get figures of their own, the surest difference first."""
    runs = list(part(data, "per_class"))
    table = data.breakdown["mcnemar"]
    same = table["first"].isin(runs) & table["second"].isin(runs)
    same &= table["protocol"] == data.errors["protocol"].iloc[0]
    rows = records(table[same].sort_values("p_value", kind="stable").head(MAX_PAIRS))
    return [row | {key: data.names[row[key]] for key in ("first", "second")} for row in rows]


def cost_section(data: ReportData) -> CostSection | None:
    """Errors against each measured cost, a panel each, and the rows of their table; None where none was measured."""
    if data.costs is None:
        return None
    table, points = data.costs
    drawn = [data.drawn[run] for run in points["run"].unique()]
    shown = [(name, title) for name, title in error_vs_cost.COSTS.items() if name not in error_vs_size.PANELS]
    return CostSection(
        rows=records(table[table["why_not"].isna()].astype(object).where(table.notna(), None)),
        figures=[
            figures.embedded(error_vs_cost.error_against(points, drawn, {name: title}, legend=False), name)
            for name, title in shown
            if points[name].notna().any()
        ],
        busy=bool(error_vs_cost.BUSY in table and table[error_vs_cost.BUSY].eq(True).any()),
    )


def _each(prefix: str, draw: Draw, data: ReportData, name: str) -> list[Markup]:
    """A figure for each network that gets one."""
    return [
        figures.embedded(draw({run: table}, data.drawn), f"{prefix}{place}")
        for place, (run, table) in enumerate(part(data, name).items())
    ]


def _card(nth: int, place: int, row: Mapping[str, Any], image: str) -> Markup:
    return figures.embedded(hardest_images.card(row, image), f"card{nth}-{place}")
