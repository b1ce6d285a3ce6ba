"""The kinds of data sets: what a row holds, how it becomes a prompt and a completion, how a completion is scored.

A score says whether a completion is correct: `correct` is the strict score, of the answer between the tags; `flexible`,
which math and choice have too, is that of the answer wherever it stands. Both in the words of lm-evaluation-harness.

The run.json of a data set names its kind. math and choice stand here, those of tool calls with their stages: calls and
dialogue in BFCL/bfcl/kinds.py, tools in ToolUse/tooluse/kinds.py.
"""

import importlib
import re
import string
from collections.abc import Callable, Sequence
from typing import NamedTuple

from common import answers, arithmetic, prompts, runs

LETTERS = string.ascii_uppercase
MODULES = {"calls": "BFCL.bfcl.kinds", "dialogue": "BFCL.bfcl.kinds", "tools": "ToolUse.tooluse.kinds"}


class Kind(NamedTuple):
    """What a stage has to know about the rows of a data set."""

    name: str
    made_by: str  # a command that makes a data set of this kind
    columns: tuple[str, ...]  # that every row has
    taught: tuple[str, ...]  # columns that a row needs beside them to be trained on in SFT
    prompt: Callable[[dict, prompts.Tags], list[dict]]  # from a row to the messages before the completion
    completion: Callable[[dict, prompts.Tags], list[dict]]  # from a row to the messages that SFT trains on
    score: Callable[[dict, dict, prompts.Tags], dict]  # (completion, row, tags): the completion with its scores
    reward_columns: tuple[str, ...] = ()  # that reward functions get beside `solution` and `tags`
    read: Callable[[dict], dict] = dict  # from a row of the file to the row that the functions above take


def of(name: str) -> Kind:
    """The kind of this name; ends the script for a name that is none."""
    if name in KINDS:
        return KINDS[name]
    if name not in MODULES:
        runs.fail(f"{name!r} is not a kind of data set; kinds: {', '.join([*KINDS, *MODULES])}")
    return importlib.import_module(MODULES[name]).KINDS[name]  # late: the stage and what it needs


def problem(kind: Kind, rows: list, completions: bool) -> str | None:
    """What is wrong with the rows of a file, or None. completions: they need what SFT trains on."""
    if not all(isinstance(row, dict) for row in rows):
        return "has lines that are not JSON objects"
    columns = [*kind.columns, *(kind.taught if completions else ())]
    for column in columns:
        if any(column not in row for row in rows):
            return f"has rows without {column}; needed for {kind.name}: {', '.join(columns)}"
        wanted, fits = TYPES.get(column, ("text", is_text))
        if not all(fits(row[column]) for row in rows):
            return f"has rows whose {column} is not {wanted}"
    return None


def is_text(value) -> bool:
    return isinstance(value, str)


def are_texts(value) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def are_messages(value) -> bool:
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        return False
    return bool(value) and all(is_text(message.get("role")) and is_text(message.get("content")) for message in value)


TYPES = {  # of the columns that are not text
    "options": ("a list of texts", are_texts),
    **dict.fromkeys(("prompt", "completion", "messages"), ("a list of messages with role and content", are_messages)),
}


def own_prompt(row: dict, tags: prompts.Tags) -> list[dict]:
    """The prompt of a row that holds its own messages, which ask for no tags."""
    return row["prompt"]


def own_completion(row: dict, tags: prompts.Tags) -> list[dict]:
    """The completion of a row that holds its own messages."""
    return row["completion"]


def _question(row: dict, tags: prompts.Tags) -> list[dict]:
    return prompts.build_prompt(row["question"], tags)


def _reasoning_and_solution(row: dict, tags: prompts.Tags) -> list[dict]:
    return prompts.build_completion(row["working"], row["solution"], tags)


def asked_plainly(kind: Kind, wording: str) -> Kind:
    """The kind without the instruction that asks for tags: its prompt is the wording with {question} filled in."""
    if "{question}" not in wording:
        runs.fail("--own_prompt has no {question}; ask the question alone with: --own_prompt '{question}'")

    def prompt(row: dict, tags: prompts.Tags) -> list[dict]:
        return [{"role": "user", "content": wording.replace("{question}", row["question"])}]

    return kind._replace(prompt=prompt)


def lettered(question: str, options: Sequence[str]) -> str:
    """The question with its options below it, one a line: "A) ..."."""
    lines = [f"{letter}) {option}" for letter, option in zip(LETTERS, options)]
    return "\n".join([question, *lines])


def named_option(solution: str | None, options: Sequence[str]) -> str | None:
    """The letter of "(A)", "A." and "A) 6", the last only where 6 is the text of option A; else the solution unchanged.

    So an answer that names several options, or an option with another text, is not a letter and is incorrect.
    """
    match = re.fullmatch(r"\(?([A-Z])[).:](?:\s+(.+))?", solution or "", re.DOTALL)
    option = dict(zip(LETTERS, options)).get(match[1]) if match else None
    if option is None:
        return solution
    text = _plain(match[2] or "")
    return match[1] if text in ("", _plain(option)) else solution


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".").lower()


def score(completion: dict, truth: str, tags: prompts.Tags, options: Sequence[str] = ()) -> dict:
    """The completion with `solution`, `correct`, `flexible`, `well_formed` and `judge` added.

    Rewards call the same checkers. correct: whether the answer between the tags is; flexible: whether the answer is,
    wherever it stands (answers.extract_flexible).
    options: the texts of the options A, B, ... of a multiple choice. judge: 10 * the fraction of the arithmetic stated
    in the reasoning that is correct, 0 to 10; 0 where none supports the answer.
    """
    text = completion["text"]
    solution = answers.extract_solution(text, tags)
    answer = answers.extract_flexible(text, truth, tags)
    reasoning = prompts.reasoning(text, tags)
    return {
        **completion,
        "solution": solution,
        "correct": answers.is_correct(named_option(solution, options), truth),
        "flexible": answers.is_correct(named_option(answer, options), truth),
        "well_formed": prompts.is_well_formed(text, tags),
        "judge": 10 * arithmetic.fraction_correct(text if reasoning is None else reasoning, solution),
    }


def score_row(completion: dict, row: dict, tags: prompts.Tags) -> dict:
    return score(completion, row["solution"], tags, row.get("options", ()))


MATH = Kind(
    name="math",
    made_by="python SFT/dataset_creation.py",
    columns=("question", "solution"),
    taught=("working",),
    prompt=_question,
    completion=_reasoning_and_solution,
    score=score_row,
)
CHOICE = MATH._replace(name="choice", columns=("question", "options", "solution"))
KINDS = {"math": MATH, "choice": CHOICE}
