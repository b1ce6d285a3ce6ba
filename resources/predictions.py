"""What rewards.py says from the samples of a start, beside what training from that start then did.

--starts writes predictions.csv from checkpoints, each in a folder seed<n>, before anything is trained. --runs writes
outcomes.csv from the runs seed<n>/<name>/ of a folder. Without either, a table and a picture compare the two files.

Command: python resources/predictions.py --starts outputs/seed1/SFT-start outputs/seed2/SFT-start
Command: python resources/predictions.py --runs outputs
Command: python resources/predictions.py
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import rewards
from common import runs, settings
from common.settings import setting
from workbench import completions, loading

HERE = Path(__file__).parent
SCRIPTS = {  # name of a run: its script and --reward
    "GRPO-1K": ("GRPO_indomain/GRPO-1K.py", ""),
    "GRPO-1K-v2": ("GRPO_indomain/GRPO-1K-v2.py", ""),
    "GRPO-1K-v3": ("GRPO_indomain/GRPO-1K-v3.py", ""),
    "GRPO-1K-def": ("GRPO_indomain/GRPO-1K-def.py", ""),
    "GRPO-Linear": ("GRPO_indomain/GRPO-Linear.py", ""),
    "GRPO-Hybrid": ("GRPO_outdomain/GRPO-Hybrid.py", ""),
    "GRPO-Intuitor": ("GRPO_outdomain/GRPO-Intuitor.py", "intuitor"),
    "GRPO-DualHead": ("GRPO_outdomain/GRPO-DualHead.py", ""),
    "GRPO-Control-format": ("GRPO_indomain/GRPO-Control.py", "format"),
    "GRPO-Control-random": ("GRPO_indomain/GRPO-Control.py", "random"),
}
FIRST = 4  # updates whose rollouts are still those of the start


@dataclass
class Args(settings.ProfileArgs):
    starts: list[str] = setting([], "checkpoints to sample from, each in a folder seed<n>")
    dataset: str = setting("linear_sum", "data set that the runs train on")
    runs: str = setting("", "folder with the runs, seed<n>/<name>/")


def seed_of(path: str | Path) -> int:
    found = re.search(r"seed(\d+)", str(path))
    if not found:
        runs.fail(f"{path} is in no folder seed<n>, as those of make study are")
    return int(found[1])


class Policy(completions.Policy):
    """Measures the confidence in the same completions once for all rewards."""

    def __init__(self, args):
        super().__init__(args)
        self.known = {}

    def columns(self, texts, conversations, tag_set):
        key = tuple(texts)
        if key not in self.known:
            self.known[key] = super().columns(texts, conversations, tag_set)
        return self.known[key]


def predict(args) -> list[dict]:
    """A row for each reward and start."""
    rows, policies, files = [], {}, {}
    seeds = {start: seed_of(start) for start in args.starts}
    for start in args.starts:
        words = ["--profile", "tiny", "--checkpoint", start, "--dataset", args.dataset]
        policies[start] = Policy(settings.parse(rewards.Args, "", argv=words))
        files[start] = policies[start].sample()
    for name, (script, choice) in SCRIPTS.items():
        process = loading.Rewards(runs.resolve(script), choice, 60.0)
        for start, policy in policies.items():
            figures = rewards.figures_of(files[start], policy.args, process, policy)
            rows.append({"run": name, "seed": seeds[start]} | row_of(figures))
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


def compare() -> pd.DataFrame:
    """A row for each reward: what is said and what was seen, as means over the seeds; NaN where none has trained."""
    said, seen = pd.read_csv(HERE / "predictions.csv"), pd.read_csv(HERE / "outcomes.csv")
    both = said.merge(seen, on=["run", "seed"], how="left", suffixes=("", "_seen"))
    follows = (both.answer_low > 0).astype(int) - (both.answer_high < 0)
    both["follows"] = follows.where(both.no_signal < 0.9, 0)  # hardly any signal: nothing is said to be learned
    both["push"] = (1 - both.no_signal) * both.answer.fillna(0)
    both["gain"] = both.flexible_end - both.flexible_start
    by_run = both.groupby("run", sort=False)
    table = by_run.mean(numeric_only=True)
    table["seeds"] = by_run.gain.count()
    table["largest"] = by_run.largest.first()
    table["gains"] = [part.gain.dropna().to_numpy() for _, part in by_run]
    table["said"] = [direction(part.follows, 0) for _, part in by_run]
    table["seen"] = [direction(part.gain.dropna(), 0.05) for _, part in by_run]
    return table


def direction(values: pd.Series, least: float) -> str:
    """rises or falls, where the mean is at least so far from 0 and four of five seeds agree; else neither."""
    for sign, word in ((1, "rises"), (-1, "falls")):
        if sign * values.mean() > least and (sign * values > 0).mean() >= 0.8:
            return word
    return "neither"


def markdown(table: pd.DataFrame) -> str:
    from resources.report import pages

    rows = []
    for run, row in table.iterrows():
        seen = "not trained yet"
        if row.seeds:
            hit = "" if row.said == row.seen else "; **a miss**"
            accuracy = f"{100 * row.flexible_start:.0f} to {100 * row.flexible_end:.0f} %"
            seen = f"{row.seen}, {accuracy}{hit}"
            if row.seeds < table.seeds.max():
                seen += f" ({row.seeds} seeds)"
        cells = {"reward": run, "most of the signal": f"{row.largest} {100 * row.largest_fraction:.0f} %"}
        cells |= {"no signal": f"{100 * row.no_signal:.0f} %", "follows the answer": f"{row.answer:+.2f}"}
        rows.append(cells | {"accuracy: said": row.said, "seen": seen})
    return pages.markdown_table(rows)


def draw(table: pd.DataFrame) -> None:
    """Left what is said, right what is seen: the mean and each seed."""
    from resources.report import plots

    table = table[table.seeds > 0][::-1]
    names = [name.removeprefix("GRPO-") for name in table.index]
    figure, (left, right) = plots.grid(2, 2, 3.6, sharey=True)
    left.barh(names, table.push, color=plots.PALETTE[0])
    left.set(title="said", xlabel="correlation of the signal with the answer")
    right.barh(names, 100 * table.gain, color=plots.PALETTE[2], alpha=0.6)
    for name, gains in zip(names, table.gains):
        right.plot(100 * gains, [name] * len(gains), "k|", ms=9)
    right.set(title="seen", xlabel="gain in held-out accuracy, points")
    for axis in (left, right):
        axis.axvline(0, color="k", lw=0.8)
        axis.grid(axis="x", alpha=0.3)
    seeds = f"{table.seeds.min()} to {table.seeds.max()} seeds"
    plots.note(figure, f"x + y, means over {seeds} (right, ticks). Groups without signal count 0 on the left.")
    plots.save(figure, HERE / "Predictions.png")


def main(args):
    if args.starts:
        pd.DataFrame(predict(args)).to_csv(HERE / "predictions.csv", index=False, float_format="%.4f")
        print("wrote resources/predictions.csv")
    if args.runs:
        rows = outcomes(args)
        if not rows:
            runs.fail(f"no training of a reward is in {args.runs}/seed<n>/; first: make study")
        pd.DataFrame(rows).to_csv(HERE / "outcomes.csv", index=False, float_format="%.4f")
        print("wrote resources/outcomes.csv")
    if not args.starts and not args.runs:
        table = compare()
        draw(table)
        print(markdown(table))
        ranks = table[table.seeds > 0][["push", "gain"]].rank().corr().iloc[0, 1]
        print(f"\nrank correlation of said and gained: {ranks:+.2f} over the rewards that have trained")


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
