"""The arithmetic checker: correct, incorrect and uncounted equalities, those that no answer rests on; hostile text."""

import random

import pytest

from common import arithmetic
from tiny import problems

CORRECT = [
    "13 + 8 = 21",
    "2 × 3 = 6",
    "10 ÷ 4 = 2.5",
    "0.2 x 50 = $10",
    "3x4=12",
    "1,250 + 50 = 1,300",
    "20% * 50 = 10",
    r"20\% \cdot 50 = 10",
    r"\frac{3}{4} + \dfrac{1}{4} = 1",
    r"\frac{\frac{1}{2}}{2} = 0.25",
    r"$2 \times 3 = 6$",
    r"so \(2+3\) = \boxed{5}.",
    "117--216=333",
    "-36--16=-20",
    "3*-9=-27",
    "−5 – 3 = −8",
    "2(3 + 4) = 14",
    "(2)(3)=6",
    "-2^2 = -4",
    "2^-1 = 0.5",
    "2**10 = 1024",
    "2^3^2 = 512",
    "[(1 + 2) * 3] = 9",
    "She sold 48/2 = 24 clips in May.",
    "She makes 9 * 2 = 18 a day",
    "That is a 5 + 3 = 8 gain",
    "She has 12 (5 + 7 = 12) eggs",
    "1) 5 + 3 = 8",
    "(2) 5 + 3 = 8",
    "- 5 + 3 = 8",
    "A) 5 - 9 = -4",
    "So 3 + 5 = **8**.",
    "**Total: 3 + 5 = 8**",
    "Total = 3 + 5 == 8",
    "x=-12/4=-3",
    "D: 5 = 2 + 3; done",
    "((((5)))) + 1 = 6",
    "2 + 3 &= 5 \\\\",
    "<<48/2=24>>24",
]
INCORRECT = [
    "13 + 8 = 22",
    "100 - 5 = 95%",
    "10/3 = 3.33",
    "x = 2*3 = 5",
    "5 = 7",
    "50% = 50",
    "1/3 = 0.3333333333",
    "(2+3 = 6)",
    "5 + = 7",
    "5 = 7 * / 2",
    "3*4=",
    "x = 3*4 =\ny = 5",
    "3*4= =12",
]
NOT_COUNTED = [
    "",
    "13 + 8 is 21",
    "x = 5",
    "2x + 3 = 7",
    "x - 8y = 39",
    "Equation 1: 4x + 4y = 28 Equation 2: -4x - 9y = -58",
    "f(2) = 4",
    "x_1 = 3",
    r"\pi = 3",
    "3 m + 2 m = 5 m",
    "12 eggs + 5 = 17",
    "Ann bowled 120 + Beth bowled an 85 = 205",
    "4 gallons x 2 = 8",
    "5 km = 5000 m",
    "5! = 120",
    "5 = 7 +",
    "12 eggs + = 7",
    "= 7",
    "7 =",
    "3 + 4 = ?",
    "3 + 4 = seven",
    "=",
    "1 1/2 = 1.5",
    "6/2(3) = 9",
    "6/2(3) = 1",
    "sqrt(16) = 4",
    r"\sqrt{16} = 4",
    "6:4 = 3:2",
    "3,5 + 2 = 5,5",
    "7//2 = 3",
    "1/0 = 1",
    "0^-1 = 0",
    "4^0.5 = 2",
    "2 <= 3",
    "2 >= 3",
    "2 != 3",
    "2 => 3",
    "1 = 1",
    "2+3 = 2 + 3",
    "nan = nan",
    "inf = 1",
    "٤ = 4",
    "²+1 = 5",
]
HOSTILE = [
    "9**9**9 = 1",
    "9^9^9^9^9=1",
    "(((9^99)^99)^99)^99 = 1",
    "(" * 10**5,
    "(" * 10**4 + "1" + ")" * 10**4 + "=1",
    "-" * 10**5 + "1 = 1",
    "1=" * 10**5,
    "1+1=2=" * 10**4,
    "9" * 10**5 + "=1",
    "1" + ",111" * 10**4 + "=1",
    "1*" * 10**4 + "1=1",
    r"\frac{" * 10**4,
    "=" * 10**5,
    "* " * 10**5 + "=1",
    " " * 10**5,
    "\n- " * 10**4,
    "a" * 10**5 + "(=1",
    r"\text{" * 10**4,
    "99999999999999999999999999999*" * 60 + "1 = 1",
    "2^1000000000 = 1",
    "2^(2^(2^(2^(2^2)))) = 1",
    "1 = \0 1",
    "\ud800 1+1=2",
    "__import__('os').system('touch pwned') = 1",
    "1e999999999 = 1",
    None,
    5,
]


def check_all(text: str | None) -> tuple[int, int]:
    """The check of a text whose answer holds all its numbers, so that every equality counts."""
    return arithmetic.check(text, text)


@pytest.mark.parametrize("text", CORRECT)
def test_correct(text):
    assert check_all(text) == (1, 1)


@pytest.mark.parametrize("text", INCORRECT)
def test_incorrect(text):
    assert check_all(text) == (0, 1) == arithmetic.check(text, "42")


@pytest.mark.parametrize("text", NOT_COUNTED)
def test_not_counted(text):
    assert check_all(text) == (0, 0)


def test_chains_lines_and_repeats():
    assert check_all("a*b-c*d=12-5=7") == (1, 1)
    assert check_all("D=4*-9-4*-4=-36--16=-20") == (2, 2)
    assert check_all("1+1=2=3-1=5") == (2, 3)
    assert check_all("1+1=2\n2+2=5\nx=4/2=2, y=-3") == (2, 3)
    assert check_all("1+1=2\n" * 50 + "1+1=3") == (1, 2)
    assert check_all("3*4=\n" * 50) == (0, 1)
    assert (
        arithmetic.fraction_correct("1+1=2\n2+2=5", "2") == 0.5 and arithmetic.fraction_correct("no sums", "5") == 0.0
    )


@pytest.mark.parametrize(
    "text, answer, expected",
    [
        ("1+0=1", "42", (0, 0)),
        ("1+0=1\n" * 20, "42", (0, 0)),
        ("1+0=1\n1+1=2\n2+1=3", "42", (0, 0)),
        ("1+0=1=2-1=1+0+0=1", "42", (0, 0)),
        ("1+0=1\nx=42", "42", (0, 0)),
        ("1+0=1\n2*21=42", "42", (1, 1)),
        ("2*3=6\n6*7=42", "x = 42.0", (2, 2)),
        ("2*3=6. 6*7=42, so the answer is 42.", r"\boxed{42}", (2, 2)),
        ("2*3=6 eggs\n6 eggs * 7 = 42 eggs", "42", (1, 1)),  # through a line that is not counted itself
        ("2*3=6\nx = 252/6 = 42", "42", (2, 2)),
        ("2*3=6\nx = 252/7 = 36", "36", (1, 1)),
        ("2*3=7\n6*7=42", "42", (1, 2)),  # an incorrect equality counts whether the answer rests on it or not
        ("27*2 = 54\n54/8 = 6.75\nRounded up, 6.75 packs are 7.", "7", (2, 2)),
        ("1/2 + 1/4 = 3/4", r"\frac{3}{4}", (1, 1)),
        ("2*500=1,000", "1000", (1, 1)),
        ("3 + 4 = 7\n7 is odd", "no", (1, 1)),
        ("A) 9 - 2 = 7\nB) 5 - 9 = -4", "B", (1, 1)),
        ("2*3=6\n6*7=42", None, (2, 2)),
        ("1+0=1", "", (1, 1)),
    ],
)
def test_a_correct_equality_counts_only_if_the_answer_rests_on_it(text, answer, expected):
    assert arithmetic.check(text, answer) == expected


@pytest.mark.parametrize("make", [problems.linear, problems.word_problem])
@pytest.mark.parametrize("terse", [0, 1])
def test_true_reasoning_is_correct_and_a_changed_digit_never_gains(make, terse):
    rng = random.Random(1)
    for problem in problems.draw(make, "train", 100, 5, **({"terse": terse} if make is problems.linear else {})):
        working, answer = problem["working"], problem["solution"]
        correct, counted = arithmetic.check(working, answer)
        assert correct == counted > 0 and (correct, counted) == check_all(working), working
        i = rng.choice([i for i, char in enumerate(working) if char.isdigit()])
        correct, counted = arithmetic.check(working[:i] + str((int(working[i]) + 1) % 10) + working[i + 1 :], answer)
        assert correct <= counted


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_text(number):
    for answer in ("1", HOSTILE[number] if isinstance(HOSTILE[number], str) else None):
        correct, counted = arithmetic.check(HOSTILE[number], answer)
        assert 0 <= correct <= counted


def test_random_text_never_raises():
    rng = random.Random(0)
    pieces = list("0123456789+-*/^()[]{}=.,:%$x \n\\") + [r"\frac", r"\times", "a", "of", "\0", "²", "**", "=="]
    for _ in range(5000):
        text, answer = ("".join(rng.choices(pieces, k=rng.randrange(60))) for _ in range(2))
        correct, counted = arithmetic.check(text, answer)
        assert 0 <= correct <= counted
