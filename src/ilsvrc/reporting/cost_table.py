"""Table of costs of a data set's networks, the points of their errors against them, and the figure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pandas as pd

from ilsvrc.config import registry
from ilsvrc.profiling.cost_files import CostFile, Int8File
from ilsvrc.reporting import csv_tables, error_vs_cost, figures
from ilsvrc.reporting.report_data import run_names
from ilsvrc.runtime.files import write_text

CROP_PX = 224  # for counting a protocol's views; any will do


@dataclass(frozen=True)
class CostTableJob:
    """The files of costs by run, those in int8 by run, the protocols that were tested, and the files to write."""

    runs: Mapping[str, Path]
    int8: Mapping[str, Path]
    protocols: Sequence[str]
    scores: Path
    table: Path
    points: Path
    figure: Path

    @classmethod
    def parse(cls, spec: str, scores: Path, table: Path, points: Path, figure: Path) -> Self:
        """From `{"runs": {run: file}, "int8": {...}, "protocols": [...]}` as JSON."""
        content = json.loads(spec)
        runs, int8 = ({run: Path(path) for run, path in content[key].items()} for key in ("runs", "int8"))
        return cls(runs, int8, content["protocols"], scores, table, points, figure)


def write(job: CostTableJob) -> int:
    """Writes the table, the points and the figure; the number of networks."""
    networks = {run: path.stem for run, path in job.runs.items()}
    table, scores = read_costs(job, networks), csv_tables.read(job.scores)
    protocol = fewest_views(job.protocols)
    points = error_vs_cost.points(table, scores, networks, protocol)
    runs = scores[scores["run"].isin(points["run"])].drop_duplicates("run")
    drawn = figures.styles(run_names(runs, []), list(runs["architecture"]))
    write_text(job.table, csv_tables.as_csv(table))
    write_text(job.points, csv_tables.as_csv(points.assign(protocol=protocol)))
    write_text(job.figure, error_vs_cost.error_against(points, drawn))
    return int(table["network"].nunique())


def read_costs(job: CostTableJob, networks: Mapping[str, str]) -> pd.DataFrame:
    """costs.csv: the rows of every file of costs."""
    rows = [
        row for path in dict.fromkeys(job.runs.values()) for row in error_vs_cost.rows(path.stem, CostFile.read(path))
    ]
    rows += [row for run, path in job.int8.items() for row in error_vs_cost.rows(networks[run], Int8File.read(path))]
    return error_vs_cost.table(rows)


def fewest_views(protocols: Sequence[str]) -> str:
    """The protocol whose test of an image is nearest to one pass, which is what is measured."""
    return min(protocols, key=lambda name: len(registry.load("protocols", name).views(CROP_PX)))
