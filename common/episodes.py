"""Tasks of several turns while they are played: the same loop for training, held-out accuracy and every table.

A model is shown the messages so far and replies. A reply with calls has them executed, in instances that only this
episode has, and their results are the next message; a reply without calls ends the turn of the user, and the next one
follows. So does a reply whose calls cannot be read, as officially.
"""

import json
from collections.abc import Callable

from common import evaluation, tool_tasks, toolcalls

# The reward of an episode in the tables: what GRPO_BFCL_v2.py pays by default. 1 is a perfect episode.
WEIGHTS = {"valid": 0.5, "prefix": 0.15, "turns": 0.15, "responses": 0.1, "concise": 0.1}


class Game:
    """A task of several turns while it is played: the conversation so far and the calls of each turn.

    news: the messages since the last reply, at the start the prompt; going: whether a reply is wanted.
    """

    def __init__(self, row: dict, worker: toolcalls.Episodes):
        loaded = ("turns", "initial_config", "involved_classes", "solution")
        self.turns, config, classes, self.truth = (json.loads(row[name]) for name in loaded)
        self.entry = {"id": row["id"], "initial_config": config, "involved_classes": classes}
        self.worker, self.episode = worker, worker.open(config, classes, "long_context" in row["id"])
        self.messages, self.news = list(row["prompt"]), row["prompt"]
        self.calls, self.steps, self.going = [[]], 0, True
        self.tokens, self.truncated, self.kinds, self.too_long = 0, False, [], False

    def step(self, reply: dict, max_steps: int) -> None:
        """Go on by one reply, {"text", "tokens", "truncated"}; one with "too_long" ends the episode unread."""
        calls, kind = toolcalls.decode(reply["text"])
        self.tokens, self.truncated = self.tokens + reply["tokens"], self.truncated or reply["truncated"]
        if "too_long" in reply:
            self.too_long, self.going = True, False
            return
        self.kinds.append(kind)
        if calls:
            pairs = [(name, arguments) for call in calls for name, arguments in call.items()]
            said = tool_tasks.call_text(pairs, ascii_only=True)
            self.news = [tool_tasks.tool_message(self.worker.execute(self.episode, calls))]
            self.calls[-1] += calls
            self.steps += 1
            self.going = self.steps <= max_steps
        else:
            said = reply["text"].rpartition("</think>")[2].lstrip("\n")
            turn, self.steps = len(self.calls), 0
            self.going = turn < len(self.turns)
            self.news = self.turns[turn] if self.going else []
            self.calls += [[]] * self.going
        self.messages += [{"role": "assistant", "content": said}, *self.news]

    def verdict(self) -> dict:
        """The scored episode as a reply of evaluation.test(), with `parts` (of its reward, by the names in WEIGHTS) and
        `kinds` (of its replies). One that was cut or is unfinished is wrong, as officially."""
        found = toolcalls.score_multi(self.worker, self.entry, self.truth, self.calls)
        right = found["valid"] and not self.too_long
        parts = {name: float(found[name]) for name in WEIGHTS if name in found}
        parts |= {"valid": float(right), "concise": right * (1 - found["extra"])}
        return {
            "text": "\n".join(f"{message['role']}: {message['content']}" for message in self.messages[1:]),
            "tokens": self.tokens,
            "truncated": self.truncated,
            "too_long": self.too_long,
            "solution": json.dumps(self.calls),
            "correct": right,
            "well_formed": "call" in self.kinds and set(self.kinds) <= {"call", "no_call"},
            "reward": sum(weight * parts[name] for name, weight in WEIGHTS.items()),
            "parts": parts,
            "kinds": self.kinds,
        }


def play(rows: list[dict], answer: Callable, worker: toolcalls.Episodes, max_steps: int) -> list[dict]:
    """The verdict on an episode of each row; all are played at once, and closed whatever happens.

    answer: from the games that go on to one reply each. max_steps: replies with calls in one turn; the one that exceeds
    it ends the episode, which is wrong then.
    """
    games = []
    try:
        games += (Game(row, worker) for row in rows)
        while playing := [game for game in games if game.going]:
            for game, reply in zip(playing, answer(playing), strict=True):
                game.step(reply, max_steps)
        return [game.verdict() for game in games]
    finally:
        for game in games:
            worker.close(game.episode)


def within(answer: Callable, tokenizer, room: int) -> Callable:
    """answer(conversations), with an empty reply that is "too_long" to every prompt of more than `room` tokens."""

    def reply(asked, **how):
        lengths = evaluation.prompt_lengths(tokenizer, asked)
        fits = [conversation for conversation, length in zip(asked, lengths) if length <= room]
        replies = iter(answer(fits, **how) if fits else [])
        too_long = {"text": "", "tokens": 0, "truncated": True, "too_long": True}
        return [next(replies) if length <= room else dict(too_long) for length in lengths]

    return reply
