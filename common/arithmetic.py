r"""Check the arithmetic stated in a reasoning text: every equality of numbers is parsed and evaluated exactly.

A side of an equality is the longest run of numbers, operators and brackets beside its "=". Words, punctuation and
line ends bound a run, so that "Ann sold 48/2 = 24 clips." states 48/2 = 24; a chain a = b = c states two equalities.
Numbers: ASCII digits, thousands commas, decimals, percent (a hundredth); currency signs are ignored. Operations:
+ - * / and ^, x or × between numbers, ÷, \times, \cdot, \div, \frac{a}{b}, brackets, 2(3 + 4).
Not counted: a side with a letter ("x = 5", "2x + 3 = 7"), a side interrupted by a unit ("3 m + 2 m = 5 m"), a side
that cannot be parsed ("5 + = 7", "6/2(3)", "1 1/2", sqrt(16)), two identical sides ("1 = 1"), and an equality that was
stated before. Values are exact: 10/3 = 3.33 is incorrect, and so is 100 - 5 = 95%.

No text reaches eval(): one regular expression without nested repeats cuts it into tokens, and a small recursive-descent
parser evaluates them. The length of the text and of a side, the depth of brackets and the size of values are bounded.
"""

import re
from fractions import Fraction

MAX_CHARS = 20_000  # of a text; the rest is ignored
MAX_DIGITS = 30  # of a number
MAX_TOKENS, MAX_DEPTH = 200, 20  # of one side
MAX_BITS = 1000  # of a numerator or denominator, about 300 digits

TOKEN = re.compile(
    r"""(?P<equals>(?<![<>!:=])=(?![=>])|==|&=)
    |(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3}){1,9}(?![0-9,])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)
    |(?P<frac>\\[dt]?frac(?![A-Za-z]))
    |(?P<operator>\^|(?<=[0-9)])\*\*(?=[-0-9(])|(?<=[ ])\*\*(?=[ ])|//|[-+/%]|\*(?!\*)
        |\\(?:times|cdot|div|%)(?![A-Za-z])|[−–×·∗÷]|(?<=[0-9)])[xX](?=[0-9(]))
    |(?P<open>(?:\\left)?(?<!\\)[(\[{])|(?P<close>(?:\\right)?(?<!\\)[)\]}])
    |(?P<ignored>[ \t$£€¥&]|\*\*|\\[()\[\],;:! $]|\\(?:boxed|quad|left|right|displaystyle)(?![A-Za-z]))
    |(?P<word>\\(?:text[a-z]*|mathrm|mbox)\s?\{[^{}\n]{0,100}\}|[^\W\d_]{2,}(?![\w(]))
    |(?P<letter>[^\W\d_][\w]*|\\(?:pi|theta|alpha|beta)(?![A-Za-z]))
    |(?P<unreadable>\\[A-Za-z]+|(?<=[0-9])[,:](?=[0-9])|[|°√]|\d)
    |(?P<cut>.)""",
    re.VERBOSE | re.DOTALL,
)
BULLET = re.compile(r"^[ \t]*(?:[-*•][ \t]+|\(?[0-9A-Za-z]{1,2}[).][ \t]+)", re.MULTILINE)
CANONICAL = {"−": "-", "–": "-", "×": "*", "·": "*", "∗": "*", "x": "*", "X": "*", "÷": "/", "**": "^"}
CANONICAL |= {r"\times": "*", r"\cdot": "*", r"\div": "/", r"\%": "%"}


def check(text: str) -> tuple[int, int]:
    """(correct equalities, stated equalities) of a text; (0, 0) where none is stated. Never raises.

    Whether the equalities have anything to do with the problem is not checked.
    """
    if not isinstance(text, str):
        return 0, 0
    stated = {}
    segment, before = [], []  # the tokens since the last "=", and the run that ended at it
    for kind, token in [*_tokens(text), ("cut", ""), ("equals", "=")]:
        if kind != "equals":
            segment.append((kind, token))
            continue
        runs = _runs(segment)
        values = _value(before), _value(runs[0])
        sides = _text(before), _text(runs[0])
        if None not in values and sides[0] != sides[1]:
            stated[sides] = values[0] == values[1]
        segment, before = [], runs[-1]
    return sum(stated.values()), len(stated)


def fraction_correct(text: str) -> float:
    """The fraction of a text's stated equalities that are correct, 0 to 1; 0 where none is stated."""
    correct, stated = check(text)
    return correct / stated if stated else 0.0


def _tokens(text: str) -> list[tuple[str, str]]:
    """Kind and text of each token: operators in one spelling; a single letter is a variable, a word or a times sign."""
    text = BULLET.sub("\n", text[:MAX_CHARS])
    found = [match for match in TOKEN.finditer(text) if match.lastgroup != "ignored"]
    tokens = []
    for i, match in enumerate(found):
        kind, shown = match.lastgroup, match[0]
        if kind == "operator":
            shown = CANONICAL.get(shown, shown)
        elif kind == "letter" and len(shown) == 1:
            last, following = (found[j] if 0 <= j < len(found) else None for j in (i - 1, i + 1))
            kinds = last and last.lastgroup, following and following.lastgroup
            apart = (not last or last.end() < match.start()) and (not following or match.end() < following.start())
            if shown in "xX" and kinds[0] in ("number", "close", "word") and kinds[1] in ("number", "open", "frac"):
                kind, shown = "operator", "*"
            elif apart and not {"operator", "equals"} & set(kinds):
                kind = "word"  # "18 a day"
        elif kind == "number" and len(shown) > MAX_DIGITS:
            kind = "unreadable"
        tokens.append((kind, shown))
    return tokens


def _runs(segment: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The segment cut at words, at other text and at unmatched brackets; at least one run, possibly empty."""
    partner, opened = {}, []
    for i, (kind, _) in enumerate(segment):
        if kind == "open":
            opened.append(i)
        elif kind == "close" and opened:
            partner[i] = opened.pop()
        elif kind in ("word", "cut"):
            opened.clear()
    paired, runs = {*partner, *partner.values()}, [[]]
    for i, (kind, text) in enumerate(segment):
        if kind == "word":  # the operand of an operator beside a word is unknown: "3 eggs + 2 = 5", "3 + an egg, 2 = 5"
            last = runs[-1][-1][0] if runs[-1] else ""
            runs.append([("unreadable" if last in ("operator", "unreadable") else "word", "")])
        elif kind == "cut" or (kind in ("open", "close") and i not in paired):
            runs.append([])
        else:
            runs[-1].append((kind, text))
    return runs


def _text(run: list[tuple[str, str]]) -> str:
    return " ".join(text for _, text in run if text)


def _value(run: list[tuple[str, str]]) -> Fraction | None:
    """The exact value of a run; None unless it is an expression of plain numbers within the bounds."""
    if run and run[0][0] == "word":
        run = run[1:]
        if run and run[0][0] == "operator":
            return None
    kinds = {kind for kind, _ in run}
    if not run or len(run) > MAX_TOKENS or not kinds <= {"number", "operator", "open", "close", "frac"}:
        return None
    try:
        tokens = [*run, ("end", "")][::-1]
        value = _sum(tokens, 0)
        return value if tokens[-1][0] == "end" else None
    except (ValueError, ZeroDivisionError):
        return None


# The recursive-descent parser. `tokens` is a stack, the run reversed: each function pops what it parses off its end.


def _sum(tokens: list, depth: int) -> Fraction:
    value = _product(tokens, depth)
    while tokens[-1][1] in ("+", "-"):
        sign = tokens.pop()[1]
        term = _product(tokens, depth)
        value = _bounded(value + term if sign == "+" else value - term)
    return value


def _product(tokens: list, depth: int) -> Fraction:
    value, divided = _signed(tokens, depth), False
    while tokens[-1][1] in ("*", "/") or tokens[-1][0] == "open":
        if tokens[-1][0] == "open":
            if divided:
                raise ValueError("6/2(3) means two things")
            value = _bounded(value * _signed(tokens, depth))
        elif tokens.pop()[1] == "*":
            value = _bounded(value * _signed(tokens, depth))
        else:
            value, divided = _bounded(value / _signed(tokens, depth)), True
    return value


def _signed(tokens: list, depth: int) -> Fraction:
    sign = 1
    while tokens[-1][1] in ("+", "-"):
        sign = -sign if tokens.pop()[1] == "-" else sign
    value = _atom(tokens, depth)
    if tokens[-1][1] == "^":
        tokens.pop()
        exponent = _signed(tokens, depth + 1)
        bits = max(value.numerator.bit_length(), value.denominator.bit_length())
        if exponent.denominator != 1 or abs(exponent) * bits > MAX_BITS:
            raise ValueError("a root, or a power too large")
        value = value ** int(exponent)
    return sign * value


def _atom(tokens: list, depth: int) -> Fraction:
    kind, text = tokens.pop()
    if depth > MAX_DEPTH:
        raise ValueError("too deep")
    if kind == "number":
        value = Fraction(text.replace(",", ""))
    elif kind == "frac":
        if not tokens[-1][0] == "open":
            raise ValueError("a fraction without braces")
        top = _bracket(tokens, depth)
        value = _bounded(top / _bracket(tokens, depth))
    elif kind == "open":
        tokens.append((kind, text))
        value = _bracket(tokens, depth)
    else:
        raise ValueError("not a number")
    if tokens[-1][1] == "%":
        tokens.pop()
        value /= 100
    return value


def _bracket(tokens: list, depth: int) -> Fraction:
    if tokens.pop()[0] != "open":
        raise ValueError("no bracket")
    value = _sum(tokens, depth + 1)
    if tokens.pop()[0] != "close":
        raise ValueError("a bracket that does not close")
    return value


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise ValueError("too large")
    return value
