"""Questions with tools while they are answered: completions, calls, results, until an answer; and what is measured.

The same loop for held-out accuracy, every table and the examples. The result of a call that stands in the row's own
conversation is the recorded one, so rows of tools that do not exist here can be played too; any other call is executed.
"""

import json
import re
from collections.abc import Callable

from common import calls
from ToolUse.tooluse import conversations

# What a conversation is measured by; each is True, False, or None where it does not apply.
MEASURES = {
    "tool": "the tools called are those wanted, by their parsed names; none where none is wanted",
    "arguments": "the calls are those wanted, arguments included; of questions that want a call",
    "format": "every completion is calls alone that can be read, or text alone",
    "execution": "calls were executed, all without an error; of questions that want a call",
    "response": "the answer states the results that the correct answer states; of questions with such results",
}
# Why a conversation is incorrect: the first of these that is true. DPO_tools.py makes pairs for the first five.
FAILURES = {
    "bad_json": "a call that cannot be read, or text around it",
    "needless_call": "a call that is not wanted",
    "no_call": "a wanted call is missing",
    "wrong_tool": "another tool than wanted",
    "wrong_argument": "another argument than wanted",
    "wrong_answer": "correct calls, but an empty answer, or one that does not state their results",
}
NONE = "none"  # in place of a tool, for questions that want no call
MAX_DEPTH = 20  # of the arguments of a call; deeper ones cannot be compared


def tool_of(row: dict) -> str:
    """The first tool that the question wants."""
    steps = json.loads(row["solution"])
    return steps[0][0][0] if steps else NONE


def normal(value):
    """A value without what does not matter: spaces and case of text, integer or float."""
    if isinstance(value, str):
        return re.sub(r"\s", "", value).casefold()
    if isinstance(value, dict):
        return {str(key): normal(part) for key, part in value.items()}
    if isinstance(value, list):
        return [normal(part) for part in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else value


def too_deep(value) -> bool:
    """Whether lists and objects are nested deeper than MAX_DEPTH."""
    level = [value]
    for _ in range(MAX_DEPTH):
        parts = [part for part in level if isinstance(part, dict | list)]
        level = [inner for part in parts for inner in (part.values() if isinstance(part, dict) else part)]
    return any(isinstance(part, dict | list) for part in level)


def keys_of(made: list[tuple[str, dict]]) -> list[str]:
    """What identifies calls, in any order."""
    return sorted(json.dumps([name, normal(arguments)], sort_keys=True) for name, arguments in made)


def leaves(value) -> list[str]:
    """The numbers and texts in a result, as text."""
    if isinstance(value, dict | list):
        return [leaf for part in (value.values() if isinstance(value, dict) else value) for leaf in leaves(part)]
    return [] if value is None or isinstance(value, bool) or value == "" else [str(value)]


def states(text: str, value: str) -> bool:
    """Whether a text contains a value as a whole number or word."""
    return bool(re.search(rf"(?<![\w-]){re.escape(value)}(?!\w|\.\d)", text))


def is_error(result: str) -> bool:
    """Whether a result, JSON text, tells of an error."""
    try:
        found = json.loads(result)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and bool(found.get("error"))


class Episode:
    """A question while it is answered.

    row: unfolded. execute: from name and arguments to a result. messages: the conversation so far;
    going: whether a completion is wanted.
    """

    def __init__(self, row: dict, execute: Callable[[str, dict], dict]):
        self.row, self.execute, self.messages, self.going = row, execute, list(row["prompt"]), True
        self.later = [m for m in row["completion"] if m["role"] == "user" and "<tool_response>" not in m["content"]]
        self.calls, self.results, self.answers, self.kinds = [], [], [], []
        self.tokens, self.truncated, self.too_long, self.steps = 0, False, False, 0
        self.recorded, waiting = {}, []
        for message in row["messages"]:
            if message["role"] == "tool":
                result = message["content"]
                # One result may stand for all calls of a completion.
                for key in waiting[:1] or list(self.recorded)[-1:]:
                    self.recorded.setdefault(key, result)
                waiting = waiting[1:]
            elif message.get("tool_calls"):
                waiting = [key for call in conversations.calls_of(message) for key in keys_of([call])]

    def step(self, completion: dict, max_steps: int) -> None:
        """Go on by one completion, {"text", "tokens", "truncated"}; one with "too_long" ends the episode."""
        found, kind = calls.decode(completion["text"])
        if too_deep(found):
            found, kind = [], "bad_call"
        self.tokens, self.truncated = self.tokens + completion["tokens"], self.truncated or completion["truncated"]
        self.too_long, self.steps = "too_long" in completion, self.steps + 1
        self.kinds.append(kind)
        said = {"role": "assistant", "content": completion["text"].rpartition("</think>")[2].lstrip("\n")}
        self.messages.append(said)
        if found:
            made = [pair for call in found for pair in call.items()]
            shown = [self.result(*call) for call in made]
            self.calls, self.results = self.calls + made, self.results + shown
            self.messages.append(calls.tool_message(shown))
        else:
            self.answers.append(said["content"])
            self.messages += self.later[:1]
            self.going = bool(self.later)
            self.later = self.later[1:]
        self.going = self.going and not self.too_long and self.steps < max_steps

    def result(self, name: str, arguments: dict) -> str:
        """The result of a call as JSON text: the recorded one, else that of the executor."""
        recorded = self.recorded.get(keys_of([(name, arguments)])[0])
        result = recorded or json.dumps(self.execute(name, arguments), ensure_ascii=False)
        return result.encode(errors="replace").decode()  # an escape in JSON may stand for half a character

    def stated(self) -> list[str]:
        """The values of the recorded results that the correct answers state."""
        text = "\n".join(m["content"] for m in self.row["messages"] if m["role"] == "assistant" and m.get("content"))
        values = []
        for result in self.recorded.values():
            try:
                values += leaves(json.loads(result))
            except (ValueError, RecursionError):
                values.append(result)
        return [value for value in dict.fromkeys(values) if states(text, value)]

    def measures(self) -> dict[str, bool | None]:
        """Each of MEASURES."""
        wanted = [tuple(call) for step in json.loads(self.row["solution"]) for call in step]
        if self.too_long:
            return dict.fromkeys(MEASURES, False)
        text, stated = "\n".join(self.answers), self.stated()
        return {
            "tool": sorted(name for name, _ in self.calls) == sorted(name for name, _ in wanted),
            "arguments": keys_of(self.calls) == keys_of(wanted) if wanted else None,
            "format": set(self.kinds) <= {"call", "no_call"},
            "execution": bool(self.calls) and not any(map(is_error, self.results)) if wanted else None,
            "response": all(states(text, value) for value in stated) if stated else None,
        }

    def failure(self, measures: dict) -> str | None:
        """The first of FAILURES that is true, or None."""
        own = [name for name, _ in self.calls]
        wanted = [name for step in json.loads(self.row["solution"]) for name, _ in step]
        if not measures["format"]:
            return "bad_json"
        if not measures["tool"]:
            missing, extra = without(wanted, own), without(own, wanted)
            return "wrong_tool" if missing and extra else "no_call" if missing else "needless_call"
        if measures["arguments"] is False:
            return "wrong_argument"
        answered = bool(self.answers and self.answers[-1].strip()) or self.row["messages"][-1].get("tool_calls")
        return None if answered and measures["response"] is not False else "wrong_answer"

    def verdict(self) -> dict:
        """The scored episode as evaluation.test() takes it, with `measures`, `failure` and `tool`, the wanted one."""
        measures = self.measures()
        failure = self.failure(measures)
        prompt = len(self.row["prompt"])
        return {
            "text": "\n".join(f"{message['role']}: {message['content']}" for message in self.messages[prompt:]),
            "tokens": self.tokens,
            "truncated": self.truncated,
            "solution": json.dumps(self.calls) if self.calls else None,
            "correct": failure is None and not self.too_long,
            "well_formed": bool(measures["format"]),
            "measures": measures,
            "failure": failure,
            "tool": tool_of(self.row),
        }


def without(names: list[str], others: list[str]) -> list[str]:
    """The names that are left when each of the others takes one of its own away."""
    left = list(names)
    for name in others:
        if name in left:
            left.remove(name)
    return left


def play(rows: list[dict], answer: Callable, execute: Callable, max_steps: int) -> list[dict]:
    """The verdict on an episode of each row, all of them played at once.

    answer: from conversations to one completion each. max_steps: completions of an episode; one that is not finished by
    then ends.
    """
    played = [Episode(row, execute) for row in rows]
    while going := [episode for episode in played if episode.going]:
        for episode, completion in zip(going, answer([episode.messages for episode in going]), strict=True):
            episode.step(completion, max_steps)
    return [episode.verdict() for episode in played]
