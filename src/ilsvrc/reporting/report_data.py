"""Data of the report's page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.reporting import figures, provenance
from ilsvrc.reporting.error_table import records
from ilsvrc.reporting.figures import Style
from ilsvrc.reporting.formatting import given, text
from ilsvrc.reporting.paper_tables import PaperTable


@dataclass(frozen=True)
class DataSet:
    """A data set as its card describes it; a person's own images have nothing but a label.

    `papers_data` is the name that papers give it, None where none report on it.
    """

    label: str
    title: str
    licence: str = ""
    address: str = ""
    papers_data: str | None = None


@dataclass(frozen=True)
class ReportData:
    """Data of a report on one data set.

    `errors` is `error_table.errors`; `breakdown` holds the tables behind them by name (`breakdown.COLUMNS`);
    `published` is `paper_tables.tables`, `training` says by run how its training differs from the paper's; `size` is
    `error_vs_size.points`, `times` is `stage_times.table`. `images` are data URIs by image's name, `inspected` the
    inspections of networks by run: each empty where there are none. `costs` are the table of costs and
    `error_vs_cost.points`.
    """

    data_set: DataSet
    errors: pd.DataFrame
    curves: pd.DataFrame
    run_infos: Mapping[str, RunInfo]
    swept: Sequence[str]
    breakdown: Mapping[str, pd.DataFrame]
    published: Sequence[PaperTable]
    training: Mapping[str, str]
    size: pd.DataFrame
    times: pd.DataFrame
    costs: tuple[pd.DataFrame, pd.DataFrame] | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    inspected: Sequence[Mapping[str, Any]] = ()
    facts: Mapping[str, str] = field(default_factory=dict)  # of the data
    missing: Sequence[str] = ()

    @cached_property
    def names(self) -> dict[str, str]:
        """Run -> the shortest name that tells it apart, ensembles included."""
        runs = self.errors.drop_duplicates("run")
        return dict(zip(runs["run"], run_names(runs, self.swept), strict=True))

    @cached_property
    def with_curves(self) -> list[int]:
        """Indices of the runs that have a learning curve: those that were trained here."""
        trained = set(self.curves["run"])
        return [place for place, run in enumerate(self.names) if run in trained]

    @cached_property
    def validated_on(self) -> str:
        """What validation curves are of, for their legend: nothing to say where each is of held-out images."""
        trained = list(dict.fromkeys(self.curves["run"]))
        on_test = [run for run in trained if run in provenance.validated_on_test(self.run_infos)]
        if not on_test:
            return ""
        named = "" if len(on_test) == len(trained) else f" of {', '.join(self.names[run] for run in on_test)}"
        return f"validation{named}: on the test split"

    @cached_property
    def drawn(self) -> dict[str, Style]:
        """Style of each run, the same in every figure."""
        architectures = list(self.errors.drop_duplicates("run")["architecture"])
        return dict(zip(self.names, figures.styles(list(self.names.values()), architectures), strict=True))


def run_names(runs: pd.DataFrame, swept: Sequence[str]) -> list[str]:
    """The shortest names that tell the runs of a data set apart."""
    keys = [*(["recipe"] if runs["recipe"].nunique() > 1 else []), *swept]
    keys += ["seed"] if runs["seed"].nunique() > 1 else []
    return [
        " ".join([row["architecture"], *(f"{key}={text(row[key])}" for key in keys if given(row[key]))])
        for row in records(runs)
    ]
