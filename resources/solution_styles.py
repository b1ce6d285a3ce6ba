"""Is a gain better arithmetic, or a switch to the more careful of two ways of working?

The SFT rows of the linear task hold two ways: careful (every product written out, six * in a working) and terse. For
each tested checkpoint: the share of careful replies, the accuracy of each way, and what the accuracy would be if the
checkpoint kept its own accuracy in each way but mixed them as its SFT start does. What is left of the gain at the
start's mix is arithmetic; the rest is the switch.

Input: outputs/tests/*-linear-test-sampled.jsonl, written by GRPO_test.py. Output: a Markdown table.
Command: python GRPO_indomain/ways_of_working.py
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
    tests: str = setting("outputs/tests", "folder with the replies of GRPO_test.py")


def main(args):
    replies = defaultdict(list)  # script -> (careful, correct) of every seed's replies
    for path in sorted(runs.resolve(args.tests).glob("*-linear-test-sampled.jsonl")):
        script = path.name.rsplit("-", 5)[0]  # <script>-<seed>-<base>-linear-test-sampled; the base has a hyphen too
        rows = runs.read_jsonl(path)
        replies[script.rsplit("-", 1)[0]] += [(row["text"].count("*") >= 6, row["correct"]) for row in rows]
    if "SFT" not in replies:
        runs.fail(f"{args.tests} holds no replies of SFT; first run: python GRPO_indomain/GRPO_test.py")

    def accuracy(rows):
        return sum(correct for _, correct in rows) / len(rows) if rows else 0.0

    start = sum(careful for careful, _ in replies["SFT"]) / len(replies["SFT"])
    print("| script | replies | accuracy | careful | accuracy, careful | accuracy, terse | accuracy at SFT's mix |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for script, rows in replies.items():
        careful, terse = ([row for row in rows if row[0] == way] for way in (True, False))
        cells = [accuracy(rows), len(careful) / len(rows), accuracy(careful), accuracy(terse)]
        cells.append(start * cells[2] + (1 - start) * cells[3])
        print(f"| {script} | {len(rows)} | " + " | ".join(f"{cell:.1%}" for cell in cells) + " |")


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
