"""The papers' published numbers: the tests' oracle and the report's "paper" column. Never imports torch.

`published_results.csv` holds what papers report: `kind: error` is an error in percent, `kind: ablation_delta` the
signed change of an error in percentage points. `architecture` is the name of our network where it is the one reported
on (of an ensemble of several such as `3 inception_resnet_v2 + inception_v4`), `protocol` the name of our protocol where
it is the one used (several that are averaged are joined by a plus), and `confidence` tells how far a row was checked:
exact (read in the source), derived (100 - accuracy), from memory.
"""

import csv
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ilsvrc.models.common.reference_counts import architectures

IN_THE_TEXT = "in the text"
_PRINTED = re.compile(r"Tables? (?P<first>\d+)(?:(?P<to> and |-)(?P<last>\d+))?|(?P<figure>Figure \d+)")


@dataclass(frozen=True)
class Result:
    """A row of published_results.csv; None where the source does not say."""

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

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables of its paper that print it, such as `Table 3`, both of `Tables 3 and 4`, or `in the text`."""
        match = _PRINTED.search(self.source)
        if match is None or match["figure"]:
            return (match["figure"] if match else IN_THE_TEXT,)
        first, last = int(match["first"]), int(match["last"] or match["first"])
        numbers = (first, last) if match["to"] == " and " else range(first, last + 1)
        return tuple(f"Table {number}" for number in dict.fromkeys(numbers))

    @property
    def networks(self) -> Counter[str] | None:
        """Number of averaged networks by architecture, such as five of `alexnet`; None where it is not said."""
        if self.architecture is None or self.models is None:
            return None
        named = networks(self.architecture)
        return named if named.total() > 1 else Counter({self.architecture: self.models})


@cache
def results() -> tuple[Result, ...]:
    """Every row of published_results.csv, in its order: by paper, and within a paper by table."""
    with Path(__file__).with_suffix(".csv").open(newline="") as file:
        return tuple(_parse(row) for row in csv.DictReader(file))


def published(architecture: str) -> list[Result]:
    """Rows of papers on `architecture`, its own paper's first."""
    own = architectures().get(architecture, {}).get("paper")
    return sorted((row for row in results() if row.architecture == architecture), key=lambda row: row.paper != own)


def networks(text: str) -> Counter[str]:
    """Number by architecture of `5 alexnet`, `3 inception_resnet_v2 + inception_v4` or `alexnet`."""
    counts: Counter[str] = Counter()
    for part in text.split(" + "):
        number, name = re.fullmatch(r"(?:(\d+) )?(.*)", part).groups()  # type: ignore[union-attr]
        counts[name] += int(number or 1)
    return counts


def published_of(averaged: str) -> list[Result]:
    """Rows of papers on one network, or on ensembles of it; `averaged` is as in `networks`.

    Of several architectures, rows of exactly these; of one, of any number of networks.
    """
    asked = networks(averaged)
    if len(asked) == 1:
        return published(*asked)
    return [row for row in results() if row.networks == asked]


def published_error(averaged: str, papers_data: str | None, protocol: str) -> Result | None:
    """The error of a network or an ensemble under `protocol` on `papers_data` (a card's), or None: nobody reports it.

    Its own paper's where that has it; `paper` in the row says whose it is. `averaged` is as in `networks`.
    """
    asked = ("error", papers_data, protocol, networks(averaged))
    rows = published_of(averaged)
    return next((row for row in rows if (row.kind, row.dataset, row.protocol, row.networks) == asked), None)


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
