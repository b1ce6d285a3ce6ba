"""Whole dialogues as GRPO's rollouts: what the user and the tools say is masked in the loss."""

from BFCL.bfcl import dialogues
from BFCL.bfcl.sandbox import Sandbox
from common import generation


def rollout(prompts: list, trainer, rows: list[dict], sandbox: Sandbox, args) -> dict:
    """GRPOTrainer's rollout_func: plays an episode for each prompt, of the row that trainer.batch_rows says.

    Returns the columns of generation.Transcripts, and for the rewards parts and kinds. The policy sees its own tokens
    of earlier completions; what the evaluation shows it is the calls in them, written anew.
    """
    transcripts = generation.Transcripts(trainer, args)
    batch = [rows[number] for number in trainer.batch_rows]
    verdicts = dialogues.play(batch, transcripts.complete, sandbox, args.max_turn_steps)
    return transcripts.columns() | {
        "parts": [verdict["parts"] for verdict in verdicts],
        "kinds": [verdict["kinds"] for verdict in verdicts],
    }
