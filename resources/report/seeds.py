"""Statistics with seeds as the unit: intervals and paired tests over seeds, updates until a curve reaches a level."""

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache

import mpmath


def p_of_t(t: float, degrees: int) -> float:
    """Two-sided p of Student's t: the regularised incomplete beta function I_x(degrees / 2, 1 / 2) at
    x = degrees / (degrees + t^2) (Student, The Probable Error of a Mean, 1908)."""
    if math.isinf(t):
        return 0.0
    return float(mpmath.betainc(degrees / 2, 0.5, 0, degrees / (degrees + t * t), regularized=True))


@lru_cache
def t95(degrees: int) -> float:
    """Student's t with a two-sided p of 0.05."""
    low, high = 1.0, 20.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if p_of_t(middle, degrees) > 0.05 else (low, middle)
    return low


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean over seeds (Student's t) of at least 3, else from the smallest to the largest."""
    if len(values) < 3:
        return min(values), max(values)
    half = t95(len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return statistics.mean(values) - half, statistics.mean(values) + half


def paired_t_test(differences: Sequence[float]) -> float:
    """Two-sided p that paired differences, one a seed, have the mean 0 (Student, 1908); NaN for fewer than 2."""
    if len(differences) < 2:
        return math.nan
    mean, spread = statistics.mean(differences), statistics.stdev(differences)
    if not spread:
        return 0.0 if mean else 1.0
    return p_of_t(mean / (spread / len(differences) ** 0.5), len(differences) - 1)


def crossing(curve: dict[int, float], level: float, stays: bool = False) -> float | None:
    """The step at which a curve, step -> value, reaches a level, linear between steps; None if it never does.

    For the first time; stays: for the last time, after which it is never below."""
    points = sorted(curve.items())
    if stays:
        below = [place for place, (_, value) in enumerate(points) if value < level]
        points = points[below[-1] :] if below else points
    before = None
    for step, value in points:
        if value >= level:
            if before is None:
                return float(step)
            return before[0] + (step - before[0]) * (level - before[1]) / (value - before[1])
        before = (step, value)
    return None
