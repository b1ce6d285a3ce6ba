"""Draw every table and plot of this folder from results.csv and curves.csv; no figure of ours is typed in by hand.

The learning curves of finished runs in outputs/ are first gathered into curves.csv, so that the plots can be drawn
again, byte for byte, where outputs/ is not at hand. Figures of the two studies that this repo builds on stand beside
ours, marked as theirs: other models, other data, number of problems and seeds unknown.

Input: resources/results.csv, outputs/**/metrics.jsonl. Output: GRPO_reward.md and .png, Learning_curves.png.
Command: python resources/make_tables.py
"""

import csv
import json
import os
import statistics
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from common import evaluation, runs

FOLDER = runs.ROOT / "resources"
CURVES = FOLDER / "curves.csv"
CURVE_COLUMNS = {  # column of curves.csv, and its name in metrics.jsonl
    "accuracy": "heldout_accuracy",
    "reward": "reward",
    "no_signal": "frac_reward_zero_std",
    "truncated": "completions/clipped_ratio",
    "entropy": "entropy",
}
ORDER = ["base", "SFT", "GRPO-1K", "GRPO-1K-v2", "GRPO-1K-v3", "GRPO-1K-def", "GRPO-Linear"]
ORDER += ["GRPO-Control-random", "GRPO-Control-format"]
NOTES = {"base": "no training", "GRPO-Linear": "from the base, no SFT", "GRPO-Control-random": "coin-toss reward"}
NOTES |= {"GRPO-Control-format": "reward for the form alone"}
THESIS = {"GRPO-1K": "80 %", "GRPO-1K-v2": "82 %", "GRPO-1K-v3": "82 %", "GRPO-1K-def": "84 %"}
LINEAR_STUDY = {"base": "4.2 %", "SFT": "71.6 %", "GRPO-Linear": "74.0 %"}


def gather_curves() -> list[dict]:
    """The rows of curves.csv with those of every finished run in outputs/ put in."""
    rows = {}
    if CURVES.exists():
        with open(CURVES, newline="") as file:
            rows = {(row["script"], row["seed"], row["base"], row["step"]): row for row in csv.DictReader(file)}
    for made in sorted(runs.OUTPUTS.glob("**/run.json")):
        facts = json.loads(made.read_text())
        log = made.parent / "metrics.jsonl"
        if not log.exists() or ".partial" in str(made):
            continue
        key = (made.parent.name, str(facts["seed"]), facts["lineage"][0])
        rows = {old: row for old, row in rows.items() if old[:3] != key}
        for line in runs.read_jsonl(log):
            row = rows.setdefault((*key, str(line["step"])), dict(zip(("script", "seed", "base", "step"), key)))
            row["step"] = str(line["step"])
            row |= {name: f"{line[theirs]:.4f}" for name, theirs in CURVE_COLUMNS.items() if theirs in line}
    ordered = sorted(rows.values(), key=lambda row: (row["base"], row["script"], int(row["seed"]), int(row["step"])))
    beside = CURVES.with_suffix(".tmp")
    with open(beside, "w", newline="") as file:
        writer = csv.DictWriter(file, ["script", "seed", "base", "step", *CURVE_COLUMNS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(ordered)
    os.replace(beside, CURVES)
    return ordered


def over_seeds(rows: list[dict]) -> dict:
    """Mean over the seeds of one script, with a Wilson interval over the problems, and each seed's accuracy."""
    mean = {name: statistics.mean(float(row[name]) for row in rows) for name in ("accuracy", "format_rate")}
    mean |= {name: statistics.mean(float(row[name]) for row in rows) for name in ("truncated_rate", "mean_tokens")}
    low, high = evaluation.wilson(mean["accuracy"], int(rows[0]["n"]))
    return {**mean, "low": low, "high": high, "each": [float(row["accuracy"]) for row in rows], "n": int(rows[0]["n"])}


def in_domain(results: list[dict]) -> dict[tuple[str, str], dict[str, dict[str, dict]]]:
    """For each (base, dataset): script -> decoding -> figures over seeds."""
    cells = defaultdict(list)
    for row in results:
        if row["split"] == "test" and row["script"] in ORDER:
            cells[row["base"], row["dataset"], row["script"], row["decoding"]].append(row)
    tables = defaultdict(lambda: defaultdict(dict))
    for (base, dataset, script, decoding), rows in cells.items():
        tables[base, dataset][script][decoding] = over_seeds(rows)
    return tables


def percent(figures: dict | None) -> str:
    if not figures:
        return ""
    return f"{figures['accuracy']:.1%} [{figures['low']:.1%}, {figures['high']:.1%}]"


def table_rows(table: dict[str, dict[str, dict]]) -> list[list[str]]:
    lines = []
    for script in [name for name in ORDER if name in table]:
        sampled, greedy = table[script].get("sampled"), table[script].get("greedy")
        shown = sampled or greedy
        each = f"{min(shown['each']):.1%} to {max(shown['each']):.1%}" if len(shown["each"]) > 1 else ""
        theirs = THESIS.get(script, "")
        lines.append(
            [script, percent(sampled), percent(greedy), str(len(shown["each"])), each, f"{shown['format_rate']:.0%}"]
            + [f"{shown['truncated_rate']:.0%}", f"{shown['mean_tokens']:.0f}", theirs, LINEAR_STUDY.get(script, "")]
        )
    return lines


HEADER = ["script", "sampled", "greedy", "seeds", "sampled, each seed", "well-formed", "truncated", "tokens"]
HEADER += ["thesis", "linear study"]


def write_markdown(tables: dict, results: list[dict]) -> str:
    text = ["# In-domain: base, SFT and the GRPO variants", ""]
    for (base, dataset), table in sorted(tables.items()):
        n = next(iter(next(iter(table.values())).values()))["n"]
        text += [f"## {base}, {dataset}, {n} test problems", ""]
        text += ["| " + " | ".join(HEADER) + " |", "|" + " --- |" * len(HEADER)]
        text += ["| " + " | ".join(row) + " |" for row in table_rows(table)]
        text += [""] + [f"- {name}: {note}" for name, note in NOTES.items() if name in table]
        text += [
            "- sampled: mean of 5 replies a problem at temperature 0.7, top-p 0.8, top-k 20; greedy: one reply.",
            "- [ ]: 95 % Wilson interval over the problems, at the mean over the seeds.",
            "- thesis: Qwen3-4B, DAPO problems; linear study: Qwen2.5-1.5B-Instruct, systems in [-30, 30]. Theirs, not",
            "  measured here; number of problems and seeds unknown.",
            "",
        ]
    commands = sorted({row["command"] for row in results if row["script"] in ORDER})
    text += ["Commands:", "", "```", *commands, "```"]
    return "\n".join(text) + "\n"


def draw_in_domain(tables: dict, path: Path) -> None:
    """For each table a row of dots with intervals, and the table itself under it."""
    figure, axes = plt.subplots(
        2 * len(tables), 1, figsize=(12.5, 6.2 * len(tables)), squeeze=False, height_ratios=[3, 2] * len(tables)
    )
    for row, ((base, dataset), table) in enumerate(sorted(tables.items())):
        dots, below = axes[2 * row][0], axes[2 * row + 1][0]
        scripts = [name for name in ORDER if name in table]
        for shift, decoding, colour in ((-0.12, "sampled", "tab:blue"), (0.12, "greedy", "tab:orange")):
            for x, script in enumerate(scripts):
                if f := table[script].get(decoding):
                    errors = [[100 * (f["accuracy"] - f["low"])], [100 * (f["high"] - f["accuracy"])]]
                    label = decoding if x == 0 else None
                    dots.errorbar(x + shift, 100 * f["accuracy"], errors, fmt="o", color=colour, capsize=4, label=label)
                    dots.plot([x + shift] * len(f["each"]), [100 * a for a in f["each"]], "_", color=colour, alpha=0.6)
        dots.set_xticks(range(len(scripts)), scripts, rotation=15)
        dots.set_ylim(0, 100)
        dots.set_ylabel("accuracy on test problems, %")
        dots.set_title(f"In-domain: {dataset}, {base}; dots: mean over seeds, bars: 95 % interval, dashes: each seed")
        dots.grid(axis="y", alpha=0.3)
        dots.legend(loc="upper left")
        below.axis("off")
        cells = below.table(table_rows(table), colLabels=HEADER, loc="center", cellLoc="center")
        cells.auto_set_font_size(False)
        cells.set_fontsize(8)
        cells.auto_set_column_width(range(len(HEADER)))
        cells.scale(1, 1.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_curves(rows: list[dict], path: Path) -> None:
    """Held-out accuracy, reward, groups without signal, and entropy by step: mean over seeds, band from min to max."""
    panels = {"accuracy": "held-out accuracy, greedy", "reward": "reward (each variant's own scale)"}
    panels |= {"no_signal": "share of groups without signal", "entropy": "entropy of the policy, nats a token"}
    figure, axes = plt.subplots(2, 2, figsize=(12, 8))
    for axis, (column, title) in zip(axes.flat, panels.items()):
        for script in [name for name in ORDER if name.startswith("GRPO")]:
            values = defaultdict(list)
            for row in rows:
                if row["script"] == script and row.get(column):
                    values[int(row["step"])].append(float(row[column]))
            if values:
                steps = sorted(values)
                (line,) = axis.plot(steps, [statistics.mean(values[s]) for s in steps], label=script)
                low, high = ([pick(values[s]) for s in steps] for pick in (min, max))
                axis.fill_between(steps, low, high, color=line.get_color(), alpha=0.15)
        axis.set_title(title)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    axes.flat[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    results = evaluation.read_results()
    if not results:
        runs.fail("resources/results.csv has no rows; first run: python GRPO_indomain/GRPO_test.py")
    tables = in_domain(results)
    text = write_markdown(tables, results)
    (FOLDER / "GRPO_reward.md").write_text(text)
    draw_in_domain(tables, FOLDER / "GRPO_reward.png")
    curves = gather_curves()
    if curves:
        draw_curves(curves, FOLDER / "Learning_curves.png")
    print(text)


if __name__ == "__main__":
    main()
