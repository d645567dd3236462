"""The report: the page, the table of errors beside the papers', the learning curves. Arithmetic on scores only."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ilsvrc import plugins, reference, results
from ilsvrc.card import Card
from ilsvrc.reporting import figures, measure, page, tables
from ilsvrc.stages import _stage


def main(given: argparse.Namespace) -> None:
    """Writes the page, the table and the figure from the scores of `--spec`'s runs."""
    spec = json.loads(given.spec)
    scores, curves = tables.read_scores(given.scores), pd.read_csv(given.curves)
    missing = [run for run in spec["runs"] if run not in set(scores["run"])]
    if missing and not given.partial:
        raise ValueError(f"{given.scores} lacks {', '.join(missing)}; run snakemake, or make report for the others")
    errors = tables.errors(scores, published)
    runs = errors[errors["seed"].notna()].drop_duplicates("run")  # ensembles were not trained
    infos = {run: results.read_json(results.RUNS / run / "run.json") for run in runs["run"]}
    titles = {label: card.title for label in runs["dataset"].unique() if (card := data_card(label))}
    html = page.render(errors, curves, infos, titles, spec["swept"], missing)
    results.write_text(given.table, errors.to_csv(index=False, lineterminator="\n"))
    drawn = figures.styles(page.run_names(runs, spec["swept"]), list(runs["architecture"]))
    trained = page.with_curves(runs, curves)
    figure = figures.learning_curves(curves, drawn, figures.panels(curves), legend=True, places=trained)
    results.write_text(given.figure, figure)
    results.write_text(given.report, html)
    _stage.say(f"report of {len(runs)} of {len(spec['runs'])} runs: {given.report}")


def data_card(label: str) -> Card | None:
    """The card of the data set of that name; None for a person's own pictures."""
    return plugins.load("data", label).CARD if label in plugins.names("data") else None


def published(row: Mapping[str, Any]) -> tables.Published | None:
    """What a paper reports of such networks: under the same conditions, else the nearest and what differs."""
    if measure.of(row) is not measure.TOP1:
        return None
    card = data_card(row["dataset"])
    papers_data = card.papers_data if card else None
    networks, protocol = row["networks"], row["protocol"]
    same = reference.published_error(networks, papers_data, protocol)
    found = same or nearest(networks, papers_data, protocol)
    if not found:
        return None
    foreign = isinstance(row.get("source"), str)
    differs = {
        "other data": found.dataset != papers_data,
        "other test protocol": found.protocol != protocol,
        "another number of networks": found.networks != reference.networks(networks),
        "weights not trained here": foreign,
    }
    return tables.Published(
        found.top1_error_percent,
        found.top5_error_percent,
        citation(found),
        comparable=same is not None and not foreign,
        why=", ".join(what for what, so in differs.items() if so),
    )


def nearest(networks: str, papers_data: str | None, protocol: str) -> reference.Result | None:
    """The row that shares most with what was measured: the networks before the data before the protocol.

    What is one network is never held against an ensemble.
    """
    asked = reference.networks(networks)
    rows = [row for row in reference.published_of(networks) if row.kind == "error" and row.networks]
    rows = rows if asked.total() > 1 else [row for row in rows if row.networks == asked]
    likeness = [(row.networks == asked, row.dataset == papers_data, row.protocol == protocol) for row in rows]
    return rows[likeness.index(max(likeness))] if rows else None


def citation(found: reference.Result) -> str:
    """Who reports it, where, on what and how; and a warning where nobody looked it up."""
    where = f"{found.paper}, {found.source.split(';')[0].split(' (')[0]}"
    how = f"{found.title}, {found.dataset}, {found.protocol.replace('_', ' ')}"
    return f"{where}: {how}{' (from memory, not looked up)' if found.confidence == 'from memory' else ''}"


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = _stage.parser(__doc__)
    parser.add_argument("--spec", required=True, help='JSON: {"runs": [...], "protocols": [...], "swept": [...]}')
    parser.add_argument("--scores", type=Path, required=True, help="scores.csv")
    parser.add_argument("--curves", type=Path, required=True, help="curves.csv")
    parser.add_argument("--report", type=Path, required=True, help="HTML to write")
    parser.add_argument("--table", type=Path, required=True, help="CSV to write: errors, intervals, papers' figures")
    parser.add_argument("--figure", type=Path, required=True, help="SVG to write: learning curves")
    parser.add_argument("--partial", action="store_true", help="report the runs there are, name the missing ones")
    return parser


if __name__ == "__main__":
    _stage.run(main, arguments())
