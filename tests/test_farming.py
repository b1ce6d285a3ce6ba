"""What a policy can earn without solving the problem: shortcuts that earn nothing, and formulas that leave some.

python tests/test_farming.py, or pytest -s: a table of the best incorrect and the worst correct completion per script.
"""

import itertools
import json
import re
from types import SimpleNamespace

import pytest
from conftest import load_script

from common import answers, prompts
from GRPO_outdomain.certainty import Certainty

A, B, C, D = prompts.THESIS


def completion(reasoning: str, answer: str) -> str:
    return f"{A}{reasoning}{B}{C}{answer}{D}"


@pytest.mark.parametrize(
    "reasoning, answer, expected",
    [
        ("2*21=42", "42", 1),
        ("1+0=1", "42", 0),
        ("1+0=1\n1+1=2\n2+2=4", "42", 0),
        ("1+0=1 " * 50, "42", 0),
        ("2*21=42\n1+0=1", "42", 1),
        ("2*21=42\n3*4=", "42", 0.5),
        ("2*3=7\n7*6=42", "42", 0.5),
    ],
)
def test_process_counts_what_the_answer_rests_on(reasoning, answer, expected):
    process = load_script("GRPO_outdomain/GRPO-Hybrid.py").process
    assert process([completion(reasoning, answer)], tags=["thesis"]) == [expected]


def number(answer: str, truth: str = "5") -> float:
    module = load_script("GRPO_indomain/GRPO-1K-def.py")
    return module.number([completion("w", answer)], solution=[truth], tags=["thesis"])[0]


WORDED = ["5", "5.0", "$5", "5 apples", "x = 5", "the answer is 5.", "Answer: x = 5", "The value of x is 5"]
EXPRESSIONS = [
    r"\sqrt{5}",
    "sqrt 5",
    "5!",
    "5^2",
    "2^5",
    "1/5",
    r"\frac{1}{5}",
    "x+5",
    "x - 5",
    "x -5",
    "5x",
    "-5",
    "5i",
]
OTHERWISE = ["not 5", "isn't 5", "It is not\n5", "never 5", "no 5", "minus 5", "5 or 6", "the root of 5", "5 %", "ln5"]


@pytest.mark.parametrize("answer", WORDED)
def test_number_among_words(answer):
    assert number(answer) == number(answer, "5 apples") == 3.5


@pytest.mark.parametrize("answer", EXPRESSIONS + OTHERWISE)
def test_number_in_an_expression_or_denied(answer):
    assert number(answer) == -1.5


def test_number_of_a_truth_that_is_an_expression():
    assert number(r"\sqrt{5}", r"\sqrt{5}") == 3.5 and number("5", r"\sqrt{5}") == number("5", "5!") == -1.5


# The table: rewards of the same constructed completions in every script, at certainties of 0.1 to 1.
TRUTH = "42"
ANSWERS = ["42", "42.0", "43", "45", "49", "-7", "7.5", "42 apples", "many", r"\sqrt{42}"]
REASONING = ["{0}+0={0}", "as the sum says", "1+1=3"]  # correct arithmetic, none, incorrect
MALFORMED = [f"{C}{{0}}{D}", f"{A}w{C}{{0}}{D}", f"{A}w{B}{C}{{0}}{D} or so", f"{A}{A}w{B}{B}{C}{{0}}{D}"]
CERTAINTIES = [n / 10 for n in range(1, 11)]
NUMBERS = {name: {"type": "integer", "description": ""} for name in "xy"}
FUNCTIONS = [
    {"name": name, "description": "", "parameters": {"type": "dict", "properties": NUMBERS, "required": ["x", "y"]}}
    for name in ("add", "subtract", "multiply")
]
TASK = {"functions": json.dumps(FUNCTIONS), "solution": '[{"add": {"x": [4], "y": [2]}}]', "category": "multiple"}
CALLS = {
    "the call": [("add", 4, 2)],
    "an incorrect argument": [("add", 4, 3)],
    "the call twice": [("add", 4, 2), ("add", 4, 2)],
    "another function": [("multiply", 4, 2)],
    "every function": [("add", 4, 2), ("subtract", 4, 2), ("multiply", 4, 2)],
    "no call": [],
}
SCRIPTS = {  # best incorrect completion, worst correct one in the format asked for, worst correct one in any format
    "GRPO-1K": (0.6, 1.0, 0.4),
    "GRPO-1K-v2": (0.6, 1.0, 0.7),
    "GRPO-1K-v3": (0.6, 1.0, 0.5),
    "GRPO-1K-def": (7.5, 15.5, 4.5),
    "GRPO-GSM8K": (2.0, 3.5, 2.25),
    "GRPO-Linear": (0.1, 1.0, 1.0),
    "GRPO-Control": (1.0, 1.0, 0.0),  # --reward format
    "GRPO-Hybrid, start": (0.395, 0.445, -2.0),
    "GRPO-Hybrid, end": (0.52, 0.315, -2.0),
    "GRPO-DualHead": (0.82, 0.37, -10.0),
    "GRPO-Intuitor": (1.5, 0.1, 0.1),
    "GRPO_BFCL_v1": (0.4, 1.0, 1.0),
}
ORDERED = {"GRPO-1K-v2", "GRPO-GSM8K", "GRPO-Linear", "GRPO_BFCL_v1"}  # in any format
ORDERED_IN_FORMAT = ORDERED | {"GRPO-1K", "GRPO-1K-v3", "GRPO-1K-def", "GRPO-Hybrid, start"}
BY_CERTAINTY = ("GRPO-Hybrid", "GRPO-DualHead", "GRPO-Intuitor")


def reward(name: str, text: str, certainty: float = 0.5, **row) -> float:
    """The weighted sum of a script's rewards for one completion."""
    script, _, moment = name.partition(", ")
    folder = "BFCL" if "BFCL" in script else "GRPO_outdomain" if script in BY_CERTAINTY else "GRPO_indomain"
    module = load_script(f"{folder}/{script}.py")
    functions = module.REWARDS
    if isinstance(functions, dict):
        functions = [functions["format" if script == "GRPO-Control" else "intuitor"]]
    field = module.Args.__dataclass_fields__["reward_weights"]
    weights = [1.0] if field.default is None else field.default_factory()
    measured = Certainty(certainty if answers.extract_solution(text) else None, certainty, 1 - certainty, 3.0)
    columns = {
        key: [value] for key, value in ({"solution": TRUTH, "tags": "thesis", "certainties": measured} | row).items()
    }
    columns["trainer_state"] = SimpleNamespace(global_step=int(moment == "end"), max_steps=1)
    columns["log_metric"] = lambda *metric: None
    return sum(weight * function([text], **columns)[0] for weight, function in zip(weights, functions, strict=True))


def grid(name: str) -> list[tuple[float, str, bool, bool]]:
    """(reward, description, correct, in the format asked for) of every constructed completion."""
    if name == "GRPO_BFCL_v1":
        rows = []
        for kind, calls in CALLS.items():
            blocks = [json.dumps({"name": function, "arguments": {"x": x, "y": y}}) for function, x, y in calls]
            text = "\n".join(f"<tool_call>\n{block}\n</tool_call>" for block in blocks)
            rows.append((reward(name, text, **TASK), kind, kind == "the call", True))
        return rows
    texts = [(completion(reasoning, "{0}"), True) for reasoning in REASONING] + [(text, False) for text in MALFORMED]
    certainties = CERTAINTIES if name.startswith(BY_CERTAINTY) else [0.5]
    rows = []
    for answer, (pattern, formatted), certainty in itertools.product(ANSWERS, texts, certainties):
        text = pattern.replace("{0}", answer)
        shown = re.sub("|".join(prompts.THESIS), "|", text) + (f" at {certainty}" if len(certainties) > 1 else "")
        rows.append((reward(name, text, certainty), shown, answers.is_correct(answer, TRUTH), formatted))
    return rows


def extremes(name: str) -> list[tuple[float, str]]:
    """(reward, description): best incorrect, worst correct in the format asked for, worst correct in any format."""
    rows = grid(name)
    incorrect, correct = ([row for row in rows if row[2] == kind] for kind in (False, True))
    formatted = [row for row in correct if row[3]]
    found = (
        max(incorrect, key=lambda row: row[0]),
        *(min(rows, key=lambda row: row[0]) for rows in (formatted, correct)),
    )
    return [row[:2] for row in found]


def line(name: str) -> str:
    """A line of the table: the rewards of extremes(), then the first two completions."""
    found = extremes(name)
    return (
        f"{name:20}" + "".join(f"{value:8.3f}" for value, _ in found) + "".join(f"  {what:24}" for _, what in found[:2])
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_best_incorrect_against_worst_correct(name):
    print(f"\n{line(name)}")
    best, worst, lowest = (value for value, _ in extremes(name))
    assert (best, worst, lowest) == pytest.approx(SCRIPTS[name])
    assert (best < worst) == (name in ORDERED_IN_FORMAT) and (best < lowest) == (name in ORDERED)


def test_inversions_that_the_thesis_formulas_leave():
    """The figures in the docstrings of both scripts."""
    summed, said = completion("42+1=43", "43"), completion("as the sum says", TRUTH)
    assert reward("GRPO-Hybrid, end", summed, 0.8) == pytest.approx(0.52)
    assert reward("GRPO-Hybrid, end", said, 0.3) == pytest.approx(0.445)
    assert reward("GRPO-DualHead", summed, 1.0) == pytest.approx(0.82)
    assert reward("GRPO-DualHead", said, 0.7) == pytest.approx(0.79)


if __name__ == "__main__":
    print("script, best incorrect, worst correct in the format asked for and in any format; the first two completions")
    print("\n".join(map(line, SCRIPTS)))
