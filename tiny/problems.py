"""Generated problems: linear systems, and three other kinds that show what training on systems forgets.

A hash of the problem's key decides its split, so no run, seed or stage can train on what another one tests on: 1 of 16
problems is for testing, 1 for validation, the rest for training. Data sets and the base's corpus use the same keys.
Variants of a problem have one key: an equation times a number; unknowns, terms, factors or options in another order.
"""

import math
import random
import re
from collections.abc import Callable

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
    rows = [tuple(system[:3]), tuple(system[3:6])]
    orders = rows, [(b, a, c) for a, b, c in rows]
    return min(tuple(sorted(map(_primitive, order))) for order in orders)


def _primitive(row: tuple[int, ...]) -> tuple[int, ...]:
    divisor = math.gcd(*row) * (-1 if row < (0, 0, 0) else 1)
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
    x = f"{'-' if a < 0 else ''}{abs(a) if abs(a) > 1 else ''}x"
    y = f"{'-' if b < 0 else '+'} {abs(b) if abs(b) > 1 else ''}y"
    return f"{x} {y} = {c}"


def _system(rng: random.Random, split: str, level: tuple[int, int], terse: float) -> tuple[str, list[str], int, int]:
    """Two equations of the split, their reasoning in lines (D, X, Y, x, y), and the solution x, y; as in linear()."""
    while True:
        a, b, d, e = (_nonzero(rng, level[0]) for _ in range(4))
        x, y = rng.randint(-level[1], level[1]), rng.randint(-level[1], level[1])
        c, f, det = a * x + b * y, d * x + e * y, a * e - b * d
        if det and split_of(system_key((a, b, c, d, e, f))) == split:
            break

    products = not (terse and rng.random() < terse)

    def determinant(name, p, q, r, s):
        return f"{name}={f'{p}*{q}-{r}*{s}=' if products else ''}{p * q}-{r * s}={p * q - r * s}"

    lines = [determinant("D", a, e, b, d), determinant("X", c, e, b, f), determinant("Y", a, f, c, d)]
    lines += [f"x={det * x}/{det}={x}", f"y={det * y}/{det}={y}"]
    return f"Equation 1: {_equation(a, b, c)} Equation 2: {_equation(d, e, f)}", lines, x, y


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
            question, truth = f"Is {term} even?", value % 2 == 0
            step = f"{value} is {'even' if truth else 'odd'}"
        else:
            gap = _nonzero(rng, 9)
            question, truth = f"Is {term} greater than {value - gap}?", gap > 0
            step = f"{value} - {value - gap} = {gap}"
        if split_of(question_key(question)) == split:
            working = f"{term} = {value}\n{step}"
            return {"question": question, "working": working, "solution": "yes" if truth else "no"}


def multiple_choice(rng: random.Random, split: str) -> dict:
    """Four options, one correct: the even number, the negative difference, or the word of a category."""
    while True:
        kind = rng.randrange(3)
        if kind == 0:
            stem = "Which of these is even?"
            wrong = [(str(n), f"{n} is odd") for n in rng.sample(range(1, 100, 2), 3)]
            n = 2 * rng.randint(1, 49)
            right = (str(n), f"{n} is even")
        elif kind == 1:
            stem, pairs = "Which of these is negative?", []
            while len(pairs) < 4:
                a, b = rng.randint(1, 30), rng.randint(1, 30)
                if a < b if not pairs else a > b:  # the first pair is the correct one
                    pairs.append((f"{a} - {b}", f"{a} - {b} = {a - b}"))
            right, *wrong = pairs
        else:
            category = rng.choice(list(CATEGORIES))
            stem, words = f"Which of these is {category}?", {w: c for c, all_of in CATEGORIES.items() for w in all_of}
            others = rng.sample([word for word in words if words[word] != category], 3)
            right, *wrong = ((w, f"{w} is {words[w]}") for w in (rng.choice(CATEGORIES[category]), *others))
        options = [right, *wrong]
        rng.shuffle(options)
        place = options.index(right)
        lettered = list(zip("ABCD", options))
        question = "\n".join([stem, *(f"{letter}) {shown}" for letter, (shown, _) in lettered)])
        if len({shown for shown, _ in options}) == 4 and split_of(question_key(question)) == split:
            working = "\n".join(f"{letter}) {step}" for letter, (_, step) in lettered[: place + 1])
            return {"question": question, "working": working, "solution": "ABCD"[place]}


def word_problem(rng: random.Random, split: str) -> dict:
    """A story with one or two additions, subtractions or small products; the answer is a whole number."""
    while True:
        kind, a, b, c = rng.randrange(4), rng.randint(2, 30), rng.randint(2, 30), rng.randint(2, 9)
        if kind in (1, 3) and b >= a:
            continue
        numbers = {0: (a, b), 1: (a, b), 2: (a, c), 3: (a, b, c)}[kind]
        if split_of(story_key(kind, numbers)) != split:
            continue
        name, thing = rng.choice(NAMES), rng.choice(("apples", "plums", "books", "coins", "cards", "eggs"))
        if kind == 0:
            story, steps, answer = f"{name} has {a} {thing} and gets {b} more.", [f"{a} + {b} = {a + b}"], a + b
        elif kind == 1:
            story, steps, answer = f"{name} has {a} {thing} and gives away {b}.", [f"{a} - {b} = {a - b}"], a - b
        elif kind == 2:
            story, steps, answer = f"{name} has {c} boxes with {a} {thing} each.", [f"{c} * {a} = {c * a}"], c * a
        else:
            story = f"{name} has {a} {thing}, gives away {b} and gets {c} more."
            steps, answer = [f"{a} - {b} = {a - b}", f"{a - b} + {c} = {a - b + c}"], a - b + c
        return {
            "question": f"{story} How many {thing} does {name} have now?",
            "working": "\n".join(steps),
            "solution": str(answer),
        }


# Kinds of problems that no training stage sees: their accuracy shows forgetting.
OTHER_SHAPES: dict[str, Callable] = {"yes_no": yes_no, "multiple_choice": multiple_choice, "word_problem": word_problem}


REPEATS = 10_000  # draws in a row without a new problem after which no more of them are looked for


def draw(make: Callable, split: str, n: int, seed: int, **options) -> list[dict]:
    """n different problems of one split, the same ones for the same seed; ends the script where there are fewer."""
    rng, found, repeats = random.Random(f"{seed}-{split}"), {}, 0
    while len(found) < n:
        problem = make(rng, split, **options)
        repeats = repeats + 1 if problem["question"] in found else 0
        found.setdefault(problem["question"], problem)
        if repeats == REPEATS:
            runs.fail(
                f"{n} different problems for {split} were asked for, but hardly more than {len(found)} exist; "
                "choose fewer rows, or a harder --level"
            )
    return list(found.values())
