"""Statistics of the tables: intervals and paired tests over problems, and pass@k.

Everywhere an item is a problem, and `items` maps a script -> its seeds -> (correct completions of each item as an
array, completions an item). Random numbers start from the same seed on every call: equal data give equal figures.
"""

import math
from functools import lru_cache

import numpy as np


@lru_cache(4)
def resampled(items: int, samples: int) -> np.ndarray:
    """(samples, items) positions drawn with replacement, the same ones for every table."""
    return np.random.default_rng(0).integers(0, items, (samples, items), dtype=np.uint32)


def bootstrap(values: np.ndarray, samples: int) -> tuple[float, float]:
    """95 % interval of the mean of one value an item: percentiles of resampled means (Efron, 1979)."""
    means = values[resampled(len(values), samples)].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def sign_flip_test(differences: np.ndarray, flips: int) -> float:
    """Two-sided p that paired differences, one an item, have no direction.

    The signs are flipped at random (Fisher, The Design of Experiments, 1935); p = (count + 1) / (flips + 1), never 0
    (Phipson and Smyth, 2010).
    """
    rng, total, count = np.random.default_rng(0), differences.sum(), 0
    for start in range(0, flips, 1000):  # a thousand at a time, for the memory
        kept = rng.integers(0, 2, (min(1000, flips - start), len(differences)), dtype=np.int8)
        flipped = 2 * (kept @ differences) - total
        count += int((abs(flipped) >= abs(total) - 1e-9).sum())
    return (count + 1) / (flips + 1)


def holm(p: dict[str, float]) -> dict[str, float]:
    """The p of several tests, corrected so that the chance of any false finding stays below each (Holm, 1979)."""
    corrected, largest = {}, 0.0
    for done, name in enumerate(sorted(p, key=p.get)):
        largest = max(largest, min(1.0, (len(p) - done) * p[name]))
        corrected[name] = largest
    return corrected


def fractions(items: dict) -> dict[str, dict]:
    """script -> seed -> the fraction of correct completions of each item."""
    return {script: {seed: counts / n for seed, (counts, n) in seeds.items()} for script, seeds in items.items()}


def longest(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Those with the most items; seeds that were tested on fewer cannot be averaged item by item."""
    most = max(map(len, arrays), default=0)
    return [array for array in arrays if len(array) == most]


def mean_of(seeds: dict) -> np.ndarray:
    """The values of each item averaged over the seeds; seeds: seed -> one value an item."""
    return np.mean(longest(list(seeds.values())), axis=0)


def paired(ours: dict, theirs: dict) -> np.ndarray | None:
    """The difference of each item, averaged over the seeds that both have; None without a common seed and length.

    ours, theirs: seed -> one value an item.
    """
    seeds = [seed for seed in sorted(ours.keys() & theirs.keys()) if len(ours[seed]) == len(theirs[seed])]
    return np.mean(longest([ours[seed] - theirs[seed] for seed in seeds]), axis=0) if seeds else None


def compare(values: dict[str, dict], references: dict[str, str], flips: int) -> dict[str, tuple]:
    """script -> (mean difference to its reference, low, high, p corrected by Holm).

    values: script -> seed -> one value an item, as fractions() gives them; references: script -> script, "" for none.
    Items and seeds are paired, and differences averaged over the seeds that both have. A base has no seed of its own:
    its mean is compared with every seed of the other. A script without a common seed and number of items is left out.
    """
    tested = {}
    for script, reference in references.items():
        ours, theirs = values.get(script), values.get(reference)
        if not ours or not theirs or script == reference:
            continue
        if reference == "base":
            theirs = dict.fromkeys(ours, mean_of(theirs))
        mean = paired(ours, theirs)
        if mean is not None:
            tested[script] = (float(mean.mean()), *bootstrap(mean, flips), sign_flip_test(mean, flips))
    corrected = holm({script: p for script, (_, _, _, p) in tested.items()})
    return {script: (mean, low, high, corrected[script]) for script, (mean, low, high, _) in tested.items()}


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that k of n completions, c of them correct, hold a correct one: 1 - C(n - c, k) / C(n, k).

    Chen et al., Evaluating Large Language Models Trained on Code, 2021.
    """
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def pass_values(seeds: dict, k: int) -> dict:
    """seed -> pass@k of each item."""
    return {seed: np.array([pass_at_k(n, int(c), k) for c in counts]) for seed, (counts, n) in seeds.items()}


def pass_at_each_k(seeds: dict, samples: int) -> dict[int, tuple]:
    """k -> (pass@k averaged over seeds and items, low, high), for k = 1, 2, 4, ... and all completions of an item."""
    most = min(n for _, n in seeds.values())
    powers = [2**i for i in range(most.bit_length()) if 2**i < most]
    found = {}
    for k in [*powers, most]:
        mean = mean_of(pass_values(seeds, k))
        found[k] = (float(mean.mean()), *bootstrap(mean, samples))
    return found
