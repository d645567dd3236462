"""Lines of the report on pretrained weights."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.reporting.error_table import records
from ilsvrc.reporting.formatting import given, percent


class Pretrained(NamedTuple):
    """Pretrained weights of an architecture, their source, and what is known of them, in one line."""

    architecture: str
    source: str
    says: str


def not_trained_here(runs: pd.DataFrame, run_infos: Mapping[str, RunInfo]) -> list[Pretrained]:
    """Provenance of pretrained weights: their source, and the assumptions about classes and pixels.

    `runs` has a row of the table of errors for each run.
    """
    return [
        Pretrained(row["architecture"], row["source"], import_facts(run_infos[row["run"]]))
        for row in records(runs[runs["seed"].notna()])
        if given(row["source"])
    ]


def import_facts(info: RunInfo) -> str:
    """Sources of the class order and of the normalization, and the library's own test of its weights."""
    library = info.tested_with or {}
    says = [f"classes: {info.class_order}", f"normalization: {info.normalization_is}"]
    if library:
        sizes = f"short side {library['short_side_px']} px, crop {library['crop_px']} px, {library['interpolation']}"
        says.append(f"made for {sizes}")
    if "top1_error_percent" in library:
        errors = " / ".join(percent(library.get(f"top{k}_error_percent")) for k in (1, 5))
        says.append(f"its owners state errors of {errors} %")
    return "; ".join(says)
