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
    every: int = setting(10, "updates between two held-out accuracies; 8 times as many of TRL's own", tiny=2, low=1)
    heldout_rows: int = setting(200, "validation problems", low=1)
    tokens: int = setting(1536, "tokens of a held-out completion, as in training", tiny=144)
    slack: float = setting(2.0, "points below what both reach in the end", low=0)


def train(setup: dict, updates: int, seconds: float = float("inf")) -> list[dict]:
    """step, seconds so far and accuracy of a run, until the updates are done or the seconds are over."""
    peer = Peer(setup)
    curve = [{"step": 0, "seconds": 0.0, "accuracy": peer.ready["accuracy"]}]
    while curve[-1]["step"] < updates and curve[-1]["seconds"] < seconds:
        update = peer.update()
        curve.append({"step": update["step"], "seconds": update["sum"], "accuracy": update["accuracy"]})
    peer.end()
    return [point for point in curve if point["accuracy"] is not None]


def curves_of(seed: int, base: str, folder: str, args) -> dict[str, list[dict]]:
    """The three runs of a seed."""
    import torch

    setup = {"script": str(runs.resolve(args.script)), "recipe": True, "heldout": args.every, "plain": None}
    setup |= {"heldout_rows": args.heldout_rows, "tokens": args.tokens, "dataset": args.dataset}
    words = ["--profile", args.profile, "--base", base, "--dataset", args.dataset, "--seed", str(seed)]
    words += ["--output", f"{folder}/out", "--max_steps"]
    recipe = [*words, str(args.updates)]
    # Peer measures held-out accuracy itself, and nothing is saved.
    ours = [*recipe, "--save_strategy", "no", "--heldout_every", str(10**6), "--heldout_rows", "1"]
    precision = {} if torch.cuda.is_available() else {"bf16": False}
    curves = {"ours": train(setup | {"words": ours}, args.updates)}
    plain = setup | {"plain": precision}
    curves["TRL"] = train(plain | {"words": recipe}, args.updates)
    own = plain | {"recipe": False, "words": [*words, str(10**4)], "heldout": 8 * args.every}
    curves["TRL, its hyperparameters"] = train(own, 10**4, seconds=curves["TRL"][-1]["seconds"])
    return curves


def main(args):
    base = runs.require_base(args.base, "python SFT/SFT_train.py")
    seeds = []
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as folder:
            curves = curves_of(seed, base, folder, args)
        best = [max(point["accuracy"] for point in curves[name]) for name in ("ours", "TRL")]
        accuracy = min(best) - args.slack / 100
        seconds = {}
        print(f"seed {seed}: seconds until {accuracy:.1%}")
        for name, curve in curves.items():
            reached = [point["seconds"] for point in curve if point["accuracy"] >= accuracy]
            seconds[name] = reached[0] if reached else None
            last = curve[-1]
            missed = f"not within {last['seconds']:.1f} ({last['accuracy']:.1%})"
            print(f"  {name}: {f'{reached[0]:.1f}' if reached else missed}")
        seeds.append({"seed": seed, "accuracy": accuracy, "seconds": seconds, "curves": curves})
    ratio = statistics.median(row["seconds"]["TRL"] / row["seconds"]["ours"] for row in seeds)
    print(f"TRL / ours: {ratio:.2f}, median of {len(seeds)} seeds")
    facts = {"command": runs.command_line(), "commit": runs.commit(), "machine": machine(), "ratio": ratio}
    RESULTS.parent.mkdir(exist_ok=True)
    runs.write_json(RESULTS, {**facts, "heldout_rows": args.heldout_rows, "seeds": seeds})


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
