"""GRPO on single-turn tool calls: calls that the official BFCL checker accepts.

reward = 0.5 * valid + 0.1 * call + 0.1 * name + 0.2 * arguments + 0.1 * no_extra
Each part lies in 0 to 1, and all of them are 1 for a perfect match; the graded ones keep a signal where no call is
perfect, and shrink with each call too many: calling every function that is offered earns at most 0.25 where one call is
wanted, the correct call with one incorrect argument 0.30 or more. Differs from GRPO-1K-def.py in the rewards and the
data: a prompt offers functions as BFCL's own evaluation does, and a completion is decoded as it decodes one.

Input: outputs/data/<dataset>/ and a base. GRPO-Hybrid and GRPO-1K-def are those of the thesis; SFT-BFCL has seen calls.
Output: outputs/GRPO_BFCL_v1/.
Command: python BFCL/GRPO_BFCL_v1.py --base outputs/SFT-BFCL
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from BFCL.bfcl import scoring
from common import calls, grpo, prompts, settings, training
from common.settings import setting

# Also those of the reward in held-out metrics and in the tables, whatever --reward_weights says.
WEIGHTS = {"valid": 0.5, "call": 0.1, "name": 0.1, "arguments": 0.2, "no_extra": 0.1}


@dataclass
class Args(grpo.Args):
    base: str = setting("outputs/GRPO-Hybrid", "initial policy: a folder or a hub name", tiny="outputs/SFT-BFCL")
    dataset: str = setting("bfcl_single", "folder of outputs/data/, or a path")
    seed: int = setting(3407, "order of the tasks, sampling, initial LoRA weights; that of the thesis")
    reward_weights: list[float] = setting(list(WEIGHTS.values()), f"weights of {', '.join(WEIGHTS)}")
    learning_rate: float = setting(3e-5, "for LoRA; small models take larger steps", tiny=1e-4)
    lr_scheduler_type: str = setting("cosine", "learning rate falls to 0, as in the thesis")
    warmup_steps: float = setting(0.05, "steps of rising learning rate; below 1 a fraction of all steps")
    num_train_epochs: float = setting(1, "passes over the tasks")
    max_steps: int = setting(-1, "updates; -1: as many as the epochs have", tiny=16)
    num_generations: int = setting(8, "group size: completions of one task, compared with each other")
    per_device_train_batch_size: int = setting(8, "completions in memory at once", tiny=64)
    gradient_accumulation_steps: int = setting(4, "batches in one update of 32 completions", tiny=1)
    temperature: float = setting(1.0, "sampling temperature of the rollouts")
    max_completion_length: int = setting(512, "tokens; room for a short reasoning and several calls", tiny=80)
    max_prompt_tokens: int = setting(3584, "rows with a longer prompt are dropped; descriptions take room", tiny=512)
    beta: float = setting(0.0, "weight of the KL term; 0 needs no reference model in memory")
    lora_r: int = setting(32, "rank of LoRA; 0 trains every weight, for small models", tiny=0)
    lora_alpha: int = setting(64, "scale of LoRA, twice the rank")
    vllm_max_model_length: int = setting(4096, "tokens of prompt and completion that vLLM has room for", low=1)
    heldout_rows: int = setting(50, "validation rows for held-out accuracy", tiny=100)


def valid(completions, log_metric=None, **columns):
    """1 if the official checker accepts the calls (none, where no function fits), else 0."""
    texts = map(prompts.completion_text, completions)
    scoring.log_kinds(log_metric, [calls.decode(text)[1] for text in texts])
    return [float(found["valid"]) for found in scoring.verdicts(completions, **columns)]


def call(completions, **columns):
    """no_extra if there is a call where one is wanted, or none where none is; else 0."""
    return [found["call"] for found in scoring.verdicts(completions, **columns)]


def name(completions, **columns):
    """Fraction of the wanted functions that are called, times no_extra: 0 to 1."""
    return [found["name"] for found in scoring.verdicts(completions, **columns)]


def arguments(completions, **columns):
    """Fraction of correct arguments among those given or needed, mean over the wanted calls, times no_extra: 0 to 1."""
    return [found["arguments"] for found in scoring.verdicts(completions, **columns)]


def no_extra(completions, **columns):
    """Wanted calls / calls where there are too many, 0 without a call, else 1."""
    return [found["no_extra"] for found in scoring.verdicts(completions, **columns)]


REWARDS = [valid, call, name, arguments, no_extra]


def score(completion, row, tags):
    """The scorer of held-out completions."""
    return scoring.with_reward(scoring.score_calls(completion, row, tags), WEIGHTS)


def main(args):
    from common.trainer import GRPOTrainer  # late: trl takes seconds

    made_by = "python SFT/SFT_train.py --dataset bfcl_single --output outputs/SFT-BFCL, for --base outputs/SFT-BFCL"
    run = grpo.prepare(args, made_by, allowed=("calls",))
    trainer = GRPOTrainer(run.model, REWARDS, args, run.dataset, processing_class=run.tokenizer, peft_config=run.lora)
    training.train(run, trainer, score=score)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
