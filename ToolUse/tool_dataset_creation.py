"""Make a data set of tool calls: questions, the tools offered, calls, their results and answers, in one format.

templates: questions from configs/questions.json for the tools of tool_executor.py; wordings and words of validation and
test are in no other split. toolbench, glaive, messages: public data in these layouts, from the hub or from a folder.
teacher: as in Toolformer (Schick et al. 2023, arXiv 2302.04761) a model proposes calls inside plain text, they are
executed, and kept where the result makes the text that follows likelier (common/tools/teacher.py).

Input: configs/, or public data, or texts and a model. Output: outputs/data/tools/ or outputs/data/tools_<source>/
(sft, train, validation, test .jsonl and run.json; common/tools/conversations.py says what a row holds).
Command: python ToolUse/tool_dataset_creation.py --source templates
Command: python ToolUse/tool_dataset_creation.py --config ToolUse/configs/teacher.json
"""

import random
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from tool_executor import ToolExecutor

from common import data, runs, settings, tasks
from common.settings import setting
from common.tools import layouts, questions

SOURCES = ("templates", *layouts.LAYOUTS, "teacher")


@dataclass
class Args(settings.RunArgs):
    config: str = setting("", "JSON recipe with values for these settings; the command line overrides it")
    source: str = setting("templates", "where the rows come from", choices=SOURCES)
    tools: str = setting("ToolUse/configs/tools.json", "JSON file with the schemas of the tools")
    questions: str = setting("ToolUse/configs/questions.json", "JSON file with templates of questions")
    unavailable: float = setting(0.15, "fraction of questions whose tool is not offered", low=0, high=1)
    seed: int = setting(3407, "draws the questions, or the rows of each split")
    sft_rows: int = setting(2000, "rows for SFT", tiny=400, low=0)
    train_rows: int = setting(2000, "rows for DPO, other ones than for SFT", tiny=400, low=0)
    validation_rows: int = setting(200, "rows for held-out accuracy and for choosing settings", tiny=100, low=0)
    test_rows: int = setting(500, "rows for the result tables, used once", tiny=200, low=0)
    reasoning: bool = setting(False, "keep the thoughts of public data, in <think> tags before a completion")
    toolbench: str = setting("", "folder in the layout of ToolBench's conversations [the hub]")
    glaive: str = setting("", "folder in the layout of Glaive's function calls [the hub]")
    messages: str = setting("", "folder with messages and tools [the hub]")


def made_splits(args, sizes: dict[str, int]) -> dict[str, list[dict]]:
    """The splits of questions made from templates; those of SFT and DPO are different questions."""
    executor = ToolExecutor(args.tools)
    how = {"templates": questions.read_templates(args.questions, executor.schemas), "executor": executor}
    how["unavailable"] = args.unavailable
    made = {n: tasks.problems(questions.question, n, sizes[n], args.seed, **how) for n in ("validation", "test")}
    trained = tasks.problems(questions.question, "train", sizes["sft"] + sizes["train"], args.seed, **how)
    return made | {"sft": trained[: sizes["sft"]], "train": trained[sizes["sft"] :]}


def public_splits(args, sizes: dict[str, int]) -> dict[str, list[dict]]:
    """Disjoint splits of public rows: at most a fifth for test and for validation, the rest for SFT and DPO.

    Rows that offer the same tools share a split, since they often ask the same thing in other words.
    """
    rows, faults = layouts.load(args.source, getattr(args, args.source), args.reasoning)
    print(f"{args.source}: {len(rows)} rows; left out: {faults or 'none'}")
    groups = {}
    for row in rows:
        groups.setdefault(row["tools"] if row["tools"] != "[]" else row["question"], []).append(row)
    order = sorted(groups)
    random.Random(args.seed).shuffle(order)
    sizes = sizes | {name: min(sizes[name], len(rows) // 5) for name in ("test", "validation")}
    left = len(rows) - sizes["test"] - sizes["validation"]
    if left < sizes["sft"] + sizes["train"]:
        sizes["sft"] = left * sizes["sft"] // max(1, sizes["sft"] + sizes["train"])
    splits = {name: [] for name in ("test", "validation", "sft", "train")}
    for group in (groups[key] for key in order):
        name = next((name for name in splits if len(splits[name]) < sizes[name]), None)
        if name:
            splits[name] += group
    return {name: part[: sizes[name]] for name, part in splits.items()}


def main(args):
    runs.check_output(args)
    sizes = {"sft": args.sft_rows, "train": args.train_rows}
    sizes |= {"validation": args.validation_rows, "test": args.test_rows}
    splits = made_splits(args, sizes) if args.source == "templates" else public_splits(args, sizes)
    if not any(splits.values()):
        runs.fail(f"--source {args.source} gave no usable row; see the kinds of faults above")

    runs.start(args)
    facts = data.write_splits(runs.partial_of(args.output), splits)
    runs.finish(args, splits=facts)
    for name, fact in facts.items():
        less = f", {sizes[name]} were asked for" if fact["rows"] < sizes[name] else ""
        print(f"{name:11}{fact['rows']:6} rows{less}  fingerprint {fact['fingerprint']}")


def folder_of(args) -> Path:
    return runs.OUTPUTS / "data" / ("tools" if args.source == "templates" else f"tools_{args.source}")


if __name__ == "__main__":
    settings.run(main, Args, __doc__, output=folder_of)
