"""The value of an arithmetic expression: a syntax tree of numbers, operators and functions, never evaluated as code.

Values are exact fractions; roots, and powers that are not small and whole, are rounded as floats. Every number is at
most MAX_NUMBER, so nothing takes long.
"""

import ast
import math
import operator
import re
import warnings
from fractions import Fraction

MAX_EXPRESSION = 200  # characters
MAX_NUMBER = 10**18  # of every operand and result
MAX_EXPONENT = 64  # of a power that is computed exactly
MAX_DIGITS = 18  # of round()
NOT_ARITHMETIC = "the expression is not arithmetic"
# "15% of 200", "15% * 200": a sign behind a number is a percentage where no operand follows, else the remainder.
PERCENT = re.compile(r"(\d+\.?\d*|\.\d+)\s*%\s*(?=$|[)*/+,]|-\s|of\b)")


def evaluate(expression: str) -> int | float:
    """The value as an integer, or a number with at most 6 decimals; ValueError for what is not arithmetic."""
    if len(expression) > MAX_EXPRESSION:
        raise ValueError(f"the expression has more than {MAX_EXPRESSION} characters")
    text = PERCENT.sub(r"(\1/100) ", expression.strip())
    text = re.sub(r"\bof\b", "*", text).replace("^", "**")
    try:
        with warnings.catch_warnings(action="ignore"):  # of "2x", on the screen
            tree = ast.parse(text, mode="eval")
        value = value_of(tree.body)
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    except OverflowError:
        raise ValueError("a number is too large") from None
    except (SyntaxError, TypeError, RecursionError, MemoryError):
        raise ValueError(NOT_ARITHMETIC) from None
    if value.denominator == 1:
        return int(value)
    return round(float(value), 6)


def value_of(node: ast.expr) -> Fraction:
    """The value of a syntax tree."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float) and math.isfinite(node.value):
        value = Fraction(str(node.value))
    elif isinstance(node, ast.Name) and node.id == "pi":
        value = Fraction(math.pi)
    elif isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        value = OPERATORS[type(node.op)](value_of(node.operand))
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        value = OPERATORS[type(node.op)](value_of(node.left), value_of(node.right))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id not in FUNCTIONS:
            raise ValueError(f"{node.func.id} is none of {', '.join(FUNCTIONS)}")
        value = FUNCTIONS[node.func.id](*map(value_of, node.args))
    else:
        raise ValueError(NOT_ARITHMETIC)
    if abs(value) > MAX_NUMBER:
        raise ValueError("a number is too large")
    if value.denominator > MAX_NUMBER**2:
        return Fraction(round(value * MAX_NUMBER), MAX_NUMBER)
    return Fraction(value)


def power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator == 1 and abs(exponent) <= MAX_EXPONENT:
        return base ** int(exponent)
    value = float(base) ** float(exponent)
    if isinstance(value, complex):
        raise ValueError("a root of a negative number")
    return Fraction(value)


def square_root(value: Fraction) -> Fraction:
    if value < 0:
        raise ValueError("a root of a negative number")
    root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    if root**2 == value:
        return root
    return Fraction(math.sqrt(value))


def rounded(value: Fraction, digits: Fraction | int = 0) -> Fraction:
    if int(digits) != digits or abs(digits) > MAX_DIGITS:
        raise ValueError(f"round takes a whole number of digits, at most {MAX_DIGITS}")
    return round(value, int(digits))


OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
FUNCTIONS = {"sqrt": square_root, "abs": abs, "round": rounded, "min": min, "max": max}
