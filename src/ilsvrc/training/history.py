"""History of a training: the measurements of each epoch, a row an epoch."""

import csv
import io
from collections.abc import Iterable
from typing import Any, NamedTuple

COLUMNS = (
    "epoch", "learning_rate", "train_loss", "train_error_percent", "validation_loss", "validation_top1_error_percent",
    "validation_top5_error_percent", "validation_f2_percent", "seconds", "images_per_second",
)  # fmt: skip

Row = dict[str, Any]


class Watched(NamedTuple):
    """The validation error by which an epoch is judged, and what it is called."""

    error_percent: float
    name: str


def watched(row: Row) -> Watched:
    """Watched error of a row: the top-1 error; of multi-label data 100 less F2."""
    if row.get("validation_f2_percent") is not None:
        return Watched(100 - row["validation_f2_percent"], "error (100 - F2)")
    return Watched(row["validation_top1_error_percent"], "top-1 error")


def as_csv(rows: Iterable[Row]) -> str:
    """history.csv: numbers as Python writes them, empty where nothing was measured.

    `learning_rate` is that of the epoch's last step. `train_loss` is the mean of what is minimised (smoothing and
    auxiliary heads included), `train_error_percent` the main head's, both on augmented images while the weights
    change: the share of images whose best class is another than the label, and where images have several classes the
    share of all answers, likelier than not or else, that are wrong (Hamming error). `validation_f2_percent` is the mean
    over images of F2 at a threshold of 0.2, empty where an image has one class; the other two are empty where it may
    have several. `seconds` and `images_per_second` are of training alone, without validation.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_line(row: Row, epochs: int) -> str:
    """A row as one line of the log."""
    parts = [
        f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}",
        f"learning rate {row['learning_rate']:.3g}",
        f"loss {row['train_loss']:.4f}",
        f"training error {row['train_error_percent']:.2f} %",
        f"validation loss {row['validation_loss']:.4f}",
        f"{watched(row).name} {watched(row).error_percent:.2f} %",
        f"{row['images_per_second']:.0f} images/s",
    ]
    return ", ".join(parts)
