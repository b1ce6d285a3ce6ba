"""Faults: plain mistakes in settings and data, a full disk, files without permission, damaged checkpoints, two runs in
one folder, divergence, interruptions. Each ends in one line, and nothing is lost.
"""

import contextlib
import ctypes
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import fuzz
import pytest
from conftest import BASE, FEW, SFT, call, one_line
from tqdm import tqdm

from common import data, evaluation, kinds, models, runs, training
from SFT import sources
from tiny import problems
from ToolUse.tooluse import layouts

CREATE, TEST = "SFT/dataset_creation.py", "GRPO_indomain/GRPO_test.py"


@contextlib.contextmanager
def refused(capsys, *words: str):
    """What is inside ends the script with code 2 and one line of error that holds the words."""
    with pytest.raises(SystemExit) as end:
        yield
    one_line(subprocess.CompletedProcess((), end.value.code, "", capsys.readouterr().err), *words)


def test_more_problems_than_exist_are_refused(capsys, monkeypatch):
    monkeypatch.setattr(problems, "REPEATS", 1000)
    with fuzz.alarm(60), refused(capsys, "1000 different problems for test", "more than 40 exist", "fewer rows"):
        problems.draw(problems.linear, "test", 1000, 1, level=(1, 2))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_takes_long_shows_a_bar(tmp_path, monkeypatch):
    """Drawing of problems, reading of tool calls, and counting of tokens, on a terminal."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    for module in (problems, data):
        monkeypatch.setattr(module, "tqdm", lambda *words, delay, **how: tqdm(*words, **how))  # at once
    problems.draw(problems.linear, "test", 3, 1)
    (tmp_path / "rows.jsonl").write_text("null\n" * 9)
    layouts.load("messages", str(tmp_path))
    tokenizer, tag_set = models.load_tokenizer(str(BASE))
    data.token_lengths([GOOD], kinds.MATH, tokenizer, tag_set, completions=False)
    for bar in ("test: 100%", "messages: 9 rows", "counting tokens: 100%"):
        assert bar in sys.stderr.getvalue()


def test_a_hub_that_does_not_answer_is_said_at_once(monkeypatch, capsys):
    import httpx
    import huggingface_hub

    def question(timeout):
        raise httpx.ConnectError("no network")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    models.ask_hub(question)
    assert huggingface_hub.constants.HF_HUB_OFFLINE and "does not answer" in capsys.readouterr().out
    with refused(capsys, "cannot load the tokenizer of nobody/nothing", "--base"):
        models.load_tokenizer("nobody/nothing")


# Data


def written(folder: Path, lines: list[str], kind: str = "math") -> str:
    """A data set with these lines as its only split, recorded as they are."""
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(f"{line}\n" for line in lines))
    with contextlib.suppress(ValueError):
        fingerprint = data.rows_fingerprint([json.loads(line) for line in lines])
        splits = {"train": {"rows": len(lines), "fingerprint": fingerprint}}
        runs.write_json(folder / "run.json", {"kind": kind, "splits": splits})
    (folder / "run.json").exists() or runs.write_json(folder / "run.json", {"kind": kind, "splits": {"train": {}}})
    return str(folder)


GOOD = {"question": "1+1?", "solution": "2"}
CALLS = {"functions": "[]", "category": "simple_python"}
ASKED = [{"role": "user", "content": "1+1?"}]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"question": "1+1?", "solu', ("line 2", "JSON")),
        ("[1, 2]", ("not JSON objects",)),
        (json.dumps(GOOD | {"solution": 2}), ("solution", "text")),
        (json.dumps(GOOD | {"question": None}), ("question", "text")),
        (json.dumps({"question": "1+1?"}), ("without solution",)),
    ],
)
def test_a_malformed_row_is_refused(line, words, tmp_path, capsys):
    with refused(capsys, "train.jsonl", *words):
        data.read_split(written(tmp_path / "set", [json.dumps(GOOD), line]), "train")


@pytest.mark.parametrize("prompt", [None, [], "1+1?", [None], [{"role": "user"}], [{"role": "user", "content": None}]])
def test_a_malformed_prompt_is_refused(prompt, tmp_path, capsys):
    lines = [json.dumps(GOOD | CALLS | {"prompt": ASKED}), json.dumps(GOOD | CALLS | {"prompt": prompt})]
    with refused(capsys, "train.jsonl", "prompt"):
        data.read_split(written(tmp_path / "set", lines, "calls"), "train")
    assert len(data.read_split(written(tmp_path / "good", lines[:1], "calls"), "train").rows) == 1


def test_an_unknown_kind_is_refused(tmp_path, capsys):
    with refused(capsys, "'chess' is not a kind", "math, choice, calls, dialogue, tools"):
        data.read_split(written(tmp_path / "set", [json.dumps(GOOD)], "chess"), "train")


def test_a_checkpoint_is_no_data_set(capsys):
    with refused(capsys, "tiny-base", "not a data set"):
        data.read_split(str(BASE), "train")


def test_rows_without_an_answer_are_left_out(tmp_path, capsys):
    answers = ["1+1=2\n#### 2", "no mark", None, "#### ", "2+2=4\n#### 1,004"]
    rows = [{"question": f"question {i}", "answer": answer} for i, answer in enumerate(answers)]
    rows += [{"question": None, "answer": "#### 5"}, rows[0]]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = sources.load_source("gsm8k", str(tmp_path))
    assert [row["solution"] for row in found["train"]] == ["2", "1004"] and not found["test"]
    assert "left out 4 without" in capsys.readouterr().out


def test_answers_may_be_numbers(tmp_path):
    (tmp_path / "test.jsonl").write_text('{"problem": "1+1?", "answer": 2}\n')
    assert sources.load_source("math500", str(tmp_path))["test"] == [GOOD]


@pytest.mark.parametrize("damage", [b"\xff\xfe,1\n", b'"open', b"a,b\n", b"1," * 40 + b"\n", b"x" * 200_000])
def test_a_damaged_results_file_is_refused(damage, tmp_path, capsys):
    path = tmp_path / "results.csv"
    evaluation.save_rows([dict.fromkeys(evaluation.COLUMNS, "1")], path)
    with open(path, "ab") as file:
        file.write(damage)
    with refused(capsys, "results.csv", "delete it"):
        evaluation.read_rows(path)


@pytest.mark.parametrize("size", [0, 4, 100, 10**6])
def test_truncated_weights_are_refused(size, linear_data, tmp_path):
    base = shutil.copytree(BASE, tmp_path / "base")
    with open(base / "model.safetensors", "r+b") as file:
        file.truncate(size)
    done = call(SFT, "--dataset", linear_data, "--base", base, "--output", tmp_path / "SFT", *FEW[SFT])
    one_line(done, "cannot load the weights", str(base))
    assert not (tmp_path / "SFT").exists()


@pytest.mark.parametrize("size", [1000, 2000])
def test_a_vocabulary_that_does_not_fit_the_weights_is_refused(size, linear_data, tmp_path):
    """Fewer tokens than the tokenizer has, and more than the weights have."""
    base = shutil.copytree(BASE, tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"vocab_size": size}))
    done = call(SFT, "--dataset", linear_data, "--base", base, "--output", tmp_path / "SFT", *FEW[SFT])
    one_line(done, str(base), "has token 1023" if size < 1024 else "cannot load the weights")
    assert not (tmp_path / "SFT").exists()


@pytest.mark.parametrize("special", [True, False])
def test_a_special_token_without_weights_is_no_fault(special, tmp_path):
    """Gemma 3's tokenizer has a token for images, and its smallest models have no weights for it."""
    from transformers import AddedToken, AutoTokenizer

    base = shutil.copytree(BASE, tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens([AddedToken("<image>", special=special)], special_tokens=special)
    tokenizer.save_pretrained(base)
    if special:
        assert len(models.load_tokenizer(str(base), "thesis")[0]) == 1025
    else:
        with pytest.raises(SystemExit):
            models.load_tokenizer(str(base), "thesis")


# Checkpoints


@contextlib.contextmanager
def signalled(number: int, step: int):
    """The process gets a signal when the checkpoint of that step is complete."""
    complete = training.write_manifest

    def interrupt(folder: Path):
        complete(folder)
        if folder.name == f"checkpoint-{step}":
            os.kill(os.getpid(), number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_manifest", interrupt)
        yield


@pytest.fixture(scope="module")
def interrupted(linear_data, tmp_path_factory):
    """The working folder of the run of the fixture `sft`, interrupted behind its second checkpoint."""
    output = tmp_path_factory.mktemp("interrupted") / "cut"
    with signalled(signal.SIGINT, 4):
        done = call(SFT, "--dataset", linear_data, "--output", output, *FEW[SFT])
    one_line(done, "interrupted", "continue", SFT, "--resume", code=130)
    assert not output.exists()
    return runs.partial_of(output)


def copied(partial: Path, folder: Path) -> Path:
    """A copy of a working folder; its checkpoints, of which no file is ever changed in place, take no room."""
    shutil.copytree(partial, folder, ignore=shutil.ignore_patterns("checkpoint-*"))
    for checkpoint in partial.glob("checkpoint-*"):
        shutil.copytree(checkpoint, folder / checkpoint.name, copy_function=os.link)
    return folder


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    path.unlink()
    if how == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "changed":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "file, how",
    [
        ("model.safetensors", "changed"),
        ("optimizer.pt", "truncated"),
        ("rng_state.pth", "missing"),
        ("trainer_state.json", "truncated"),
        ("manifest.json", "missing"),
        ("manifest.json", "truncated"),
    ],
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(file, how, interrupted, tmp_path, capsys):
    partial = copied(interrupted, tmp_path / "cut.partial")
    damage(partial / "checkpoint-4" / file, how)
    assert training.newest(partial) == partial / "checkpoint-2"
    assert not (partial / "checkpoint-4").exists()
    assert (file, how) == ("manifest.json", "missing") or file in capsys.readouterr().out


@pytest.mark.slow
def test_without_an_intact_checkpoint_the_folder_to_delete_is_named(interrupted, tmp_path, capsys):
    partial = copied(interrupted, tmp_path / "cut.partial")
    for folder in partial.glob("checkpoint-*"):
        damage(folder / "optimizer.pt", "truncated")
    with refused(capsys, "checkpoint-4", "optimizer.pt", "delete", "cut.partial"):
        training.newest(partial)


@pytest.mark.slow
def test_damaged_settings_are_said(interrupted, linear_data, tmp_path):
    partial = copied(interrupted, tmp_path / "cut.partial")
    damage(partial / "settings.json", "truncated")
    done = call(SFT, "--dataset", linear_data, "--output", tmp_path / "cut", *FEW[SFT], "--resume")
    one_line(done, "settings.json is damaged", "delete", "cut.partial")
    assert (partial / "checkpoint-4").exists()


@pytest.mark.slow
def test_terminated_says_how_to_continue(linear_data, tmp_path):
    words = ["--dataset", linear_data, "--output", tmp_path / "SFT", *FEW[SFT]]
    with signalled(signal.SIGTERM, 2):
        one_line(call(SFT, *words), "terminated", "continue", SFT, "--resume", code=143)
    assert training.newest(tmp_path / "SFT.partial").name == "checkpoint-2"


def test_a_second_run_in_the_same_folder_is_refused(linear_data, tmp_path):
    from filelock import FileLock

    words = ["--dataset", linear_data, "--output", tmp_path / "SFT", *FEW[SFT]]
    begun = tmp_path / "SFT.partial" / "checkpoint-2"
    begun.mkdir(parents=True)
    with FileLock(f"{tmp_path / 'SFT.partial'}.lock"):
        for more in ((), ("--resume",), ("--overwrite",)):
            one_line(call(SFT, *words, *more), "another process", "SFT.partial")
    assert begun.exists()


@pytest.mark.slow
@pytest.mark.parametrize("saving", [("steps", "--save_steps", 2), ("no",)])
def test_divergence_is_not_saved(saving, linear_data, tmp_path):
    """No weights that are not finite, before the first line of the log too."""
    from safetensors.torch import load_file

    words = ["--dataset", linear_data, "--output", tmp_path / "SFT", "--max_steps", 16, "--logging_steps", 100]
    words += ["--eval_strategy", "no", "--load_best_model_at_end", "false", "--heldout_rows", 2]
    words += ["--learning_rate", 1e4, "--max_grad_norm", 0, "--save_strategy", *saving]
    one_line(call(SFT, *words), "lower --learning_rate")
    assert not (tmp_path / "SFT").exists()
    saved = [weight for path in tmp_path.rglob("*.safetensors") for weight in load_file(path).values()]
    assert all(weight.isfinite().all() for weight in saved)


@pytest.mark.slow
def test_weights_that_grew_beyond_use_are_not_saved(linear_data, tmp_path):
    """They are finite, and so may the loss be."""
    words = ["--dataset", linear_data, "--output", tmp_path / "SFT", *FEW[SFT], "--learning_rate", 1e9]
    one_line(call(SFT, *words), "training diverged", "lower --learning_rate")
    assert not (tmp_path / "SFT").exists()


def test_a_loss_that_ends_far_above_its_start_is_said(capsys):
    for losses, said in (([2.0, 1.0], False), ([0.5, 1.2], False), ([0.0, 0.1], False), ([1.0, 5.0], True)):
        training.say_ruined([{"loss": loss} for loss in losses] + [{"eval_loss": 9.0}])
        assert ("the loss rose" in capsys.readouterr().out) == said
    training.say_ruined([])


# Disk and permissions


def forked(script: str, *words, largest: int) -> subprocess.CompletedProcess:
    """The same in a copy of this process in which no file may become larger than so many bytes."""
    read, write = os.pipe()
    if not (child := os.fork()):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
            done = call(script, *words)
            os.write(write, json.dumps([done.returncode, done.stdout, done.stderr]).encode())
        except BaseException:
            os.write(write, json.dumps([1, "", traceback.format_exc()]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        code, out, errors = json.load(answer)
    os.waitpid(child, 0)
    return subprocess.CompletedProcess(words, code, out, errors)


@contextlib.contextmanager
def permissions():
    """Permissions hold for root too: on Linux a thread can put off its right to pass over them."""
    if os.geteuid() != 0:
        yield
        return
    system, header, rights = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert system.capget(header, rights) == 0
    before, rights[0] = rights[0], rights[0] & ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert system.capset(header, rights) == 0
    try:
        yield
    finally:
        rights[0] = before
        assert system.capset(header, rights) == 0


SMALL = ["--dataset", "linear", "--sft_rows", 4, "--train_rows", 4, "--validation_rows", 4, "--test_rows", 4]


def test_a_full_disk_at_data_creation(tmp_path):
    done = forked(CREATE, "--output", tmp_path / "linear", *SMALL, "--sft_rows", 400, largest=4000)
    one_line(done, "disk space", CREATE)
    assert not (tmp_path / "linear").exists()
    assert call(CREATE, "--output", tmp_path / "linear", *SMALL, "--sft_rows", 400, "--resume").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("largest", [8 * 10**6, 60_000])
def test_a_full_disk_at_a_checkpoint(largest, interrupted, linear_data, tmp_path):
    partial = copied(interrupted, tmp_path / "cut.partial")
    words = ["--dataset", linear_data, "--output", tmp_path / "cut", *FEW[SFT], "--resume"]
    one_line(forked(SFT, *words, largest=largest), "disk space", "--resume")
    assert not (tmp_path / "cut").exists() and training.newest(partial).name == "checkpoint-4"


def test_a_full_disk_at_a_test(linear_data, tmp_path):
    words = ["--checkpoints", BASE, "--dataset", linear_data, "--rows", 4, "--samples", 0, "--max_new_tokens", 40]
    path = tmp_path / "results.csv"
    one_line(forked(TEST, *words, "--results", path, largest=100), "disk space", TEST)
    assert not path.exists() and not list(evaluation.read_rows(path))


def test_folders_without_permission(linear_data, tmp_path):
    tested = ["--checkpoints", BASE, "--dataset", linear_data, "--rows", 1, "--samples", 0, "--max_new_tokens", 2]
    tmp_path.chmod(0o555)
    with permissions():
        with pytest.raises(PermissionError):
            (tmp_path / "any").touch()
        for script, *words in (
            (CREATE, *SMALL, "--output", tmp_path / "linear"),
            (SFT, "--dataset", linear_data, "--output", tmp_path / "SFT"),
            (TEST, *tested, "--results", tmp_path / "results.csv"),
        ):
            one_line(call(script, *words), str(tmp_path), "Permission denied", "permissions")
    tmp_path.chmod(0o755)
