"""Evaluation: score completions, summarise them with an interval, and test checkpoints on data sets.

The same functions measure held-out accuracy during training and fill every table. The kind of a data set decides what
is correct (common/kinds.py): accuracy is the strict score, of answers between their tags; flexible is that of answers
wherever they stand, for the kinds that have one.
"""

import csv
import gc
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from common import generation, judge, models, prompts, runs
from common.kinds import Kind

# The csv files of measurements, by default in resources/.
RESULTS = runs.ROOT / "resources" / "results.csv"  # a row for each measurement
COLUMNS = (
    *("script", "seed", "base", "start", "dataset", "split", "decoding", "n", "accuracy", "ci_low", "ci_high"),
    *("flexible", "flexible_low", "flexible_high"),  # empty where the kind has no flexible score
    *("format_rate", "truncated_rate", "mean_tokens", "judge", "efficiency", "final", "seconds", "commit", "command"),
    "reward",
)
OWN_PROMPT = "-own-prompt"  # after the name of a script that was asked without our instruction
KEY = ("script", "seed", "base", "dataset", "split", "decoding")  # a repeated measurement replaces its row
# items.csv: completions per item, and how many of them are correct, strictly and flexibly, item by item, for paired
# tests and pass@k
ITEM_COLUMNS = (*KEY, "samples", "correct", "flexible")
# toolcalls.csv: the measures of tool calls by tool, and the rates of each kind of failure
PART_KEY = (*KEY, "measure", "tool")
PART_COLUMNS = (*PART_KEY, "n", "rate", "ci_low", "ci_high")


def wilson(p: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a fraction p observed on n items (Wilson, JASA 22, 1927)."""
    if n == 0:
        return 0.0, 1.0
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_of(rows: list[dict], column: str) -> float:
    return sum(row[column] for row in rows) / len(rows)


def summary(scored: list[dict], items: int) -> dict:
    """Means over all completions; the interval counts items, since completions of one item are not independent."""
    accuracy = mean_of(scored, "correct")
    low, high = wilson(accuracy, items)
    figures = {"n": items, "accuracy": accuracy, "ci_low": low, "ci_high": high}
    if all("flexible" in row for row in scored):
        flexible = mean_of(scored, "flexible")
        low, high = wilson(flexible, items)
        figures |= {"flexible": flexible, "flexible_low": low, "flexible_high": high}
    figures["format_rate"] = mean_of(scored, "well_formed")
    figures["truncated_rate"] = mean_of(scored, "truncated")
    figures["mean_tokens"] = mean_of(scored, "tokens")
    for name in ("judge", "reward"):
        rated = [row for row in scored if row.get(name) is not None]
        if rated:
            figures[name] = mean_of(rated, name)
    return figures


def scores_of(figures: dict) -> str:
    """The accuracies of a summary with their intervals: the flexible one first, where there is one."""
    strict = "{accuracy:.1%} [{ci_low:.1%}, {ci_high:.1%}]".format(**figures)
    if "flexible" not in figures:
        return strict
    flexible = "{flexible:.1%} [{flexible_low:.1%}, {flexible_high:.1%}]".format(**figures)
    return f"{flexible} flexible, {strict} strict"


class Plan(NamedTuple):
    """A decoding: its name in results.csv, completions per item, sampling settings, number of items (None: all)."""

    decoding: str
    samples: int
    sampling: dict
    rows: int | None = None


def plans(args) -> list[Plan]:
    """The decodings that the arguments ask for: greedy, sampled or both."""
    sampling = {"temperature": args.temperature, "top_p": args.top_p, "top_k": args.top_k, "seed": args.seed}
    chosen = []
    if args.greedy:
        chosen.append(Plan("greedy", 1, {}))
    if args.samples:
        chosen.append(Plan("sampled", args.samples, sampling))
    return chosen


def checkpoints_of(args) -> tuple[list[str], list[tuple]]:
    """The checkpoints to test, and (tokenizer, tag set) of each; ends the script when one is incomplete."""
    finished = sorted(str(path.parent) for path in runs.OUTPUTS.glob("*/run.json") if not path.match("*.partial/*"))
    names = args.checkpoints or [args.base, *finished]
    folders = [runs.require_base(name, "the script that makes it") for name in names]
    return folders, [models.load_tokenizer(folder, default=args.tags) for folder in folders]


class TestSet(NamedTuple):
    """Rows to test on, under the names that they have in results.csv."""

    dataset: str
    split: str
    rows: list[dict]
    kind: Kind


def fitting(rows: list[dict], kind: Kind, folders: list[str], loaded: list[tuple], args) -> list[dict]:
    """The rows whose prompt and completion fit into every checkpoint's context, so that all answer the same items."""
    for folder, (tokenizer, tag_set) in zip(folders, loaded):
        room = generation.context_length(folder, args) - args.max_new_tokens
        conversations = [kind.prompt(row, prompts.TAG_SETS[tag_set]) for row in rows]
        lengths = generation.prompt_lengths(tokenizer, conversations)
        rows = [row for row, length in zip(rows, lengths) if length <= room]
    return rows


def checkpoint_facts(folder: str, args) -> dict:
    """The first columns of a results row: the script that made the checkpoint, its seed, its base model, its start."""
    names = runs.lineage(folder)
    own = OWN_PROMPT if getattr(args, "own_prompt", "") else ""
    if len(names) == 1:
        return {"script": f"base{own}", "seed": args.seed, "base": names[0], "start": ""}
    facts = json.loads((runs.resolve(folder) / "run.json").read_text())
    return {"script": names[-1] + own, "seed": facts["seed"], "base": names[0], "start": names[-2]}


def key_of(facts: dict, dataset: str, split: str, plan: Plan) -> dict:
    """The first columns of a measurement, those of KEY among them.

    Greedy completions of a base do not depend on a seed, so they have one row, with seed 0.
    """
    is_base = facts["script"] in ("base", f"base{OWN_PROMPT}")
    seed = 0 if is_base and plan.decoding == "greedy" else facts["seed"]
    return {**facts, "seed": seed, "dataset": dataset, "split": split, "decoding": plan.decoding}


def values_of(row: dict, columns: Sequence[str] = KEY) -> tuple[str, ...]:
    """The values of some columns, by default of those that identify a measurement, as the csv files hold them."""
    return tuple(str(row[name]) for name in columns)


def completions_file(key: dict, args) -> Path:
    """The file with the completions of a measurement; each line holds the key."""
    folder = runs.OUTPUTS if results_path(args) == RESULTS else results_path(args).parent
    return folder / "tests" / f"{'-'.join(values_of(key))}.jsonl"


def save_completions(lines: list[dict], key: dict, args) -> None:
    """Write completions_file(): a line for each completion, with the key."""
    path = completions_file(key, args)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({**key, **line}, ensure_ascii=False) + "\n" for line in lines))


def is_tested(key: dict, folder: str, args, n: int, table: Path | None = None) -> bool:
    """Whether the table has the row, of n problems, and its completions are newer than the checkpoint.

    --resume skips it then. table: the csv file of the measurement [results.csv].
    """
    completions = completions_file(key, args)
    record = runs.resolve(folder) / "run.json"
    if not completions.exists():
        return False
    if record.exists() and record.stat().st_mtime > completions.stat().st_mtime:
        return False
    rows = read_rows(table or results_path(args))
    return any(values_of(row) == values_of(key) and row["n"] == str(n) for row in rows)


def test_all(folders: list[str], loaded: list[tuple], sets: list[TestSet], plans: list[Plan], args) -> None:
    """Test every checkpoint on every set with every plan, and save the results."""
    if not plans:
        runs.fail("nothing to test: --greedy is off and --samples is 0")
    for folder, (tokenizer, tag_set) in zip(folders, loaded):
        facts = checkpoint_facts(folder, args)
        answer = None
        for test_set in sets:
            rows = []
            for plan in plans:
                key = key_of(facts, test_set.dataset, test_set.split, plan)
                n = len(test_set.rows[: plan.rows])
                if not (args.resume and is_tested(key, folder, args, n)):
                    answer = answer or generation.generator(folder, tokenizer, args)
                    rows.append(test(answer, key, test_set, tag_set, plan, args))
            if rows:
                save_rows(rows, results_path(args))
            if len(rows) < len(plans):
                print(f"{facts['script']} on {test_set.dataset}: already tested, skipped")
        del answer  # frees the model's memory for the next one
        gc.collect()


def test(
    answer: Callable,
    key: dict,
    test_set: TestSet,
    tag_set: str,
    plan: Plan,
    args,
    score: Callable | None = None,
) -> dict:
    """Generate and score completions, save them, print the figures; returns the row for results.csv.

    score: in place of that of the set's kind.
    """
    started = time.time()
    tags = prompts.TAG_SETS[tag_set]
    rows = test_set.rows[: plan.rows]
    repeated = [row for row in rows for _ in range(plan.samples)]
    completions = answer([test_set.kind.prompt(row, tags) for row in repeated], **plan.sampling)
    score = score or test_set.kind.score
    lines = []
    for completion, row in zip(completions, repeated):
        scored = score(completion, row, tags)
        lines.append({"question": row["question"], "truth": row["solution"], **scored})
    seconds = round(time.time() - started, 1)
    if getattr(args, "judge", ""):
        for line, verdict in zip(lines, judge.rate(lines, args.judge, args.judge_model)):
            line["judge"] = verdict
    figures = summary(lines, len(rows))
    save_completions(lines, key, args)
    more = "".join(f"{name} {figures[name]:.2f}, " for name in ("judge", "reward") if name in figures)
    print(
        f"{key['script']:24} seed {key['seed']} {key['dataset']} {key['decoding']:8} accuracy "
        f"{scores_of(figures)} of {figures['n']}; "
        f"well-formed {figures['format_rate']:.0%}, truncated {figures['truncated_rate']:.0%}, {more}{seconds} s"
    )
    if plan.decoding == "greedy":
        for line in lines[: args.show]:
            verdicts = ", ".join(f"{name}: {line[name]}" for name in ("flexible", "correct") if name in line)
            print(f"  question: {line['question']}\n  truth: {line['truth']}  {verdicts}")
            print(f"{line['text']}\n")
    origin = {"seconds": seconds, "commit": runs.commit(), "command": runs.command_line(), "samples": plan.samples}
    return {**key, **figures, **origin, "counts": counts_of(lines, plan.samples)}


def counts_of(lines: list[dict], samples: int) -> dict[str, str]:
    """The number of correct completions of each item, separated by spaces, by each score: columns of items.csv."""
    counts = {}
    for score in ("correct", "flexible"):
        if all(score in line for line in lines):
            items = [lines[start : start + samples] for start in range(0, len(lines), samples)]
            counts[score] = " ".join(str(sum(line[score] for line in item)) for item in items)
    return counts


def final_score(accuracy: float, judged: float, efficiency: float) -> float:
    """The final score of the thesis: 0.4 * accuracy (0 to 1) + 0.4 * judge (0 to 10) / 10 + 0.2 * efficiency.

    It may exceed 1: a model that needs fewer tokens than SFT has an efficiency above 1.
    """
    return 0.4 * accuracy + 0.4 * judged / 10 + 0.2 * efficiency


def add_final(rows: list[dict]) -> None:
    """Set efficiency and final of rows of results.csv (values are strings); empty where SFT was not measured.

    efficiency = mean tokens of SFT / mean tokens of the row, for the same seed, base, items and decoding.
    """

    same = ("seed", "base", "dataset", "split", "decoding", "n")
    tokens_of_sft = {values_of(row, same): float(row.get("mean_tokens") or 0) for row in rows if row["script"] == "SFT"}
    for row in rows:
        row["efficiency"] = row["final"] = ""
        tokens = float(row.get("mean_tokens") or 0)
        reference = tokens_of_sft.get(values_of(row, same), 0)
        if tokens and reference:
            efficiency = reference / tokens
            row["efficiency"] = f"{efficiency:.4f}"
            if row.get("judge") and row.get("accuracy"):
                row["final"] = f"{final_score(float(row['accuracy']), float(row['judge']), efficiency):.4f}"


def read_rows(path: Path = RESULTS, columns: Sequence[str] = KEY) -> list[dict]:
    """The rows of a csv file, every value a string; ends the script where it is damaged or lacks one of the columns."""
    if not path.exists():
        return []
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        runs.fail(f"{runs.shown(path)} cannot be read ({error}); put back the committed one, or delete it")
    for line, row in enumerate(rows, 2):
        missing = next((name for name in columns if not row.get(name)), None)
        if missing or None in row:
            problem = f"{missing} is missing" if missing else "more cells than columns"
            runs.fail(
                f"{runs.shown(path)}, line {line}: {problem}; repair that line, or delete it and run what made it again"
            )
    return rows


def save_rows(rows: list[dict], path: Path = RESULTS) -> None:
    """Put rows into results.csv; those with `samples` and `counts` also go into the items.csv beside it.

    efficiency and final of all rows are computed again, since SFT may be tested after the others.
    """
    put_rows(rows, path, COLUMNS, complete=add_final)
    items = [{**row, "flexible": "", **row["counts"]} for row in rows if "counts" in row]
    if items:
        put_rows(items, path.with_name("items.csv"), ITEM_COLUMNS)


def put_rows(rows: list[dict], path: Path, columns: Sequence[str], key=KEY, complete: Callable | None = None) -> None:
    """Put rows into a csv file, replacing those with the same key, and keep it sorted; complete: changes all rows."""
    from filelock import FileLock

    with FileLock(f"{path}.lock"):  # several tests may run at once
        table = {values_of(row, key): row for row in read_rows(path, key)}
        for row in rows:
            texts = {name: f"{value:.4f}" if isinstance(value, float) else str(value) for name, value in row.items()}
            table[values_of(texts, key)] = texts
        if complete:
            complete(list(table.values()))
        beside = path.with_name(path.name + ".tmp")
        with open(beside, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(table[key] for key in sorted(table))
        os.replace(beside, path)


def results_path(args, name: str = "results.csv") -> Path:
    """The file given by --results, else the table of this name in resources/."""
    return runs.resolve(args.results).absolute() if args.results else RESULTS.with_name(name)
