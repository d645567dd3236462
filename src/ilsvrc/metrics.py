"""Arithmetic on class probabilities: errors in percent, their intervals, and calibration.

`probabilities` are `[N, K]`, finite, rows that sum to 1; `labels` are `[N]` whole numbers of 0 to K - 1.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % point


class Interval(NamedTuple):
    """A 95 % confidence interval, in percent."""

    low: float
    high: float


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


def top_k_error_percent(probabilities: Probabilities, labels: Labels, k: int) -> float:
    """Share of the images whose label is not among the `k` most probable classes; ties as in `ranks`.

    NaN where every class would count as a hit (`k` not below K): there is nothing to measure.
    """
    if k >= probabilities.shape[1]:
        return float("nan")
    return float(100 * (ranks(probabilities, labels) >= k).mean())


def wilson_interval_percent(error_percent: float, num_images: int) -> Interval:
    """The 95 % interval of an error on `num_images` (Wilson 1927): it holds near 0 and with few images."""
    p, n, zz = error_percent / 100, num_images, Z_95**2
    centre = p + zz / (2 * n)
    half = Z_95 * (p * (1 - p) / n + zz / (4 * n * n)) ** 0.5
    low, high = (100 * (centre + sign * half) / (1 + zz / n) for sign in (-1, 1))
    return Interval(*(float(np.clip(end, 0, 100)) for end in (low, high)))  # NaN stays NaN


def negative_log_likelihood(probabilities: Probabilities, labels: Labels) -> float:
    """Mean of -ln p(label), in nats; a probability of 0 counts as the smallest that float32 holds."""
    _check(probabilities, labels)
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(own, float(np.finfo(np.float32).tiny))).mean())


def expected_calibration_error_percent(probabilities: Probabilities, labels: Labels, bins: int = 15) -> float:
    """Mean distance of confidence from accuracy over equal bins (Guo et al. 2017, equation 3)."""
    _check(probabilities, labels)
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    # A bin holds its upper end: (0, 1/15], (1/15, 2/15] ...
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(places, weights=right - confidence, minlength=bins)
    return float(100 * np.abs(gaps).sum() / len(labels))


def _check(probabilities: Probabilities, labels: Labels) -> None:
    """Stops at what would otherwise count as a good result: no images, NaN, labels out of range."""
    if probabilities.ndim != 2 or labels.shape != (len(probabilities),) or not len(labels):
        shapes = f"probabilities {list(probabilities.shape)}, labels {list(labels.shape)}"
        raise ValueError(f"{shapes}: not [N, K] and [N] with N > 0")
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities hold NaN or infinity: the training diverged or the file is damaged")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        given = f"labels of {labels.min()} to {labels.max()}"
        raise ValueError(f"{given} do not fit {probabilities.shape[1]} classes of the predictions")
