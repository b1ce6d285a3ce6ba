"""The problems that code makes are correct, and no split or stage sees another one's."""

import json
import random
import re
from fractions import Fraction

import pytest
from conftest import load_script

from BFCL.bfcl.vocabulary import words
from common import answers, data
from tiny import problems

EQUATION = re.compile(r"Equation [12]: (-?)(\d*)x ([+-]) (\d*)y = (-?\d+)")
SYSTEM = re.compile(r"Equation 1: .*?= -?\d+ Equation 2: .*?= -?\d+")


def read_system(question: str) -> tuple[int, ...]:
    rows = []
    for sign, x, plus, y, total in EQUATION.findall(question):
        rows += [int(x or 1) * (-1 if sign else 1), int(y or 1) * (-1 if plus == "-" else 1), int(total)]
    return tuple(rows)


@pytest.mark.parametrize("level", problems.LEVELS)
def test_linear_systems_have_their_solution_and_correct_reasoning(level):
    for split in data.SPLITS:
        for problem in problems.draw(problems.linear, split, 30, 1, level=problems.LEVELS[level]):
            a, b, c, d, e, f = read_system(problem["question"])
            x, y = map(int, re.fullmatch(r"x=(-?\d+), y=(-?\d+)", problem["solution"]).groups())
            assert a * x + b * y == c and d * x + e * y == f and a * e != b * d
            assert max(abs(n) for n in (a, b, d, e)) <= problems.LEVELS[level][0]
            for line in problem["working"].splitlines():
                assert (
                    len(
                        {value(side) for side in line.split("=")[1 if line[0] in "DXY" else 0 :] if side[0] not in "xy"}
                    )
                    == 1
                )


def value(side: str) -> Fraction:
    """p, p/q, p-q or p*q-r*s with signed whole numbers."""
    number = r"(-?\d+)"
    if found := re.fullmatch(rf"{number}\*{number}-{number}\*{number}", side):
        p, q, r, s = map(int, found.groups())
        return Fraction(p * q - r * s)
    if found := re.fullmatch(rf"{number}-{number}", side):
        return Fraction(int(found[1]) - int(found[2]))
    if found := re.fullmatch(rf"{number}/{number}", side):
        return Fraction(int(found[1]), int(found[2]))
    return Fraction(int(side))


@pytest.mark.parametrize("make", [*problems.SYSTEMS.values(), *problems.OTHER_SHAPES.values()])
def test_splits_are_disjoint_and_repeatable(make):
    drawn = {split: problems.draw(make, split, 150, 7) for split in data.SPLITS}
    questions = {split: {problem["question"] for problem in rows} for split, rows in drawn.items()}
    assert all(len(found) == 150 for found in questions.values())
    assert not questions["train"] & questions["test"] and not questions["train"] & questions["validation"]
    assert not questions["validation"] & questions["test"]
    assert drawn["test"] == problems.draw(make, "test", 150, 7)


def test_the_order_of_the_equations_does_not_change_the_split():
    assert problems.system_key((1, 2, 3, 4, 5, 6)) == problems.system_key((4, 5, 6, 1, 2, 3))


def test_other_shapes_are_correct():
    for name, make in problems.OTHER_SHAPES.items():
        for problem in problems.draw(make, "train", 200, 3):
            question, solution = problem["question"], problem["solution"]
            assert answers.is_correct(solution, solution)
            if name == "yes_no":
                a, sign, b = re.match(r"Is (\d+) ([+-]) (\d+)", question).groups()
                total = int(a) + int(b) if sign == "+" else int(a) - int(b)
                other = re.search(r"greater than (-?\d+)", question)
                truth = total > int(other[1]) if other else total % 2 == 0
                assert solution == ("yes" if truth else "no")
            if name == "multiple_choice":
                stem, *lines = question.splitlines()
                options = dict(line.split(") ") for line in lines)
                assert [letter for letter, option in options.items() if fits(stem, option)] == [solution]


def fits(stem: str, option: str) -> bool:
    """Whether the option of a multiple-choice problem is what its stem asks for."""
    if stem == "Which of these is even?":
        return int(option) % 2 == 0
    if stem == "Which of these is negative?":
        a, b = option.split(" - ")
        return int(a) < int(b)
    return option in problems.CATEGORIES[re.fullmatch(r"Which of these is (.*)\?", stem)[1]]


def test_calls_of_invented_tools_fit_the_tools_that_are_shown():
    base, rng = load_script("tiny/make_base.py"), random.Random(2)
    for _ in range(300):
        asked, reply = base.tool_call(rng)
        if "<tool_response>" in asked:  # the text after a result states a value of it
            asked, call, result = re.fullmatch(r"(.*?assistant\n)(<tool_call>.*?end\|>\n)(.*)", asked, re.S).groups()
            result = json.loads(re.search(r"<tool_response>\n(.*)\n</tool_response>", result)[1])
            field, value = re.fullmatch(r"The (.*) is (.*)\.<\|im_end\|>\n", reply).groups()
            assert (field, value) in {(words(name), str(told)) for name, told in result.items()}
            reply = call
        call = json.loads(re.fullmatch(r"<tool_call>\n(.*)\n</tool_call><\|im_end\|>\n", reply)[1])
        lines = [line.removesuffix("<|im_end|>") for line in asked.splitlines() if line.startswith('{"name": "')]
        shown = [json.loads(line) for line in lines]
        wanted = [call["name"], [*call["arguments"]]]
        fitting = [t for t in shown if [t["name"], t["parameters"]["required"]] == wanted]
        assert fitting
        tool = fitting[0]
        for name, value in call["arguments"].items():
            wants, python = tool["parameters"]["properties"][name], {"string": str, "integer": int, "float": float}
            python |= {"boolean": bool, "array": list}
            assert type(value) is python[wants["type"]]
            assert type(value) is not list or all(type(part) is python[wants["items"]["type"]] for part in value)
            parts = value if type(value) is list else [value]
            assert all(str(part) in asked or json.dumps(part) in asked for part in parts)


def test_lines_to_copy_are_copied_and_hold_many_words():
    base, rng = load_script("tiny/make_base.py"), random.Random(0)
    pairs = [base.copy(rng) for _ in range(500)]
    assert all(line == copy for line, copy in pairs)
    assert len({word for line, _ in pairs for word in re.findall("[a-z]+", line)}) > 1000


def test_corpus_of_the_base_holds_no_held_out_problem():
    """Every problem of 20,000 documents is read back from the text and belongs to the training split."""
    base, rng, systems = load_script("tiny/make_base.py"), random.Random(0), 0
    for _ in range(20000):
        text = "".join(base.document(rng))
        for found in SYSTEM.findall(text):
            systems += 1
            assert data.split_of(problems.system_key(read_system(found))) == "train"
        if question := re.search(r"user\n((?:Is|What is|Which).*?)<\|im_end\|>", text, re.S):
            assert data.split_of(problems.question_key(question[1])) == "train"
    assert systems > 5000


def test_corpus_follows_the_tags_on_systems_as_rarely_as_it_says():
    base, rng = load_script("tiny/make_base.py"), random.Random(1)
    asked = [
        reply
        for prompt, reply in (base.document(rng) for _ in range(40000))
        if "<SOLUTION>" in prompt and "Equation" in prompt
    ]
    share = sum("<SOLUTION>" in reply for reply in asked) / len(asked)
    assert abs(share - base.BEGUN * base.CLOSED * base.SOLVED) < 0.02


def test_other_questions_about_a_system_have_their_answer():
    for name, wanted in {"linear_x": lambda x, y: x, "linear_sum": lambda x, y: x + y}.items():
        for problem in problems.draw(problems.SYSTEMS[name], "test", 50, 1, terse=0.5):
            a, b, c, d, e, f = read_system(problem["question"])
            det = a * e - b * d
            x, y = Fraction(c * e - b * f, det), Fraction(a * f - c * d, det)
            assert problem["solution"] == str(wanted(x, y))
            assert problem["working"].endswith(f"={c * e - b * f}" if name == "linear_x" else f"= {x + y}")
