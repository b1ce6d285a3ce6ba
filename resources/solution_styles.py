"""Is a gain better arithmetic, or a switch to the more careful of two styles of solution?

The SFT rows of the linear task hold two styles: careful, with every product written out (six * in a solution), and
terse. For each tested checkpoint: the fraction of careful completions, the accuracy of each style, and what the
accuracy would be with these but with SFT's fractions of the two styles. What is left of the gain in that last column
is arithmetic; the rest is the switch.

Input: outputs/tests/*.jsonl, the completions that GRPO_test.py wrote. Output: a Markdown table.
Command: python resources/solution_styles.py
"""

import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import runs, settings
from common.settings import setting


@dataclass
class Args(settings.ProfileArgs):
    tests: str = setting("outputs/tests", "folder with the completions of GRPO_test.py")


def read_completions(folder: Path) -> dict[str, list[tuple[bool, bool]]]:
    """script -> (careful, correct) of each sampled completion of all seeds on the linear test problems."""
    wanted = {"dataset": "linear", "split": "test", "decoding": "sampled"}
    completions = defaultdict(list)
    for path in sorted(folder.glob("*.jsonl")):
        try:
            rows = runs.read_jsonl(path)
        except ValueError as error:
            runs.fail(f"{runs.shown(path)} is no JSONL file ({error}); delete it and repeat the test that wrote it")
        for row in rows:
            if wanted.items() <= row.items():
                completions[row["script"]].append((row["text"].count("*") >= 6, row["correct"]))
    return completions


def accuracy(completions: list[tuple[bool, bool]]) -> float:
    return sum(correct for _, correct in completions) / len(completions) if completions else 0.0


def careful_fraction(completions: list[tuple[bool, bool]]) -> float:
    return sum(careful for careful, _ in completions) / len(completions)


def main(args):
    completions = read_completions(runs.resolve(args.tests))
    if "SFT" not in completions:
        runs.fail(f"{args.tests} holds no completions of SFT; first run: python GRPO_indomain/GRPO_test.py")
    start = careful_fraction(completions["SFT"])
    print("| script | completions | accuracy | careful | accuracy, careful | accuracy, terse | accuracy at SFT's mix |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for script, rows in completions.items():
        careful = accuracy([row for row in rows if row[0]])
        terse = accuracy([row for row in rows if not row[0]])
        at_start = start * careful + (1 - start) * terse
        cells = [accuracy(rows), careful_fraction(rows), careful, terse, at_start]
        print(f"| {script} | {len(rows)} | " + " | ".join(f"{cell:.1%}" for cell in cells) + " |")


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
