"""The papers' published numbers: the tests' oracle and the report's "paper" column. Never imports torch."""

import csv
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
DEFAULT_INPUT_PX = 224


@cache
def architectures() -> dict[str, dict[str, str]]:
    """Name -> row of architectures.csv: paper, section, year, input size, exact counts."""
    with (FOLDER / "architectures.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def input_px(architecture: str) -> int:
    """The side of the paper's input square; 224 for an architecture that no paper's row describes."""
    row = architectures().get(architecture)
    return int(row["input_px"]) if row else DEFAULT_INPUT_PX
