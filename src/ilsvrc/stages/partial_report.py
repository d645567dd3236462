"""Scores and report of the runs that are complete, whatever the others do: `make report`."""

import argparse
from pathlib import Path

from ilsvrc.config import params
from ilsvrc.pipeline import wiring
from ilsvrc.runtime import entry_point
from ilsvrc.stages import report, score

RESULTS = Path("results")


def main(given: argparse.Namespace) -> None:
    """Writes what the rules `score` and `report` would, of the runs that there are."""
    wired = wiring.Pipeline(params.load(given.book))
    scores = ["--scores", RESULTS / "scores.csv", "--curves", RESULTS / "curves.csv", "--tables", RESULTS / "tables"]
    common = ["--spec", wired.results_spec, "--partial", *scores]
    pages = ["--report", RESULTS / "report.html", "--figures", RESULTS / "figures", "--packed", wired.packed_for_test]
    pages += ["--costs", *wired.cost_results()]
    metrics = ["--metrics", RESULTS / "metrics.json"]
    score.main(score.arguments().parse_args([str(word) for word in (*common, *metrics)]))
    report.main(report.arguments().parse_args([str(word) for word in (*common, *pages)]))


if __name__ == "__main__":
    parser = entry_point.parser(__doc__)
    parser.add_argument("--book", default="params.yaml", help="the experiment book (params.yaml)")
    entry_point.run(main, parser)
