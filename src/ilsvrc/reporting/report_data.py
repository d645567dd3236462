"""What the report's page is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from ilsvrc.reporting import figures
from ilsvrc.reporting.figures import Style
from ilsvrc.reporting.formatting import given, text
from ilsvrc.reporting.paper_tables import PaperTable

Info = Mapping[str, Any]


@dataclass(frozen=True)
class Content:
    """What the page shows, of one data set.

    `errors` is `tables.errors`; `behind` holds what lies behind them by the tables' names (`breakdown.COLUMNS`);
    `published` is `paper_tables.tables`, `training` says by run how its training is not the paper's; `size` is
    `size.points`, `times` is `times.table`. `pictures` are data URIs by image's name, `inspected` by run what looks
    into networks: each empty where there is nothing of it. `costs` are the table of costs and `costs.points`.
    """

    title: str
    errors: pd.DataFrame
    curves: pd.DataFrame
    run_infos: Mapping[str, Info]
    swept: Sequence[str]
    behind: Mapping[str, pd.DataFrame]
    published: Sequence[PaperTable]
    training: Mapping[str, str]
    size: pd.DataFrame
    times: pd.DataFrame
    costs: tuple[pd.DataFrame, pd.DataFrame] | None = None
    papers_data: str | None = None
    pictures: Mapping[str, str] = field(default_factory=dict)
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
        """Places of the runs that have a learning curve: those that were trained here."""
        trained = set(self.curves["run"])
        return [place for place, run in enumerate(self.names) if run in trained]

    @cached_property
    def drawn(self) -> dict[str, Style]:
        """Run -> how it looks in every figure."""
        architectures = list(self.errors.drop_duplicates("run")["architecture"])
        return dict(zip(self.names, figures.styles(list(self.names.values()), architectures), strict=True))


def run_names(runs: pd.DataFrame, swept: Sequence[str]) -> list[str]:
    """The shortest names that tell the runs of a data set apart."""
    keys = [*(["recipe"] if runs["recipe"].nunique() > 1 else []), *swept]
    keys += ["seed"] if runs["seed"].nunique() > 1 else []
    return [
        " ".join([row["architecture"], *(f"{key}={text(row[key])}" for key in keys if given(row[key]))])
        for row in runs.to_dict("records")
    ]
