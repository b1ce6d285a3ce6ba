"""Figures about the rewards of completions.

A group is the completions of one question. GRPO compares a completion with its group alone, so order, correlations and
signal are measured within groups. Its advantage is (sum - mean of the group) / standard deviation of the group.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from common import answers, kinds, prompts
from workbench.probes import COMPARED

VERDICTS = ("correct", "correct, malformed", "incorrect", "incorrect, malformed", "no answer", "cut")
EQUAL = 1e-6  # sums that differ by less are the same
DRAWS = 1000  # of the bootstrap over groups


@dataclass
class Figures:
    """What is reported of a script; arrays have one entry for each completion."""

    script: str
    source: str
    names: list[str]
    weights: list[float]
    values: np.ndarray  # [completions, rewards]
    texts: list[str]
    verdicts: np.ndarray
    groups: np.ndarray  # number of the question
    tags: prompts.Tags
    probes: pd.DataFrame  # a row for each probe: its sum, is_fixed, ms, and each reward

    def __post_init__(self):
        self.total = pd.Series(self.values @ self.weights)
        self.correct = np.char.startswith(self.verdicts, "correct")
        self.present = [verdict for verdict in VERDICTS if verdict in self.verdicts]
        self.pairs = pairs(self.total, self.correct, self.groups)
        spread = self.total.groupby(self.groups).agg(np.ptp)
        self.count, self.moving = len(spread), int((spread > EQUAL).sum())  # groups, and those with a signal
        self.signal = signal(pd.DataFrame(self.values * self.weights, columns=self.names), self.groups)
        columns = features(self.texts, self.verdicts, self.tags)
        self.correlations = correlations(self.total, columns, self.groups)
        correct = self.of("correct")
        if correct.empty:
            correct = self.probes["sum"][["correct answer"]]
        self.threshold = correct.median()  # of the completions; without a correct one, that of the probe

    def of(self, verdict: str) -> pd.Series:
        """The sums of the completions with a verdict."""
        return self.total[self.verdicts == verdict]

    def marks(self) -> pd.Series:
        """WARNING for a probe without a correct answer that gets more than the median correct completion."""
        sums = self.probes["sum"]
        marks = np.select([abs(sums - self.threshold) <= EQUAL, sums > self.threshold], ["as much", "WARNING"], "")
        return pd.Series(marks, sums.index).where(~sums.index.isin(COMPARED), "")

    def extremes(self) -> list[tuple[str, int]]:
        """The places of the incorrect completion with the highest sum, and of the correct one with the lowest."""
        incorrect, correct = self.total[~self.correct].nlargest(1), self.total[self.correct].nsmallest(1)
        return [("best incorrect", place) for place in incorrect.index] + [("worst correct", p) for p in correct.index]


def pairs(total: pd.Series, correct: np.ndarray, groups: np.ndarray) -> pd.DataFrame:
    """Each correct with each incorrect completion of its group: their places, and whether the sums are below, equal."""
    frame = pd.DataFrame({"group": groups, "place": total.index, "sum": total})
    both = frame[correct].merge(frame[~correct], on="group", suffixes=("", "_incorrect"))
    difference = both["sum"] - both["sum_incorrect"]
    return both.assign(below=difference < -EQUAL, equal=abs(difference) <= EQUAL)


def signal(parts: pd.DataFrame, groups: np.ndarray) -> pd.DataFrame:
    """For each weighted reward the fraction of the advantages' variance that comes from it; together 1.

    In a group that is the covariance of the reward with the sum, divided by the variance of the sum; it is negative
    where a reward works against the sum. Every group counts alike, as GRPO divides by its deviation.
    """
    total = parts.sum(axis=1)
    return estimates(total, parts.div(total.groupby(groups).transform("std", ddof=0), axis=0), groups)


def correlations(total: pd.Series, columns: pd.DataFrame, groups: np.ndarray) -> pd.DataFrame:
    """The correlation of the advantage with each column within a group; 0 in a group where the column is constant."""
    deviations = columns.groupby(groups).transform("std", ddof=0)
    return estimates(total, columns.div(deviations.where(deviations > EQUAL)).fillna(0.0), groups)


def estimates(total: pd.Series, columns: pd.DataFrame, groups: np.ndarray) -> pd.DataFrame:
    """The mean of advantage times column over the groups with a signal: value, and its 95 % interval, low and high.

    The interval is that over resampled groups.
    """
    grouped = total.groupby(groups)
    deviations = grouped.transform("std", ddof=0)
    moving = deviations > EQUAL
    advantages = (total - grouped.transform("mean")) / deviations
    products = columns[moving].mul(advantages[moving], axis=0).groupby(groups[moving]).mean()
    if products.empty:
        return pd.DataFrame(columns=["value", "low", "high"], dtype=float)
    draws = np.random.default_rng(0).integers(0, len(products), (DRAWS, len(products)))
    low, high = np.percentile(products.to_numpy()[draws].mean(1), (2.5, 97.5), axis=0)
    return pd.DataFrame({"value": products.mean(), "low": low, "high": high})


def verdict(completion: dict, row: dict, kind: kinds.Kind, tags: prompts.Tags) -> str:
    """One of VERDICTS. An answer counts wherever it stands; cut: at the limit of tokens, without a correct answer."""
    scored = kind.score(completion, row, tags)
    answer = scored["solution"]
    if kind.name in kinds.KINDS:
        answer = answers.extract_flexible(completion["text"], row["solution"], tags)
    malformed = "" if scored["well_formed"] else ", malformed"
    if scored["correct"] or scored.get("flexible"):
        return f"correct{malformed}"
    if completion.get("truncated"):
        return "cut"
    return "no answer" if answer is None else f"incorrect{malformed}"


def repetition(text: str) -> float:
    """The fraction of a text's runs of four words or signs that have stood before in it."""
    words = re.findall(r"\w+|\S", text)
    runs = list(zip(words, words[1:], words[2:], words[3:]))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def features(texts: Sequence[str], verdicts: np.ndarray, tags: prompts.Tags) -> pd.DataFrame:
    """What a policy could learn first, for each completion."""
    texts = pd.Series(texts, dtype=object)  # pandas' own type of text refuses lone surrogates
    columns = {
        "format": np.isin(verdicts, ("correct", "incorrect")),
        "answer": np.char.startswith(verdicts, "correct"),
        "length": texts.str.len(),
        "tags": texts.str.count("|".join(map(re.escape, tags))),
        "repetition": texts.map(repetition),
    }
    return pd.DataFrame(columns, dtype=float)
