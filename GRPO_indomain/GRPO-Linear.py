"""GRPO on linear systems, straight from the base: what SFT brings is left out.

reward = 1 if the answer is right, 0.1 if it can be read, else 0.
Differs from GRPO-1K.py in the base, the data and the one reward.

Input: outputs/data/linear/ and a base. Output: outputs/GRPO-Linear/.
Command: python GRPO_indomain/GRPO-Linear.py
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
    base: str = setting("Qwen/Qwen3-4B-Base", "model to start from: a hub name or a folder", tiny="resources/tiny-base")
    dataset: str = setting("linear", "a folder of outputs/data/, made by dataset_creation.py, or a path to one")
    tags: str = setting("thesis", "tag set to ask for: thesis or think")
    seed: int = setting(3407, "order of the problems, sampling, initial LoRA weights; the thesis's")
    lora_r: int = setting(64, "rank of LoRA, as in the study that this repeats; 0 trains every weight", tiny=0)  # a million weights need no adapter
    lora_alpha: int = setting(64, "equal to the rank, as there")
    load_in_4bit: bool = setting(False, "NF4 base: a quarter of the memory, slower, no vLLM")
    learning_rate: float = setting(3e-5, "as there", tiny=1e-4)  # small models take larger steps; 2e-4 already lost accuracy (LOG.md
    lr_scheduler_type: str = setting("cosine", "the thesis's")
    warmup_steps: float = setting(0.05, "below 1 it is a share of all steps")
    num_train_epochs: float = setting(1, "each problem once")
    per_device_train_batch_size: int = setting(8, "completions in memory at once; a multiple of num_generations")
    gradient_accumulation_steps: int = setting(4, "32 completions an update")
    num_generations: int = setting(8, "completions of one problem, compared with each other")
    temperature: float = setting(1.0, "sampling from the policy itself")
    max_completion_length: int = setting(384, "tokens, as there; longer completions are cut and lose their reward")
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
    max_steps=48,  # three times the others': it has the form to learn too
    per_device_train_batch_size=64,  # 8 problems an update
    gradient_accumulation_steps=1,
    max_completion_length=144,
    use_vllm=False,
    save_steps=8,
    heldout_every=8,
    heldout_rows=64,
    gradient_checkpointing=False,  # memory is no concern here, time is
    bf16=False,  # float32: most CPUs emulate bfloat16
    dataloader_pin_memory=False,  # there is no other memory to pin for
)


def answer(completions, solution, tags, **columns):
    """1 if right, 0.1 if it can at least be read as numbers (for a system: a value for each unknown), else 0."""
    rewards = []
    for (text, asked), truth in zip(prompts.replies(completions, tags), solution, strict=True):
        found = answers.extract_solution(text, asked)
        values, true_values = answers.named_values(found or ""), answers.named_values(truth)
        readable = values is not None and (true_values is None or values.keys() == true_values.keys())
        rewards.append(1.0 if answers.is_correct(found, truth) else 0.1 if readable else 0.0)
    return rewards


REWARDS = [answer]


def main(args):
    models.check_device(args)
    rows, fingerprint = data.read_split(args.dataset, "train")
    heldout, _ = data.read_split(args.dataset, "validation")
    base = runs.require_base(args.base, "python SFT/tiny_base.py")
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
