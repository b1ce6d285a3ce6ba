"""chat.py: calls executed and shown, history, colours, bad input in one line."""

import io
import json
import sys

import pytest
from conftest import BASE, call, load_script, one_line

from common import generation
from common.calls import call_text

CHAT = load_script("chat.py")
SUM = call_text([("calculator", {"expression": "2 + 3"})])


@pytest.fixture
def chat(monkeypatch):
    """chat(typed, completions, *words): what is printed, and the conversations that the policy was shown."""

    def run(typed: str, completions: list[str], *words):
        conversations = []
        said = iter(completions)

        def generate(batch, **sampling):
            conversations.extend(json.loads(json.dumps(batch)))
            return [{"text": next(said), "tokens": 3, "truncated": False}]

        monkeypatch.setattr(generation, "generator", lambda *given: generate)
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        done = call("chat.py", BASE, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout, conversations

    return run


def test_calls_are_executed_and_shown(chat):
    text, conversations = chat(
        "What is 2 plus 3?\n\nnot read\n", [SUM, "It is 5."], "--tools", "ToolUse/configs/tools.json"
    )
    assert "tools: calculator, weather, search" in text and '{"result": 5}' in text and "It is 5." in text
    roles = [message["role"] for message in conversations[1]]
    assert roles == ["system", "user", "assistant", "user"] and "calculator" in conversations[0][0]["content"]


def test_bad_calls_and_endless_ones_end(chat):
    bad = [call_text([("nothing", {})]), call_text([("calculator", {"expression": "1/0"})]), SUM, SUM]
    text, _ = chat("go\n", bad, "--tools", "ToolUse/configs/tools.json")
    assert "unknown tool" in text and "division by zero" in text and "no answer within 4" in text


def test_history_is_shown_until_new(chat):
    typed = "one\ntwo\n/new\nthree\n"
    _, conversations = chat(typed, list("abc"), "--history", "true")
    assert [len(conversation) for conversation in conversations] == [2, 4, 2]
    _, conversations = chat(typed, list("abc"))
    assert [len(conversation) for conversation in conversations] == [2, 2, 2]
    assert "<SOLUTION>" in conversations[0][0]["content"]


def test_what_has_no_room_is_left_out(chat):
    long = "word " * 60
    text, conversations = chat(
        f"{long}\n{long}\n{long * 9}\nshort\n", list("abcd"), "--history", "true", "--prompt_room", 220
    )
    assert text.count("too long for the context") == 1 and len(conversations) == 3
    assert conversations[-1][-1]["content"] == "short"


def test_text_of_a_model_cannot_write_on_the_terminal(monkeypatch):
    assert CHAT.visible("a\x1b[2Jb\n<SOLUTION>4</SOLUTION>") == "a\ufffd[2Jb\n<SOLUTION>4</SOLUTION>"
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "\x1b[36m<SOLUTION>\x1b[0m4" in CHAT.visible("<SOLUTION>4</SOLUTION>")


def test_bad_input_is_one_line(tmp_path):
    one_line(call("chat.py"), "which checkpoint")
    one_line(call("chat.py", "outputs/none"), "does not exist")
    one_line(call("chat.py", BASE, "--vllm"), "CUDA")
    one_line(call("chat.py", BASE, "--tools", tmp_path / "none.json"), "none.json")
    one_line(call("chat.py", BASE, "--temperature", "-1"), "--temperature")
    assert "--history" in call("chat.py", "--help").stdout
