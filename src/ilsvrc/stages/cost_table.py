"""The table of what networks cost, and their errors against it: arithmetic on what was measured."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ilsvrc.config import registry
from ilsvrc.reporting import error_vs_cost, figures
from ilsvrc.reporting.report_data import run_names
from ilsvrc.runtime import entry_point, messages
from ilsvrc.runtime.files import read_json, write_text

CROP_PX = 224  # for counting a protocol's views; any will do


def main(given: argparse.Namespace) -> None:
    """Writes the table, the points and the figure of `--spec`'s runs."""
    spec = json.loads(given.spec)
    networks = {run: Path(path).stem for run, path in spec["runs"].items()}
    files = {path: Path(path).stem for path in spec["runs"].values()}
    files |= {path: networks[run] for run, path in spec["int8"].items()}
    rows = [row for path, name in files.items() for row in error_vs_cost.rows(name, read_json(Path(path)))]
    table, scores = error_vs_cost.table(rows), pd.read_csv(given.scores)
    protocol = fewest_views(spec["protocols"])
    points = error_vs_cost.points(table, scores, networks, protocol)
    runs = scores[scores["run"].isin(points["run"])].drop_duplicates("run")
    drawn = figures.styles(run_names(runs, []), list(runs["architecture"]))
    write_text(given.table, table.to_csv(index=False, lineterminator="\n"))
    write_text(given.points, points.assign(protocol=protocol).to_csv(index=False, lineterminator="\n"))
    write_text(given.figure, error_vs_cost.error_against(points, drawn))
    messages.say(f"costs of {table['network'].nunique()} networks: {given.table}, {given.figure}")


def fewest_views(protocols: Sequence[str]) -> str:
    """The protocol whose test of a picture is nearest to one pass, which is what is measured."""
    return min(protocols, key=lambda name: len(registry.load("protocols", name).views(CROP_PX)))


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
