"""GRPO on 1000 problems with four rewards, two for the form and two for the answer; the thesis's best in-domain run.

reward = 3 * format_exact + format_graded + answer_ladder + number; the ranges stand with each of them.
Differs from GRPO-1K.py in format_graded, answer_ladder and number. An answer that is nearly right earns something
too, which keeps a signal in groups where none is right.

Input: outputs/data/<dataset>/ and outputs/SFT/. Output: outputs/GRPO-1K-def/.
Command: python GRPO_indomain/GRPO-1K-def.py
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trl import GRPOConfig

from common import answers, data, models, prompts, runs, settings
from common.settings import setting


@dataclass
class Args(settings.RunArgs, GRPOConfig):
    base: str = setting("outputs/SFT", "checkpoint to start from: a folder or a hub name")
    dataset: str = setting("dapo", "a folder of outputs/data/, made by dataset_creation.py, or a path to one", tiny="linear")
    tags: str = setting("", "tag set, thesis or think [the one that the base was trained on]")
    seed: int = setting(3407, "order of the problems, sampling, initial LoRA weights; the thesis's")
    reward_weights: list[float] = setting([3, 1, 1, 1], "of format_exact, format_graded, answer_ladder and number")
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


def format_exact(completions, tags, **columns):
    """1 if the four tags stand once each, in their order, with nothing after them; else 0."""
    return [float(prompts.is_well_formed(text, asked)) for text, asked in prompts.replies(completions, tags)]


def format_graded(completions, tags, **columns):
    """For each of the four tags +1 if it stands once, -2 if not, and -1 more if it is repeated: -12 to 4."""
    counts = [[text.count(tag) for tag in asked] for text, asked in prompts.replies(completions, tags)]
    return [sum(1.0 if n == 1 else -3.0 if n > 1 else -2.0 for n in row) for row in counts]


def relative_error(value, true) -> float:
    """How far a value is from the truth, as a share of the truth; of a truth of 0 everything else is infinitely far."""
    return 0.0 if value == true else float(abs(value - true) / abs(true)) if true else float("inf")


def answer_ladder(completions, solution, tags, **columns):
    """5 if equal to the truth, 2 within 10 %, 1.5 within 20 %, -2.5 wrong, -4.5 not a number, -2 no answer.

    Where the truth has several values (x=2, y=-3), each of them has to be that near. A truth that is not a number
    knows only 5, -2.5 and -2.
    """
    rewards = []
    for (text, asked), truth in zip(prompts.replies(completions, tags), solution, strict=True):
        answer = answers.extract_solution(text, asked)
        true_values = answers.named_values(truth)
        if answer is None:
            rewards.append(-2.0)
        elif answers.is_correct(answer, truth):
            rewards.append(5.0)
        elif true_values and (values := answers.named_values(answer)) is None:
            rewards.append(-4.5)
        elif true_values and values.keys() == true_values.keys():
            error = max(relative_error(values[name], true) for name, true in true_values.items())
            rewards.append(2.0 if error <= 0.1 else 1.5 if error <= 0.2 else -2.5)
        else:
            rewards.append(-2.5)
    return rewards


def number(completions, solution, tags, **columns):
    """3.5 if the answer is right, or holds the truth's one number and no other among words; -1.5 if not; -2.5 none."""
    rewards = []
    for (text, asked), truth in zip(prompts.replies(completions, tags), solution, strict=True):
        answer, true_numbers = answers.extract_solution(text, asked), answers.numbers_in(truth)
        found = answers.numbers_in(answer)
        right = answers.is_correct(answer, truth) or (len(true_numbers) == 1 and found == true_numbers)
        rewards.append(-2.5 if not found else 3.5 if right else -1.5)
    return rewards


REWARDS = [format_exact, format_graded, answer_ladder, number]


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
