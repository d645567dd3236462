"""Scores and report of the runs that are complete, whatever the others do: `make report`."""

import argparse
from pathlib import Path

from ilsvrc import config, pipeline
from ilsvrc.stages import _stage, report, score

RESULTS = Path("results")


def main(given: argparse.Namespace) -> None:
    """Writes what the rules `score` and `report` would, of the runs that there are."""
    wired = pipeline.Pipeline(config.load(given.book))
    scores = ["--scores", RESULTS / "scores.csv", "--curves", RESULTS / "curves.csv", "--tables", RESULTS / "tables"]
    common = ["--spec", wired.results_spec, "--partial", *scores]
    pages = ["--report", RESULTS / "report.html", "--figures", RESULTS / "figures", "--packed", wired.packed_for_test]
    pages += ["--costs", *wired.cost_results()]
    metrics = ["--metrics", RESULTS / "metrics.json"]
    score.main(score.arguments().parse_args([str(word) for word in (*common, *metrics)]))
    report.main(report.arguments().parse_args([str(word) for word in (*common, *pages)]))


if __name__ == "__main__":
    parser = _stage.parser(__doc__)
    parser.add_argument("--book", default="params.yaml", help="the experiment book (params.yaml)")
    _stage.run(main, parser)
