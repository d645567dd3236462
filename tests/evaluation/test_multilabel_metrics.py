"""Scores of several classes a picture, by numbers made by hand."""

import numpy as np
import pytest
import torch

from ilsvrc.evaluation import multilabel_metrics

TARGETS = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1]])
PROBABILITIES = np.array([[0.9, 0.1, 0.3, 0.0], [0.3, 0.2, 0.0, 0.1], [0.1, 0.0, 0.0, 0.2], [0.0, 0.8, 0.1, 0.7]])
# above 0.2:            1 of 2, one too much;  the one;              none, as it is;       2 of 3


def test_f2_of_each_image_weighs_recall_more():
    # 5 hits / (4 true + said): 5 / (8 + 2), 5 / (4 + 1), nothing said of nothing, 10 / (12 + 2)
    found = multilabel_metrics.f2_of_images(PROBABILITIES, TARGETS)
    np.testing.assert_allclose(found, [0.5, 1.0, 1.0, 10 / 14])


def test_a_class_is_said_above_the_threshold_and_not_at_it():
    found = multilabel_metrics.f2_of_images(np.array([[0.2], [0.21]]), np.array([[0], [0]]))
    assert found.tolist() == [1.0, 0.0]


def test_f2_is_scikit_learns():
    draws = np.random.default_rng(0)
    probabilities, targets = draws.random((200, 17)), draws.random((200, 17)) < 0.2
    targets[:, 0] |= ~targets.any(axis=1)  # scikit-learn has another value where nothing is true
    from sklearn.metrics import fbeta_score

    expected = fbeta_score(targets, probabilities > 0.2, beta=2, average="samples")
    assert multilabel_metrics.f2_of_images(probabilities, targets).mean() == pytest.approx(expected)


def test_f2_of_torchs_counts_is_numpys():
    hits, said, true = ([1, 1, 0, 2], [2, 1, 0, 2], [2, 1, 0, 3])
    found = multilabel_metrics.f_beta(torch.tensor(hits), torch.tensor(said), torch.tensor(true))
    assert found.tolist() == pytest.approx([0.5, 1.0, 1.0, 10 / 14])


def test_by_class_precision_recall_and_f2():
    found = multilabel_metrics.by_class(PROBABILITIES, TARGETS)
    assert found.num_images.tolist() == [2, 2, 1, 1]
    np.testing.assert_allclose(found.precision_percent, [100, 100, 0, 100])
    np.testing.assert_allclose(found.recall_percent, [100, 50, 0, 100])
    np.testing.assert_allclose(found.f2_percent, [100, 500 / 9, 0, 100])


def test_what_no_picture_has_or_is_never_said_is_not_measured():
    found = multilabel_metrics.by_class(np.array([[0.9, 0.0]]), np.array([[0, 1]]))
    np.testing.assert_array_equal(found.recall_percent, [np.nan, 0.0])
    np.testing.assert_array_equal(found.precision_percent, [0.0, np.nan])
    np.testing.assert_array_equal(found.f2_percent, [np.nan, 0.0])


def test_hamming_error_counts_all_answers():
    assert multilabel_metrics.hamming_error_percent(PROBABILITIES, TARGETS) == 100 * 3 / 16


def test_average_precision_by_hand_and_as_scikit_learns():
    probabilities, targets = np.array([[0.9], [0.8], [0.7], [0.6]]), np.array([[1], [0], [1], [0]])
    assert multilabel_metrics.average_precision_percent(probabilities, targets)[0] == pytest.approx(
        100 * (1 + 2 / 3) / 2
    )
    draws = np.random.default_rng(1)
    rounded, truth = draws.integers(0, 10, (300, 5)) / 10, draws.random((300, 5)) < 0.3  # with many ties
    from sklearn.metrics import average_precision_score

    expected = [100 * average_precision_score(truth[:, k], rounded[:, k]) for k in range(5)]
    np.testing.assert_allclose(multilabel_metrics.average_precision_percent(rounded, truth), expected)
    assert multilabel_metrics.mean_average_precision_percent(rounded, truth) == pytest.approx(np.mean(expected))


def test_the_mean_leaves_out_classes_that_no_picture_has():
    found = multilabel_metrics.mean_average_precision_percent(
        np.array([[0.9, 0.5], [0.1, 0.5]]), np.array([[1, 0], [0, 0]])
    )
    assert found == 100.0


def test_the_interval_of_a_mean_is_the_bootstraps():
    values = np.repeat([0.0, 1.0], [30, 70])
    low, high = multilabel_metrics.mean_interval_percent(values)
    # a binomial of 100 draws at 0.7 has a deviation of 4.6 %: 1.96 of them are 9.0 %
    assert low == pytest.approx(61, abs=1.01) and high == pytest.approx(79, abs=1.01)
    assert (low, high) == multilabel_metrics.mean_interval_percent(values[::-1])
    assert multilabel_metrics.mean_interval_percent(np.array([0.25, 0.25])) == (25.0, 25.0)


def test_a_judgement_is_of_all_classes_of_a_picture():
    probabilities = np.array([[0.5, 0.25, 0.75], [1.0, 0.0, 0.2], [0.3, 0.3, 0.2]], np.float32)
    found = multilabel_metrics.judge(probabilities, np.array([[1, 0, 0], [1, 0, 0], [1, 0, 1]]))
    expected = [np.log(0.5 * 0.75 * 0.25), np.log(0.8), np.log(0.3 * 0.7 * 0.2)]
    np.testing.assert_allclose(found.log_probabilities, expected, rtol=1e-5)
    # above or as probable as the least of the picture's own: the third; none; the second
    assert found.ranks.tolist() == [1, 0, 1]
    assert found.guesses.tolist() == [[2, 0, 1], [0, 2, 1], [0, 1, 2]]
    assert multilabel_metrics.judge(probabilities[:1], np.zeros((1, 3))).ranks.tolist() == [0]


def test_sets_become_targets():
    assert multilabel_metrics.members([[], [0, 2], [1]], 3).astype(int).tolist() == [[0, 0, 0], [1, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("probabilities", "targets", "message"),
    [
        (np.zeros((0, 2)), np.zeros((0, 2)), r"not both \[N, K\] with N > 0"),
        (np.zeros((2, 2)), np.zeros(2), r"not both \[N, K\]"),
        (np.array([[np.nan]]), np.array([[1]]), "NaN or infinity"),
    ],
)
def test_what_is_no_prediction_is_refused(probabilities, targets, message: str):
    with pytest.raises(ValueError, match=message):
        multilabel_metrics.f2_of_images(probabilities, targets)
