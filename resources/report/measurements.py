"""The rows of results.csv, items.csv, curves.csv and calibration.csv, read and checked.

A file or row that cannot be used ends the script with one line that names it.
"""

import csv
import json
import math
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common import evaluation, runs
from resources.report import comparisons

CURVE_COLUMNS = {  # column of curves.csv, and its name in metrics.jsonl
    "accuracy": "heldout_accuracy",
    "format": "heldout_format_rate",
    "reward": "reward",
    "no_signal": "frac_reward_zero_std",
    "truncated": "completions/clipped_ratio",
    "entropy": "entropy",
    "flexible": "heldout_flexible",
    "seconds": "seconds",
}
VALIDATED = ("boolq", "commonsense_qa")  # the answers of their test split are not public


class Measurement(NamedTuple):
    """A test of one checkpoint: the number of correct completions of each problem, by each score."""

    script: str
    seed: str
    base: str
    dataset: str
    decoding: str
    samples: int  # completions of a problem
    strict: np.ndarray
    flexible: np.ndarray | None  # None where the kind of problem has no such score
    start: str  # what its training started from: a script, "base", or "" for a base
    tokens: float  # mean of a completion; NaN where results.csv does not say it
    truncated: float  # fraction of the completions


def number(path: Path, line: int, row: dict, column: str, kind: type = float):
    """A finite number from a cell, of kind int or float."""
    try:
        value = kind(row[column])
        if math.isfinite(value):
            return value
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    fix = "repair that line, or delete it and run what made it again"
    runs.fail(f"{runs.shown(path)}, line {line}: {column} is missing or no number; {fix}")


def counts(path: Path, line: int, row: dict, column: str, samples: int) -> np.ndarray:
    """The cell of items.csv with a number of correct completions for each problem."""
    words = row[column].split()
    if words and samples > 0 and all(word.isdecimal() and word.isascii() and int(word) <= samples for word in words):
        return np.array(words, dtype=int)
    problem = f"{column} is not a list of counts from 0 to {samples}"
    runs.fail(f"{runs.shown(path)}, line {line}: {problem}; test {row['script']}, seed {row['seed']} again")


def is_test(row: dict) -> bool:
    return row["split"] == "test" or (row["split"] == "validation" and row["dataset"] in VALIDATED)


def read_measurements(folder: Path) -> list[Measurement]:
    """The tests of items.csv, with their starts from results.csv; ends the script where there are none."""
    results = evaluation.read_rows(folder / "results.csv")
    by_key = {evaluation.values_of(row): row for row in results}
    path = folder / "items.csv"
    measurements = []
    for line, row in enumerate(evaluation.read_rows(path, (*evaluation.KEY, "correct")), 2):
        if is_test(row):
            samples = number(path, line, row, "samples", int)
            strict = counts(path, line, row, "correct", samples)
            flexible = counts(path, line, row, "flexible", samples) if row.get("flexible") else None
            result = by_key.get(evaluation.values_of(row), {})
            start = result.get("start") or ""
            if start == row["base"]:
                start = "base"
            names = (row["script"], row["seed"], row["base"], row["dataset"], row["decoding"])
            lengths = [float(result.get(column) or "nan") for column in ("mean_tokens", "truncated_rate")]
            measurements.append(Measurement(*names, samples, strict, flexible, start, *lengths))
    if not measurements:
        runs.fail(f"{runs.shown(path)} has no rows of a test split; first run: python GRPO_indomain/GRPO_test.py")
    return measurements


def base_of(measurements: list[Measurement], dataset: str) -> str:
    """The base with most tests on a data set; where nothing was tested on it, the one with most tests."""
    of_dataset = Counter(one.base for one in measurements if one.dataset == dataset)
    return (of_dataset or Counter(one.base for one in measurements)).most_common(1)[0][0]


class Test(NamedTuple):
    """All measurements of one base on one data set with one decoding."""

    dataset: str
    rows: list[Measurement]

    def score(self) -> str:
        """The score that leads: flexible where it was measured."""
        return "flexible" if any(row.flexible is not None for row in self.rows) else "strict"

    def values(self, score: str = "", k: int = 1) -> dict[str, dict[str, np.ndarray]]:
        """script -> seed -> pass@k of each problem, for k = 1 the fraction of its completions that are correct.

        score: by default the one that leads.
        """
        values = defaultdict(dict)
        for row in self.rows:
            correct = getattr(row, score or self.score())
            if correct is not None:
                values[row.script][row.seed] = comparisons.pass_at_k(correct, row.samples, k)
        return values

    def starts(self) -> dict[str, str]:
        """script -> what its training started from."""
        return {row.script: row.start for row in self.rows}


def select(measurements: list[Measurement], base: str, dataset: str, decoding: str) -> Test:
    """The tests of a base; a checkpoint that never calls a tool, of no base, stands beside every base."""
    rows = [row for row in measurements if (row.dataset, row.decoding) == (dataset, decoding)]
    return Test(dataset, [row for row in rows if row.base in (base, "none")])


def read_calibration(path: Path, base: str) -> dict[str, dict]:
    """data set -> column -> script -> seed -> its value as an array of one; undefined ones are left out."""
    columns = ("accuracy", "mean_confidence", "auroc")
    values = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for line, row in enumerate(evaluation.read_rows(path), 2):
        for column in columns:
            if row["base"] == base and is_test(row) and row[column] != "nan":
                value = number(path, line, row, column)
                values[row["dataset"]][column][row["script"]][row["seed"]] = np.array([value])
    return values


def by_seed(curves: list[dict], base: str, column: str, tested: dict) -> dict[str, dict]:
    """script -> seed -> step -> the value of a column of curves.csv.

    tested: script -> the seeds that are wanted; on another data set there are runs of the same names.
    """
    values = defaultdict(lambda: defaultdict(dict))
    for row in curves:
        if row["base"] == base and row["seed"] in tested.get(row["script"], ()) and row.get(column):
            values[row["script"]][row["seed"]][int(row["step"])] = float(row[column])
    return values


def curve_of(folder: Path) -> dict[tuple, list[dict]]:
    """(script, seed, base) of a finished run -> its rows of curves.csv: one for each step of its metrics.jsonl."""
    facts = json.loads((folder / "run.json").read_text())
    script, seed, base = folder.name, str(facts["seed"]), facts["lineage"][0]
    steps = {}
    for line in runs.read_jsonl(folder / "metrics.jsonl"):
        row = steps.setdefault(line["step"], {"script": script, "seed": seed, "base": base, "step": str(line["step"])})
        for name, logged in CURVE_COLUMNS.items():
            if logged in line:
                row[name] = f"{line[logged]:.4f}"
    return {(script, seed, base): list(steps.values())}


def gather_curves(path: Path, outputs: Path) -> list[dict]:
    """The rows of curves.csv with those of every finished run in outputs put in, each in place of an older one."""
    curves = defaultdict(list)
    for line, row in enumerate(evaluation.read_rows(path, ["script", "seed", "base", "step"]), 2):
        for column in ("seed", "step"):
            number(path, line, row, column, int)
        for column in filter(row.get, CURVE_COLUMNS):
            number(path, line, row, column)
        curves[row["script"], row["seed"], row["base"]].append(row)
    for log in sorted(outputs.glob("**/metrics.jsonl")):
        if (log.parent / "run.json").exists() and ".partial" not in str(log):
            for key, rows in curve_of(log.parent).items():
                curves[key] = rows
    rows = [row for run in curves.values() for row in run]
    rows.sort(key=lambda row: (row["base"], row["script"], int(row["seed"]), int(row["step"])))
    if rows:
        beside = path.with_suffix(".tmp")
        with open(beside, "w", newline="") as file:
            columns = ["script", "seed", "base", "step", *CURVE_COLUMNS]
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(beside, path)
    return rows
