"""GRPO-Ablation changes one thing of the rewards of GRPO-1K-def; calibration.py counts what it says."""

import math
import random

import pytest
from conftest import HOSTILE, load_script, score

from common import prompts

ABLATION = load_script("GRPO_indomain/GRPO-Ablation.py")
ORIGINAL = {reward.__name__: reward for reward in load_script("GRPO_indomain/GRPO-1K-def.py").REWARDS}
A, B, C, D = prompts.THESIS
ANSWERS = {"correct": "40", "near": "42", "close": "47", "incorrect": "90", "no number": "yes", "none": ""}
TEXTS = {name: f"{A}w{B}{C}{answer}{D}" for name, answer in ANSWERS.items()} | {"plain": "40"} | HOSTILE


def rewards_of(change: str) -> dict:
    return {reward.__name__: reward for reward in ABLATION.CHANGES[change]}


@pytest.mark.parametrize("change", ABLATION.CHANGES)
def test_an_ablation_has_the_rewards_of_the_original(change):
    assert list(rewards_of(change)) == list(ORIGINAL)
    assert ABLATION.Args.__dataclass_fields__["reward_weights"].default_factory() == [3, 1, 1, 1]


def test_without_near_only_an_answer_close_to_the_truth_differs():
    for name, reward in rewards_of("near").items():
        changed = {
            kind for kind, text in TEXTS.items() if score(reward, text, "40") != score(ORIGINAL[name], text, "40")
        }
        assert changed >= {"near", "close"} if name == "answer_ladder" else not changed
        for kind in changed:
            assert score(ORIGINAL[name], TEXTS[kind], "40") in (2, 1.5) and score(reward, TEXTS[kind], "40") == -2.5


def test_without_penalties_nothing_is_below_0_and_nothing_else_differs():
    for name, reward in rewards_of("penalties").items():
        for text in TEXTS.values():
            assert score(reward, text, "40") == max(0.0, score(ORIGINAL[name], text, "40"))


def test_area_under_the_curve():
    auroc = load_script("GRPO_outdomain/calibration.py").auroc
    assert auroc([0.1, 0.2, 0.8, 0.9], [False, False, True, True]) == 1
    assert auroc([0.1, 0.2, 0.8, 0.9], [True, True, False, False]) == 0
    assert auroc([0.5] * 4, [True, False, True, False]) == 0.5
    assert math.isnan(auroc([0.5, 0.6], [True, True])) and math.isnan(auroc([], []))
    rng = random.Random(0)
    confidence = [rng.choice((0.1, 0.4, 0.4, 0.9, 1.0)) for _ in range(200)]
    correct = [rng.random() < value for value in confidence]
    pairs = [(a, b) for a, right in zip(confidence, correct) for b, other in zip(confidence, correct) if right > other]
    assert auroc(confidence, correct) == pytest.approx(sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs))


def test_bins_hold_every_completion_and_give_the_calibration_error():
    script = load_script("GRPO_outdomain/calibration.py")
    bins = script.binned([0.0, 0.29, 0.3, 0.95, 1.0], [False, True, True, True, False])
    assert bins["count"] == [2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1] and bins["correct"] == [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    error = abs(0.29 - 1) + abs(0.3 - 1) + abs(0.95 - 1) + abs(1.0 - 0)
    assert script.calibration_error(bins) == pytest.approx(error / 5)
    assert math.isnan(script.calibration_error(script.binned([], [])))
