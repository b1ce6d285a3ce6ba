"""Supervised fine-tuning: show the base well-formed replies, working and answer each between their tags, or tool calls.

loss = mean cross-entropy of the reply's tokens (never the prompt's); the checkpoint with the lowest validation loss
is kept.

Input: outputs/data/<dataset>/ and a base. Output: outputs/SFT/.
Command: python SFT/SFT_train.py
Command: python SFT/SFT_train.py --dataset bfcl_single --output outputs/SFT-BFCL
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trl import SFTConfig

from common import data, models, runs, settings
from common.settings import setting


@dataclass
class Args(settings.RunArgs, SFTConfig):
    base: str = setting("Qwen/Qwen3-4B-Base", "model to start from: a hub name or a folder", tiny="resources/tiny-base")
    dataset: str = setting(
        "openmath", "a folder of outputs/data/, made by dataset_creation.py, or a path to one", tiny="linear"
    )
    tags: str = setting("thesis", "tag set to teach: thesis or think")
    seed: int = setting(3407, "order of the rows and initial LoRA weights")
    lora_r: int = setting(32, "rank of LoRA; 0 trains every weight", tiny=0)  # a million weights need no adapter
    lora_alpha: int = setting(64, "twice the rank: the usual scale")
    load_in_4bit: bool = setting(False, "NF4 base: a quarter of the memory, slower, no vLLM")
    num_train_epochs: float = setting(2, "the validation loss rises after that")
    learning_rate: float = setting(2e-4, "usual for LoRA", tiny=5e-4)  # chosen on validation: see LOG.md
    lr_scheduler_type: str = setting("linear", "falls to 0")
    warmup_steps: float = setting(0.05, "below 1 it is a share of all steps")
    per_device_train_batch_size: int = setting(4, "effective batch, with the next")
    gradient_accumulation_steps: int = setting(1, "raise it as you lower the batch to save memory")
    max_length: int = setting(2048, "prompt and reply, in tokens; longer rows end the script", tiny=1024)
    logging_steps: float = setting(10, "steps between two lines of metrics.jsonl")
    eval_strategy: str = setting("steps", "validation loss, every")
    eval_steps: float = setting(0.25, "quarter of the run", tiny=0.5)
    save_strategy: str = setting("steps", "checkpoint (the best is kept, --resume takes the last), every")
    save_steps: float = setting(0.25, "quarter of the run", tiny=0.5)
    save_total_limit: int = setting(2, "the best and the last checkpoint")
    load_best_model_at_end: bool = setting(True, "keep the checkpoint with the lowest")
    metric_for_best_model: str = setting("eval_loss", "validation loss")
    heldout_every: int = setting(200, "steps between two measurements of held-out accuracy", tiny=256)
    heldout_rows: int = setting(50, "validation rows for it", tiny=100)
    max_completion_length: int = setting(1536, "tokens of a held-out reply", tiny=160)


def main(args):
    models.check_device(args)
    rows, fingerprint = data.read_split(args.dataset, "sft", working=True)
    heldout, _ = data.read_split(args.dataset, "validation", working=True)
    base = runs.require_base(args.base, "python SFT/tiny_base.py")
    tokenizer, _ = models.load_tokenizer(base, args.tags)
    dataset = data.to_prompts(rows, args.tags, completions=True)
    validation = data.to_prompts(heldout, args.tags, completions=True)
    for made in (dataset, validation):
        models.check_lengths(tokenizer, made, args.max_length, "--max_length")
    partial = runs.start(args)

    from trl import SFTTrainer

    from common.progress import Watch

    trainer = SFTTrainer(
        model=models.load_model(base, args),
        args=args,
        train_dataset=dataset,
        eval_dataset=validation,
        processing_class=tokenizer,
        peft_config=models.lora_config(args),
    )
    watch = Watch(trainer, tokenizer, partial, dataset, heldout[: args.heldout_rows], args)
    with runs.disk_errors(partial):
        models.train(trainer, partial, args.resume)
        models.save_model(trainer, tokenizer, partial, base)
        runs.finish(args, base=base, tags=args.tags, fingerprint=fingerprint, **watch.results())


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
