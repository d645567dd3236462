"""Tables as CSV, whose text no spreadsheet takes for a formula, and what they were, read back."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ilsvrc.artifacts import spreadsheet


def as_csv(table: pd.DataFrame) -> str:
    """The table's text."""
    return _changed(table, "'=+-@\t\r", spreadsheet.escaped).to_csv(index=False, lineterminator="\n")


def read(path: Path, missing: bool = True, dtype: Mapping[str, type[str]] | None = None) -> pd.DataFrame:
    """The table of a file; where not `missing`, words such as `NA` are text and only nothing is a missing value."""
    words: dict[str, Any] = {} if missing else {"keep_default_na": False, "na_values": [""]}
    return _changed(pd.read_csv(path, dtype=dtype, **words), "'", spreadsheet.plain)


def _changed(table: pd.DataFrame, starts: str, change: Callable[[Any], Any]) -> pd.DataFrame:
    """The table with changed cells of text; a column without one that begins with any of `starts` stays as it is."""
    columns = {}
    for name in table.columns:
        cells = table[name]
        if not pd.api.types.is_numeric_dtype(cells) and any(str(cell).startswith(tuple(starts)) for cell in cells):
            columns[name] = [change(cell) for cell in cells]
    return table.assign(**columns) if columns else table
