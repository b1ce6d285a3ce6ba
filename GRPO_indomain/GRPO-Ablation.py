"""GRPO-1K-def with one thing of its rewards changed: what makes it quick, and what it costs in the end.

--change near: an answer close to the truth is rewarded as an incorrect one
--change penalties: no component is below 0, so an incorrect answer and none are alike
Its weights are settings: --reward_weights 3 1 1 0 is GRPO-1K-def without number.

Input: outputs/data/<dataset>/, outputs/SFT/ (tiny: outputs/SFT-brief/). Output: outputs/GRPO-Ablation-<change>/.
Command: python GRPO_indomain/GRPO-Ablation.py --change near
"""

import functools
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import grpo, runs, settings, training
from common.settings import setting

# The rewards of GRPO-1K-def themselves: a copy of them could come to differ in more than one thing.
found = importlib.util.spec_from_file_location("GRPO_1K_def", Path(__file__).with_name("GRPO-1K-def.py"))
original = importlib.util.module_from_spec(found)
sys.modules[found.name] = original  # dataclass() looks its fields up there
found.loader.exec_module(original)


@dataclass
class Args(original.Args):
    change: str = setting("near", "near or penalties", choices=("near", "penalties"))


@functools.wraps(original.answer_ladder)
def without_near(completions, solution, tags, **columns):
    """answer_ladder, but -2.5 for an incorrect answer however close it is."""
    return [-2.5 if reward in (2.0, 1.5) else reward for reward in original.answer_ladder(completions, solution, tags)]


def without_penalties(reward):
    """The reward function, at least 0."""

    @functools.wraps(reward)
    def bounded(completions, **columns):
        return [max(0.0, value) for value in reward(completions, **columns)]

    return bounded


CHANGES = {
    "near": [without_near if reward is original.answer_ladder else reward for reward in original.REWARDS],
    "penalties": [without_penalties(reward) for reward in original.REWARDS],
}


def main(args):
    from common.trainer import GRPOTrainer  # late: trl takes seconds

    run = grpo.prepare(args)
    rewards = CHANGES[args.change]
    trainer = GRPOTrainer(run.model, rewards, args, run.dataset, processing_class=run.tokenizer, peft_config=run.lora)
    training.train(run, trainer)


if __name__ == "__main__":
    settings.run(main, Args, __doc__, output=lambda args: runs.OUTPUTS / f"GRPO-Ablation-{args.change}")
