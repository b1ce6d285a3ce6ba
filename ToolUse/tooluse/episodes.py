"""Questions with tools while they are answered: completions, calls, results, until an answer; and what is measured.

The same loop for held-out accuracy, every table and the examples. The result of a call that stands in the row's own
conversation is the recorded one, so rows of tools that do not exist here can be played too; any other call is executed.
"""

import json
import re
from collections import Counter
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


def normal(value):
    """A value without what does not matter: spaces and case of text, integer or float."""
    if isinstance(value, str):
        return re.sub(r"\s", "", value).casefold()
    if isinstance(value, dict):
        return {str(key): normal(part) for key, part in value.items()}
    if isinstance(value, list):
        return [normal(part) for part in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value


def call_key(name: str, arguments: dict) -> str:
    """What identifies a call."""
    return json.dumps([name, normal(arguments)], sort_keys=True)


def leaves(value) -> list[str]:
    """The numbers and texts in a result, as text."""
    texts = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
        elif part not in (None, "") and not isinstance(part, bool):
            texts.append(str(part))
    return texts


def states(text: str, value: str) -> bool:
    """Whether a text contains a value as a whole number or word."""
    return bool(re.search(rf"(?<![\w-]){re.escape(value)}(?!\w|\.\d)", text))


def parse(result: str):
    """The value of a result, which is JSON text, or else the text itself."""
    try:
        return json.loads(result)
    except (ValueError, RecursionError):
        return result


def result_text(result: dict) -> str:
    """A result as JSON text; an escape in JSON may stand for half a character, which no file can hold."""
    return json.dumps(result, ensure_ascii=False).encode(errors="replace").decode()


def is_error(result: str) -> bool:
    value = parse(result)
    return isinstance(value, dict) and bool(value.get("error"))


def recorded_results(messages: list[dict]) -> dict[str, str]:
    """The result of each call of a conversation, by call_key()."""
    results, waiting = {}, []
    for message in messages:
        if message["role"] == "tool":
            if waiting:
                results.setdefault(waiting.pop(0), message["content"])
        elif message.get("tool_calls"):
            waiting = [call_key(*call) for call in conversations.calls_of(message)]
    return results


class Episode:
    """A question while it is answered.

    row: unfolded. execute: from name and arguments to a result. messages: the conversation so far;
    news: the messages since the last completion; going: whether a completion is wanted.
    """

    def __init__(self, row: dict, execute: Callable[[str, dict], dict]):
        self.row = row
        self.execute = execute
        self.messages = list(row["prompt"])
        self.news = []
        self.going = True
        self.wanted = wanted_calls(row)
        self.recorded = recorded_results(row["messages"])
        self.calls = []
        self.keys = []  # of the calls, call_key()
        self.results = []
        self.answers = []
        self.kinds = []
        self.tokens = 0
        self.truncated = False
        self.too_long = False
        self.questions = []  # further ones of the user
        for message in row["completion"]:
            if message["role"] == "user" and "<tool_response>" not in message["content"]:
                self.questions.append(message)

    def step(self, completion: dict, max_steps: int) -> None:
        """Go on by one completion, {"text", "tokens", "truncated"}; one with "too_long" ends the episode unanswered."""
        if completion.get("too_long"):
            self.too_long = True
            self.going = False
            return
        objects, kind = calls.decode(completion["text"])
        pairs = [pair for call in objects for pair in call.items()]
        try:
            keys = [call_key(*pair) for pair in pairs]
        except RecursionError:  # arguments that are nested so deep cannot be compared
            pairs = []
            kind = "bad_call"
        self.kinds.append(kind)
        self.tokens += completion["tokens"]
        self.truncated = self.truncated or completion["truncated"]
        text = completion["text"].rpartition("</think>")[2].lstrip("\n")
        self.news = []
        if pairs:
            results = [self.result(key, *pair) for key, pair in zip(keys, pairs)]
            self.calls += pairs
            self.keys += keys
            self.results += results
            self.news = [calls.tool_message(results)]
        else:
            self.answers.append(text)
            self.going = bool(self.questions)
            if self.questions:
                self.news = [self.questions.pop(0)]
        self.messages += [{"role": "assistant", "content": text}, *self.news]
        if len(self.kinds) >= max_steps:
            self.going = False

    def result(self, key: str, name: str, arguments: dict) -> str:
        """The result of a call as JSON text: the recorded one, else that of the executor."""
        return self.recorded.get(key) or result_text(self.execute(name, arguments))

    def stated(self) -> list[str]:
        """The values of the recorded results that the correct answers state."""
        answers = [message["content"] or "" for message in self.row["messages"] if message["role"] == "assistant"]
        text = "\n".join(answers)
        values = [value for result in self.recorded.values() for value in leaves(parse(result))]
        return [value for value in dict.fromkeys(values) if states(text, value)]

    def measures(self) -> dict[str, bool | None]:
        """Each of MEASURES."""
        values = dict.fromkeys(MEASURES)
        values["tool"] = sorted(name for name, _ in self.calls) == sorted(name for name, _ in self.wanted)
        values["format"] = set(self.kinds) <= {"call", "no_call"}
        if self.wanted:
            values["arguments"] = sorted(self.keys) == sorted(call_key(*call) for call in self.wanted)
            values["execution"] = bool(self.calls) and not any(map(is_error, self.results))
        stated = self.stated()
        if stated:
            text = "\n".join(self.answers)
            values["response"] = all(states(text, value) for value in stated)
        return values

    def failure(self, measures: dict) -> str | None:
        """The first of FAILURES that is true, or None."""
        if not measures["format"]:
            return "bad_json"
        if not measures["tool"]:
            wanted = Counter(name for name, _ in self.wanted)
            called = Counter(name for name, _ in self.calls)
            if wanted - called and called - wanted:
                return "wrong_tool"
            return "no_call" if wanted - called else "needless_call"
        if measures["arguments"] is False:
            return "wrong_argument"
        ends_with_call = bool(self.row["messages"][-1].get("tool_calls"))
        answered = bool(self.answers and self.answers[-1].strip())
        if measures["response"] is False or not (answered or ends_with_call):
            return "wrong_answer"
        return None

    def verdict(self) -> dict:
        """The scored episode as evaluation.test() takes it, with `measures`, `failure` and `tool`, the wanted one."""
        measures = self.measures()
        failure = self.failure(measures)
        messages = self.messages[len(self.row["prompt"]) :]
        return {
            "text": "\n".join(f"{message['role']}: {message['content']}" for message in messages),
            "tokens": self.tokens,
            "truncated": self.truncated or self.too_long,
            "too_long": self.too_long,
            "solution": json.dumps(self.calls) if self.calls else None,
            "correct": failure is None,
            "well_formed": measures["format"],
            "measures": measures,
            "failure": failure,
            "tool": self.wanted[0][0] if self.wanted else NONE,
        }


def wanted_calls(row: dict) -> list[tuple[str, dict]]:
    """The calls that a question wants, name and arguments."""
    return [(name, arguments) for step in json.loads(row["solution"]) for name, arguments in step]


def play(rows: list[dict], answer: Callable, execute: Callable, max_steps: int) -> list[dict]:
    """The verdict on an episode of each row, all of them played at once.

    answer: from conversations to one completion each. max_steps: completions of an episode; one that is not finished by
    then ends.
    """
    played = [Episode(row, execute) for row in rows]
    finish(played, lambda going: answer([episode.messages for episode in going]), max_steps)
    return [episode.verdict() for episode in played]


def finish(played: list[Episode], complete: Callable, max_steps: int) -> None:
    """Play episodes to their ends, all at once. complete: from those that go on to one completion each."""
    while going := [episode for episode in played if episode.going]:
        for episode, completion in zip(going, complete(going), strict=True):
            episode.step(completion, max_steps)
