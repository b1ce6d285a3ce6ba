"""The GPU's path on a CPU build of vLLM: `make rehearse`. The tables of a run go to the terminal with -s."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import BASE, FEW, GRPO, ROOT, SFT

from benchmarks import random_base
from common import evaluation, lora, runs, training
from tiny import problems

STAGE, NAMES = (Path(__file__).with_name(name) for name in ("stage.py", "names"))
TEST, CONTROL, HYBRID = "GRPO_indomain/GRPO_test.py", "GRPO_indomain/GRPO-Control.py", "GRPO_outdomain/GRPO-Hybrid.py"
V1, V2, OFFICIAL = (f"BFCL/GRPO_BFCL_{name}.py" for name in ("v1", "v2", "evaluate"))
LORA = ["--bf16", "true", "--use_cpu", "true", "--lora_r", 8, "--lora_alpha", 16]  # as in the GPU profile
ROUNDING = 2**-8  # of a bfloat16 number, relative


def start(folder: Path, script: str, *words, **environment) -> subprocess.Popen:
    words = [sys.executable, STAGE, script, *words]
    # vLLM asks for its version by the name vllm, with +cpu; the distribution of this build has another name.
    environment = os.environ | {"NOTES": str(folder / "notes.jsonl"), "PYTHONPATH": str(NAMES)} | environment
    log = open(folder / "log.txt", "a")
    return subprocess.Popen([str(word) for word in words], cwd=ROOT, env=environment, stdout=log, stderr=log)


def run(folder: Path, script: str, *words, **environment) -> list[dict]:
    """Run a stage to its end; returns its notes."""
    folder.mkdir(exist_ok=True, parents=True)
    code = start(folder, script, *words, **environment).wait(timeout=1800)
    assert code == 0, (folder / "log.txt").read_text()[-3000:]
    return runs.read_jsonl(folder / "notes.jsonl") if (folder / "notes.jsonl").exists() else []


def show(name: str, **figures) -> None:
    """A line for LOG.md."""
    shown = {key: f"{value:.2g}" if isinstance(value, float) else value for key, value in figures.items()}
    print(f"\n{name}: {', '.join(f'{key} {value}' for key, value in shown.items())}")


@pytest.fixture(scope="session")
def root(sft, tmp_path_factory):
    """A checkpoint that follows the format, in bfloat16 as a base from the hub is, and made by no stage."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("root") / "root"
    AutoModelForCausalLM.from_pretrained(sft, dtype=torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(sft).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def first(root, linear_data, tmp_path_factory):
    """The stage before: SFT with a LoRA, too small an update for bfloat16."""
    folder = tmp_path_factory.mktemp("first")
    few = ["--max_steps", 6, "--save_steps", 3, "--eval_steps", 3, "--heldout_rows", 2, "--learning_rate", 3e-5]
    run(folder, SFT, "--dataset", linear_data, "--base", root, "--output", folder / "SFT", *LORA, *few)
    return folder / "SFT"


def grpo_words(linear_data, base, *words) -> list:
    return ["--dataset", linear_data, "--base", base, "--use_vllm", "--patience", 0, *FEW[GRPO], *words]


@pytest.fixture(scope="session")
def second(first, linear_data, tmp_path_factory):
    """GRPO on it: folder, notes of the generations."""
    folder = tmp_path_factory.mktemp("second")
    words = grpo_words(linear_data, first, *LORA, "--output", folder / "GRPO-1K")
    return folder / "GRPO-1K", run(folder, GRPO, *words)


def generations(notes: list[dict]) -> list[dict]:
    return [row for row in notes if "apart" in row]


def test_vllm_has_the_weights_of_the_trainer_before_every_generation(first, second, root):
    """With a LoRA on a LoRA; the base keeps its bits, and the earlier update is in rollouts and in what is saved."""
    output, notes = second
    made = generations(notes)
    assert len(made) == 6 + 4  # rollouts, and held-out answers at 0, 2, 4, 6
    assert all(row["apart"] <= ROUNDING and not row["unknown"] for row in made)
    assert len({row["base"] for row in made}) == 1
    assert [row["engine"] for row in notes if "engine" in row] == [str(root)]
    assert {row["temperature"] for row in made} == {0.0, 1.0}
    facts = json.loads((output / "run.json").read_text())
    assert facts["root"] == str(root) and lora.rank(output / "adapter") == 16
    assert json.loads((first / "run.json").read_text())["update_kept"] < 0.9
    show("sync", generations=len(made), apart=max(row["apart"] for row in made), kept=facts["update_kept"])


def test_a_base_with_biases_gets_them_before_every_generation(linear_data, tmp_path):
    """Qwen2 and Qwen2.5: the biases of layers with a LoRA."""
    import torch
    from transformers import AutoModelForCausalLM

    random_base.save(tmp_path / "base", random_base.SMALL._replace(heads=1), kind="qwen2")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.bfloat16)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            weight.data.normal_()
    model.save_pretrained(tmp_path / "base")
    words = grpo_words(linear_data, tmp_path / "base", *LORA, "--output", tmp_path / "out")
    made = generations(run(tmp_path, GRPO, *words, "--max_steps", 2, "--max_completion_length", 16))
    assert len(made) >= 2 and all(row["apart"] <= ROUNDING and not row["unknown"] for row in made)
    show("sync of biases", generations=len(made), apart=max(row["apart"] for row in made))


@pytest.mark.parametrize("kind, mean, most", [("bfloat16", 0.02, 2.0), ("float32", 1e-4, 1e-2)])
def test_both_engines_give_a_token_the_same_probability(kind, mean, most, first, root, linear_data, tmp_path):
    """In bfloat16 within what its rounding does, in float32 nearly equal."""
    exact = ["--lora_r", 0, "--bf16", "false"] if kind == "float32" else LORA
    words = grpo_words(linear_data, root if kind == "float32" else first, *exact, "--output", tmp_path / "out")
    run(tmp_path, GRPO, *words, "--max_steps", 3, ENGINE=kind)
    rows = [row for row in runs.read_jsonl(tmp_path / "out" / "metrics.jsonl") if "reward" in row]
    name = "sampling/sampling_logp_difference"
    means, largest = [row[f"{name}/mean"] for row in rows], [row[f"{name}/max"] for row in rows]
    show(f"log-probabilities in {kind}", mean=max(means), max=max(largest), steps=len(rows))
    assert 0 < max(means) < mean and max(largest) < most


def test_the_base_keeps_its_bits_over_fifty_updates(root, linear_data, tmp_path):
    words = grpo_words(linear_data, root, *LORA, "--output", tmp_path / "out", "--reward", "random")
    words += ["--max_steps", 50, "--heldout_every", 50, "--save_steps", 50, "--max_completion_length", 16]
    made = generations(run(tmp_path, CONTROL, *words))
    assert len(made) == 52 and len({row["base"] for row in made}) == 1
    assert all(row["apart"] <= ROUNDING for row in made)
    size = sum(float((b @ a).square().sum()) for a, b in lora.read(tmp_path / "out" / "adapter").values()) ** 0.5
    assert size > 0.1  # a reward that always differs within a group has moved the policy
    facts = json.loads((tmp_path / "out" / "run.json").read_text())
    show("50 updates", update=size, kept=facts["update_kept"])


def test_a_killed_run_continues_to_the_same_weights(first, second, linear_data, tmp_path):
    """kill -9 after the first checkpoint, with vLLM; the checkpoint, the base and the draws are as they were."""
    output, whole = tmp_path / "GRPO-1K", second[0]
    words = grpo_words(linear_data, first, *LORA, "--output", output)
    killed, checkpoint = start(tmp_path, GRPO, *words), runs.partial_of(output) / "checkpoint-2" / training.MANIFEST
    while not checkpoint.exists() and killed.poll() is None:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, (tmp_path / "log.txt").read_text()[-3000:]
    (tmp_path / "notes.jsonl").unlink()
    made = generations(run(tmp_path, GRPO, *words, "--resume"))
    assert {row["base"] for row in made} == {row["base"] for row in generations(second[1])}
    for name in ("model.safetensors", "adapter/adapter_model.safetensors"):
        assert (output / name).read_bytes() == (whole / name).read_bytes(), name


def test_both_engines_write_the_same_greedy_completions(root, second, linear_data, tmp_path):
    """A base, and updates beside their root; the engine of one checkpoint is gone when that of the next one starts."""
    words = ["--checkpoints", root, second[0], BASE, "--dataset", linear_data, "--split", "train", "--samples", 0]
    texts = []
    for name, engine in (("vllm", ["--use_vllm"]), ("transformers", [])):
        table = tmp_path / name / "results.csv"
        notes = run(tmp_path / name, TEST, *words, *engine, "--results", table)
        files = sorted((tmp_path / name / "tests").glob("*.jsonl"))
        texts.append([row["text"] for path in files for row in runs.read_jsonl(path)])
        if engine:
            assert [(row["engine"], row["lora"], row["others"]) for row in notes] == [
                (str(root), False, 0), (str(root), True, 0), (str(BASE), False, 0)
            ]  # fmt: skip
        assert len(evaluation.read_rows(table)) == 3
    equal = sum(one == other for one, other in zip(*texts, strict=True))
    show("greedy completions", equal=equal, n=len(texts[0]))
    assert len(texts[0]) == 3 * 64 and equal >= 0.98 * len(texts[0])


def test_confidence_of_completions_from_vllm(first, linear_data, tmp_path):
    words = grpo_words(linear_data, first, "--lora_r", 8, "--output", tmp_path / "out", "--max_steps", 2)
    found = [row for row in run(tmp_path, HYBRID, *words) if "certainty_apart" in row]
    assert len(found) == 2 and all(row["completions"] == 8 and not row["kept"] for row in found)
    show("confidence", apart=max(row["certainty_apart"] for row in found))
    assert max(row["certainty_apart"] for row in found) < 1e-5


@pytest.fixture(scope="session")
def calls(made):
    """Small data sets of tool calls, one turn and several."""
    sizes = ("--sft_rows", 16, "--train_rows", 16, "--validation_rows", 4, "--test_rows", 4)
    creation = "BFCL/BFCL_dataset_creation.py"
    return {kind: made(f"bfcl_{kind}", creation, "--kind", kind, *sizes) for kind in ("single", "multi")}


def test_dialogues_stay_within_their_limits(calls, tmp_path):
    words = ["--dataset", calls["multi"], "--base", BASE, "--tags", "thesis", "--use_vllm", "--patience", 0]
    words += ["--max_steps", 2, "--num_generations", 4, "--per_device_train_batch_size", 8, "--heldout_rows", 4]
    words += ["--max_reply_tokens", 40, "--max_completion_length", 200, "--vllm_max_model_length", 800]
    made = generations(run(tmp_path, V2, *words, "--output", tmp_path / "out"))
    assert any(row["temperature"] for row in made) and not all(row["temperature"] for row in made)
    for row in made:
        assert row["limit"] <= 40 and max(row["lengths"]) <= row["limit"] and row["apart"] <= 2**-20
        assert max(row["prompts"]) + row["limit"] <= 800
    show("dialogues", calls=len(made), longest=max(max(row["lengths"]) for row in made))


def test_the_official_test_is_served_by_vllm(second, tmp_path):
    """bfcl's own command line against `vllm serve`, which takes the folder with its merged weights, and compiles."""
    words = ["--checkpoints", second[0], "--official", "--use_vllm", "--categories", "simple_python", "irrelevance"]
    run(
        tmp_path,
        OFFICIAL,
        *words,
        "--rows",
        2,
        "--minutes",
        15,
        "--results",
        tmp_path / "results.csv",
        TORCHDYNAMO_DISABLE="0",
    )
    rows = evaluation.read_rows(tmp_path / "results.csv")
    assert [(row["dataset"], row["n"]) for row in rows] == [("bfcl_irrelevance", "2"), ("bfcl_simple_python", "2")]


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """What a user with a GPU gets from the hub: a base with Qwen's tokenizer and template, two sources of problems."""
    folder, rows = tmp_path_factory.mktemp("hub"), problems.draw(problems.linear, "train", 80, 1)
    found = {"dapo": [{"prompt": row["question"], "solution": row["solution"]} for row in rows[:40]]}
    names = {"question": "problem", "working": "generated_solution"}
    found["openmath"] = [{new: row[old] for old, new in names.items()} | {"expected_answer": "7"} for row in rows[40:]]
    for name, lines in found.items():
        (folder / name).mkdir()
        (folder / name / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    random_base.save(folder / "Qwen3", random_base.SMALL)
    return folder


def test_every_stage_runs_with_the_settings_of_the_gpu(hub, calls, tmp_path):
    """Data, SFT, four GRPO scripts and the tests, with --profile gpu; each stage from the one before, two updates."""

    def stage(name: str, script: str, *words) -> None:
        notes = run(tmp_path / f"notes-{name}", script, "--profile", "gpu", *words, "--output", tmp_path / name)
        made, facts = generations(notes), json.loads((tmp_path / name / "run.json").read_text())
        assert all(row["apart"] <= ROUNDING for row in made) and len({row["base"] for row in made}) <= 1
        assert facts.get("root", str(hub / "Qwen3")) == str(hub / "Qwen3")
        assert bool(made) == facts["hyperparameters"].get("use_vllm", False)

    rows = ["--sft_rows", 16, "--train_rows", 16, "--validation_rows", 4, "--test_rows", 4]
    for name in ("dapo", "openmath"):
        words = ["--dataset", name, f"--{name}", hub / name, "--tokenizer", hub / "Qwen3", *rows]
        stage(name, "SFT/dataset_creation.py", *words)
    few = ["--use_cpu", "true", "--max_steps", 2, "--heldout_rows", 2, "--dataloader_pin_memory", "false"]
    short, long = ["--max_completion_length", 48], ["--max_reply_tokens", 24]
    stage("SFT", SFT, *few, *short, "--base", hub / "Qwen3", "--dataset", tmp_path / "openmath")
    few += ["--num_generations", 4, "--per_device_train_batch_size", 4, "--gradient_accumulation_steps", 2]
    few += ["--patience", 0]
    stage("GRPO-1K", GRPO, *few, *short, "--base", tmp_path / "SFT", "--dataset", tmp_path / "dapo")
    stage("Hybrid", HYBRID, *few, *short, "--base", tmp_path / "SFT", "--dataset", tmp_path / "dapo")
    stage("v1", V1, *few, *short, "--base", tmp_path / "Hybrid", "--dataset", calls["single"])
    stage("v2", V2, *few, *long, "--base", tmp_path / "v1", "--dataset", calls["multi"])
    assert lora.rank(tmp_path / "v2" / "adapter") == 4 * 32  # SFT, Hybrid, v1, v2

    table = ["--profile", "gpu", "--use_vllm", "--max_new_tokens", 32, "--results", tmp_path / "results.csv"]
    words = ["--checkpoints", hub / "Qwen3", tmp_path / "GRPO-1K", "--dataset", tmp_path / "dapo", "--samples", 2]
    run(tmp_path, TEST, *table, *words)
    words = ["--checkpoints", tmp_path / "v2", "--dataset", *calls.values(), "--categories", "none"]
    run(tmp_path, OFFICIAL, *table, *words, "--max_turn_steps", 2)
    assert {row["script"] for row in evaluation.read_rows(tmp_path / "results.csv")} == {
        "base",
        "GRPO-1K",
        "v2",
        "never-calls",
    }
