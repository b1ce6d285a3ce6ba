"""The five rewards of GRPO-GSM8K on correct, incorrect, malformed and hostile completions, and the script, tiny."""

import json
import math

import pytest
from conftest import CORRECT, HOSTILE, ROOT, call, load_script
from conftest import score as score_with

from common import prompts, runs

SCRIPT = "GRPO_indomain/GRPO-GSM8K.py"
MODULE = load_script(SCRIPT)
A, B, C, D = prompts.THESIS
NAMES = ["tag_count", "soft_format", "strict_format", "integer", "correctness"]


def score(name: str, text: str, *how, **columns) -> float:
    return score_with(getattr(MODULE, name), text, *how, **columns)


def test_the_five_and_their_weights():
    assert [reward.__name__ for reward in MODULE.REWARDS] == NAMES
    assert MODULE.Args.__dataclass_fields__["reward_weights"].default_factory() == [0.5, 0.5, 0.5, 0.5, 2]


@pytest.mark.parametrize("name", NAMES)
def test_bounded_and_silent_on_hostile_text(name):
    for truth in ("42", "-1,000", "0.5", "not a number", ""):
        for kind, text in HOSTILE.items():
            value = score(name, text, truth)
            assert isinstance(value, float) and math.isfinite(value) and 0 <= value <= 1, (kind, truth)
    assert not (ROOT / "pwned").exists()


@pytest.mark.parametrize("name", NAMES)
def test_one_reward_a_completion_and_no_silent_cut(name):
    reward = getattr(MODULE, name)
    assert reward(completions=[CORRECT] * 3, solution=["42"] * 3, tags=["thesis"] * 3) == [1.0] * 3
    with pytest.raises(ValueError):
        reward(completions=[CORRECT] * 3, solution=["42"] * 3, tags=["thesis"] * 2)


def test_nothing_earns_more_than_the_correct_completion():
    def total(text):
        return sum(score(name, text) * weight for name, weight in zip(NAMES, [0.5, 0.5, 0.5, 0.5, 2]))

    assert total(CORRECT) == 4 and all(total(text) <= 4 for text in HOSTILE.values())


@pytest.mark.parametrize(
    "text, count, soft, strict",
    [
        (CORRECT, 1, 1, 1),
        (f" \n{A}w{B}\n{C}42{D}\n", 1, 1, 1),
        (f"So: {A}w{B}{C}42{D}", 1, 1, 0),
        (f"{A}w{B} and so {C}42{D}", 1, 1, 0),
        (f"{CORRECT} bye", 1, 1, 0),
        (f"{A}{A}w{B}{C}42{D}", 0.75, 1, 0),
        (CORRECT * 2, 0, 1, 0),
        (f"{C}42{D}{A}w{B}", 1, 0, 0),
        (f"{A}w{B}{C}42", 0.75, 0, 0),
        (f"{C}42{D}", 0.5, 0, 0),
        ("42", 0, 0, 0),
    ],
)
def test_format(text, count, soft, strict):
    assert (score("tag_count", text), score("soft_format", text), score("strict_format", text)) == (count, soft, strict)


@pytest.mark.parametrize(
    "answer, whole, correct",
    [("42", 1, 1), ("-42", 1, 0), ("42.0", 1, 1), ("$42", 1, 1), ("1,042", 1, 0), ("84/2", 1, 1), ("42.5", 0, 0)]
    + [("x=42", 0, 1), ("42 apples", 0, 1), ("42 or 43", 0, 0), ("٤٢", 0, 0), ("", 0, 0), ("nan", 0, 0)],
)
def test_integer_and_correctness(answer, whole, correct):
    text = f"{A}w{B}{C}{answer}{D}"
    assert (score("integer", text), score("correctness", text)) == (whole, correct)


def test_the_other_tag_set():
    text = "<think>2*21=42</think><answer>42</answer>"
    assert [score(name, text, tags="think") for name in NAMES] == [1.0] * 5
    assert [score(name, text) for name in NAMES] == [0.0] * 5


@pytest.mark.slow
def test_the_script_trains_on_gsm8k_in_a_folder(tmp_path):
    rows = [{"question": f"Ana has {n} eggs and gets 2 more. How many?", "answer": f"#### {n + 2}"} for n in range(60)]
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made, output = tmp_path / "gsm8k", tmp_path / "GRPO-GSM8K"
    sizes = ["--sft_rows", 8, "--train_rows", 16, "--validation_rows", 4, "--test_rows", 4]
    words = ["--dataset", "gsm8k", "--gsm8k", tmp_path / "source", "--output", made, *sizes]
    done = call("SFT/dataset_creation.py", *words)
    assert done.returncode == 0, done.stderr
    few = ["--per_device_train_batch_size", 8, "--max_completion_length", 24, "--heldout_rows", 4, "--patience", 0]
    done = call(SCRIPT, "--dataset", made, "--output", output, "--max_steps", 2, *few)
    assert done.returncode == 0, done.stderr
    facts = json.loads((output / "run.json").read_text())
    assert facts["lineage"] == ["tiny-base", "GRPO-GSM8K"] and facts["dataset"] == str(made)
    logged = runs.read_jsonl(output / "metrics.jsonl")
    assert all(any(f"rewards/{name}/mean" in row for row in logged) for name in NAMES)
