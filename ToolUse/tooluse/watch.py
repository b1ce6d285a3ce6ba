"""Progress of a run whose held-out questions are answered with tools."""

from collections.abc import Callable

from common import generation
from common.progress import Watch
from ToolUse.tooluse import episodes


class EpisodeWatch(Watch):
    """Shows and records a run; held-out accuracy is the fraction of questions without a failure, answered greedily.

    execute: from name and arguments of a call to its result. max_tokens: of a completion. room: tokens of the longest
    prompt; a longer one ends its conversation.
    """

    measured = "questions answered"

    def __init__(self, trainer, run, score, execute: Callable, max_tokens: int, room: int):
        self.execute = execute
        self.max_tokens = max_tokens
        self.room = room
        super().__init__(trainer, run, score)

    def answer(self, rows: list[dict]) -> list[dict]:
        def complete(conversations):
            return generation.generate_as_trained(self.trainer, self.run.tokenizer, conversations, self.max_tokens)

        complete = generation.within(complete, self.run.tokenizer, self.room)
        return episodes.play(rows, complete, self.execute, self.run.args.max_turn_steps)
