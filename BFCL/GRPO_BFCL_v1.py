"""GRPO on single-turn tool calls: the policy is paid for the calls that the official BFCL checker accepts.

reward = 0.5 * perfect + 0.1 * call_found + 0.1 * name + 0.2 * arguments + 0.1 * no_extra; each from 0 to 1, all of them
1 for a perfect match. Differs from GRPO-1K-def.py in the rewards and the data: prompts offer functions as BFCL's own
evaluation does, and a reply is decoded as it decodes one. The graded parts keep a signal where no call is perfect.

Input: outputs/data/<dataset>/ and the checkpoint to start from: outputs/GRPO-Hybrid and outputs/GRPO-1K-def are the
thesis's two, outputs/SFT-BFCL one that has seen calls. Output: outputs/GRPO_BFCL_v1/.
Command: python BFCL/GRPO_BFCL_v1.py --base outputs/SFT-BFCL
"""

import functools
import json
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trl import GRPOConfig

from common import data, models, prompts, runs, settings, toolcalls
from common.settings import setting


@dataclass
class Args(settings.RunArgs, GRPOConfig):
    base: str = setting(
        "outputs/GRPO-Hybrid", "checkpoint to start from: a folder or a hub name", tiny="outputs/SFT-BFCL"
    )  # the tiny base has no other checkpoint that calls functions often enough
    dataset: str = setting("bfcl_single", "a folder of outputs/data/, made by BFCL_dataset_creation.py, or a path")
    tags: str = setting("", "tag set, thesis or think [the one that the base was trained on]")
    seed: int = setting(3407, "order of the tasks, sampling, initial LoRA weights; the thesis's")
    reward_weights: list[float] = setting(
        [0.5, 0.1, 0.1, 0.2, 0.1], "of perfect, call_found, name, arguments and no_extra; as in the tables"
    )
    lora_r: int = setting(
        32, "rank of LoRA, as in SFT; 0 trains every weight", tiny=0
    )  # a million weights need no adapter
    lora_alpha: int = setting(64, "twice the rank")
    load_in_4bit: bool = setting(False, "NF4 base: a quarter of the memory, slower, no vLLM")
    learning_rate: float = setting(
        3e-5, "for a LoRA; the thesis's 1e-6 would be lost to rounding when it is merged", tiny=1e-4
    )  # small models take larger steps
    lr_scheduler_type: str = setting("cosine", "the thesis's")
    warmup_steps: float = setting(0.05, "below 1 it is a share of all steps")
    num_train_epochs: float = setting(1, "each task once")
    per_device_train_batch_size: int = setting(
        8, "completions in memory at once; a multiple of num_generations", tiny=64
    )  # 8 tasks an update
    gradient_accumulation_steps: int = setting(4, "32 completions an update", tiny=1)
    num_generations: int = setting(8, "completions of one task, compared with each other")
    temperature: float = setting(1.0, "sampling from the policy itself")
    max_completion_length: int = setting(512, "tokens; room for a short reasoning and several calls", tiny=80)
    max_prompt_tokens: int = setting(
        3584, "longer prompts end the script before training; descriptions take room", tiny=512
    )
    beta: float = setting(0.0, "weight of the KL term; 0 needs no reference model in memory")
    use_vllm: bool = setting(True, "generate with vLLM in the same process; needs CUDA", tiny=False)
    vllm_mode: str = setting("colocate", "one GPU for both training and generation")
    vllm_max_model_length: int = setting(4096, "prompt and completion; the model's own length takes far more memory")
    vllm_gpu_memory_utilization: float = setting(0.3, "share of the GPU for vLLM")
    logging_steps: float = setting(1, "steps between two lines of metrics.jsonl")
    save_steps: float = setting(25, "steps between two checkpoints for --resume", tiny=8)
    save_total_limit: int = setting(1, "only the last one is needed")
    heldout_every: int = setting(25, "steps between two measurements of held-out accuracy", tiny=4)
    heldout_rows: int = setting(50, "validation rows for it", tiny=100)
    patience: int = setting(5, "end a run that has had no signal in so many steps from the start; 0 never does")


parsed = functools.lru_cache(maxsize=4096)(json.loads)  # a task has several completions


@functools.lru_cache(maxsize=4096)  # the five rewards ask for the same
def verdict(text: str, functions: str, solution: str, category: str) -> dict:
    """The official verdict on a reply, and its parts."""
    return toolcalls.score_single(toolcalls.decode(text)[0], parsed(functions), parsed(solution), category)


def verdicts(completions, functions, solution, category) -> list[dict]:
    """The verdict on each completion."""
    texts = map(prompts.completion_text, completions)
    return [verdict(*row) for row in zip(texts, functions, solution, category, strict=True)]


def perfect(completions, functions, solution, category, log_metric=None, **columns):
    """1 if the official checker accepts the calls (none, where no function fits), else 0.

    Logs the share of each kind of reply: of calls alone, of calls among other text, and of everything malformed.
    """
    if log_metric:
        kinds = [toolcalls.decode(prompts.completion_text(completion))[1] for completion in completions]
        for kind in toolcalls.KINDS:
            log_metric(f"replies/{kind}", kinds.count(kind) / len(kinds))
    return [float(found["valid"]) for found in verdicts(completions, functions, solution, category)]


def call_found(completions, functions, solution, category, **columns):
    """1 if there is a call where one is wanted, or none where none is; else 0."""
    return [found["call"] for found in verdicts(completions, functions, solution, category)]


def name(completions, functions, solution, category, **columns):
    """The share of the wanted functions that are called: 0 to 1."""
    return [found["name"] for found in verdicts(completions, functions, solution, category)]


def arguments(completions, functions, solution, category, **columns):
    """The share of right arguments among those that are given or needed, mean over the wanted calls: 0 to 1."""
    return [found["arguments"] for found in verdicts(completions, functions, solution, category)]


def no_extra(completions, functions, solution, category, **columns):
    """Wanted calls / calls where there are too many, 0 without a call, else 1."""
    return [found["no_extra"] for found in verdicts(completions, functions, solution, category)]


REWARDS = [perfect, call_found, name, arguments, no_extra]


def main(args):
    models.check_device(args)
    rows, fingerprint = data.read_split(args.dataset, "train")
    heldout, _ = data.read_split(args.dataset, "validation")
    base = runs.require_base(args.base, "the script of that name, for SFT-BFCL SFT/SFT_train.py --dataset bfcl_single")
    tokenizer, tag_set = models.load_tokenizer(base, args.tags)
    dataset = data.to_prompts(rows, tag_set)
    models.check_lengths(tokenizer, dataset, args.max_prompt_tokens, "--max_prompt_tokens")
    models.set_stop_tokens(args, tokenizer)
    partial = runs.start(args)

    from trl import GRPOTrainer

    from common.progress import Watch

    trainer = GRPOTrainer(
        model=models.load_model(base, args),
        reward_funcs=REWARDS,
        args=args,
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=models.lora_config(args),
    )
    watch = Watch(trainer, tokenizer, partial, dataset, heldout[: args.heldout_rows], args)
    with runs.disk_errors(partial):
        models.train(trainer, partial, args.resume)
        models.save_model(trainer, tokenizer, partial, base)
        runs.finish(args, base=base, tags=tag_set, fingerprint=fingerprint, **watch.results())


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
