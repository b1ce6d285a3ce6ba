"""GRPO on 1000 problems with the plainest reward: is the form exact, is the answer right.

reward = 0.6 * format_exact + 0.4 * answer_right, each 0 or 1.
The other GRPO scripts of this folder differ from this one in docstring, hyperparameters and rewards alone.

Input: outputs/data/<dataset>/ and outputs/SFT/. Output: outputs/GRPO-1K/.
Command: python GRPO_indomain/GRPO-1K.py
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
    reward_weights: list[float] = setting([0.6, 0.4], "of format_exact and answer_right")
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


def answer_right(completions, solution, tags, **columns):
    """1 if the answer between the solution tags has the value of the truth, else 0."""
    found = [answers.extract_solution(text, asked) for text, asked in prompts.replies(completions, tags)]
    return [float(answers.is_correct(answer, truth)) for answer, truth in zip(found, solution, strict=True)]


REWARDS = [format_exact, answer_right]


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
