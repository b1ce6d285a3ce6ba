"""What changes in the completions of linear_sum: the x and y that they find, or the sum that they make of them.

x, y: completions whose reasoning ends with the system's own x and y. sum: completions that add the x and y of their own
reasoning, whether these are correct or not. Means over the seeds, in % of the completions that GRPO_test.py left.

Input: outputs/tests/*-linear_sum-test-greedy.jsonl. Output: a table on the screen.
Command: python resources/last_step.py
"""

import re
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import runs, settings
from common.settings import setting

STEPS = re.compile(r"x=[^\n]*?(-?\d+)\ny=[^\n]*?(-?\d+)\n(-?\d+) \+ (-?\d+) = ")
EQUATION = re.compile(r"Equation \d: (-?\d*)x ([+-]) (\d*)y = (-?\d+)")


@dataclass
class Args(settings.ProfileArgs):
    folder: str = setting("outputs/tests", "folder of the completions")


def solution(question: str) -> tuple[float, float]:
    """x and y of the system in a question, by Cramer's rule."""
    equations = []
    for x, sign, y, total in EQUATION.findall(question):
        equations.append((int(x + "1" if x in ("", "-") else x), int(sign + (y or "1")), int(total)))
    (a, b, c), (d, e, f) = equations
    determinant = a * e - b * d
    return (c * e - b * f) / determinant, (a * f - c * d) / determinant


def steps(completion: dict) -> tuple[bool, bool]:
    """(are x and y those of the system?, does it add its own x and y?)"""
    match = STEPS.search(completion["text"])
    if not match:
        return False, False
    x, y, first, second = map(int, match.groups())
    return (x, y) == solution(completion["question"]), (x, y) == (first, second)


def main(args):
    paths = sorted(runs.resolve(args.folder).glob("*-linear_sum-test-greedy.jsonl"))
    if not paths:
        runs.fail(f"{args.folder} has no completions of linear_sum; first run: bash run.sh")
    fractions = defaultdict(list)
    for path in paths:
        completions = runs.read_jsonl(path)
        both = [steps(completion) for completion in completions]
        correct = statistics.mean(solved for solved, _ in both)
        added = statistics.mean(own for _, own in both)
        fractions[completions[0]["script"]].append((correct, added))
    print(f"{'':22}{'x, y':>6}{'sum':>6}{'seeds':>7}")
    for script, values in fractions.items():
        correct, added = (100 * statistics.mean(column) for column in zip(*values, strict=True))
        print(f"{script:22}{correct:6.1f}{added:6.1f}{len(values):7}")


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
