"""The csv files: each measurement has a row in resources/results.csv and one in items.csv.

items.csv holds the number of correct completions of each item, for paired tests and pass@k.
"""

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from common import runs

RESULTS = runs.ROOT / "resources" / "results.csv"
ITEMS = runs.ROOT / "resources" / "items.csv"
COLUMNS = (
    *("script", "seed", "base", "start", "dataset", "split", "decoding", "n", "accuracy", "ci_low", "ci_high"),
    *("format_rate", "truncated_rate", "mean_tokens", "judge", "efficiency", "final", "seconds", "commit", "command"),
    "reward",
)
# Identifies a row; a repeated measurement replaces its row.
KEY = ("script", "seed", "base", "dataset", "split", "decoding")
ITEM_COLUMNS = (*KEY, "samples", "correct")
PARTS = runs.ROOT / "resources" / "toolcalls.csv"
PART_KEY = (*KEY, "measure", "tool")
PART_COLUMNS = (*PART_KEY, "n", "rate", "ci_low", "ci_high")
CALIBRATION = runs.ROOT / "resources" / "calibration.csv"
CALIBRATION_COLUMNS = (
    *(*KEY, "n", "samples", "answered", "accuracy", "mean_confidence", "auroc", "ece"),
    *("bin_count", "bin_confidence", "bin_correct", "commit", "command"),
)


def final_score(accuracy: float, judged: float, efficiency: float) -> float:
    """The final score of the thesis: 0.4 * accuracy (0 to 1) + 0.4 * judge (0 to 10) / 10 + 0.2 * efficiency.

    It may exceed 1: a model that needs fewer tokens than SFT has an efficiency above 1.
    """
    return 0.4 * accuracy + 0.4 * judged / 10 + 0.2 * efficiency


def add_final(rows: list[dict]) -> None:
    """Set efficiency and final of rows of results.csv (values are strings); empty where SFT was not measured.

    efficiency = mean tokens of SFT / mean tokens of the row, for the same seed, base, items and decoding.
    """

    def same_items(row):
        return tuple(row[name] for name in ("seed", "base", "dataset", "split", "decoding", "n"))

    tokens = {same_items(row): float(row.get("mean_tokens") or 0) for row in rows if row["script"] == "SFT"}
    for row in rows:
        reference, own = tokens.get(same_items(row), 0), float(row.get("mean_tokens") or 0)
        efficiency = reference / own if reference and own else None
        row["efficiency"] = "" if efficiency is None else f"{efficiency:.4f}"
        whole = efficiency is not None and row.get("judge") and row.get("accuracy")
        row["final"] = f"{final_score(float(row['accuracy']), float(row['judge']), efficiency):.4f}" if whole else ""


def read(path: Path = RESULTS, columns: Sequence[str] = KEY) -> list[dict]:
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


def save(rows: list[dict], path: Path = RESULTS) -> None:
    """Put rows into results.csv, replacing those with the same key, and keep the file sorted.

    Rows with `samples` and `correct` also go into the items.csv beside it. efficiency and final of all rows are
    computed again, since SFT may be tested after the others.
    """
    _put(rows, path, COLUMNS, add_final)
    if items := [row for row in rows if "correct" in row]:
        save_items(items, path.with_name(ITEMS.name))


def save_items(rows: list[dict], path: Path = ITEMS) -> None:
    """Put rows into items.csv in the same way: the key, `samples` (completions per item) and `correct`.

    correct: the number of correct completions of each item, in the order of the data set, separated by spaces.
    """
    _put(rows, path, ITEM_COLUMNS)


def save_parts(rows: list[dict], path: Path = PARTS) -> None:
    """Put rows into toolcalls.csv: the measures of tool calls by tool, and the rates of each kind of failure."""
    _put(rows, path, PART_COLUMNS, key=PART_KEY)


def save_calibration(rows: list[dict], path: Path = CALIBRATION) -> None:
    """Put rows into calibration.csv: how confidence and correctness of a checkpoint's answers go together."""
    _put(rows, path, CALIBRATION_COLUMNS)


def _put(rows: list[dict], path: Path, columns: Sequence[str], complete: Callable | None = None, key=KEY) -> None:
    from filelock import FileLock

    with FileLock(f"{path}.lock"):  # several tests may run at once
        kept = {tuple(row[name] for name in key): row for row in read(path, key)}
        for row in rows:
            row = {name: f"{value:.4f}" if isinstance(value, float) else str(value) for name, value in row.items()}
            kept[tuple(row[name] for name in key)] = row
        if complete:
            complete(list(kept.values()))
        beside = path.with_name(path.name + ".tmp")
        with open(beside, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept[key] for key in sorted(kept))
        os.replace(beside, path)


def path_of(args) -> Path:
    """The file given by --results, else results.csv of this repo."""
    return runs.resolve(args.results).absolute() if args.results else RESULTS
