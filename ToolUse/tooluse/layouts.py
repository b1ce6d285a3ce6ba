"""Public data sets of tool calls, each in its own layout, as rows of conversations.make_row().

    toolbench  conversations of ToolLLaMA: "Action: name", "Action Input: {...}" in text, tools in the system prompt
    glaive     conversations with function_call and observation, tools as JSON text
    messages   messages whose content is a text or a list of parts (text, reasoning, tool_call), tools as JSON text

What a row lacks ends its conversion with a Fault, whose text names the kind of fault.
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator

from common import runs
from SFT.sources import Source, load_splits
from ToolUse.tooluse import conversations


class Fault(ValueError):
    """Why a row cannot be used; rows are counted by this text."""


def parsed(text, fault: str, kind: type):
    """The JSON value of a text (or the value itself), of the given type."""
    try:
        value = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        raise Fault(f"{fault} is not JSON") from None
    if not isinstance(value, kind):
        raise Fault(f"{fault} is no {'list' if kind is list else 'object'}")
    return value


def schemas(tools: list) -> list[dict]:
    """Tools in the form of chat templates."""
    functions = []
    for tool in tools:
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise Fault("a tool has no name")
        parameters = function.get("parameters") or {}
        if not isinstance(parameters, dict) or not isinstance(parameters.get("properties") or {}, dict):
            raise Fault("the parameters of a tool are no object")
        functions.append(function)
    return conversations.offered(functions)


def call(value) -> dict:
    """The message part of a call given as {"name", "arguments"}; the arguments may be JSON text."""
    value = parsed(value, "a call", dict)
    if not isinstance(value.get("name"), str):
        raise Fault("a call has no name")
    return conversations.called(value["name"], parsed(value.get("arguments", {}), "arguments of a call", dict))


def said(role: str, text) -> dict:
    """A message of a text."""
    if not isinstance(text, str):
        raise Fault("a message has no text")
    return {"role": role, "content": text}


def assistant(text: str, calls: list[dict], reasoning: str = "") -> dict:
    """A completion; its reasoning stands in <think> tags."""
    message = said("assistant", text)
    message["content"] = text.strip()
    if reasoning.strip():
        message["content"] = f"<think>\n{reasoning.strip()}\n</think>\n\n{text.strip()}"
    if calls:
        message["tool_calls"] = calls
    return message


ACTION = re.compile(r"(?:Thought:(?P<thought>.*?))?Action:(?P<name>[^\n]*)\n\s*Action Input:(?P<input>.*)", re.DOTALL)


def toolbench(row: dict, reasoning: bool) -> tuple[list[dict], list[dict]]:
    """Messages and tools. Finish is no tool, its answer is the last message; notes on failed tries are left out."""
    messages, tools = [], []
    for turn in row["conversations"]:
        role, text = turn["from"], turn["value"]
        if role == "system":
            try:
                listed = ast.literal_eval(text.rpartition("following APIs: ")[2].strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                raise Fault("the tools cannot be read") from None
            tools = schemas(parsed(listed, "the list of tools", list))
            tools = [tool for tool in tools if tool["function"]["name"] != "Finish"]
        elif role == "user" and "user" not in [message["role"] for message in messages]:
            messages.append(said("user", text.strip().removesuffix("Begin!").strip()))
        elif role == "function":
            messages.append(said("tool", text))
        elif role == "assistant":
            messages.append(action(text, reasoning))
    return messages, tools


def action(text: str, reasoning: bool) -> dict:
    """A completion of ToolLLaMA: a call, or the answer as the call of Finish."""
    match = ACTION.search(text)
    if not match:
        raise Fault("a completion has no action")
    name = match["name"].strip()
    arguments = parsed(match["input"].strip(), "arguments of a call", dict)
    thought = (match["thought"] or "") if reasoning else ""
    if name != "Finish":
        return assistant("", [conversations.called(name, arguments)], thought)
    if arguments.get("return_type") != "give_answer":
        raise Fault("gives up")
    return assistant(str(arguments.get("final_answer") or ""), [], thought)


GLAIVE_ROLES = {"human": "user", "observation": "tool", "system": "system"}


def glaive(row: dict, reasoning: bool) -> tuple[list[dict], list[dict]]:
    messages = []
    for turn in row["conversations"]:
        role, text = turn["from"], turn["value"]
        if role == "function_call":
            value = parsed(text, "a call", dict | list)
            values = value if isinstance(value, list) else [value]
            messages.append(assistant("", [call(one) for one in values]))
        elif role == "gpt":
            messages.append(assistant(text, []))
        elif role in GLAIVE_ROLES:
            messages.append(said(GLAIVE_ROLES[role], text))
        else:
            raise Fault(f"unknown role {str(role)[:50]}")
    return messages, schemas(parsed(row["tools"] or "[]", "the list of tools", list))


def parts(message: dict, kind: str) -> list:
    """The parts of one kind in a message; a content that is text is one part."""
    content = message.get("content")
    if isinstance(content, list):
        return [part.get("value", part.get("text")) or "" for part in content if part.get("type") == kind]
    return [content] if kind == "text" and content else []


def messages(row: dict, reasoning: bool) -> tuple[list[dict], list[dict]]:
    converted = []
    for message in row["messages"]:
        role, text = message["role"], "\n".join(parts(message, "text"))
        if message.get("content") is None and not message.get("tool_calls"):
            raise Fault("a message has no text")
        if role == "assistant":
            calls = [call(value) for value in parts(message, "tool_call")]
            calls += [call(value.get("function", value)) for value in message.get("tool_calls") or []]
            thought = "\n".join(parts(message, "reasoning")) if reasoning else ""
            converted.append(assistant(text, calls, thought))
        elif role in ("system", "user", "tool"):
            converted.append(said(role, text))
        else:
            raise Fault(f"unknown role {str(role)[:50]}")
    return converted, schemas(parsed(row["tools"] or "[]", "the list of tools", list))


LAYOUTS = {
    "toolbench": Source("Yhyu13/ToolBench_toolllama_G123_dfs", None, ("conversations",), toolbench),
    "glaive": Source("hiyouga/glaive-function-calling-v2-sharegpt", None, ("conversations", "tools"), glaive),
    "messages": Source("llamafactory/reason-tool-use-demo-1500", None, ("messages", "tools"), messages),
}


def convert(layout: str, row: dict, reasoning: bool = False) -> dict:
    """A row of a public data set as ours; raises Fault.

    reasoning: keep thoughts, in <think> tags before a completion.
    """
    try:
        converted, tools = LAYOUTS[layout].convert(row, reasoning)
        while converted and converted[-1]["role"] != "assistant":
            converted.pop()  # what no completion answers
        row = conversations.make_row(layout, converted, tools)
        if fault := conversations.problem(row):
            raise Fault(fault)
        return row
    except Fault:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise Fault("is not in this layout") from None


def load(layout: str, folder: str | None, reasoning: bool) -> tuple[list[dict], dict[str, int]]:
    """The usable rows of a data set of this layout, without repetitions, and the number of others by kind of fault."""
    rows, faults = {}, Counter()
    for source in sources(layout, folder):
        try:
            row = convert(layout, read(source), reasoning)
        except Fault as fault:
            faults[str(fault)] += 1
            continue
        key = json.dumps([row["messages"], row["tools"]])
        if key in rows:
            faults["repeats a row"] += 1
        else:
            rows[key] = row
    return list(rows.values()), faults


def sources(layout: str, folder: str | None) -> Iterator[dict | bytes]:
    """The rows of a data set: lines of the JSONL files of a folder, or what `datasets` reads in other files.

    `datasets` ends in a segmentation fault for a line `null`.
    """
    files = sorted(runs.resolve(folder).rglob("*.jsonl")) if folder else []
    for file in files:
        with open(file, "rb") as lines:
            yield from filter(bytes.strip, lines)
    if not files:
        for split in load_splits(LAYOUTS[layout], layout, folder).values():
            yield from split.select_columns(list(LAYOUTS[layout].columns))


def read(source: dict | bytes) -> dict:
    """A row of sources()."""
    if isinstance(source, dict):
        return source
    try:
        row = json.loads(source)
    except (ValueError, RecursionError):
        raise Fault("a line is not JSON") from None
    if not isinstance(row, dict):
        raise Fault("a line is no object")
    return row
