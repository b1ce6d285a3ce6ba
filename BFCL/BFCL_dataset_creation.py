"""Make a data set of tool calls for SFT and GRPO: requests, the functions offered, and the calls that answer them.

synthetic: requests in our own words for the functions of BFCL's eight classes, each call executed in its class; which
split a task belongs to follows from a hash of its calls, and no official call is among them, so that all of BFCL's own
test cases stay unseen. split: BFCL v4's own entries, one fifth for testing, as in the thesis; entries that ask the same
question (kind single), or have the same index in the four multi-turn categories (kind multi), go into one split.

Input: the data of the installed bfcl-eval. Output: outputs/data/bfcl_<kind>/ or outputs/data/bfcl_split_<kind>/ (sft,
train, validation, test .jsonl and run.json; BFCL/bfcl/synthetic.py says what a row holds).
Command: python BFCL/BFCL_dataset_creation.py --kind single
"""

import random
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from BFCL.bfcl import official
from BFCL.bfcl.synthetic import LEVELS, multi, single
from common import data, runs, settings
from common.settings import setting
from tiny import problems

KINDS = {"single": single, "multi": multi}
LIMITS = {"single": 12000, "multi": 40000}  # characters of a prompt that trains


@dataclass
class Args(settings.RunArgs):
    kind: str = setting("single", "single: one turn; multi: several turns whose calls are executed", choices=KINDS)
    source: str = setting("synthetic", "synthetic, or split: BFCL's own entries", choices=("synthetic", "split"))
    level: str = setting("medium", "difficulty of the synthetic tasks", tiny="tiny", choices=LEVELS)
    python: float = setting(
        0.5, "fraction of synthetic gold completions in Python's syntax; BFCL reads JSON", low=0, high=1
    )
    seed: int = setting(3407, "draws the tasks, or the entries of each split; that of the thesis")
    sft_rows: int = setting(1000, "rows with a gold completion, for SFT; BFCL's multi-turn entries have none", low=0)
    train_rows: int = setting(4000, "rows for GRPO, at most", tiny=1000, low=0)
    validation_rows: int = setting(200, "rows for held-out accuracy and for choosing settings", low=0)
    test_rows: int = setting(500, "synthetic rows for the result tables, used once", tiny=200, low=0)
    max_characters: int = setting(0, "longer prompts of BFCL do not train [single 12000, multi 40000]", low=0)
    test_share: float = setting(
        0.2, "fraction of BFCL's questions, or indices, for the result tables; that of the thesis", low=0.01, high=0.99
    )


def synthetic_splits(args, sizes: dict[str, int]) -> dict[str, list[dict]]:
    """The splits of tasks made by code; those of SFT and GRPO are different tasks."""
    make = KINDS[args.kind]
    options = {"seed": args.seed, "level": LEVELS[args.level], "python": args.python}
    splits = {name: problems.draw(make, name, sizes[name], **options) for name in ("validation", "test")}
    rows = problems.draw(make, "train", sizes["sft"] + sizes["train"], **options)
    return splits | {"sft": rows[: sizes["sft"]], "train": rows[sizes["sft"] :]}


def group_of(row: dict, kind: str) -> str:
    """What the entries that must share a split have in common: the question, or the index of a multi-turn entry."""
    return row["question"] if kind == "single" else row["id"].rpartition("_")[2]


def is_short(row: dict, limit: int) -> bool:
    return sum(len(message["content"]) for message in row["prompt"]) <= limit


def split_entries(rows: list[dict], sizes: dict[str, int], args) -> dict[str, list[dict]]:
    """Disjoint splits of whole groups of entries; sft and validation take only those with a gold completion."""
    limit = args.max_characters or LIMITS[args.kind]
    groups = {}
    for row in rows:
        groups.setdefault(group_of(row, args.kind), []).append(row)
    order = sorted(groups)
    random.Random(args.seed).shuffle(order)
    tested = round(args.test_share * len(order))
    splits = {"sft": [], "train": [], "validation": [], "test": []}
    for key in order[:tested]:
        splits["test"] += groups[key]
    for key in order[tested:]:
        group = [row for row in groups[key] if is_short(row, limit)]
        gold = args.kind == "multi" or all("completion" in row for row in group)
        if gold and len(splits["validation"]) < sizes["validation"]:
            splits["validation"] += group
        elif gold and len(splits["sft"]) < sizes["sft"]:
            splits["sft"] += group
        else:
            splits["train"] += group
    return splits | {"train": splits["train"][: sizes["train"]]}


def main(args):
    runs.check_output(args)
    sizes = {"sft": args.sft_rows, "train": args.train_rows}
    sizes |= {"validation": args.validation_rows, "test": args.test_rows}
    if args.source == "synthetic":
        splits = synthetic_splits(args, sizes)
    else:
        categories = official.SINGLE
        if args.kind == "multi":
            categories = official.MULTI
            sizes["sft"] = 0
        rows = [row for category in categories for row in official.rows_of(category)]
        splits = split_entries(rows, sizes, args)
        sizes["test"] = len(splits["test"])
    data.save(args, "calls" if args.kind == "single" else "dialogue", splits, sizes)


def folder_of(args) -> Path:
    return runs.OUTPUTS / "data" / f"bfcl_{'split_' if args.source == 'split' else ''}{args.kind}"


if __name__ == "__main__":
    settings.run(main, Args, __doc__, output=folder_of)
