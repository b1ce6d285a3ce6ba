"""Calls as text: read out of a completion as the official Qwen handler does, and written as it wants them."""

import json

from common import prompts

OPEN, CLOSE = "<tool_call>\n", "\n</tool_call>"
# Kinds of completions that decode() tells apart in text; the first is what is wanted, the last what ends a turn.
KINDS = ("call", "text_around", "bad_json", "not_a_dict", "bad_call", "unclosed", "no_call")


def decode(text: str) -> tuple[list[dict], str]:
    """The calls [{name: {argument: value}}] of a completion as the official Qwen handler reads them, and its kind.

    What stands before `</think>` does not count. Where the official decoder raises, the calls are []; its scores are
    the same for both. Linear in the length of the text; never raises.

    kinds: "call" (calls and nothing else), "text_around" (calls and other text), "bad_json" (a block that is not JSON:
    dropped, the other calls count), "not_a_dict" and "bad_call" (a block that is JSON but no object, or without a name
    or a dictionary of arguments: no call counts), "unclosed" (`<tool_call>`, but no block between the exact tags and
    line ends), "no_call", "not_text".
    """
    if not isinstance(text, str):
        return [], "not_text"
    text = text.rpartition("</think>")[2]
    blocks, around = _blocks(text)
    if not blocks:
        return [], "unclosed" if "<tool_call>" in text else "no_call"
    values = []
    for block in blocks:
        try:
            values.append(json.loads(block))
        except (ValueError, RecursionError):
            pass
    if not all(isinstance(value, dict) for value in values):
        return [], "not_a_dict"
    try:
        calls = [{value["name"]: dict(value["arguments"].items())} for value in values]
    except (KeyError, TypeError, AttributeError):
        return [], "bad_call"
    if len(values) < len(blocks):
        return calls, "bad_json"
    return calls, "text_around" if around.strip() else "call"


def _blocks(text: str) -> tuple[list[str], str]:
    """What stands between each pair of tags, and the text outside of them."""
    blocks = []
    around = []
    place = 0
    while True:
        start = text.find(OPEN, place)
        end = text.find(CLOSE, start + len(OPEN))
        if start < 0 or end < 0:
            return blocks, "".join([*around, text[place:]])
        around.append(text[place:start])
        blocks.append(text[start + len(OPEN) : end])
        place = end + len(CLOSE)


def call_text(calls: list[tuple[str, dict]], ascii_only: bool = False) -> str:
    """Calls, each a name and arguments, as the official decoder wants them; its conversations hold ASCII alone."""
    texts = [json.dumps({"name": name, "arguments": args}, ensure_ascii=ascii_only) for name, args in calls]
    return "\n".join(f"{OPEN}{text}{CLOSE}" for text in texts)


def python_text(calls: list[tuple[str, dict]]) -> str:
    """The same calls in Python's syntax, which the official decoder refuses."""
    return "\n".join(f"{OPEN}{call_string(*call)}{CLOSE}" for call in calls)


def call_string(name: str, args: dict) -> str:
    """A call as an official multi-turn ground truth writes it."""
    arguments = ", ".join(f"{key}={value!r}" for key, value in args.items())
    return f"{name}({arguments})"


def call_key(name: str, args: dict) -> str:
    """What identifies a call: its function, and its arguments in any order."""
    return json.dumps([name, args], sort_keys=True)


def offer(turn: list[dict], functions: list[dict]) -> list[dict]:
    """The messages of a first turn with the functions offered in the system prompt, as the official handler does."""
    if not functions:
        return turn
    tools = prompts.tools_prompt([json.dumps(function) for function in functions])
    if turn[0]["role"] == "system":
        own, *turn = turn
        tools = f"{own['content']}\n\n{tools}"
    return [{"role": "system", "content": tools}, *turn]


def tool_message(results: list[str]) -> dict:
    """The results of a completion's calls as Qwen's template writes them: one user message."""
    responses = [f"<tool_response>\n{result}\n</tool_response>" for result in results]
    return {"role": "user", "content": "\n".join(responses)}
