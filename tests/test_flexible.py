"""The flexible score: an answer wherever it stands, and never one of several guesses but the last."""

import time

import pytest
from conftest import HOSTILE

from common import answers
from common.prompts import TAG_SETS, THESIS

A, B, C, D = THESIS
PAIR, NUMBER = "x=8, y=-4", "18"
CORRECT = [
    (f"{A}steps{B}{C}x=8, y=-4{D}", PAIR),
    ("D=2\nx=-116/12=3\nx=-96/-12=8\ny=48/-12=-4\nAnswer: x=8, y=-4", PAIR),
    ("x=-96/-12=8\ny=48/-12=-4", PAIR),
    ("so y = -4 and x = 8.", PAIR),
    (f"{A}x=1{B}{C}x=8, y=-4", PAIR),  # cut before the last tag
    ("x=1, y=1. No: x=8, y=-4", PAIR),
    (r"Therefore \boxed{x=8, y=-4}.", PAIR),
    ("9 * 2 = 18\n#### 18", NUMBER),
    ("The answer is $18.", NUMBER),
    ("Janet makes 18 dollars every day", NUMBER),
    (r"so it is $\boxed{18}$ in total of 3 days", NUMBER),
    ("**Answer:** 18 eggs", NUMBER),
    ("1,234 it is", "1234"),
    ("a total of 7/2", "3.5"),
    ("C) is odd, so the answer is (B)", "B"),
    ("It is even. Yes, it is.", "yes"),
    (r"\boxed{\frac{\sqrt{3}}{2}}", r"\frac{\sqrt{3}}{2}"),
    ("so the answer is: $2\\sqrt{3}$", r"2\sqrt{3}"),
]
INCORRECT = [
    ("x=8, y=-4 or x=1, y=1 or x=2, y=2", PAIR),  # the last guess counts
    ("x=8", PAIR),
    ("8 and -4", PAIR),
    (f"{C}x=8, y=-4{D}{C}x=1, y=2{D}", PAIR),
    ("18 or 19 or 20", NUMBER),
    ("The answer is 18. No, the answer is 20", NUMBER),
    (r"\boxed{18} \boxed{20}", NUMBER),
    ("118", NUMBER),
    ("1.8", NUMBER),
    ("180", NUMBER),
    (f"{A}18{B}{C}20{D}", NUMBER),  # what stands between the tags counts
    ("A or B or C or D", "B"),
    ("yes or no", "yes"),
    ("eighteen", NUMBER),
    ("", NUMBER),
    ("the answer is", NUMBER),
    (r"\boxed{18", "17"),
]


@pytest.mark.parametrize(("text", "truth"), CORRECT)
def test_an_answer_counts_wherever_it_stands(text, truth):
    assert answers.is_correct(answers.extract_flexible(text, truth), truth)


@pytest.mark.parametrize(("text", "truth"), INCORRECT)
def test_what_is_no_answer_does_not_count(text, truth):
    assert not answers.is_correct(answers.extract_flexible(text, truth), truth)


def test_the_other_tag_set():
    tags = TAG_SETS["think"]
    assert answers.extract_flexible("<think>18</think><answer>20</answer>", NUMBER, tags) == "20"
    assert answers.extract_flexible("<think>3 * 6 = 18</think><answer>", NUMBER, tags) == "18"


@pytest.mark.parametrize("truth", [PAIR, NUMBER, "B", "yes", r"2\sqrt{3}", "(-\\infty, 3]"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_neither_raises_nor_hangs(text, truth):
    begin = time.process_time()
    answer = answers.extract_flexible(text, truth)
    assert answer is None or isinstance(answer, str)
    assert time.process_time() - begin < 5  # a hang, not a speed


@pytest.mark.parametrize(
    "text", [None, 3, "answer:" * 10**5, "x=" * 10**5, r"\boxed{" * 10**4, "9" * 10**5, "1," * 10**5]
)
def test_malformed_values(text):
    answer = answers.extract_flexible(text, PAIR)
    assert not answers.is_correct(answer, PAIR)


def test_a_strict_answer_is_a_flexible_one_too():
    """Where the tags hold an answer both scores read the same text."""
    for text in HOSTILE.values():
        tagged = answers.extract_solution(text)
        if tagged is not None:
            assert answers.extract_flexible(text, "42") == tagged
