"""The papers' published numbers: the tests' oracle and the report's "paper" column. Never imports torch.

`architectures.csv` holds a row for each network: its exact counts at its builder's defaults (the paper's input; 1000
classes, 10 for CIFAR), the counts that somebody published (`source` says who and where), and in `deviation` why ours
are not those. A published count is a figure as it was printed, with its unit: `60M`, `1.8G`.

`results.csv` holds what papers report: `kind: error` is an error in percent, `kind: ablation_delta` the signed change
of an error in percentage points. `architecture` is the name of our network where it is the one reported on, `protocol`
the name of our protocol where it is the one used, and `confidence` tells how far a row was checked: exact (read in the
source), derived (100 - accuracy), from memory.
"""

import csv
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
UNITS = {"K": 3, "M": 6, "G": 9}  # powers of ten


@dataclass(frozen=True)
class Result:
    """A row of results.csv; None where the source does not say."""

    architecture: str | None
    title: str
    kind: str  # error | ablation_delta
    paper: str
    year: int
    dataset: str
    protocol: str
    models: int | None
    crops: str | None  # a number, or such as "dense x 3 scales"
    top1_error_percent: float | None
    top5_error_percent: float | None
    source: str
    confidence: str  # exact | derived | from memory


@cache
def architectures() -> dict[str, dict[str, str]]:
    """Name -> row of architectures.csv: paper, section, year, exact and published counts."""
    with (FOLDER / "architectures.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def agrees(counted: int, published: str, within: float = 0.0) -> bool:
    """Whether `counted` rounds to a figure as it was printed, such as `1.8G`, or differs by the fraction `within`."""
    digits, unit = Decimal(published[:-1]), UNITS[published[-1]]
    half_a_unit = Decimal((0, (5,), int(digits.as_tuple().exponent) - 1)).scaleb(unit)
    figure = digits.scaleb(unit)
    return abs(counted - figure) <= max(half_a_unit, figure * Decimal(within))


@cache
def results() -> tuple[Result, ...]:
    """Every row of results.csv, in its order: by paper, and within a paper by table."""
    with (FOLDER / "results.csv").open(newline="") as file:
        return tuple(_parse(row) for row in csv.DictReader(file))


def published(architecture: str) -> list[Result]:
    """What papers report on `architecture`, its own paper's rows first."""
    own = architectures().get(architecture, {}).get("paper")
    return sorted((row for row in results() if row.architecture == architecture), key=lambda row: row.paper != own)


def published_error(architecture: str, papers_data: str | None, protocol: str) -> Result | None:
    """The error of one model under `protocol` on `papers_data` (a card's), or None where nobody reports it.

    Its own paper's where that has it; `paper` in the row says whose it is.
    """
    asked = ("error", papers_data, protocol, 1)
    rows = published(architecture)
    return next((row for row in rows if (row.kind, row.dataset, row.protocol, row.models) == asked), None)


def _parse(row: dict[str, str]) -> Result:
    return Result(
        architecture=row["architecture"] or None,
        title=row["title"],
        kind=row["kind"],
        paper=row["paper"],
        year=int(row["year"]),
        dataset=row["dataset"],
        protocol=row["protocol"],
        models=int(row["models"]) if row["models"] else None,
        crops=row["crops"] or None,
        top1_error_percent=float(row["top1_error_percent"]) if row["top1_error_percent"] else None,
        top5_error_percent=float(row["top5_error_percent"]) if row["top5_error_percent"] else None,
        source=row["source"],
        confidence=row["confidence"],
    )
