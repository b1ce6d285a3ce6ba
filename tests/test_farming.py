"""What a policy could earn without solving the problem: shortcuts that no longer work, and where they still do."""

import pytest
from conftest import load_script

from common import prompts

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
