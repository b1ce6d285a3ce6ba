"""--report_to trackio, tensorboard and wandb, each offline: our own figures under the names of TRL and the trainer."""

import json
import os
import re
import sqlite3
import subprocess
import sys

import pytest
from conftest import BASE, FEW, GRPO, ROOT

OURS = {"eval/accuracy", "eval/format_rate", "eval/completions/clipped_ratio", "eval/completions/mean_length"}
TRLS = {"train/loss", "train/entropy", "train/reward", "train/frac_reward_zero_std", "train/completions/clipped_ratio"}
REWARDS = {
    f"train/rewards/{name}/{figure}" for name in ("format_exact", "answer_correct") for figure in ("mean", "std")
}
HYBRID = "GRPO_outdomain/GRPO-Hybrid.py"


@pytest.fixture(scope="module")
def logged(linear_data, tmp_path_factory):
    """A run that reports to all three, twice under the same name, as with --overwrite."""
    folder = tmp_path_factory.mktemp("curves")
    words = [*FEW[GRPO], "--dataset", linear_data, "--base", BASE, "--output", folder / "run", "--overwrite"]
    words += ["--report_to", "trackio", "tensorboard", "wandb", "--patience", 0]
    own = {"TRACKIO_DIR": str(folder / "trackio"), "WANDB_DIR": str(folder), "WANDB_MODE": "offline"}
    for script in (GRPO, HYBRID):
        command = [sys.executable, script, *map(str, words)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | own, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    return folder


def lines_of_trackio(folder) -> list[tuple[str, int, dict]]:
    with sqlite3.connect(folder / "trackio" / "huggingface.db") as base:
        found = base.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
    return [(run, step, json.loads(metrics)) for run, step, metrics in found]


def test_trackio(logged):
    lines = lines_of_trackio(logged)
    first, second = dict.fromkeys(run for run, _, _ in lines)  # a curve for each, though both are called run
    assert re.fullmatch(r"run-\d{8}-\d{6}", first)
    names = {name for run, _, line in lines for name in line if run == first}
    assert OURS | TRLS | REWARDS <= names
    assert {name for run, _, line in lines for name in line if run == second} > {"train/parts/process"}
    counted = [(step, line["train/global_step"]) for _, step, line in lines if "train/global_step" in line]
    assert counted and all(step == updates for step, updates in counted)
    heldout = [line["eval/accuracy"] for run, _, line in lines if run == second and "eval/accuracy" in line]
    kept = [json.loads(line) for line in (logged / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [round(value, 4) for value in heldout] == [row["heldout_accuracy"] for row in kept if "heldout_n" in row]


def test_tensorboard(logged):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (logged / "run" / "runs").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    assert OURS | TRLS <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("eval/accuracy")] == [0, 2, 4, 6]


def test_wandb(logged):
    (first, _) = sorted(logged.glob("wandb/offline-run-*/*.wandb"))
    written = first.read_bytes()
    assert all(name.encode() in written for name in OURS | TRLS | REWARDS)


def test_nothing_is_left_in_the_checkout(logged):
    assert not list(ROOT.glob("wandb*")) and not (ROOT / "trackio").exists()
