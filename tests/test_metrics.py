"""Metrics against numbers worked out by hand."""

import math

import numpy as np
import pytest

from ilsvrc import metrics

PROBABILITIES = np.array(
    [
        [0.1, 0.2, 0.4, 0.3],  # ranks of the classes: 3, 2, 0, 1
        [0.7, 0.1, 0.1, 0.1],  # 0, 1, 2, 3: ties by class index
        [0.25, 0.25, 0.25, 0.25],  # 0, 1, 2, 3
    ],
    dtype=np.float32,
)


def test_ranks_break_ties_by_class_index() -> None:
    for column, expected in enumerate([[3, 0, 0], [2, 1, 1], [0, 2, 2], [1, 3, 3]]):
        assert metrics.ranks(PROBABILITIES, np.full(3, column)).tolist() == expected


@pytest.mark.parametrize(("k", "expected"), [(1, 200 / 3), (2, 100 / 3), (3, 100 / 3)])
def test_top_k_error_counts_labels_beyond_the_first_k(k: int, expected: float) -> None:
    labels = np.array([2, 1, 3])  # ranks 0, 1, 3
    assert metrics.top_k_error_percent(PROBABILITIES, labels, k) == pytest.approx(expected)


def test_a_network_without_an_opinion_is_right_about_class_0_alone() -> None:
    uniform = np.full((10, 10), 0.1)
    assert metrics.top_k_error_percent(uniform, np.arange(10), 1) == pytest.approx(90)
    assert metrics.top_k_error_percent(uniform, np.arange(10), 5) == pytest.approx(50)


def test_top_k_error_of_k_classes_or_fewer_is_no_measurement() -> None:
    assert math.isnan(metrics.top_k_error_percent(PROBABILITIES, np.array([0, 0, 0]), 4))


@pytest.mark.parametrize("k", [1, 3])
def test_nan_is_an_error_and_never_a_hit(k: int) -> None:
    broken = PROBABILITIES.copy()
    broken[1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        metrics.top_k_error_percent(broken, np.array([2, 0, 0]), k)


def test_labels_outside_the_classes_are_an_error() -> None:
    with pytest.raises(ValueError, match="labels of 0 to 4 do not fit 4 classes"):
        metrics.ranks(PROBABILITIES, np.array([0, 1, 4]))


def test_no_images_are_an_error() -> None:
    with pytest.raises(ValueError, match="N > 0"):
        metrics.ranks(PROBABILITIES[:0], np.zeros(0, dtype=np.int64))


@pytest.mark.parametrize(
    ("error_percent", "num_images", "low", "high"),
    [
        # Newcombe 1998, table I: 81/263, 15/148, 0/20, 1/29.
        (100 * 81 / 263, 263, 25.53, 36.62),
        (100 * 15 / 148, 148, 6.24, 16.05),
        (0, 20, 0.00, 16.11),
        (100 / 29, 29, 0.61, 17.18),
        (100, 20, 83.89, 100.00),
    ],
)
def test_wilson_interval_is_newcombes(error_percent: float, num_images: int, low: float, high: float) -> None:
    interval = metrics.wilson_interval_percent(error_percent, num_images)
    assert interval.low == pytest.approx(low, abs=0.005)
    assert interval.high == pytest.approx(high, abs=0.005)


def test_the_interval_of_no_measurement_is_none() -> None:
    assert all(map(math.isnan, metrics.wilson_interval_percent(float("nan"), 20)))


def test_negative_log_likelihood_is_the_mean_of_the_labels_logarithms() -> None:
    expected = -(math.log(0.4) + math.log(0.7) + math.log(0.25)) / 3
    assert metrics.negative_log_likelihood(PROBABILITIES, np.array([2, 0, 1])) == pytest.approx(expected, rel=1e-6)


def test_negative_log_likelihood_of_certain_error_is_finite() -> None:
    certain = np.array([[1.0, 0.0]], dtype=np.float32)
    assert metrics.negative_log_likelihood(certain, np.array([1])) == pytest.approx(87.3365, abs=1e-3)


def test_calibration_error_weighs_each_bin_by_its_images() -> None:
    # Two at 0.9, one right: |1 - 1.8| = 0.8. Two at 0.6, both right: |2 - 1.2| = 0.8. 1.6 of 4 images: 40 %.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    error = metrics.expected_calibration_error_percent(probabilities, np.array([0, 1, 0, 0]))
    assert error == pytest.approx(40)


def test_calibration_error_of_certainty_that_is_right_is_0() -> None:
    assert metrics.expected_calibration_error_percent(np.eye(3), np.arange(3)) == 0
