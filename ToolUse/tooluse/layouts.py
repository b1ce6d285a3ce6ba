"""Public data sets of tool calls, each in its own layout, as rows of conversations.make_row().

    toolbench  conversations of ToolLLaMA: "Action: name", "Action Input: {...}" in text, tools in the system prompt
    glaive     conversations with function_call and observation, tools as JSON text
    messages   messages whose content is a text or a list of parts (text, reasoning, tool_call), tools as JSON text

What a row lacks ends its conversion with a Fault, whose text names the kind of fault.
"""

import ast
import json
import re

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


def schemas(listed: list) -> list[dict]:
    """Tools in the form of chat templates."""
    tools = []
    for tool in listed:
        tool = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str) or not tool["name"]:
            raise Fault("a tool has no name")
        parameters = tool.get("parameters") or {}
        if not isinstance(parameters, dict) or not isinstance(parameters.get("properties") or {}, dict):
            raise Fault("the parameters of a tool are no object")
        tools.append({"type": "function", "function": tool})
    return tools


def call(value) -> dict:
    """The message part of a call given as {"name", "arguments"}; the arguments may be JSON text."""
    value = parsed(value, "a call", dict)
    if not isinstance(value.get("name"), str):
        raise Fault("a call has no name")
    return conversations.called(value["name"], parsed(value.get("arguments", {}), "arguments of a call", dict))


def assistant(text: str, made: list[dict], reasoning: str = "") -> dict:
    content = (f"<think>\n{reasoning.strip()}\n</think>\n\n" if reasoning.strip() else "") + text.strip()
    return {"role": "assistant", "content": content, **({"tool_calls": made} if made else {})}


ACTION = re.compile(r"(?:Thought:(?P<thought>.*?))?Action:(?P<name>[^\n]*)\n\s*Action Input:(?P<input>.*)", re.DOTALL)


def toolbench(row: dict, reasoning: bool) -> tuple[list[dict], list[dict]]:
    """Messages and tools. Finish is no tool, its answer is the last message; notes on failed tries are left out."""
    messages, tools = [], []
    for said in row["conversations"]:
        text = said["value"]
        if said["from"] == "system":
            try:
                listed = ast.literal_eval(text.rpartition("following APIs: ")[2].strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                raise Fault("the tools cannot be read") from None
            tools = [tool for tool in schemas(parsed(listed, "the list of tools", list)) if name_of(tool) != "Finish"]
        elif said["from"] == "user" and not any(message["role"] == "user" for message in messages):
            messages.append({"role": "user", "content": text.strip().removesuffix("Begin!").strip()})
        elif said["from"] == "function":
            messages.append({"role": "tool", "content": text})
        elif said["from"] == "assistant":
            found = ACTION.search(text)
            if not found:
                raise Fault("a completion has no action")
            name, given = found["name"].strip(), parsed(found["input"].strip(), "arguments of a call", dict)
            thought = (found["thought"] or "") if reasoning else ""
            if name == "Finish" and given.get("return_type") != "give_answer":
                raise Fault("gives up")
            if name == "Finish":
                messages.append(assistant(str(given.get("final_answer") or ""), [], thought))
            else:
                messages.append(assistant("", [conversations.called(name, given)], thought))
    return messages, tools


def name_of(tool: dict) -> str:
    return tool["function"]["name"]


def glaive(row: dict, reasoning: bool) -> tuple[list[dict], list[dict]]:
    messages = []
    for said in row["conversations"]:
        if said["from"] == "function_call":
            value = parsed(said["value"], "a call", dict | list)
            messages.append(assistant("", [call(one) for one in (value if isinstance(value, list) else [value])]))
        elif said["from"] == "gpt":
            messages.append(assistant(said["value"], []))
        else:
            role = {"human": "user", "observation": "tool", "system": "system"}.get(said["from"])
            if not role:
                raise Fault(f"unknown role {said['from']}")
            messages.append({"role": role, "content": said["value"]})
    return messages, schemas(parsed(row["tools"] or "[]", "the list of tools", list))


def parts(message: dict, kind: str) -> list[str]:
    """The parts of one kind in a message; a content that is text is one part."""
    content = message.get("content")
    if not isinstance(content, list):
        return [content] if kind == "text" and content else []
    return [part.get("value", part.get("text")) or "" for part in content if part.get("type") == kind]


def messages(row: dict, reasoning: bool) -> tuple[list[dict], list[dict]]:
    made = []
    for message in row["messages"]:
        text = "\n".join(parts(message, "text"))
        if message["role"] == "assistant":
            found = [call(value) for value in parts(message, "tool_call")]
            found += [call(one.get("function", one)) for one in message.get("tool_calls") or []]
            made.append(assistant(text, found, "\n".join(parts(message, "reasoning")) if reasoning else ""))
        elif message["role"] in ("system", "user", "tool"):
            made.append({"role": message["role"], "content": text})
        else:
            raise Fault(f"unknown role {message['role']}")
    return made, schemas(parsed(row["tools"] or "[]", "the list of tools", list))


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
        made, tools = LAYOUTS[layout].convert(row, reasoning)
    except Fault:
        raise
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Fault("is not in this layout") from None
    while made and made[-1]["role"] != "assistant":
        made.pop()  # what no completion answers
    row = conversations.make_row(layout, made, tools)
    if fault := conversations.problem(row):
        raise Fault(fault)
    return row


def load(layout: str, folder: str | None, reasoning: bool) -> tuple[list[dict], dict[str, int]]:
    """The usable rows of a data set of this layout, without repetitions, and the number of others by kind of fault."""
    found, faults = {}, {}
    for split in load_splits(LAYOUTS[layout], layout, folder).values():
        for given in split.select_columns(list(LAYOUTS[layout].columns)):
            try:
                row = convert(layout, given, reasoning)
                key = json.dumps([row["messages"], row["tools"]])
                fault = "repeats a row" if key in found else None
                found.setdefault(key, row)
            except Fault as error:
                fault = str(error)
            if fault:
                faults[fault] = faults.get(fault, 0) + 1
    return list(found.values()), faults
