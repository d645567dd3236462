"""Learning curves and errors against size, as they stand in the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ilsvrc.evaluation import headline_metric
from ilsvrc.reporting import close_ups, error_vs_size, figures
from ilsvrc.reporting.figures import Style
from ilsvrc.reporting.report_data import ReportData

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class FigureSection:
    """Figures with their legends; `size_together`: ours and the papers' points share an axis."""

    legend: Sequence[Entry]
    close_up_legend: Sequence[Entry]
    curves: Sequence[Markup]
    validated_on: str
    size: Sequence[Markup]
    size_together: bool
    size_has_papers: bool


def figure_section(data: ReportData) -> FigureSection:
    """Learning curves, errors against size, and legends of these and of the close-ups."""
    drawn, curves, curved = list(data.drawn.values()), data.curves, data.with_curves
    places = {run: place for place, run in enumerate(data.drawn)}
    by = headline_metric.from_columns(data.errors.columns)
    return FigureSection(
        legend=[legend_entry(drawn[place], place) for place in curved],
        close_up_legend=[legend_entry(data.drawn[run], places[run]) for run in close_ups.part(data, "calibration")],
        curves=[
            figures.embedded(figures.learning_curves(curves, drawn, {column: name}, False, curved), column)
            for column, name in figures.panels(curves).items()
        ],
        validated_on=data.validated_on,
        size=[
            figures.embedded(error_vs_size.error_against(data.size, data.drawn, by, [column]), f"size-{column}")
            for column in error_vs_size.PANELS
        ],
        size_together=error_vs_size.together(data.size),
        size_has_papers=bool((data.size["whose"] != error_vs_size.OURS).any()),
    )


def legend_entry(style: Style, place: int) -> dict[str, Any]:
    """A run's line as the figures draw it, and the run's place among the runs."""
    strokes = "" if style.dash == "-" else " ".join(f"{1.7 * step:g}" for step in style.dash[1])
    return {"name": style.name, "mark": figures.PALETTE.index(style.colour), "dash": strokes, "place": place}
