"""One GRPO update, ours against plain TRL: time of its parts, peak memory, and how time grows with the setting.

ratio = median over the pairs of (seconds of TRL's update / seconds of ours)
    ours: the real script, through its command line
    TRL: TRL's trainer with the script's recipe: the same base, problems, rewards, batch, lengths and learning rate, and
    TRL's defaults for all else; in float32 on a CPU, as ours, and as TRL's default has it, in bfloat16
Each trains in a process of its own. On a CPU they take turns, one update each, so that other work on the machine meets
all of them; a GPU may not hold two, so there each makes its updates alone, one after the other. The first update of
each is not counted. On one CPU thread seconds are those of the processor, which other programs do not lengthen.
Completions differ between the variants; their mean length is printed.

--curves: the same with random weights and a random reward, over group size, length and width of the model; slope =
that of log(seconds) over log(setting), by least squares.

Input: outputs/data/<dataset>/, outputs/SFT/. Output: benchmarks/results/step.json, step_curves.json.
Command: python benchmarks/step.py
"""

import math
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from certainty import machine
from peer import Peer

from common import models, runs, settings
from common.settings import setting

RESULTS = runs.ROOT / "benchmarks" / "results" / "step.json"
PARTS = ("generation", "log-probs", "backward", "rewards", "rest")
CURVES = {  # setting: values on a CPU
    "num_generations": (4, 8, 16),
    "max_completion_length": (48, 96, 192),
    "hidden_size": (80, 160, 320),
}


@dataclass
class Args(settings.ProfileArgs):
    script: str = setting("GRPO_indomain/GRPO-1K-def.py", "whose update is timed; its rewards must not need the policy")
    base: str = setting("outputs/SFT", "checkpoint to start from: a folder or a hub name")
    dataset: str = setting("dapo", "folder of outputs/data/, or a path", tiny="linear")
    pairs: int = setting(5, "updates of each that are counted", low=1)
    default_precision: bool = setting(True, "on a CPU also TRL in bfloat16, its default")
    curves: bool = setting(False, "also over group size, completion length and width of the model; half an hour")


def setups(args, base: str, folder: str, script: str, updates: int, more: list) -> dict[str, dict]:
    """What Peer needs for each variant."""
    import torch

    words = ["--profile", args.profile, "--base", base, "--dataset", args.dataset, "--max_steps", updates, *more]
    common = {"script": str(runs.resolve(script)), "recipe": True}
    alone = ["--save_strategy", "no", "--heldout_every", 10**6, "--heldout_rows", 1, "--patience", 0]
    cuda, found = torch.cuda.is_available(), {}
    found["ours"] = {"plain": None, "words": [*words, *alone]}
    found["TRL" if cuda else "TRL, float32"] = {"plain": {} if cuda else {"bf16": False}, "words": words}
    if args.default_precision and not cuda:
        found["TRL, bfloat16"] = {"plain": {}, "words": words}
    for name, setup in found.items():
        setup |= common
        setup["words"] = [*map(str, setup["words"]), "--output", f"{folder}/{name.replace(', ', '-')}"]
    return found


def compare(variants: dict[str, dict], pairs: int) -> dict:
    """Seconds and parts of the updates of each variant, and the ratios to ours."""
    import torch

    found = {name: [] for name in variants}
    if torch.cuda.is_available():
        for name, setup in variants.items():
            peer = Peer(setup)
            found[name] = [peer.update() for _ in range(pairs + 1)][1:]
            peer.end()
    else:
        peers = {name: Peer(setup) for name, setup in variants.items()}
        for turn in range(pairs + 1):
            for name, peer in peers.items():
                told = peer.update()
                found[name] += [told] * (turn > 0)
        for peer in peers.values():
            peer.end()

    def middle(name, value):
        return statistics.median(map(value, found[name]))

    made = {}
    for name, updates in found.items():
        ratios = [other["seconds"] / ours["seconds"] for other, ours in zip(updates, found["ours"])]
        made[name] = {
            "seconds": middle(name, lambda told: told["seconds"]),
            "ratio": statistics.median(ratios),
            "ratio_low_high": [min(ratios), max(ratios)],
            "parts": {part: middle(name, lambda told, part=part: told["parts"].get(part, 0.0)) for part in PARTS},
            "tokens": statistics.fmean(told["tokens"] for told in updates),
            "no_signal": statistics.fmean(told["no_signal"] for told in updates),
            "peak_memory_gib": updates[-1]["peak_memory_gib"],
            "updates": updates,
        }
    return made


def show(made: dict) -> None:
    print(f"{'':16} {'seconds':>8} {'ratio':>22} " + " ".join(f"{part:>10}" for part in PARTS) + "  tokens  GiB")
    for name, figures in made.items():
        low, high = figures["ratio_low_high"]
        parts = " ".join(f"{figures['parts'][part]:10.2f}" for part in PARTS)
        ratio = f"{figures['ratio']:.2f} ({low:.2f} to {high:.2f})"
        print(
            f"{name:16} {figures['seconds']:8.2f} {ratio:>22} {parts} {figures['tokens']:7.1f} "
            f"{figures['peak_memory_gib']:4.2f}"
        )


def random_base(folder: Path, hidden_size: int) -> str:
    """The embedded base's architecture with random weights, of another width with as many layers and wider heads."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tiny = runs.ROOT / "resources" / "tiny-base"
    config = AutoConfig.from_pretrained(tiny)
    factor = hidden_size / config.hidden_size
    config.hidden_size, config.intermediate_size = hidden_size, int(config.intermediate_size * factor)
    config.num_attention_heads = max(1, round(config.num_attention_heads * factor))
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    models.load_tokenizer(str(tiny), "thesis")[0].save_pretrained(folder)
    return str(folder)


def slope(points: list[tuple[float, float]]) -> float:
    """Of log y over log x, by least squares."""
    xs, ys = ([math.log(value) for value in column] for column in zip(*points))
    x, y = statistics.fmean(xs), statistics.fmean(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)


def curves(args) -> dict:
    """Seconds of an update over each setting, the others at the script's values; every group has a signal."""
    from transformers import AutoModelForCausalLM

    made = {}
    for name, values in CURVES.items():
        points = []
        for value in values:
            with tempfile.TemporaryDirectory() as folder:
                base = random_base(Path(folder) / "base", value if name == "hidden_size" else 160)
                more = ["--tags", "thesis"]
                more += {
                    "num_generations": ["--num_generations", value, "--per_device_train_batch_size", 8 * value],
                    "max_completion_length": ["--max_completion_length", value],
                    "hidden_size": [],
                }[name]
                variants = setups(args, base, folder, "GRPO_indomain/GRPO-Control.py", 3, more)
                variants.pop("TRL, bfloat16", None)
                found = compare(variants, 2)
                size = AutoModelForCausalLM.from_pretrained(base).num_parameters()
            x = size if name == "hidden_size" else value
            points.append({"x": x, **{who: {k: v for k, v in f.items() if k != "updates"} for who, f in found.items()}})
            print(f"{name} {value}: " + ", ".join(f"{who} {f['seconds']:.2f} s" for who, f in found.items()))
        slopes = {who: slope([(p["x"], p[who]["seconds"]) for p in points]) for who in found}
        print(f"{name}: slope " + ", ".join(f"{who} {value:.2f}" for who, value in slopes.items()))
        made[name] = {"points": points, "slope": slopes}
    return made


def main(args):
    base = runs.require_base(args.base, "python SFT/SFT_train.py")
    with tempfile.TemporaryDirectory() as folder:
        made = compare(setups(args, base, folder, args.script, args.pairs + 1, []), args.pairs)
    show(made)
    facts = {"command": runs.command_line(), "commit": runs.commit(), "machine": machine(), "script": args.script}
    RESULTS.parent.mkdir(exist_ok=True)
    runs.write_json(RESULTS, facts | {"pairs": args.pairs, "update": made})
    if args.curves:
        runs.write_json(RESULTS.with_name("step_curves.json"), facts | {"curves": curves(args)})


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
