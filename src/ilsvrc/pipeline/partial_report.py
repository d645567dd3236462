"""Scores and report of the runs that are complete, while others train."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilsvrc.config import params, specs
from ilsvrc.evaluation.score_runs import ResultsSpec, ScoreJob, score
from ilsvrc.pipeline import wiring
from ilsvrc.reporting import write_report
from ilsvrc.reporting.gather import ReportJob
from ilsvrc.reporting.write_report import Reported

RESULTS = Path("results")


@dataclass(frozen=True)
class PartialReportJob:
    """The configuration whose complete runs are reported."""

    params: Path = Path("params.yaml")


@dataclass(frozen=True)
class PartialReport:
    """A report of the complete runs, and a line for each of their scores and for each run that was left out."""

    lines: tuple[str, ...]
    reported: Reported


def write(job: PartialReportJob) -> PartialReport:
    """Writes what the rules `score` and `report` would write, of the runs that are complete.

    Raises:
        ValueError: no run is complete.
    """
    flow = wiring.Pipeline(params.load(job.params))
    spec = specs.parse_specification(ResultsSpec, flow.results_spec)
    scores, curves, tables = RESULTS / "scores.csv", RESULTS / "curves.csv", RESULTS / "tables"
    scored = score(ScoreJob(spec, scores, RESULTS / "metrics.json", curves, tables, partial=True))
    reported = write_report.write_report(
        ReportJob(
            spec=spec,
            scores=scores,
            curves=curves,
            report=RESULTS / "report.html",
            tables=tables,
            figures=RESULTS / "figures",
            packed=Path(flow.packed_for_test),
            costs=[Path(path) for path in flow.cost_results()],
            partial=True,
        )
    )
    return PartialReport(tuple(scored.lines(spec.swept)), reported)


def as_text(report: PartialReport) -> str:
    """Lines of the scores and of the runs that were left out, and the page's path."""
    return "\n".join([*report.lines, write_report.as_text(report.reported)])


def as_json(report: PartialReport) -> Mapping[str, Any]:
    """The same for machines, without the scores, which stand in results/scores.csv."""
    return write_report.as_json(report.reported)
