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
from ToolUse.tooluse import conversations

SPLITS = ("train", "validation", "test")
UNAVAILABLE = "I have no tool for that."


def read_templates(path: str | Path, tools: dict[str, dict]) -> dict:
    """The templates of a file; ends the script where one is incomplete or calls a tool that does not exist."""
    path = runs.resolve(path)
    try:
        templates = json.loads(path.read_text())
        values, tasks = templates["values"], templates["tasks"]
        for task in tasks:
            for name in ("name", "calls", *SPLITS, "answers"):
                if not task[name] and name != "calls":
                    raise ValueError(f"task {task['name']} has no {name}")
            for call in (call for step in task["calls"] for call in step):
                if call["name"] not in tools:
                    raise ValueError(f"task {task['name']} calls {call['name']}, which is not among the tools")
        templates["values"] = {
            name: values[known] if isinstance(known, str) else known for name, known in values.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        runs.fail(f"{runs.shown(path)} cannot be used as templates ({type(error).__name__}: {error}); repair it")
    return templates


def split_of(word: str) -> str:
    """The split that a word of a list belongs to."""
    return ("test", "validation", "train", "train")[zlib.crc32(word.encode()) % 4]


def draw_values(rng: random.Random, values: dict, split: str) -> dict:
    """A value for every name, words from the split's part of their list, no word twice."""
    drawn = {}
    for name, known in values.items():
        if isinstance(known[0], int):
            drawn[name] = rng.randint(*known)
        else:
            left = [word for word in known if split_of(word) == split and word not in drawn.values()]
            if not left:
                runs.fail(f"values {name} has too few words for {split}: a quarter of them is for it; add some")
            drawn[name] = rng.choice(left)
    return drawn


def question(rng: random.Random, split: str, templates: dict, executor, unavailable: float, seen: bool = False) -> dict:
    """A row with a question of the split.

    unavailable: fraction of questions whose tool is not offered. seen: use the wordings of the training split with the
    words of this one.
    """
    task, values = rng.choice(templates["tasks"]), draw_values(rng, templates["values"], split)

    def filled(text: str) -> str:
        try:
            return text.format(**values)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            runs.fail(f"task {task['name']}: '{text}' cannot be filled in ({type(error).__name__}: {error}); repair it")

    asked, answer = filled(rng.choice(task["train" if seen else split])), rng.choice(task["answers"])
    needed = list(dict.fromkeys(call["name"] for step in task["calls"] for call in step))
    others = [name for name in executor.schemas if name not in needed]
    refused = bool(needed and others) and rng.random() < unavailable
    fewest = 0 if needed and not refused else 1
    offered = [*([] if refused else needed), *rng.sample(others, rng.randint(fewest, len(others)))]
    tools = [{"type": "function", "function": executor.schemas[name]} for name in rng.sample(offered, len(offered))]
    messages, results = [{"role": "user", "content": asked}], 0
    for step in [] if refused else task["calls"]:
        made = [(call["name"], {key: filled(text) for key, text in call["arguments"].items()}) for call in step]
        made_calls = [conversations.called(*one) for one in made]
        messages.append({"role": "assistant", "content": "", "tool_calls": made_calls})
        for name, arguments in made:
            result, results = executor.execute(name, arguments), results + 1
            if "error" in result:
                runs.fail(f"task {task['name']}: {name} with {arguments} gives {result}; repair the templates")
            values[f"r{results}"] = result
            messages.append({"role": "tool", "name": name, "content": json.dumps(result, ensure_ascii=False)})
    final = UNAVAILABLE if refused else filled(answer)
    messages.append({"role": "assistant", "content": final})
    return conversations.make_row("no tool offered" if refused else task["name"], messages, tools)
