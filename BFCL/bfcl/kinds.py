"""The kinds of data sets of tool calls: one turn, and dialogues of several turns."""

import json

from BFCL.bfcl import scoring
from BFCL.bfcl.sandbox import parse_call
from common import prompts
from common.kinds import Kind, own_completion, own_prompt


def score_first_turn(completion: dict, row: dict, tags: prompts.Tags) -> dict:
    """scoring.score_calls() of the completion to the first turn of a dialogue: all its calls are wanted, in any order.

    A dialogue that was played is scored as it was played (BFCL/bfcl/dialogues.py).
    """
    calls = [parse_call(call) for call in json.loads(row["solution"])[0]]
    wanted = [{name: {key: [value] for key, value in arguments.items()}} for name, arguments in calls]
    category = "parallel" if calls else "irrelevance"
    return scoring.score_calls(completion, row | {"solution": json.dumps(wanted), "category": category}, tags)


CALLS = Kind(
    name="calls",
    made_by="python BFCL/BFCL_dataset_creation.py --kind single",
    columns=("question", "prompt", "solution", "functions", "category"),
    taught=("completion",),
    prompt=own_prompt,
    completion=own_completion,
    score=scoring.score_calls,
    reward_columns=("functions", "category"),
)
DIALOGUE = CALLS._replace(
    name="dialogue",
    made_by="python BFCL/BFCL_dataset_creation.py --kind multi",
    columns=(*CALLS.columns, "turns", "initial_config", "involved_classes"),
    score=score_first_turn,
)
KINDS = {"calls": CALLS, "dialogue": DIALOGUE}
