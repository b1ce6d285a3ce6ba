"""Questions made from templates: wordings, the calls that answer them, their results, the final answer.

A file of templates holds `values` (a range of integers, or a list of words; the name of another list means the same
list) and `tasks`: wordings for each split, `calls` (a list for each completion) and wordings of the answer. {city} is
the value of that name, {r2[temperature]} a field of the second result. Wordings of validation and test are in no other
split, nor are their words: a quarter of each list is for testing, a quarter for validation.
"""

import json
import random
import zlib
from pathlib import Path

from common import runs
from ToolUse.tooluse import conversations, schemas

SPLITS = ("train", "validation", "test")
UNAVAILABLE = "I have no tool for that."


def read_templates(path: str | Path, tools: dict[str, dict], drop: bool = False) -> dict:
    """The templates of a file; ends the script where one is incomplete or calls a tool that does not exist.

    drop: leave out the tasks of such tools instead.
    """
    templates = schemas.read_json(path, "the file of templates")
    try:
        values = templates["values"]
        for name, value in values.items():
            if isinstance(value, str):
                values[name] = values[value]
        if drop:
            templates["tasks"] = [task for task in templates["tasks"] if tools_of(task) <= tools.keys()]
        for task in templates["tasks"]:
            for field in ("name", *SPLITS, "answers"):
                if not task[field]:
                    raise ValueError(f"task {task['name']} has no {field}")
            for name in sorted(tools_of(task) - tools.keys()):
                raise ValueError(f"task {task['name']} calls {name}, which is not among the tools")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        runs.fail(f"{runs.shown(path)} cannot be used as templates ({type(error).__name__}: {error}); repair it")
    return templates


def tools_of(task: dict) -> set[str]:
    """The names of the tools that a task calls."""
    return {call["name"] for step in task["calls"] for call in step}


def split_of(word: str) -> str:
    """The split that a word of a list belongs to."""
    return ("test", "validation", "train", "train")[zlib.crc32(word.encode()) % 4]


def draw_values(rng: random.Random, values: dict, split: str) -> dict:
    """A value for every name, words from the split's part of their list, no word twice."""
    drawn = {}
    for name, choices in values.items():
        if isinstance(choices[0], int):
            drawn[name] = rng.randint(*choices)
            continue
        words = [word for word in choices if split_of(word) == split and word not in drawn.values()]
        if not words:
            runs.fail(f"values {name} has too few words for {split}: a quarter of them is for it; add some")
        drawn[name] = rng.choice(words)
    return drawn


def fill(task: dict, text: str, values: dict) -> str:
    """A text of a task with the values in it."""
    try:
        return text.format(**values)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        runs.fail(f"task {task['name']}: '{text}' cannot be filled in ({type(error).__name__}: {error}); repair it")


def argument(task: dict, template, values: dict, schema):
    """An argument of a call: text with the values in it, a number where the schema wants one; else as it stands."""
    if not isinstance(template, str):
        return template
    text = fill(task, template, values)
    if isinstance(schema, dict) and schema.get("type") in ("integer", "number"):
        try:
            return json.loads(text)
        except ValueError:
            runs.fail(f"task {task['name']}: '{text}' is not a number, which the schema wants; repair it")
    return text


def question(rng: random.Random, split: str, templates: dict, executor, unavailable: float) -> dict:
    """A row with a question of the split.

    unavailable: fraction of questions whose tool is not offered.
    """
    task = rng.choice(templates["tasks"])
    values = draw_values(rng, templates["values"], split)
    messages = [{"role": "user", "content": fill(task, rng.choice(task[split]), values)}]
    answer = rng.choice(task["answers"])
    needed = list(dict.fromkeys(call["name"] for step in task["calls"] for call in step))
    others = [name for name in executor.schemas if name not in needed]
    refused = bool(needed and others) and rng.random() < unavailable
    if refused:
        names = rng.sample(others, rng.randint(1, len(others)))
        final = UNAVAILABLE
    else:
        fewest = 0 if needed else 1
        names = needed + rng.sample(others, rng.randint(fewest, len(others)))
    tools = conversations.offered(executor.schemas[name] for name in rng.sample(names, len(names)))
    if not refused:
        messages += calls_and_results(task, values, executor)
        final = fill(task, answer, values)
    messages.append({"role": "assistant", "content": final})
    return conversations.make_row("no tool offered" if refused else task["name"], messages, tools)


def calls_and_results(task: dict, values: dict, executor) -> list[dict]:
    """The messages of a task's calls and their results, which are put into the values as r1, r2, ..."""
    messages = []
    count = 0
    for step in task["calls"]:
        step_calls = []
        for call in step:
            arguments = executor.spelled(call["name"], call["arguments"])
            properties = executor.schemas[call["name"]]["parameters"]["properties"]
            for name, template in arguments.items():
                arguments[name] = argument(task, template, values, properties.get(name))
            step_calls.append((call["name"], arguments))
        tool_calls = [conversations.called(*pair) for pair in step_calls]
        messages.append({"role": "assistant", "content": "", "tool_calls": tool_calls})
        for name, arguments in step_calls:
            result = executor.execute(name, arguments)
            if "error" in result:
                runs.fail(f"task {task['name']}: {name} with {arguments} gives {result}; repair the templates")
            count += 1
            values[f"r{count}"] = result
            messages.append({"role": "tool", "name": name, "content": json.dumps(result, ensure_ascii=False)})
    return messages
