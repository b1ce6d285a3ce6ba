"""GRPO on 1000 problems without any outside signal: the reward is the confidence of the policy.

reward = 0.6 * certainty of the solution's tokens + 0.3 * certainty of the whole completion + 0.1 * (1 - entropy)
    certainty = exp(mean log p), entropy = mean entropy of the next token / log of the vocabulary's size
    times 1.5 if the first is above 0.8 and the second above 0.7; -10 without a solution
    --reward self_certainty: mean KL(uniform || p) over the tokens of the completion, and nothing else
Differs from GRPO-1K-def.py in the reward, which never sees the truth. The first formula is that of the thesis; the
second is Intuitor as published (Zhao et al., Learning to Reason without External Rewards, arXiv 2505.19590), with the
self-certainty of Kang et al. (arXiv 2502.18581).

Input: outputs/data/<dataset>/, outputs/SFT/ (tiny: outputs/SFT-start/). Output: outputs/GRPO-Intuitor/, or
outputs/GRPO-Intuitor-self_certainty/.
Command: python GRPO_outdomain/GRPO-Intuitor.py
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import grpo, runs, settings, training
from common.settings import setting


@dataclass
class Args(grpo.Args):
    base: str = setting("outputs/SFT", "initial policy: a folder or a hub name", tiny="outputs/SFT-start")
    dataset: str = setting("dapo", "folder of outputs/data/, or a path", tiny="linear_sum")
    seed: int = setting(3407, "order of the problems, sampling, initial LoRA weights; that of the thesis")
    reward: str = setting(
        "intuitor",
        "intuitor: the mix of the thesis; self_certainty: the published definition",
        choices=("intuitor", "self_certainty"),
    )
    learning_rate: float = setting(3e-5, "for LoRA; small models take larger steps", tiny=1.5e-4)
    lr_scheduler_type: str = setting("cosine", "falls to 0, as in the thesis; tiny: does not fall", tiny="constant")
    warmup_steps: float = setting(0.05, "steps of rising learning rate; below 1 a fraction of all steps")
    num_train_epochs: float = setting(1, "passes over the problems")
    max_steps: int = setting(-1, "updates; -1: as many as the epochs have", tiny=60)
    num_generations: int = setting(8, "group size: completions of one problem, compared with each other")
    per_device_train_batch_size: int = setting(8, "completions in memory at once", tiny=64)
    gradient_accumulation_steps: int = setting(4, "batches in one update of 32 completions", tiny=1)
    temperature: float = setting(1.0, "sampling temperature of the rollouts")
    max_completion_length: int = setting(1536, "tokens; a longer completion is cut and loses its reward", tiny=144)
    beta: float = setting(0.0, "weight of the KL term; 0 needs no reference model in memory")
    lora_r: int = setting(32, "rank of LoRA; 0 trains every weight, for small models", tiny=0)
    lora_alpha: int = setting(64, "scale of LoRA, twice the rank")


def intuitor(completions, certainties, log_metric, **columns):
    """The mix of the thesis, times 1.5 where the first two parts are high: 0 to 1.5; -10 without a solution."""
    parts = {
        "solution": [measured.solution for measured in certainties],
        "response": [measured.response for measured in certainties],
        "peakedness": [1 - measured.entropy for measured in certainties],
    }
    grpo.log_means(log_metric, parts)
    rewards = []
    for _, solution, response, peakedness in zip(completions, *parts.values(), strict=True):
        if solution is None:
            rewards.append(-10.0)
        else:
            factor = 1.5 if solution > 0.8 and response > 0.7 else 1.0
            rewards.append(factor * (0.6 * solution + 0.3 * response + 0.1 * peakedness))
    return rewards


def self_certainty(completions, certainties, **columns):
    """Mean KL(uniform || p) over the tokens of the completion, in nats: 0 or more."""
    return [measured.self_certainty for _, measured in zip(completions, certainties, strict=True)]


REWARDS = {"intuitor": intuitor, "self_certainty": self_certainty}


def output(args) -> Path:
    """One folder for the formula of the thesis, another for the published one."""
    return runs.OUTPUTS / ("GRPO-Intuitor" if args.reward == "intuitor" else f"GRPO-Intuitor-{args.reward}")


def main(args):
    from common.trainer import GRPOTrainer  # late: trl takes seconds

    run = grpo.prepare(args)
    rewards = REWARDS[args.reward]
    trainer = GRPOTrainer(run.model, rewards, args, run.dataset, processing_class=run.tokenizer, peft_config=run.lora)
    training.train(run, trainer)


if __name__ == "__main__":
    settings.run(main, Args, __doc__, output=output)
