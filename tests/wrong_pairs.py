r"""Wrong solutions of the truths of data sets: how many of them the comparison accepts, which has to be none.

Each pair is wrong by construction: digits or a sign changed, several answers, a negation or a hedge, an operator, a
word or a unit that changes the value, an interval with another end. The truths are those below and the answers in JSONL
files: the column `answer` (behind "####", if that stands in it) or `solution`.
    python tests/wrong_pairs.py FILE... --pairs 100000
"""

import argparse
import itertools
import json
import random
import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from common.answers import is_correct

TRUTHS = ["18", "-7", "120", "2.5", "1,250", "3/4", r"\frac{7}{12}", "0.05", "x=2, y=-3", r"2\sqrt{3}", "x^2+5x+6", "B"]
TRUTHS += [r"(-\infty,3]", r"x \le 3", "3 < x < 5", r"[3,5)", r"(-\infty,1)\cup(4,\infty)", "x<1 or x>4", r"90^\circ"]
TRUTHS += [
    r"28\%",
    r"\$18.90",
    r"12 \text{ dollars}",
    "18 m",
    "(3,5)",
    r"\{1, 4, 9\}",
    r"\frac{\pi}{6}",
    "|x-1|",
    "yes",
]
# <t> is the truth, <u> another number. Any truth:
LISTS = (
    "<t> or <u> | <u> or <t> | <t>, <u> | <u>, <t> | <t> and <u> | <t>; <u> | either <t> or <u> | <t> or <u> dollars"
)
LISTS += r" | <t> \text{ or } <u> | \{<t>, <u>\} | (<t>, <u>) | [<t>, <u>] | <t> / <u> or <u> | <t> \pm <u> | <t>\n<u>"
LISTS += r" | between <t> and <u> | <t> dollars and <u> cents | <t> to <u> | \boxed{<t>} \boxed{<u>}"
DOUBTS = r"not <t> | not <t> dollars | \neg <t> | \ne <t> | x \ne <t> | no <t> | anything but <t> | <t> is wrong | <t>?"
DOUBTS += " | about <t> | <t> maybe | maybe <t> | never <t> | <t> perhaps | <t> plus | <t> or not | <t> dollars or not"
DOUBTS += (
    " | <t> times | <t> or less | <t> does | > <t> | x < <t> | less than <t> | at most <t> | <t> or so | <t> guess"
)
# A plain number:
UNITS = (
    r"<t> % | <t>\% | <t> percent | <t> \text{ percent} | <t> cents | <t> million | <t> million dollars | <t>k | <t>M"
)
UNITS += " | <t> thousand | <t> hundred eggs | <t> dozen | <t> dozens | <t> dozen eggs | <t> millions | <t> hundreds"
UNITS += (
    r" | <t> tenths | <t> thirds | <t> halves | <t> pairs | <t> fives | <t> tens | <t> thousandths | <t>\text{ cents}"
)
UNITS += (
    r" | <t> billions of dollars | <t> dollars <u> | <t> dollars 5 | <t> square roots | <t> eggs, <u> eggs | <u> eggs"
)
UNITS += r" | <t>.9 dollars | 1<t> dollars | -<t> dollars | <t> dollars - 1 | <t> + 1 eggs | <u>^\circ | <t> (<u>)"
OPERATORS = (
    r"<t>! | <t>!! | (<t>)! | \sqrt{<t>} | <t>^2 | <t>^{-1} | <t> squared | <t> factorial | \log_2 <t> | \log <t>"
)
OPERATORS += (
    r" | \lceil <t>.5 \rceil | \lfloor -<t>.5 \rfloor | -|<t>| | |<t>|+1 | |<u>| | \binom{<t>}{2} | \binom{<u>}{1}"
)
OPERATORS += (
    r" | 2<t> | <t>+1 | <t>-1 | <t> \cdot 2 | 1/<t> | \frac{1}{<t>} | <t>e1 | <t>e-1 | 0.<t> | <t>i | \sin <t> | <t>_8"
)
OPERATORS += (
    r" | <t>\pi | x<t> | <t>x | |<t>|<t>| | (-\infty,<t>] | (<t>,\infty) | x \le <t> | <t> = <u> | \lfloor <t> | |<t>"
)


def number(text: str) -> Fraction | None:
    """The value of an integer, decimal or fraction."""
    text = text.replace(",", "").removeprefix(r"\$")
    return Fraction(text) if re.fullmatch(r"-?[0-9]*(\.[0-9]+|(?<=[0-9])/[1-9][0-9]*|(?<=[0-9]))", text) else None


def changed_digits(rng: random.Random, truth: str) -> Iterator[str]:
    """A digit of the truth exchanged, doubled, left out or moved behind a point."""
    if re.search(r"frac([^{]|\{[^{}]*\} ?[0-9])", truth):  # \frac{1}21 is \frac{1}{2} times 1
        return
    for place in [match.start() for match in re.finditer("[0-9]", truth)][:6]:
        digit = rng.choice([other for other in "123456789" if other != truth[place]])
        yield truth[:place] + digit + truth[place + 1 :]
        yield truth[:place] + truth[place] + digit + truth[place + 1 :]
        yield truth[:place] + truth[place + 1 :]
        if truth[place] != "0":
            yield truth[:place] + "." + truth[place:]


def changed_signs(truth: str) -> Iterator[str]:
    """One sign, bracket or relation of the truth turned."""
    turns = {"+": "-", "-": "+", "(": "[", ")": "]", "[": "(", "]": ")", "<": ">", ">": "<", r"\le": r"\ge"}
    yield f"-({truth})"
    for match in re.finditer(r"[-+()\[\]<>]|\\le(?![a-z])", truth):
        bracket = match[0] in "()[]"
        if not bracket or ("," in truth and not truth[: match.start()].endswith((r"\left", r"\right"))):
            yield truth[: match.start()] + turns[match[0]] + truth[match.end() :]


def wrong_solutions(rng: random.Random, truth: str) -> Iterator[str]:
    """Texts that are not the value of the truth."""
    value = number(truth)
    templates = [LISTS, DOUBTS]
    if value and "$" not in truth:
        templates += [UNITS, OPERATORS] if value > 3 else [UNITS]
    other = str(rng.choice([n for n in range(2, 99) if n != value]))
    for template in (
        " | ".join(templates).replace(r"\n", "\n").replace("\ne ", r"\ne ").replace("\neg", r"\neg").split(" | ")
    ):
        yield template.replace("<t>", truth).replace("<u>", other)
    for text in itertools.chain(changed_digits(rng, truth), changed_signs(truth)):
        if text.strip() and text != truth and (value is None or number(text) != value):
            yield text
            yield f"{text} dollars"


def pairs(seed: int, truths: list[str], count: int) -> Iterator[tuple[str, str]]:
    """Wrong solution and truth, up to so many; the truths in random order."""
    rng = random.Random(seed)
    truths = rng.sample(truths, len(truths))
    generated = ((solution, truth) for truth in truths for solution in wrong_solutions(rng, truth))
    return itertools.islice(generated, count)


def read_truths(path: Path) -> list[str]:
    """The different answers of a JSONL file."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    answers = [row["answer"] if "answer" in row else row["solution"] for row in rows]
    return list(dict.fromkeys(str(answer).rpartition("####")[2].strip() for answer in answers))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--pairs", type=int, default=100_000)
    args = parser.parse_args()
    truths = TRUTHS + [truth for path in args.files for truth in read_truths(path)]
    count = accepted = 0
    for solution, truth in pairs(1, list(dict.fromkeys(truths)), args.pairs):
        count += 1
        if is_correct(solution, truth):
            accepted += 1
            print(f"accepted: {solution!r} for {truth!r}")
    print(f"{len(truths)} truths, {count} wrong pairs, {accepted} accepted")


if __name__ == "__main__":
    main()
