"""The csv files of a study that nobody ran: every name of the pages, so that each page and picture can be drawn."""

import csv
import itertools
import math
import random

from conftest import load_script

from common import evaluation
from resources.report import measurements, page_calibration, pages

COLUMNS = list(dict.fromkeys([*evaluation.COLUMNS, "start"]))
STARTS = {"base": "", "GRPO-1K-def-from-SFT": "SFT", "ladder-2": "ladder-1", "ladder-3": "ladder-2"}
N = 60


def write(path, columns, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def start_of(script, base) -> str:
    """A base starts from nothing, GRPO from SFT-brief, all others from the base."""
    return STARTS.get(script, "SFT-brief" if script.startswith("GRPO") else base)


def tested(rng, script, seed, dataset, accuracy, ways=("greedy", "sampled"), base="tiny-base") -> list[dict]:
    rows = []
    for way in ways:
        samples = {"greedy": 1, "sampled": 5, "pass@k": 64}[way]
        rates = [min(1, max(0, rng.gauss(accuracy, 0.25))) for _ in range(N)]
        correct = [sum(rng.random() < rate for _ in range(samples)) for rate in rates]
        flexible = [rng.randint(count, samples) for count in correct]
        row = dict(zip(evaluation.KEY, (script, str(seed), base, dataset, "test", way)))
        row |= {"n": N, "accuracy": f"{sum(correct) / samples / N:.4f}", "format_rate": 0.98, "truncated_rate": 0.01}
        row |= {"mean_tokens": 98.2, "samples": samples, "correct": " ".join(map(str, correct))}
        if not dataset.startswith(("bfcl", "tools")):
            low, high = evaluation.wilson(sum(flexible) / samples / N, N)
            row |= {"flexible": f"{sum(flexible) / samples / N:.4f}", "flexible_low": low, "flexible_high": high}
            row["flexible counts"] = " ".join(map(str, flexible))
        row |= {"start": start_of(script, base), "command": f"python test.py --dataset {dataset}"}
        rows.append(row)
    return rows


def learned(rng, script, seed, half, end, base="tiny-base") -> list[dict]:
    """Rows of curves.csv: 96 updates, an S that reaches half of its end at `half`."""
    rows = []
    half = half * rng.uniform(0.8, 1.25)
    for step in range(0, 97, 8):
        value = end / (1 + math.exp(-(step - half) / (half / 5))) + rng.gauss(0, 0.02)
        shaped = 1 / (1 + math.exp(-(step - half / 2) / 3))
        row = {"script": script, "seed": seed, "base": base, "step": step, "reward": 1.0}
        row |= {"accuracy": f"{min(1, max(0, value)):.4f}", "flexible": f"{min(1, max(0.5, value)):.4f}"}
        rows.append({**row, "format": f"{shaped:.4f}"})
    return rows


def calibrated(rng, script, seed, dataset, base="tiny-base") -> dict:
    row = dict(zip(evaluation.KEY, (script, str(seed), base, dataset, "test", "T 1")))
    means = (0.2, 0.4, 0.55, 0.65, 0.75, 0.85, 0.93, 0.97, 0.985, 0.995, 0.9997)
    count = [rng.randrange(3, 90) for _ in means]
    correct = [round(c * max(0, m - rng.uniform(0, 0.2))) for c, m in zip(count, means)]
    bins = {"bin_count": count, "bin_confidence": [c * m for c, m in zip(count, means)], "bin_correct": correct}
    row |= {"n": 200, "samples": 5, "answered": 0.99, "accuracy": 0.6, "mean_confidence": 0.9, "ece": 0.21}
    row |= {name: " ".join(f"{value:g}" for value in values) for name, values in bins.items()}
    return row | {"auroc": f"{rng.uniform(0.5, 0.8):.4f}", "command": "python calibration.py"}


def rewards(rng, base) -> tuple[list[dict], list[dict]]:
    rows = []
    curves = []
    names = [*pages.VARIANTS, *pages.ABLATIONS, *pages.CONTROLS]
    for (i, script), seed in itertools.product(enumerate(names), (1, 2, 3)):
        end = 0.7 if i < 14 else 0.2
        rows += tested(rng, script, seed, "linear", end, base=base)
        curves += learned(rng, script, seed, 14 + 2 * i, end, base)
    return rows, curves


def study(folder, bases=("tiny-base",)):
    """results.csv, items.csv, curves.csv and calibration.csv with every name of the pages."""
    rng = random.Random(0)
    rows, curves, calibration = [], [], []
    for base in bases:
        more, lines = rewards(rng, base)
        rows += more
        curves += lines
        for page in pages.ACCURACIES.values():
            for dataset, script in itertools.product(page.sets[:2], page.scripts):
                for seed in (0,) if script == "base" else (1, 2):
                    rows += tested(rng, script, seed, dataset, rng.random(), base=base)
        for dataset, scripts in pages.PASSES.items():
            for script, seed in itertools.product(scripts, (1, 2, 3)):
                rows += tested(rng, script, seed, dataset, rng.random() / 2, ("pass@k",), base)
        for script, seed in itertools.product(page_calibration.SCRIPTS, (1, 2, 3)):
            dataset = "linear" if script in ("SFT", "GRPO-1K-def-from-SFT") else "linear_x"
            calibration.append(calibrated(rng, script, seed, dataset, base))
    folder.mkdir(exist_ok=True)
    rows = list({tuple(row[name] for name in evaluation.KEY): row for row in rows}.values())
    write(folder / "results.csv", COLUMNS, rows)
    items = [{**row, "flexible": row.get("flexible counts", "")} for row in rows]
    write(folder / "items.csv", evaluation.ITEM_COLUMNS, items)
    write(folder / "curves.csv", [*measurements.RUN_COLUMNS, "step", *measurements.CURVE_COLUMNS], curves)
    write(folder / "calibration.csv", load_script("GRPO_outdomain/calibration.py").COLUMNS, calibration)
    return folder
