"""Supervised fine-tuning (SFT) on conversations with tools.

loss = mean cross-entropy of the assistant's tokens: calls, and answers that state their results; never of questions,
schemas or results. The checkpoint with the lowest validation loss is kept.

Input: outputs/data/<dataset>/, a base. Output: outputs/SFT_tools/.
Command: python ToolUse/SFT_tools.py
Command: python ToolUse/SFT_tools.py --config ToolUse/configs/sft_toolbench.json
"""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from tool_executor import ToolExecutor

from common import data, models, runs, settings, training
from common.settings import setting
from ToolUse.tooluse import conversations

if settings.HELP:
    Config = object  # --help does not wait for trl, whose import takes seconds
else:
    from trl import SFTConfig as Config


@dataclass
class Args(settings.TrainArgs, Config):
    base: str = setting("Qwen/Qwen3-4B-Base", "model to start from: a folder or a hub name", tiny="resources/tiny-base")
    dataset: str = setting("tools", "folder of outputs/data/, or a path")
    split: str = setting("sft", "split of the data set: sft, or train, the rows of DPO, as a control for it")
    tools: str = setting("ToolUse/configs/tools.json", "JSON file with the schemas of the tools, for held-out accuracy")
    functions: str = setting("", "Python file with the tools' functions by name [those of ToolUse/tool_executor.py]")
    seed: int = setting(3407, "order of the rows and initial LoRA weights")
    learning_rate: float = setting(2e-4, "usual for LoRA; tiny: chosen on validation, see LOG.md", tiny=5e-4)
    lr_scheduler_type: str = setting("linear", "learning rate falls to 0")
    warmup_steps: float = setting(0.05, "steps of rising learning rate; below 1 a fraction of all steps")
    num_train_epochs: float = setting(1, "passes over the rows", tiny=2)
    max_steps: int = setting(-1, "updates; -1: as many as the epochs have")
    per_device_train_batch_size: int = setting(4, "examples in memory at once; each completion is an example", tiny=8)
    gradient_accumulation_steps: int = setting(2, "batches in one update", tiny=1)
    per_device_eval_batch_size: int = setting(8, "validation examples in memory at once", tiny=50)
    max_length: int = setting(2048, "tokens of a conversation; longer rows are dropped", tiny=1024)
    lora_r: int = setting(32, "rank of LoRA; 0 trains every weight, for small models", tiny=0)
    lora_alpha: int = setting(64, "scale of LoRA, twice the rank")
    tags: str = setting("", "tag set that the checkpoint is marked with [that of the base, else thesis]")
    eval_strategy: str = setting("steps", "measure the validation loss every eval_steps")
    eval_steps: float = setting(0.25, "steps between two validation losses; below 1 a fraction of all steps", tiny=0.5)
    save_total_limit: int = setting(2, "checkpoints to keep: the best, and the last one for --resume")
    load_best_model_at_end: bool = setting(True, "keep the weights with the lowest validation loss")
    metric_for_best_model: str = setting("eval_loss", "what is lowest in the best checkpoint: validation loss")
    heldout_every: int = setting(200, "steps between two measurements of held-out accuracy", tiny=512)
    heldout_rows: int = setting(50, "validation rows for held-out accuracy", tiny=64)
    max_completion_length: int = setting(512, "tokens of a held-out completion", tiny=80)
    max_turn_steps: int = setting(8, "completions of a held-out conversation", tiny=4, low=1)


def main(args):
    runs.check_output(args)
    models.check_device(args)
    executor = ToolExecutor(args.tools, args.functions)
    train = data.read_split(args.dataset, args.split, ("tools",))
    heldout = data.read_split(args.dataset, "validation", ("tools",))
    base = runs.require_base(args.base, "python tiny/make_base.py")
    tokenizer, tag_set = conversations.load_tokenizer(base, args.tags)
    train = data.drop_long(train, tokenizer, tag_set, args.max_length, completions=True)
    heldout = data.drop_long(heldout, tokenizer, tag_set, args.max_length, completions=True)

    from trl import SFTTrainer  # not needed for --help

    from ToolUse.tooluse.watch import EpisodeWatch

    dataset = data.to_examples(train, tag_set)
    run = training.begin(args, base, tokenizer, tag_set, train, heldout, dataset)
    trainer = SFTTrainer(
        model=run.model,
        args=args,
        train_dataset=dataset,
        eval_dataset=data.to_examples(heldout, tag_set),
        processing_class=tokenizer,
        peft_config=run.lora,
    )
    limits = {"max_tokens": args.max_completion_length, "room": args.max_length}
    training.train(run, trainer, watch=functools.partial(EpisodeWatch, execute=executor.execute, **limits))


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
