"""Make a data set for SFT and GRPO: questions, reasoning and solutions in seeded, disjoint splits.

linear: systems of two equations made by code; which split a system belongs to follows from a hash of it. linear_x: the
same, of which only x is asked for; linear_sum: x + y.
openmath, gsm8k, dapo, math500: from the hub, or from a local folder with the same fields (--gsm8k FOLDER).

--source FILE, FOLDER or OWNER/DATASET with --columns: rows of your own, under a name of your own (docs/data.md).

openmath feeds SFT: its rows are chosen by tokens, validation and sft come first, and rows of sft whose question stands
in the test split of another data set beside it are left out. So make the data sets of the tests before it.

Input: none, files, or the hub. Output: outputs/data/<dataset>/ (sft, train, validation, test .jsonl and run.json).
Command: python SFT/dataset_creation.py --dataset linear
Command: python SFT/dataset_creation.py --dataset mine --source rows.csv --columns question=problem,solution=answer
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import data, kinds, models, runs, settings
from common.settings import setting
from SFT import own_data, sources
from tiny import problems

DATASETS = (*problems.SYSTEMS, *sources.SOURCES)


@dataclass
class Args(settings.RunArgs):
    dataset: str = setting("openmath", f"data set to make: {' '.join(DATASETS)}, or a name of your own", tiny="linear_sum")
    source: str = setting("", "your rows: a .jsonl, .csv or .parquet file, a folder of these, or a hub name")
    columns: str = setting("question=question,solution=solution", "its columns; for SFT also working=NAME")
    kind: str = setting("math", "of your rows; choice has also options=NAME", choices=("math", "choice"))
    seed: int = setting(3407, "draws the rows and their order; that of the thesis")
    sft_rows: int = setting(5000, "rows with reasoning, for SFT; 512 in the linear-equations study", tiny=512, low=0)
    train_rows: int = setting(1000, "rows for GRPO, as in the thesis", low=0)
    validation_rows: int = setting(200, "rows for held-out accuracy and for choosing settings", low=0)
    test_rows: int = setting(500, "rows for the result tables; 200 give an interval of +-7 points", tiny=200, low=0)
    max_length: int = setting(
        2048, "openmath: tokens of prompt and reasoning; longer rows are left out", tiny=1024, low=1
    )
    tokenizer: str = setting(
        "Qwen/Qwen3-4B-Base", "openmath: counts the tokens; '' limits characters instead", tiny="resources/tiny-base"
    )
    max_characters: int = setting(1000, "longer questions are left out: they would exceed the prompt limit", low=1)
    max_working_characters: int = setting(5000, "longer reasoning is left out: too long for SFT", low=1)
    level: str = setting("seed", "range of the linear systems", tiny="hard", choices=tuple(problems.LEVELS))
    terse: float = setting(0.0, "fraction of the linear systems solved without writing the products", low=0, high=1)
    openmath: str = setting("", "local folder instead of unsloth/OpenMathReasoning-mini")
    gsm8k: str = setting("", "local folder instead of openai/gsm8k")
    dapo: str = setting("", "local folder instead of open-r1/DAPO-Math-17k-Processed")
    math500: str = setting("", "local folder instead of HuggingFaceH4/MATH-500")


def short(rows: list[dict], args) -> list[dict]:
    """The rows within the limits: of a source for SFT in tokens, as SFT_train.py counts them, else in characters."""
    if rows and args.tokenizer and sources.SOURCES[args.dataset].feeds == "sft":
        folder = runs.resolve(args.tokenizer)
        tokenizer, tag_set = models.load_tokenizer(
            str(folder) if folder.exists() else args.tokenizer,
            default="thesis",
            option="--tokenizer, or pass --tokenizer '' to limit characters",
        )
        lengths = data.token_lengths(rows, kinds.MATH, tokenizer, tag_set, completions=True)
        short_rows = [row for row, length in zip(rows, lengths) if length <= args.max_length]
        print(f"{args.dataset}: {len(short_rows)} of {len(rows)} rows have at most {args.max_length} tokens")
        return short_rows
    rows = [row for row in rows if len(row["question"]) <= args.max_characters]
    return [row for row in rows if len(row.get("working", "")) <= args.max_working_characters]


def tested_questions(args) -> set[str]:
    """The questions in the test splits of the other data sets in the same folder."""
    output = Path(args.output)
    questions = set()
    for path in output.parent.glob("*/test.jsonl"):
        if path.parent != output:
            rows = [row for row in runs.read_jsonl(path) if isinstance(row.get("question"), str)]
            questions.update(data.normalised(row["question"]) for row in rows)
    return questions


def unseen(rows: list[dict], args) -> list[dict]:
    """The rows whose question is not in the test split of another data set in the same folder; prints how many are."""
    tested = tested_questions(args)
    rest = [row for row in rows if data.normalised(row["question"]) not in tested]
    if len(rest) < len(rows):
        print(f"sft: left out {len(rows) - len(rest)} rows whose question is in the test split of another data set")
    return rest


def generated_splits(args, sizes: dict[str, int]) -> dict[str, list[dict]]:
    """The splits of linear systems; those of SFT and GRPO are different systems."""
    make = problems.SYSTEMS[args.dataset]
    options = {"seed": args.seed, "level": problems.LEVELS[args.level], "terse": args.terse}
    splits = {name: problems.draw(make, name, sizes[name], **options) for name in ("validation", "test")}
    rows = problems.draw(make, "train", sizes["sft"] + sizes["train"], **options)
    return splits | {"sft": rows[: sizes["sft"]], "train": rows[sizes["sft"] :]}


def source_splits(args, sizes: dict[str, int]) -> dict[str, list[dict]]:
    """The splits of a source; ends the script where one that a stage needs has no row."""
    feeds = sources.SOURCES[args.dataset].feeds
    rows = sources.load_source(args.dataset, getattr(args, args.dataset))
    rows = {name: short(part, args) for name, part in rows.items()}
    splits = sources.split_rows(rows, sizes, args.seed, feeds)
    splits["sft"] = unseen([row for row in splits["sft"] if "working" in row], args)
    if not any(splits.values()):
        runs.fail(f"data set {args.dataset} is empty: no row is left of its splits")
    for name in ("test",) if feeds == "test" else (feeds, "validation"):
        if sizes[name] and not splits[name]:
            lengths = ", ".join(f"{name} {len(rows)}" for name, rows in splits.items())
            runs.fail(f"no row is left for the split {name} of {args.dataset} ({lengths}); raise the limits of length")
    return splits


def own_splits(args, sizes: dict[str, int]) -> tuple[dict[str, list[dict]], dict]:
    """The splits of one's own rows, and what was left out, for run.json; ends the script where one has no row."""
    columns = own_data.columns_of(args.columns, args.kind)
    print(f"reading {args.source}", flush=True)
    splits, read, faults = own_data.divide(args, columns, sizes, tested_questions(args))
    reasons = "; ".join(f"{count} {fault}" for fault, count in faults.most_common())
    print(f"{args.dataset}: {read - faults.total()} of {read} rows are usable; left out: {reasons or 'none'}")
    first = any(row["solution"] == "A" for rows in splits.values() for row in rows)
    if faults[own_data.BEYOND] and not first:
        runs.fail(f"{columns['solution']} counts the options from 1; write letters, their texts, or indices from 0")
    for name in ("train", "validation", "test"):
        if sizes[name] and not splits[name]:
            runs.fail(
                f"no row is left for the split {name} of {args.dataset} ({read - faults.total()} usable of {read}; "
                f"{reasons}); a hash puts one row of 16 into test and one into validation, but a test or validation "
                "split of the source is held out whole: collect more rows, or give one file instead of the folder"
            )
    return splits, {"source": args.source, "rows_read": read, "left_out": dict(faults)}


def check_name(args) -> None:
    """End the script for a data set that it cannot make, or a name of one's own that has another meaning."""
    if not args.source and args.dataset not in DATASETS:
        runs.fail(f"--dataset {args.dataset}: choose {', '.join(DATASETS)}, or make your own with --source FILE")
    if args.source and args.dataset in data.MADE_BY:
        runs.fail(f"--dataset {args.dataset} is the name of another data set; choose a name for --source {args.source}")
    if not re.fullmatch(r"\w[\w.-]{0,80}", args.dataset):
        runs.fail(f"--dataset {args.dataset}: choose a name of letters, digits, _, . and -; --output takes a folder")


def main(args):
    check_name(args)
    runs.check_output(args)
    sizes = {"sft": args.sft_rows, "train": args.train_rows}
    sizes |= {"validation": args.validation_rows, "test": args.test_rows}
    facts = {}
    kind = "math"
    if args.source:
        kind = args.kind
        splits, facts = own_splits(args, sizes)
    elif args.dataset in problems.SYSTEMS:
        splits = generated_splits(args, sizes)
        if not any(splits.values()):
            runs.fail(f"data set {args.dataset} is empty: no row is left of its splits")
    else:
        splits = source_splits(args, sizes)
    data.save(args, kind, splits, sizes, **facts)


if __name__ == "__main__":
    settings.run(main, Args, __doc__, output=lambda args: runs.OUTPUTS / "data" / args.dataset)
