"""What the tests of ToolUse/ share: its scripts, questions, and a conversation played with given texts."""

import functools

import pytest
from conftest import ROOT, load_script

from common import settings
from tiny import problems
from ToolUse.tooluse import conversations, episodes, questions

ToolExecutor = load_script("ToolUse/tool_executor.py").ToolExecutor
CREATION = load_script("ToolUse/tool_dataset_creation.py")
TEMPLATES = ROOT / "ToolUse" / "configs" / "questions.json"


@functools.cache
def executor():
    return ToolExecutor()


@functools.cache
def rows() -> dict[str, list[dict]]:
    """Questions of every split."""
    how = {"templates": questions.read_templates(TEMPLATES, executor().schemas), "executor": executor()}
    how["unavailable"] = 0.2
    made = {split: problems.draw(questions.question, split, 150, 0, **how) for split in questions.SPLITS}
    return {split: [conversations.unfold(row) for row in part] for split, part in made.items()}


def error_of(capsys, function, *words, **options) -> str:
    """The one line with which a call ends the script."""
    with pytest.raises(SystemExit) as end:
        function(*words, **options)
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert end.value.code == 2 and len(lines) == 1 and lines[0].startswith("error:"), lines
    return lines[0]


def play_one(row: dict, said) -> dict:
    def answer(asked):
        return [{"text": next(said, "I stop."), "tokens": 1, "truncated": False} for _ in asked]

    return episodes.play([row], answer, executor().execute, 4)[0]


def one(category: str) -> dict:
    return next(row for row in rows()["train"] if row["category"] == category)


def parse(*words):
    return settings.parse(CREATION.Args, "", CREATION.folder_of, argv=["--profile", "tiny", *map(str, words)])


def create(*words) -> None:
    CREATION.main(parse(*words))
