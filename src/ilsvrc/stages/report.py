"""The report: the page, its tables and its figures. Arithmetic on scores, without a network."""

import argparse
from pathlib import Path

from ilsvrc.config import specs
from ilsvrc.evaluation.score_runs import ResultsSpec
from ilsvrc.reporting import write_report
from ilsvrc.reporting.gather import ReportJob
from ilsvrc.runtime import entry_point, messages


def main(args: argparse.Namespace) -> None:
    """Writes the page, the tables and the figures from the scores of `--spec`'s runs."""
    reported = write_report.write_report(
        ReportJob(
            spec=specs.parse_specification(ResultsSpec, args.spec),
            scores=args.scores,
            curves=args.curves,
            report=args.report,
            tables=args.tables,
            figures=args.figures,
            packed=args.packed,
            costs=args.costs,
            partial=args.partial,
        )
    )
    messages.say(write_report.as_text(reported))


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--spec", required=True, help='JSON: {"runs": [...], "protocols": [...], "swept": [...]}')
    parser.add_argument("--scores", type=Path, required=True, help="scores.csv")
    parser.add_argument("--curves", type=Path, required=True, help="curves.csv")
    parser.add_argument("--costs", type=Path, nargs="*", default=[], help="costs.csv and error_against_costs.csv")
    parser.add_argument("--report", type=Path, required=True, help="HTML to write")
    parser.add_argument("--tables", type=Path, required=True, help="folder of the tables that score wrote; for others")
    parser.add_argument("--figures", type=Path, required=True, help="folder to write the figures to, as SVG")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed test split, if it is here")
    parser.add_argument("--partial", action="store_true", help="report complete runs, and name the others")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
