r"""Compare scalar LaTeX expressions by their values.

No text reaches eval(): one regular expression cuts an expression into tokens, and a small recursive-descent parser
evaluates them with mpmath at fixed values of the variables. Numbers agree if 1050 digits do: 2^2007 and 2^2007 + 1
differ. The length of an expression, its costly operations (see `cost`) and the size of its powers are bounded.

A product without a sign binds tighter than a division, except before a bracket: 1/2x is 1/(2x), 1/2(x) is x/2. A
function without brackets takes the product behind it, up to the next function or root: \sin 2x\cos x is a product.
Factorials, binomials, |x|, floor and ceil of variables are numbers of their own: |x-1| is |1-x|, but never x-1.
Refused: words, 1e-9, numbers side by side ("5 3"), a number behind a letter ("x2"), unknown commands.
"""

import math
import re
import threading
from functools import lru_cache
from random import Random

import mpmath

MAX_EXPRESSION = 200  # characters
DIGITS = 1000  # decimal digits of the largest evaluated power
MAX_FACTORIAL = 400  # of n! and \binom{n}{k}, so that they too have less than 1000 digits
LOCK = threading.Lock()  # mpmath's precision and its cached constants are shared by all threads
CONTEXT, ROUGH = mpmath.MPContext(), mpmath.MPContext()
CONTEXT.dps, ROUGH.dps = DIGITS + 100, 15

FUNCTIONS = {name: getattr(CONTEXT, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc")}
FUNCTIONS |= {f"arc{name}": getattr(CONTEXT, f"a{name}") for name in FUNCTIONS}
LOGARITHMS = {"ln": CONTEXT.log, "log": CONTEXT.log10}
OPERATORS = {"(": False, "*": False, r"\cdot": False, r"\times": False, "/": True, r"\div": True}  # if it divides
CLOSING = {r"\abs": "|", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
VARIABLE = r"(?:\\(?:theta|alpha|beta)(?![A-Za-z])|[A-Za-z])(?:_(?:[0-9A-Za-z]|\{[0-9]{2}\}))?"
TOKEN = re.compile(
    rf"[0-9]+(?:\.[0-9]+)?|\.[0-9]+|{VARIABLE}|\\[A-Za-z]+|(?<=\\sqrt)\[[2-9]\]"
    r"|(?<=\\log)_(?:[0-9]|\{[0-9]{1,3}\})|[-+*/^(){}!|]"
)
BARS = re.compile(r"\|([^|]+)\|(?=[-+*/^)}]|\\(?:cdot|times|div)(?![A-Za-z])|$)")  # |a|b|c| means two things
# Words, numbers such as 1e-9, and 1A_{12}, a number of base 12.
REFUSED = re.compile(r"(?<![\\A-Za-z])(?:[A-Za-z]{4,}|or|inf)|[0-9][eE] ?[+-][0-9]|[0-9A-Z][A-Z]_")
MIXED = re.compile(r"(^|[-+({])([0-9]+)(\\frac\{[0-9]+\}\{[0-9]+\})(?=$|[-+)}])")  # 2\frac{1}{2} is 2.5
COSTLY = re.compile(rf"\^|\*\*|\\sqrt|\\(?:{'|'.join(FUNCTIONS | LOGARITHMS)})(?![A-Za-z])")


def same_value(given: str, truth: str) -> bool:
    """Whether two expressions in the same variables agree at all points; False if one is refused or has no value."""
    variables = _variables(given)
    if variables != _variables(truth):
        return False
    points = range(3) if variables else range(1)
    return all(_close(_value(given, point), _value(truth, point)) for point in points)


def same_equation(given: list[str], truth: list[str]) -> bool:
    """Whether left - right of one equation is a constant multiple of the other's; [left, right] of each.

    Only in two variables or more: "2x = 10" does not solve for x, so it is not "x = 5".
    """
    variables = _variables(" ".join(given))
    if variables != _variables(" ".join(truth)) or len(variables) < 2:
        return False
    ratios = []
    for point in range(3):
        difference = _value(given[0], point) - _value(given[1], point)
        true_difference = _value(truth[0], point) - _value(truth[1], point)
        if not min(abs(difference), abs(true_difference)) > 1e-50:
            return False
        ratios.append(difference / true_difference)
    return _close(ratios[0], ratios[1]) and _close(ratios[0], ratios[2])


def cost(text: str) -> int:
    """How many functions, roots and powers a text has: each takes up to 3 ms at a point, other operations 0.02 ms."""
    return len(COSTLY.findall(text))


def _variables(text: str) -> set[str]:
    """The names of the variables in an expression, without the constants e and i."""
    return {token for token in TOKEN.findall(text) if _is_variable(token)}


def _is_variable(token: str) -> bool:
    return bool(re.fullmatch(VARIABLE, token)) and token not in ("e", "i")


def _close(a, b) -> bool:
    """Whether two numbers agree to more digits than any power has; never if one is NaN."""
    return abs(a - b) * 10 ** (DIGITS + 50) <= max(1, abs(a), abs(b))


@lru_cache(4096)
def _value(text: str, point: int):
    """The value of an expression as an mpmath number; NaN if it is refused or has none. point: 0, 1 or 2."""
    text = text.replace("**", "^")
    text = MIXED.sub(r"\1(\2+\3)", text)
    text = BARS.sub(r"\\abs \1|", text)
    text = re.sub(r"(\\log_\{[0-9]+\})(?=[0-9])", r"\1 ", text)
    text = re.sub(r"(\\sqrt|\^)\(([^()]*)\)", r"\1{\2}", text)
    text = re.sub(r"[)}](?=[0-9])|\)(?=[A-Za-z]|\\(?!cdot|times|div))", r"\g<0>*", text)  # (x+1)y, \sqrt{2}3
    tokens = TOKEN.findall(text)
    if len(text) > MAX_EXPRESSION or REFUSED.search(text) or "".join(tokens) != text.replace(" ", ""):
        return CONTEXT.nan
    with LOCK:
        try:
            tokens = ["", *reversed(tokens)]
            value = _sum(tokens, point)
        except (ValueError, ArithmeticError):
            return CONTEXT.nan
    if tokens != [""] or not CONTEXT.isfinite(value):
        return CONTEXT.nan
    return value


# The recursive-descent parser. `tokens` is a stack, the expression reversed: each function pops what it parses.


def _sum(tokens: list[str], point: int):
    value = _product(tokens, point)
    while tokens[-1] in ("+", "-"):
        sign = tokens.pop()
        term = _product(tokens, point)
        value += -term if sign == "-" else term
    return value


def _product(tokens: list[str], point: int, argument: bool = False):
    """argument: of a function without brackets, so that the next function ends it."""
    value = _term(tokens, point, argument)
    while tokens[-1] in OPERATORS and not (argument and _is_function(tokens[-2])):
        divides = OPERATORS[tokens[-1]]
        if tokens[-1] != "(":
            tokens.pop()
        factor = _term(tokens, point, argument)
        value = value / factor if divides else value * factor
    return value


def _term(tokens: list[str], point: int, argument: bool = False):
    """A power, or a product without signs such as 2xy."""
    if tokens[-1] in ("+", "-"):
        sign = tokens.pop()
        value = _term(tokens, point, argument)
        return -value if sign == "-" else value
    value = _power(tokens, point)
    while re.match(r"[A-Za-z\\]", tokens[-1]) and tokens[-1] not in (*OPERATORS, *CLOSING.values()):
        if argument and _is_function(tokens[-1]):
            break
        value *= _power(tokens, point)
    return value


def _power(tokens: list[str], point: int):
    before = list(tokens)
    base = _atom(tokens, point)
    if tokens[-1] == "!":
        tokens.pop()
        base = _whole_numbers("!", math.factorial, before[len(tokens) :], point, base)
    if tokens[-1] != "^":
        return base
    tokens.pop()
    return _raised(base, _exponent(tokens, point))


def _exponent(tokens: list[str], point: int):
    if tokens[-1] == "{":
        return _group(tokens, point, "{")
    if tokens[-1] == "-":
        tokens.pop()
        return -_exponent(tokens, point)
    return _power(tokens, point)


def _raised(base, exponent):
    """base^exponent; ValueError above 10^1000."""
    if base and exponent != -1 and abs(exponent) * abs(ROUGH.log10(abs(base))) > DIGITS:
        raise ValueError("a power too large to compare digit by digit")
    return base**exponent


def _atom(tokens: list[str], point: int):
    token = tokens.pop()
    name = token[1:]
    if token[:1].isdigit() or token.startswith("."):
        whole, _, decimals = token.partition(".")
        return CONTEXT.mpf(int(whole + decimals)) / 10 ** len(decimals)
    if token in ("e", "i", r"\pi"):
        return {"e": +CONTEXT.e, "i": CONTEXT.j, r"\pi": +CONTEXT.pi}[token]
    if _is_variable(token):  # negative at the last point, where sqrt(x^2) is not x
        value = _drawn(f"{point} {token}")
        return -value if point == 2 else value
    if token == "(":
        tokens.append(token)
        return _group(tokens, point, "(")
    if token == r"\frac":
        return _group(tokens, point, "{") / _group(tokens, point, "{")
    if token == r"\sqrt":
        index = int(tokens.pop()[1]) if tokens[-1].startswith("[") else 2
        return CONTEXT.root(_group(tokens, point, "{"), index)
    if token == r"\binom":
        before = list(tokens)
        top = _group(tokens, point, "{")
        bottom = _group(tokens, point, "{")
        return _whole_numbers(token, math.comb, before[len(tokens) :], point, top, bottom)
    if token in CLOSING:
        return _rounded(token, tokens, point)
    if name in FUNCTIONS or name in LOGARITHMS:
        return _function(name, tokens, point)
    raise ValueError("not plain algebra")


def _drawn(key: str):
    """A number of no special value, between 0.1 and 1.5."""
    return CONTEXT.mpf(Random(key).randint(10**5, 10**6)) / 700001


def _opaque(name: str, point: int, *values):
    """A number that stands for an unknown function: the same for the same values, whatever the function is."""
    digits = [CONTEXT.nstr(value, DIGITS + 50) for value in values]
    return _drawn(f"{point} {name} {digits}")


def _whole_numbers(name: str, function, consumed: list[str], point: int, *values):
    """A factorial or binomial of whole numbers; an opaque number if its tokens have variables."""
    if any(map(_is_variable, consumed)):
        return _opaque(name, point, *values)
    numbers = [int(value.real) for value in values]
    if numbers != list(values) or not all(0 <= number <= MAX_FACTORIAL for number in numbers):
        raise ValueError("not of whole numbers within the bound")
    return CONTEXT.mpf(function(*numbers))


def _rounded(opening: str, tokens: list[str], point: int):
    """The absolute value, floor or ceil up to the closing token; opaque of variables, except for |x| itself."""
    before = list(tokens)
    value = _sum(tokens, point)
    consumed = before[len(tokens) :]
    if tokens.pop() != CLOSING[opening]:
        raise ValueError("a bracket that does not close")
    variable = any(map(_is_variable, consumed))
    if opening == r"\abs":
        if variable and len(consumed) > 1:
            return _opaque(opening, point, value**2)
        return abs(value)
    if variable:
        return _opaque(opening, point, value)
    nearest = CONTEXT.nint(value.real)
    if _close(value, nearest):
        return nearest
    if value.imag:
        raise ValueError("not a real number")
    return CONTEXT.floor(value) if opening == r"\lfloor" else CONTEXT.ceil(value)


def _function(name: str, tokens: list[str], point: int):
    r"""A function and its argument: \sin(x), \sin 2x, \sin^2 x, \log_2 x; \sin^{-1} x is \arcsin x."""
    base = 10
    if tokens[-1].startswith("_"):
        base = int(tokens.pop().strip("_{}"))
    power = None
    if tokens[-1] == "^":
        tokens.pop()
        power = _exponent(tokens, point)
        if power == -1 and f"arc{name}" in FUNCTIONS:
            name, power = f"arc{name}", None
    bracket = tokens[-1] in ("(", "{")
    value = _group(tokens, point, tokens[-1]) if bracket else _product(tokens, point, argument=True)
    if name in LOGARITHMS:
        if not value or base < 2:
            raise ValueError("no logarithm")
        value = CONTEXT.log(value) / CONTEXT.log(base) if base != 10 else LOGARITHMS[name](value)
    elif abs(value) < 10**6:  # sin(sin(10^99 i)) has more digits than there is memory
        value = FUNCTIONS[name](value)
    else:
        raise ValueError("too large an angle")
    return value if power is None else _raised(value, power)


def _group(tokens: list[str], point: int, bracket: str):
    """The value between a pair of brackets."""
    if tokens.pop() != bracket:
        raise ValueError("no bracket")
    value = _sum(tokens, point)
    if tokens.pop() != {"(": ")", "{": "}"}[bracket]:
        raise ValueError("a bracket that does not close")
    return value


def _is_function(token: str) -> bool:
    return token == r"\sqrt" or token[1:] in FUNCTIONS or token[1:] in LOGARITHMS
