"""Conversations with tools: rows of `messages` and `tools`, as chat templates take them, and the same as plain text.

A row holds `question`, `messages` (roles system, user, assistant, tool; calls as `tool_calls`, their arguments as JSON
text), `tools` (JSON text: a list of schemas), `solution` (JSON text: for each completion with calls, those calls) and
`category`. unfold() writes calls, results and schemas as Qwen3's template does, so that a plain ChatML template and
every stage of this repo can use the row: `prompt` and `completion`, messages that are text alone.
"""

import json
from collections.abc import Iterable

from common import calls, models, prompts, runs

SPECIAL = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")

# What unfold() writes, as a template: a server that is sent messages and tools shows the model what it was trained on.
TEMPLATE = """
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- HEAD }}
    {%- for tool in tools %}{{- '\\n' + tool | tojson }}{%- endfor %}
    {{- TAIL + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {%- if loop.first or loop.previtem.role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- elif not (tools and loop.first and message.role == 'system') %}
        {{- '<|im_start|>' + message.role + '\\n' + (message.content or '') }}
        {%- for call in message.tool_calls or [] %}
            {%- set call = call.function or call %}
            {%- if message.content or not loop.first %}{{- '\\n' }}{%- endif %}
            {{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
            {{- call.arguments if call.arguments is string else call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""


def template(tag_set: str) -> str:
    """The chat template of a checkpoint that is trained on tool calls."""
    head, tail = prompts.tools_prompt(["\0"]).split("\n\0")
    text = TEMPLATE.strip().replace("HEAD", repr(head)).replace("TAIL", repr(tail))
    return prompts.mark_template(text, tag_set)


def load_tokenizer(base: str, tag_set: str | None = None, default: str = "thesis"):
    """models.load_tokenizer() with template(); ends the script where the tags of calls are not whole tokens."""
    tokenizer, tag_set = models.load_tokenizer(base, tag_set, default=default)
    for tag in SPECIAL:
        ids = tokenizer(tag, add_special_tokens=False).input_ids
        if len(ids) != 1 or tokenizer.decode(ids, skip_special_tokens=True) != tag:
            runs.fail(
                f"the tokenizer of {runs.shown(base)} has no token {tag}, so calls cannot be learned or read; "
                "choose a base that has it, such as Qwen3 or resources/tiny-base"
            )
    tokenizer.chat_template = template(tag_set)
    return tokenizer, tag_set


def called(name: str, arguments: dict) -> dict:
    """A call as an assistant message holds it."""
    return {"type": "function", "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}}


def calls_of(message: dict) -> list[tuple[str, dict]]:
    """The calls of an assistant message: names and arguments."""
    functions = [call["function"] for call in message.get("tool_calls") or []]
    return [(function["name"], json.loads(function["arguments"])) for function in functions]


def text_of(message: dict) -> str:
    """An assistant message as the model writes it."""
    parts = [message.get("content"), calls.call_text(calls_of(message))]
    return "\n".join(part for part in parts if part)


def offered(schemas: Iterable[dict]) -> list[dict]:
    """Schemas of tools as chat templates take them."""
    return [{"type": "function", "function": schema} for schema in schemas]


def make_row(category: str, messages: list[dict], tools: list[dict]) -> dict:
    """A row of a data set."""
    questions = [message["content"] for message in messages if message["role"] == "user"]
    steps = [calls_of(message) for message in messages if message.get("tool_calls")]
    return {
        "category": category,
        "question": "\n".join(questions),
        "messages": messages,
        "tools": json.dumps(tools, ensure_ascii=False),
        "solution": json.dumps(steps, ensure_ascii=False),
    }


def unfold(row: dict) -> dict:
    """The row with `prompt`, all that stands before the first completion, and `completion`, the rest."""
    plain = []
    for message in row["messages"]:
        if message["role"] == "assistant":
            plain.append({"role": "assistant", "content": text_of(message)})
        elif message["role"] == "tool":
            result = calls.tool_message([message["content"]])
            if plain and plain[-1]["content"].startswith("<tool_response>"):  # results of one completion stand together
                result = {"role": "user", "content": plain.pop()["content"] + "\n" + result["content"]}
            plain.append(result)
        else:
            plain.append({"role": message["role"], "content": message["content"]})
    tools = [json.dumps(tool, ensure_ascii=False) for tool in json.loads(row["tools"])]
    if tools:
        system = prompts.tools_prompt(tools)
        if plain[0]["role"] == "system":
            system = plain.pop(0)["content"] + "\n\n" + system
        plain.insert(0, {"role": "system", "content": system})
    first = [message["role"] for message in plain].index("assistant")
    return {**row, "prompt": plain[:first], "completion": plain[first:]}


def problem(row: dict) -> str | None:
    """Why a row cannot be trained on, or None: what a data set counts by kind instead of taking it."""
    messages = row["messages"]
    roles = [message["role"] for message in messages]
    if "user" not in roles or "assistant" not in roles:
        return "no question or no completion"
    if roles.index("assistant") < roles.index("user"):
        return "begins with a completion"
    names = {tool.get("function", tool).get("name") for tool in json.loads(row["tools"])}
    for message in messages:
        if message["role"] == "user" and not message["content"].strip():
            return "a question is empty"
        if any(name not in names for name, _ in calls_of(message)):
            return "calls a tool that is not offered"
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "half a character (a lone surrogate)"
    return None


def listing(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
