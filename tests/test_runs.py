"""The contract between stages: outputs whole or absent, one clear line for bad input, exact resume after a kill."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import BASE, FEW, GRPO, ROOT, SFT, call, load_script, one_line

from common import data, evaluation, generation, models, prompts, runs, settings, training
from SFT import sources

CREATE = "SFT/dataset_creation.py"
TEST = "GRPO_indomain/GRPO_test.py"
EVERY_WEIGHT = SimpleNamespace(lora_r=0, bf16=False, load_in_4bit=False)


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.slow
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
            assert set(sample["rewards"]) == {"format_exact", "answer_correct"} and sample["truth"]


@pytest.mark.slow
@pytest.mark.parametrize("script", [SFT, GRPO])
def test_a_killed_run_resumes_to_the_same_weights(script, linear_data, sft, grpo, tmp_path):
    """kill -9 after a checkpoint, then a damaged and a half-written one beside it: the bits of an uninterrupted run."""
    output, whole = tmp_path / "run", {SFT: sft, GRPO: grpo}[script]
    words = ["--dataset", linear_data, "--output", output, *FEW[script]]
    words += ["--base", sft] if script == GRPO else []
    command = [sys.executable, str(ROOT / script), *map(str, words)]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    whole_one, damaged, cut_off = (runs.partial_of(output) / f"checkpoint-{step}" for step in (4, 5, 6))
    while not (whole_one / training.MANIFEST).exists() and killed.poll() is None:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert not output.exists()
    shutil.copytree(whole_one, damaged)
    (damaged / "trainer_state.json").write_text('{"global_st')
    shutil.copytree(damaged, cut_off)
    (cut_off / training.MANIFEST).unlink()

    one_line(call(script, *words), "interrupted run", "--resume")
    one_line(call(script, *words, "--resume", "--learning_rate", 0.5), "learning_rate")
    done = call(script, *words, "--resume")
    assert done.returncode == 0, done.stderr
    assert "checkpoint-5 is damaged (trainer_state.json); continuing from checkpoint-4" in done.stdout
    assert weights(output) == weights(whole)

    def logged(folder):
        rows = runs.read_jsonl(folder / "metrics.jsonl")
        return [(row["step"], row.get("loss"), row.get("reward"), row.get("heldout_accuracy")) for row in rows]

    assert logged(output) == logged(whole)


def test_settings_are_recorded_as_they_are_given(linear_data, tmp_path, monkeypatch):
    """Those that follow from the base too, such as vLLM's stop tokens: --resume compares the record with a command."""

    class Reached(Exception):
        pass

    def stop_here(args, *model):
        set_stop_tokens(args, *model)
        assert args.generation_kwargs["stop_token_ids"]
        raise Reached

    set_stop_tokens = models.set_stop_tokens
    monkeypatch.setattr(models, "check_device", lambda args: None)  # as if there were a GPU
    monkeypatch.setattr(models, "set_stop_tokens", stop_here)
    script, output = load_script(GRPO), tmp_path / "out"
    words = ["--dataset", linear_data, "--base", BASE, "--output", output, "--use_vllm"]
    args, again = (settings.parse(script.Args, "", argv=[str(word) for word in words]) for _ in range(2))
    with pytest.raises(Reached):
        script.main(args)
    recorded = json.loads((runs.partial_of(output) / "settings.json").read_text())
    assert runs.changed(recorded, runs.settings_of(again)) is None
    assert runs.changed({"num_processes": 1} | recorded, runs.settings_of(again)) is None  # of an older run


def test_several_processes_are_refused_before_anything_else(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for script in (CREATE, SFT, GRPO, TEST):
        one_line(call(script, "--output", tmp_path / "out"), "WORLD_SIZE is 2", "start them with python", "verl")
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("WORLD_SIZE", "1")
    runs.check_one_process()


@pytest.mark.parametrize("load", [models.load_for_generation, lambda base: models.load_model(base, EVERY_WEIGHT)])
def test_whoever_loads_a_model_keeps_freed_memory(monkeypatch, load):
    calls = []
    monkeypatch.setattr(runs, "keep_memory", lambda: calls.append(True))
    load(str(BASE))
    assert calls == [True]


@pytest.mark.slow
@pytest.mark.parametrize("script", [SFT, GRPO])
def test_a_finished_output_is_kept(script, linear_data, sft, grpo):
    output = {SFT: sft, GRPO: grpo}[script]
    words = ["--dataset", linear_data, "--output", output, *FEW[script]]
    words += ["--base", sft] if script == GRPO else []
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    one_line(call(script, *words), "exists", "--overwrite")
    one_line(
        call(script, *words, "--resume", "--learning_rate", 0.5), "--learning_rate", "now it is 0.5", "--overwrite"
    )
    done = call(script, *words, "--resume")
    assert done.returncode == 0 and "finished, with the same settings" in done.stdout and not done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in output.iterdir()}


def test_a_finished_data_set_is_kept(tmp_path):
    output = tmp_path / "linear"
    few = ["--sft_rows", 4, "--train_rows", 4, "--validation_rows", 2, "--test_rows", 2]
    words = [CREATE, "--dataset", "linear", "--output", output, *few]

    def rows():
        return (output / "train.jsonl").read_text()

    assert call(*words, "--resume").returncode == 0  # nothing to continue: it is made
    first = rows()
    one_line(call(*words), "exists", "--overwrite")
    one_line(call(*words, "--resume", "--seed", 1), "--seed 3407, now it is 1", "--overwrite")
    done = call(*words, "--resume")
    assert done.returncode == 0 and "finished, with the same settings" in done.stdout and rows() == first
    assert call(*words, "--overwrite", "--seed", 1).returncode == 0 and rows() != first
    (output / "run.json").unlink()
    one_line(call(*words, "--overwrite"), "not made by these scripts")


def test_missing_and_broken_inputs(linear_data, tmp_path):
    def grpo_with(*words):
        output = tmp_path / "out"
        done = call(GRPO, "--output", output, *words)
        assert not output.exists() and not runs.partial_of(output).exists()
        return done

    base, dataset = ("--base", BASE), ("--dataset", linear_data)
    one_line(grpo_with("--dataset", tmp_path / "none", *base), "does not exist", "dataset_creation.py")
    one_line(grpo_with(*dataset, "--base", "no/such/folder"), "no/such/folder")
    one_line(grpo_with(*dataset, *base, "--per_device_train_batch_size", 10, "--num_generations", 4), "divisible")
    one_line(grpo_with(*dataset, *base, "--max_prompt_tokens", 20), "nothing left", "longer than 20 tokens")
    one_line(grpo_with(*dataset, *base, "--use_vllm"), "CUDA")
    one_line(grpo_with(*dataset, *base, "--load_in_4bit"), "LoRA")
    one_line(grpo_with(*dataset, *base, "--tags", "none"), "thesis or think")
    one_line(grpo_with(*dataset, *base, "--no_such_option", 1), "--no_such_option", "--help")
    one_line(grpo_with(*dataset, *base, "--learning_rate", "fast"), "learning_rate")
    one_line(grpo_with(*dataset, *base, "--profile", "huge"), "tiny or gpu")

    broken = tmp_path / "broken"
    shutil.copytree(BASE, broken)
    (broken / "model.safetensors").unlink()
    one_line(grpo_with(*dataset, "--base", broken), "lacks", "SFT_train.py")

    no_tags = tmp_path / "no-tags"
    shutil.copytree(BASE, no_tags)
    (no_tags / "chat_template.jinja").write_text(prompts.CHATML)
    one_line(grpo_with(*dataset, "--base", no_tags), "which tags")

    special = tmp_path / "special"
    shutil.copytree(BASE, special)
    tokenizer = json.loads((special / "tokenizer.json").read_text())
    for token in tokenizer["added_tokens"]:
        token["special"] = True
    (special / "tokenizer.json").write_text(json.dumps(tokenizer))
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
    output = ("--output", tmp_path / "made")
    one_line(call(CREATE, "--dataset", "gsm8k", "--gsm8k", folder, *output), "no column question")
    one_line(call(CREATE, "--dataset", "gsm8k", "--gsm8k", tmp_path / "none", *output), "no such folder")
    one_line(call(CREATE, "--dataset", "gsm8k", *output), "--gsm8k FOLDER")
    one_line(call(CREATE, "--dataset", "poems", *output), "openmath")
    (folder / "train.jsonl").write_text('{"problem": "?", "expected_answer": "x", "generated_solution": ""}\n')
    one_line(call(CREATE, "--dataset", "openmath", "--openmath", folder, *output), "empty")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "error, code, words",
    [
        (KeyboardInterrupt(), 130, ["interrupted; continue with: python SFT/dataset_creation.py", "--resume"]),
        (signal.SIGTERM, 143, ["terminated; continue with: python SFT/dataset_creation.py", "--resume"]),
        (PermissionError(errno.EACCES, "Permission denied", "a.jsonl"), 2, ["could not open a.jsonl", "permissions"]),
        (OSError(errno.ENOSPC, "No space left on device"), 2, ["free some disk space", "then repeat: python SFT/"]),
    ],
)
def test_what_stops_a_script_is_said_in_one_line(error, code, words, tmp_path, monkeypatch):
    def stop(*_):
        if isinstance(error, signal.Signals):
            signal.raise_signal(error)
        raise error

    monkeypatch.setattr(data, "write_splits", stop)
    one_line(call(CREATE, "--dataset", "linear", "--output", tmp_path / "out"), *words, code=code)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_nothing_to_learn_is_said(linear_data, tmp_path):
    words = ["--dataset", linear_data, "--output", tmp_path / "out", *FEW[GRPO]]
    done = call(GRPO, *words, "--base", BASE, "--max_completion_length", 8, "--max_steps", 3, "--patience", 2)
    one_line(done, "nothing can be learned", "truncated")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_sample_holds_the_truth_of_its_own_row(tmp_path, monkeypatch):
    """All rows ask the same question; the reward tells which of their solutions the trainer has given it."""

    def told(completions, solution, **columns):
        return [float(truth) for truth in solution]

    def nothing(completions, **columns):
        return [0.0] * len(completions)

    rows = [{"question": "1+1?", "solution": str(n)} for n in range(8)]
    folder, script = tmp_path / "set", load_script(GRPO)
    folder.mkdir()
    splits = data.write_splits(folder, {"train": rows, "validation": rows})
    runs.write_json(folder / "run.json", {"kind": "math", "splits": splits})
    monkeypatch.setattr(script, "REWARDS", [told, nothing])
    words = ["--dataset", folder, "--base", BASE, "--output", tmp_path / "out", *FEW[GRPO]]
    words += ["--max_steps", 4, "--max_completion_length", 8, "--patience", 0]
    script.main(settings.parse(script.Args, "", argv=[str(word) for word in words]))
    samples = runs.read_jsonl(tmp_path / "out" / "samples.jsonl")
    assert len({sample["truth"] for sample in samples}) == 4
    assert all(sample["rewards"]["told"] == float(sample["truth"]) for sample in samples)


@pytest.mark.slow
def test_test_script_writes_rows_and_items(linear_data, sft, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path / "outputs")
    monkeypatch.setattr(evaluation, "RESULTS", tmp_path / "results.csv")
    for _ in range(2):
        done = call(TEST, "--checkpoints", BASE, sft, "--dataset", linear_data, "--samples", 2, "--seed", 5)
        assert done.returncode == 0, done.stderr
    rows = evaluation.read_rows(tmp_path / "results.csv")
    assert [(row["script"], row["decoding"]) for row in rows] == [
        (script, decoding) for script in ("SFT", "base") for decoding in ("greedy", "sampled")
    ]
    assert [row["seed"] for row in rows] == ["3407", "3407", "0", "5"]  # nothing is random in the base's greedy one
    assert all(row["n"] == "8" and row["base"] == "tiny-base" and row["command"] for row in rows)
    tested = [runs.read_jsonl(path) for path in sorted((tmp_path / "outputs" / "tests").glob("*.jsonl"))]
    assert [len(lines) for lines in tested] == [8, 16, 8, 16]
    for row, lines in zip(rows, tested):
        key = {name: row[name] for name in evaluation.KEY}
        assert all({name: str(line[name]) for name in evaluation.KEY} == key for line in lines)


def test_resume_skips_what_is_tested(linear_data, tmp_path, monkeypatch):
    one, other, table = BASE, tmp_path / "other", tmp_path / "results.csv"
    shutil.copytree(BASE, other)
    words = [TEST, "--checkpoints", one, other, "--dataset", linear_data, "--rows", 2, "--max_new_tokens", 4]
    words += ["--samples", 0, "--results", table, "--resume"]
    assert call(*words).returncode == 0
    before, asked, generator = table.read_text(), [], generation.generator
    monkeypatch.setattr(generation, "generator", lambda folder, *rest: asked.append(folder) or generator(folder, *rest))
    assert call(*words).stdout.count("already tested, skipped") == 2 and not asked
    assert table.read_text() == before
    assert call(*words, "--samples", 1).returncode == 0 and asked == [str(one), str(other)]
    assert [row["decoding"] for row in evaluation.read_rows(table)] == ["greedy", "sampled"] * 2
    rows = [*words[: words.index("--rows")], *words[words.index("--rows") + 2 :], "--rows", 3]
    assert "skipped" not in call(*rows).stdout and asked[2:] == [str(one), str(other)]
    assert call(*words).returncode == 0 and asked[4:] == [str(one), str(other)]
    for path in (tmp_path / "tests").glob("*other*greedy.jsonl"):
        os.utime(path, (0, 0))  # older than its checkpoint, which was trained again since
    assert call(*words).stdout.count("already tested, skipped") == 1 and asked[6:] == [str(other)]


def test_an_input_that_is_not_finished_is_continued_first(tmp_path, capsys):
    with pytest.raises(SystemExit):
        runs.require(tmp_path / "SFT", "make run")
    assert "does not exist; first run: make run" in capsys.readouterr().err
    (tmp_path / "SFT.partial").mkdir()
    with pytest.raises(SystemExit):
        runs.require(tmp_path / "SFT", "make run")
    assert "is not finished; first repeat the command that began it, with --resume" in capsys.readouterr().err


def test_resume_notices_that_the_base_or_the_data_were_made_again(linear_data, sft, tmp_path):
    start, rows = shutil.copytree(sft, tmp_path / "SFT"), shutil.copytree(linear_data, tmp_path / "rows")
    words = [SFT, "--dataset", rows, "--base", start, *FEW[SFT], "--output", tmp_path / "out", "--resume"]
    assert call(*words).returncode == 0
    assert "is finished" in call(*words).stdout

    def change(folder, **facts):
        record = json.loads((folder / "run.json").read_text())
        runs.write_json(folder / "run.json", record | facts)

    splits = json.loads((rows / "run.json").read_text())["splits"]
    change(rows, splits=splits | {"test": {"rows": 1, "fingerprint": "of other rows"}}, seconds=1)
    assert "is finished" in call(*words).stdout  # nothing is trained on the test
    change(rows, splits=splits | {"train": {"rows": 1, "fingerprint": "of other rows"}})
    one_line(call(*words), "made from an earlier", "rows, which was made again", "--overwrite")
    change(rows, splits=splits)
    change(start, seconds=7)
    one_line(call(*words), "SFT, which was made again", "--overwrite")
    os.rename(tmp_path / "out", tmp_path / "out.partial")  # as an interrupted run
    (tmp_path / "out.partial" / "checkpoint-1").mkdir()
    recorded = json.loads((tmp_path / "out.partial" / "run.json").read_text())
    settings_then = recorded["hyperparameters"] | {"inputs": recorded["inputs"]}
    runs.write_json(tmp_path / "out.partial" / "settings.json", settings_then)
    one_line(call(*words), "was started from an earlier", "without --resume")


def test_a_row_may_hold_characters_that_look_like_line_ends(tmp_path):
    rows = [{"question": "a\u2028b\x85c\x0bd\re", "solution": "1"}]
    folder = tmp_path / "set"
    folder.mkdir()
    facts = data.write_splits(folder, {"train": rows})
    runs.write_json(folder / "run.json", {"kind": "math", "splits": facts})
    assert data.read_split(str(folder), "train")[0] == rows


def test_split_rows_are_disjoint():
    rows = {"train": [{"question": str(i)} for i in range(100)], "test": []}
    splits = sources.split_rows(rows, {"sft": 30, "train": 30, "validation": 10, "test": 10}, seed=1)
    seen = [row["question"] for split in splits.values() for row in split]
    assert len(seen) == len(set(seen)) == 80


def test_a_curve_goes_on_with_its_run_and_a_new_run_has_a_new_one(tmp_path):
    script, output = load_script(GRPO), tmp_path / "run"

    def begun(*words) -> str:
        args = settings.parse(script.Args, "", argv=["--output", str(output), "--report_to", "tensorboard", *words])
        runs.start(args)
        while runs._locks:
            runs._locks.pop().release()
        return args.run_name

    first = begun()
    (runs.partial_of(output) / "checkpoint-2").mkdir()
    time.sleep(1)  # a name has the second of its start
    assert begun("--resume") == first and begun("--overwrite") not in (first, None)
    assert begun("--run_name", "mine", "--overwrite") == "mine"


def test_a_library_of_report_to_that_is_missing_is_one_line(linear_data, tmp_path, monkeypatch):
    def missing(name):
        raise models.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(models.importlib.metadata, "version", missing)
    words = ["--dataset", linear_data, "--base", BASE, "--output", tmp_path / "out"]
    one_line(call(GRPO, *words, "--report_to", "tensorboard"), "tensorboard", "pip install -r requirements/demo.txt")
    one_line(call(GRPO, *words, "--report_to", "mlflow"), "choose none, tensorboard, wandb")
    assert not list(tmp_path.glob("out*"))
