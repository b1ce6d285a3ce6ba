"""Generated problems: linear systems, and three other kinds that show what training on systems forgets.

A hash of the problem's key decides its split, so no run, seed or stage can train on what another one tests on: 1 of 16
problems is for testing, 1 for validation, the rest for training. Data sets and the base's corpus use the same keys.
Variants of a problem have one key: an equation times a number; unknowns, terms, factors or options in another order.
"""

import math
import random
import re
from collections.abc import Callable

from tqdm import tqdm

from common import runs
from common.data import split_of

# Largest absolute coefficient and solution. "seed" is the range of the published linear-equations study.
LEVELS = {"easy": (3, 5), "medium": (5, 9), "hard": (9, 9), "harder": (9, 15), "hardest": (15, 15), "seed": (30, 30)}

NAMES = ("Ana", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo")
CATEGORIES = {
    "an animal": ("dog", "cat", "cow", "hen", "fox", "goat"),
    "a fruit": ("apple", "plum", "pear", "fig", "lemon", "peach"),
    "a colour": ("red", "blue", "green", "pink", "grey", "brown"),
    "a tool": ("saw", "axe", "hammer", "drill", "rake", "file"),
}


def system_key(system: tuple[int, ...]) -> tuple:
    """The key of the system (a, b, c, d, e, f), ax + by = c, dx + ey = f.

    Integers without a common divisor, the first one positive, equations sorted, and the smaller of the two keys that
    the order of the unknowns gives.
    """
    equations = [system[:3], system[3:6]]
    exchanged = [(b, a, c) for a, b, c in equations]
    return min(tuple(sorted(map(_primitive, equations))), tuple(sorted(map(_primitive, exchanged))))


def _primitive(row: tuple[int, ...]) -> tuple[int, ...]:
    divisor = math.gcd(*row)
    if row < (0, 0, 0):
        divisor = -divisor
    return tuple(number // divisor for number in row)


def question_key(question: str) -> tuple[str, ...]:
    """The key of a question of yes_no() or multiple_choice(): terms of a sum and options sorted, without letters."""
    stem, *options = question.split("\n")
    stem = re.sub(r"(\d+) \+ (\d+)", lambda terms: " + ".join(sorted(terms.groups(), key=int)), stem)
    return stem, *sorted(option.partition(") ")[2] for option in options)


def story_key(kind: int, numbers: tuple[int, ...]) -> tuple:
    """The key of a story of word_problem(), whatever its names, and the order in a sum or a product."""
    return "word", kind, tuple(sorted(numbers)) if kind in (0, 2) else numbers


def _nonzero(rng: random.Random, limit: int) -> int:
    return rng.choice((-1, 1)) * rng.randint(1, limit)


def _equation(a: int, b: int, c: int) -> str:
    x = {1: "x", -1: "-x"}.get(a, f"{a}x")
    sign = "-" if b < 0 else "+"
    y = f"{abs(b)}y" if abs(b) > 1 else "y"
    return f"{x} {sign} {y} = {c}"


def _system(rng: random.Random, split: str, level: tuple[int, int], terse: float) -> tuple[str, list[str], int, int]:
    """Two equations of the split, their reasoning in lines (D, X, Y, x, y), and the solution x, y; as in linear()."""
    while True:
        a, b, d, e = (_nonzero(rng, level[0]) for _ in range(4))
        x, y = rng.randint(-level[1], level[1]), rng.randint(-level[1], level[1])
        c = a * x + b * y
        f = d * x + e * y
        det = a * e - b * d
        if det and split_of(system_key((a, b, c, d, e, f))) == split:
            break
    products = not (terse and rng.random() < terse)
    lines = [
        _determinant("D", a, e, b, d, products),
        _determinant("X", c, e, b, f, products),
        _determinant("Y", a, f, c, d, products),
        f"x={det * x}/{det}={x}",
        f"y={det * y}/{det}={y}",
    ]
    return f"Equation 1: {_equation(a, b, c)} Equation 2: {_equation(d, e, f)}", lines, x, y


def _determinant(name: str, p: int, q: int, r: int, s: int, products: bool) -> str:
    """The line that computes p * q - r * s; products: the factors are written out."""
    factors = f"{p}*{q}-{r}*{s}=" if products else ""
    return f"{name}={factors}{p * q}-{r * s}={p * q - r * s}"


def linear(rng: random.Random, split: str, level: tuple[int, int] = LEVELS["hard"], terse: float = 0.0) -> dict:
    """Two equations in x and y with integer coefficients and solution, determinant not 0, solved by Cramer's rule.

    level: largest absolute coefficient, largest absolute solution. terse: fraction of the problems whose reasoning
    begins with the values of the products; the others write out every product.
    """
    equations, lines, x, y = _system(rng, split, level, terse)
    question = f"Solve the following system of linear equations for the variables x and y: {equations}"
    return {"question": question, "working": "\n".join(lines), "solution": f"x={x}, y={y}"}


def linear_x(rng: random.Random, split: str, level: tuple[int, int] = LEVELS["hard"], terse: float = 0.0) -> dict:
    """A system as in linear(), of which only x is asked for: the last operation, X / D, is done inside the solution.

    So the confidence in the solution can differ from problem to problem; in linear() the solution copies the reasoning.
    """
    equations, lines, x, _ = _system(rng, split, level, terse)
    question = f"Solve the following system of linear equations for the variable x: {equations}"
    return {"question": question, "working": "\n".join(lines[:2]), "solution": str(x)}


def linear_sum(rng: random.Random, split: str, level: tuple[int, int] = LEVELS["hard"], terse: float = 0.0) -> dict:
    """A system as in linear(), of which x + y is asked for: two skills of the base that its corpus never composes."""
    equations, lines, x, y = _system(rng, split, level, terse)
    question = f"What is x + y in the following system of linear equations? {equations}"
    return {"question": question, "working": "\n".join([*lines, f"{x} + {y} = {x + y}"]), "solution": str(x + y)}


# Data sets of linear systems, by what is asked for.
SYSTEMS: dict[str, Callable] = {"linear": linear, "linear_x": linear_x, "linear_sum": linear_sum}


def _sum(rng: random.Random) -> tuple[str, int]:
    a, b, sign = rng.randint(1, 30), rng.randint(1, 30), rng.choice("+-")
    return f"{a} {sign} {b}", a + b if sign == "+" else a - b


def yes_no(rng: random.Random, split: str) -> dict:
    """Whether a sum or difference is even, or greater than a number."""
    while True:
        term, value = _sum(rng)
        if rng.random() < 0.5:
            question = f"Is {term} even?"
            truth = value % 2 == 0
            step = f"{value} is {'even' if truth else 'odd'}"
        else:
            gap = _nonzero(rng, 9)
            question = f"Is {term} greater than {value - gap}?"
            truth = gap > 0
            step = f"{value} - {value - gap} = {gap}"
        if split_of(question_key(question)) == split:
            reasoning = f"{term} = {value}\n{step}"
            return {"question": question, "working": reasoning, "solution": "yes" if truth else "no"}


def _even(rng: random.Random) -> tuple[str, list[tuple[str, str]]]:
    """The stem of a question, and its options with their reasoning, the correct one first; so for the next two."""
    odd = [(str(n), f"{n} is odd") for n in rng.sample(range(1, 100, 2), 3)]
    n = 2 * rng.randint(1, 49)
    return "Which of these is even?", [(str(n), f"{n} is even"), *odd]


def _negative(rng: random.Random) -> tuple[str, list[tuple[str, str]]]:
    options = []
    while len(options) < 4:
        a, b = rng.randint(1, 30), rng.randint(1, 30)
        fits = a > b if options else a < b
        if fits:
            options.append((f"{a} - {b}", f"{a} - {b} = {a - b}"))
    return "Which of these is negative?", options


def _category(rng: random.Random) -> tuple[str, list[tuple[str, str]]]:
    category = rng.choice(list(CATEGORIES))
    category_of = {word: name for name, words in CATEGORIES.items() for word in words}
    others = rng.sample([word for word in category_of if category_of[word] != category], 3)
    words = [rng.choice(CATEGORIES[category]), *others]
    return f"Which of these is {category}?", [(word, f"{word} is {category_of[word]}") for word in words]


def multiple_choice(rng: random.Random, split: str) -> dict:
    """Four options, one correct: the even number, the negative difference, or the word of a category."""
    while True:
        stem, options = (_even, _negative, _category)[rng.randrange(3)](rng)
        correct = options[0]
        rng.shuffle(options)
        lines = [f"{letter}) {text}" for letter, (text, _) in zip("ABCD", options)]
        question = "\n".join([stem, *lines])
        if len(set(options)) == 4 and split_of(question_key(question)) == split:
            place = options.index(correct)
            steps = [f"{letter}) {step}" for letter, (_, step) in zip("ABCD", options[: place + 1])]
            return {"question": question, "working": "\n".join(steps), "solution": "ABCD"[place]}


def word_problem(rng: random.Random, split: str) -> dict:
    """A story with one or two additions, subtractions or small products; the answer is a whole number."""
    while True:
        kind = rng.randrange(4)
        a, b, c = rng.randint(2, 30), rng.randint(2, 30), rng.randint(2, 9)
        if kind in (1, 3) and b >= a:
            continue
        numbers = ((a, b), (a, b), (a, c), (a, b, c))[kind]
        if split_of(story_key(kind, numbers)) != split:
            continue
        name = rng.choice(NAMES)
        thing = rng.choice(("apples", "plums", "books", "coins", "cards", "eggs"))
        if kind == 0:
            story = f"{name} has {a} {thing} and gets {b} more."
            reasoning = f"{a} + {b} = {a + b}"
        elif kind == 1:
            story = f"{name} has {a} {thing} and gives away {b}."
            reasoning = f"{a} - {b} = {a - b}"
        elif kind == 2:
            story = f"{name} has {c} boxes with {a} {thing} each."
            reasoning = f"{c} * {a} = {c * a}"
        else:
            story = f"{name} has {a} {thing}, gives away {b} and gets {c} more."
            reasoning = f"{a} - {b} = {a - b}\n{a - b} + {c} = {a - b + c}"
        question = f"{story} How many {thing} does {name} have now?"
        return {"question": question, "working": reasoning, "solution": reasoning.rpartition("= ")[2]}


# Kinds of problems that no training stage sees: their accuracy shows forgetting.
OTHER_SHAPES: dict[str, Callable] = {"yes_no": yes_no, "multiple_choice": multiple_choice, "word_problem": word_problem}


REPEATS = 10_000  # draws in a row without a new problem after which no more of them are looked for


def draw(make: Callable, split: str, n: int, seed: int, **options) -> list[dict]:
    """n different problems of one split, the same ones for the same seed; ends the script where there are fewer."""
    rng = random.Random(f"{seed}-{split}")
    drawn = {}  # by question
    repeats = 0
    bar = tqdm(total=n, desc=split, unit=" rows", delay=2, disable=None)
    while len(drawn) < n:
        problem = make(rng, split, **options)
        if problem["question"] not in drawn:
            drawn[problem["question"]] = problem
            repeats = 0
            bar.update()
            continue
        repeats += 1
        if repeats == REPEATS:
            runs.fail(
                f"{n} different problems for {split} were asked for, but hardly more than {len(drawn)} exist; "
                "choose fewer rows, a harder --level, or templates with more wordings and values"
            )
    bar.close()
    return list(drawn.values())
