"""GRPO on 1000 problems with four rewards, two for the format and two for the answer.

reward = 3 * format_exact + format_graded + answer_ladder + number; the docstring of each gives its range
The best in-domain run of the thesis. Differs from GRPO-1K.py in format_graded, answer_ladder and number: an answer
close to the truth gets part of the reward, so that a group has a signal before any completion of it is correct.

Input: outputs/data/<dataset>/, outputs/SFT/ (tiny: outputs/SFT-start/). Output: outputs/GRPO-1K-def/.
Command: python GRPO_indomain/GRPO-1K-def.py
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
    reward_weights: list[float] = setting([3, 1, 1, 1], "weights of format_exact, format_graded, answer_ladder, number")
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


def format_graded(completions, tags, **columns):
    """For each of the four tags +1 if it stands once, -2 if not, and -1 more if it is repeated: -12 to 4."""
    counts = [[text.count(tag) for tag in asked] for text, asked in prompts.texts(completions, tags)]
    return [sum(1.0 if n == 1 else -3.0 if n > 1 else -2.0 for n in row) for row in counts]


def is_within(percent: int, values: dict, true_values: dict) -> bool:
    """Whether each value differs from its true value by at most that percentage of it; exact, as all are Fractions."""
    return all(100 * abs(values[name] - true) <= percent * abs(true) for name, true in true_values.items())


def answer_ladder(completions, solution, tags, **columns):
    """5 if equal to the truth, 2 within 10 %, 1.5 within 20 %, -2.5 incorrect, -4.5 not a number, -2 no answer.

    Each of several values (x=2, y=-3) has to be that close. A truth that is no number knows 5, -2.5 and -2 alone."""
    rewards = []
    for (text, asked), truth in zip(prompts.texts(completions, tags), solution, strict=True):
        answer = answers.extract_solution(text, asked)
        true_values = answers.named_values(truth)
        if answer is None:
            rewards.append(-2.0)
        elif answers.is_correct(answer, truth):
            rewards.append(5.0)
        elif true_values and (values := answers.named_values(answer)) is None:
            rewards.append(-4.5)
        elif true_values and values.keys() == true_values.keys():
            near, close = (is_within(percent, values, true_values) for percent in (10, 20))
            rewards.append(2.0 if near else 1.5 if close else -2.5)
        else:
            rewards.append(-2.5)
    return rewards


def number(completions, solution, tags, **columns):
    """3.5 if the answer is correct or has the number of the truth among words; -1.5 if not; -2.5 without a number."""
    rewards = []
    for (text, asked), truth in zip(prompts.texts(completions, tags), solution, strict=True):
        answer = answers.extract_solution(text, asked)
        given, true = answers.number_among_words(answer), answers.number_among_words(truth)
        correct = (given is not None and given == true) or answers.is_correct(answer, truth)
        rewards.append(-2.5 if not answers.numbers_in(answer) else 3.5 if correct else -1.5)
    return rewards


REWARDS = [format_exact, format_graded, answer_ladder, number]


def main(args):
    from common.trainer import GRPOTrainer  # late: trl takes seconds

    run = grpo.prepare(args)
    trainer = GRPOTrainer(run.model, REWARDS, args, run.dataset, processing_class=run.tokenizer, peft_config=run.lora)
    training.train(run, trainer)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
