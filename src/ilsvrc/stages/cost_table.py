"""Table of the networks' costs, and their errors against them: arithmetic on measurements."""

import argparse
from pathlib import Path

from ilsvrc.reporting import cost_table
from ilsvrc.reporting.cost_table import CostTableJob
from ilsvrc.runtime import entry_point, messages


def main(args: argparse.Namespace) -> None:
    """Writes the table, the points and the figure of `--spec`'s runs."""
    job = CostTableJob.parse(args.spec, args.scores, args.table, args.points, args.figure)
    num_networks = cost_table.write(job)
    messages.say(f"costs of {num_networks} networks: {args.table}, {args.figure}")


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--spec", required=True, help='JSON: {"runs": {run: file}, "int8": {...}, "protocols": [...]}')
    parser.add_argument("--scores", type=Path, required=True, help="scores.csv")
    parser.add_argument("--table", type=Path, required=True, help="CSV to write, a row a network and precision")
    parser.add_argument("--points", type=Path, required=True, help="CSV to write, a row a run and precision")
    parser.add_argument("--figure", type=Path, required=True, help="SVG to write")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
