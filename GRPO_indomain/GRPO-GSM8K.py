"""GRPO on GSM8K's word problems with five rewards, straight from an instruct model: grpo-reasoncheck's recipe.

reward = 0.5 * tag_count + 0.5 * soft_format + 0.5 * strict_format + 0.5 * integer + 2 * correctness, each 0 to 1.
Differs from GRPO-1K-def.py in the base, the data, the tags (think), the rewards and the optimiser's settings. The four
cheap rewards lead a model that knows no tags to the form; together they pay as much as the right answer does.

Input: outputs/data/gsm8k/ and a base. Output: outputs/GRPO-GSM8K/.
Command: python GRPO_indomain/GRPO-GSM8K.py
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
    base: str = setting("Qwen/Qwen2.5-3B-Instruct", "model to start from: a hub name or a folder", tiny="resources/tiny-base")
    dataset: str = setting("gsm8k", "a folder of outputs/data/, made by dataset_creation.py, or a path to one")
    tags: str = setting("", "tag set, thesis or think [the one that the base was trained on, or else think]")
    seed: int = setting(3407, "order of the problems, sampling, initial LoRA weights")
    reward_weights: list[float] = setting([0.5, 0.5, 0.5, 0.5, 2], "of the five, in the order of REWARDS")
    lora_r: int = setting(64, "rank of LoRA, as in the recipe; 0 trains every weight", tiny=0)  # a million weights need no adapter
    lora_alpha: int = setting(64, "equal to the rank")
    load_in_4bit: bool = setting(False, "NF4 base: a quarter of the memory, slower, no vLLM")
    learning_rate: float = setting(5e-6, "the recipe's", tiny=1e-4)  # small models take larger steps; 2e-4 already lost accuracy (LOG.md
    lr_scheduler_type: str = setting("cosine", "slows down towards the end")
    warmup_steps: float = setting(0.1, "below 1 it is a share of all steps")
    num_train_epochs: float = setting(1, "each problem once")
    per_device_train_batch_size: int = setting(8, "completions in memory at once; a multiple of num_generations")
    gradient_accumulation_steps: int = setting(4, "32 completions an update")
    num_generations: int = setting(8, "completions of one problem, compared with each other; the recipe's")
    temperature: float = setting(1.0, "sampling from the policy itself")
    max_completion_length: int = setting(1024, "tokens; GSM8K needs few; longer completions are cut")
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
    lr_scheduler_type="constant_with_warmup",
    max_steps=12,  # a minute on two cores
    per_device_train_batch_size=64,  # 8 problems an update
    gradient_accumulation_steps=1,
    max_completion_length=144,
    max_prompt_tokens=1024,  # its tokenizer knows few words
    use_vllm=False,
    save_steps=6,
    heldout_every=4,
    heldout_rows=100,
    gradient_checkpointing=False,  # memory is no concern here, time is
    bf16=False,  # float32: most CPUs emulate bfloat16
    dataloader_pin_memory=False,  # there is no other memory to pin for
)


def tag_count(completions, tags, **columns):
    """The share of the four tags that stand exactly once: 0, 0.25, ..., 1."""
    return [sum(prompts.tags_once(text, asked)) / 4 for text, asked in prompts.replies(completions, tags)]


def soft_format(completions, tags, **columns):
    """1 if the four tags stand somewhere in their order, whatever is around, between and repeated; else 0."""
    rewards = []
    for text, asked in prompts.replies(completions, tags):
        place = 0
        for tag in asked:
            place = text.find(tag, place) if place >= 0 else -1
        rewards.append(float(place >= 0))
    return rewards


def strict_format(completions, tags, **columns):
    """1 if the reply is the working between its tags and the answer between its own, and only space around; else 0."""
    rewards = []
    for text, asked in prompts.replies(completions, tags):
        before, _, rest = text.partition(asked.work_open)
        between = rest.partition(asked.work_close)[2].partition(asked.answer_open)[0]
        rewards.append(float(prompts.is_well_formed(text, asked) and not before.strip() and not between.strip()))
    return rewards


def integer(completions, tags, **columns):
    """1 if the answer is a whole number, as all of GSM8K's are, right or wrong; else 0."""
    found = [answers.extract_solution(text, asked) for text, asked in prompts.replies(completions, tags)]
    values = [answers.named_values(answer) or {} for answer in found]
    return [float("" in value and value[""].denominator == 1) for value in values]


def correctness(completions, solution, tags, **columns):
    """1 if the answer between its tags has the value of the truth, else 0."""
    found = [answers.extract_solution(text, asked) for text, asked in prompts.replies(completions, tags)]
    return [float(answers.is_correct(answer, truth)) for answer, truth in zip(found, solution, strict=True)]


REWARDS = [tag_count, soft_format, strict_format, integer, correctness]


def main(args):
    models.check_device(args)
    rows, fingerprint = data.read_split(args.dataset, "train")
    heldout, _ = data.read_split(args.dataset, "validation")
    base = runs.require_base(args.base, "python SFT/tiny_base.py")
    tokenizer, tag_set = models.load_tokenizer(base, args.tags, default="think")
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
