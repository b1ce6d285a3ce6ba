"""GRPO_outdomain/calibration.py counts what it says."""

import csv
import math
import os
import random
import shutil

import pytest
from conftest import BASE, call, load_script


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


def test_resume_measures_what_was_trained_again(linear_data, tmp_path):
    checkpoint, table = tmp_path / "checkpoint", tmp_path / "calibration.csv"
    shutil.copytree(BASE, checkpoint)
    words = ["GRPO_outdomain/calibration.py", "--checkpoints", checkpoint, "--dataset", linear_data, "--rows", 2]
    words += ["--samples", 1, "--max_new_tokens", 4, "--results", table, "--resume"]
    assert "AUROC" in call(*words).stdout
    (row,) = csv.DictReader(table.open())
    assert row["decoding"] == "T 1" and row["answered"] == "0.0000" and row["auroc"] == "nan"
    assert "already measured" in call(*words).stdout
    (completions,) = (tmp_path / "tests").glob("*.jsonl")
    assert len(completions.read_text().splitlines()) == 2
    os.utime(completions, (0, 0))  # older than its checkpoint
    assert "AUROC" in call(*words).stdout
