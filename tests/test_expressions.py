"""The parser of expressions against an independent one: math-verify's, which is too slow and too lax for a reward."""

import logging
import random

import pytest
from math_verify import LatexExtractionConfig, parse, verify

from common import expressions

logging.getLogger("math_verify").setLevel(logging.CRITICAL)
ATOMS = ("2", "7", "12", "x", "y", r"\pi", r"\frac{3}{4}", r"\frac{x}{2}", r"\sqrt{2}", r"\sqrt{x}", "x^2", "3x")
SIGNS = (" + ", " - ", r" \cdot ", "", "")


def expression(rng: random.Random) -> str:
    """Two or three atoms, some of them in brackets, joined by signs; products may go without one."""
    text = rng.choice(ATOMS)
    for _ in range(rng.randint(1, 2)):
        sign, atom = rng.choice(SIGNS), rng.choice(ATOMS)
        text = f"({text})({atom})" if not sign else f"{text}{sign}{atom}"
    return text


def by_math_verify(given: str, truth: str) -> bool:
    latex = [LatexExtractionConfig()]
    return verify(parse(f"${truth}$", latex), parse(f"${given}$", latex))


@pytest.mark.parametrize("seed", range(2))
def test_both_parsers_tell_the_same_expressions_apart(seed):
    rng, equal = random.Random(seed), 0
    for _ in range(40):
        truth = expression(rng)
        variants = [truth.replace("x^2", "xx"), truth.replace(r"\frac{x}{2}", r"\frac{1}{2}x"), expression(rng)]
        for given in variants:
            same = expressions.same_value(given, truth)
            assert same == by_math_verify(given, truth), (given, truth)
            equal += same
    assert equal >= 40
