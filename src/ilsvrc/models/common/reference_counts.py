"""Reference counts of the architectures: parameters, multiply-adds and activations, exact and published.

`reference_counts.csv` holds a row for each network: its exact counts at its builder's defaults (the paper's input; 1000
classes, 10 for CIFAR), the counts that somebody published (`source` says who and where), and in `deviation` why ours
are not those. A published count is a figure as it was printed, with its unit: `60M`, `1.8G`. Never imports torch.
"""

import csv
from decimal import Decimal
from functools import cache
from pathlib import Path

UNITS = {"K": 3, "M": 6, "G": 9}  # powers of ten


@cache
def architectures() -> dict[str, dict[str, str]]:
    """Name -> row of reference_counts.csv: paper, section, year, exact and published counts."""
    with Path(__file__).with_suffix(".csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def agrees(counted: int, published: str, within: float = 0.0) -> bool:
    """True if `counted` rounds to a figure as it was printed, such as `1.8G`, or differs by the fraction `within`."""
    digits, unit = Decimal(published[:-1]), UNITS[published[-1]]
    half_a_unit = Decimal((0, (5,), int(digits.as_tuple().exponent) - 1)).scaleb(unit)
    figure = digits.scaleb(unit)
    return abs(counted - figure) <= max(half_a_unit, figure * Decimal(within))
