"""Is a gain on systems of equations another way of reasoning, or the same way with fewer mistakes?

Of the sampled completions of each tested checkpoint:

steps                  the fraction whose reasoning has the steps of the SFT rows, written as there, with any numbers
correct, of these      their accuracy
adds its own x and y   linear_sum: the fraction whose last step adds the x and the y of the steps before, correct or not

Input: outputs/tests/*.jsonl, the completions that GRPO_test.py wrote. Output: a Markdown table.
Command: python resources/solution_steps.py
"""

import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import prompts, runs, settings
from common.settings import setting
from resources.report import pages

DETERMINANTS = [f"{name}=n*n-n*n=n-n=n" for name in "DXY"]
STEPS = {  # dataset -> the lines of a careful solution (tiny/problems.py), n for a number
    "linear": [*DETERMINANTS, "x=n/n=n", "y=n/n=n"],
    "linear_x": DETERMINANTS[:2],
    "linear_sum": [*DETERMINANTS, "x=n/n=n", "y=n/n=n", "n + n = n"],
}
FOUND = re.compile(r"^([xy])=\S*=(-?\d+)$", re.MULTILINE)
ADDED = re.compile(r"^(-?\d+) \+ (-?\d+) = -?\d+$")


@dataclass
class Args(settings.ProfileArgs):
    tests: str = setting("outputs/tests", "folder with the completions of GRPO_test.py")


def has_steps(working: str, dataset: str) -> bool:
    """Whether the reasoning has the steps of a level's SFT rows; linear-harder has those of linear."""
    lines = re.sub(r"(?<!\d)-?\d+", "n", working).strip().split("\n")
    return lines == STEPS[dataset.split("-")[0]]


def adds_its_own(working: str) -> bool:
    """Whether the last line adds the x and the y of the lines before."""
    lines = working.strip().split("\n")
    added = ADDED.match(lines[-1])
    found = dict(FOUND.findall("\n".join(lines[:-1])))
    return bool(added) and sorted(added.groups()) == sorted(found.values())


def read_completions(folder: Path) -> dict[tuple[str, str], list[tuple[str, bool]]]:
    """(script, data set) -> (reasoning, correct) of each sampled completion on test problems of systems, all seeds."""
    completions = defaultdict(list)
    for path in sorted(folder.glob("*.jsonl")):
        try:
            rows = runs.read_jsonl(path)
        except ValueError as error:
            runs.fail(f"{runs.shown(path)} is no JSONL file ({error}); delete it and repeat the test that wrote it")
        for row in rows:
            if (row["split"], row["decoding"]) == ("test", "sampled") and row["dataset"].split("-")[0] in STEPS:
                working = prompts.reasoning(row["text"]) or ""
                completions[row["script"], row["dataset"]].append((working, row["correct"]))
    return completions


def percent(values: list[bool]) -> str:
    return f"{sum(values) / len(values):.1%}" if values else ""


def main(args):
    completions = read_completions(runs.resolve(args.tests))
    if not completions:
        runs.fail(f"{args.tests} holds no completions on systems; first run: python GRPO_indomain/GRPO_test.py")
    table = []
    for (script, dataset), rows in completions.items():
        same = [correct for working, correct in rows if has_steps(working, dataset)]
        added = [adds_its_own(working) for working, _ in rows] if dataset.startswith("linear_sum") else []
        row = {"script": script, "data set": dataset, "completions": str(len(rows))}
        row |= {"correct": percent([correct for _, correct in rows]), "steps": f"{len(same) / len(rows):.1%}"}
        table.append(row | {"correct, of these": percent(same), "adds its own x and y": percent(added)})
    print("\n".join(pages.markdown_table(table)))


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
