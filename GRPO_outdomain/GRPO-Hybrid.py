"""GRPO on 1000 problems with a reward mixed of the checker's view and the policy's own certainty; the thesis's best
run out of domain. The weight moves from the checker to the certainty while it trains.

reward = a * certainty + b * correctness + 0.25 * calibration + 0.15 * process, a: 0.20 to 0.40, b: 0.40 to 0.25
    certainty = exp(mean log p of the solution's tokens); calibration = certainty if right, else 1 - certainty;
    process = share of the equalities in the working that hold
    times 1.2 if right and certainty > 0.7, times 0.7 if wrong and certainty > 0.8
    -3 without a solution, -2 with one but without working
Differs from GRPO-1K-def.py in the reward, and in that the reward is told the policy's certainty.

Input: outputs/data/<dataset>/ and outputs/SFT/. Output: outputs/GRPO-Hybrid/.
Command: python GRPO_outdomain/GRPO-Hybrid.py
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trl import GRPOConfig

from common import answers, certainty, data, models, prompts, runs, settings, steps
from common.settings import setting


@dataclass
class Args(settings.RunArgs, GRPOConfig):
    base: str = setting("outputs/SFT", "checkpoint to start from: a folder or a hub name")
    dataset: str = setting("dapo", "a folder of outputs/data/, made by dataset_creation.py, or a path to one", tiny="linear")
    tags: str = setting("", "tag set, thesis or think [the one that the base was trained on]")
    seed: int = setting(3407, "order of the problems, sampling, initial LoRA weights; the thesis's")
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


# Weight of each part at the start and at the end of training, linear in between.
WEIGHTS = {"certainty": (0.20, 0.40), "correctness": (0.40, 0.25), "calibration": (0.25, 0.25), "process": (0.15, 0.15)}


def correctness(completions, solution, tags, **columns):
    """1 if the answer is right, else 0."""
    rows = zip(prompts.replies(completions, tags), solution, strict=True)
    return [float(answers.is_correct(answers.extract_solution(text, asked), truth)) for (text, asked), truth in rows]


def calibration(correct, certainties, **columns):
    """The certainty of a right answer, 1 - certainty of a wrong one: 0 to 1; None without a solution."""
    rows = [(right, sure.solution) for right, sure in zip(correct, certainties, strict=True)]
    return [None if sure is None else sure if right else 1 - sure for right, sure in rows]


def process(completions, tags, **columns):
    """The share of the different equalities stated in the working that hold, 0 where none is stated: 0 to 1."""
    return [steps.share(prompts.working(text, asked) or "") for text, asked in prompts.replies(completions, tags)]


def hybrid(completions, solution, tags, certainties, trainer_state, log_metric, **columns):
    """The weighted sum of the four parts, raised or lowered where certainty and truth agree or not: -3 to 1.26."""
    correct = correctness(completions, solution, tags)
    parts = {
        "certainty": [sure.solution for sure in certainties],
        "correctness": correct,
        "calibration": calibration(correct, certainties),
        "process": process(completions, tags),
    }
    note(log_metric, parts)
    progress, rewards = trainer_state.global_step / trainer_state.max_steps, []
    for (text, asked), *values in zip(prompts.replies(completions, tags), *parts.values(), strict=True):
        sure, right = values[:2]
        if sure is None:
            rewards.append(-3.0)
        elif not (prompts.working(text, asked) or "").strip():
            rewards.append(-2.0)
        else:
            weights = [first + (last - first) * progress for first, last in WEIGHTS.values()]
            factor = 1.2 if right and sure > 0.7 else 0.7 if not right and sure > 0.8 else 1.0
            rewards.append(factor * sum(weight * value for weight, value in zip(weights, values)))
    return rewards


def note(log_metric, parts: dict[str, list]) -> None:
    """Log the mean of each part over the completions that have it."""
    for name, values in parts.items():
        values = [value for value in values if value is not None]
        if values:
            log_metric(f"parts/{name}", sum(values) / len(values))


REWARDS = [hybrid]


def main(args):
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
        reward_funcs=certainty.informed(REWARDS, model, tokenizer, args),
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
