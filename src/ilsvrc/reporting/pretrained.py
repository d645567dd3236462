"""What a report says of weights that were not trained here."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ilsvrc.reporting.formatting import given, percent
from ilsvrc.reporting.report_data import Info


def not_trained_here(runs: pd.DataFrame, run_infos: Mapping[str, Info]) -> list[dict[str, Any]]:
    """What is known of weights that were not trained here: whose they are, and what was assumed or is otherwise.

    `runs` has a row of the table of errors for each run.
    """
    return [
        {"architecture": row["architecture"], "source": row["source"], "says": import_facts(run_infos[row["run"]])}
        for row in runs[runs["seed"].notna()].to_dict("records")
        if given(row["source"])
    ]


def import_facts(info: Info) -> str:
    """How the classes and the pixels' normalisation are known, and how the library tests its weights."""
    library = info.get("tested_with") or {}
    says = [f"classes: {info['class_order']}", f"normalisation: {info['normalization_is']}"]
    if library:
        sizes = f"short side {library['short_side_px']} px, crop {library['crop_px']} px, {library['interpolation']}"
        says.append(f"made for {sizes}")
    if "top1_error_percent" in library:
        errors = " / ".join(percent(library.get(f"top{k}_error_percent")) for k in (1, 5))
        says.append(f"its owners state errors of {errors} %")
    return "; ".join(says)
