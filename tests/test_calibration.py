"""GRPO_outdomain/calibration.py counts what it says."""

import math
import random

import pytest
from conftest import load_script


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
