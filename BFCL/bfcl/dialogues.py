"""Tasks of several turns while they are played: the same loop for training, held-out accuracy and every table.

A model is shown the messages so far and writes a completion. One with calls has them executed, on instances that this
episode alone has, and their results are the next message; one without calls ends the turn of the user, and the next
one follows. So does a completion whose calls cannot be read, as officially.
"""

import json
from collections.abc import Callable

from BFCL.bfcl import scoring
from BFCL.bfcl.sandbox import Sandbox
from common import calls


class Dialogue:
    """A task of several turns while it is played: the conversation so far and the calls of each turn.

    news: the messages since the last completion, at the start the prompt; going: whether a completion is wanted.
    """

    def __init__(self, row: dict, sandbox: Sandbox):
        loaded = ("turns", "initial_config", "involved_classes", "solution")
        self.turns, config, classes, self.truth = (json.loads(row[name]) for name in loaded)
        self.entry = {"id": row["id"], "initial_config": config, "involved_classes": classes}
        self.sandbox, self.episode = sandbox, sandbox.open(config, classes, "long_context" in row["id"])
        self.messages, self.news = list(row["prompt"]), row["prompt"]
        self.calls, self.steps, self.going = [[]], 0, True
        self.tokens, self.truncated, self.kinds, self.too_long = 0, False, [], False

    def step(self, completion: dict, max_steps: int) -> None:
        """Go on by one completion, {"text", "tokens", "truncated"}; one with "too_long" ends the episode unread."""
        found, kind = calls.decode(completion["text"])
        self.tokens, self.truncated = self.tokens + completion["tokens"], self.truncated or completion["truncated"]
        if "too_long" in completion:
            self.too_long, self.going = True, False
            return
        self.kinds.append(kind)
        if found:
            pairs = [(name, arguments) for call in found for name, arguments in call.items()]
            said = calls.call_text(pairs, ascii_only=True)
            self.news = [calls.tool_message(self.sandbox.execute(self.episode, found))]
            self.calls[-1] += found
            self.steps += 1
            self.going = self.steps <= max_steps
        else:
            said = completion["text"].rpartition("</think>")[2].lstrip("\n")
            turn, self.steps = len(self.calls), 0
            self.going = turn < len(self.turns)
            self.news = self.turns[turn] if self.going else []
            self.calls += [[]] * self.going
        self.messages += [{"role": "assistant", "content": said}, *self.news]

    def verdict(self) -> dict:
        """The scored episode as evaluation.test() takes it, with the `parts` of its reward (each from 0 to 1, all of
        them 1 for a perfect episode) and the `kinds` of its completions. One that is cut or unfinished is incorrect,
        as officially."""
        found = scoring.score_multi(self.sandbox, self.entry, self.truth, self.calls)
        correct = found["valid"] and not self.too_long
        return {
            "text": "\n".join(f"{message['role']}: {message['content']}" for message in self.messages[1:]),
            "tokens": self.tokens,
            "truncated": self.truncated,
            "too_long": self.too_long,
            "solution": json.dumps(self.calls),
            "correct": correct,
            "well_formed": "call" in self.kinds and set(self.kinds) <= {"call", "no_call"},
            "parts": {
                "valid": float(correct),
                **{name: float(found[name]) for name in ("prefix", "turns", "responses")},
                "concise": correct * (1 - found["extra"]),
            },
            "kinds": self.kinds,
        }


def play(rows: list[dict], answer: Callable, sandbox: Sandbox, max_steps: int) -> list[dict]:
    """The verdict on an episode of each row; all are played at once, and closed whatever happens.

    answer: from the dialogues that go on to one completion each. max_steps: completions with calls in one turn; the one
    that exceeds it ends the episode, which is incorrect then.
    """
    played = []
    try:
        played += (Dialogue(row, sandbox) for row in rows)
        while going := [dialogue for dialogue in played if dialogue.going]:
            for dialogue, completion in zip(going, answer(going), strict=True):
                dialogue.step(completion, max_steps)
        return [dialogue.verdict() for dialogue in played]
    finally:
        for dialogue in played:
            sandbox.close(dialogue.episode)
