"""Scores of multi-label predictions: F2 in the place of top-1 error."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ilsvrc.datasets._card import join_classes
from ilsvrc.evaluation import metrics, multilabel_metrics
from ilsvrc.evaluation.predictions import Prediction

SCORES = ("f2_percent", "hamming_error_percent", "mean_average_precision_percent")
COLUMNS = ("f2_percent", "f2_low_percent", "f2_high_percent", *SCORES[1:])  # of scores.csv
BY_CLASS = ("precision_percent", "recall_percent", "f2_percent", "average_precision_percent")

Row = dict[str, Any]


def columns(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Those of `COLUMNS` that rows of scores have."""
    return COLUMNS if any(COLUMNS[0] in row for row in rows) else ()


def measured(prediction: Prediction) -> Row:
    """The figures of a row: F2 with its 95 % interval (bootstrap over images), Hamming error, average precision, and
    likelihood and Brier score, both summed over classes. F2 and Hamming error are at a threshold of 0.2."""
    both = _both(prediction)
    f2 = multilabel_metrics.f2_of_images(*both)
    low, high = multilabel_metrics.mean_interval_percent(f2)
    return {
        "num_images": len(f2),
        "negative_log_likelihood": metrics.negative_log_likelihood(prediction.log_probabilities),
        "brier_score": multilabel_metrics.brier_score(*both),
        "f2_percent": 100 * float(f2.mean()),
        "f2_low_percent": low,
        "f2_high_percent": high,
        "hamming_error_percent": multilabel_metrics.hamming_error_percent(*both),
        "mean_average_precision_percent": multilabel_metrics.mean_average_precision_percent(*both),
    }


def reliability(prediction: Prediction) -> list[metrics.Bin]:
    """Bins of the reliability diagram over every class of every image."""
    probabilities, targets = _both(prediction)
    return metrics.reliability(probabilities.ravel(), targets.ravel())


def per_class(prediction: Prediction, classes: Sequence[str]) -> list[Row]:
    """Each class's images, precision, recall and F2 over them at a threshold of 0.2, and average precision."""
    both = _both(prediction)
    found = multilabel_metrics.by_class(*both)
    values = zip(*found[1:], multilabel_metrics.average_precision_percent(*both), strict=True)
    return [
        {"class": name, "num_images": int(count), **dict(zip(BY_CLASS, map(float, each), strict=True))}
        for name, count, each in zip(classes, found.num_images, values, strict=True)
    ]


def readable(prediction: Prediction, classes: Sequence[str], order: Iterable[int]) -> tuple[list[str], list[Row]]:
    """Columns and rows for people, images in `order`: the classes of each, those predicted, and all
    probabilities."""
    probabilities, targets = _both(prediction)
    rows, predicted = [], probabilities > multilabel_metrics.THRESHOLD
    for i in order:
        true, guessed = (join_classes(classes[k] for k in each[i].nonzero()[0]) for each in (targets, predicted))
        shown = {f"p({name})": f"{p:.6g}" for name, p in zip(classes, probabilities[i], strict=True)}
        rows.append({"image": str(prediction.images[i]), "labels": true, "said": guessed, **shown})
    return ["image", "labels", "said", *(f"p({name})" for name in classes)], rows


def cells(row: Mapping[str, Any]) -> list[str]:
    """Cells of a printed line, in the place of top-1 and top-5 errors."""
    precision = row["mean_average_precision_percent"]
    return [
        f"F2 {row['f2_percent']:4.1f} % [{row['f2_low_percent']:.1f}, {row['f2_high_percent']:.1f}]",
        f"Hamming error {row['hamming_error_percent']:4.1f} %",
        f"mean average precision {'-' if math.isnan(precision) else f'{precision:4.1f} %'}",
    ]


def _both(prediction: Prediction) -> tuple[Any, Any]:
    assert prediction.probabilities is not None, "scores of sets of classes are of all probabilities"
    return prediction.probabilities, prediction.labels
