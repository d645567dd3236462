"""Arithmetic on probabilities of classes that a picture may have several of: F2, precision, recall, mean precision.

`probabilities` are `[N, K]`, 0 to 1, each class's own; `targets` are `[N, K]`, 1 where the picture has the class. A
class is said of a picture where its probability is above a threshold. F2 is the F-beta of beta = 2, in which recall
weighs more than precision (van Rijsbergen 1979), of each picture, and the mean over pictures, at a threshold of 0.2:
how Planet's "Understanding the Amazon from Space" (2017) is scored. A picture that has no class, and of which none is
said, counts as 1.
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
    """For each class `[K]`: pictures that have it, and precision, recall and F2 over them in percent.

    NaN where nothing is to be measured: precision of a class that is never said, recall and F2 of one that no picture
    has.
    """

    num_images: NDArray[np.int64]
    precision_percent: Values
    recall_percent: Values
    f2_percent: Values


def members(label_sets: Sequence[Sequence[int]], num_classes: int) -> NDArray[np.bool_]:
    """Which classes each set has, `[S, K]`: `members(...)[labels]` are the targets of labels that number sets."""
    table = np.zeros((len(label_sets), num_classes), bool)
    for number, classes in enumerate(label_sets):
        table[number, list(classes)] = True
    return table


def f_beta(hits: Any, said: Any, true: Any, beta: float = BETA) -> Any:
    """F-beta of counts (NumPy's or torch's): classes said rightly, said, and true; 1 where none is said or true."""
    weighted = beta**2 * true + said
    neither = weighted == 0
    return ((1 + beta**2) * hits + neither) / (weighted + neither)


def f2_of_images(probabilities: Probabilities, targets: Targets, threshold: float = THRESHOLD) -> Values:
    """F2 of each picture, `[N]`, 0 to 1."""
    said, true = _said_and_true(probabilities, targets, threshold)
    found: Values = f_beta((said & true).sum(axis=1), said.sum(axis=1), true.sum(axis=1))
    return found


def mean_interval_percent(values: Values) -> Interval:
    """The 95 % interval of a mean over pictures, in percent: percentiles of a bootstrap (Efron 1979).

    Pictures are drawn with replacement, seeded. As many are equal, it draws how often each distinct value comes, which
    is the same distribution.

    Args:
        values: `[N]`, 0 to 1.
    """
    distinct, counts = np.unique(values, return_counts=True)
    drawn = np.random.default_rng(SEED).multinomial(len(values), counts / len(values), size=DRAWS)
    low, high = np.percentile(100 * (drawn @ distinct) / len(values), (2.5, 97.5))
    return Interval(float(low), float(high))


def hamming_error_percent(probabilities: Probabilities, targets: Targets, threshold: float = THRESHOLD) -> float:
    """Share of all N x K answers that are wrong."""
    said, true = _said_and_true(probabilities, targets, threshold)
    return float(100 * (said != true).mean())


def by_class(probabilities: Probabilities, targets: Targets, threshold: float = THRESHOLD) -> ByClass:
    """Each class's scores over pictures."""
    said, true = _said_and_true(probabilities, targets, threshold)
    hits, num_said, num_true = ((part).sum(axis=0) for part in (said & true, said, true))
    f2 = np.where(num_true > 0, f_beta(hits, num_said, num_true), np.nan)
    return ByClass(num_true, _percent(hits, num_said), _percent(hits, num_true), 100 * f2)


def average_precision_percent(probabilities: Probabilities, targets: Targets) -> Values:
    """Each class's average precision, `[K]`: the mean of precision over recall, without interpolation.

    Pictures are ordered by the class's probability; equal ones count as one step. NaN where no picture has the class.
    """
    _, true = _said_and_true(probabilities, targets, THRESHOLD)
    return np.array([_average_precision(*each) for each in zip(probabilities.T, true.T, strict=True)])


def mean_average_precision_percent(probabilities: Probabilities, targets: Targets) -> float:
    """The mean of `average_precision_percent` over the classes that pictures have; NaN where there is none."""
    found = average_precision_percent(probabilities, targets)
    measured = found[~np.isnan(found)]
    return float(measured.mean()) if len(measured) else float("nan")


def judge(probabilities: Probabilities, targets: Targets) -> Judgement:
    """What probabilities say of each picture beside all its classes, as `metrics.judge` of one.

    `log_probabilities` are of all K answers together, the negative of what training minimises; a probability of 0
    counts as the smallest that float32 holds. `ranks` count the classes that a picture has not and that are as probable
    as the least probable one that it has, or more.
    """
    _, true = _said_and_true(probabilities, targets, THRESHOLD)
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
    """Mean squared distance of the probabilities from the truth, over pictures: 0 to K."""
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


def _said_and_true(
    probabilities: Probabilities, targets: Targets, threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Both as truth values; stops at what would otherwise count as a result."""
    if probabilities.ndim != 2 or probabilities.shape != targets.shape or not len(targets):
        shapes = f"probabilities {list(probabilities.shape)}, targets {list(targets.shape)}"
        raise ValueError(f"{shapes}: not both [N, K] with N > 0")
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities hold NaN or infinity: the training diverged or the file is damaged")
    return probabilities > threshold, targets.astype(bool)
