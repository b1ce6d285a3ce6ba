"""Evaluation: score completions, summarise them with an interval, and test checkpoints on data sets.

The same functions measure held-out accuracy during training and fill every table. A scorer, score(completion, row,
tags), decides what is correct: score_answer() for mathematics; tool calls have their own.
"""

import gc
import json
import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from common import answers, arithmetic, data, generation, judge, models, prompts, results, runs


def named_option(solution: str | None, options: Sequence[str]) -> str | None:
    """The letter of "(A)", "A." and "A) 6", the last only where 6 is the text of option A; else the solution unchanged.

    So an answer that names several options, or an option with another text, is not a letter and is incorrect.
    """
    found = re.fullmatch(r"\(?([A-Z])[).:](?:\s+(.+))?", solution or "", re.DOTALL)
    meant = dict(zip(data.LETTERS, options)).get(found[1]) if found else None
    if meant is None:
        return solution
    said, meant = (" ".join((text or "").split()).rstrip(".").lower() for text in (found[2], meant))
    return found[1] if said in ("", meant) else solution


def score(reply: dict, truth: str, tags: prompts.Tags, options: Sequence[str] = ()) -> dict:
    """The completion with `solution`, `correct`, `well_formed` and `judge` added; rewards call the same checkers.

    options: the texts of the options A, B, ... of a multiple choice. judge: 10 * the fraction of the arithmetic stated
    in the reasoning that is correct, 0 to 10; 0 where none supports the answer.
    """
    solution, working = answers.extract_solution(reply["text"], tags), prompts.working(reply["text"], tags)
    return {
        **reply,
        "solution": solution,
        "correct": answers.is_correct(named_option(solution, options), truth),
        "well_formed": prompts.is_well_formed(reply["text"], tags),
        "judge": 10 * arithmetic.fraction_correct(reply["text"] if working is None else working, solution),
    }


def score_answer(completion: dict, row: dict, tags: prompts.Tags) -> dict:
    """The scorer for mathematics: score() with the solution and the options of the row."""
    return score(completion, row["solution"], tags, row.get("options", ()))


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
    made = []
    if args.greedy:
        made.append(Plan("greedy", 1, {}))
    if args.samples:
        made.append(Plan("sampled", args.samples, sampling))
    return made


def checkpoints_of(args) -> tuple[list[str], list[tuple]]:
    """The checkpoints to test, and (tokenizer, tag set) of each; ends the script when one is incomplete."""
    finished = sorted(str(path.parent) for path in runs.OUTPUTS.glob("*/run.json") if not path.match("*.partial/*"))
    names = args.checkpoints or [args.base, *finished]
    folders = [runs.require_base(name, "the script that makes it") for name in names]
    return folders, [models.load_tokenizer(folder, default=args.tags) for folder in folders]


def fitting(rows: list[dict], folders: list[str], loaded: list[tuple], args) -> list[dict]:
    """The rows whose prompt and completion fit into every checkpoint's context, so that all answer the same items."""
    for folder, (tokenizer, tag_set) in zip(folders, loaded):
        room = generation.context_length(folder, args) - args.max_new_tokens
        conversations = [data.conversation(row, prompts.TAG_SETS[tag_set]) for row in rows]
        rows = [row for row, n in zip(rows, generation.prompt_lengths(tokenizer, conversations)) if n <= room]
    return rows


def checkpoint_facts(folder: str, args) -> dict:
    """The first columns of a results row: the script that made the checkpoint, its seed, its base model."""
    names = runs.lineage(folder)
    if len(names) == 1:
        return {"script": "base", "seed": args.seed, "base": names[0]}
    facts = json.loads((runs.resolve(folder) / "run.json").read_text())
    return {"script": names[-1], "seed": facts["seed"], "base": names[0]}


def key_of(facts: dict, dataset: str, split: str, plan: Plan) -> dict:
    """The key of a measurement: the columns results.KEY.

    Greedy completions of a base do not depend on a seed, so they have one row, with seed 0.
    """
    seed = 0 if facts["script"] == "base" and plan.decoding == "greedy" else facts["seed"]
    return {**facts, "seed": seed, "dataset": dataset, "split": split, "decoding": plan.decoding}


def completions_file(key: dict, args) -> Path:
    """The file with the completions of a measurement; each line holds the key."""
    folder = runs.OUTPUTS if results.path_of(args) == results.RESULTS else results.path_of(args).parent
    return folder / "tests" / ("-".join(map(str, key.values())) + ".jsonl")


def is_tested(key: dict, folder: str, args) -> bool:
    """Whether results.csv has the row and its completions are newer than the checkpoint; --resume skips it then."""
    written, made = completions_file(key, args), runs.resolve(folder) / "run.json"
    if not written.exists() or (made.exists() and made.stat().st_mtime > written.stat().st_mtime):
        return False
    wanted = {name: str(value) for name, value in key.items()}
    return any(wanted.items() <= row.items() for row in results.read(results.path_of(args)))


def test_all(folders: list[str], loaded: list[tuple], sets: list[tuple[str, str, list[dict]]], plans, args) -> None:
    """Test every checkpoint on every set (name, split, rows) with every plan, and save the results."""
    if not plans:
        runs.fail("nothing to test: --greedy is off and --samples is 0")
    for folder, (tokenizer, tag_set) in zip(folders, loaded):
        facts, answer = checkpoint_facts(folder, args), None
        for name, split, rows in sets:
            keys = [(key_of(facts, name, split, plan), plan) for plan in plans]
            left = [(key, plan) for key, plan in keys if not (args.resume and is_tested(key, folder, args))]
            if left:
                answer = answer or generation.generator(folder, tokenizer, args)
                results.save(
                    [test(answer, key, rows, tag_set, plan, args) for key, plan in left], results.path_of(args)
                )
            if len(left) < len(keys):
                print(f"{facts['script']} on {name}: already tested, skipped")
        del answer  # frees the model's memory for the next one
        gc.collect()


def test(
    answer: Callable, key: dict, rows: list[dict], tag_set: str, plan: Plan, args, score: Callable = score_answer
) -> dict:
    """Generate and score completions, save them, print the figures; returns the row for results.csv."""
    started, tags, rows = time.time(), prompts.TAG_SETS[tag_set], rows[: plan.rows]
    repeated = [row for row in rows for _ in range(plan.samples)]
    completions = answer([data.conversation(row, tags) for row in repeated], **plan.sampling)
    scored = [score(completion, row, tags) for completion, row in zip(completions, repeated)]
    seconds = round(time.time() - started, 1)
    lines = [{"question": row["question"], "truth": row["solution"], **s} for row, s in zip(repeated, scored)]
    if getattr(args, "judge", ""):
        for line, verdict in zip(lines, judge.rate(lines, args.judge, args.judge_model)):
            line["judge"] = verdict
    figures = summary(lines, len(rows))
    kept = completions_file(key, args)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("".join(json.dumps({**key, **line}, ensure_ascii=False) + "\n" for line in lines))
    print(
        f"{key['script']:24} seed {key['seed']} {key['dataset']} {key['decoding']:8} accuracy "
        f"{figures['accuracy']:6.1%} [{figures['ci_low']:.1%}, {figures['ci_high']:.1%}] of {figures['n']}; "
        f"well-formed {figures['format_rate']:.0%}, truncated {figures['truncated_rate']:.0%}, "
        + "".join(f"{name} {figures[name]:.2f}, " for name in ("judge", "reward") if name in figures)
        + f"{seconds} s"
    )
    for line in lines[: args.show if plan.decoding == "greedy" else 0]:
        print(f"  question: {line['question']}\n  truth: {line['truth']}  correct: {line['correct']}")
        print(f"{line['text']}\n")
    groups = [lines[start : start + plan.samples] for start in range(0, len(lines), plan.samples)]
    correct = " ".join(str(sum(line["correct"] for line in group)) for group in groups)
    made = {"seconds": seconds, "commit": runs.commit(), "command": runs.command_line()}
    return {**key, **figures, **made, "samples": plan.samples, "correct": correct}
