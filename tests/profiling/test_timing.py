"""Percentiles, how long is measured, and the best batch, by hand."""

import pytest

from ilsvrc.profiling import timing


def test_percentiles_of_a_hundred_passes_are_passes_themselves():
    found = timing.latency([milliseconds / 1e3 for milliseconds in range(100, 0, -1)])
    assert (found.median_ms, found.p95_ms, found.p99_ms) == pytest.approx((50.0, 95.0, 99.0))
    assert found.passes == 100


@pytest.mark.parametrize(
    ("each", "given", "passes"),
    [
        (0.25, 4.0, 16),  # as many as fill the time
        (1.0, 4.0, 10),  # the least
        (16.0, 4.0, 3),  # a slow network: no more than ten times the seconds that are given
        (512.0, 4.0, 1),
    ],
)
def test_passes_fill_the_time_that_is_given(each, given, passes):
    now = [0.0]

    def run():
        now[0] += each

    assert timing.passes(run, given, clock=lambda: now[0]) == [each] * passes


def test_rounds_are_repeated_until_the_two_fastest_agree():
    rounds = iter([[3.0], [1.0, 1.0], [2.0], [1.05], [9.0]])
    found = timing.settled(lambda: next(rounds), rounds=5)
    assert (found.seconds, found.median, found.passes) == ([1.0, 1.0, 1.05], 1.0, 5)
    assert found.spread == pytest.approx(0.05)


def test_rounds_that_never_agree_end_with_their_spread():
    rounds = iter([[4.0], [1.0], [2.0], [9.0]])
    found = timing.settled(lambda: next(rounds), rounds=3)
    assert (found.seconds, found.median, found.spread, found.passes) == ([1.0, 2.0], 1.0, 1.0, 3)


def search(rates):
    """The best batch where a batch passes so many images a second, and those that were tried."""
    best, tried = timing.best_batch(lambda size: size / rates[size] if size in rates else None, 1 / rates[1])
    assert {size: round(rate) for size, rate in tried.items()} == {size: rates[size] for size in tried}
    return best, list(tried)


def test_batches_double_while_they_gain():
    assert search({1: 100, 2: 150, 4: 200, 8: 205, 16: 205, 32: 400}) == (4, [1, 2, 4, 8, 16])


def test_one_doubling_may_fail_to_gain():
    assert search({1: 100, 2: 90, 4: 200, 8: 190, 16: 195}) == (4, [1, 2, 4, 8, 16])


def test_the_search_ends_where_memory_or_time_do():
    assert search({1: 100, 2: 150, 4: 200}) == (4, [1, 2, 4])
