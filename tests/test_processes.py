"""Training in several processes: one folder, one log, the same update, --resume to the same weights."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import BASE, FEW, GRPO, ROOT

from common import data, models, runs, settings

LAUNCH = "-m accelerate.commands.launch --multi_gpu --num_machines 1 --mixed_precision no --dynamo_backend no"
ARGS = SimpleNamespace(lora_r=0, bf16=False, load_in_4bit=False)
LAUNCH = [sys.executable, *LAUNCH.split(), "--main_process_port", "0"]


def launch(count: int, script: str, *words) -> subprocess.CompletedProcess:
    command = [*LAUNCH, "--num_processes", str(count), str(ROOT / script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_row_belongs_to_one_process_and_comes_back_in_its_place(monkeypatch, count):
    import torch

    rows, parts = list(range(13)), []
    monkeypatch.setattr(runs, "PROCESSES", count)
    for index in range(count):
        monkeypatch.setattr(runs, "RANK", index)
        parts.append(runs.my_rows(rows))
    assert set(sum(parts, [])) == set(rows) and len({len(part) for part in parts}) == 1
    monkeypatch.setattr(torch.distributed, "all_gather_object", lambda into, _: into.__setitem__(slice(None), parts))
    assert runs.gathered(parts[0], len(rows)) == rows


@pytest.mark.parametrize(
    ("count", "steps", "size", "divided"),
    [(2, 4, 8, (2, 8)), (4, 4, 8, (1, 8)), (8, 4, 8, (1, 4)), (2, 1, 64, (1, 32)), (6, 4, 9, (2, 3)), (3, 1, 64, None)],
)
def test_an_update_keeps_its_examples(monkeypatch, capsys, count, steps, size, divided):
    monkeypatch.setattr(runs, "PROCESSES", count)
    args = settings.RunArgs.__new__(settings.RunArgs)
    args.gradient_accumulation_steps, args.per_device_train_batch_size = steps, size
    if divided is None:
        with pytest.raises(SystemExit):
            args.divide_batch()
        assert "cannot be divided among 3 processes" in capsys.readouterr().err
    else:
        args.divide_batch()
        assert (args.gradient_accumulation_steps, args.per_device_train_batch_size) == divided
        assert count * divided[0] * divided[1] == steps * size


@pytest.mark.parametrize("load", [models.load_for_generation, lambda base: models.load_model(base, ARGS)])
def test_whoever_loads_a_model_keeps_freed_memory(monkeypatch, load):
    calls = []
    monkeypatch.setattr(runs, "keep_memory", lambda: calls.append(True))
    load(str(BASE))
    assert calls == [True]


def figures(output) -> tuple:
    """The weights, and the log without its times."""
    rows = runs.read_jsonl(output / "metrics.jsonl")
    log = [[row.get(name) for name in ("step", "loss", "reward", "heldout_accuracy")] for row in rows]
    return (output / "model.safetensors").read_bytes(), log


def kill_all(pid: int) -> None:
    """kill -9 of a process and of all that it started."""
    started = [
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
    ]
    os.kill(pid, signal.SIGKILL)
    for child in started:
        kill_all(child)


@pytest.mark.slow
def test_two_processes_make_one_output_and_resume(tmp_path, linear_data, sft):
    words = ["--dataset", linear_data, "--base", sft, *FEW[GRPO]]
    whole = launch(2, GRPO, *words, "--output", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.count("saved") == 1 and whole.stdout.count("held-out accuracy") == 4
    record = json.loads((tmp_path / "whole/run.json").read_text())["hyperparameters"]
    assert (record["num_processes"], record["per_device_train_batch_size"]) == (2, 4)
    log = figures(tmp_path / "whole")[1]
    assert [row[0] for row in log if row[1] is not None] == [1, 2, 3, 4, 5, 6]
    solutions = {row["question"]: row["solution"] for row in data.read_split(str(linear_data), "train")[0]}
    samples = runs.read_jsonl(tmp_path / "whole" / "samples.jsonl")
    assert samples and all(sample["truth"] == solutions[sample["question"]] for sample in samples)

    command = [*LAUNCH, "--num_processes", "2", str(ROOT / GRPO), *map(str, words), "--output", str(tmp_path / "cut")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "cut.partial/checkpoint-2/manifest.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    kill_all(process.pid)
    process.wait()
    manifest = json.loads((tmp_path / "cut.partial/checkpoint-2/manifest.json").read_text())
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= set(manifest)

    alone = subprocess.run(
        [sys.executable, str(ROOT / GRPO), *map(str, words), "--output", str(tmp_path / "cut"), "--resume"],
        capture_output=True,
        text=True,
    )
    assert alone.returncode == 2 and "--num_processes 2, now it is 1" in alone.stderr
    again = launch(2, GRPO, *words, "--output", tmp_path / "cut", "--resume")
    assert again.returncode == 0, again.stderr
    assert figures(tmp_path / "cut") == figures(tmp_path / "whole")

    finished = launch(2, GRPO, *words, "--output", tmp_path / "cut", "--resume")
    assert finished.returncode == 0 and "is finished, with the same settings" in finished.stdout

    exists = launch(2, GRPO, *words, "--output", tmp_path / "cut")
    lines = [line for line in exists.stderr.splitlines() if line.startswith("error")]
    assert exists.returncode and len(lines) == 1 and "pass --overwrite" in lines[0]


@pytest.mark.slow
def test_a_script_that_does_not_train_says_so(tmp_path):
    done = launch(2, "SFT/dataset_creation.py", "--output", tmp_path / "data")
    assert done.returncode and ": this script runs in one process" in done.stderr  # the first to see it says it
    assert list(tmp_path.iterdir()) == []
