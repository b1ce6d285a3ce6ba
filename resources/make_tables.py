"""Draw every table and picture of a folder from the csv files in it; no measured figure is typed in by hand.

The learning curves of finished runs in outputs/ are first gathered into curves.csv, so that the pictures can be drawn
again, byte for byte, without outputs/. A page or picture without rows is left out. Figures that two studies published
(published.py) have a column in the Markdown. GSM8K is in both tables, in-domain and out-domain: a checkpoint may have
been trained on it or not.

GRPO_reward, Out-domain, BFCL, ToolUse   accuracy of every script, beside what it started from: page_accuracy.py
Rewards, Rewards_curves, _others, _end, Ablations   speed and end of each reward over many seeds: page_rewards.py
Calibration   does confidence tell correct from incorrect answers: page_calibration.py
Teaching      greedy accuracy and pass@k of what was meant to teach: page_teaching.py
pass@k        1 - C(n - c, k) / C(n, k) for a problem with c correct of n completions, averaged over seeds; 95 %
              bootstrap interval over the problems: page_pass_at_k.py
Learning_curves   held-out accuracy of all other runs

Input: results.csv, items.csv, toolcalls.csv, calibration.csv, curves.csv in the folder, outputs/**/metrics.jsonl.
Output: the pages as .md, the pictures as .png, curves.csv.
Command: python resources/make_tables.py
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import runs, settings
from common.settings import setting
from resources.report import (
    measurements,
    page_accuracy,
    page_calibration,
    page_pass_at_k,
    page_rewards,
    page_teaching,
    plots_curves,
)


@dataclass
class Args(settings.ProfileArgs):
    folder: str = setting("resources", "folder of the csv files, for tables and pictures too")
    outputs: str = setting("outputs", "folder of the finished runs, for their learning curves")
    flips: int = setting(10_000, "sign flips of a test, samples of a bootstrap; p is at least 1 / (flips + 1)", low=1)


def main(args):
    folder = runs.resolve(args.folder)
    results = measurements.read_results(folder / "results.csv")
    items = measurements.read_items(folder / "items.csv")
    calibration = measurements.read_calibration(folder / "calibration.csv")
    curves = measurements.gather_curves(folder / "curves.csv", runs.resolve(args.outputs))

    drawn = []
    for name in page_accuracy.TITLES:
        drawn += page_accuracy.draw(name, results, items, folder, args.flips)
    drawn += page_rewards.draw(curves, results, items, folder, args.flips)
    drawn += page_calibration.draw(calibration, folder)
    drawn += page_teaching.draw(curves, items, folder, args.flips)
    drawn += page_pass_at_k.draw(items, folder, args.flips)
    drawn += plots_curves.groups(measurements.by_seed(curves, "accuracy"), folder / "Learning_curves.png")

    print(f"{runs.shown(folder)}: drew {', '.join(drawn)}")


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
