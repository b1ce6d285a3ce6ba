"""GRPO on linear systems straight from the base, without SFT.

reward = 1 if the answer is correct, 0.1 if it can be read, else 0
Differs from GRPO-1K.py in base, data and reward. LoRA, learning rate and length: as in the linear-equations study.

Input: outputs/data/linear/, a base. Output: outputs/GRPO-Linear/.
Command: python GRPO_indomain/GRPO-Linear.py
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import answers, grpo, prompts, settings, training
from common.settings import setting


@dataclass
class Args(grpo.Args):
    base: str = setting("Qwen/Qwen3-4B-Base", "initial policy: a folder or a hub name", tiny="resources/tiny-base")
    dataset: str = setting("linear", "folder of outputs/data/, or a path")
    seed: int = setting(3407, "order of the problems, sampling, initial LoRA weights; that of the thesis")
    learning_rate: float = setting(3e-5, "for LoRA; small models take larger steps", tiny=1e-4)
    lr_scheduler_type: str = setting("cosine", "learning rate falls to 0, as in the thesis")
    warmup_steps: float = setting(0.05, "steps of rising learning rate; below 1 a fraction of all steps")
    num_train_epochs: float = setting(1, "passes over the problems")
    max_steps: int = setting(
        -1, "updates; -1: as many as the epochs have; tiny: the format has to be learned too", tiny=48
    )
    num_generations: int = setting(8, "group size: completions of one problem, compared with each other")
    per_device_train_batch_size: int = setting(8, "completions in memory at once", tiny=64)
    gradient_accumulation_steps: int = setting(4, "batches in one update of 32 completions", tiny=1)
    temperature: float = setting(1.0, "sampling temperature of the rollouts")
    max_completion_length: int = setting(384, "tokens; a longer completion is cut and loses its reward", tiny=144)
    beta: float = setting(0.0, "weight of the KL term; 0 needs no reference model in memory")
    lora_r: int = setting(64, "rank of LoRA; 0 trains every weight, for small models", tiny=0)
    lora_alpha: int = setting(64, "scale of LoRA, equal to the rank")
    tags: str = setting("thesis", "tag set to ask for, thesis or think")
    heldout_every: int = setting(25, "steps between two measurements of held-out accuracy", tiny=8)


def answer(completions, solution, tags, **columns):
    """1 if correct, 0.1 if it parses as numbers (for a system: one value per unknown), else 0."""
    rewards = []
    for (text, asked), truth in zip(prompts.texts(completions, tags), solution, strict=True):
        found = answers.extract_solution(text, asked)
        values, true_values = answers.named_values(found or ""), answers.named_values(truth)
        readable = values is not None and (true_values is None or values.keys() == true_values.keys())
        rewards.append(1.0 if answers.is_correct(found, truth) else 0.1 if readable else 0.0)
    return rewards


REWARDS = [answer]


def main(args):
    from common.trainer import GRPOTrainer  # late: trl takes seconds

    run = grpo.prepare(args, made_by="python tiny/make_base.py")
    trainer = GRPOTrainer(run.model, REWARDS, args, run.dataset, processing_class=run.tokenizer, peft_config=run.lora)
    training.train(run, trainer)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
