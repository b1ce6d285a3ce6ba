"""GRPO on 1000 problems without any outside signal: the policy is paid for being certain of what it wrote.

reward = 0.6 * certainty of the solution's tokens + 0.3 * certainty of the whole response + 0.1 * (1 - entropy)
    certainty = exp(mean log p), entropy = mean entropy of the next token / log of the vocabulary's size
    times 1.5 if the first is above 0.8 and the second above 0.7; -10 without a solution
    --reward self_certainty: mean KL(uniform || p) over the tokens of the response, and nothing else
Differs from GRPO-1K-def.py in the reward, which never sees the truth. The first formula is the thesis's; the second is
Intuitor as published (Zhao et al., Learning to Reason without External Rewards, arXiv 2505.19590), with the
self-certainty of Kang et al. (arXiv 2502.18581).

Input: outputs/data/<dataset>/ and outputs/SFT/. Output: outputs/GRPO-Intuitor/, or GRPO-Intuitor-self_certainty/.
Command: python GRPO_outdomain/GRPO-Intuitor.py
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trl import GRPOConfig

from common import certainty, data, models, runs, settings
from common.settings import setting


@dataclass
class Args(settings.RunArgs, GRPOConfig):
    base: str = setting("outputs/SFT", "checkpoint to start from: a folder or a hub name")
    dataset: str = setting("dapo", "a folder of outputs/data/, made by dataset_creation.py, or a path to one", tiny="linear")
    tags: str = setting("", "tag set, thesis or think [the one that the base was trained on]")
    seed: int = setting(3407, "order of the problems, sampling, initial LoRA weights; the thesis's")
    reward: str = setting("intuitor", "intuitor, the thesis's mix, or self_certainty, the published definition")
    lora_r: int = setting(32, "rank of LoRA, as in SFT; 0 trains every weight", tiny=0)  # a million weights need no adapter
    lora_alpha: int = setting(64, "twice the rank")
    load_in_4bit: bool = setting(False, "NF4 base: a quarter of the memory, slower, no vLLM")
    learning_rate: float = setting(3e-5, "for a LoRA; the thesis's 1e-6 would be lost to rounding when it is merged", tiny=1e-4)  # small models take larger steps; 2e-4 already lost accuracy (LOG.md
    lr_scheduler_type: str = setting("cosine", "the thesis's")
    warmup_steps: float = setting(0.05, "below 1 it is a share of all steps")
    num_train_epochs: float = setting(1, "each problem once")
    per_device_train_batch_size: int = setting(8, "completions in memory at once; a multiple of num_generations")
    gradient_accumulation_steps: int = setting(4, "32 completions an update")
    num_generations: int = setting(8, "completions of one problem, compared with each other")
    temperature: float = setting(1.0, "sampling from the policy itself")
    max_completion_length: int = setting(1536, "tokens; longer completions are cut and lose their reward")
    max_prompt_tokens: int = setting(512, "longer prompts end the script before training")
    beta: float = setting(0.0, "weight of the KL term; 0 needs no reference model in memory")
    use_vllm: bool = setting(True, "generate with vLLM in the same process; needs CUDA")
    vllm_mode: str = setting("colocate", "one GPU for both training and generation")
    vllm_max_model_length: int = setting(2048, "prompt and completion; the model's own length takes far more memory")
    vllm_gpu_memory_utilization: float = setting(0.3, "share of the GPU for vLLM")
    logging_steps: float = setting(1, "steps between two lines of metrics.jsonl")
    save_steps: float = setting(25, "steps between two checkpoints for --resume")
    save_total_limit: int = setting(1, "only the last one is needed")
    heldout_every: int = setting(25, "steps between two measurements of held-out accuracy")
    heldout_rows: int = setting(50, "validation rows for it")
    patience: int = setting(5, "end a run that has had no signal in so many steps from the start; 0 never does")
    max_steps=16,  # two minutes on one core
    per_device_train_batch_size=64,  # 8 problems an update
    gradient_accumulation_steps=1,
    max_completion_length=144,
    use_vllm=False,
    save_steps=8,
    heldout_every=4,
    heldout_rows=64,
    gradient_checkpointing=False,  # memory is no concern here, time is
    bf16=False,  # float32: most CPUs emulate bfloat16
    dataloader_pin_memory=False,  # there is no other memory to pin for
)


def intuitor(completions, certainties, log_metric, **columns):
    """The thesis's mix of the three, more where the first two are high: 0 to 1.5; -10 without a solution."""
    parts = {
        "solution": [sure.solution for sure in certainties],
        "response": [sure.response for sure in certainties],
        "peakedness": [1 - sure.entropy for sure in certainties],
    }
    note(log_metric, parts)
    rewards = []
    for _, solution, response, peakedness in zip(completions, *parts.values(), strict=True):
        if solution is None:
            rewards.append(-10.0)
        else:
            factor = 1.5 if solution > 0.8 and response > 0.7 else 1.0
            rewards.append(factor * (0.6 * solution + 0.3 * response + 0.1 * peakedness))
    return rewards


def self_certainty(completions, certainties, **columns):
    """Mean KL(uniform || p) over the tokens of the response, in nats: 0 or more."""
    return [sure.self_certainty for _, sure in zip(completions, certainties, strict=True)]


def note(log_metric, parts: dict[str, list]) -> None:
    """Log the mean of each part over the completions that have it."""
    for name, values in parts.items():
        values = [value for value in values if value is not None]
        if values:
            log_metric(f"parts/{name}", sum(values) / len(values))


REWARDS = {"intuitor": intuitor, "self_certainty": self_certainty}


def output(args) -> Path:
    """The folder of the thesis's formula, or one of its own for the published one."""
    return runs.OUTPUTS / ("GRPO-Intuitor" if args.reward == "intuitor" else f"GRPO-Intuitor-{args.reward}")


def main(args):
    if args.reward not in REWARDS:
        runs.fail(f"--reward {args.reward}: choose {' or '.join(REWARDS)}")
    models.check_device(args)
    rows, fingerprint = data.read_split(args.dataset, "train")
    heldout, _ = data.read_split(args.dataset, "validation")
    base = runs.require_base(args.base, "python SFT/SFT_train.py")
    tokenizer, tag_set = models.load_tokenizer(base, args.tags)
    dataset = data.to_prompts(rows, tag_set)
    models.check_lengths(tokenizer, dataset, args.max_prompt_tokens, "--max_prompt_tokens")
    models.set_stop_tokens(args, tokenizer)
    partial = runs.start(args)

    from trl import GRPOTrainer

    from common.progress import Watch

    model = models.load_model(base, args)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=certainty.informed([REWARDS[args.reward]], model, tokenizer, args),
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
    main(settings.parse(Args, __doc__, output=output))
