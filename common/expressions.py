r"""Compare two scalar LaTeX expressions by their values.

An expression of whitelisted tokens goes through math-verify's LaTeX grammar (antlr), never through
`ExprExtractionConfig`, which hands text to sympy's parse_expr and so to eval(). The grammar's number tokens do end
there (sympy.Number of a string), and the whitelist leaves only ASCII digits in them.
The values at fixed points are compared, with bounded powers, instead of math-verify's `verify`: its `simplify` is
unbounded without signals, it accepts 50 % for 50 and for 0.5, and it rounds to six decimals.
"""

import logging
import re
import threading
from functools import lru_cache
from random import Random

MAX_EXPRESSION = 120  # characters; antlr takes milliseconds per operator, 100 for nested parentheses
DIGITS = 1000  # decimal digits of the largest evaluated power: 2^2007 and 2^2007 + 1 differ
LOCK = threading.Lock()  # neither antlr's shared caches nor mpmath's precision are documented as thread-safe

COMMAND = r"\\(?:frac|sqrt|pi|cdot|times|div|(?:arc)?(?:sin|cos|tan)|cot|sec|csc|ln|log)(?![A-Za-z])"
VARIABLE = r"(?:\\(?:theta|alpha|beta)(?![A-Za-z])|[A-Za-z])(?:_(?:[0-9A-Za-z]|\{[0-9]{2}\}))?"
TOKENS = re.compile(rf"(?:{COMMAND}|{VARIABLE}|(?<=sqrt)\[[2-9]\]|[0-9+\-*/^{{}}() ])+")
# Words, 1e9, and numbers side by side, which math-verify adds ("5 3" and "5{3}" are 8 to it).
REFUSED = re.compile(r"(?<![\\A-Za-z])(?:[A-Za-z]{4,}|or|inf)|[0-9] +[0-9]|[0-9][eE] ?[+-]?[0-9]|(?:^|[0-9+\-*/( ])\{")
FUNCTIONS = {"sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan"}


def same_value(given: str, truth: str) -> bool:
    """Whether two scalar expressions in the same letters agree at all points, to more digits than any power has."""
    if _variables(given) != _variables(truth):
        return False
    values, true_values = _values(given), _values(truth)
    return bool(values and true_values) and all(map(_close, values, true_values))


def same_equation(given: list[str], truth: list[str]) -> bool:
    """Whether left - right of one equation is a constant multiple of the other's, for [left, right] of each.

    Only in two variables or more: "2x = 10" does not solve for x, so it is not "x = 5".
    """
    variables, true_variables = _variables(" ".join(given)), _variables(" ".join(truth))
    if variables != true_variables or len(variables) < 2:
        return False
    sides, true_sides = map(_values, given), map(_values, truth)
    differences, true_differences = ([a - b for a, b in zip(*values)] for values in (sides, true_sides))
    if not differences or not true_differences or min(map(abs, differences + true_differences)) < 1e-50:
        return False
    first, true_first = differences[0], true_differences[0]
    return all(_close(a * true_first, b * first) for a, b in zip(differences, true_differences))


def _variables(text: str) -> set[str]:
    """The names of the variables in an expression, without the constants e and i."""
    return set(re.findall(VARIABLE, re.sub(COMMAND, "", text))) - {"e", "i"}


def _close(a, b) -> bool:
    """Whether two numbers agree to more digits than any power has."""
    return abs(a - b) * 10 ** (DIGITS + 50) <= max(1, abs(a), abs(b))


@lru_cache(4096)
def _values(text: str) -> tuple:
    """The values of a scalar expression at three points (mpmath numbers), or () if it is refused."""
    text = text.replace("**", "^").replace("*", r"\cdot ")
    text = re.sub(r"(\\sqrt|\^)\(([^()]*)\)", r"\1{\2}", text)
    text = re.sub(r"([0-9]*)\.([0-9]+)(?!\.)", lambda m: rf"\frac{{{m[1]}{m[2]}}}{{1{'0' * len(m[2])}}}", text)
    # Products are made explicit: math-verify reads 5(3) as the mixed number 5 + 3, and x(3) as a function.
    command = r"\\[A-Za-z]+(?:\^(?:[0-9]|\{[^{}]*\}))?"
    text = re.sub(rf"({command})|[0-9A-Za-z)}}](?=\()", lambda m: m[0] if m[1] else m[0] + r"\cdot ", text)
    text = re.sub(r"[)}](?=[0-9])|\)(?=[A-Za-z]|\\(?!cdot|times|div))", r"\g<0>\\cdot ", text)
    if len(text) > MAX_EXPRESSION or not TOKENS.fullmatch(text) or REFUSED.search(text):
        return ()
    with LOCK:
        parse, latex, context = _tools()
        found = parse(f"${text}$", [latex], fallback_mode="no_fallback", parsing_timeout=None)
        values = tuple(_evaluate(found[0], point, context) for point in range(3)) if found else ()
        return values if all(map(context.isfinite, values)) else ()


@lru_cache(1)
def _tools() -> tuple:
    """math-verify's parse, its LaTeX configuration and an mpmath context; imported here because that takes seconds."""
    import math_verify
    import mpmath
    from latex2sympy2_extended import NormalizationConfig

    for name in ("math_verify", "latex2sympy2_extended"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    context = mpmath.MPContext()
    context.dps = DIGITS + 100
    plain = NormalizationConfig(basic_latex=False, boxed="none")
    return math_verify.parse, math_verify.LatexExtractionConfig(True, -1, plain), context


def _evaluate(node, point: int, context):
    """The value of a sympy tree; ValueError for a power above 10^1000 and for a node that is not plain algebra."""
    kind = type(node).__name__
    if node.is_Rational:
        return context.mpf(int(node.p)) / int(node.q)
    if node.is_Symbol:  # of no special value; negative at the last point, where sqrt(x^2) is not x
        value = context.mpf(Random(f"{point} {node.name}").randint(10**5, 10**6)) / (-700001 if point == 2 else 700001)
        return context.j if node.name == "i" else value
    if kind in ("Pi", "Exp1"):
        return +(context.pi if kind == "Pi" else context.e)
    values = [_evaluate(argument, point, context) for argument in node.args]
    if node.is_Add:
        return context.fsum(values)
    if node.is_Mul:
        return context.fprod(values)
    if node.is_Pow or kind == "exp":
        base, exponent = values if node.is_Pow else (+context.e, *values)
        if exponent != -1 and abs(exponent) * abs(context.log(abs(base), 10)) > DIGITS:
            raise ValueError("a power too large to compare digit by digit")
        return base**exponent
    if kind == "log":
        return context.log(values[0]) / (context.log(values[1]) if len(values) > 1 else 1)
    if kind in FUNCTIONS and abs(values[0]) < 10**6:  # sin(sin(10^99 i)) has more digits than there is memory
        return getattr(context, kind)(*values)
    raise ValueError(f"not plain algebra, or too large: {kind}")
