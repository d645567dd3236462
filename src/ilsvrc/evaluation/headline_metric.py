"""The metric that runs are compared by: top-1 error, or F2 of a multi-label task."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ilsvrc.evaluation import metrics
from ilsvrc.evaluation.metrics import Interval


class Measure(NamedTuple):
    """Columns of scores and of the table of errors, in percent, and their names for a person.

    `stem` begins the columns of its interval, `<stem>_low_percent` and `<stem>_high_percent`, and of its mean over
    seeds. `second` is what stands beside it.
    """

    column: str
    stem: str
    title: str
    best_title: str
    second: str
    second_stem: str
    second_title: str
    of_interval: str  # what the interval is of, and whose
    highest_is_best: bool = False

    def best(self, values: Any) -> Any:
        """The index label of the best of a column."""
        return values.idxmax() if self.highest_is_best else values.idxmin()

    def interval(self, row: Mapping[str, Any]) -> Interval:
        """The 95 % interval of a row of scores."""
        if self is TOP1:
            return metrics.wilson_interval_percent(row[self.column], row["num_images"])
        return Interval(row[f"{self.stem}_low_percent"], row[f"{self.stem}_high_percent"])


TOP1 = Measure(
    "top1_error_percent", "top1", "Top-1 error", "Lowest top-1 error", "top5_error_percent", "top5", "Top-5 error",
    "of an error measured on n images (Wilson)",
)  # fmt: skip
F2 = Measure(
    "f2_percent", "f2", "F2", "Highest F2",
    "mean_average_precision_percent", "mean_average_precision", "Mean average precision",
    "of F2, the mean over n images at a threshold of 0.2 (bootstrap over images)", highest_is_best=True,
)  # fmt: skip


def from_columns(columns: Iterable[str]) -> Measure:
    """The measure of a table with these columns."""
    return F2 if F2.column in columns else TOP1
