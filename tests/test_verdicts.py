"""Verdicts on hard pairs, ours beside math-verify's, and wrong solutions, of which none may be accepted."""

import pytest
import wrong_pairs

from common.answers import is_correct

# Solution, truth, our verdict, that of math-verify 0.9.0, and the reason where they differ. Theirs were recorded
# without time limits, by verify(parse(f"${truth}$"), parse(f"${solution}$")); solutions in words stood without the
# dollar signs.
HARD = [
    ("18 dollars", "18", True, True, ""),
    ("18 eggs", "18", True, True, ""),
    (r"18 \text{ eggs}", "18", True, True, ""),
    ("18 dollars per day", "18", True, True, ""),
    ("12 inches", "12", True, True, ""),
    (r"90^\circ", "90", True, True, ""),
    ("5!", "120", True, True, ""),
    (r"7! \cdot 2", "10080", True, True, ""),
    ("(n+1)!", "(1+n)!", True, True, ""),
    (r"\binom{5}{2}", "10", True, True, ""),
    (r"\log_2 8", "3", True, True, ""),
    (r"\log_{10} 1000", "3", True, True, ""),
    ("|-3|", "3", True, True, ""),
    ("|x|", r"\sqrt{x^2}", True, True, ""),
    ("|1-x|", "|x-1|", True, True, ""),
    (r"\lfloor 3.7 \rfloor", "3", True, True, ""),
    (r"\lceil 3.2 \rceil", "4", True, True, ""),
    (r"(-\infty,3]", r"x \le 3", True, True, ""),
    ("x > 3", r"(3,\infty)", True, False, "it takes an interval for an inequality, not the other way round"),
    (r"(-\infty,1)\cup(4,\infty)", "x<1 or x>4", True, False, "it reads no list of inequalities"),
    ("(3,5)", "3 < x < 5", True, True, ""),
    ("[-1,6]", r"x \in [-1,6]", True, True, ""),
    ("3 or 5", "3, 5", True, True, ""),
    (r"2 \pm \sqrt{7}", r"2+\sqrt{7}, 2-\sqrt{7}", True, True, ""),
    ("(2,-3)", "x=2, y=-3", True, True, ""),
    ("2x - y + 3 = 0", "y = 2x + 3", True, True, ""),
    (r"\frac{2}{\sqrt{35}}", r"\frac{2\sqrt{35}}{35}", True, True, ""),
    (r"\sin 2x", r"2\sin x\cos x", True, True, ""),
    (r"\sqrt[3]{27}", "3", True, True, ""),
    ("2500", "2.5e3", True, False, "it does not read e3"),
    ("x=2, y=-3", "(2, -3)", False, True, "a truth without names does not say which is which"),
    ("(n+1)!", "(n+1) n!", False, True, "factorials of variables are not simplified"),
    (r"{5 \choose 2}", "10", False, True, "not in the grammar"),
    (r"\sum_{k=1}^{4} k", "10", False, True, "not in the grammar: sums have no bound on their cost"),
    (r"\gcd(12,18)", "6", False, True, "not in the grammar"),
    ("50%", "0.5", False, True, "percent is a unit"),
    ("50%", "50", False, True, "no percent may be added"),
    ("18 cents", "18", False, True, "0.18 dollars"),
    ("18 cm", "18", False, True, "letters may be a product"),
    ("18 cm", r"18 \text{ m}", False, True, "another unit"),
    ("0.333333", "1/3", False, True, "decimals are exact"),
    ("1/2004!", "1/2006!", False, True, "both round to 0"),
    ("1203", "1203_4", False, True, "another base"),
    ("18!", "18", False, False, ""),
    ("18 or 19 dollars", "18", False, False, ""),
    ("18 dollars and 5 cents", "18", False, False, ""),
    ("not 18 dollars", "18", False, True, "it reads the number alone"),
    ("18 million dollars", "18", False, True, "it reads the number alone"),
    ("1.8 dollars", "18", False, False, ""),
    ("180", "18", False, False, ""),
    ("-18", "18", False, False, ""),
    ("about 18", "18", False, True, "it reads the number alone"),
    ("x - 1", "|x-1|", False, False, ""),
    (r"\lfloor x \rfloor", r"\lceil x \rceil", False, False, ""),
    (r"(-\infty,3)", r"x \le 3", False, False, ""),
    ("3 < x < 5", "(3,5)", False, False, ""),
    (r"\log 8", r"\ln 8", False, False, ""),
    ("2^{2007}", "2^{2007}+1", False, False, ""),
]


@pytest.mark.parametrize("solution, truth, ours, theirs, reason", HARD)
def test_hard_pairs(solution, truth, ours, theirs, reason):
    assert is_correct(solution, truth) is ours
    assert bool(reason) == (ours != theirs)


def test_no_wrong_solution_is_accepted():
    pairs = list(wrong_pairs.pairs(1, wrong_pairs.TRUTHS, 2000))
    assert len(pairs) == 2000
    assert not [pair for pair in pairs if is_correct(*pair)]


@pytest.mark.parametrize("truth", wrong_pairs.TRUTHS)
def test_the_truths_of_the_wrong_solutions_are_read(truth):
    assert is_correct(truth, truth)
