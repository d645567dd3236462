"""The report: the page, its tables and its figures. Arithmetic on scores, and what lies beside them."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ilsvrc.artifacts import run_files
from ilsvrc.evaluation import breakdown, headline_metric, register_models
from ilsvrc.models.common import reference_counts
from ilsvrc.reporting import (
    close_ups,
    error_figures,
    error_table,
    error_vs_size,
    inputs,
    page,
    paper_tables,
    papers,
    published_results,
    stage_times,
)
from ilsvrc.reporting.report_data import Content
from ilsvrc.runtime import entry_point, messages
from ilsvrc.runtime.files import read_json, write_text
from ilsvrc.tracking import mlflow_runs


def main(given: argparse.Namespace) -> None:
    """Writes the page, the tables and the figures from the scores of `--spec`'s runs."""
    spec = json.loads(given.spec)
    scores, curves = error_table.read_scores(given.scores), pd.read_csv(given.curves)
    missing = [run for run in spec["runs"] if run not in set(scores["run"])]
    if missing and not given.partial:
        raise ValueError(f"{given.scores} lacks {', '.join(missing)}; run snakemake, or make report for the others")
    content = gather(scores, curves, spec, given, missing)
    html = page.render(content)
    for name, table in tables_of(content).items():
        write_text(given.tables / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    for name, svg in close_ups.as_files(content).items():
        write_text(given.figures / f"{name}.svg", svg)
    write_text(given.report, html)
    if any(map(register_models.mlflow_run, content.run_infos)):
        mlflow_runs.log_report(given.report, sorted(given.figures.glob("*.svg")))
    messages.say(f"report of {len(content.run_infos)} of {len(spec['runs'])} runs: {given.report}")


def gather(
    scores: pd.DataFrame, curves: pd.DataFrame, spec: Mapping[str, Any], given: argparse.Namespace,
    missing: Sequence[str],
) -> Content:  # fmt: skip
    """What the page is made of."""
    label, runs = scores["dataset"].iloc[0], scores.loc[scores["seed"].notna(), "run"].unique()  # others: ensembles
    infos = {run: read_json(run_files.RUNS / run / "run.json") for run in runs}
    training = papers.trainings_differ(infos, spec.get("ensembles", []))
    errors = error_table.errors(scores, lambda row: papers.published(row, training.get(row["run"], "")))
    card = papers.data_card(label)
    behind = {name: error_table.read_table(given.tables / f"{name}.csv") for name in breakdown.COLUMNS}
    by = headline_metric.of(errors.columns)
    measured = paper_tables.measured(errors, spec["swept"], training) if by is headline_metric.TOP1 else []
    data, counts = card.papers_data if card else None, reference_counts.architectures()
    owners = {name: row["paper"] for name, row in counts.items()}
    return Content(
        title=card.title if card else label,
        errors=errors,
        curves=curves,
        run_infos=infos,
        swept=spec["swept"],
        behind=behind,
        published=paper_tables.tables(published_results.results(), measured, data, owners),
        training=training,
        size=error_vs_size.points(errors.assign(dataset=data or label), by, published_results.results(), counts, data),
        times=stage_times.table(inputs.find_times(list(runs))),
        costs=tables_of_costs(given.costs),
        papers_data=data,
        pictures=pictures_of(errors, behind["hardest"], given.packed),
        inspected=inputs.find_inspected(runs),
        facts=inputs.data_facts(inputs.packed_folder(infos[runs[0]]["spec"]["form"]), given.packed),
        missing=missing,
    )


def tables_of_costs(files: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """The table of costs and the points of error against them, where costs were measured."""
    found = {path.stem: path for path in files if path.suffix == ".csv" and path.exists()}
    if len(found) < 2:
        return None
    return pd.read_csv(found["costs"]), pd.read_csv(found["error_against_costs"])


def pictures_of(errors: pd.DataFrame, hardest: pd.DataFrame, packed: Path) -> dict[str, str]:
    """The hardest pictures of the networks that are looked at, where the packed test file is on this machine."""
    rows = [error_figures.of(hardest, row) for row in error_figures.chosen(errors).to_dict("records")]
    return inputs.find_pictures(packed, {name for table in rows for name in table["image"]})


def tables_of(content: Content) -> dict[str, pd.DataFrame]:
    """The tables that the page's are printed from, beside those that scoring wrote."""
    return {
        "errors": content.errors,
        "published": paper_tables.as_frame(content.published),
        "error_against_size": content.size,
        "times": content.times,
    }


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
    parser.add_argument("--partial", action="store_true", help="report the runs there are, name the missing ones")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
