"""Seconds of training until the same held-out accuracy: ours, TRL with our recipe, TRL with its own hyperparameters.

All start from one SFT checkpoint, on the same problems and rewards; held-out accuracy is greedy, on the same validation
problems, by the same function, and is not part of the seconds, nor are the start and the saving of a run. One trains
after the other, each in a process of its own; on one CPU thread seconds are those of the processor. The accuracy asked
for, for each seed: what ours and TRL with our recipe both reach, less --slack points, so that one problem more or less
does not decide. TRL's own hyperparameters train for as long as TRL with our recipe did in all, and may not reach it.

ratio = median over the seeds of (seconds of the other / seconds of ours)

Input: outputs/data/<dataset>/, outputs/SFT/. Output: benchmarks/results/time_to_accuracy.json.
Command: python benchmarks/time_to_accuracy.py
"""

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from certainty import machine
from peer import Peer

from common import runs, settings
from common.settings import setting

RESULTS = runs.ROOT / "benchmarks" / "results" / "time_to_accuracy.json"


@dataclass
class Args(settings.ProfileArgs):
    script: str = setting(
        "GRPO_indomain/GRPO-1K-def.py", "whose recipe is trained; its rewards must not need the policy"
    )
    base: str = setting("outputs/SFT", "checkpoint to start from: a folder or a hub name")
    dataset: str = setting("dapo", "folder of outputs/data/, or a path", tiny="linear")
    seeds: list[int] = setting([1, 2, 3], "one run of each for every seed")
    updates: int = setting(100, "updates of the recipe", tiny=16, low=2)
    every: int = setting(10, "updates between two held-out accuracies", tiny=2, low=1)
    heldout_rows: int = setting(200, "validation problems", low=1)
    tokens: int = setting(1536, "tokens of a held-out completion, as in training", tiny=144)
    slack: float = setting(2.0, "points below what both reach in the end", low=0)


def train(setup: dict, updates: int, seconds: float) -> list[dict]:
    """step, seconds so far and accuracy of a run, until the updates are done or the seconds are over."""
    peer, curve = Peer(setup), []
    curve.append({"step": 0, "seconds": 0.0, "accuracy": peer.ready["accuracy"]})
    while curve[-1]["step"] < updates and curve[-1]["seconds"] < seconds:
        told = peer.update()
        curve.append({"step": told["step"], "seconds": told["sum"], "accuracy": told["accuracy"]})
    peer.end()
    return [point for point in curve if point["accuracy"] is not None]


def reached(curve: list[dict], accuracy: float) -> float | None:
    """The first seconds with at least that accuracy."""
    return next((point["seconds"] for point in curve if point["accuracy"] >= accuracy), None)


def main(args):
    import torch

    base, made = runs.require_base(args.base, "python SFT/SFT_train.py"), []
    precision = {} if torch.cuda.is_available() else {"bf16": False}
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as folder:
            common = {"script": str(runs.resolve(args.script)), "recipe": True, "heldout": args.every}
            common |= {"heldout_rows": args.heldout_rows, "tokens": args.tokens, "dataset": args.dataset}
            words = ["--profile", args.profile, "--base", base, "--dataset", args.dataset, "--seed", str(seed)]
            words += ["--output", f"{folder}/out", "--max_steps"]
            alone = ["--save_strategy", "no", "--heldout_every", str(10**6), "--heldout_rows", "1"]
            recipe = [*words, str(args.updates)]
            curves = {"ours": train({**common, "plain": None, "words": [*recipe, *alone]}, args.updates, 1e9)}
            curves["TRL"] = train({**common, "plain": precision, "words": recipe}, args.updates, 1e9)
            longest, many = curves["TRL"][-1]["seconds"], str(10**4)
            own = {**common, "recipe": False, "plain": precision, "words": [*words, many]}
            curves["TRL, its hyperparameters"] = train(own, 10**4, longest)
        wanted = min(max(point["accuracy"] for point in curves[name]) for name in ("ours", "TRL")) - args.slack / 100
        times = {name: reached(curve, wanted) for name, curve in curves.items()}
        made.append({"seed": seed, "accuracy": wanted, "seconds": times, "curves": curves})
        print(f"seed {seed}: {wanted:.1%} after " + ", ".join(
            f"{name} {seconds:.1f} s" if seconds is not None else
            f"{name} not within {curves[name][-1]['seconds']:.1f} s ({curves[name][-1]['accuracy']:.1%})"
            for name, seconds in times.items()
        ))  # fmt: skip
    ratio = statistics.median(row["seconds"]["TRL"] / row["seconds"]["ours"] for row in made)
    print(f"TRL / ours: {ratio:.2f}, median of {len(made)} seeds")
    facts = {"command": runs.command_line(), "commit": runs.commit(), "machine": machine(), "ratio": ratio}
    RESULTS.parent.mkdir(exist_ok=True)
    runs.write_json(RESULTS, {**facts, "heldout_rows": args.heldout_rows, "seeds": made})


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
