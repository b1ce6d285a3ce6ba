"""Show one run in one table: base, SFT and the GRPO variants, each figure beside the one that is committed.

flexible: accuracy in % with its 95 % interval over the problems, the answer wherever it stands in a completion; strict:
the answer between its tags; minus start: percentage points, flexible, above the checkpoint that the training started
from; committed: the same run as run.csv has it. Where the figures are equal, this machine reproduces the run.

Input: results.csv, run.csv. Output: at most 100 columns on the screen.
Command: python resources/show_run.py
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import evaluation, runs, settings
from common.settings import setting
from resources.report import measurements, pages


@dataclass
class Args(settings.ProfileArgs):
    seed: int | None = setting(None, "seed of the run [that of outputs/SFT]")
    base: str = setting("Qwen/Qwen3-4B-Base", "base of the run: a hub name or a folder", tiny="resources/tiny-base")
    dataset: str = setting("dapo", "data set of the test", tiny="linear_sum")
    folder: str = setting("resources", "folder of results.csv and run.csv")


LINE = "{:21} {:18} {:>6} {:>12}   {:>9} {:>7} {:>12}"
HEADS = """\
                      this run                                 committed
                      flexible           strict  minus start    flexible  strict  minus start"""


def rows_of_run(path: Path, args) -> dict[str, dict]:
    """script -> row of a csv file with the columns of results.csv; greedy completions of a base have the seed 0."""
    names = (runs.lineage(args.base)[0], args.dataset, "test", "greedy")
    rows = {}
    for line, row in enumerate(evaluation.read_rows(path), 2):
        is_base = row["script"] in ("base", pages.OWN_PROMPT) and row["seed"] == "0"
        is_of_run = is_base or row["seed"] == str(args.seed)
        if is_of_run and evaluation.values_of(row, ("base", "dataset", "split", "decoding")) == names:
            for column in ("n", "accuracy"):
                measurements.number(path, line, row, column)
            rows[row["script"]] = row
    return rows


def percent(row: dict, column: str) -> str:
    """A fraction as percent; empty where it was not measured."""
    return pages.percent(float(row[column])) if row.get(column) else ""


def cells(rows: dict[str, dict], script: str) -> list[str]:
    """Flexible, its interval, strict, minus start of a script; empty where they were not measured."""
    row = rows.get(script, {})
    start = rows.get("base" if row.get("start") == row.get("base") else row.get("start"), {})
    edges = ""
    if row.get("flexible_low") and row.get("flexible_high"):
        edges = f"[{percent(row, 'flexible_low')}, {percent(row, 'flexible_high')}]"
    difference = ""
    if row.get("flexible") and start.get("flexible"):
        difference = pages.percent(float(row["flexible"]) - float(start["flexible"]), sign=True)
    return [percent(row, "flexible"), edges, percent(row, "accuracy"), difference]


def main(args):
    folder = runs.resolve(args.folder)
    if args.seed is None:
        args.seed = runs.require(runs.OUTPUTS / "SFT", "make run")["seed"]
    run = rows_of_run(folder / "results.csv", args)
    if not any(row["seed"] == str(args.seed) for row in run.values()):
        missing = f"no test of seed {args.seed} from {args.base} on {args.dataset}"
        runs.fail(f"{runs.shown(folder / 'results.csv')} has {missing}; first run: make run")
    committed = rows_of_run(folder / "run.csv", args)
    problems = " or ".join(sorted({row["n"] for row in run.values()}))
    print(f"{runs.lineage(args.base)[0]} on {args.dataset}, {problems} problems, greedy, seed {args.seed}, in %")
    print(HEADS)
    for script in dict.fromkeys(["base", pages.OWN_PROMPT, *pages.ORDER, *sorted(run)]):
        if script in run:
            flexible, edges, strict, difference = cells(run, script)
            known = cells(committed, script)
            print(LINE.format(script, f"{flexible:>5} {edges}", strict, difference, known[0], *known[2:]).rstrip())
    print("flexible: the answer wherever it stands [95 % interval over the problems]; strict: between its tags;")
    print(f"minus start: percentage points, flexible. Over five seeds: {runs.shown(folder / 'GRPO_reward.md')}")


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
