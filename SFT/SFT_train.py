"""Supervised fine-tuning (SFT) on well-formed completions: reasoning and answer between their tags, or tool calls.

loss = mean cross-entropy of the completion's tokens, never of the prompt's; the checkpoint with the lowest validation
loss is kept. --stop_above 0.15 ends at the first held-out accuracy above 0.15 instead and keeps that state: a start for
GRPO that is chosen in the same way for every seed.

Input: outputs/data/<dataset>/, a base. Output: outputs/SFT/.
Command: python SFT/SFT_train.py
Command: python SFT/SFT_train.py --dataset bfcl_single --output outputs/SFT-BFCL
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import data, models, runs, settings, training
from common.settings import setting

if settings.HELP:
    Config = object  # --help does not wait for trl, whose import takes seconds
else:
    from trl import SFTConfig as Config

KINDS = ("math", "choice", "calls", "dialogue")  # of rows; conversations with tools: ToolUse/SFT_tools.py


@dataclass
class Args(settings.TrainArgs, Config):
    base: str = setting("Qwen/Qwen3-4B-Base", "model to start from: a folder or a hub name", tiny="resources/tiny-base")
    dataset: str = setting("openmath", "folder of outputs/data/, or a path", tiny="linear_sum")
    seed: int = setting(3407, "order of the rows and initial LoRA weights")
    learning_rate: float = setting(2e-4, "usual for LoRA; tiny: chosen on validation, see LOG.md", tiny=5e-4)
    lr_scheduler_type: str = setting("linear", "learning rate falls to 0")
    warmup_steps: float = setting(0.05, "steps of rising learning rate; below 1 a fraction of all steps")
    num_train_epochs: float = setting(2, "passes over the rows; the validation loss rises after two")
    max_steps: int = setting(-1, "updates; -1: as many as the epochs have")
    per_device_train_batch_size: int = setting(4, "examples in memory at once")
    gradient_accumulation_steps: int = setting(1, "batches in one update")
    per_device_eval_batch_size: int = setting(8, "validation examples in memory at once", tiny=50)
    max_length: int = setting(2048, "tokens of prompt and completion; longer rows are dropped", tiny=1024)
    lora_r: int = setting(32, "rank of LoRA; 0 trains every weight, for small models", tiny=0)
    lora_alpha: int = setting(64, "scale of LoRA, twice the rank")
    tags: str = setting("thesis", "tag set to teach, thesis or think")
    eval_strategy: str = setting("steps", "measure the validation loss every eval_steps")
    eval_steps: float = setting(0.25, "steps between two validation losses; below 1 a fraction of all steps", tiny=0.5)
    save_total_limit: int = setting(2, "checkpoints to keep: the best, and the last one for --resume")
    load_best_model_at_end: bool = setting(True, "keep the weights with the lowest validation loss")
    metric_for_best_model: str = setting("eval_loss", "what is lowest in the best checkpoint: validation loss")
    heldout_every: int = setting(200, "steps between two measurements of held-out accuracy", tiny=256)
    heldout_rows: int = setting(50, "validation rows for held-out accuracy", tiny=100)
    stop_above: float = setting(1, "end at the first held-out accuracy above this, with that state; 1: never", low=0)
    max_completion_length: int = setting(1536, "tokens of a held-out completion", tiny=160)

    def __post_init__(self):
        if self.stop_above < 1:
            self.load_best_model_at_end = False  # the state that passed is kept, not that of the lowest loss
        super().__post_init__()


def main(args):
    runs.check_output(args)
    models.check_device(args)
    train = data.read_split(args.dataset, "sft", KINDS, completions=True)
    heldout = data.read_split(args.dataset, "validation", KINDS, completions=True)
    base = runs.require_base(args.base, "python tiny/make_base.py")
    tokenizer, tag_set = models.load_tokenizer(base, args.tags)
    train = data.drop_long(train, tokenizer, tag_set, args.max_length, completions=True)
    heldout = data.drop_long(heldout, tokenizer, tag_set, args.max_length, completions=True)
    dataset = data.to_examples(train, tag_set)

    from trl import SFTTrainer  # not needed for --help

    run = training.begin(args, base, tokenizer, tag_set, train, heldout, dataset)
    trainer = SFTTrainer(
        model=run.model,
        args=args,
        train_dataset=dataset,
        eval_dataset=data.to_examples(heldout, tag_set),
        processing_class=tokenizer,
        peft_config=run.lora,
    )
    training.train(run, trainer)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
