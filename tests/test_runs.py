"""The contract between stages: outputs whole or absent, one clear line for bad input, exact resume after a kill."""

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, load_script, run_script

from common import data, evaluation, models, prompts, runs

SFT = "SFT/SFT_train.py"
GRPO = "GRPO_indomain/GRPO-1K.py"
BASE = ROOT / "resources" / "tiny-base"
# A few steps of the real trainers on the real base.
FEW = {
    SFT: ["--max_steps", 8, "--save_steps", 2, "--eval_steps", 2, "--heldout_every", 4, "--heldout_rows", 4],
    GRPO: ["--max_steps", 6, "--save_steps", 2, "--heldout_every", 2, "--heldout_rows", 4, "--num_generations", 4]
    + ["--per_device_train_batch_size", 8, "--max_completion_length", 120, "--tags", "thesis"],
}


def one_line(done: subprocess.CompletedProcess, *words: str) -> None:
    """The script ended with a code and one line on stderr that holds the words."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == 2 and len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
    for word in words:
        assert word in errors[0], errors[0]


def call(script: str, *words) -> subprocess.CompletedProcess:
    """The script's own parser and main() in this process: a bad input ends them before anything heavy begins."""
    module, errors, code = load_script(script), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(errors):
        patch.setattr(sys, "argv", [script, *map(str, words)])
        try:
            module.main(runs.parse(module.Args, module.TINY, module.__doc__))
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess(words, code, "", errors.getvalue())


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def sft(linear_data, tmp_path_factory):
    output = tmp_path_factory.mktemp("sft") / "SFT"
    done = run_script(SFT, "--dataset", linear_data, "--output", output, *FEW[SFT])
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="module")
def grpo(linear_data, sft, tmp_path_factory):
    output = tmp_path_factory.mktemp("grpo") / "GRPO-1K"
    done = run_script(GRPO, "--dataset", linear_data, "--base", sft, "--output", output, *FEW[GRPO])
    assert done.returncode == 0, done.stderr
    return output


def test_outputs_are_whole(sft, grpo):
    from transformers import AutoModelForCausalLM

    for folder, rewards in ((sft, False), (grpo, True)):
        assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() > 10**6
        tokenizer, tag_set = models.load_tokenizer(str(folder))
        assert tag_set == "thesis" and tokenizer.padding_side == "left"
        assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == tokenizer.eos_token_id
        facts = json.loads((folder / "run.json").read_text())
        assert set(facts) >= {"script", "command", "seed", "hyperparameters", "base", "lineage", "dataset"}
        assert set(facts) >= {"fingerprint", "versions", "commit", "seconds", "peak_memory_gib", "final", "tags"}
        assert facts["lineage"][0] == "tiny-base" and facts["hyperparameters"]["learning_rate"] > 0
        metrics = runs.read_jsonl(folder / "metrics.jsonl")
        assert {"heldout_accuracy", "heldout_n"} <= set(metrics[0]) and metrics[0]["step"] == 0
        assert not list(folder.glob("checkpoint-*")) and not runs.partial_of(folder).exists()
        if rewards:
            row = next(row for row in metrics if "reward" in row)
            assert {"entropy", "frac_reward_zero_std", "completions/clipped_ratio"} <= set(row)
            sample = json.loads((folder / "samples.jsonl").read_text().splitlines()[0])
            assert set(sample["rewards"]) == {"format_exact", "answer_right"} and sample["truth"]


@pytest.mark.parametrize("script", [SFT, GRPO])
def test_a_killed_run_resumes_to_the_same_weights(script, linear_data, sft, grpo, tmp_path):
    """kill -9 after a checkpoint, a half-written checkpoint beside it, --resume: the bits of an uninterrupted run."""
    output, whole = tmp_path / "run", {SFT: sft, GRPO: grpo}[script]
    words = ["--dataset", linear_data, "--output", output, *FEW[script]]
    words += ["--base", sft] if script == GRPO else []
    command = [sys.executable, str(ROOT / script), *map(str, words)]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    killed = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    second = runs.partial_of(output) / "checkpoint-4" / "trainer_state.json"
    while not second.exists() and killed.poll() is None:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert not output.exists()
    shutil.copytree(second.parent, second.parent.with_name("checkpoint-5"))
    (second.parent.with_name("checkpoint-5") / "trainer_state.json").write_text('{"global_st')

    one_line(run_script(script, *words), "interrupted run", "--resume")
    one_line(run_script(script, *words, "--resume", "--learning_rate", "0.5"), "learning_rate")
    done = run_script(script, *words, "--resume")
    assert done.returncode == 0, done.stderr
    assert weights(output) == weights(whole)

    def logged(folder):
        rows = runs.read_jsonl(folder / "metrics.jsonl")
        return [(row["step"], row.get("loss"), row.get("reward"), row.get("heldout_accuracy")) for row in rows]

    assert logged(output) == logged(whole)


def test_an_output_is_not_overwritten(sft, linear_data):
    before = weights(sft)
    one_line(run_script(SFT, "--dataset", linear_data, "--output", sft, *FEW[SFT]), "exists", "--overwrite")
    assert weights(sft) == before


def test_missing_and_broken_inputs(linear_data, sft, tmp_path):
    def grpo_with(*words):
        output = tmp_path / "out"
        done = call(GRPO, "--output", output, *words)
        assert not output.exists() and not runs.partial_of(output).exists()
        return done

    base, dataset = ("--base", sft), ("--dataset", linear_data)
    one_line(grpo_with("--dataset", tmp_path / "none", *base), "does not exist", "dataset_creation.py")
    one_line(grpo_with(*dataset, "--base", "no/such/folder"), "no/such/folder")
    one_line(grpo_with(*dataset, *base, "--per_device_train_batch_size", 10, "--num_generations", 4), "divisible")
    one_line(grpo_with(*dataset, *base, "--max_prompt_tokens", 20), "longer than 20 tokens")
    one_line(grpo_with(*dataset, *base, "--use_vllm"), "CUDA")
    one_line(grpo_with(*dataset, *base, "--load_in_4bit"), "LoRA")
    one_line(grpo_with(*dataset, *base, "--tags", "none"), "thesis or think")
    one_line(grpo_with(*dataset, *base, "--no_such_option", 1), "--no_such_option", "--help")
    one_line(grpo_with(*dataset, *base, "--learning_rate", "fast"), "learning_rate")
    one_line(grpo_with(*dataset, *base, "--profile", "huge"), "tiny or gpu")

    broken = tmp_path / "broken"
    shutil.copytree(sft, broken)
    (broken / "model.safetensors").unlink()
    one_line(grpo_with(*dataset, "--base", broken), "lacks", "SFT_train.py")

    no_tags = tmp_path / "no-tags"
    shutil.copytree(sft, no_tags)
    (no_tags / "chat_template.jinja").write_text(prompts.CHATML)
    one_line(grpo_with(*dataset, "--base", no_tags), "which tags")

    special = tmp_path / "special"
    shutil.copytree(sft, special)
    for name in ("tokenizer.json",):
        tokenizer = json.loads((special / name).read_text())
        for token in tokenizer["added_tokens"]:
            token["special"] = True
        (special / name).write_text(json.dumps(tokenizer))
    one_line(grpo_with(*dataset, "--base", special), "special=False")

    for change, words in (
        (lambda f: (f / "train.jsonl").write_text(""), ("no rows", "train")),
        (lambda f: (f / "train.jsonl").write_text('{"question": "?"}\n'), ("without solution",)),
        (lambda f: (f / "train.jsonl").write_text('{"question": "?", "solution": "1"}\n'), ("run.json records",)),
        (lambda f: (f / "run.json").write_text('{"splits"'), ("not finished",)),
    ):
        folder = tmp_path / f"data-{words[0]}"
        shutil.copytree(linear_data, folder)
        change(folder)
        one_line(grpo_with("--dataset", folder, *base), *words)


def test_bad_sources(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"problem": "1+1?", "answer": "2"}\n')
    create, output = "SFT/dataset_creation.py", ("--output", tmp_path / "made")
    one_line(call(create, "--dataset", "gsm8k", "--gsm8k", folder, *output), "no column question")
    one_line(call(create, "--dataset", "gsm8k", "--gsm8k", tmp_path / "none", *output), "no such folder")
    one_line(run_script(create, "--dataset", "gsm8k", *output), "--gsm8k FOLDER")
    one_line(call(create, "--dataset", "poems", *output), "openmath")
    (folder / "train.jsonl").write_text('{"problem": "?", "expected_answer": "x", "generated_solution": ""}\n')
    one_line(call(create, "--dataset", "openmath", "--openmath", folder, *output), "empty")
    assert not (tmp_path / "made").exists()


def test_a_full_disk_while_saving(linear_data, sft, tmp_path):
    """A limit on the size of a file stands in for the full disk; the run ends in one line and can be resumed."""
    output = tmp_path / "out"
    words = ["--dataset", linear_data, "--base", sft, "--output", output, *FEW[GRPO]]
    command = " ".join(map(str, [sys.executable, ROOT / GRPO, *words]))
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    limited = ["bash", "-c", f"ulimit -f 1000; trap '' XFSZ; exec {command}"]
    done = subprocess.run(limited, env=env, capture_output=True, text=True, timeout=600)
    one_line(done, "disk space", "--resume")
    assert not output.exists()
    done = run_script(GRPO, *words, "--resume")
    assert done.returncode == 0 and (output / "run.json").exists(), done.stderr


def test_nothing_to_learn_is_said(linear_data, sft, tmp_path):
    words = ["--dataset", linear_data, "--output", tmp_path / "out", *FEW[GRPO]]
    done = run_script(GRPO, *words, "--base", BASE, "--max_completion_length", 8, "--max_steps", 8)
    one_line(done, "nothing can be learned", "truncated")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("[SGB]*/*.py")))
def test_help_works_from_the_root_and_from_the_folder(script):
    for cwd in (ROOT, (ROOT / script).parent):
        done = run_script(script, "--help", cwd=cwd)
        assert done.returncode == 0, done.stderr
        own = load_script(script).Args.__dict__["__annotations__"]
        assert all(f"--{name} " in done.stdout or f"--{name}," in done.stdout for name in own)
        assert "Command: python" in done.stdout


def test_test_script_writes_rows_and_items(linear_data, sft, tmp_path, monkeypatch):
    module = load_script("GRPO_indomain/GRPO_test.py")
    results = tmp_path / "results.csv"
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path / "outputs")
    monkeypatch.setattr(evaluation.save_results, "__defaults__", (results,))
    words = ["--checkpoints", str(BASE), str(sft), "--dataset", str(linear_data), "--samples", "2"]
    monkeypatch.setattr(sys, "argv", ["GRPO_test.py", *words])
    for _ in range(2):
        module.main(runs.parse(module.Args, module.TINY, ""))
    rows = list(csv.DictReader(open(results)))
    assert [(row["script"], row["decoding"]) for row in rows] == [
        (script, decoding) for script in ("SFT", "base") for decoding in ("greedy", "sampled")
    ]
    assert all(row["n"] == "8" and row["base"] == "tiny-base" and row["command"] for row in rows)
    items = sorted((tmp_path / "outputs" / "tests").glob("*.jsonl"))
    assert [len(path.read_text().splitlines()) for path in items] == [8, 16, 8, 16]


def test_wilson_matches_a_known_interval():
    low, high = evaluation.wilson(0.8, 100)
    assert low == pytest.approx(0.7112, abs=1e-3) and high == pytest.approx(0.8666, abs=1e-3)
    assert evaluation.wilson(0.0, 10)[0] == 0.0 and evaluation.wilson(1.0, 10)[1] == pytest.approx(1.0)


def test_a_row_may_hold_characters_that_look_like_line_ends(tmp_path):
    rows = [{"question": "a\u2028b\x85c\x0bd\re", "solution": "1"}]
    folder = tmp_path / "set"
    folder.mkdir()
    facts = data.write_splits(folder, {"train": rows})
    runs.write_json(folder / "run.json", {"splits": facts})
    assert data.read_split(str(folder), "train")[0] == rows


def test_split_rows_are_disjoint():
    rows = {"train": [{"question": str(i)} for i in range(100)], "test": []}
    splits = data.split_rows(rows, {"sft": 30, "train": 30, "validation": 10, "test": 10}, seed=1)
    seen = [row["question"] for split in splits.values() for row in split]
    assert len(seen) == len(set(seen)) == 80
