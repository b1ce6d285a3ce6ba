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

    news: the messages since the last completion, at the start the prompt; done: whether no completion is wanted.
    """

    def __init__(self, row: dict, sandbox: Sandbox):
        self.turns = json.loads(row["turns"])
        self.truth = json.loads(row["solution"])
        config = json.loads(row["initial_config"])
        classes = json.loads(row["involved_classes"])
        self.entry = {"id": row["id"], "initial_config": config, "involved_classes": classes}
        self.sandbox = sandbox
        self.episode = sandbox.open(config, classes, "long_context" in row["id"])
        self.messages = list(row["prompt"])
        self.news = row["prompt"]
        self.calls = [[]]  # of each turn
        self.steps = 0  # completions with calls in this turn
        self.done = False
        self.tokens = 0
        self.truncated = False
        self.too_long = False
        self.kinds = []

    def step(self, completion: dict, max_steps: int) -> None:
        """Go on by one completion, {"text", "tokens", "truncated"}; one with "too_long" ends the episode unread."""
        text = completion["text"]
        self.tokens += completion["tokens"]
        self.truncated = self.truncated or completion["truncated"]
        if "too_long" in completion:
            self.too_long = True
            self.done = True
            return
        new_calls, kind = calls.decode(text)
        self.kinds.append(kind)
        if new_calls:
            pairs = [next(iter(call.items())) for call in new_calls]
            content = calls.call_text(pairs, ascii_only=True)
            self.news = [calls.tool_message(self.sandbox.execute(self.episode, new_calls))]
            self.calls[-1] += new_calls
            self.steps += 1
            self.done = self.steps > max_steps
        else:
            content = text.rpartition("</think>")[2].lstrip("\n")
            turn = len(self.calls)
            self.steps = 0
            if turn < len(self.turns):
                self.news = self.turns[turn]
                self.calls.append([])
            else:
                self.news = []
                self.done = True
        self.messages += [{"role": "assistant", "content": content}, *self.news]

    def verdict(self) -> dict:
        """The scored episode as evaluation.test() takes it, with the `parts` of its reward (each from 0 to 1, all of
        them 1 for a perfect episode) and the `kinds` of its completions. One that is cut or unfinished is incorrect,
        as officially."""
        scores = scoring.score_multi(self.sandbox, self.entry, self.truth, self.calls)
        correct = scores["valid"] and not self.too_long
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
                "prefix": float(scores["prefix"]),
                "turns": float(scores["turns"]),
                "responses": float(scores["responses"]),
                "concise": float(1 - scores["extra"]) if correct else 0.0,
            },
            "kinds": self.kinds,
        }


def play(rows: list[dict], answer: Callable, sandbox: Sandbox, max_steps: int) -> list[dict]:
    """The verdict on an episode of each row; all are played at once, and closed whatever happens.

    answer: from the dialogues that go on to one completion each. max_steps: completions with calls in one turn; the one
    that exceeds it ends the episode, which is incorrect then.
    """
    dialogues = []
    try:
        for row in rows:
            dialogues.append(Dialogue(row, sandbox))
        while active := [dialogue for dialogue in dialogues if not dialogue.done]:
            for dialogue, completion in zip(active, answer(active), strict=True):
                dialogue.step(completion, max_steps)
        return [dialogue.verdict() for dialogue in dialogues]
    finally:
        for dialogue in dialogues:
            sandbox.close(dialogue.episode)
