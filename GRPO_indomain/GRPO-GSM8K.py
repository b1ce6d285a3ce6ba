"""GRPO on the word problems of GSM8K with five rewards, straight from an instruct model.

reward = 0.5 * tag_count + 0.5 * soft_format + 0.5 * strict_format + 0.5 * integer + 2 * correctness, each 0 to 1
The recipe of grpo-reasoncheck. Differs from GRPO-1K-def.py in base, data, tags (think), rewards and learning rate. Four
cheap rewards lead a model that has seen no tags to the format; together they weigh as much as the correct answer.

Input: outputs/data/gsm8k/, a base. Output: outputs/GRPO-GSM8K/.
Command: python GRPO_indomain/GRPO-GSM8K.py
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import answers, grpo, prompts, settings, training
from common.settings import setting


@dataclass
class Args(grpo.Args):
    base: str = setting(
        "Qwen/Qwen2.5-3B-Instruct", "initial policy: a folder or a hub name", tiny="resources/tiny-base"
    )
    dataset: str = setting("gsm8k", "folder of outputs/data/, or a path", tiny="linear")
    seed: int = setting(3407, "order of the problems, sampling, initial LoRA weights")
    reward_weights: list[float] = setting(
        [0.5, 0.5, 0.5, 0.5, 2], "of tag_count, soft_format, strict_format, integer, correctness"
    )
    learning_rate: float = setting(5e-6, "that of the recipe", tiny=1e-4)
    lr_scheduler_type: str = setting("cosine", "learning rate falls to 0", tiny="constant_with_warmup")
    warmup_steps: float = setting(0.1, "steps of rising learning rate; below 1 a fraction of all steps")
    num_train_epochs: float = setting(1, "passes over the problems")
    max_steps: int = setting(-1, "updates; -1: as many as the epochs have", tiny=12)
    num_generations: int = setting(8, "group size: completions of one problem, compared with each other")
    per_device_train_batch_size: int = setting(8, "completions in memory at once", tiny=64)
    gradient_accumulation_steps: int = setting(4, "batches in one update of 32 completions", tiny=1)
    temperature: float = setting(1.0, "sampling temperature of the rollouts")
    max_completion_length: int = setting(1024, "tokens; a longer completion is cut and loses its reward", tiny=144)
    beta: float = setting(0.0, "weight of the KL term; 0 needs no reference model in memory")
    lora_r: int = setting(64, "rank of LoRA; 0 trains every weight, for small models", tiny=0)
    lora_alpha: int = setting(64, "scale of LoRA, equal to the rank")
    max_prompt_tokens: int = setting(512, "rows with a longer prompt are dropped", tiny=1024)
    save_steps: float = setting(25, "steps between two checkpoints for --resume", tiny=6)
    heldout_rows: int = setting(50, "validation rows for held-out accuracy", tiny=100)


def tag_count(completions, tags, **columns):
    """Fraction of the four tags that stand exactly once: 0, 0.25, ..., 1."""
    return [sum(prompts.tags_once(text, asked)) / 4 for text, asked in prompts.texts(completions, tags)]


def soft_format(completions, tags, **columns):
    """1 if the four tags stand somewhere in their order, whatever is around, between and repeated; else 0."""
    rewards = []
    for text, asked in prompts.texts(completions, tags):
        place = 0
        for tag in asked:
            place = text.find(tag, place) if place >= 0 else -1
        rewards.append(float(place >= 0))
    return rewards


def strict_format(completions, tags, **columns):
    """1 if the completion is reasoning and answer, each between its tags, with only space around them; else 0."""
    rewards = []
    for text, asked in prompts.texts(completions, tags):
        before, _, rest = text.partition(asked.work_open)
        between = rest.partition(asked.work_close)[2].partition(asked.answer_open)[0]
        rewards.append(float(prompts.is_well_formed(text, asked) and not before.strip() and not between.strip()))
    return rewards


def integer(completions, tags, **columns):
    """1 if the answer is an integer, as all of GSM8K's are, correct or not; else 0."""
    found = [answers.extract_solution(text, asked) for text, asked in prompts.texts(completions, tags)]
    values = [answers.named_values(answer) or {} for answer in found]
    return [float("" in value and value[""].denominator == 1) for value in values]


def correctness(completions, solution, tags, **columns):
    """1 if the answer between its tags has the value of the truth, else 0."""
    found = [answers.extract_solution(text, asked) for text, asked in prompts.texts(completions, tags)]
    return [float(answers.is_correct(answer, truth)) for answer, truth in zip(found, solution, strict=True)]


REWARDS = [tag_count, soft_format, strict_format, integer, correctness]


def main(args):
    from common.trainer import GRPOTrainer  # late: trl takes seconds

    run = grpo.prepare(args, made_by="python tiny/make_base.py", default_tags="think")
    trainer = GRPOTrainer(run.model, REWARDS, args, run.dataset, processing_class=run.tokenizer, peft_config=run.lora)
    training.train(run, trainer)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
