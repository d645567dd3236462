"""Metrics of multi-label classification: F2, precision, recall, Hamming error, average precision.

`probabilities` are `[N, K]`, 0 to 1, each class's own; `targets` are `[N, K]`, 1 where the image has the class. A
class is predicted where its probability is above a threshold. F2 is the F-beta of beta = 2, in which recall
weighs more than precision (van Rijsbergen 1979), of each image, and the mean over images, at a threshold of 0.2:
how Planet's "Understanding the Amazon from Space" (2017) is scored. An image without classes, for which none is
predicted, counts as 1.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ilsvrc.evaluation import metrics
from ilsvrc.evaluation.metrics import Interval, Judgement

BETA, THRESHOLD = 2.0, 0.2
DRAWS, SEED = 10_000, 0  # of the bootstrap

Probabilities = NDArray[np.floating[Any]]
Targets = NDArray[np.integer[Any] | np.bool_]
Values = NDArray[np.float64]


class ByClass(NamedTuple):
    """For each class `[K]`: images that have it, and precision, recall and F2 over them in percent.

    NaN where there is nothing to measure: precision of a class that is never predicted, recall and F2 of one that no
    image has.
    """

    num_images: NDArray[np.int64]
    precision_percent: Values
    recall_percent: Values
    f2_percent: Values


def members(label_sets: Sequence[Sequence[int]], num_classes: int) -> NDArray[np.bool_]:
    """Membership of classes in sets, bool `[S, K]`; `members(...)[labels]` are the targets of packed labels."""
    table = np.zeros((len(label_sets), num_classes), bool)
    for number, classes in enumerate(label_sets):
        table[number, list(classes)] = True
    return table


def f_beta(hits: Any, predicted: Any, true: Any, beta: float = BETA) -> Any:
    """F-beta of counts (NumPy's or torch's): classes predicted rightly, predicted, and true; 1 where both are none."""
    weighted = beta**2 * true + predicted
    neither = weighted == 0
    return ((1 + beta**2) * hits + neither) / (weighted + neither)


def f2_of_images(probabilities: Probabilities, targets: Targets, threshold: float = THRESHOLD) -> Values:
    """F2 of each image, `[N]`, 0 to 1."""
    predicted, true = _predicted_and_true(probabilities, targets, threshold)
    found: Values = f_beta((predicted & true).sum(axis=1), predicted.sum(axis=1), true.sum(axis=1))
    return found


def mean_interval_percent(values: Values) -> Interval:
    """The 95 % interval of a mean over images, in percent: percentiles of a bootstrap (Efron 1979).

    Images are drawn with replacement, seeded. As many are equal, it draws how often each distinct value comes, which
    is the same distribution.

    Args:
        values: `[N]`, 0 to 1.
    """
    distinct, counts = np.unique(values, return_counts=True)
    drawn = np.random.default_rng(SEED).multinomial(len(values), counts / len(values), size=DRAWS)
    low, high = np.percentile(100 * (drawn @ distinct) / len(values), (2.5, 97.5))
    return Interval(float(low), float(high))


def hamming_error_percent(probabilities: Probabilities, targets: Targets, threshold: float = THRESHOLD) -> float:
    """Percentage of all N x K answers that are wrong."""
    predicted, true = _predicted_and_true(probabilities, targets, threshold)
    return float(100 * (predicted != true).mean())


def by_class(probabilities: Probabilities, targets: Targets, threshold: float = THRESHOLD) -> ByClass:
    """Each class's scores over images."""
    predicted, true = _predicted_and_true(probabilities, targets, threshold)
    hits, num_predicted, num_true = ((part).sum(axis=0) for part in (predicted & true, predicted, true))
    f2 = np.where(num_true > 0, f_beta(hits, num_predicted, num_true), np.nan)
    return ByClass(num_true, _percent(hits, num_predicted), _percent(hits, num_true), 100 * f2)


def average_precision_percent(probabilities: Probabilities, targets: Targets) -> Values:
    """Each class's average precision, `[K]`: the mean of precision over recall, without interpolation.

    Images are ordered by the class's probability; equal ones count as one step. NaN where no image has the class.
    """
    _, true = _predicted_and_true(probabilities, targets, THRESHOLD)
    return np.array([_average_precision(*each) for each in zip(probabilities.T, true.T, strict=True)])


def mean_average_precision_percent(probabilities: Probabilities, targets: Targets) -> float:
    """The mean of `average_precision_percent` over the classes that images have; NaN where there is none."""
    found = average_precision_percent(probabilities, targets)
    measured = found[~np.isnan(found)]
    return float(measured.mean()) if len(measured) else float("nan")


def judge(probabilities: Probabilities, targets: Targets) -> Judgement:
    """Ranks, guesses and likelihoods of each image beside all its classes, as `metrics.judge` of one.

    `log_probabilities` are of all K answers together, the negative of what training minimises; a probability of 0
    counts as the smallest that float32 holds. `ranks` count the classes that an image has not and that are as probable
    as the least probable one that it has, or more.
    """
    _, true = _predicted_and_true(probabilities, targets, THRESHOLD)
    of_truth = np.where(true, probabilities, 1 - probabilities)
    least = np.where(true, probabilities, np.inf).min(axis=1, keepdims=True)
    guesses, their = metrics.guesses(probabilities)
    return Judgement(
        log_probabilities=metrics.logarithm(of_truth).sum(axis=1),
        ranks=(~true & (probabilities >= least)).sum(axis=1).astype(np.int32),
        guesses=guesses,
        guess_probabilities=their,
        squared_norms=np.einsum("nk,nk->n", probabilities, probabilities).astype(np.float32),
    )


def brier_score(probabilities: Probabilities, targets: Targets) -> float:
    """Mean squared distance of the probabilities from the truth, over images: 0 to K."""
    return float(((probabilities.astype(np.float64) - targets) ** 2).sum(axis=1).mean())


def _average_precision(probabilities: Probabilities, true: NDArray[np.bool_]) -> float:
    if not true.any():
        return float("nan")
    order = np.argsort(-probabilities, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)  # of equal probabilities
    hits = np.cumsum(true[order])[ends]
    return float(100 * (np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / hits[-1])


def _percent(part: NDArray[Any], whole: NDArray[Any]) -> Values:
    return np.where(whole > 0, 100 * part / np.maximum(whole, 1), np.nan)


def _predicted_and_true(
    probabilities: Probabilities, targets: Targets, threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Predicted and true classes as truth values `[N, K]`; stops at what would otherwise count as a result."""
    if probabilities.ndim != 2 or probabilities.shape != targets.shape or not len(targets):
        shapes = f"probabilities {list(probabilities.shape)}, targets {list(targets.shape)}"
        raise ValueError(f"{shapes}: not both [N, K] with N > 0")
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities hold NaN or infinity: the training diverged or the file is damaged")
    return probabilities > threshold, targets.astype(bool)
