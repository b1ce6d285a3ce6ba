"""Make a data set of tool calls: questions, the tools offered, calls, their results and answers, in one format.

templates: questions from configs/questions.json for the tools of tool_executor.py; wordings and words of validation and
test are in no other split. toolbench, glaive, messages: public data in these layouts, from the hub or from a folder.
teacher: as in Toolformer (Schick et al. 2023, arXiv 2302.04761) a model proposes calls inside plain text, they are
executed, and kept where the result makes the text that follows likelier (ToolUse/tooluse/teacher.py).

Input: configs/, or public data, or texts and a model. Output: outputs/data/tools/ or outputs/data/tools_<source>/
(sft, train, validation, test .jsonl and run.json; ToolUse/tooluse/conversations.py says what a row holds).
Command: python ToolUse/tool_dataset_creation.py --source templates
Command: python ToolUse/tool_dataset_creation.py --config ToolUse/configs/teacher.json
"""

import random
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from tool_executor import ToolExecutor

from common import data, models, runs, settings
from common.settings import setting
from tiny import problems
from ToolUse.tooluse import conversations, layouts, questions, teacher

SOURCES = ("templates", *layouts.LAYOUTS, "teacher")


@dataclass
class Args(settings.RunArgs):
    source: str = setting("templates", "where the rows come from", choices=SOURCES)
    tools: str = setting("ToolUse/configs/tools.json", "JSON file with the schemas of the tools")
    functions: str = setting("", "Python file with the tools' functions by name [those of ToolUse/tool_executor.py]")
    questions: str = setting("ToolUse/configs/questions.json", "JSON file with templates of questions")
    unavailable: float = setting(0.15, "fraction of questions whose tool is not offered", low=0, high=1)
    seed: int = setting(3407, "draws the questions, or the rows of each split")
    sft_rows: int = setting(2000, "rows for SFT", tiny=400, low=0)
    train_rows: int = setting(2000, "rows for DPO, other ones than for SFT", tiny=400, low=0)
    validation_rows: int = setting(200, "rows for held-out accuracy and for choosing settings", tiny=100, low=0)
    test_rows: int = setting(500, "rows for the result tables, used once", tiny=200, low=0)
    base: str = setting("Qwen/Qwen3-4B-Base", "teacher: the model that proposes calls", tiny="outputs/SFT_tools")
    texts: str = setting("", "teacher: file with a text a line [questions and answers of the templates, without calls]")
    texts_rows: int = setting(2000, "teacher: texts to annotate", tiny=300, low=1)
    positions: int = setting(5, "teacher: places of a text where calls are sampled, for each tool", tiny=1, low=1)
    threshold: float = setting(0.05, "teacher: least probability of a call there", low=0, high=1)
    samples: int = setting(5, "teacher: calls sampled at a place", tiny=4, low=1)
    temperature: float = setting(1.0, "teacher: of these samples")
    margin: float = setting(0.2, "teacher: nats a token by which the result must lower the loss of what follows", low=0)
    window: int = setting(12, "teacher: tokens that this loss looks at", low=1)
    without: float = setting(0.25, "teacher: texts that keep no call, as a fraction of those that do", low=0)
    batch_size: int = setting(64, "teacher: prompts in memory at once", tiny=64)
    max_new_tokens: int = setting(128, "teacher: tokens of a call", tiny=50)
    toolbench: str = setting("", "folder in the layout of ToolBench's conversations [the hub]")
    glaive: str = setting("", "folder in the layout of Glaive's function calls [the hub]")
    messages: str = setting("", "folder with messages and tools [the hub]")


def template_questions(args, executor: ToolExecutor, split: str, rows: int, unavailable: float) -> list[dict]:
    """Different questions of a split."""
    drop = args.questions == Args.questions  # of the tools that have templates here, some may not be wanted
    templates = questions.read_templates(args.questions, executor.schemas, drop)
    draws = 0

    def draw(rng: random.Random, split: str) -> dict:
        nonlocal draws
        draws += 1
        return questions.question(rng, split, templates, executor, unavailable)

    drawn = problems.draw(draw, split, rows, args.seed)
    if draws > 3 * rows:
        print(f"{split}: {draws} draws for {rows} different questions; more wordings or values would vary them more")
    return drawn


def template_splits(args, sizes: dict[str, int]) -> dict[str, list[dict]]:
    """The splits of questions made from templates; those of SFT and DPO are different questions."""
    executor = ToolExecutor(args.tools, args.functions)
    splits = {}
    for name in ("validation", "test"):
        splits[name] = template_questions(args, executor, name, sizes[name], args.unavailable)
    rows = template_questions(args, executor, "train", sizes["sft"] + sizes["train"], args.unavailable)
    splits["sft"] = rows[: sizes["sft"]]
    splits["train"] = rows[sizes["sft"] :]
    return splits


def public_splits(args, sizes: dict[str, int]) -> dict[str, list[dict]]:
    """Disjoint splits of public rows: at most a fifth for test and for validation, the rest for SFT and DPO.

    Rows that offer the same tools share a split, since they often ask the same thing in other words.
    """
    rows, faults = layouts.load(args.source, getattr(args, args.source))
    left_out = ", ".join(f"{count} ({fault})" for fault, count in faults.items())
    print(f"{args.source}: {len(rows)} rows; left out: {left_out or 'none'}")
    groups = {}
    for row in rows:
        key = row["tools"] if row["tools"] != "[]" else row["question"]
        groups.setdefault(key, []).append(row)
    order = sorted(groups)
    random.Random(args.seed).shuffle(order)
    sizes = dict(sizes)
    for name in ("test", "validation"):
        sizes[name] = min(sizes[name], len(rows) // 5)
    left = len(rows) - sizes["test"] - sizes["validation"]
    if left < sizes["sft"] + sizes["train"]:
        sizes["sft"] = left * sizes["sft"] // max(1, sizes["sft"] + sizes["train"])
    splits = {name: [] for name in ("test", "validation", "sft", "train")}
    for key in order:
        open_splits = [name for name, part in splits.items() if len(part) < sizes[name]]
        if open_splits:
            splits[open_splits[0]] += groups[key]
    return {name: part[: sizes[name]] for name, part in splits.items()}


def plain_texts(args, executor: ToolExecutor) -> list[str]:
    """The lines of --texts, or questions of the templates with their answers but without calls."""
    if not args.texts:
        rows = template_questions(args, executor, "train", args.texts_rows, unavailable=0.0)
        return [f"{row['question']} {row['messages'][-1]['content']}" for row in rows]
    path = runs.resolve(args.texts)
    if not path.is_file():
        runs.fail(f"--texts {args.texts}: no such file")
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
    texts = [line for line in dict.fromkeys(lines) if teacher.boundaries(line)]
    if not texts:
        runs.fail(f"--texts {args.texts} has no line of at least two words")
    return texts[: args.texts_rows]


def teacher_splits(args, sizes: dict[str, int]) -> tuple[dict[str, list[dict]], dict]:
    """Texts with a call that a model proposed and that made them likelier, a tenth of them for validation."""
    models.check_device(args)
    executor = ToolExecutor(args.tools, args.functions)
    rng = random.Random(args.seed)
    texts = plain_texts(args, executor)
    base = runs.require_base(args.base, "python ToolUse/SFT_tools.py")
    tokenizer, _ = conversations.load_tokenizer(base)
    best, counts = teacher.annotate(models.load_for_generation(base), tokenizer, texts, executor, args)
    if not best:
        listing = conversations.listing(counts)
        runs.fail(f"no proposed call was kept ({listing}); take a better --base, or lower --margin")
    tools = conversations.offered(executor.schemas.values())
    rows = [teacher.to_row(texts[call.text], call, rng.sample(tools, len(tools))) for call in best]
    rest = sorted(set(range(len(texts))) - {call.text for call in best})
    for place in rng.sample(rest, min(len(rest), round(args.without * len(best)))):
        rows.append(teacher.to_row(texts[place], None, rng.sample(tools, len(tools))))
    rng.shuffle(rows)
    cut = min(sizes["validation"], len(rows) // 10)
    return {"validation": rows[:cut], "sft": rows[cut:][: sizes["sft"]], "train": [], "test": []}, {"teacher": counts}


def main(args):
    runs.check_output(args)
    sizes = {name: getattr(args, f"{name}_rows") for name in ("sft", "train", "validation", "test")}
    counts = {}
    if args.source == "teacher":
        splits, counts = teacher_splits(args, sizes)
    elif args.source == "templates":
        splits = template_splits(args, sizes)
    else:
        splits = public_splits(args, sizes)
    if not any(splits.values()):
        runs.fail(f"--source {args.source} gave no usable row; see the kinds of faults above")

    data.save(args, "tools", splits, sizes, **counts)


def folder_of(args) -> Path:
    return runs.OUTPUTS / "data" / ("tools" if args.source == "templates" else f"tools_{args.source}")


if __name__ == "__main__":
    settings.run(main, Args, __doc__, output=folder_of)
