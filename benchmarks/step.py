"""One GRPO update, ours against plain TRL: time of its parts and peak memory.

ratio = median over the pairs of (seconds of TRL's update / seconds of ours)
    ours: the real script, through its command line
    TRL: TRL's trainer with the script's recipe: the same base, problems, rewards, batch, lengths and learning rate, and
    TRL's defaults for all else, but in float32 on a CPU, as ours
Each trains in a process of its own. On a CPU they take turns, one update each, so that other work on the machine meets
both; a GPU may not hold two, so there each makes its updates alone. The first update of each is not counted.

Input: outputs/data/<dataset>/, outputs/SFT/. Output: benchmarks/results/step.json.
Command: python benchmarks/step.py
"""

import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import torch
from machine import facts, ratio
from peer import Peer

from common import runs, settings
from common.settings import setting

RESULTS = runs.ROOT / "benchmarks" / "results" / "step.json"
PARTS = ("generation", "log-probs", "backward", "rewards", "rest")
ALONE = "--save_strategy no --heldout_every 1000000 --heldout_rows 1 --patience 0"  # what TRL alone does not do either


@dataclass
class Args(settings.ProfileArgs):
    script: str = setting("GRPO_indomain/GRPO-1K-def.py", "whose update is timed; its rewards must not need the policy")
    base: str = setting("outputs/SFT", "checkpoint to start from: a folder or a hub name")
    dataset: str = setting("dapo", "folder of outputs/data/, or a path", tiny="linear_sum")
    pairs: int = setting(5, "updates of each that are counted", low=1)


def updates_of(args, base: str, folder: str) -> dict[str, list[dict]]:
    """What Peer.update() says of the updates of each variant."""
    words = ["--profile", args.profile, "--base", base, "--dataset", args.dataset]
    words += ["--max_steps", str(args.pairs + 1), "--output", f"{folder}/out"]
    script = str(runs.resolve(args.script))
    cuda = torch.cuda.is_available()
    variants = {"ours": (script, [*words, *ALONE.split()], None), "TRL": (script, words, {"bf16": cuda})}
    batches = [[name] for name in variants] if cuda else [list(variants)]
    updates = {name: [] for name in variants}
    for names in batches:
        peers = {name: Peer(*variants[name]) for name in names}
        for turn in range(args.pairs + 1):
            for name, peer in peers.items():
                update = peer.update()
                if turn > 0:
                    updates[name].append(update)
        for peer in peers.values():
            peer.process.kill()
            peer.process.communicate()
    return updates


def figures_of(updates: list[dict], ours: list[dict]) -> dict:
    """Medians over the updates of a variant, and its ratio to ours."""
    parts = {}
    for part in PARTS:
        parts[part] = statistics.median(update["parts"].get(part, 0.0) for update in updates)
    seconds = [update["seconds"] for update in updates]
    return {
        "seconds": statistics.median(seconds),
        "ratio": ratio(seconds, [update["seconds"] for update in ours]),
        "parts": parts,
        "tokens": statistics.fmean(update["tokens"] for update in updates),
        "peak_memory_gib": updates[-1]["peak_memory_gib"],
    }


def main(args):
    base = runs.require_base(args.base, "python SFT/SFT_train.py")
    with tempfile.TemporaryDirectory() as folder:
        updates = updates_of(args, base, folder)
    figures = {}
    for name, rows in updates.items():
        figures[name] = figures_of(rows, updates["ours"])
        print(f"{name}: {json.dumps(figures[name])}")
    origin = {"command": runs.command_line(), "commit": runs.commit(), "machine": facts(), "script": args.script}
    runs.write_json(RESULTS, origin | {"pairs": args.pairs, "update": figures})


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
