"""GRPO on 1000 problems: graded tag format with a penalty for each tag fault, and correct answer.

reward = 0.6 * format_graded + 0.4 * answer_correct + 0.1 * tag_faults, where tag_faults is -4 to 0
Differs from GRPO-1K-v2.py in tag_faults. Within a group this only raises the weight of each tag from 0.15 to
0.25: an advantage ignores what all completions have in common.

Input: outputs/data/<dataset>/, outputs/SFT/ (tiny: outputs/SFT-start/). Output: outputs/GRPO-1K-v3/.
Command: python GRPO_indomain/GRPO-1K-v3.py
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import answers, grpo, prompts, settings, training
from common.settings import setting


@dataclass
class Args(grpo.Args):
    base: str = setting("outputs/SFT", "initial policy: a folder or a hub name", tiny="outputs/SFT-start")
    dataset: str = setting("dapo", "folder of outputs/data/, or a path", tiny="linear_sum")
    seed: int = setting(3407, "order of the problems, sampling, initial LoRA weights; that of the thesis")
    reward_weights: list[float] = setting([0.6, 0.4, 0.1], "weights of format_graded, answer_correct, tag_faults")
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


def format_graded(completions, tags, **columns):
    """Fraction of the four tags that stand exactly once: 0, 0.25, ..., 1."""
    return [sum(prompts.tags_once(text, asked)) / 4 for text, asked in prompts.texts(completions, tags)]


def answer_correct(completions, solution, tags, **columns):
    """1 if the answer between the solution tags has the value of the truth, else 0."""
    found = [answers.extract_solution(text, asked) for text, asked in prompts.texts(completions, tags)]
    return [float(answers.is_correct(answer, truth)) for answer, truth in zip(found, solution, strict=True)]


def tag_faults(completions, tags, **columns):
    """Minus the number of tags that are missing or repeated: -4 to 0."""
    return [sum(prompts.tags_once(text, asked)) - 4.0 for text, asked in prompts.texts(completions, tags)]


REWARDS = [format_graded, answer_correct, tag_faults]


def main(args):
    from common.trainer import GRPOTrainer  # late: trl takes seconds

    run = grpo.prepare(args)
    trainer = GRPOTrainer(run.model, REWARDS, args, run.dataset, processing_class=run.tokenizer, peft_config=run.lora)
    training.train(run, trainer)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
