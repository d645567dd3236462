"""Scores and report of the runs that are complete, while others train: `make report`."""

import argparse
from pathlib import Path

from ilsvrc.pipeline import partial_report
from ilsvrc.runtime import entry_point, messages


def main(args: argparse.Namespace) -> None:
    """Writes what the rules `score` and `report` would write, of the runs that are complete."""
    messages.say(partial_report.as_text(partial_report.write(partial_report.PartialReportJob(args.params))))


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--params", "--book", type=Path, default=Path("params.yaml"), help="the configuration")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
