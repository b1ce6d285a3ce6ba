"""Show one run in one table: base, SFT and the GRPO variants, each figure beside the one that is committed in git.

sampled, greedy: accuracy in %, flexible (the answer wherever it stands in a completion) with its 95 % interval, and
strict (the answer between its tags); vs SFT-brief: sampled accuracy minus that of the checkpoint that the variants
start from (SFT on a GPU), in percentage points; in git: the same figure in the committed results.csv, empty where there
is no git or no such row. Where the two are equal, this machine reproduces the run. in git and vs are of the flexible
score, or of the strict one in files from before there were two.

Input: results.csv, the committed one too. Output: at most 100 columns on the screen.
Command: python resources/show_run.py
"""

import contextlib
import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import evaluation, runs, settings
from common.settings import setting
from resources.report import measurements, pages


@dataclass
class Args(settings.ProfileArgs):
    seed: int = setting(3407, "seed of the run")
    base: str = setting("Qwen/Qwen3-4B-Base", "base of the run: a hub name or a folder", tiny="resources/tiny-base")
    dataset: str = setting("dapo", "data set of the test", tiny="linear")
    folder: str = setting("resources", "folder of results.csv, tables and pictures")


SCRIPTS = ["base", pages.OWN_PROMPT, "SFT-brief", "SFT", *pages.RUN_VARIANTS, pages.RUN_CONTROL]
NAMES = {pages.OWN_PROMPT: "own-prompt", pages.RUN_CONTROL: "format-only"}  # short ones
HEAD = """\
             sampled                          greedy                           vs {}
             flexible          strict in git  flexible          strict in git  this run in git"""
LINE = "{:11}  {:17} {:>6} {:>6}  {:17} {:>6} {:>6}  {:>8} {:>6}"
BELOW = """\
accuracy in %: flexible [95 % interval], the answer wherever it stands; strict, between its tags;
vs {}: percentage points, sampled; in git: as committed; own-prompt: the base without our
instruction; format-only: GRPO-Control, which rewards the format and no answer"""


def committed_rows(folder: Path) -> list[dict]:
    """The rows of the folder's results.csv in the last commit; [] without git, or where it is not committed."""
    command = ["git", "show", "HEAD:./results.csv"]
    with contextlib.suppress(OSError, csv.Error):
        shown = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
        return list(csv.DictReader(shown.stdout.split("\n")))
    return []


def rows_of_run(rows: list[dict], args) -> dict[tuple, dict]:
    """(script, decoding) -> row of results.csv; of a base the row of the run's seed, or else that of seed 0."""
    wanted = {"base": runs.lineage(args.base)[0], "dataset": args.dataset, "split": "test"}
    of_run = {}
    for row in rows:
        script = row.get("script")
        decoding = row.get("decoding")
        if script not in SCRIPTS or decoding not in pages.DECODINGS or not wanted.items() <= row.items():
            continue
        if row.get("seed") == str(args.seed):
            of_run[script, decoding] = row
        elif row.get("seed") == "0" and script in ("base", pages.OWN_PROMPT):
            of_run.setdefault((script, decoding), row)
    return of_run


def start_of(run: dict[tuple, dict]) -> str:
    """What the variants of the run started from."""
    starts = measurements.starts_of(list(run.values()))
    for of_base in starts.values():
        for script in pages.RUN_VARIANTS:
            if of_base.get(script):
                return of_base[script]
    return "SFT-brief"


def percent(row: dict | None, column: str) -> str:
    """A fraction as percent, at most 4 characters; empty where the row or the figure is missing."""
    if not row or not measurements.is_number(row.get(column)):
        return ""
    text = f"{100 * float(row[column]):.1f}"
    return "100" if text == "100.0" else text


def interval(row: dict | None) -> str:
    """The flexible accuracy with its interval; empty where it was not measured."""
    edges = [percent(row, column) for column in ("flexible", "flexible_low", "flexible_high")]
    return "{:>4} [{:>4}, {:>4}]".format(*edges) if all(edges) else ""


def difference(row: dict | None, reference: dict | None, column: str) -> str:
    """Percentage points of accuracy above the reference's."""
    if row is reference or not percent(row, column) or not percent(reference, column):
        return ""
    points = 100 * (float(row[column]) - float(reference[column]))
    return f"{round(points, 1) + 0.0:+.1f}"  # + 0.0 turns -0.0 into 0.0


def table(run: dict, committed: dict, start: str) -> list[str]:
    """A line for each script; cells are empty where a row is missing. start: what the variants started from."""
    has_flexible = any(row.get("flexible") for row in run.values())
    column = measurements.SCORES["flexible" if has_flexible else "strict"]
    lines = [HEAD.format(start)]
    for script in SCRIPTS:
        cells = [NAMES.get(script, script)]
        for decoding in pages.DECODINGS:
            row = run.get((script, decoding))
            cells += [interval(row), percent(row, "accuracy"), percent(committed.get((script, decoding)), column)]
        for rows in (run, committed):
            cells.append(difference(rows.get((script, "sampled")), rows.get((start, "sampled")), column))
        lines.append(LINE.format(*cells).rstrip())
    return lines


def main(args):
    folder = runs.resolve(args.folder)
    flexible = ["flexible", "flexible_low", "flexible_high"]
    rows = measurements.read_rows(folder / "results.csv", evaluation.KEY, ["n"], ["accuracy"], flexible)
    run = rows_of_run(rows, args)
    if not any(row["seed"] == str(args.seed) for row in run.values()):
        missing = f"no test of seed {args.seed} from {args.base} on {args.dataset}"
        runs.fail(f"{runs.shown(folder / 'results.csv')} has {missing}; first run: make run")
    problems = " or ".join(sorted({row["n"] for row in run.values()}))
    print(f"{runs.lineage(args.base)[0]} on {args.dataset}, {problems} test problems, seed {args.seed}")
    start = start_of(run)
    print("\n".join([*table(run, rows_of_run(committed_rows(folder), args), start), BELOW.format(start)]))
    print(f"So few updates show how a reward begins; where it ends: {runs.shown(folder / 'Rewards.md')}")
    print(f"with paired tests and a picture: {runs.shown(folder / 'GRPO_reward.md')}")


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
