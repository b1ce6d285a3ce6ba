"""Draw every page and picture of a folder from the csv files in it; no measured figure is typed in by hand.

Two scores stand side by side where both were measured: flexible, the answer wherever it stands in a completion, which
leads, and strict, the answer between its tags. The learning curves of finished runs in outputs/ are first gathered into
curves.csv, so that the pictures can be drawn again, byte for byte, without outputs/. A page without rows is left out.
Figures that other studies published stand in the notes of report/pages.py.

GRPO_reward, Out-domain, BFCL, Teaching, ToolUse   accuracy beside that of the start: page_accuracy.py
Rewards, Ablations   speed and end of each reward over many seeds: page_rewards.py
Calibration   does confidence tell correct from incorrect answers: page_calibration.py
pass_at_k     at least one of k completions is correct: page_pass_at_k.py

Input: results.csv, items.csv, calibration.csv, curves.csv in the folder, outputs/**/metrics.jsonl.
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
    pages,
)


@dataclass
class Args(settings.ProfileArgs):
    folder: str = setting("resources", "folder of the csv files, for tables and pictures too")
    outputs: str = setting("outputs", "folder of the finished runs, for their learning curves")
    flips: int = setting(10_000, "sign flips of a test, samples of a bootstrap; p is at least 1 / (flips + 1)", low=1)


def main(args):
    folder = runs.resolve(args.folder)
    results = measurements.read_results(folder / "results.csv")
    items = {score: measurements.read_items(folder / "items.csv", score) for score in measurements.SCORES}
    calibration = measurements.read_calibration(folder / "calibration.csv")
    curves = measurements.gather_curves(folder / "curves.csv", runs.resolve(args.outputs))

    starts = measurements.starts_of(results)
    tables = page_accuracy.measure(results, items, args.flips)
    drawn = []
    for name in pages.ACCURACIES:
        drawn += page_accuracy.draw(name, tables, starts, folder)
    drawn += page_rewards.draw(curves, results, items, folder, args.flips)
    drawn += page_calibration.draw(calibration, tables, folder)
    drawn += page_pass_at_k.draw(items, starts, folder, args.flips)
    print(f"{runs.shown(folder)}: drew {', '.join(drawn)}")


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
