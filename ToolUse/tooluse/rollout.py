"""Conversations with tools as GRPO's rollouts: what the user and the tools say is masked in the loss."""

from collections.abc import Callable

from common import generation
from ToolUse.tooluse import episodes


def facts(episode: episodes.Episode) -> dict:
    """What rewards are read off: a column for each, as GRPO's reward functions get them.

    Calls are keys (episodes.call_key). errors: for each call whether it failed; returned: the values in the results;
    values: those that the correct answer states; failures: one of episodes.FAILURES, or None.
    """
    return {
        "tools_called": [name for name, _ in episode.calls],
        "tools_wanted": [name for name, _ in episode.wanted],
        "calls": episode.keys,
        "calls_wanted": [episodes.call_key(*call) for call in episode.wanted],
        "errors": [episodes.is_error(result) for result in episode.results],
        "returned": episodes.leaves([episodes.parse(result) for result in episode.results]),
        "kinds": episode.kinds,
        "answers": "\n".join(episode.answers),
        "values": episode.stated(),
        "failures": episode.failure(episode.measures()),
    }


def rollout(prompts: list, trainer, rows: list[dict], execute: Callable, args) -> dict:
    """GRPOTrainer's rollout_func: plays an episode for each prompt, of the row that trainer.batch_rows says.

    Returns the columns of generation.Transcripts, and for the rewards facts().
    """
    transcripts = generation.Transcripts(trainer, args)
    played = [episodes.Episode(rows[number], execute) for number in trainer.batch_rows]
    episodes.finish(played, transcripts.complete, args.max_turn_steps)
    columns = transcripts.columns()
    for episode in played:
        for name, value in facts(episode).items():
            columns.setdefault(name, []).append(value)
    return columns
