"""Progress of a run whose held-out completions are whole dialogues."""

from BFCL.bfcl import dialogues, scoring
from BFCL.bfcl.sandbox import Sandbox
from common import generation
from common.progress import Watch


class DialogueWatch(Watch):
    """Shows and records a run; held-out accuracy is the fraction of episodes that are valid, played greedily.

    weights: of the parts in the held-out reward.
    """

    measured = "episodes valid"

    def __init__(self, trainer, run, score, sandbox: Sandbox, weights: dict[str, float]):
        self.sandbox, self.weights = sandbox, weights
        super().__init__(trainer, run, score)

    def answer(self, rows: list[dict]) -> list[dict]:
        args = self.run.args

        def complete(conversations):
            limit = args.max_reply_tokens
            return generation.generate_as_trained(self.trainer, self.run.tokenizer, conversations, limit)

        room = args.max_prompt_tokens + args.max_completion_length - args.max_reply_tokens
        complete = generation.within(complete, self.run.tokenizer, room)

        def completions(active):
            return complete([dialogue.messages for dialogue in active])

        verdicts = dialogues.play(rows, completions, self.sandbox, args.max_turn_steps)
        return [scoring.with_reward(verdict, self.weights) for verdict in verdicts]
