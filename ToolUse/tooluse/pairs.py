"""Pairs of completions for DPO: that of the data set, and the same with one failure."""

import json
import math
import random
from collections import Counter
from typing import NamedTuple

from common import calls
from ToolUse.tooluse import conversations


class Completion(NamedTuple):
    """A completion of a conversation."""

    calls: list[tuple[str, dict]]  # none in a text
    row: dict
    before: list[dict]  # the messages before it
    text: str

    def follows_results(self) -> bool:
        return self.before[-1]["content"].startswith("<tool_response>")

    def tools(self) -> list[dict]:
        """The schemas of the tools that its row offers."""
        return [tool["function"] for tool in json.loads(self.row["tools"])]


class Pool:
    """What failures are made of: the tools, arguments and answers of all rows, and a random generator."""

    def __init__(self, completions: list[Completion], seed: int):
        self.rng = random.Random(seed)
        self.tools = {}
        self.values = {}
        self.answers = []
        for completion in completions:
            self.tools |= {schema["name"]: schema for schema in completion.tools()}
            if completion.text and not completion.calls:
                self.answers.append(completion.text)
            for name, arguments in completion.calls:
                for key, value in arguments.items():
                    self.values.setdefault((name, key), []).append(value)

    def call_of(self, name: str, text: str) -> tuple[str, dict]:
        """A call of a tool with a text as its required arguments."""
        parameters = self.tools[name].get("parameters") or {}
        required = parameters.get("required") or list(parameters.get("properties") or {})[:1]
        return name, dict.fromkeys(required, text)


# Failures. Each gets a completion of the data set and the pool, and gives a text, or None where it is impossible.


def wrong_tool(completion: Completion, pool: Pool) -> str | None:
    """Another tool, an offered one where there is any, with the same text as its argument."""
    name, arguments = pool.rng.choice(completion.calls)
    others = [schema["name"] for schema in completion.tools() if schema["name"] != name]
    others = others or [other for other in pool.tools if other != name]
    if not others:
        return None
    texts = [value for value in arguments.values() if isinstance(value, str)]
    other = pool.call_of(pool.rng.choice(others), [*texts, completion.row["question"]][0])
    return calls.call_text([other if call[0] == name else call for call in completion.calls])


def wrong_argument(completion: Completion, pool: Pool) -> str | None:
    """One argument of one call changed: a character of it, or the value that another question wants."""
    place = pool.rng.randrange(len(completion.calls))
    name, arguments = completion.calls[place]
    if not arguments:
        return None
    key = pool.rng.choice(list(arguments))
    value = pool.rng.choice(pool.values[name, key])
    if isinstance(arguments[key], str) and arguments[key] and pool.rng.random() < 0.5:
        value = changed(arguments[key], pool.rng)
    changed_calls = list(completion.calls)
    changed_calls[place] = (name, {**arguments, key: value})
    return calls.call_text(changed_calls)


def changed(text: str, rng: random.Random) -> str:
    """A text with one digit, operator or letter changed."""
    place = rng.randrange(len(text))
    old = text[place].lower()
    alphabets = [letters for letters in ("0123456789", "+-*/", "aeiou") if old in letters]
    letters = [*alphabets, "bcdfglmnprst"][0]
    return text[:place] + rng.choice(letters.replace(old, "")) + text[place + 1 :]


def bad_json(completion: Completion, pool: Pool) -> str | None:
    """A call that no parser reads: a bracket, a quote or the closing tag is missing, or another syntax."""
    text = calls.call_text(completion.calls)
    last = text.rindex("}")
    variants = [text[:last] + text[last + 1 :], text.replace('": ', ": ", 1), text.replace('"', "'")]
    variants += [text.removesuffix(calls.CLOSE), calls.python_text(completion.calls)]
    return pool.rng.choice(variants)


def needless_call(completion: Completion, pool: Pool) -> str | None:
    """After results the last completion once more, else a call of an offered tool with words of the question."""
    if completion.follows_results():
        return completion.before[-2]["content"]
    names = [schema["name"] for schema in completion.tools()] or list(pool.tools)
    if not names:
        return None
    name = pool.rng.choice(names)
    words = completion.row["question"].strip(" .?!").split() or [""]
    start = pool.rng.randrange(len(words))
    return calls.call_text([pool.call_of(name, " ".join(words[start : start + pool.rng.randint(1, 3)]))])


def no_call(completion: Completion, pool: Pool) -> str | None:
    """An answer without a call: that of this question, as if the result were known, or of another one."""
    own = completion.row["messages"][-1]["content"]
    if own and pool.rng.random() < 0.5:
        return own
    return pool.rng.choice(pool.answers or [own])


FAILURES = (wrong_tool, wrong_argument, bad_json, needless_call, no_call)
REJECTED = {failure.__name__: failure for failure in FAILURES}
KINDS = tuple(REJECTED)


def completions_of(row: dict) -> list[Completion]:
    """The completions of a row."""
    # Both lists tell the same conversation; in the plain one the results of a completion are one message.
    gold = [message for message in row["messages"] if message["role"] == "assistant"]
    conversation = row["prompt"] + row["completion"]
    places = [place for place, message in enumerate(conversation) if message["role"] == "assistant"]
    completions = []
    for place, message in zip(places, gold, strict=True):
        before, text = conversation[:place], conversation[place]["content"]
        completions.append(Completion(conversations.calls_of(message), row, before, text))
    return completions


def make_pairs(rows: list[dict], kinds: list[str], most: int, seed: int) -> list[dict]:
    """At most `most` pairs, `prompt`, `chosen`, `rejected`, `kind`: as many of each kind.

    Half of those of needless_call are answers to results: without these, pairs of no_call teach to call without end.
    With more pairs of needless_call than of no_call the policy stops calling. Prints how many there are of each kind,
    and how many were equal or impossible and left out.
    """
    completions = [completion for row in rows for completion in completions_of(row)]
    pool = Pool(completions, seed)
    groups = {"call": [], "text": [], "late": []}  # with a call, texts, and texts after results
    for completion in completions:
        name = "late" if completion.follows_results() else "text"
        groups["call" if completion.calls else name].append(completion)
    for group in groups.values():
        pool.rng.shuffle(group)
    of_calls = [kind for kind in kinds if kind != "needless_call"]
    of_texts = [name for name in ("text", "late") if "needless_call" in kinds and groups[name]]
    sizes = [max(1, most // max(1, len(kinds)))]
    if of_calls:
        sizes.append(len(groups["call"]) // len(of_calls))
    sizes += [len(groups[name]) * len(of_texts) for name in of_texts]
    size = min(sizes)
    slots = [("call", kind, size) for kind in of_calls]
    slots += [(name, "needless_call", math.ceil(size / len(of_texts))) for name in of_texts]
    pairs = []
    left_out = Counter()
    for name, kind, count in slots:
        for _ in range(count):
            completion = groups[name].pop()
            rejected = REJECTED[kind](completion, pool)
            if rejected in (None, completion.text):
                left_out[kind] += 1
                continue
            chosen = [{"role": "assistant", "content": completion.text}]
            rejected = [{"role": "assistant", "content": rejected}]
            pairs.append({"prompt": completion.before, "chosen": chosen, "rejected": rejected, "kind": kind})
    counts = conversations.listing(Counter(pair["kind"] for pair in pairs))
    print(f"pairs: {counts}; left out as equal or impossible: {conversations.listing(left_out)}")
    return pairs
