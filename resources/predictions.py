"""What rewards.py says from the samples of a start, beside what training from that start then did.

--starts writes predictions.csv from checkpoints, each in a folder seed<n>, before anything is trained. --runs writes
outcomes.csv from the runs seed<n>/<name>/ of a folder. Without either, a table and a picture compare the two files.

Command: python resources/predictions.py --starts outputs/seed1/SFT outputs/seed2/SFT
Command: python resources/predictions.py --runs outputs
Command: python resources/predictions.py
"""

import dataclasses
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import rewards
from common import runs, settings
from common.settings import setting
from workbench import child, completions

HERE = Path(__file__).parent
SCRIPTS = {  # name of a run: its script and --reward
    "1K": ("GRPO_indomain/GRPO-1K.py", ""),
    "v2": ("GRPO_indomain/GRPO-1K-v2.py", ""),
    "v3": ("GRPO_indomain/GRPO-1K-v3.py", ""),
    "def": ("GRPO_indomain/GRPO-1K-def.py", ""),
    "Linear": ("GRPO_indomain/GRPO-Linear.py", ""),
    "Hybrid": ("GRPO_outdomain/GRPO-Hybrid.py", ""),
    "Intuitor": ("GRPO_outdomain/GRPO-Intuitor.py", "intuitor"),
    "DualHead": ("GRPO_outdomain/GRPO-DualHead.py", ""),
    "format": ("GRPO_indomain/GRPO-Control.py", "format"),
    "random": ("GRPO_indomain/GRPO-Control.py", "random"),
}
FIRST = 4  # updates whose rollouts are still those of the start


@dataclass
class Args(settings.ProfileArgs):
    starts: list[str] = setting([], "checkpoints to sample from, each in a folder seed<n>")
    dataset: str = setting("linear_sum", "data set that the runs train on")
    problems: int = setting(64, "problems to sample, eight completions of each", low=1)
    runs: str = setting("", "folder with the runs, seed<n>/<name>/")


def seed_of(path: str | Path) -> int:
    return int(re.search(r"seed(\d+)", str(path))[1])


def predict(args) -> list[dict]:
    """A row for each reward and start."""
    policies = {}
    for start in args.starts:
        own = rewards.Args(profile=args.profile, checkpoint=start, dataset=args.dataset, problems=args.problems)
        policies[start] = completions.Policy(dataclasses.replace(own, max_new_tokens=144, batch_size=256))
    files = {start: policy.sample() for start, policy in policies.items()}
    rows = []
    for name, (script, choice) in SCRIPTS.items():
        process = child.Rewards(runs.resolve(script), choice, 30.0)
        for start, policy in policies.items():
            figures = rewards.figures_of(files[start], policy.args, process, policy)
            rows.append({"run": name, "seed": seed_of(start)} | row_of(figures))
        process.end()
    return rows


def row_of(figures) -> dict:
    """What is predicted: the first updates, and by `answer` and `length` where training goes."""
    row = {
        "completions": len(figures.total),
        "correct": figures.correct.mean(),
        "reward": figures.total.mean(),
        "no_signal": 1 - figures.moving / figures.count,
        "inverted": figures.pairs.below.mean(),
        "largest": figures.signal.value.idxmax() if figures.moving else "",
        "largest_fraction": figures.signal.value.max(),
    }
    for name in ("answer", "length"):
        one = figures.correlations.reindex([name]).iloc[0]
        row |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    return row


def outcomes(args) -> list[dict]:
    """A row for each finished run: its first updates, and held-out figures of its start and its end."""
    rows = []
    for name in SCRIPTS:
        for path in sorted(Path(args.runs).glob(f"seed*/{name}/metrics.jsonl")):
            log = pd.DataFrame(runs.read_jsonl(path))
            first = log[log.step.between(1, FIRST)]
            heldout = log.dropna(subset="heldout_flexible")
            row = {"run": name, "seed": seed_of(path), "updates": log.step.max(), "reward": first.reward.mean()}
            row["no_signal"] = first.frac_reward_zero_std.mean()
            for figure in ("flexible", "accuracy", "format_rate", "mean_tokens"):
                values = heldout[f"heldout_{figure}"]
                row |= {f"{figure}_start": values.iloc[0], f"{figure}_end": values.iloc[-1]}
            rows.append(row)
    return rows


def main(args):
    if args.starts:
        pd.DataFrame(predict(args)).to_csv(HERE / "predictions.csv", index=False, float_format="%.4f")
        print("wrote resources/predictions.csv")
    if args.runs:
        pd.DataFrame(outcomes(args)).to_csv(HERE / "outcomes.csv", index=False, float_format="%.4f")
        print("wrote resources/outcomes.csv")


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
