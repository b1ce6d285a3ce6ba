"""Figures about the rewards of sampled completions, and the probes: texts that no policy should be rewarded for.

A group is the completions of one question. GRPO compares a completion only with its group, so orders, correlations and
the signal are measured within groups, on the advantage: (sum - mean of the group) / standard deviation of the group.
"""

import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common import answers, kinds, prompts

VERDICTS = ("correct", "correct, malformed", "incorrect", "incorrect, malformed", "no answer", "cut")
EQUAL = 1e-6  # sums that differ by less are the same
DRAWS = 1000  # of the bootstrap over groups
PROBED = 4  # questions


class Estimate(NamedTuple):
    """A figure with its 95 % interval over resampled groups."""

    value: float
    low: float
    high: float


def verdict(completion: dict, row: dict, kind: kinds.Kind, tags: prompts.Tags) -> str:
    """One of VERDICTS. An answer counts wherever it stands; cut: at the limit of tokens, without a correct answer."""
    scored = kind.score(completion, row, tags)
    answer = scored["solution"]
    correct = scored["correct"]
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
    """How much of a text a compressor finds to be repeated: 0 to 1."""
    data = text.encode(errors="replace")
    return max(0.0, 1 - len(zlib.compress(data)) / len(data)) if data else 0.0


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


def with_signal(total: np.ndarray, groups: list[np.ndarray]) -> list[np.ndarray]:
    """The groups whose sums differ."""
    return [group for group in groups if np.ptp(total[group]) > EQUAL]


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
    means = rows[_draws(len(rows))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    return [Estimate(*map(float, values)) for values in zip(rows.mean(0), low, high)]


def correlation(total: np.ndarray, feature: np.ndarray, groups: list[np.ndarray]) -> Estimate | None:
    """The correlation of the advantage with a feature within groups; None where the feature is the same in each."""
    rows = []
    for group in groups:
        advantage = (total[group] - total[group].mean()) / total[group].std()
        centred = feature[group] - feature[group].mean()
        rows.append((advantage @ centred, advantage @ advantage, centred @ centred))
    rows = np.array(rows)
    if rows[:, 2].sum() == 0:
        return None
    sums = rows[_draws(len(rows))].sum(1)
    with np.errstate(invalid="ignore"):
        drawn = sums[:, 0] / np.sqrt(sums[:, 1] * sums[:, 2])
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    product, first, second = rows.sum(0)
    return Estimate(float(product / np.sqrt(first * second)), float(low), float(high))


def _draws(count: int) -> np.ndarray:
    """Places of resampled groups, [DRAWS, count]; the same in every run."""
    return np.random.default_rng(0).integers(0, count, (DRAWS, count))


class Order(NamedTuple):
    """How the sum ranks correct and incorrect completions of the same group."""

    groups: int  # with both
    inverted: int  # groups with an incorrect completion above a correct one
    false_positives: int  # incorrect completions above a correct one
    false_negatives: int  # correct completions below an incorrect one
    below: float  # fraction of the pairs with the correct one below
    equal: float  # fraction of the pairs that get the same


def order(total: np.ndarray, correct: np.ndarray, groups: list[np.ndarray]) -> Order:
    differences = []
    for group in groups:
        good, bad = total[group][correct[group]], total[group][~correct[group]]
        if len(good) and len(bad):
            differences.append(good[:, None] - bad[None, :])
    below = [difference < -EQUAL for difference in differences]
    pairs = np.concatenate([difference.ravel() for difference in differences]) if differences else np.zeros(0)
    return Order(
        groups=len(differences),
        inverted=sum(int(inverted.any()) for inverted in below),
        false_positives=sum(int(inverted.any(0).sum()) for inverted in below),
        false_negatives=sum(int(inverted.any(1).sum()) for inverted in below),
        below=float((pairs < -EQUAL).mean()) if len(pairs) else 0.0,
        equal=float((abs(pairs) <= EQUAL).mean()) if len(pairs) else 0.0,
    )


def probe_rows(rows: Sequence[dict]) -> list[tuple[dict, str]]:
    """The first questions, each with an incorrect answer: the truth of another one, where there is another."""
    questions = list({row["question"]: row for row in rows}.values())
    pairs = []
    for row in questions[:PROBED]:
        others = [other["solution"] for other in [*questions, {"solution": "0"}, {"solution": "1"}]]
        pairs.append((row, next(other for other in others if not answers.is_correct(other, row["solution"]))))
    return pairs


def probes(row: dict, other: str, prompt: str, tags: prompts.Tags) -> dict[str, str]:
    """{name: completion}. The first two are for comparison; none of the others has a correct answer."""

    def completion(reasoning: str, answer: str) -> str:
        return prompts.build_completion(reasoning, answer, tags)[0]["content"]

    truth = row["solution"]
    guesses = ", ".join([other, truth, *(f"{number}" for number in range(10))])
    return {
        "correct answer": completion("1+1=2", truth),
        "correct, no last tag": completion("1+1=2", truth).removesuffix(tags.answer_close),
        "incorrect answer": completion("1+1=2", other),
        "empty": "",
        "tags alone": "".join(tags),
        "tags repeated": completion("", other) * 20,
        "truth in reasoning": completion(f"The answer is {truth}.", other),
        "many answers": completion("1+1=2", guesses),
        "digits without end": f"{tags.work_open}1+1=2{tags.work_close}{tags.answer_open}{'7' * 5000}",
        "another language": completion("先把两个方程相加，再求解。", other),
        "prompt copied": prompt,
        "100,000 characters": completion("1+1=2\n" * 16_667, other),
    }


COMPARED = ("correct answer", "correct, no last tag")  # probes with a correct answer
