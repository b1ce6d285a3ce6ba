"""--report_to tensorboard and wandb, both offline: our own figures under the names of TRL and the trainer."""

import json
import os
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
    """A run that reports to both, twice under the same name, as with --overwrite."""
    folder = tmp_path_factory.mktemp("curves")
    words = [*FEW[GRPO], "--dataset", linear_data, "--base", BASE, "--output", folder / "run", "--overwrite"]
    words += ["--report_to", "tensorboard", "wandb", "--patience", 0]
    own = {"WANDB_DIR": str(folder), "WANDB_MODE": "offline"}
    for script in (GRPO, HYBRID):
        command = [sys.executable, script, *map(str, words)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | own, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    return folder


def test_tensorboard(logged):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (logged / "run" / "runs").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    assert OURS | TRLS | {"train/parts/process"} <= set(events.Tags()["scalars"])
    accuracy = events.Scalars("eval/accuracy")
    assert [event.step for event in accuracy] == [0, 2, 4, 6]
    log = [json.loads(line) for line in (logged / "run" / "metrics.jsonl").read_text().splitlines()]
    heldout = [line["heldout_accuracy"] for line in log if "heldout_n" in line]
    assert [round(event.value, 4) for event in accuracy] == heldout


def test_wandb(logged):
    (first, _) = sorted(logged.glob("wandb/offline-run-*/*.wandb"))
    written = first.read_bytes()
    assert all(name.encode() in written for name in OURS | TRLS | REWARDS)


def test_nothing_is_left_in_the_checkout(logged):
    assert not list(ROOT.glob("wandb*"))
