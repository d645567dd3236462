"""What the report shows of a few networks looked at closely, and of the time that all took."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ilsvrc.evaluation import headline_metric
from ilsvrc.reporting import error_figures, error_vs_cost, error_vs_size, figures, hardest_images, stage_times
from ilsvrc.reporting.report_data import Content

MOST_PAIRS = 15


def look(content: Content) -> dict[str, Any]:
    """Figures and rows behind the errors, and of the time that they took, for the page."""
    return {
        "closer_protocol": content.errors["protocol"].iloc[0],
        "matrices": _each("matrix", error_figures.confusion, content, "confused_classes"),
        "classes": _each("classes", error_figures.classes, content, "per_class"),
        "reliability": figures.embedded(
            error_figures.reliability(part(content, "calibration"), content.drawn, legend=False), "reliability"
        ),
        "has_reliability": bool(part(content, "calibration")),
        "pairs": pairs(content),
        **cost(content),
        "hardest": [
            {"name": name, "cards": [_card(nth, place, *each) for place, each in enumerate(cards)]}
            for nth, (name, cards) in enumerate(hardest(content).items())
        ],
        "times": stage_times.by_stage(content.times),
        "times_figure": figures.embedded(stage_times.stacked(content.times, content.drawn), "times"),
    }


def as_files(content: Content) -> dict[str, str]:
    """The page's figures as SVG by name, whole."""
    curves = content.curves
    return {
        "learning_curves": figures.learning_curves(
            curves, list(content.drawn.values()), figures.panels(curves), legend=True, places=content.with_curves
        ),
        "error_against_size": error_vs_size.error_against(
            content.size, content.drawn, headline_metric.of(content.errors.columns)
        ),
        "confusion": error_figures.confusion(part(content, "confused_classes"), content.drawn),
        "classes": error_figures.classes(part(content, "per_class"), content.drawn),
        "reliability": error_figures.reliability(part(content, "calibration"), content.drawn, legend=True),
        "hardest": hardest_images.sheet(hardest(content)),
        "times": stage_times.stacked(content.times, content.drawn),
    }


def part(content: Content, name: str) -> dict[str, pd.DataFrame]:
    """What a table behind the errors holds of the networks looked at, by run."""
    rows = error_figures.chosen(content.errors).to_dict("records")
    found = {row["run"]: error_figures.of(content.behind[name], row) for row in rows}
    if name == "per_class" and error_figures.ERROR not in content.behind[name]:
        return {}  # where pictures have several classes, no class has an error
    return {run: table for run, table in found.items() if len(table)}


def hardest(content: Content) -> dict[str, list[tuple[Mapping[str, Any], str]]]:
    """Rows of hardest.csv and their pictures, by the network's name; of the pictures that there are."""
    shown = {
        content.names[run]: [
            (row, content.pictures[row["image"]])
            for row in table.to_dict("records")
            if row["image"] in content.pictures
        ]
        for run, table in part(content, "hardest").items()
    }
    return {name: cards for name, cards in shown.items() if cards}


def pairs(content: Content) -> list[dict[str, Any]]:
    """McNemar's test between the networks looked at, the surest difference first."""
    runs = list(part(content, "per_class"))
    table = content.behind["mcnemar"]
    same = table["first"].isin(runs) & table["second"].isin(runs)
    same &= table["protocol"] == content.errors["protocol"].iloc[0]
    rows = table[same].sort_values("p_value", kind="stable").head(MOST_PAIRS).to_dict("records")
    return [row | {key: content.names[row[key]] for key in ("first", "second")} for row in rows]


def cost(content: Content) -> dict[str, Any]:
    """Error against what was measured of costs, a panel each, and their table's rows."""
    if content.costs is None:
        return {"costs": [], "cost_figures": []}
    table, points = content.costs
    drawn = [content.drawn[run] for run in points["run"].unique()]
    shown = [(name, title) for name, title in error_vs_cost.COSTS.items() if name not in error_vs_size.PANELS]
    measured = [(name, title) for name, title in shown if points[name].notna().any()]
    return {
        "costs": table[table["why_not"].isna()].astype(object).where(table.notna(), None).to_dict("records"),
        "cost_figures": [
            figures.embedded(error_vs_cost.error_against(points, drawn, {name: title}, legend=False), name)
            for name, title in measured
        ],
    }


def _each(prefix: str, draw: Any, content: Content, name: str) -> list[Any]:
    """A figure for each network looked at."""
    return [
        figures.embedded(draw({run: table}, content.drawn), f"{prefix}{place}")
        for place, (run, table) in enumerate(part(content, name).items())
    ]


def _card(nth: int, place: int, row: Mapping[str, Any], picture: str) -> Any:
    return figures.embedded(hardest_images.card(row, picture), f"card{nth}-{place}")
