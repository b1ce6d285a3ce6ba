"""lm-evaluation-harness and GRPO_test.py give a checkpoint the same scores on the same problems: make test-harness."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BASE, ROOT, call

from common import prompts, runs

TEST, TASKS = "GRPO_indomain/GRPO_test.py", ROOT / "evaluation" / "lm_eval"
TINY_GRPO = ROOT / "resources" / "tiny-grpo"
TOKENS = 160  # of a completion, in both
HALF_A_POINT = 0.005


@pytest.fixture(scope="session")
def problems(made):
    """200 test problems of each task on linear systems."""
    few = ("--sft_rows", 16, "--train_rows", 16, "--validation_rows", 4, "--test_rows", 200)
    creation = "SFT/dataset_creation.py"
    names = ("linear", "linear_sum")
    return {name: made(name, creation, "--profile", "tiny", "--dataset", name, *few) for name in names}


def by_lm_eval(checkpoint: Path, task: str, data: Path, output: Path, *more) -> list[tuple[float, float]]:
    """(strict, flexible) of each problem, in the order of the file."""
    words = [sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={checkpoint}"]
    words += ["--tasks", task, "--include_path", TASKS, "--apply_chat_template", "--device", "cpu"]
    words += [
        "--batch_size",
        100,
        "--gen_kwargs",
        f"max_gen_toks={TOKENS}",
        "--metadata",
        json.dumps({"folder": str(data)}),
    ]
    words += ["--output_path", output, "--log_samples", *more]
    done = subprocess.run([*map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    (samples,) = output.rglob("samples_*.jsonl")
    rows = sorted(runs.read_jsonl(samples), key=lambda row: row["doc_id"])
    return [(row["strict"], row["flexible"]) for row in rows]


def by_our_test(checkpoint: Path, data: Path, output: Path, *more) -> list[tuple[float, float]]:
    words = ["--profile", "tiny", "--checkpoints", checkpoint, "--dataset", data, "--samples", 0, "--show", 0]
    done = call(TEST, *words, "--max_new_tokens", TOKENS, "--results", output / "results.csv", *more)
    assert done.returncode == 0, done.stderr
    (completions,) = (output / "tests").glob("*.jsonl")
    return [(row["correct"], row["flexible"]) for row in runs.read_jsonl(completions)]


def means(scores: list[tuple[float, float]]) -> list[float]:
    return [sum(column) / len(scores) for column in zip(*scores)]


CASES = {
    "trained: the template carries the instruction": (TINY_GRPO, "linear", [], []),
    "trained, on another task": (TINY_GRPO, "linear_sum", [], []),
    "base with the instruction": (BASE, "linear", ["--system_instruction", prompts.system_prompt()], []),
    "base with its own prompt": (BASE, "linear", [], ["--own_prompt", "{question}"]),
}


@pytest.mark.parametrize("checkpoint, name, theirs, ours", CASES.values(), ids=CASES)
def test_both_scores_agree(checkpoint, name, theirs, ours, problems, tmp_path):
    one = by_lm_eval(checkpoint, f"tagged_{name}", problems[name], tmp_path / "theirs", *theirs)
    other = by_our_test(checkpoint, problems[name], tmp_path, *ours)
    assert len(one) == len(other) == 200
    differences = sum(first != second for first, second in zip(one, other))
    print(f"\n{checkpoint.name} on {name}: strict, flexible {means(one)} and {means(other)}; {differences} rows differ")
    for score, ours_score in zip(means(one), means(other)):
        assert abs(score - ours_score) <= HALF_A_POINT


@pytest.mark.parametrize("name", ["gsm8k", "math500"])
def test_the_tasks_of_real_data_load_and_score(name, tmp_path):
    """A few rows of the same columns; the embedded model cannot read them, and both say so."""
    question = "Tom has 3 apples and buys 4 more. How many apples does he have?"
    rows = [{"question": f"{number}: {question}", "solution": str(number)} for number in range(6)]
    folder = tmp_path / name
    folder.mkdir()
    from common import data

    runs.write_json(folder / "run.json", {"kind": "math", "splits": data.write_splits(folder, {"test": rows})})
    one = by_lm_eval(TINY_GRPO, f"tagged_{name}", folder, tmp_path / "theirs")
    assert one == [(float(strict), float(flexible)) for strict, flexible in by_our_test(TINY_GRPO, folder, tmp_path)]


def test_the_tag_set_is_that_of_the_checkpoint(tmp_path):
    sys.path.insert(0, str(TASKS))
    import utils

    shutil.copytree(BASE, tmp_path / "think")
    template = (BASE / "chat_template.jinja").read_text()
    (tmp_path / "think" / "chat_template.jinja").write_text(prompts.mark_template(template, "think", instruct=True))
    assert utils.tag_set(str(tmp_path / "think")) == "think" and utils.tag_set(str(BASE)) == "thesis"
    completion = "<think>3+4=7</think><answer>7</answer>"
    for tags, strict in (("think", 1.0), ("thesis", 0.0)):
        doc = {"solution": "7", "tags": tags}
        assert utils.process_results(doc, [completion]) == {"strict": strict, "flexible": 1.0}
