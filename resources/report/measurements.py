"""The rows of results.csv, items.csv, curves.csv and calibration.csv, read and checked.

A file or row that cannot be used ends the script with one line that names it.
"""

import csv
import json
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common import evaluation, runs

SCORES = {"flexible": "flexible", "strict": "accuracy"}  # score: its column in results.csv and curves.csv
ITEM_SCORES = {"flexible": "flexible", "strict": "correct"}  # score: its column in items.csv
CURVE_COLUMNS = {  # column of curves.csv, and its name in metrics.jsonl
    "accuracy": "heldout_accuracy",
    "format": "heldout_format_rate",
    "reward": "reward",
    "no_signal": "frac_reward_zero_std",
    "truncated": "completions/clipped_ratio",
    "entropy": "entropy",
    "flexible": "heldout_flexible",
}
RUN_COLUMNS = ("script", "seed", "base")  # of curves.csv: which run a row belongs to
VALIDATED = ["boolq", "commonsense_qa"]  # the answers of their test split are not public
BINS = ["bin_count", "bin_confidence", "bin_correct"]


def is_number(text: str | None, kind: type = float) -> bool:
    """Whether a cell holds a finite number, of kind int or float."""
    try:
        return math.isfinite(kind(text))
    except (TypeError, ValueError, OverflowError):
        return False


def read_rows(
    path: Path, texts: Sequence[str], integers: Sequence[str], numbers: Sequence[str], optional: Sequence[str] = ()
) -> list[dict]:
    """The rows of a csv file, every value a string; [] where there is none.

    texts, integers, numbers: columns that no row may leave empty; optional: numbers that a row may lack.
    """
    rows = evaluation.read_rows(path, texts)
    for line, row in enumerate(rows, 2):
        damaged = [name for name in integers if not is_number(row.get(name), int)]
        damaged += [name for name in numbers if not is_number(row.get(name))]
        damaged += [name for name in optional if row.get(name) and not is_number(row[name])]
        if damaged:
            fix = "repair that line, or delete it and run what made it again"
            runs.fail(f"{runs.shown(path)}, line {line}: {damaged[0]} is missing or no number; {fix}")
    return rows


def fail_at(path: Path, line: int, row: dict, problem: str) -> None:
    runs.fail(f"{runs.shown(path)}, line {line}: {problem}; test {row['script']}, seed {row['seed']} again")


def is_test(row: dict) -> bool:
    if row["split"] == "validation":
        return row["dataset"] in VALIDATED
    return row["split"] in ("test", "official")


def read_results(path: Path) -> list[dict]:
    """The rows of results.csv that measure a test split; ends the script where there is none."""
    numbers = ["accuracy", "format_rate", "truncated_rate", "mean_tokens"]
    optional = ["judge", "efficiency", "final", "reward", "flexible"]
    rows = read_rows(path, (*evaluation.KEY, "command"), ["n"], numbers, optional)
    rows = [row for row in rows if is_test(row)]
    if not rows:
        command = "python GRPO_indomain/GRPO_test.py"
        runs.fail(f"{runs.shown(path)} has no rows of a test split; first run: {command}")
    return rows


def starts_of(rows: list[dict]) -> dict[str, dict[str, str]]:
    """base -> script -> what its training started from: a script, "base", or "" for a base; rows of results.csv."""
    starts = defaultdict(dict)
    for row in rows:
        start = row.get("start") or ""
        starts[row["base"]][row["script"]] = "base" if start == row["base"] else start
    return starts


def read_items(path: Path, score: str = "strict") -> dict:
    """(base, dataset, decoding) -> script -> seed -> (correct completions of each problem, completions a problem).

    Correct by one of SCORES; rows without that score are left out.
    """
    items = defaultdict(lambda: defaultdict(dict))
    column = ITEM_SCORES[score]
    for line, row in enumerate(read_rows(path, (*evaluation.KEY, "correct"), ["samples"], []), 2):
        if not row.get(column):
            continue
        samples = int(row["samples"])
        counts = row[column].split()
        valid = [count for count in counts if is_number(count, int) and 0 <= int(count) <= samples]
        if samples < 1 or not counts or len(valid) < len(counts):
            fail_at(path, line, row, f"{column} is not a list of counts from 0 to {samples}")
        if is_test(row):
            correct = np.array(list(map(int, counts)))
            items[row["base"], row["dataset"], row["decoding"]][row["script"]][row["seed"]] = (correct, samples)
    return items


def read_calibration(path: Path) -> dict:
    """(base, dataset) -> script -> rows with auroc and ece as numbers (NaN where undefined) and bins as arrays."""
    measured = defaultdict(lambda: defaultdict(list))
    for line, row in enumerate(
        read_rows(path, (*evaluation.KEY, *BINS), ["n", "samples"], ["answered", "accuracy"]), 2
    ):
        try:
            for name in ("mean_confidence", "auroc", "ece"):
                row[name] = float(row[name])
            for name in BINS:
                row[name] = np.array(row[name].split(), dtype=float)
            bins = np.stack([row[name] for name in BINS])  # a ValueError where their lengths differ
        except (TypeError, ValueError):
            bins = np.array(math.nan)
        if not np.isfinite(bins).all():
            fail_at(path, line, row, "a figure or a list of bins is damaged")
        if is_test(row):
            measured[row["base"], row["dataset"]][row["script"]].append(row)
    return measured


def by_seed(curves: list[dict], column: str) -> dict:
    """(base, script) -> seed -> step -> the value of a column of curves.csv, where the run has one."""
    values = defaultdict(lambda: defaultdict(dict))
    for row in curves:
        if row.get(column):
            values[row["base"], row["script"]][row["seed"]][int(row["step"])] = float(row[column])
    return values


def curve_of(folder: Path) -> list[dict]:
    """The rows of curves.csv for a finished run: one for each step that its metrics.jsonl has."""
    facts = json.loads((folder / "run.json").read_text())
    run = {"script": folder.name, "seed": str(facts["seed"]), "base": facts["lineage"][0]}
    steps = {}
    for line in runs.read_jsonl(folder / "metrics.jsonl"):
        row = steps.setdefault(line["step"], {**run, "step": str(line["step"])})
        for name, logged in CURVE_COLUMNS.items():
            if logged in line:
                row[name] = f"{line[logged]:.4f}"
    return list(steps.values())


def run_of(row: dict) -> tuple:
    return tuple(row[name] for name in RUN_COLUMNS)


def read_curves(path: Path) -> list[dict]:
    return read_rows(path, ["script", "base"], ["seed", "step"], [], list(CURVE_COLUMNS))


def gather_curves(path: Path, outputs: Path) -> list[dict]:
    """The rows of curves.csv with those of every finished run in outputs put in, each in place of an older one."""
    curves = defaultdict(list)
    for row in read_curves(path):
        curves[run_of(row)].append(row)
    for log in sorted(outputs.glob("**/metrics.jsonl")):
        finished = (log.parent / "run.json").exists() and ".partial" not in str(log)
        rows = curve_of(log.parent) if finished else []
        if rows:
            curves[run_of(rows[0])] = rows
    rows = [row for run in curves.values() for row in run]
    rows.sort(key=lambda row: (row["base"], row["script"], int(row["seed"]), int(row["step"])))
    if rows:
        beside = path.with_suffix(".tmp")
        with open(beside, "w", newline="") as file:
            writer = csv.DictWriter(file, [*RUN_COLUMNS, "step", *CURVE_COLUMNS], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(beside, path)
    return rows
