"""Arithmetic on class probabilities: errors in percent, their intervals, likelihood, calibration, confusion.

`judge` looks at probabilities `[N, K]` once, in blocks of rows; all else is arithmetic on the little that it keeps of
each image.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]

NUM_GUESSES = 5
EXACT_BELOW = 25  # images on which two networks differ
BLOCK = 2_048_000  # probabilities that are looked at together: 8 MB


class Interval(NamedTuple):
    """A 95 % confidence interval, in percent."""

    low: float
    high: float


class Judgement(NamedTuple):
    """Ranks, guesses and likelihoods of each image, of its probabilities and its label.

    `log_probabilities` float32 `[N]` of the label, in nats; `ranks` int32 `[N]`, the label's place, 0 the most
    probable; `guesses` int32 `[N, 5]` (K of fewer classes), the most probable first, and their `guess_probabilities`
    float32; `squared_norms` float32 `[N]`, the sum of the squared probabilities. Of equally probable classes the one
    of the smaller index comes first.
    """

    log_probabilities: NDArray[np.float32]
    ranks: NDArray[np.int32]
    guesses: NDArray[np.int32]
    guess_probabilities: NDArray[np.float32]
    squared_norms: NDArray[np.float32]


def judge(probabilities: Probabilities, labels: Labels) -> Judgement:
    """Ranks, guesses and likelihoods of `probabilities` `[N, K]` (0 to 1, rows sum to 1) and classes `labels` `[N]`.

    Raises:
        ValueError: no images, NaN, or labels that are none of the K classes.
    """
    _check(probabilities, labels)
    parts = [_judge(probabilities[rows], labels[rows]) for rows in blocks(*probabilities.shape)]
    return Judgement(*map(np.concatenate, zip(*parts, strict=True)))


def _judge(probabilities: Probabilities, labels: Labels) -> Judgement:
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities hold NaN or infinity: the training diverged or the file is damaged")
    own = probabilities[np.arange(len(labels)), labels]
    first, their = guesses(probabilities)
    return Judgement(
        log_probabilities=logarithm(own),
        ranks=ranks(probabilities, labels).astype(np.int32),
        guesses=first,
        guess_probabilities=their,
        squared_norms=np.einsum("nk,nk->n", probabilities, probabilities).astype(np.float32),
    )


def blocks(num_images: int, num_classes: int) -> Iterator[slice]:
    """Slices of rows that cover all, of about `BLOCK` numbers each."""
    rows = max(1, BLOCK // num_classes)
    return (slice(start, start + rows) for start in range(0, num_images, rows))


def logarithm(probabilities: Floats) -> NDArray[np.float32]:
    """Natural logarithm; a probability of 0 counts as the smallest that float32 holds: -87.3."""
    logarithms: NDArray[np.float32] = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)).astype(np.float32)
    return logarithms


def ranks(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Place of each image's label among its classes, `[N]`, 0 the most probable.

    Of equally probable classes the one of the smaller index comes first, so that a network that says the same
    of every class is right about class 0 alone.
    """
    _check(probabilities, labels)
    own = probabilities[np.arange(len(labels)), labels][:, None]
    before = np.arange(probabilities.shape[1]) < labels[:, None]
    place: NDArray[np.int64] = ((probabilities > own) | ((probabilities == own) & before)).sum(axis=1)
    return place


def guesses(probabilities: Probabilities) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The five most probable classes `[N, 5]` and their probabilities, ties as in `ranks`; K of fewer classes."""
    left = probabilities.astype(np.float32)  # a copy
    images = np.arange(len(left))
    found, their = [], []
    for _ in range(min(NUM_GUESSES, left.shape[1])):
        best = left.argmax(axis=1)  # of equals the first
        found.append(best.astype(np.int32))
        their.append(left[images, best])
        left[images, best] = -1
    return np.stack(found, axis=1), np.stack(their, axis=1)


def top_k_error_percent(ranks: Labels, k: int, num_classes: int) -> float:
    """Percentage of the images whose label is not among the `k` most probable classes.

    NaN where every class would count as a hit (`k` not below K): there is nothing to measure.
    """
    return float(100 * (ranks >= k).mean()) if k < num_classes else float("nan")


def wilson_interval_percent(error_percent: float, num_images: int) -> Interval:
    """The 95 % interval of an error on `num_images` (Wilson 1927), which holds near 0 and with few images; or NaN."""
    from scipy import stats  # a second, which only scores and the report spend

    if math.isnan(error_percent):
        return Interval(math.nan, math.nan)
    num_wrong = round(error_percent / 100 * num_images)
    found = stats.binomtest(num_wrong, int(num_images)).proportion_ci(0.95, "wilson")
    return Interval(100 * float(found.low), 100 * float(found.high))


def negative_log_likelihood(log_probabilities: Floats) -> float:
    """Mean of -ln p(label), in nats."""
    return float(-log_probabilities.astype(np.float64).mean())


def brier_score(log_probabilities: Floats, squared_norms: Floats) -> float:
    """Mean squared distance of the probabilities from certainty of the label: 0 to 2 (Brier 1950, over all classes)."""
    own = np.exp(log_probabilities.astype(np.float64))
    return float((squared_norms.astype(np.float64) - 2 * own + 1).mean())


class Bin(NamedTuple):
    """Images whose highest probability lies in (`low`, `high`]: how sure the network was of them, and how right.

    NaN where the bin holds no image.
    """

    low: float
    high: float
    num_images: int
    confidence_percent: float
    accuracy_percent: float


def reliability(confidences: Floats, right: NDArray[np.bool_], bins: int = 15) -> list[Bin]:
    """The reliability diagram: `bins` of equal width over the highest probability `[N]`, and `right` `[N]`."""
    # A bin holds its upper end: (0, 1/15], (1/15, 2/15] ...
    sure = confidences.astype(np.float64)
    places = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    counts, sums, hits = (np.bincount(places, weights=each, minlength=bins) for each in (None, sure, right))
    nan = float("nan")
    return [
        Bin(i / bins, (i + 1) / bins, int(n), *((100 * float(c) / n, 100 * float(h) / n) if n else (nan, nan)))
        for i, (n, c, h) in enumerate(zip(counts, sums, hits, strict=True))
    ]


def expected_calibration_error_percent(bins: list[Bin]) -> float:
    """Mean distance of confidence from accuracy over the bins, by their images (Guo et al. 2017, equation 3)."""
    gaps = [b.num_images * abs(b.accuracy_percent - b.confidence_percent) for b in bins if b.num_images]
    return float(sum(gaps) / sum(b.num_images for b in bins))


def class_errors(ranks: Labels, labels: Labels, num_classes: int) -> tuple[NDArray[np.int64], Floats]:
    """Images of each class `[K]`, and the top-1 error in percent of each `[K]`, NaN where there is no image."""
    counts = np.bincount(labels, minlength=num_classes)
    wrong = np.bincount(labels[ranks > 0], minlength=num_classes)
    return counts, np.where(counts > 0, 100.0 * wrong / np.maximum(counts, 1), np.nan)


def confusion(labels: Labels, first: Labels, num_classes: int) -> NDArray[np.int64]:
    """Counts `[K, K]` of images by label (rows) and first guess (columns)."""
    places = labels.astype(np.int64) * num_classes + first
    return np.bincount(places, minlength=num_classes**2).reshape(num_classes, num_classes)


class Confused(NamedTuple):
    """Number of images of class `label` that were taken for class `guess`."""

    label: int
    guess: int
    num_images: int


def worst_confusions(labels: Labels, first: Labels, num_classes: int, most: int) -> list[Confused]:
    """The `most` frequent mistakes, the most frequent first, then by label and guess; memory for those made only."""
    wrong = labels != first
    places, counts = np.unique(labels[wrong].astype(np.int64) * num_classes + first[wrong], return_counts=True)
    worst = np.argsort(-counts, kind="stable")[:most]
    return [Confused(int(places[i]) // num_classes, int(places[i]) % num_classes, int(counts[i])) for i in worst]


class McNemar(NamedTuple):
    """McNemar's test of the hypothesis that two networks are equally often wrong on the same images.

    `only_first`, `only_second`: images that it alone gets wrong. `test` is `exact` (two-sided binomial) for fewer than
    25 such images, else `chi_squared` with continuity correction and one degree of freedom; `statistic` is its value,
    NaN for the exact test.
    """

    only_first: int
    only_second: int
    test: str
    statistic: float
    p_value: float


def mcnemar(first_wrong: NDArray[np.bool_], second_wrong: NDArray[np.bool_]) -> McNemar:
    """McNemar's test (1947) of two networks' errors `[N]` on the same images, corrected as by Edwards 1948."""
    from scipy import stats

    only_first = int((first_wrong & ~second_wrong).sum())
    only_second = int((second_wrong & ~first_wrong).sum())
    n = only_first + only_second
    if n < EXACT_BELOW:
        p_value = float(stats.binomtest(only_first, n).pvalue) if n else 1.0
        return McNemar(only_first, only_second, "exact", math.nan, p_value)
    statistic = max(0, abs(only_first - only_second) - 1) ** 2 / n
    return McNemar(only_first, only_second, "chi_squared", statistic, float(stats.chi2.sf(statistic, df=1)))


def _check(probabilities: Probabilities, labels: Labels) -> None:
    """Stops at what would otherwise count as a good result: no images, NaN, labels out of range."""
    if probabilities.ndim != 2 or labels.shape != (len(probabilities),) or not len(labels):
        shapes = f"probabilities {list(probabilities.shape)}, labels {list(labels.shape)}"
        raise ValueError(f"{shapes}: not [N, K] and [N] with N > 0")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        span = f"labels of {labels.min()} to {labels.max()}"
        raise ValueError(f"{span} do not fit {probabilities.shape[1]} classes of the predictions")
