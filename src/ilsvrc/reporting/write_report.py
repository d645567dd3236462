"""The report's files: the page, its tables and its figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ilsvrc.evaluation import register_models
from ilsvrc.reporting import close_ups, csv_tables, page, paper_tables
from ilsvrc.reporting.gather import ReportJob, gather
from ilsvrc.reporting.report_data import ReportData
from ilsvrc.runtime.files import write_text
from ilsvrc.tracking import mlflow_runs


@dataclass(frozen=True)
class Reported:
    """A report that was written: its page, the number of runs in it, and the runs that it leaves out."""

    page: Path
    num_runs: int
    missing: tuple[str, ...]


def write_report(job: ReportJob) -> Reported:
    """Writes the page, the tables and the figures, and logs them to MLflow where a run of it is there."""
    data = gather(job)
    html = page.render(data)
    for name, table in tables_of(data).items():
        write_text(job.tables / f"{name}.csv", csv_tables.as_csv(table))
    for name, svg in close_ups.as_files(data).items():
        write_text(job.figures / f"{name}.svg", svg)
    write_text(job.report, html)
    if any(map(register_models.mlflow_run, data.run_infos)):
        mlflow_runs.log_report(job.report, sorted(job.figures.glob("*.svg")))
    return Reported(job.report, len(data.run_infos), tuple(data.missing))


def tables_of(data: ReportData) -> dict[str, pd.DataFrame]:
    """The tables that the page's are printed from, beside those that scoring wrote."""
    return {
        "errors": data.errors,
        "published": paper_tables.as_frame(data.published),
        "error_against_size": data.size,
        "times": data.times,
    }


def as_text(reported: Reported) -> str:
    """`report of 3 of 4 runs: results/report.html`."""
    return f"report of {reported.num_runs} of {reported.num_runs + len(reported.missing)} runs: {reported.page}"


def as_json(reported: Reported) -> Mapping[str, Any]:
    """The same for machines."""
    return {"page": str(reported.page), "num_runs": reported.num_runs, "missing": list(reported.missing)}
