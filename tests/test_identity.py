"""Variants of a problem have one key and one split, in data sets and in the base's corpus."""

import random
import re
from fractions import Fraction

import pytest
from conftest import load_script
from test_tasks import SYSTEM, read_system

from common import data
from tiny import problems

STORIES = {  # by kind
    0: r"has (\d+) \w+ and gets (\d+) more",
    1: r"has (\d+) \w+ and gives away (\d+)\.",
    2: r"has (\d+) boxes with (\d+) \w+ each",
    3: r"has (\d+) \w+, gives away (\d+) and gets (\d+) more",
}
SIZES = {"train": 4000, "test": 200}


def drawn(make, n: int = 300, **options) -> list[str]:
    """Questions of every split."""
    return [problem["question"] for split in data.SPLITS for problem in problems.draw(make, split, n, 1, **options)]


def system_variants(rng: random.Random, system: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The system with its equations multiplied, in the other order, with x and y exchanged, and all of these."""
    rows = [system[:3], system[3:]]
    scaled = [tuple(k * n for n in row) for row, k in zip(rows, (rng.choice((-3, -2, 2, 5)), rng.choice((-1, 1, 7))))]
    exchanged = [[(b, a, c) for a, b, c in some] for some in (rows, scaled)]
    return [(*one, *other) for one, other in (scaled, rows[::-1], exchanged[0], exchanged[1][::-1])]


def question_variants(rng: random.Random, question: str) -> list[str]:
    """A yes/no question with the terms of its sum exchanged, or one of multiple choice with its options shuffled."""
    stem, *options = question.split("\n")
    if not options:
        return [re.sub(r"(\d+) \+ (\d+)", r"\2 + \1", question)]
    texts = [option[3:] for option in options]
    rng.shuffle(texts)
    return ["\n".join([stem, *(f"{letter}) {text}" for letter, text in zip("ABCD", texts))])]


def assert_same(keys: list) -> None:
    assert len(set(keys)) == 1 and len(set(map(data.split_of, keys))) == 1, keys


def test_variants_of_a_system_have_one_key():
    rng = random.Random(0)
    for question in drawn(problems.linear):
        system = read_system(question)
        assert_same([problems.system_key(variant) for variant in (system, *system_variants(rng, system))])
    assert problems.system_key((-4, 6, 2, 1, 3, 5)) == ((1, 3, 5), (2, -3, -1))


@pytest.mark.parametrize("make", [problems.yes_no, problems.multiple_choice])
def test_variants_of_a_question_have_one_key(make):
    rng = random.Random(0)
    for question in drawn(make):
        assert_same([problems.question_key(variant) for variant in (question, *question_variants(rng, question))])


def test_variants_of_a_story_have_one_key():
    for a, b in ((3, 5), (20, 7), (8, 8)):
        assert_same([problems.story_key(0, (a, b)), problems.story_key(0, (b, a))])
        assert_same([problems.story_key(2, (a, b)), problems.story_key(2, (b, a))])


def test_different_problems_have_different_keys():
    systems = [(1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 5, 7), (1, 2, -3, 4, 5, 6), (1, -2, 3, 4, 5, 6), (2, 2, 3, 4, 5, 6)]
    systems += [(1, 2, 3, 5, 4, 6), (2, 2, 6, 4, 5, 6), (1, 2, 3, 5, 7, 9)]  # one row exchanged; other equations
    assert len({problems.system_key(system) for system in systems}) == len(systems)
    questions = ["Is 3 + 5 even?", "Is 3 - 5 even?", "Is 5 - 3 even?", "Is 3 + 6 even?", "Is 3 + 5 greater than 7?"]
    questions += ["Is 3 + 5 greater than 8?", "Is 13 + 5 even?", "Which?\nA) 5\nB) 6", "Which?\nA) 5\nB) 7"]
    questions += ["Which one?\nA) 5\nB) 6", "Which?\nA) 3 - 5\nB) 6", "Which?\nA) 5 - 3\nB) 6"]
    assert len({problems.question_key(question) for question in questions}) == len(questions)
    stories = [(0, (3, 5)), (0, (3, 6)), (1, (5, 3)), (2, (3, 5)), (3, (5, 3, 2)), (3, (5, 2, 3))]
    assert len({problems.story_key(*story) for story in stories}) == len(stories)


def test_only_variants_of_a_system_share_a_key():
    def solved_for_x(rows):
        return frozenset((Fraction(b, a), Fraction(c, a)) for a, b, c in rows)

    systems = [read_system(question) for question in drawn(problems.linear, 700, level=problems.LEVELS["easy"])]
    classes = {
        frozenset((solved_for_x((s[:3], s[3:])), solved_for_x((b, a, c) for a, b, c in (s[:3], s[3:]))))
        for s in systems
    }
    assert len({problems.system_key(system) for system in systems}) == len(classes) < len(systems)


def key_of(question: str) -> tuple:
    """The key of a problem by its text."""
    if "Equation 1" in question:
        return problems.system_key(read_system(question))
    for kind, story in STORIES.items():
        if found := re.search(story, question):
            numbers = tuple(map(int, found.groups()))
            return problems.story_key(kind, numbers[::-1] if kind == 2 else numbers)
    return problems.question_key(question)


KINDS = [*problems.SYSTEMS.values(), *problems.OTHER_SHAPES.values()]


@pytest.mark.parametrize("make", KINDS)
def test_no_test_problem_has_a_variant_in_training(make):
    level = {"level": problems.LEVELS["easy"]} if make in problems.SYSTEMS.values() else {}
    train, test = ([p["question"] for p in problems.draw(make, s, n, 1, **level)] for s, n in SIZES.items())
    assert not {key_of(question) for question in train} & {key_of(question) for question in test}


def test_the_corpus_of_the_base_has_no_variant_of_a_test_problem():
    base, rng, found = load_script("tiny/make_base.py"), random.Random(0), 0
    for _ in range(3000):
        text = "".join(base.document(rng))
        questions = SYSTEM.findall(text) or re.findall(
            r"user\n((?:Is|Which|[A-Z][a-z]+ has) .*?)<\|im_end\|>", text, re.S
        )
        keys = [key_of(question) for question in questions]
        assert all(data.split_of(key) == "train" for key in keys)
        found += len(keys)
    assert found > 1500
