"""Progress of a run whose held-out questions are answered with tools."""

from collections.abc import Callable

from common import generation
from common.progress import Watch
from ToolUse.tooluse import episodes


class EpisodeWatch(Watch):
    """Shows and records a run; held-out accuracy is the fraction of questions without a failure, answered greedily.

    execute: from name and arguments of a call to its result.
    """

    measured = "questions answered"

    def __init__(self, trainer, run, score, execute: Callable):
        self.execute = execute
        super().__init__(trainer, run, score)

    def answer(self, rows: list[dict]) -> list[dict]:
        args = self.run.args

        def complete(conversations):
            limit = args.max_completion_length
            return generation.generate_as_trained(self.trainer, self.run.tokenizer, conversations, limit)

        complete = generation.within(complete, self.run.tokenizer, args.max_length)
        return episodes.play(rows, complete, self.execute, args.max_turn_steps)
