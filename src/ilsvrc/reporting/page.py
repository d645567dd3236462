"""The report as one self-contained HTML file: its bytes depend on its inputs alone."""

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from ilsvrc.reporting import close_ups, error_rows, formatting, page_figures, provenance, summary
from ilsvrc.reporting.report_data import ReportData

FILTERS = (
    formatting.percent, formatting.signed, formatting.decimals, formatting.count, formatting.magnitude,
    formatting.duration, formatting.spaced, formatting.given,
)  # fmt: skip


def render(data: ReportData) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=PackageLoader("ilsvrc", "reporting"), autoescape=select_autoescape(), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {filter_.__name__: filter_ for filter_ in FILTERS}
    css = files("ilsvrc.reporting").joinpath("report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(
        css=Markup(css),
        swept=list(data.swept),
        missing=list(data.missing),
        data_set=data.data_set,
        published=data.published,
        summary=summary.summarize(data),
        errors=error_rows.error_section(data),
        figures=page_figures.figure_section(data),
        close_ups=close_ups.close_up_section(data),
        costs=close_ups.cost_section(data),
        times=close_ups.time_section(data),
        inspected=[{"name": data.names.get(one["run"], one["run"]), **one} for one in data.inspected],
        facts=data.facts,
        environments=provenance.environments(data.run_infos),
        period=provenance.period(data.run_infos),
    )
