"""Tables behind the errors: by class, by pair of classes, by confidence, and networks against each other.

Predictions go through one after the other; of each only what is wrong stays in memory, a bit an image.
"""

import hashlib
import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ilsvrc.evaluation import metrics, multilabel_scores, scores
from ilsvrc.evaluation.predictions import Prediction
from ilsvrc.evaluation.task import MultiLabel

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "per_class": ("run", "protocol", "class", "num_images", "top1_error_percent"),
    "confusion": ("run", "protocol", "label", "guess", "num_images", "share_percent"),
    "calibration": ("run", "protocol", *metrics.Bin._fields),
    "confused_classes": ("run", "protocol", "label", "guess", "num_images", "share_percent"),
    "hardest": (
        "run", "protocol", "place", "image", "label", "probability", *(f"guess{i}" for i in range(1, 6)),
        *(f"probability{i}" for i in range(1, 6)),
    ),
    "mcnemar": ("dataset", "protocol", "first", "second", "num_images", *metrics.McNemar._fields),
}  # fmt: skip
WORST_PAIRS = 50  # a run and protocol
CONFUSED_CLASSES = 10  # a matrix
HARDEST = 8  # images a run and protocol
MAX_COMPARED = 40  # networks a data set and protocol, those of the lowest error: 780 pairs

Row = dict[str, Any]


class Answers(NamedTuple):
    """A network's wrong answers as `bits`, one an image, with its row of scores and the hash of images and labels."""

    row: scores.Row
    bits: np.ndarray
    images_sha256: str


class Breakdown:
    """Collects the tables' text, prediction after prediction."""

    def __init__(self) -> None:
        self._text = {name: io.StringIO() for name in COLUMNS}
        self._answers: list[Answers] = []
        self._columns = dict(COLUMNS)

    def add(self, row: scores.Row, prediction: Prediction) -> None:
        """Adds the tables of a row of scores.csv."""
        of = {key: row[key] for key in ("run", "protocol")}
        classes = prediction.spec.get("classes") or [str(i) for i in range(prediction.num_classes)]
        self._write("calibration", of, [each._asdict() for each in scores.reliability(prediction)])
        if isinstance(prediction.task, MultiLabel):  # no confusions, and no answer is right or wrong alone
            self._columns["per_class"] = (*COLUMNS["per_class"][:-1], *multilabel_scores.BY_CLASS)
            self._write("per_class", of, multilabel_scores.per_class(prediction, classes))
            return
        self._write("per_class", of, per_class(prediction, classes))
        self._write("confusion", of, confusion(prediction, classes))
        self._write("confused_classes", of, confused_classes(prediction, classes))
        self._write("hardest", of, hardest(prediction, classes))
        self._answers.append(Answers(row, np.packbits(prediction.ranks > 0), _images_sha256(prediction)))

    def tables(self) -> dict[str, str]:
        """CSV text by table's name."""
        self._write("mcnemar", {}, compared(self._answers))
        return {name: scores.as_csv([], self._columns[name]) + text.getvalue() for name, text in self._text.items()}

    def _write(self, name: str, of: Row, rows: Sequence[Row]) -> None:
        self._text[name].write(scores.as_csv([of | row for row in rows], self._columns[name], header=False))


def per_class(prediction: Prediction, classes: Sequence[str]) -> list[Row]:
    """Each class's images and top-1 error, in the order of their indices."""
    counts, errors = metrics.class_errors(prediction.ranks, prediction.labels, len(classes))
    rows = zip(classes, counts.tolist(), errors.tolist(), strict=True)
    return [{"class": name, "num_images": n, "top1_error_percent": error} for name, n, error in rows]


def confusion(prediction: Prediction, classes: Sequence[str]) -> list[Row]:
    """The most frequent confusions, with the percentage of the label's images that each is."""
    counts = np.bincount(prediction.labels, minlength=len(classes))
    worst = metrics.worst_confusions(prediction.labels, prediction.guesses[:, 0], len(classes), WORST_PAIRS)
    return [
        {
            "label": classes[label],
            "guess": classes[guess],
            "num_images": count,
            "share_percent": round(100 * count / int(counts[label]), 4),
        }
        for label, guess, count in worst
    ]


def confused_classes(prediction: Prediction, classes: Sequence[str]) -> list[Row]:
    """Every pair of the classes that are most often taken for one another, right answers included, row by row.

    All classes where they are few, else those of the most frequent mistakes.
    """
    labels, first, num_classes = prediction.labels, prediction.guesses[:, 0], len(classes)
    chosen = list(range(num_classes))
    if num_classes > CONFUSED_CLASSES:
        worst = metrics.worst_confusions(labels, first, num_classes, WORST_PAIRS)
        chosen = sorted(list(dict.fromkeys(c for each in worst for c in each[:2]))[:CONFUSED_CLASSES])
    counts = np.bincount(labels, minlength=num_classes)
    among = np.isin(labels, chosen) & np.isin(first, chosen)
    rows, columns = (np.searchsorted(chosen, each[among]) for each in (labels, first))
    found = metrics.confusion(rows, columns, len(chosen)).tolist() if chosen else []
    return [
        {
            "label": classes[label],
            "guess": classes[guess],
            "num_images": count,
            "share_percent": round(100 * count / max(1, int(counts[label])), 4),
        }
        for label, row in zip(chosen, found, strict=True)
        for guess, count in zip(chosen, row, strict=True)
    ]


def hardest(prediction: Prediction, classes: Sequence[str]) -> list[Row]:
    """The images whose own class is the least probable, the least first, with the five guesses."""
    order = np.argsort(prediction.log_probabilities, kind="stable")[:HARDEST]
    rows = []
    for place, i in enumerate(order, start=1):
        guesses = zip(prediction.guesses[i].tolist(), prediction.guess_probabilities[i].tolist(), strict=True)
        listed = {
            key: value
            for nth, (guess, probability) in enumerate(guesses, start=1)
            for key, value in ((f"guess{nth}", classes[guess]), (f"probability{nth}", f"{probability:.6g}"))
        }
        own = {"label": classes[prediction.labels[i]], "probability": f"{np.exp(prediction.log_probabilities[i]):.6g}"}
        rows.append({"place": place, "image": str(prediction.images[i]), **own, **listed})
    return rows


def compared(answers: Sequence[Answers]) -> list[Row]:
    """McNemar's test of each pair of networks that saw the same images by the same protocol."""
    groups: dict[tuple[str, str, str], list[Answers]] = {}
    for each in answers:
        groups.setdefault((each.row["dataset"], each.row["protocol"], each.images_sha256), []).append(each)
    rows = []
    for (dataset, protocol, _), group in groups.items():
        best = sorted(group, key=lambda each: each.row["top1_error_percent"])[:MAX_COMPARED]
        kept = [each for each in group if any(each is other for other in best)]
        for first, second in itertools.combinations(kept, 2):
            n = first.row["num_images"]
            wrong = [np.unpackbits(each.bits, count=n).astype(bool) for each in (first, second)]
            found = {"first": first.row["run"], "second": second.row["run"], "num_images": n}
            tested = metrics.mcnemar(*wrong)._asdict()
            rows.append({"dataset": dataset, "protocol": protocol, **found, **tested})
    return rows


def _images_sha256(prediction: Prediction) -> str:
    found = hashlib.sha256(prediction.labels.tobytes())
    found.update("\n".join(prediction.images.tolist()).encode("utf-8", "surrogateescape"))
    return found.hexdigest()
