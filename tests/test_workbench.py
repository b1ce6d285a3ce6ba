"""rewards.py: its figures on completions whose figures are known, and one line for every bad script and file."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import BASE, CORRECT, HOSTILE, INCORRECT, call, one_line

from common import answers, kinds, prompts, runs
from workbench import loading, measures, probes, report

A, B, C, D = prompts.THESIS
ROW = {"question": "2 * 21", "solution": "42"}


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path / "outputs")
    return tmp_path


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def completions(outputs):
    """Groups of four: correct, incorrect, correct outside its tags, no answer."""
    texts = (CORRECT, INCORRECT, "so the answer is 42", "I do not know")
    rows = [{"question": f"{n}: 2 * 21", "truth": "42", "text": text} for n in range(12) for text in texts]
    return write(outputs / "completions.jsonl", rows)


# Figures.


@pytest.mark.parametrize(
    ("text", "truncated", "verdict"),
    [
        (CORRECT, False, "correct"),
        (CORRECT, True, "correct"),
        (f"{CORRECT} Yes.", False, "correct, malformed"),
        (CORRECT.removesuffix(D), True, "correct, malformed"),
        ("so the answer is 42", False, "correct, malformed"),
        (INCORRECT, False, "incorrect"),
        ("so the answer is 43", False, "incorrect, malformed"),
        ("so the answer is 43", True, "cut"),
        ("I do not know", False, "no answer"),
        ("", True, "cut"),
    ],
)
def test_verdicts(text, truncated, verdict):
    completion = {"text": text, "truncated": truncated}
    assert measures.verdict(completion, ROW, kinds.MATH, prompts.THESIS) == verdict


def test_an_option_is_an_answer():
    row = {"question": "Which?", "solution": "B", "options": ["4", "5"]}
    verdict = measures.verdict({"text": f"{A}w{B}{C}B) 5{D}"}, row, kinds.CHOICE, prompts.THESIS)
    assert verdict == "correct"


def groups_of(letters: str) -> np.ndarray:
    return np.array(list(letters))


def test_the_signal_adds_up_to_one():
    parts = {"a": [3.0, 0, 0, 0, 0, 0, 3, 0], "b": [0.0, 1, 0, 1, 2, 1, 0, 0], "c": [1.0, 1, 1, 1, 2, 2, 2, 2]}
    fractions = measures.signal(pd.DataFrame(parts), groups_of("aaaabbbb"))
    assert fractions.value.sum() == pytest.approx(1)
    assert fractions.value["c"] == pytest.approx(0)  # the same within each group
    assert (fractions.low <= fractions.value + 1e-9).all() and (fractions.value <= fractions.high + 1e-9).all()


def test_the_signal_is_a_part_of_the_variance():
    parts = pd.DataFrame({"a": [0.0, 4, 1, 1], "b": [0.0, 2, 1, 1]})  # the second group has no signal
    assert measures.signal(parts, groups_of("aabb")).value.tolist() == pytest.approx([2 / 3, 1 / 3])


def test_a_reward_against_the_sum_has_a_negative_fraction():
    parts = pd.DataFrame({"a": [0.0, 4.0], "b": [1.0, 0.0]})
    assert measures.signal(parts, groups_of("aa")).value.tolist() == pytest.approx([4 / 3, -1 / 3])


def test_correlations_are_within_groups():
    total = pd.Series([0.0, 1, 10, 11])
    columns = pd.DataFrame({"against": [5.0, 4, 1, 0], "between": [1.0, 1, 9, 9], "half": [0.0, 1, 1, 1]})
    values = measures.correlations(total, columns, groups_of("aabb")).value
    assert values.tolist() == pytest.approx([-1, 0, 0.5])
    assert measures.correlations(pd.Series([1.0, 1]), columns[:2], groups_of("aa")).empty


def test_order():
    total = pd.Series([1, 0.5, 0, 0.5, 1, 1])
    correct = np.array([True, True, False, False, True, True])
    groups = groups_of("aaaabb")
    pairs = measures.pairs(total, correct, groups)
    assert len(pairs) == 4 and pairs.below.sum() == 0 and pairs.equal.sum() == 1
    total[2] = 2
    below = measures.pairs(total, correct, groups).query("below")
    assert below.place_incorrect.unique().tolist() == [2] and below.place.tolist() == [0, 1]


def test_repetition():
    assert measures.repetition("") == measures.repetition("one two three four five") == 0
    assert measures.repetition("so it is 5 . " * 100) > 0.9


@pytest.mark.parametrize("truth", ["42", "x=1, y=2", "B", "yes", "0", r"\frac{\sqrt{3}}{2}", ""])
def test_no_probe_but_two_has_a_correct_answer(truth):
    ((_, other),) = probes.questions([{"question": "?", "solution": truth}])
    texts = probes.texts(truth, other, "the prompt", prompts.THESIS)
    assert len(texts["100,000 characters"]) >= 10**5
    for name, text in texts.items():
        answer = answers.extract_solution(text)
        assert answers.is_correct(answer, truth) == (name == "correct answer" and truth != ""), name


@pytest.mark.parametrize("text", HOSTILE.values())
def test_every_character_is_shown_on_one_line(text):
    line = report.printable(text, 80)
    assert line.isprintable() and len(line) <= 80
    line.encode()


def test_what_a_reward_needs():
    def reward(completions, solution, bonus=1, *words, **columns):
        pass

    assert loading.needs(reward) == {"completions", "solution"}


# The script as a user calls it.


def test_a_report(completions, outputs):
    page = outputs / "page.html"
    done = call("rewards.py", "GRPO_indomain/GRPO-1K.py", "--completions", completions, "--html", page)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert "sum = 0.6 format_exact + 0.4 answer_correct" in text
    assert "48 completions, 12 groups" in text
    assert "best incorrect  0.6 " in text and "worst correct   0 " in text
    assert "12 of the 12 groups with both have an incorrect completion above" in text
    assert "In 100 % of the groups with both, an incorrect completion is ranked above a correct one" in text
    assert "gets 1, an incorrect one 0.6, a correct one without its last tag 0: a missing tag costs more" in text
    assert "The signal of the first updates comes 67 % from format_exact, 33 % from answer_correct." in text
    assert "WARNING" not in text and "nan" not in text
    assert len(text.splitlines()) < 50
    picture = (outputs / "outputs/rewards/GRPO-1K.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000
    shown = page.read_text()
    assert "data:image/png;base64," in shown and "http" not in shown and "<start_working_out>" not in shown


def test_other_weights_and_other_columns(completions, outputs):
    rows = [json.loads(line) for line in completions.read_text().splitlines()]
    names = {"question": "prompt", "truth": "label", "text": "output"}
    renamed = write(outputs / "other.jsonl", [{names[name]: value for name, value in row.items()} for row in rows])
    columns = ("--columns", "question=prompt", "solution=label", "text=output")
    weights = ("--weights", "0.2", "0.8")
    done = call("rewards.py", "GRPO_indomain/GRPO-1K.py", "--completions", renamed, *columns, *weights)
    assert done.returncode == 0, done.stderr
    assert "sum = 0.2 format_exact + 0.8 answer_correct" in done.stdout and "an incorrect one 0.2" in done.stdout


def test_several_files_get_a_line_each(completions):
    done = call("rewards.py", "GRPO_indomain/GRPO-1K.py", "--completions", completions, completions)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("completions.jsonl ") == 2 and done.stdout.count("48 completions, 12 groups") == 1


def test_a_question_alone_is_no_group(completions):
    with open(completions, "a") as file:
        file.write(json.dumps({"question": "another", "truth": "1", "text": ""}) + "\n")
    done = call("rewards.py", "GRPO_indomain/GRPO-1K.py", "--completions", completions)
    assert "48 completions, 12 groups" in done.stdout, done.stderr


RANDOM = "import random\ndef chance(completions, **columns):\n    return [random.random() for _ in completions]\n"


def test_a_sentence_that_the_figures_do_not_carry_is_left_out(completions, outputs):
    (outputs / "own.py").write_text(f"{RANDOM}REWARDS = [chance]")
    done = call("rewards.py", outputs / "own.py", "--completions", completions)
    assert done.returncode == 0 and "A correct answer in the right format gets" not in done.stdout, done.stderr


def test_two_rewards_of_one_name(completions, outputs):
    (outputs / "own.py").write_text(f"{RANDOM}REWARDS = [chance, chance]")
    done = call("rewards.py", outputs / "own.py", "--completions", completions)
    assert "sum = 1 chance + 1 chance_1" in done.stdout, done.stderr


def test_a_reward_without_the_answer_is_warned_of(completions):
    done = call("rewards.py", "GRPO_indomain/GRPO-Control.py", "--reward", "format", "--completions", completions)
    assert done.returncode == 0, done.stderr
    assert "As much as the median correct completion (1) gets: incorrect answer, tags alone" in done.stdout


def test_hostile_completions(outputs):
    rows = [{"question": "2 * 21", "solution": "42", "text": text, "tokens": 9} for text in HOSTILE.values()]
    path = write(outputs / "hostile.jsonl", rows)
    page = outputs / "page.html"
    done = call("rewards.py", "GRPO_indomain/GRPO-1K-def.py", "--completions", path, "--html", page)
    assert done.returncode == 0, done.stderr
    assert all(line.isprintable() for line in done.stdout.split("\n"))
    assert "1 of 1 groups have a signal: too few" in done.stdout
    assert "<script" not in page.read_text()


LONGER = """
def longer(completions, **columns):
    return [len(completion[0]["content"]) / 100 for completion in completions]

def answer(completions, solution, **columns):
    return [float(truth in completion[0]["content"]) for completion, truth in zip(completions, solution)]

REWARDS = [longer, answer]
"""


def test_a_script_of_ones_own_that_rewards_length(completions, outputs):
    (outputs / "own.py").write_text(LONGER)
    done = call("rewards.py", outputs / "own.py", "--completions", completions)
    assert done.returncode == 0, done.stderr
    assert "WARNING: more than the median correct completion" in done.stdout
    assert "100,000 characters" in done.stdout.split("WARNING: more than")[1]


def reward(body: str) -> str:
    return f"def bad(completions, **columns):\n    {body}\nREWARDS = [bad]\n"


BAD_SCRIPTS = {
    "x = 1": ["has no REWARDS"],
    "REWARDS = []": ["has no REWARDS"],
    "REWARDS = [1]": ["has no REWARDS"],
    "REWARDS = 3": ["has no REWARDS"],
    "REWARDS = {'a': print}": ["choose one with --reward: a"],
    "1 / 0": ["cannot be loaded", "ZeroDivisionError"],
    "def f(": ["cannot be loaded", "SyntaxError"],
    "raise SystemExit(0)": ["cannot be loaded", "SystemExit"],
    "import os; os._exit(0)": ["ended its process"],
    reward("raise KeyError('solution')"): ["reward bad raises KeyError: 'solution'"],
    reward("raise ValueError('no')"): ["reward bad raises ValueError: no"],
    reward("raise SystemExit(0)"): ["reward bad raises SystemExit"],
    reward("import os; os._exit(1)"): ["reward bad ended its process"],
    reward("return None"): ["reward bad returns None, not a list of 48 numbers"],
    reward("return 1.0"): ["reward bad returns 1.0, not a list of 48 numbers"],
    reward("return [None for _ in completions]"): ["reward bad returns None for every completion"],
    reward("return [1.0]"): ["reward bad returns 1 values for 48 completions"],
    reward("return ['good' for _ in completions]"): ["reward bad", "'good'"],
    reward("return [float('nan') for _ in completions]"): ["reward bad returns nan"],
    reward("return [float('inf') for _ in completions]"): ["reward bad returns inf"],
    reward("import time; time.sleep(60)"): ["reward bad takes more than 3 s"],
    reward("while True: pass"): ["reward bad takes more than 3 s"],
    "def few(completions): return [1.0 for _ in completions]\nREWARDS = [few]": ["reward few raises TypeError"],
    "def own(completions, parts, **c): pass\nREWARDS = [own]": ["reward own raises TypeError", "parts"],
    "def own(certainties, **c): pass\nREWARDS = [own]": ["reward own raises TypeError", "certainties", "--checkpoint"],
}


@pytest.mark.parametrize("source", BAD_SCRIPTS)
def test_a_bad_script_gets_one_line(source, completions, outputs):
    (outputs / "bad.py").write_text(source)
    done = call("rewards.py", outputs / "bad.py", "--completions", completions, "--limit", "3")
    one_line(done, "bad.py", *BAD_SCRIPTS[source])
    assert not (outputs / "outputs").exists()


def test_what_a_script_prints_does_not_matter(completions, outputs):
    body = "print('{}'); columns['log_metric']('a', 1); return [None, *map(len, completions[1:])]"
    (outputs / "own.py").write_text(f"print('hello')\n{reward(body)}")
    done = call("rewards.py", outputs / "own.py", "--completions", completions)
    assert done.returncode == 0 and "sum = 1 bad" in done.stdout, done.stderr


GOOD = {"question": "?", "solution": "42", "text": CORRECT}
BAD_FILES = {
    "": ["no rows"],
    "[1, 2]": ["no rows"],
    "{": ["line 1 is not JSON"],
    json.dumps(GOOD): ["one completion for each question"],
    json.dumps({"question": "?", "text": ""}): ["without a text solution", "question, text"],
    json.dumps(GOOD | {"text": None}): ["without a text text"],
    json.dumps(GOOD | {"question": ["?"]}): ["without a text question"],
    json.dumps(GOOD | {"options": 3}): ["options"],
}


@pytest.mark.parametrize("content", BAD_FILES)
def test_a_bad_file_gets_one_line(content, outputs):
    path = outputs / "bad.jsonl"
    path.write_text(content)
    one_line(call("rewards.py", "GRPO_indomain/GRPO-1K.py", "--completions", path), *BAD_FILES[content])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "name a GRPO script"),
        (["nothing.py"], "name a GRPO script"),
        (["README.md"], "name a GRPO script"),
        (["GRPO_indomain/GRPO-1K.py"], "pass --completions FILE.jsonl, or --checkpoint"),
        (["GRPO_indomain/GRPO-1K.py", "--checkpoint", BASE], "pass --completions FILE.jsonl, or --checkpoint"),
        (["GRPO_indomain/GRPO-1K.py", "--completions", "nothing.jsonl"], "no such file"),
        (["GRPO_indomain/GRPO-1K.py", "--completions", "x", "--weights", "1"], "--weights takes 2 numbers"),
        (["GRPO_indomain/GRPO-1K.py", "--checkpoint", "nothing", "--dataset", "linear"], "nothing"),
        (["GRPO_indomain/GRPO-1K.py", "--checkpoint", BASE, "--dataset", "linear", "--samples", "1"], "at least 2"),
    ],
)
def test_a_bad_command_gets_one_line(words, line, outputs):
    one_line(call("rewards.py", *words), line)


@pytest.mark.parametrize("words", [["--tags", "none"], ["--columns", "text"], ["--columns", "answer=text"]])
def test_bad_names_get_one_line(words, completions):
    one_line(call("rewards.py", "GRPO_indomain/GRPO-1K.py", "--completions", completions, *words), words[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "script", [["GRPO_outdomain/GRPO-Intuitor.py", "--reward", "intuitor"], ["GRPO_outdomain/GRPO-Hybrid.py"]]
)
def test_confidence_is_measured_with_a_checkpoint(script, linear_data, outputs):
    few = ("--problems", 3, "--samples", 3, "--max_new_tokens", 40)
    done = call("rewards.py", *script, "--checkpoint", BASE, "--dataset", linear_data, *few)
    assert done.returncode == 0, done.stderr
    kept = runs.read_jsonl(outputs / "outputs/rewards/tiny-base-linear.jsonl")
    assert len(kept) == 9 and {"question", "solution", "text", "truncated"} <= kept[0].keys()
    assert "9 completions, 3 groups" in done.stdout
