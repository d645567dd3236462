"""Time of passes: percentiles of single ones, and the batch that passes most images a second."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

GAIN = 1.03  # a batch twice as large is worth it where it passes so many times the images a second
PATIENCE = 2  # doublings in a row that gain nothing, after which the search ends
MIN_PASSES, MAX_PASSES = 10, 2000
ROUNDS, MAX_SPREAD = 4, 0.1  # most repetitions of a measurement, and how far the two fastest may lie apart
OVERTIME = 10  # times the seconds that are given, for MIN_PASSES of a slow network


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a pass: the median and two percentiles of `passes`."""

    median_ms: float
    p95_ms: float
    p99_ms: float
    passes: int


def latency(seconds: Sequence[float]) -> Latency:
    """Percentiles of single passes' seconds, each the time of a pass (nearest rank, not interpolated)."""
    median, *high = np.percentile(seconds, [50, 95, 99], method="inverted_cdf") * 1e3
    return Latency(float(median), float(high[0]), float(high[1]), len(seconds))


def passes(
    run: Callable[[], Any], seconds: float, at_least: int = MIN_PASSES, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Seconds of each pass, for about `seconds`.

    At least `at_least` passes, where they take no longer than OVERTIME times that; `run` returns when its work is done.
    """
    times: list[float] = []
    start = clock()
    while not times or (len(times) < MAX_PASSES and clock() - start < _longest(seconds, len(times) < at_least)):
        begin = clock()
        run()
        times.append(clock() - begin)
    return times


@dataclass(frozen=True)
class Settled:
    """Repeated rounds of passes: the fastest one's median, and how much slower the second fastest is (0.1: 10 %)."""

    seconds: list[float]  # of the passes of these two
    median: float  # seconds
    spread: float
    passes: int  # of all rounds


def settled(measure: Callable[[], list[float]], rounds: int | None = None) -> Settled:
    """Repeats a round of passes until the two fastest agree within MAX_SPREAD, `rounds` (ROUNDS) times at most.

    What else a machine does only slows passes down, so that the fastest rounds are the truest.
    """
    done: list[tuple[float, list[float]]] = []
    while True:
        times = measure()
        done = sorted([*done, (float(np.median(times)), times)], key=lambda each: each[0])
        if len(done) == 1:
            continue
        (fastest, one), (second, two) = done[:2]
        if second <= (1 + MAX_SPREAD) * fastest or len(done) >= (rounds or ROUNDS):
            return Settled([*one, *two], fastest, second / fastest - 1, sum(len(times) for _, times in done))


def _longest(seconds: float, too_few: bool) -> float:
    return seconds * (OVERTIME if too_few else 1)


def best_batch(seconds_of: Callable[[int], float | None], alone: float) -> tuple[int, dict[int, float]]:
    """The batch of 1, 2, 4, ... images that passes most a second, and each tried one's images a second.

    Larger ones are tried while they gain more than 3 % on the best so far (the first of two doublings may fail to).

    Args:
        seconds_of: a batch's seconds a pass, None where it takes more memory or time than there is.
        alone: seconds of a single image.
    """
    best, size, idle = 1, 2, 0
    rates = {1: 1 / alone}
    while idle < PATIENCE and (taken := seconds_of(size)) is not None:
        rates[size] = size / taken
        gains = rates[size] > GAIN * rates[best]
        best, idle = (size, 0) if gains else (best, idle + 1)
        size *= 2
    return best, rates
