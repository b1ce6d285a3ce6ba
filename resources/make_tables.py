"""Draw every page and picture of a folder from the csv files in it; no measured figure is typed in by hand.

The learning curves of finished runs in outputs/ are first gathered into curves.csv, so that the pictures can be drawn
again, byte for byte, without outputs/. A page without rows is left out, and said so.

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
from resources.report import lead, measurements, pages, real


@dataclass
class Args(settings.ProfileArgs):
    dataset: str = setting("dapo", "data set of GRPO_reward and pass_at_k", tiny="linear_sum")
    base: str = setting("", "name of the base, as in results.csv [the one with most tests on the data set]")
    real: str = setting("", "name of the pretrained base of the page Real [the one with most tests on gsm8k]")
    decoding: str = setting("greedy", "completions that are scored", choices=("greedy", "sampled"))
    folder: str = setting("resources", "folder of the csv files, for tables and pictures too")
    outputs: str = setting("outputs", "folder of the finished runs, for their learning curves")
    resamples: int = setting(10_000, "samples of a bootstrap", low=1)


def main(args):
    folder = runs.resolve(args.folder)
    measured = measurements.read_measurements(folder)
    curves = measurements.gather_curves(folder / "curves.csv", runs.resolve(args.outputs))
    base = args.base or measurements.base_of(measured, args.dataset)
    calibration = measurements.read_calibration(folder / "calibration.csv", base)

    real_base = args.real or measurements.base_of(measured, "gsm8k")

    def test_on(dataset, decoding=args.decoding):
        return measurements.select(measured, base, dataset, decoding)

    drawn = {"GRPO_reward": lead.draw(test_on(args.dataset), base, curves, folder, args.resamples)}
    for page, sets in pages.SETS.items():
        drawn[page] = pages.draw_accuracies(page, [*map(test_on, sets)], folder, args.resamples)
    starts = {dataset: test_on(dataset).starts() for dataset in calibration}
    drawn["Calibration"] = pages.draw_calibration(calibration, starts, folder, args.resamples)
    drawn["pass_at_k"] = pages.draw_passes(test_on(args.dataset, "pass@k"), base, folder, args.resamples)

    real_test = measurements.select(measured, real_base, "gsm8k", args.decoding)
    drawn["Real"] = real.draw(real_test, real_base, folder, args.resamples)

    files = sum(drawn.values(), [])
    missing = [name for name, names in drawn.items() if not names]
    print(f"{runs.shown(folder)}, {base}: drew {', '.join(files) or 'nothing'}")
    if missing:
        print(f"no rows for {', '.join(missing)} with {args.decoding} completions (lead data set: {args.dataset})")


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
