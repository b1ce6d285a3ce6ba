"""The questions of the out-domain tests: kinds that no in-domain stage trains on, from the hub or generated."""

import re

from common import answers, runs
from common.kinds import LETTERS, lettered
from SFT import sources
from SFT.sources import Source
from tiny import problems

OPTION = re.compile(r"^[A-Z]\) (.+)$", re.MULTILINE)


def boolq(row: dict) -> dict | None:
    if not row["passage"] or not row["question"] or not isinstance(row["answer"], bool):
        return None
    question = f"{row['passage'].strip()}\nQuestion: {row['question'].strip().rstrip('?')}? Answer yes or no."
    return {"question": question, "solution": "yes" if row["answer"] else "no"}


def multiple_choice(row: dict) -> dict | None:
    """In the format of problems.multiple_choice, lettered by position: some rows of ARC number their options 1 to 4."""
    choices = row["choices"] or {}
    labels = choices.get("label") or []
    options = [" ".join((text or "").split()) for text in choices.get("text") or []]
    if not row["question"] or not all(options) or not 2 <= len(options) == len(labels) <= len(LETTERS):
        return None
    if labels.count(row["answerKey"]) != 1:
        return None
    question = lettered(" ".join(row["question"].split()), options)
    return {"question": question, "solution": LETTERS[labels.index(row["answerKey"])], "options": options}


def word_problem(row: dict) -> dict | None:
    texts = sources.as_texts(row)
    problem = sources.gsm8k(texts) if texts else None
    return problem if problem and answers.is_number(problem["solution"]) else None


CHOICE_COLUMNS = ("question", "choices", "answerKey")
QUESTIONS = {
    "boolq": Source("google/boolq", None, ("question", "passage", "answer"), boolq, "validation"),
    "commonsense_qa": Source("tau/commonsense_qa", None, CHOICE_COLUMNS, multiple_choice, "validation"),
    "arc_challenge": Source("allenai/ai2_arc", "ARC-Challenge", CHOICE_COLUMNS, multiple_choice),
    "gsm8k": Source("openai/gsm8k", "main", ("question", "answer"), word_problem),
}
CHOICES = ("commonsense_qa", "arc_challenge", "multiple_choice")  # sets of the kind choice; the others are math


def options_of(question: str) -> list[str]:
    """The texts of the options A, B, ... of a question that lists one per line."""
    return OPTION.findall(question)


def load(name: str, folder: str | None) -> tuple[list[dict], int]:
    """The usable rows of the test split of a set of QUESTIONS, and the number of unusable ones.

    Unusable: the true answer is missing or not among the options, or an option is missing.
    """
    source = QUESTIONS[name]
    splits = sources.load_splits(source, name, folder)
    if source.test not in splits:
        runs.fail(f"{folder or source.hub} has no split {source.test}; its splits: {', '.join(splits)}")
    rows = [source.convert(row) for row in splits[source.test].select_columns(list(source.columns))]
    return [row for row in rows if row], rows.count(None)


def generate(name: str, n: int, seed: int) -> list[dict]:
    """n generated questions of one of problems.OTHER_SHAPES, of the test split."""
    rows = problems.draw(problems.OTHER_SHAPES[name], "test", n, seed)
    if name in CHOICES:
        rows = [{**row, "options": options_of(row["question"])} for row in rows]
    return rows
