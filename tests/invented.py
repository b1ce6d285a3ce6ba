"""The csv files of a study that nobody ran: every name of study.sh, so that each page and picture can be drawn."""

import csv
import itertools
import math
import random

from common import evaluation
from resources.report import measurements, page_teaching, scripts

SHAPES = {  # updates to half, accuracy at the end, fall, of each reward that goes on until its curve is flat
    "GRPO-1K-long": (38, 0.71, 0),
    "GRPO-1K-v2-long": (30, 0.7, 0),
    "GRPO-1K-v3-long": (27, 0.7, 0),
    "GRPO-1K-def-long": (14, 0.63, 0.12),
    "GRPO-Hybrid-long": (45, 0.66, 0),
    "GRPO-Linear-brief": (34, 0.72, 0),
    "GRPO-Intuitor-long": (400, 0.2, 0.2),
    "GRPO-DualHead-long": (60, 0.6, 0),
    "GRPO-Control-random-long": (900, 0.05, 0),
    "GRPO-Control-format-long": (700, 0.12, 0),
    "1K-answer-0.8": (24, 0.72, 0),
    "1K-half-rate": (12, 0.68, 0),
    "v3-half-rate": (13, 0.66, 0),
    "def-half-rate": (10, 0.67, 0),
    "def-no-near": (16, 0.69, 0.02),
    "def-no-penalties": (17, 0.66, 0.05),
    "def-no-number": (15, 0.64, 0.1),
    "def-no-graded": (20, 0.65, 0.08),
}
N = 60


def write(path, columns, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def tested(rng, script, seed, dataset, accuracy, ways=("greedy", "sampled"), base="tiny-base", n=N) -> list[dict]:
    rows = []
    for way in ways:
        samples = {"greedy": 1, "sampled": 5, "pass@k": 64}[way]
        rate = [min(1, max(0, rng.gauss(accuracy, 0.25))) for _ in range(n)]
        correct = [sum(rng.random() < p for _ in range(samples)) for p in rate]
        key = dict(zip(evaluation.KEY, (script, str(seed), base, dataset, "test", way)))
        facts = {"n": n, "accuracy": f"{sum(correct) / samples / n:.4f}", "format_rate": 0.98, "truncated_rate": 0.01}
        facts |= {"mean_tokens": 98.2, "samples": samples, "correct": " ".join(map(str, correct))}
        rows.append({**key, **facts, "judge": 8.1, "command": f"python test.py --dataset {dataset}"})
    return rows


def learned(rng, script, seed, updates, every, half, end, fall=0.0, base="tiny-base") -> list[dict]:
    """Rows of curves.csv: an S to its highest point and a fall from there."""
    half, end = half * rng.uniform(0.8, 1.25), end + rng.gauss(0, 0.03)
    rows = []
    for step in range(0, updates + 1, every):
        rise = 1 / (1 + math.exp(-(step - half) / (half / 5)))
        down = fall * max(0.0, step / updates - 0.3) / 0.7
        value = min(1, max(0, (end + fall) * rise - down + rng.gauss(0, 0.03)))
        shaped = 1 / (1 + math.exp(-(step - half / 2) / 3))
        facts = {"accuracy": f"{value:.4f}", "format": f"{shaped:.4f}", "reward": 1.0}
        rows.append({"script": script, "seed": seed, "base": base, "step": step, **facts})
    return rows


def calibrated(rng, script, seed, dataset, base="tiny-base") -> dict:
    key = dict(zip(evaluation.KEY, (script, str(seed), base, dataset, "test", "T 1")))
    means = (0.2, 0.4, 0.55, 0.65, 0.75, 0.85, 0.93, 0.97, 0.985, 0.995, 0.9997)
    count = [rng.randrange(3, 90) for _ in means]
    right = [round(c * min(1, max(0, m - rng.uniform(0, 0.4)))) for c, m in zip(count, means)]
    bins = {"bin_count": count, "bin_confidence": [c * m for c, m in zip(count, means)], "bin_correct": right}
    facts = {"n": 200, "samples": 5, "answered": 0.99, "accuracy": 0.6, "mean_confidence": 0.9, "ece": 0.21}
    facts |= {name: " ".join(f"{value:g}" for value in values) for name, values in bins.items()}
    return {**key, **facts, "auroc": f"{rng.uniform(0.5, 0.8):.4f}", "command": "python calibration.py"}


def starts_and_variants(rng, base) -> tuple[list[dict], list[dict]]:
    rows, curves = [], []
    for script, (half, end, fall) in SHAPES.items():
        for seed in range(1, 9 if script in scripts.VARIANTS else 6):
            curves += learned(rng, script, seed, 96, 4, half, end, fall, base)
            rows += tested(rng, script, seed, "linear", end, base=base)
    few = ["base", "SFT-brief", "SFT", *scripts.PICTURED["GRPO_reward"][3:-1], "GRPO-Intuitor", "GRPO-1K-def-from-SFT"]
    for i, script in enumerate(few):
        for seed in (0,) if script == "base" else (1, 2, 3):
            rows += tested(rng, script, seed, "linear", min(0.9, 0.02 + 0.07 * i), base=base)
            if script.startswith("GRPO"):
                curves += learned(rng, script, seed, 24, 4, 14, 0.6, base=base)
    return rows, curves


def others(rng, base) -> tuple[list[dict], list[dict]]:
    rows, curves = [], []
    out = [*scripts.PICTURED["Out-domain"], "GRPO-DualHead-long", "SFT-x", "GRPO-1K-def-x", "GRPO-Hybrid-x"]
    for script, dataset, seed in itertools.product(out, ("yes_no", "multiple_choice", "word_problem"), (1, 2, 3)):
        rows += tested(rng, script, 0 if script == "base" else seed, dataset, rng.uniform(0.7, 1), ("greedy",), base)
    for script, dataset in itertools.product(
        scripts.PICTURED["BFCL"], ("bfcl_single", "bfcl_multi", "bfcl_irrelevance")
    ):
        for seed in (1, 2, 3) if "BFCL" in script else (0,):
            rows += tested(rng, script, seed, dataset, rng.random(), base=base)
    for script, measure in itertools.product(scripts.PICTURED["ToolUse"], ("", ":tool", ":arguments", ":format")):
        for seed in (1, 2, 3) if script != "base" else (0,):
            rows += tested(rng, script, seed, f"tools{measure}", rng.random(), ("greedy",), base)
    for i, names in enumerate(scripts.CURVE_GROUPS.values()):
        for script, seed in itertools.product(names, (1, 2, 3)):
            if script not in SHAPES and i:
                curves += learned(rng, script, seed, 48, 4, 12, 0.7, base=base)
    for panel, seed in itertools.product(page_teaching.PANELS.values(), (1, 2, 3)):
        for script in itertools.chain(*panel):
            updates = 300 if script.startswith("teach") else 100
            curves += learned(rng, script, seed, updates, updates // 12, updates / 4, 0.7, base=base)
    return rows, curves


def taught(rng, base) -> list[dict]:
    rows = []
    for dataset, names in scripts.TAUGHT.items():
        for (i, script), seed in itertools.product(enumerate(["base", *names]), (1, 2, 3)):
            rows += tested(rng, script, seed, dataset, 0.2 + 0.15 * i, ("greedy", "sampled", "pass@k"), base)
    for script, dataset in itertools.product(scripts.PICTURED["Pass_at_k"], ("linear", "linear-harder")):
        if (script, dataset) != ("base", "linear-harder"):
            for seed in (1, 2, 3):
                rows += tested(rng, script, seed, dataset, rng.random() / 2, ("pass@k",), base)
    return rows


def study(folder, bases=("tiny-base",)):
    """results.csv, items.csv, curves.csv and calibration.csv with every name of study.sh."""
    rng, rows, curves, calibration = random.Random(0), [], [], []
    for base in bases:
        for more, lines in (starts_and_variants(rng, base), others(rng, base), (taught(rng, base), [])):
            rows, curves = rows + more, curves + lines
        names = ["base", "SFT-x", "GRPO-1K-def-x", "GRPO-Hybrid-x", "GRPO-Intuitor-x", "GRPO-DualHead-x"]
        known = [("linear_x", script) for script in names] + [("linear", "SFT"), ("linear", "GRPO-1K-def-from-SFT")]
        calibration += [calibrated(rng, script, seed, dataset, base) for dataset, script in known for seed in (1, 2, 3)]
    folder.mkdir(exist_ok=True)
    rows = list({tuple(row[name] for name in evaluation.KEY): row for row in rows}.values())
    write(folder / "results.csv", evaluation.COLUMNS, rows)
    write(folder / "items.csv", evaluation.ITEM_COLUMNS, rows)
    write(folder / "curves.csv", [*measurements.RUN_COLUMNS, "step", *measurements.CURVE_COLUMNS], curves)
    write(folder / "calibration.csv", evaluation.CALIBRATION_COLUMNS, calibration)
    return folder
