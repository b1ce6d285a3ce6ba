"""The kind of data sets of conversations with tools that are executed."""

from common import prompts
from common.kinds import Kind, own_completion, own_prompt
from ToolUse.tooluse import conversations


def score(verdict: dict, row: dict, tags: prompts.Tags) -> dict:
    """The verdict of episodes.play(): a conversation is scored as it is played.

    A sample of GRPO, which has rewards in place of measures, is correct where each of them is 1.
    """
    if "rewards" not in verdict:
        return verdict
    return verdict | {"solution": verdict["text"], "correct": set(verdict["rewards"].values()) == {1.0}}


TOOLS = Kind(
    name="tools",
    made_by="python ToolUse/tool_dataset_creation.py --source templates",
    columns=("question", "messages", "tools", "solution"),
    taught=(),
    prompt=own_prompt,
    completion=own_completion,
    score=score,
    read=conversations.unfold,
)
KINDS = {"tools": TOOLS}
