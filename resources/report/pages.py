"""The pages beside the lead page: which data sets and scripts each shows, and how every table is made.

The words of a page stand in a text file of its name; a page has one table with a row for each script, and one picture
with a dot for each seed.
"""

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resources.report import comparisons, measurements, plots

ROWS = 12  # of a table
OWN_PROMPT = "base-own-prompt"  # the base, asked without our instruction
BASELINES = ["SFT-start", "SFT", "SFT_rejection", "SFT_rejection-2"]
REWARDS = ["GRPO-1K", "GRPO-1K-v2", "GRPO-1K-v3", "GRPO-1K-def", "GRPO-Linear"]
REWARDS += ["GRPO-Hybrid", "GRPO-Intuitor", "GRPO-DualHead"]
CONTROLS = ["GRPO-Control-format", "GRPO-Control-random"]
ORDER = ["base", *BASELINES, *REWARDS, *CONTROLS]
SETS = {  # page -> its data sets, as far as they were tested
    "Out-domain": [
        "yes_no",
        "multiple_choice",
        "word_problem",
        "boolq",
        "commonsense_qa",
        "arc_challenge",
        "gsm8k-outdomain",
    ],
    "BFCL": ["bfcl_single", "bfcl_multi", "bfcl_split_single", "bfcl_split_multi"],
    "ToolUse": ["tools", "tools:tool", "tools:arguments", "tools:format", "tools:execution", "tools:response"],
}
SCRIPTS = {  # page -> its first rows; other scripts that were tested come after these
    "Out-domain": ORDER,
    "BFCL": ["never-calls", "base", "SFT-BFCL", "GRPO_BFCL_v1", "SFT-BFCL-clean", "SFT-BFCL-multi", "GRPO_BFCL_v2"],
    "ToolUse": ["base", "SFT_tools", "SFT_tools-more", "DPO_tools", "GRPO_tools"],
    "Calibration": ["base", "SFT-x", "GRPO-1K-def-x", "GRPO-Hybrid-x", "GRPO-Intuitor-x"],
}
TABLES_ALONE = {"Out-domain"}  # pages without a picture


class Column(NamedTuple):
    """A measure of a table: script -> seed -> one fraction a problem, and what each script started from."""

    head: str
    values: dict[str, dict[str, np.ndarray]]
    starts: dict[str, str] = {}  # {} for no comparison


def percent(fraction: float, sign: bool = False) -> str:
    """A fraction as percent, never as -0.0."""
    return format(round(100 * fraction, 1) + 0.0, "+.1f" if sign else ".1f")


def mean(seeds: dict[str, np.ndarray]) -> str:
    return percent(comparisons.matrix_of(seeds).mean())


def interval(estimate: comparisons.Estimate) -> str:
    """A difference with its interval, in percentage points."""
    mean, low, high = (percent(value, sign=True) for value in estimate)
    return f"{mean} [{low}, {high}]"


def in_order(listed: list[str], tested: Collection[str], most: int = ROWS) -> list[str]:
    """The listed scripts that were tested, then the others, at most so many."""
    known = [script for script in listed if script in tested]
    return [*known, *sorted(set(tested) - set(listed) - {OWN_PROMPT})][:most]


def minus(column: Column, script: str, reference: str, resamples: int) -> comparisons.Estimate | None:
    """The difference of two scripts of a column; None where they cannot be paired."""
    theirs = column.values.get(reference)
    if not theirs or script == reference:
        return None
    matrix = comparisons.difference(column.values[script], theirs, of_base=reference == "base")
    return None if matrix is None else comparisons.two_way(matrix, resamples)


def table(columns: list[Column], scripts: list[str], resamples: int) -> str:
    """A row for each script: start, seeds, and of each column the mean and the difference to the start."""
    rows = []
    for script in scripts:
        row = {"script": script, "start": "", "seeds": ""}
        for column in columns:
            row |= {column.head: "", f"{column.head}, minus start": ""}
            seeds = column.values.get(script)
            if not seeds:
                continue
            row["seeds"] = row["seeds"] or str(len(seeds))
            row[column.head] = mean(seeds)
            start = column.starts.get(script, "")
            row["start"] = row["start"] or start
            if start and start not in column.values:
                start = "base"
            estimate = minus(column, script, start, resamples)
            if estimate:
                row[f"{column.head}, minus start"] = interval(estimate)
        rows.append(row)
    return markdown_table(rows)


def markdown_table(rows: list[dict[str, str]]) -> str:
    """A table whose columns are the keys of the rows, without those that are empty in all rows."""
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row in rows:
        lines.append("| " + " | ".join(row[name] for name in names) + " |")
    return "\n".join(lines)


def write(name: str, folder: Path, **values) -> str:
    """Fill in the text of a page; returns its file's name."""
    texts = Path(__file__).parent
    notes = (texts / "notes.txt").read_text().strip()
    page = (texts / f"{name}.txt").read_text().format(notes=notes, **values)
    (folder / f"{name}.md").write_text(page)
    return f"{name}.md"


def draw(name: str, columns: list[Column], folder: Path, resamples: int, scores: str = "") -> list[str]:
    """A page and its picture, of the columns that are compared with the start; [] without columns."""
    if not columns:
        return []
    tested = {}
    for column in columns:
        tested |= column.values
    scripts = in_order(SCRIPTS[name], tested)
    page = write(name, folder, table=table(columns, scripts, resamples), scores=scores)
    if name in TABLES_ALONE:
        return [page]
    panels = {column.head: column.values for column in columns if column.starts}
    plots.dots(panels or {columns[-1].head: columns[-1].values}, scripts, folder / f"{name}.png")
    return [page, f"{name}.png"]


def draw_accuracies(name: str, tests: list[measurements.Test], folder: Path, resamples: int) -> list[str]:
    """A page of SETS; tests: of its data sets."""
    columns = []
    scores = set()
    for test in tests:
        if test.rows:
            starts = {} if ":" in test.dataset else test.starts()  # of parts of a measure the mean alone
            columns.append(Column(test.dataset, test.values(), starts))
            scores.add(test.score())
    return draw(name, columns, folder, resamples, " or ".join(sorted(scores)))


def draw_calibration(calibration: dict, starts: dict[str, dict], folder: Path, resamples: int) -> list[str]:
    """Calibration.md and .png, of the two data sets with most checkpoints; starts: data set -> script -> start."""
    columns = []
    for dataset in sorted(calibration, key=lambda name: -len(calibration[name]["auroc"]))[:2]:
        of_set = calibration[dataset]
        columns.append(Column(f"{dataset}, solved", of_set["accuracy"]))
        columns.append(Column(f"{dataset}, confidence", of_set["mean_confidence"]))
        columns.append(Column(f"{dataset}, AUROC", of_set["auroc"], starts[dataset]))
    return draw("Calibration", columns, folder, resamples)


def draw_passes(test: measurements.Test, base: str, folder: Path, resamples: int) -> list[str]:
    """pass_at_k.md and Pass_at_k.png; [] where nothing was tested so."""
    if not test.rows:
        return []
    most = min(row.samples for row in test.rows)
    ks = [2**power for power in range(most.bit_length())]
    by_k = {}
    curves = defaultdict(lambda: defaultdict(dict))
    for k in dict.fromkeys([*ks, most]):
        by_k[k] = test.values(k=k)
        for script, seeds in by_k[k].items():
            for seed, problems in seeds.items():
                curves[script][seed][k] = problems.mean()
    starts = test.starts()
    scripts = in_order(ORDER, by_k[1])
    panels = {}
    for script in scripts:
        panels[script] = {"start": curves[starts[script]], "script": curves[script]}
    plots.lines(panels, folder / "Pass_at_k.png", ks=list(by_k))
    columns = [Column(f"pass@{k}", by_k[k], starts) for k in (1, most)]
    text = table(columns, scripts, resamples)
    page = write("pass_at_k", folder, table=text, base=base, dataset=test.dataset, scores=test.score())
    return [page, "Pass_at_k.png"]
