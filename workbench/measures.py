"""Figures about the rewards of completions.

A group is the completions of one question. GRPO compares a completion with its group alone, so order, correlations and
signal are measured within groups. Its advantage is (sum - mean of the group) / standard deviation of the group.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from common import answers, kinds, prompts
from workbench.probes import COMPARED, Probe

VERDICTS = ("correct", "correct, malformed", "incorrect", "incorrect, malformed", "no answer", "cut")
EQUAL = 1e-6  # sums that differ by less are the same
DRAWS = 1000  # of the bootstrap over groups
MANY = 10  # groups, or completions, that a sentence needs


class Estimate(NamedTuple):
    """A figure with its 95 % interval over resampled groups."""

    value: float
    low: float
    high: float


class Order(NamedTuple):
    """How the sum ranks correct and incorrect completions of the same group."""

    groups: int  # with both
    inverted: int  # groups with an incorrect completion above a correct one
    false_positives: int  # incorrect completions above a correct one
    false_negatives: int  # correct completions below an incorrect one
    below: float  # fraction of the pairs with the correct one below
    equal: float  # fraction of the pairs that get the same


@dataclass
class Figures:
    """What is reported of a script; arrays have one entry for each completion."""

    script: str
    source: str
    names: list[str]
    weights: list[float]
    values: np.ndarray  # [rewards, completions]
    texts: list[str]
    verdicts: np.ndarray
    groups: list[np.ndarray]  # places of the completions of a question
    tags: prompts.Tags
    probes: dict[str, Probe]

    def __post_init__(self):
        self.parts = self.values * np.array(self.weights)[:, None]
        self.total = self.parts.sum(0)
        self.correct = np.char.startswith(self.verdicts, "correct")
        self.present = [verdict for verdict in VERDICTS if verdict in self.verdicts]
        self.moving = [group for group in self.groups if np.ptp(self.total[group]) > EQUAL]  # groups with a signal
        self.order = order(self.total, self.correct, self.groups)

    def of(self, verdict: str) -> np.ndarray:
        """The sums of the completions with a verdict."""
        return self.total[self.verdicts == verdict]

    @functools.cached_property
    def signal(self) -> dict[str, Estimate]:
        return dict(zip(self.names, signal(self.parts, self.moving))) if self.moving else {}

    @functools.cached_property
    def correlations(self) -> dict[str, Estimate]:
        """Of the advantage with each of features(), where it differs within groups."""
        return correlations(self, self.moving)

    @functools.cached_property
    def among_equals(self) -> dict[str, Estimate]:
        """The same among the completions of a group with the same verdict; empty with fewer than MANY such parts."""
        parts = []
        for group in self.groups:
            parts += [group[self.verdicts[group] == verdict] for verdict in self.present]
        parts = [part for part in parts if len(part) > 1 and np.ptp(self.total[part]) > EQUAL]
        return correlations(self, parts) if len(parts) >= MANY else {}

    def threshold(self) -> float:
        """The median correct completion; without one, the probe with the correct answer."""
        correct = self.of("correct")
        return float(np.median(correct)) if len(correct) else self.probes["correct answer"].total

    def warnings(self) -> tuple[list[str], list[str]]:
        """The probes with an incorrect answer that get more than the median correct completion, and as much as it."""
        limit = self.threshold()
        totals = {name: probe.total for name, probe in self.probes.items() if name not in COMPARED}
        more = [name for name, total in totals.items() if total > limit + EQUAL]
        return more, [name for name, total in totals.items() if abs(total - limit) <= EQUAL]

    def extremes(self) -> dict[str, int]:
        """The place of the incorrect completion with the highest sum, and of the correct one with the lowest."""
        places = {}
        if not self.correct.all():
            places["best incorrect"] = int(np.where(self.correct, -np.inf, self.total).argmax())
        if self.correct.any():
            places["worst correct"] = int(np.where(self.correct, self.total, np.inf).argmin())
        return places


def verdict(completion: dict, row: dict, kind: kinds.Kind, tags: prompts.Tags) -> str:
    """One of VERDICTS. An answer counts wherever it stands; cut: at the limit of tokens, without a correct answer."""
    scored = kind.score(completion, row, tags)
    answer, correct = scored["solution"], scored["correct"]
    if kind.name in kinds.KINDS:
        answer = answers.extract_flexible(completion["text"], row["solution"], tags)
        named = kinds.named_option(answer, row.get("options", ()))
        correct = correct or answers.is_correct(named, row["solution"])
    malformed = "" if scored["well_formed"] else ", malformed"
    if correct:
        return f"correct{malformed}"
    if completion.get("truncated"):
        return "cut"
    return "no answer" if answer is None else f"incorrect{malformed}"


def repetition(text: str) -> float:
    """The fraction of a text's runs of four words or signs that have stood before in it."""
    words = re.findall(r"\w+|\S", text)
    runs = list(zip(words, words[1:], words[2:], words[3:]))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def features(texts: Sequence[str], verdicts: Sequence[str], tags: prompts.Tags) -> dict[str, np.ndarray]:
    """What a policy could learn first, for each completion."""
    tag = re.compile("|".join(map(re.escape, tags)))
    columns = {
        "format": [verdict in ("correct", "incorrect") for verdict in verdicts],
        "answer": [verdict.startswith("correct") for verdict in verdicts],
        "length": [len(text) for text in texts],
        "tags": [len(tag.findall(text)) for text in texts],
        "repetition": [repetition(text) for text in texts],
    }
    return {name: np.array(values, dtype=float) for name, values in columns.items()}


def groups_of(keys: Sequence) -> list[np.ndarray]:
    """The places of the completions of each question that has several."""
    places = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    return [np.array(group) for group in places.values() if len(group) > 1]


def signal(parts: np.ndarray, groups: list[np.ndarray]) -> list[Estimate]:
    """For each reward the fraction of the advantages' variance that comes from it; together 1.

    parts: weighted rewards [rewards, completions]. In a group the fraction is the covariance of the part with the sum,
    divided by the variance of the sum; it is negative where a reward works against the sum. Every group counts alike,
    since GRPO divides by the group's deviation.
    """
    rows = []
    for group in groups:
        centred = parts[:, group] - parts[:, group].mean(1, keepdims=True)
        total = centred.sum(0)
        rows.append(centred @ total / (total @ total))
    rows = np.array(rows)
    low, high = np.percentile(rows[_draws(len(rows))].mean(1), (2.5, 97.5), axis=0)
    return [Estimate(*map(float, values)) for values in zip(rows.mean(0), low, high)]


def correlations(figures: Figures, groups: list[np.ndarray]) -> dict[str, Estimate]:
    estimates = {}
    for name, feature in features(figures.texts, figures.verdicts, figures.tags).items():
        estimates[name] = correlation(figures.total, feature, groups)
    return {name: estimate for name, estimate in estimates.items() if estimate}


def correlation(total: np.ndarray, feature: np.ndarray, groups: list[np.ndarray]) -> Estimate | None:
    """The correlation of the advantage with a feature within groups; None where the feature is the same in each."""
    rows = []
    for group in groups:
        advantage = (total[group] - total[group].mean()) / total[group].std()
        centred = feature[group] - feature[group].mean()
        rows.append((advantage @ centred, advantage @ advantage, centred @ centred))
    rows = np.array(rows).reshape(-1, 3)
    if rows[:, 2].sum() < EQUAL:
        return None
    sums = np.concatenate([rows.sum(0)[None], rows[_draws(len(rows))].sum(1)])
    values = sums[:, 0] / np.sqrt(sums[:, 1] * sums[:, 2]).clip(EQUAL)
    low, high = np.percentile(values[1:], (2.5, 97.5))
    return Estimate(float(values[0]), float(low), float(high))


def _draws(count: int) -> np.ndarray:
    """Places of resampled groups, [DRAWS, count]; the same in every run."""
    return np.random.default_rng(0).integers(0, count, (DRAWS, count))


def order(total: np.ndarray, correct: np.ndarray, groups: list[np.ndarray]) -> Order:
    differences = []  # [correct, incorrect] of each group with both
    for group in groups:
        good, bad = total[group][correct[group]], total[group][~correct[group]]
        if len(good) and len(bad):
            differences.append(good[:, None] - bad[None, :])
    pairs = np.concatenate([np.zeros(0), *(difference.ravel() for difference in differences)])
    below = [difference < -EQUAL for difference in differences]
    return Order(
        groups=len(differences),
        inverted=sum(int(pair.any()) for pair in below),
        false_positives=sum(int(pair.any(0).sum()) for pair in below),
        false_negatives=sum(int(pair.any(1).sum()) for pair in below),
        below=float((pairs < -EQUAL).sum() / max(1, len(pairs))),
        equal=float((abs(pairs) <= EQUAL).sum() / max(1, len(pairs))),
    )
