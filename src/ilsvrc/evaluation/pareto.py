"""Pareto front of error and cost."""

import numpy as np
from numpy.typing import ArrayLike


def front(errors: ArrayLike, costs: ArrayLike) -> np.ndarray:
    """Mask bool `[N]` of the points that are on the Pareto front.

    A point is on it where no other has an error and a cost that are both as low and one of them lower. Equals stand
    on it together. A point with NaN for either is never on it, and beats none.
    """
    error, cost = np.asarray(errors, dtype=float), np.asarray(costs, dtype=float)
    no_worse = (error[:, None] <= error) & (cost[:, None] <= cost)  # row beats column, or equals it
    better = (error[:, None] < error) | (cost[:, None] < cost)
    known = ~(np.isnan(error) | np.isnan(cost))
    chosen: np.ndarray = known & ~(no_worse & better).any(axis=0)
    return chosen
