"""Metrics against numbers worked out by hand."""

import math

import numpy as np
import pytest

from ilsvrc.evaluation import metrics

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
    assert metrics.top_k_error_percent(np.array([0, 1, 3]), k, 4) == pytest.approx(expected)


def test_a_network_without_an_opinion_is_right_about_class_0_alone() -> None:
    ranks = metrics.judge(np.full((10, 10), 0.1), np.arange(10)).ranks
    assert metrics.top_k_error_percent(ranks, 1, 10) == pytest.approx(90)
    assert metrics.top_k_error_percent(ranks, 5, 10) == pytest.approx(50)


def test_top_k_error_of_k_classes_or_fewer_is_no_measurement() -> None:
    assert math.isnan(metrics.top_k_error_percent(np.array([0, 0, 0]), 4, 4))


def test_nan_is_an_error_and_never_a_hit() -> None:
    broken = PROBABILITIES.copy()
    broken[1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        metrics.judge(broken, np.array([2, 0, 0]))


def test_the_first_guesses_come_in_order_and_ties_by_class_index() -> None:
    found, their = metrics.guesses(np.array([[0.1, 0.3, 0.05, 0.3, 0.15, 0.05, 0.05]]))
    assert found.tolist() == [[1, 3, 4, 0, 2]]
    assert their[0].tolist() == pytest.approx([0.3, 0.3, 0.15, 0.1, 0.05])
    assert metrics.guesses(PROBABILITIES)[0].tolist() == [[2, 3, 1, 0], [0, 1, 2, 3], [0, 1, 2, 3]]


def test_a_judgement_is_the_same_in_one_block_and_in_many(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([2, 1, 3])
    whole = metrics.judge(PROBABILITIES, labels)
    assert whole.ranks.tolist() == [0, 1, 3]
    assert whole.log_probabilities.tolist() == pytest.approx([math.log(0.4), math.log(0.1), math.log(0.25)])
    assert whole.squared_norms.tolist() == pytest.approx([0.3, 0.52, 0.25])
    monkeypatch.setattr(metrics, "BLOCK", 2 * 4)
    assert [each.tolist() for each in metrics.judge(PROBABILITIES, labels)] == [each.tolist() for each in whole]


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


# Of the closed formulas that earlier releases wrote out, in double precision: wrong, of how many, low, high.
WILSON = [
    (0, 8, 0.0, 32.440756488388026),
    (1, 8, 2.241749145005667, 47.08881822128535),
    (8, 8, 67.55924351161198, 99.99999999999999),
    (37, 1360, 1.980155963231438, 3.727359255436513),
    (680, 1360, 47.34639576734406, 52.65360423265594),
    (11790, 50000, 23.20995656024914, 23.95410278155667),
    (50000, 50000, 99.99231767258549, 99.99999999999999),
    (1, 1, 20.654931437723743, 100.0),
]


@pytest.mark.parametrize(("wrong", "num_images", "low", "high"), WILSON)
def test_wilson_intervals_are_those_of_earlier_releases(wrong: int, num_images: int, low: float, high: float) -> None:
    found = metrics.wilson_interval_percent(100 * wrong / num_images, num_images)
    assert found == pytest.approx((low, high), rel=1e-12, abs=1e-12)


def test_the_interval_of_no_measurement_is_none() -> None:
    assert all(map(math.isnan, metrics.wilson_interval_percent(float("nan"), 20)))


def test_negative_log_likelihood_is_the_mean_of_the_labels_logarithms() -> None:
    logarithms = metrics.judge(PROBABILITIES, np.array([2, 0, 1])).log_probabilities
    expected = -(math.log(0.4) + math.log(0.7) + math.log(0.25)) / 3
    assert metrics.negative_log_likelihood(logarithms) == pytest.approx(expected, rel=1e-6)


def test_negative_log_likelihood_of_certain_error_is_finite() -> None:
    logarithms = metrics.logarithm(np.array([0.0], dtype=np.float32))
    assert metrics.negative_log_likelihood(logarithms) == pytest.approx(87.3365, abs=1e-3)


def test_brier_score_is_the_squared_distance_from_certainty() -> None:
    # (0.4 - 1)^2 + 0.1^2 + 0.2^2 + 0.3^2 = 0.5; 0.3^2 + 3 x 0.1^2 = 0.12; 0.75^2 + 3 x 0.25^2 = 0.75.
    found = metrics.judge(PROBABILITIES, np.array([2, 0, 3]))
    assert metrics.brier_score(found.log_probabilities, found.squared_norms) == pytest.approx((0.5 + 0.12 + 0.75) / 3)


def test_reliability_bins_hold_their_upper_end() -> None:
    confidences = np.array([0.25, 0.5, 0.5, 0.75, 1.0])
    found = metrics.reliability(confidences, np.array([True, True, False, False, True]), bins=4)
    assert [b.num_images for b in found] == [1, 2, 1, 1]
    assert [b.accuracy_percent for b in found] == [100, 50, 0, 100]
    assert [b.confidence_percent for b in found] == [25, 50, 75, 100]
    assert [(b.low, b.high) for b in found] == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]


def test_calibration_error_weighs_each_bin_by_its_images() -> None:
    # Two at 0.9, one right: |1 - 1.8| = 0.8. Two at 0.6, both right: |2 - 1.2| = 0.8. 1.6 of 4 images: 40 %.
    bins = metrics.reliability(np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, False, True, True]))
    assert metrics.expected_calibration_error_percent(bins) == pytest.approx(40)


def test_calibration_error_of_certainty_that_is_right_is_0() -> None:
    bins = metrics.reliability(np.ones(3), np.ones(3, bool))
    assert metrics.expected_calibration_error_percent(bins) == 0


def test_class_errors_count_each_classs_images() -> None:
    counts, errors = metrics.class_errors(np.array([0, 2, 0, 1]), np.array([0, 0, 2, 2]), 3)
    assert counts.tolist() == [2, 0, 2]
    assert errors[[0, 2]].tolist() == [50, 50]
    assert math.isnan(errors[1])


LABELS, FIRST = np.array([0, 0, 0, 1, 1, 2, 2, 2]), np.array([0, 1, 1, 1, 0, 0, 0, 1])


def test_confusion_counts_labels_in_rows_and_guesses_in_columns() -> None:
    assert metrics.confusion(LABELS, FIRST, 3).tolist() == [[1, 2, 0], [1, 1, 0], [2, 1, 0]]


def test_the_worst_confusions_come_first_and_right_answers_never() -> None:
    assert metrics.worst_confusions(LABELS, FIRST, 3, 3) == [(0, 1, 2), (2, 0, 2), (1, 0, 1)]
    assert metrics.worst_confusions(LABELS, LABELS, 3, 3) == []


def test_few_discordant_images_are_tested_exactly() -> None:
    # Of 10 one network is wrong alone about 9, the other about 1: 2 (1 + 10) / 2^10.
    first, second = np.array([True] * 9 + [False] + [True]), np.array([False] * 9 + [True] + [True])
    found = metrics.mcnemar(first, second)
    assert found[:3] == (9, 1, "exact")
    assert found.p_value == pytest.approx(22 / 1024)
    assert metrics.mcnemar(second, first).p_value == pytest.approx(22 / 1024)


def test_many_discordant_images_are_tested_by_chi_squared_with_continuity_correction() -> None:
    # 25 and 10 alone: (15 - 1)^2 / 35 = 5.6, whose upper tail with one degree of freedom is 0.01796.
    first = np.array([True] * 25 + [False] * 110)
    second = np.array([False] * 25 + [True] * 10 + [False] * 100)
    found = metrics.mcnemar(first, second)
    assert found[:3] == (25, 10, "chi_squared")
    assert found.statistic == pytest.approx(5.6)
    assert found.p_value == pytest.approx(0.01796, abs=1e-5)


# Likewise: images that the first or the second alone gets wrong, and the p-value.
MCNEMAR = [
    (0, 0, 1.0),
    (1, 1, 1.0),
    (1, 9, 0.021484375),
    (12, 12, 1.0),
    (0, 24, 1.1920928955078125e-07),
    (10, 15, 0.4237107971667934),
    (13, 12, 1.0),
    (100, 140, 0.0118211378366223),
    (900, 1200, 6.813099376103991e-11),
    (30, 400, 7.759893042668397e-71),
]


@pytest.mark.parametrize(("only_first", "only_second", "p_value"), MCNEMAR)
def test_p_values_of_mcnemar_are_those_of_earlier_releases(only_first: int, only_second: int, p_value: float) -> None:
    first = np.arange(only_first + only_second + 3) < only_first
    found = metrics.mcnemar(first, ~first & (np.arange(len(first)) < only_first + only_second))
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p_value == pytest.approx(p_value, rel=1e-12, abs=0)


def test_networks_that_are_wrong_about_the_same_images_do_not_differ() -> None:
    wrong = np.array([True, False, True])
    assert metrics.mcnemar(wrong, wrong) == (0, 0, "exact", pytest.approx(float("nan"), nan_ok=True), 1.0)
    half = np.array([True] * 20 + [False] * 20)
    assert metrics.mcnemar(half, ~half).p_value == 1
