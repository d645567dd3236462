"""Data of the report, gathered from scores, curves, tables, runs, costs and inspections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.evaluation import breakdown, headline_metric
from ilsvrc.evaluation.score_runs import ResultsSpec
from ilsvrc.models.common import reference_counts
from ilsvrc.reporting import (
    csv_tables,
    error_figures,
    error_table,
    error_vs_size,
    inputs,
    paper_tables,
    papers,
    published_results,
    stage_times,
)
from ilsvrc.reporting.report_data import DataSet, ReportData


@dataclass(frozen=True)
class ReportJob:
    """The files that a report is made of, and those to write.

    `tables` is the folder of the tables that scoring wrote, and gets more; `costs` are costs.csv and
    error_against_costs.csv, where costs were measured; `packed` is the folder of the packed test split, if it is here.
    A `partial` report leaves out runs that have no scores, and names them.
    """

    spec: ResultsSpec
    scores: Path
    curves: Path
    report: Path
    tables: Path
    figures: Path
    packed: Path
    costs: Sequence[Path] = ()
    partial: bool = False


def gather(job: ReportJob) -> ReportData:
    """The report's data.

    Raises:
        ValueError: a run has no scores, and the report is not partial.
    """
    scores, spec = error_table.read_scores(job.scores), job.spec
    missing = [run for run in spec.runs if run not in set(scores["run"])]
    if missing and not job.partial:
        raise ValueError(f"{job.scores} lacks {', '.join(missing)}; run snakemake, or make report for the others")
    runs = list(scores.loc[scores["seed"].notna(), "run"].unique())  # the others are ensembles
    infos = {run: RunInfo.read(run_files.RUNS / run / "run.json") for run in runs}
    training = papers.trainings_differ(infos, spec.ensembles)
    errors = error_table.errors(scores, lambda row: papers.published(row, training.get(row["run"], "")))
    data_set, counts = describe_data_set(scores["dataset"].iloc[0]), reference_counts.architectures()
    by, results = headline_metric.from_columns(errors.columns), published_results.results()
    measured = paper_tables.measured(errors, spec.swept, training) if by is headline_metric.TOP1 else []
    owners = {name: row["paper"] for name, row in counts.items()}
    named = errors.assign(dataset=data_set.papers_data or data_set.label)
    tables = {name: error_table.read_table(job.tables / f"{name}.csv") for name in breakdown.COLUMNS}
    return ReportData(
        data_set=data_set,
        errors=errors,
        curves=csv_tables.read(job.curves),
        run_infos=infos,
        swept=spec.swept,
        breakdown=tables,
        published=paper_tables.tables(results, measured, data_set.papers_data, owners),
        training=training,
        size=error_vs_size.points(named, by, results, counts, data_set.papers_data),
        times=stage_times.table(inputs.find_times(runs)),
        costs=read_costs(job.costs),
        images=hardest_images_of(errors, tables["hardest"], job.packed),
        inspected=inputs.find_inspected(runs),
        facts=inputs.data_facts(inputs.packed_folder(infos[runs[0]].made_from.form), job.packed),
        missing=missing,
    )


def describe_data_set(label: str) -> DataSet:
    """The data set of that name by its card, or a person's own images."""
    card = papers.data_card(label)
    return DataSet(label, card.title, card.licence, card.address, card.papers_data) if card else DataSet(label, label)


def read_costs(paths: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """The table of costs and the points of error against them, where costs were measured."""
    tables = {path.stem: path for path in paths if path.suffix == ".csv" and path.exists()}
    if len(tables) < 2:
        return None
    return csv_tables.read(tables["costs"]), csv_tables.read(tables["error_against_costs"])


def hardest_images_of(errors: pd.DataFrame, hardest: pd.DataFrame, packed: Path) -> Mapping[str, str]:
    """The hardest images of the networks that get figures of their own, where the packed test file is here."""
    rows = [error_figures.of(hardest, row) for row in error_table.records(error_figures.chosen(errors))]
    return inputs.find_images(packed, {name for table in rows for name in table["image"]})
