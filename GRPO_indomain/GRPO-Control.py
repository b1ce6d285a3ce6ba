"""GRPO with a reward that does not depend on the answer: the control that every gain is compared with.

reward = 0 or 1 at random (--reward random), or 1 if the format is exact, else 0 (--reward format)
Differs from GRPO-1K.py in the reward.

Input: outputs/data/<dataset>/, outputs/SFT/ (tiny: outputs/SFT-start/). Output: outputs/GRPO-Control-<reward>/.
Command: python GRPO_indomain/GRPO-Control.py --reward random
"""

import random
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import grpo, prompts, runs, settings, training
from common.settings import setting


@dataclass
class Args(grpo.Args):
    base: str = setting("outputs/SFT", "initial policy: a folder or a hub name", tiny="outputs/SFT-start")
    dataset: str = setting("dapo", "folder of outputs/data/, or a path", tiny="linear_sum")
    seed: int = setting(3407, "order of the problems, sampling, initial LoRA weights; that of the thesis")
    reward: str = setting("random", "random or format", choices=("random", "format"))
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
    patience: int = setting(0, "a run without signal is a result here, so it is not ended", low=0)


def format_exact(completions, tags, **columns):
    """1 if each of the four tags stands once, in their order, with nothing after them; else 0."""
    return [float(prompts.is_well_formed(text, asked)) for text, asked in prompts.texts(completions, tags)]


def random_reward(prompts, completions, trainer_state, **columns):
    """0 or 1 with equal probability, by the step and its problems, which the seed chooses: resumed, the same again."""
    coin = random.Random(f"{trainer_state.global_step} {prompts}")
    return [float(coin.random() < 0.5) for _ in completions]


REWARDS = {"random": random_reward, "format": format_exact}


def main(args):
    from common.trainer import GRPOTrainer  # late: trl takes seconds

    run = grpo.prepare(args)
    rewards = REWARDS[args.reward]
    trainer = GRPOTrainer(run.model, rewards, args, run.dataset, processing_class=run.tokenizer, peft_config=run.lora)
    training.train(run, trainer)


if __name__ == "__main__":
    settings.run(main, Args, __doc__, output=lambda args: runs.OUTPUTS / f"GRPO-Control-{args.reward}")
