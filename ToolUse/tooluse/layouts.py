"""Public data sets of tool calls, each in its own layout, as rows of conversations.make_row().

    toolbench  conversations of ToolLLaMA: "Action: name", "Action Input: {...}" in text, tools in the system prompt
    glaive     conversations with function_call and observation, tools as JSON text
    messages   messages whose content is a text or a list of parts (text, tool_call), tools as JSON text

What a row lacks ends its conversion with a Fault, whose text names the kind of fault. Thoughts before a call are left
out.
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator

from tqdm import tqdm

from common import runs
from SFT.sources import Source, load_splits
from ToolUse.tooluse import conversations


class Fault(ValueError):
    """Why a row cannot be used; rows are counted by this text."""


def parsed(text, what: str, kind: type):
    """The JSON value of a text (or the value itself), of the given type."""
    try:
        value = json.loads(text) if isinstance(text, str | bytes) else text
    except (ValueError, RecursionError):
        raise Fault(f"{what} is not JSON") from None
    if not isinstance(value, kind):
        raise Fault(f"{what} is no {'list' if kind is list else 'object'}")
    return value


def schemas(tools) -> list[dict]:
    """A list of tools, or its JSON text, in the form of chat templates."""
    functions = []
    for tool in parsed(tools or [], "the list of tools", list):
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


def message(role: str, text, calls: list[dict] | None = None) -> dict:
    """A message; of the assistant with its calls."""
    if not isinstance(text, str):
        raise Fault("a message has no text")
    if role not in ("system", "user", "assistant", "tool"):
        raise Fault(f"unknown role {str(role)[:50]}")
    whole = {"role": role, "content": text.strip() if role == "assistant" else text}
    if calls:
        whole["tool_calls"] = calls
    return whole


ACTION = re.compile(r"Action:(?P<name>[^\n]*)\n\s*Action Input:(?P<input>.*)", re.DOTALL)


def toolbench(row: dict) -> tuple[list[dict], list[dict]]:
    """Messages and tools. Finish is no tool, its answer is the last message; notes on failed tries are left out."""
    converted = []
    tools = []
    asked = False
    for turn in row["conversations"]:
        role, text = turn["from"], turn["value"]
        if role == "system":
            try:
                listed = ast.literal_eval(text.rpartition("following APIs: ")[2].strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                raise Fault("the tools cannot be read") from None
            tools = [tool for tool in schemas(listed) if tool["function"]["name"] != "Finish"]
        elif role == "user" and not asked:
            asked = True
            converted.append(message("user", text.strip().removesuffix("Begin!").strip()))
        elif role == "function":
            converted.append(message("tool", text))
        elif role == "assistant":
            converted.append(action(text))
    return converted, tools


def action(text: str) -> dict:
    """A completion of ToolLLaMA: a call, or the answer as the call of Finish."""
    match = ACTION.search(text)
    if not match:
        raise Fault("a completion has no action")
    name = match["name"].strip()
    arguments = parsed(match["input"].strip(), "arguments of a call", dict)
    if name != "Finish":
        return message("assistant", "", [conversations.called(name, arguments)])
    if arguments.get("return_type") != "give_answer":
        raise Fault("gives up")
    return message("assistant", str(arguments.get("final_answer") or ""))


GLAIVE_ROLES = {"human": "user", "observation": "tool", "gpt": "assistant"}


def glaive(row: dict) -> tuple[list[dict], list[dict]]:
    converted = []
    for turn in row["conversations"]:
        role, text = turn["from"], turn["value"]
        if role == "function_call":
            values = parsed(text, "a call", dict | list)
            calls = [call(value) for value in (values if isinstance(values, list) else [values])]
            converted.append(message("assistant", "", calls))
        else:
            converted.append(message(GLAIVE_ROLES.get(role, role), text))
    return converted, schemas(row["tools"])


def parts(content, kind: str) -> list:
    """The parts of one kind in the content of a message; a content that is text is one part."""
    if isinstance(content, list):
        return [part.get("value", part.get("text")) or "" for part in content if part.get("type") == kind]
    return [content] if kind == "text" and content else []


def messages(row: dict) -> tuple[list[dict], list[dict]]:
    converted = []
    for turn in row["messages"]:
        content, calls = turn.get("content"), turn.get("tool_calls") or []
        if content is None and not calls:
            raise Fault("a message has no text")
        values = parts(content, "tool_call") + [one.get("function", one) for one in calls]
        calls = [call(value) for value in values]
        converted.append(message(turn["role"], "\n".join(parts(content, "text")), calls))
    return converted, schemas(row["tools"])


LAYOUTS = {
    "toolbench": Source("Yhyu13/ToolBench_toolllama_G123_dfs", None, ("conversations",), toolbench),
    "glaive": Source("hiyouga/glaive-function-calling-v2-sharegpt", None, ("conversations", "tools"), glaive),
    "messages": Source("llamafactory/reason-tool-use-demo-1500", None, ("messages", "tools"), messages),
}


def convert(layout: str, row: dict) -> dict:
    """A row of a public data set as ours; raises Fault."""
    try:
        converted, tools = LAYOUTS[layout].convert(row)
        while converted and converted[-1]["role"] != "assistant":
            converted.pop()  # what no completion answers
        row = conversations.make_row(layout, converted, tools)
        fault = conversations.problem(row)
    except Fault:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        fault = "is not in this layout"
    if fault:
        raise Fault(fault)
    return row


def load(layout: str, folder: str | None) -> tuple[list[dict], dict[str, int]]:
    """The usable rows of a data set of this layout, without repetitions, and the number of others by kind of fault."""
    rows = {}
    faults = Counter()
    for source in tqdm(sources(layout, folder), desc=layout, unit=" rows", disable=None):
        try:
            row = convert(layout, parsed(source, "a line", dict))
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
