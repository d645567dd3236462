"""What each epoch measured, a row an epoch."""

import csv
import io
from collections.abc import Iterable
from typing import Any

COLUMNS = (
    "epoch", "learning_rate", "train_loss", "train_error_percent", "validation_loss", "validation_top1_error_percent",
    "validation_top5_error_percent", "seconds", "images_per_second",
)  # fmt: skip

Row = dict[str, Any]


def as_csv(rows: Iterable[Row]) -> str:
    """history.csv: numbers as Python writes them, empty where nothing was measured.

    `learning_rate` is that of the epoch's last step. `train_loss` is the mean of what is minimised (smoothing and
    auxiliary heads included), `train_error_percent` the main head's, both on augmented images while the weights
    change. `seconds` and `images_per_second` are of training alone, without validation.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_line(row: Row, epochs: int) -> str:
    """One line for the log."""
    parts = [
        f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}",
        f"learning rate {row['learning_rate']:.3g}",
        f"loss {row['train_loss']:.4f}",
        f"training error {row['train_error_percent']:.2f} %",
        f"validation loss {row['validation_loss']:.4f}",
        f"top-1 error {row['validation_top1_error_percent']:.2f} %",
        f"{row['images_per_second']:.0f} images/s",
    ]
    return ", ".join(parts)
