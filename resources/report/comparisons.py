"""Statistics of the pages. Two units: problems (bootstrap, sign flips, pass@k) and seeds (Student's t).

`items` maps a script -> its seeds -> (correct completions of each problem as an array, completions a problem);
`values` maps a script -> its seeds -> one value a problem. Random numbers start from the same seed on every call: equal
data give equal figures. Student's t is our own because scipy is no dependency of what this repo installs.
"""

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache

import mpmath
import numpy as np

# Problems as the unit.


@lru_cache(4)
def resampled(items: int, samples: int) -> np.ndarray:
    """(samples, items) positions drawn with replacement, the same ones for every table."""
    return np.random.default_rng(0).integers(0, items, (samples, items), dtype=np.uint32)


def bootstrap(values: np.ndarray, samples: int) -> tuple[float, float]:
    """95 % interval of the mean of one value a problem: percentiles of resampled means (Efron, 1979)."""
    means = values[resampled(len(values), samples)].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def sign_flip_test(differences: np.ndarray, flips: int) -> float:
    """Two-sided p that paired differences, one a problem, have no direction.

    The signs are flipped at random (Fisher, The Design of Experiments, 1935); p = (count + 1) / (flips + 1), never 0
    (Phipson and Smyth, 2010).
    """
    rng = np.random.default_rng(0)
    total = differences.sum()
    count = 0
    for start in range(0, flips, 1000):  # a thousand at a time, for the memory
        signs = rng.integers(0, 2, (min(1000, flips - start), len(differences)), dtype=np.int8)
        flipped = 2 * (signs @ differences) - total
        count += int(np.count_nonzero(abs(flipped) >= abs(total) - 1e-9))
    return (count + 1) / (flips + 1)


def holm(p: dict) -> dict:
    """The p of several tests, corrected so that the chance of any false finding stays below each (Holm, 1979)."""
    corrected = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p, key=p.get)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[name]))
        corrected[name] = largest
    return corrected


def fractions(items: dict) -> dict[str, dict]:
    """script -> seed -> the fraction of correct completions of each problem."""
    values = {}
    for script, seeds in items.items():
        values[script] = {seed: counts / n for seed, (counts, n) in seeds.items()}
    return values


def longest(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Those with the most problems; seeds that were tested on fewer cannot be averaged problem by problem."""
    most = max(map(len, arrays), default=0)
    return [array for array in arrays if len(array) == most]


def mean_of(seeds: dict) -> np.ndarray:
    """The value of each problem averaged over the seeds; seeds: seed -> one value a problem."""
    return np.mean(longest(list(seeds.values())), axis=0)


def paired(ours: dict, theirs: dict) -> np.ndarray | None:
    """The difference of each problem, averaged over the seeds that both have; None without a common seed and length.

    ours, theirs: seed -> one value a problem.
    """
    differences = []
    for seed in sorted(ours.keys() & theirs.keys()):
        if len(ours[seed]) == len(theirs[seed]):
            differences.append(ours[seed] - theirs[seed])
    return np.mean(longest(differences), axis=0) if differences else None


def compare(values: dict[str, dict], references: dict[str, str], flips: int) -> dict[str, tuple]:
    """script -> (mean difference to its reference, low, high, p corrected by Holm).

    references: script -> script, "" for none. Problems and seeds are paired. A base has no seed of its own: its mean is
    compared with every seed of the other. A script without a common seed and number of problems is left out.
    """
    compared = {}
    for script, reference in references.items():
        ours, theirs = values.get(script), values.get(reference)
        if not ours or not theirs or script == reference:
            continue
        if reference == "base":
            theirs = dict.fromkeys(ours, mean_of(theirs))
        difference = paired(ours, theirs)
        if difference is not None:
            low, high = bootstrap(difference, flips)
            compared[script] = (float(difference.mean()), low, high, sign_flip_test(difference, flips))
    return with_holm(compared)


def with_holm(compared: dict) -> dict:
    """name -> (mean, low, high, p), each p corrected over all of them; a NaN is no test."""
    tests = {name: figures[3] for name, figures in compared.items() if not math.isnan(figures[3])}
    corrected = holm(tests)
    return {name: (*figures[:3], corrected.get(name, math.nan)) for name, figures in compared.items()}


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that k of n completions, c of them correct, hold a correct one: 1 - C(n - c, k) / C(n, k).

    Chen et al., Evaluating Large Language Models Trained on Code, 2021.
    """
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def pass_values(seeds: dict, k: int) -> dict:
    """seed -> pass@k of each problem."""
    values = {}
    for seed, (counts, n) in seeds.items():
        values[seed] = np.array([pass_at_k(n, int(c), k) for c in counts])
    return values


def pass_at_each_k(seeds: dict, samples: int) -> dict[int, tuple]:
    """k -> (pass@k averaged over seeds and problems, low, high), for k = 1, 2, 4, ... and all completions."""
    most = min(n for _, n in seeds.values())
    powers = [2**i for i in range(most.bit_length()) if 2**i < most]
    passes = {}
    for k in [*powers, most]:
        mean = mean_of(pass_values(seeds, k))
        passes[k] = (float(mean.mean()), *bootstrap(mean, samples))
    return passes


# Seeds as the unit.


def p_of_t(t: float, degrees: int) -> float:
    """Two-sided p of Student's t: the regularised incomplete beta function I_x(degrees / 2, 1 / 2) at
    x = degrees / (degrees + t^2) (Student, The Probable Error of a Mean, 1908)."""
    if math.isinf(t):
        return 0.0
    with mpmath.workdps(15):  # others set mpmath's precision for the whole process
        return float(mpmath.betainc(degrees / 2, 0.5, 0, degrees / (degrees + t * t), regularized=True))


@lru_cache
def t95(degrees: int) -> float:
    """Student's t with a two-sided p of 0.05, by bisection."""
    low = 1.0
    high = 20.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        if p_of_t(middle, degrees) > 0.05:
            low = middle
        else:
            high = middle
    return low


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean over seeds (Student's t) of at least 3, else from the smallest to the largest."""
    if len(values) < 3:
        return min(values), max(values)
    mean = statistics.mean(values)
    half = t95(len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return mean - half, mean + half


def paired_t_test(differences: Sequence[float]) -> float:
    """Two-sided p that paired differences, one a seed, have the mean 0 (Student, 1908); NaN for fewer than 2."""
    if len(differences) < 2:
        return math.nan
    mean = statistics.mean(differences)
    spread = statistics.stdev(differences)
    if not spread:
        return 0.0 if mean else 1.0
    return p_of_t(mean / (spread / len(differences) ** 0.5), len(differences) - 1)


def seed_difference(ours: dict, theirs: dict) -> tuple | None:
    """(mean, low, high, p) of ours minus theirs, both seed -> value, over the seeds that both have; None for none."""
    differences = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    if not differences:
        return None
    return (statistics.mean(differences), *interval(differences), paired_t_test(differences))


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
