r"""Check the arithmetic stated in a reasoning text: every equality of numbers is parsed and evaluated exactly.

A side of an equality is the longest run of numbers, operators and brackets beside its "=". Words, punctuation and
line ends bound a run, so that "Ann sold 48/2 = 24 clips." states 48/2 = 24; a chain a = b = c states two equalities.
Numbers: ASCII digits, thousands commas, decimals, percent (a hundredth); currency signs are ignored. Operations:
+ - * / and ^, x or × between numbers, ÷, \times, \cdot, \div, \frac{a}{b}, brackets, 2(3 + 4).
Values are exact: 10/3 = 3.33 is incorrect, and so is 100 - 5 = 95%. A malformed equality is incorrect: one with an
operator that lacks its operand ("5 + = 7"), or with a calculation and then nothing ("3*4=" at the end of a line).
A correct one counts only if the answer rests on it, or "1+0=1" would get full marks. The text is followed backwards
from the numbers of the answer: where all numbers to the right of an "=" are needed, those to its left are needed too,
also beside words and letters. An answer without a number, as yes or B, rests on the last line.
Not counted: a side with a letter ("x = 5", "2x + 3 = 7"), a side interrupted by a unit ("3 m + 2 m = 5 m"), a side
that cannot be parsed ("6/2(3)", "1 1/2", sqrt(16)), two identical sides ("1 = 1"), and an equality that was stated
before.

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
MISSING = re.compile(r"[-+*/^] (?:[*/^]|$)")  # in a side with spaces between its tokens: an operand
BULLET = re.compile(r"^[ \t]*(?:[-*•][ \t]+|\(?[0-9A-Za-z]{1,2}[).][ \t]+)", re.MULTILINE)
CANONICAL = {"−": "-", "–": "-", "×": "*", "·": "*", "∗": "*", "x": "*", "X": "*", "÷": "/", "**": "^"}
CANONICAL |= {r"\times": "*", r"\cdot": "*", r"\div": "/", r"\%": "%"}


def check(text: str, answer: str | None) -> tuple[int, int]:
    """(correct equalities, counted equalities) of a reasoning text; (0, 0) where none counts. Never raises.

    answer: the answer that the text leads to, correct or not; None for none. Whether the equalities have anything to do
    with the problem is not checked: "41+1=42" supports an answer of 42.
    """
    if not isinstance(text, str):
        return 0, 0
    text = text[:MAX_CHARS].strip()
    steps, last = _steps(text)
    needed = _numbers(_tokens(answer or "")) or _numbers(_tokens(text.rpartition("\n")[2]))
    if needed & last:  # a last sentence: "6.75 packs, so he must buy 7."
        needed |= last
    correct = incorrect = 0
    for verdict, operands, results in reversed(steps):
        if verdict is False:
            incorrect += 1
        if results <= needed:
            needed |= operands
            if verdict is True:
                correct += 1
    return correct, correct + incorrect


def fraction_correct(text: str, answer: str | None) -> float:
    """The fraction of a text's counted equalities that are correct, 0 to 1; 0 where none counts."""
    correct, counted = check(text, answer)
    return correct / counted if counted else 0.0


def _steps(text: str) -> tuple[list[tuple[bool | None, set, set]], set]:
    """(Verdict, numbers before it, numbers of its right side) of each "="; the numbers after the last right side.

    Verdict: whether the equality is correct, or None if it is not counted. The numbers before an "=" are those after
    the right side of the previous one.
    """
    steps = []
    stated = set()
    segment = []  # the tokens since the last "="
    left = []  # the left side of that "="
    operands = set()  # the numbers before it
    for kind, token in [*_tokens(text), ("cut", ""), ("equals", "=")]:
        if kind != "equals":
            segment.append((kind, token))
            continue
        runs = _runs(segment)
        right = runs[0]
        sides = _text(left), _text(right)
        ends = not segment or segment[0][1] in ("", "\n")
        verdict = None if sides in stated else _verdict(left, right, ends)
        steps.append((verdict, operands, _numbers(right)))
        stated.add(sides)
        segment = []
        left = runs[-1]
        operands = set().union(*map(_numbers, runs[1:] or runs))
    return steps, operands


def _tokens(text: str) -> list[tuple[str, str]]:
    """Kind and text of each token: operators in one spelling; a single letter is a variable, a word or a times sign."""
    text = BULLET.sub("\n", text[:MAX_CHARS])
    matches = [match for match in TOKEN.finditer(text) if match.lastgroup != "ignored"]
    tokens = []
    for before, match, after in zip([None, *matches], matches, [*matches[1:], None]):
        kind, token = match.lastgroup, match[0]
        if kind == "operator":
            token = CANONICAL.get(token, token)
        elif kind == "letter" and len(token) == 1:
            kind, token = _letter(before, match, after)
        elif kind == "number" and len(token) > MAX_DIGITS:
            kind = "unreadable"
        tokens.append((kind, token))
    return tokens


def _letter(before: re.Match | None, match: re.Match, after: re.Match | None) -> tuple[str, str]:
    """Kind and text of a single letter between its neighbours."""
    last = before and before.lastgroup
    following = after and after.lastgroup
    if match[0] in "xX" and last in ("number", "close", "word") and following in ("number", "open", "frac"):
        return "operator", "*"
    apart = (not before or before.end() < match.start()) and (not after or match.end() < after.start())
    if apart and not {"operator", "equals"} & {last, following}:
        return "word", match[0]  # "18 a day"
    return "letter", match[0]


def _runs(segment: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The segment cut at words, at other text and at unmatched brackets; at least one run, possibly empty."""
    paired = set()  # places of brackets with a partner
    opened = []
    for i, (kind, _) in enumerate(segment):
        if kind == "open":
            opened.append(i)
        elif kind == "close" and opened:
            paired |= {i, opened.pop()}
        elif kind in ("word", "cut"):
            opened.clear()
    runs = [[]]
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


def _numbers(tokens: list[tuple[str, str]]) -> set[Fraction]:
    return {Fraction(text.replace(",", "")) for kind, text in tokens if kind == "number"}


def _verdict(left: list[tuple[str, str]], right: list[tuple[str, str]], ends: bool) -> bool | None:
    """Whether left = right is correct; None if it is not counted. ends: nothing follows the "=" on its line."""
    if _plain(left) and MISSING.search(_text(left) + " "):
        return False
    if _plain(right) and MISSING.search(_text(right)):
        return False
    left_value, right_value = _value(left), _value(right)
    if ends and left_value is not None and len(left) > 2:
        return False
    if left_value is None or right_value is None or _text(left) == _text(right):
        return None
    return left_value == right_value


def _plain(run: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The run without the mark of a word before it; [] unless it is numbers, operators and brackets alone."""
    run = run[1:] if run and run[0][0] == "word" else run
    kinds = {kind for kind, _ in run}
    return run if "number" in kinds and kinds <= {"number", "operator", "open", "close", "frac"} else []


def _value(run: list[tuple[str, str]]) -> Fraction | None:
    """The exact value of a run; None unless it is an expression of plain numbers within the bounds."""
    if run and run[0][0] == "word" and run[1:] and run[1][0] == "operator":
        return None  # its first operand is a word
    run = _plain(run)
    if not run or len(run) > MAX_TOKENS:
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
    value = _signed(tokens, depth)
    divided = False
    while tokens[-1][1] in ("*", "/") or tokens[-1][0] == "open":
        if tokens[-1][0] == "open":
            if divided:
                raise ValueError("6/2(3) means two things")
            value = _bounded(value * _signed(tokens, depth))
        elif tokens.pop()[1] == "*":
            value = _bounded(value * _signed(tokens, depth))
        else:
            value = _bounded(value / _signed(tokens, depth))
            divided = True
    return value


def _signed(tokens: list, depth: int) -> Fraction:
    sign = 1
    while tokens[-1][1] in ("+", "-"):
        if tokens.pop()[1] == "-":
            sign = -sign
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
        if tokens[-1][0] != "open":
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
