"""The Pareto front, by hand."""

import numpy as np

from ilsvrc.evaluation.pareto import front


def test_a_point_is_on_the_front_where_none_is_as_good_in_both_and_better_in_one():
    errors = [10, 8, 8, 9, 5, 12]
    costs = [1, 2, 3, 2, 9, 1]
    assert front(errors, costs).tolist() == [True, True, False, False, True, False]


def test_equal_points_are_on_the_front_together():
    assert front([3, 3, 4], [7, 7, 7]).tolist() == [True, True, False]


def test_a_point_without_a_number_is_never_on_the_front_and_beats_none():
    assert front([np.nan, 1, 2], [1, np.nan, 5]).tolist() == [False, False, True]


def test_no_points_have_no_front():
    assert front([], []).tolist() == []
