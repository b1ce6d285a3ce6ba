"""The arithmetic checker: correct, incorrect and uncounted equalities; hostile text."""

import random

import pytest

from common import arithmetic, tasks

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
    "5 + = 7",
    "= 7",
    "7 =",
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


@pytest.mark.parametrize("text", CORRECT)
def test_correct(text):
    assert arithmetic.check(text) == (1, 1)


@pytest.mark.parametrize("text", INCORRECT)
def test_incorrect(text):
    assert arithmetic.check(text) == (0, 1)


@pytest.mark.parametrize("text", NOT_COUNTED)
def test_not_counted(text):
    assert arithmetic.check(text) == (0, 0)


def test_chains_lines_and_repeats():
    assert arithmetic.check("a*b-c*d=12-5=7") == (1, 1)
    assert arithmetic.check("D=4*-9-4*-4=-36--16=-20") == (2, 2)
    assert arithmetic.check("1+1=2=3-1=5") == (2, 3)
    assert arithmetic.check("1+1=2\n2+2=5\nx=4/2=2, y=-3") == (2, 3)
    assert arithmetic.check("1+1=2\n" * 50 + "1+1=3") == (1, 2)
    assert arithmetic.fraction_correct("1+1=2\n2+2=5") == 0.5 and arithmetic.fraction_correct("no sums") == 0.0


@pytest.mark.parametrize("make", [tasks.linear, tasks.word_problem])
def test_true_reasoning_is_correct_and_a_changed_digit_never_gains(make):
    rng = random.Random(1)
    for problem in tasks.problems(make, "train", 100, 5):
        correct, stated = arithmetic.check(problem["working"])
        assert correct == stated > 0, problem["working"]
        numbers = [i for i, char in enumerate(problem["working"]) if char.isdigit()]
        i = rng.choice(numbers)
        changed = problem["working"][:i] + str((int(problem["working"][i]) + 1) % 10) + problem["working"][i + 1 :]
        correct, stated = arithmetic.check(changed)
        assert correct <= stated


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_text(number):
    correct, stated = arithmetic.check(HOSTILE[number])
    assert 0 <= correct <= stated


def test_random_text_never_raises():
    rng = random.Random(0)
    pieces = list("0123456789+-*/^()[]{}=.,:%$x \n\\") + [r"\frac", r"\times", "a", "of", "\0", "²", "**", "=="]
    for _ in range(5000):
        correct, stated = arithmetic.check("".join(rng.choices(pieces, k=rng.randrange(60))))
        assert 0 <= correct <= stated
