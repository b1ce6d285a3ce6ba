"""Direct Preference Optimization (DPO, Rafailov et al. 2023, arXiv 2305.18290) on tool calls.

loss = -log sigmoid(beta * (log-ratio of the chosen completion - log-ratio of the rejected one)) + 0.2 * cross-entropy
of the chosen one, log-ratio = log p(completion) under the policy - that under the initial policy. Chosen: the
completion of the data set. Rejected: the same completion with one of five failures (ToolUse/tooluse/pairs.py), so that
a pair differs in nothing else that matters.

Input: outputs/data/<dataset>/, outputs/SFT_tools/. Output: outputs/DPO_tools/.
Command: python ToolUse/DPO_tools.py
Command: python ToolUse/DPO_tools.py --config ToolUse/configs/dpo.json
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
from ToolUse.tooluse.pairs import KINDS, make_pairs

if settings.HELP:
    Config = object  # --help does not wait for trl, whose import takes seconds
else:
    from trl import DPOConfig as Config


@dataclass
class Args(settings.TrainArgs, Config):
    base: str = setting("outputs/SFT_tools", "initial policy: a folder or a hub name")
    dataset: str = setting("tools", "folder of outputs/data/, or a path")
    tools: str = setting("ToolUse/configs/tools.json", "JSON file with the schemas of the tools, for held-out accuracy")
    functions: str = setting("", "Python file with the tools' functions by name [those of ToolUse/tool_executor.py]")
    kinds: list[str] = setting(list(KINDS), "failures to reject, as many pairs of each", choices=KINDS)
    pairs: int = setting(4000, "pairs, at most", tiny=320, low=1)
    loss_type: list[str] = setting(["sigmoid", "sft"], "DPO's loss, and the cross-entropy of the chosen completion")
    loss_weights: list[float] = setting([1.0, 0.2], "their weights; with DPO's alone p of every call falls, see LOG.md")
    beta: float = setting(0.1, "how far the policy may move from the initial one; higher is less")
    seed: int = setting(3407, "draws the failures; order of the pairs and initial LoRA weights")
    learning_rate: float = setting(5e-6, "for LoRA; small models take larger steps", tiny=5e-5)
    lr_scheduler_type: str = setting("linear", "learning rate falls to 0")
    warmup_steps: float = setting(0.1, "steps of rising learning rate; below 1 a fraction of all steps")
    num_train_epochs: float = setting(1, "passes over the pairs")
    max_steps: int = setting(-1, "updates; -1: as many as the epochs have")
    per_device_train_batch_size: int = setting(2, "pairs in memory at once", tiny=8)
    gradient_accumulation_steps: int = setting(8, "batches in one update", tiny=1)
    max_length: int = setting(2048, "tokens of a conversation; longer rows are dropped", tiny=1024)
    lora_r: int = setting(32, "rank of LoRA; 0 trains every weight, for small models", tiny=0)
    lora_alpha: int = setting(64, "scale of LoRA, twice the rank")
    tags: str = setting("", "tag set that the checkpoint is marked with [that of the base, else thesis]")
    heldout_every: int = setting(50, "steps between two measurements of held-out accuracy", tiny=256)
    heldout_rows: int = setting(50, "validation rows for held-out accuracy", tiny=64)
    max_completion_length: int = setting(512, "tokens of a held-out completion", tiny=80)
    max_turn_steps: int = setting(8, "completions of a held-out conversation", tiny=4, low=1)


def main(args):
    runs.check_output(args)
    models.check_device(args)
    executor = ToolExecutor(args.tools, args.functions)
    train = data.read_split(args.dataset, "train", ("tools",))
    heldout = data.read_split(args.dataset, "validation", ("tools",))
    base = runs.require_base(args.base, "python ToolUse/SFT_tools.py")
    tokenizer, tag_set = conversations.load_tokenizer(base, args.tags)
    train = data.drop_long(train, tokenizer, tag_set, args.max_length, completions=True)
    heldout = data.drop_long(heldout, tokenizer, tag_set, args.max_length, completions=True)
    examples = make_pairs(train.rows, args.kinds, args.pairs, args.seed)
    if not examples:
        runs.fail(f"no pairs: --kinds {' '.join(args.kinds)} fit no row of --dataset {args.dataset}; choose others")

    from datasets import Dataset
    from trl import DPOTrainer  # not needed for --help

    from ToolUse.tooluse.watch import EpisodeWatch

    dataset = Dataset.from_list(examples)
    run = training.begin(args, base, tokenizer, tag_set, train, heldout, dataset, sequences=2)
    trainer = DPOTrainer(
        model=run.model,
        args=args,
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=run.lora,
    )
    limits = {"max_tokens": args.max_completion_length, "room": args.max_length}
    training.train(run, trainer, watch=functools.partial(EpisodeWatch, execute=executor.execute, **limits))


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
