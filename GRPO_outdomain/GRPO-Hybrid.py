"""GRPO on 1000 problems with a mix of the checked answer and the confidence of the policy.

reward = a * certainty + b * correctness + 0.25 * calibration + 0.15 * process, a: 0.20 to 0.40, b: 0.40 to 0.25
    certainty = exp(mean log p of the solution's tokens); calibration = certainty if correct, else 1 - certainty;
    process = fraction of the equalities in the reasoning that are correct; only those count that the answer rests on
    times 1.2 if correct and certainty > 0.7, times 0.7 if incorrect and certainty > 0.8
    -3 without a solution, -2 with a solution but without reasoning
The best run of the thesis out of domain. By its formula an incorrect answer can earn more than a correct one: at the
end 0.52 (certainty 0.8, correct arithmetic) and 0.445 (certainty 0.3, none). Differs from GRPO-1K-def.py in the reward,
which also gets the certainty of the policy.

Input: outputs/data/<dataset>/, outputs/SFT/ (tiny: outputs/SFT-start/). Output: outputs/GRPO-Hybrid/.
Command: python GRPO_outdomain/GRPO-Hybrid.py
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import answers, arithmetic, grpo, prompts, settings, training
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


# Weight of each part at the start and at the end of training, linear in between.
WEIGHTS = {"certainty": (0.20, 0.40), "correctness": (0.40, 0.25), "calibration": (0.25, 0.25), "process": (0.15, 0.15)}


def correctness(completions, solution, tags, **columns):
    """1 if the answer between the solution tags has the value of the truth, else 0."""
    rows = zip(prompts.texts(completions, tags), solution, strict=True)
    return [float(answers.is_correct(answers.extract_solution(text, asked), truth)) for (text, asked), truth in rows]


def calibration(correct, certainties, **columns):
    """Certainty of a correct answer, 1 - certainty of an incorrect one: 0 to 1; None without a solution."""
    rows = [(found, measured.solution) for found, measured in zip(correct, certainties, strict=True)]
    return [None if value is None else value if found else 1 - value for found, value in rows]


def process(completions, tags, **columns):
    """Fraction of the equalities in the reasoning that are correct; 0 where the answer rests on none: 0 to 1."""
    rows = [(prompts.reasoning(*row) or "", answers.extract_solution(*row)) for row in prompts.texts(completions, tags)]
    return [arithmetic.fraction_correct(reasoning, answer) for reasoning, answer in rows]


def hybrid(completions, solution, tags, certainties, trainer_state, log_metric, **columns):
    """The weighted sum of the four parts, raised or lowered where certainty and truth agree or not: -3 to 1.26."""
    correct = correctness(completions, solution, tags)
    parts = {
        "certainty": [measured.solution for measured in certainties],
        "correctness": correct,
        "calibration": calibration(correct, certainties),
        "process": process(completions, tags),
    }
    grpo.log_means(log_metric, parts)
    progress, rewards = trainer_state.global_step / trainer_state.max_steps, []
    for (text, asked), *values in zip(prompts.texts(completions, tags), *parts.values(), strict=True):
        confidence, is_correct = values[:2]
        if confidence is None:
            rewards.append(-3.0)
        elif not (prompts.reasoning(text, asked) or "").strip():
            rewards.append(-2.0)
        else:
            weights = [first + (last - first) * progress for first, last in WEIGHTS.values()]
            factor = 1.2 if is_correct and confidence > 0.7 else 0.7 if not is_correct and confidence > 0.8 else 1.0
            rewards.append(factor * sum(weight * value for weight, value in zip(weights, values)))
    return rewards


REWARDS = [hybrid]


def main(args):
    from common.trainer import GRPOTrainer  # late: trl takes seconds

    run = grpo.prepare(args)
    trainer = GRPOTrainer(run.model, REWARDS, args, run.dataset, processing_class=run.tokenizer, peft_config=run.lora)
    training.train(run, trainer)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
