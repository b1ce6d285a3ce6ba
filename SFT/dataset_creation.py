"""Make a data set for SFT and GRPO: questions, reasoning and solutions in seeded, disjoint splits.

linear: systems of two equations made by code; which split a system belongs to follows from a hash of it.
openmath, gsm8k, dapo, math500: from the hub, or from a local folder with the same fields (--gsm8k FOLDER).

Input: none, or the hub. Output: outputs/data/<dataset>/ (sft, train, validation, test .jsonl and run.json).
Command: python SFT/dataset_creation.py --dataset linear
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import data, runs, settings, tasks
from common.settings import setting


@dataclass
class Args(settings.RunArgs):
    dataset: str = setting("openmath", "data set to make", tiny="linear", choices=("linear", *data.SOURCES))
    seed: int = setting(3407, "draws the rows and their order; that of the thesis")
    sft_rows: int = setting(5000, "rows with reasoning, for SFT; 512 in the linear-equations study", tiny=512, low=0)
    train_rows: int = setting(1000, "rows for GRPO, as in the thesis", low=0)
    validation_rows: int = setting(200, "rows for held-out accuracy and for choosing settings", low=0)
    test_rows: int = setting(500, "rows for the result tables; 200 give an interval of +-7 points", tiny=200, low=0)
    max_characters: int = setting(1000, "longer questions are left out: they would exceed the prompt limit", low=1)
    max_working_characters: int = setting(5000, "longer reasoning is left out: too long for SFT", low=1)
    level: str = setting("seed", "range of the linear systems", tiny="hard", choices=tuple(tasks.LEVELS))
    terse: float = setting(0.5, "fraction of the linear systems solved without writing the products", low=0, high=1)
    openmath: str = setting("", "local folder instead of unsloth/OpenMathReasoning-mini")
    gsm8k: str = setting("", "local folder instead of openai/gsm8k")
    dapo: str = setting("", "local folder instead of open-r1/DAPO-Math-17k-Processed")
    math500: str = setting("", "local folder instead of HuggingFaceH4/MATH-500")


def short(rows: list[dict], args) -> list[dict]:
    """The rows that are not longer than the limits in characters."""
    fits = [row for row in rows if len(row["question"]) <= args.max_characters]
    return [row for row in fits if len(row.get("working", "")) <= args.max_working_characters]


def main(args):
    runs.check_output(args)
    sizes = {"sft": args.sft_rows, "train": args.train_rows}
    sizes |= {"validation": args.validation_rows, "test": args.test_rows}
    if args.dataset == "linear":
        level = tasks.LEVELS[args.level]
        splits = {
            name: tasks.problems(tasks.linear, name, sizes[name], args.seed, level=level, terse=args.terse)
            for name in ("validation", "test")
        }
        n, how = args.sft_rows + args.train_rows, {"level": level, "terse": args.terse}
        trained = tasks.problems(tasks.linear, "train", n, args.seed, **how)
        splits |= {"sft": trained[: args.sft_rows], "train": trained[args.sft_rows :]}
    else:
        rows = data.load_source(args.dataset, getattr(args, args.dataset))
        splits = data.split_rows({name: short(found, args) for name, found in rows.items()}, sizes, args.seed)
        if not any("working" in row for row in splits["sft"]):
            splits["sft"] = []
    if not any(splits.values()):
        runs.fail(f"data set {args.dataset} is empty: no row is left of its splits")

    partial = runs.start(args)
    facts = data.write_splits(partial, splits)
    runs.finish(args, splits=facts)
    for name, fact in facts.items():
        less = f", {sizes[name]} were asked for" if fact["rows"] < sizes[name] else ""
        print(f"{name:11}{fact['rows']:6} rows{less}  fingerprint {fact['fingerprint']}")


if __name__ == "__main__":
    settings.run(main, Args, __doc__, output=lambda args: runs.OUTPUTS / "data" / args.dataset)
