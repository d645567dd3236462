"""Scores every run and protocol: arithmetic on predictions (evaluation/score_runs.py)."""

import argparse
from pathlib import Path

from ilsvrc.config import specs
from ilsvrc.evaluation.score_runs import ResultsSpec, ScoreJob, score
from ilsvrc.runtime import entry_point, messages


def main(args: argparse.Namespace) -> None:
    """Scores the runs and ensembles of `--spec`, and prints a line for each row."""
    spec = specs.parse_specification(ResultsSpec, args.spec)
    scored = score(ScoreJob(spec, args.scores, args.metrics, args.curves, args.tables, args.partial))
    for line in scored.lines(spec.swept):
        messages.say(line)


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--spec", required=True, help='JSON: {"runs": [...], "protocols": [...], "swept": [...]}')
    parser.add_argument("--scores", type=Path, required=True, help="CSV to write, a row for each run and protocol")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON to write, for dvc metrics")
    parser.add_argument("--curves", type=Path, required=True, help="CSV to write, a row for each run and epoch")
    parser.add_argument("--tables", type=Path, required=True, help="folder for the tables behind the errors")
    parser.add_argument("--partial", action="store_true", help="leave incomplete runs out and name them")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
