"""Evaluation: score completions, summarise them with an interval, and test checkpoints on data sets.

The same functions measure held-out accuracy during training and fill every table. The kind of a data set decides what
is correct (common/kinds.py).
"""

import gc
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from common import generation, judge, models, prompts, results, runs
from common.kinds import Kind


def wilson(p: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a fraction p observed on n items (Wilson, JASA 22, 1927)."""
    if n == 0:
        return 0.0, 1.0
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def summary(scored: list[dict], items: int) -> dict:
    """Means over all completions; the interval counts items, since completions of one item are not independent."""
    n = len(scored)
    accuracy = sum(row["correct"] for row in scored) / n
    low, high = wilson(accuracy, items)
    judged = [row["judge"] for row in scored if row.get("judge") is not None]
    rewards = [row["reward"] for row in scored if "reward" in row]
    return {
        "n": items,
        "accuracy": accuracy,
        "ci_low": low,
        "ci_high": high,
        "format_rate": sum(row["well_formed"] for row in scored) / n,
        "truncated_rate": sum(row["truncated"] for row in scored) / n,
        "mean_tokens": sum(row["tokens"] for row in scored) / n,
        **({"judge": sum(judged) / len(judged)} if judged else {}),
        **({"reward": sum(rewards) / len(rewards)} if rewards else {}),
    }


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
    if len(names) == 1:
        return {"script": "base", "seed": args.seed, "base": names[0], "start": ""}
    facts = json.loads((runs.resolve(folder) / "run.json").read_text())
    return {"script": names[-1], "seed": facts["seed"], "base": names[0], "start": names[-2]}


def key_of(facts: dict, dataset: str, split: str, plan: Plan) -> dict:
    """The first columns of a measurement, those of results.KEY among them.

    Greedy completions of a base do not depend on a seed, so they have one row, with seed 0.
    """
    seed = 0 if facts["script"] == "base" and plan.decoding == "greedy" else facts["seed"]
    return {**facts, "seed": seed, "dataset": dataset, "split": split, "decoding": plan.decoding}


def completions_file(key: dict, args) -> Path:
    """The file with the completions of a measurement; each line holds the key."""
    folder = runs.OUTPUTS if results.path_of(args) == results.RESULTS else results.path_of(args).parent
    return folder / "tests" / ("-".join(str(key[name]) for name in results.KEY) + ".jsonl")


def is_tested(key: dict, folder: str, args) -> bool:
    """Whether results.csv has the row and its completions are newer than the checkpoint; --resume skips it then."""
    completions = completions_file(key, args)
    record = runs.resolve(folder) / "run.json"
    if not completions.exists():
        return False
    if record.exists() and record.stat().st_mtime > completions.stat().st_mtime:
        return False
    wanted = {name: str(key[name]) for name in results.KEY}
    return any(wanted.items() <= row.items() for row in results.read(results.path_of(args)))


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
                if not (args.resume and is_tested(key, folder, args)):
                    answer = answer or generation.generator(folder, tokenizer, args)
                    rows.append(test(answer, key, test_set, tag_set, plan, args))
            if rows:
                results.save(rows, results.path_of(args))
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
    path = completions_file(key, args)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({**key, **line}, ensure_ascii=False) + "\n" for line in lines))
    more = "".join(f"{name} {figures[name]:.2f}, " for name in ("judge", "reward") if name in figures)
    print(
        f"{key['script']:24} seed {key['seed']} {key['dataset']} {key['decoding']:8} accuracy "
        f"{figures['accuracy']:6.1%} [{figures['ci_low']:.1%}, {figures['ci_high']:.1%}] of {figures['n']}; "
        f"well-formed {figures['format_rate']:.0%}, truncated {figures['truncated_rate']:.0%}, {more}{seconds} s"
    )
    if plan.decoding == "greedy":
        for line in lines[: args.show]:
            print(f"  question: {line['question']}\n  truth: {line['truth']}  correct: {line['correct']}")
            print(f"{line['text']}\n")
    origin = {"seconds": seconds, "commit": runs.commit(), "command": runs.command_line()}
    return {**key, **figures, **origin, "samples": plan.samples, "correct": correct_counts(lines, plan.samples)}


def correct_counts(lines: list[dict], samples: int) -> str:
    """The number of correct completions of each item, separated by spaces: `correct` of items.csv."""
    counts = []
    for start in range(0, len(lines), samples):
        counts.append(sum(line["correct"] for line in lines[start : start + samples]))
    return " ".join(map(str, counts))
