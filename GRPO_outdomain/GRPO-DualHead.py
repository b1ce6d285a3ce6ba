"""GRPO on 1000 problems with two heads: the confidence of the policy, and the checked format and answer.

reward = 0.7 * certainty + 0.3 * checked, checked = 0.4 * format + 0.6 * answer; plus 0.2 where both are above 0.8
    certainty = exp(mean log p of the solution's tokens)
    -10 if the format is bad; otherwise the format is 1, so `checked` is 0.4 or 1
By this formula of the thesis an incorrect answer can earn more than a correct one: 0.82 (certainty 1) against 0.79
(certainty 0.7). The bonus where both heads are high is not in the thesis; 0.2 is ours. Differs from GRPO-1K-def.py in
the reward, which also gets the certainty of the policy.

Input: outputs/data/<dataset>/, outputs/SFT/ (tiny: outputs/SFT-start/). Output: outputs/GRPO-DualHead/.
Command: python GRPO_outdomain/GRPO-DualHead.py
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


def format_exact(completions, tags, **columns):
    """1 if each of the four tags stands once, in their order, with nothing after them; else 0."""
    return [float(prompts.is_well_formed(text, asked)) for text, asked in prompts.texts(completions, tags)]


def answer_correct(completions, solution, tags, **columns):
    """1 if the answer between the solution tags has the value of the truth, else 0."""
    found = [answers.extract_solution(text, asked) for text, asked in prompts.texts(completions, tags)]
    return [float(answers.is_correct(answer, truth)) for answer, truth in zip(found, solution, strict=True)]


def dual_head(completions, solution, tags, certainties, log_metric, **columns):
    """Both heads, and a bonus where both are high: 0 to 1.2; -10 for a bad format or an empty solution."""
    parts = {
        "certainty": [measured.solution for measured in certainties],
        "format": format_exact(completions, tags),
        "answer": answer_correct(completions, solution, tags),
    }
    grpo.log_means(log_metric, parts)
    rewards = []
    for confidence, formatted, correct in zip(*parts.values(), strict=True):
        if not formatted or confidence is None:
            rewards.append(-10.0)
        else:
            checked = 0.4 * formatted + 0.6 * correct
            bonus = 0.2 if confidence > 0.8 and checked > 0.8 else 0.0
            rewards.append(0.7 * confidence + 0.3 * checked + bonus)
    return rewards


REWARDS = [dual_head]


def main(args):
    from common.trainer import GRPOTrainer  # late: trl takes seconds

    run = grpo.prepare(args)
    trainer = GRPOTrainer(run.model, REWARDS, args, run.dataset, processing_class=run.tokenizer, peft_config=run.lora)
    training.train(run, trainer)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
