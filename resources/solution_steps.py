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
SYSTEM = [*DETERMINANTS, "x=n/n=n", "y=n/n=n"]
STEPS = {  # dataset -> the lines of a careful solution (tiny/problems.py), n for a number
    "linear": SYSTEM,
    "linear-harder": SYSTEM,
    "linear-hardest": SYSTEM,
    "linear_x": DETERMINANTS[:2],
    "linear_sum": [*SYSTEM, "n + n = n"],
}
SOLUTION = re.compile(r"^([xy])=\S*=(-?\d+)$", re.MULTILINE)
SUM = re.compile(r"^(-?\d+) \+ (-?\d+) = -?\d+$")


@dataclass
class Args(settings.ProfileArgs):
    tests: str = setting("outputs/tests", "folder with the completions of GRPO_test.py")


def has_steps(reasoning: str, dataset: str) -> bool:
    """Whether the reasoning has the steps of the SFT rows of a data set."""
    lines = re.sub(r"(?<!\d)-?\d+", "n", reasoning).strip().split("\n")
    return lines == STEPS[dataset]


def adds_its_own(reasoning: str) -> bool:
    """Whether the last line adds the x and the y of the lines before."""
    lines = reasoning.strip().split("\n")
    sum_line = SUM.match(lines[-1])
    solutions = dict(SOLUTION.findall("\n".join(lines[:-1])))
    return bool(sum_line) and sorted(sum_line.groups()) == sorted(solutions.values())


def read_completions(folder: Path) -> dict[tuple[str, str], list[tuple[str, bool]]]:
    """(script, data set) -> (reasoning, correct) of each sampled completion on test problems of systems, all seeds."""
    completions = defaultdict(list)
    for path in sorted(folder.glob("*.jsonl")):
        try:
            rows = runs.read_jsonl(path)
        except ValueError as error:
            runs.fail(f"{runs.shown(path)} is no JSONL file ({error}); delete it and repeat the test that wrote it")
        for row in rows:
            if (row["split"], row["decoding"]) == ("test", "sampled") and row["dataset"] in STEPS:
                reasoning = prompts.reasoning(row["text"]) or ""
                completions[row["script"], row["dataset"]].append((reasoning, row["correct"]))
    return completions


def percent(values: list[bool]) -> str:
    return f"{sum(values) / len(values):.1%}" if values else ""


def main(args):
    completions = read_completions(runs.resolve(args.tests))
    if not completions:
        runs.fail(f"{args.tests} holds no completions on systems; first run: python GRPO_indomain/GRPO_test.py")
    table = []
    for (script, dataset), rows in completions.items():
        careful = [correct for reasoning, correct in rows if has_steps(reasoning, dataset)]
        row = {"script": script, "data set": dataset, "completions": str(len(rows))}
        row["correct"] = percent([correct for _, correct in rows])
        row["steps"] = f"{len(careful) / len(rows):.1%}"
        row["correct, of these"] = percent(careful)
        if dataset == "linear_sum":
            row["adds its own x and y"] = percent([adds_its_own(reasoning) for reasoning, _ in rows])
        table.append(row)
    print("\n".join(pages.markdown_table(table)))


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
