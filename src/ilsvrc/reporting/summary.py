"""Summary of the report: the runs, the best network, and deviations from the papers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from ilsvrc.evaluation import headline_metric
from ilsvrc.evaluation.headline_metric import Measure
from ilsvrc.reporting import error_rows, pretrained, provenance
from ilsvrc.reporting.paper_tables import PaperTable
from ilsvrc.reporting.report_data import ReportData


@dataclass(frozen=True)
class Summary:
    """The report in short; `best` is a row of errors with its name, `closest` the row nearest to its paper's."""

    by: Measure
    num_trained: int
    num_ensembles: int
    num_pretrained: int
    recipes: Sequence[str]
    protocols: Sequence[str]
    num_images: Sequence[int]  # tested on
    train_seconds: float
    best: Mapping[str, Any]
    deviations: "Sequence[Deviation]"
    compared: Mapping[str, int]
    closest: Mapping[str, Any] | None


class Deviation(NamedTuple):
    """A subject, and the deviations from the papers in it."""

    about: str
    says: tuple[str, ...]  # sentences, without their stop


def summarize(data: ReportData) -> Summary:
    """The summary of a report."""
    errors, runs = data.errors, data.errors.drop_duplicates("run")
    by, trained = headline_metric.from_columns(errors.columns), error_rows.trained_here(runs)
    best = errors.loc[by.best(errors[by.column])].to_dict()
    chosen = provenance.chosen_by_test(errors, data.run_infos)
    return Summary(
        by=by,
        num_trained=len(trained),
        num_ensembles=int(runs["seed"].isna().sum()),
        num_pretrained=len(pretrained.not_trained_here(runs, data.run_infos)),
        recipes=list(trained["recipe"].unique()),
        protocols=list(errors["protocol"].unique()),
        num_images=sorted(set(errors["num_images"])),
        train_seconds=trained["train_seconds"].sum(),
        best=best | {"name": data.names[best["run"]], **error_rows.measured(best, by)},
        deviations=deviations(errors, data.published, data.training, data.data_set.papers_data, chosen),
        compared=compared(data.published),
        closest=closest(data.published),
    )


def deviations(
    errors: pd.DataFrame, tables: Sequence[PaperTable], training: Mapping[str, str], papers_data: str | None,
    chosen_by_test: Sequence[str],
) -> list[Deviation]:  # fmt: skip
    """Deviations of a data set's results from the papers: data, training, tests, and choices by test images."""
    own = [table for table in tables if table.own]
    lines = [
        Deviation("Data", _data({row["dataset"] for row in _beside(own) or _printed(own)}, papers_data)),
        Deviation("Training", _training(errors, training)),
        Deviation("Tests", _tests(own)),
        Deviation("Chosen by test images", _chosen(chosen_by_test)),
    ]
    return [line for line in lines if line.says]


def compared(tables: Iterable[PaperTable]) -> dict[str, int]:
    """Numbers of printed rows of own papers beside a measurement, and of those that are comparable."""
    rows = _beside(table for table in tables if table.own)
    return {"beside": len(rows), "comparable": sum(row["comparable"] for row in rows)}


def closest(tables: Iterable[PaperTable]) -> dict[str, Any] | None:
    """The comparable row whose top-1 error is nearest to the printed one, None where none is comparable."""
    rows = [row for table in tables if table.own for row in table.rows if row.get("comparable")]
    known = [row for row in rows if row.get("top1_difference") is not None]
    return min(known, key=lambda row: abs(row["top1_difference"]), default=None)


def _beside(own: Iterable[PaperTable]) -> list[Mapping[str, Any]]:
    """Printed rows beside a measurement, once where two tables print them."""
    rows = [row for table in own for row in table.rows if "title" in row and "measured" in row]
    return list({tuple((k, str(v)) for k, v in row.items() if k != "table"): row for row in rows}.values())


def _printed(own: Iterable[PaperTable]) -> list[Mapping[str, Any]]:
    """Printed rows of the tables that have a measurement below them."""
    return [row for table in own if table.ours for row in table.rows if "title" in row]


def _data(printed: set[str], tested: str | None) -> tuple[str, ...]:
    """A sentence where the papers' rows are on other data."""
    names = sorted({name.removesuffix(" val").removesuffix(" test") for name in printed})
    return () if not printed or tested in printed else (f"not the papers', which report on {', '.join(names)}",)


def _training(errors: pd.DataFrame, training: Mapping[str, str]) -> tuple[str, ...]:
    """Each way in which trainings differ, with the architectures that it holds for."""
    ways: dict[str, dict[str, None]] = {}
    for row in errors[errors["seed"].notna()].drop_duplicates("run").to_dict("records"):
        if why := training.get(row["run"]):
            ways.setdefault(why, {})[row["architecture"]] = None
    return tuple(f"{', '.join(names)}: {why}" for why, names in ways.items())


def _tests(own: Sequence[PaperTable]) -> tuple[str, ...]:
    """Networks that were tested by none of their paper's protocols."""
    beside = {row["networks"] for row in _beside(own)}
    alone = dict.fromkeys(row["networks"] for table in own for row in table.ours if row["networks"] not in beside)
    return (f"{', '.join(alone)}: by no protocol of the paper's tables",) if alone else ()


def _chosen(architectures: Sequence[str]) -> tuple[str, ...]:
    if not architectures:
        return ()
    return (
        f"{', '.join(architectures)}: the recipe lowers the learning rate by the error on the images that are "
        "tested, as the paper did (monitor: test); the errors are a little too low",
    )
