"""GRPO on whole dialogues of tool calls: the policy acts in BFCL's executable classes, turn after turn of the user.

reward = 0.5 * valid + 0.15 * prefix + 0.15 * turns + 0.1 * responses + 0.1 * concise
Each part lies in 0 to 1; all of them are 1 for a perfect episode and 0 for one without calls. They are read off states
and results: to repeat or undo a call earns nothing. Differs from GRPO_BFCL_v1.py in what a rollout is: calls are
executed and their results shown, so that a mistake can be mended, and the state after each turn counts. What the user
and the tools say is masked in the loss.

Input: outputs/data/<dataset>/ and a base. GRPO-Hybrid and GRPO-1K-def are those of the thesis; SFT-BFCL has seen calls.
Output: outputs/GRPO_BFCL_v2/.
Command: python BFCL/GRPO_BFCL_v2.py --base outputs/SFT-BFCL
"""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from BFCL.bfcl import scoring
from BFCL.bfcl.rollout import rollout
from BFCL.bfcl.sandbox import Sandbox
from common import grpo, settings, training
from common.settings import setting

# Also those of the reward in held-out metrics and in the tables, whatever --reward_weights says.
WEIGHTS = {"valid": 0.5, "prefix": 0.15, "turns": 0.15, "responses": 0.1, "concise": 0.1}


@dataclass
class Args(grpo.Args):
    base: str = setting("outputs/GRPO-Hybrid", "initial policy: a folder or a hub name", tiny="outputs/SFT-BFCL")
    dataset: str = setting("bfcl_multi", "folder of outputs/data/, or a path")
    seed: int = setting(3407, "order of the tasks, sampling, initial LoRA weights; that of the thesis")
    reward_weights: list[float] = setting(list(WEIGHTS.values()), f"weights of {', '.join(WEIGHTS)}")
    learning_rate: float = setting(3e-5, "for LoRA; small models take larger steps", tiny=1e-4)
    lr_scheduler_type: str = setting("cosine", "learning rate falls to 0, as in the thesis")
    warmup_steps: float = setting(0.05, "steps of rising learning rate; below 1 a fraction of all steps")
    num_train_epochs: float = setting(1, "passes over the tasks")
    max_steps: int = setting(-1, "updates; -1: as many as the epochs have", tiny=12)
    num_generations: int = setting(8, "group size: episodes of one task, compared with each other")
    per_device_train_batch_size: int = setting(2, "episodes in memory at once; they are long", tiny=32)
    gradient_accumulation_steps: int = setting(16, "batches in one update of 32 episodes", tiny=1)
    temperature: float = setting(1.0, "sampling temperature of the rollouts")
    max_reply_tokens: int = setting(512, "tokens of one completion; a longer one ends its episode", tiny=80, low=1)
    max_turn_steps: int = setting(8, "completions with calls in one turn, officially 20", tiny=2, low=1)
    max_completion_length: int = setting(4096, "tokens of an episode after its prompt", tiny=400)
    max_prompt_tokens: int = setting(3584, "rows with a longer prompt are dropped; descriptions take room", tiny=512)
    beta: float = setting(0.0, "weight of the KL term; 0 needs no reference model in memory")
    lora_r: int = setting(32, "rank of LoRA; 0 trains every weight, for small models", tiny=0)
    lora_alpha: int = setting(64, "scale of LoRA, twice the rank")
    vllm_max_model_length: int = setting(7680, "tokens of prompt and episode that vLLM has room for", low=1)
    save_steps: float = setting(25, "steps between two checkpoints for --resume", tiny=6)
    heldout_rows: int = setting(50, "validation rows for held-out accuracy", tiny=50)


def valid(completions, parts, kinds, log_metric=None, **columns):
    """1 if state and responses of every turn are correct by the official checker, and the episode was not cut; else 0.

    Logs the fraction of each kind of completion over those of all episodes, and how many of them an episode has.
    """
    if log_metric:
        scoring.log_kinds(log_metric, [kind for episode in kinds for kind in episode])
        log_metric("completions/per_episode", sum(map(len, kinds)) / len(kinds))
    return [part["valid"] for part in parts]


def prefix(completions, parts, **columns):
    """Fraction of the turns that are correct before the first incorrect one: 0 to 1."""
    return [part["prefix"] for part in parts]


def turns(completions, parts, **columns):
    """Fraction of the turns that have a call, the correct state after it and the correct results: 0 to 1."""
    return [part["turns"] for part in parts]


def responses(completions, parts, **columns):
    """Fraction of a correct episode's results that were seen, in turns with a call and the correct state: 0 to 1."""
    return [part["responses"] for part in parts]


def concise(completions, parts, **columns):
    """Of a valid episode the fraction of its calls that are not beyond the number of a correct one's; else 0."""
    return [part["concise"] for part in parts]


REWARDS = [valid, prefix, turns, responses, concise]


def main(args):
    from BFCL.bfcl.watch import DialogueWatch
    from common.trainer import GRPOTrainer  # late: trl takes seconds

    made_by = "python SFT/SFT_train.py --dataset bfcl_multi --output outputs/SFT-BFCL, for --base outputs/SFT-BFCL"
    run = grpo.prepare(args, made_by, allowed=("dialogue",))
    with Sandbox() as sandbox:
        trainer = GRPOTrainer(
            model=run.model,
            reward_funcs=REWARDS,
            args=args,
            train_dataset=run.dataset,
            processing_class=run.tokenizer,
            peft_config=run.lora,
            rollout_func=functools.partial(rollout, rows=run.rows, sandbox=sandbox, args=args),
        )
        watch = functools.partial(DialogueWatch, sandbox=sandbox, weights=WEIGHTS)
        training.train(run, trainer, watch=watch)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
