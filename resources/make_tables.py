"""Draw every table and plot of a folder from the csv files in it; no figure of ours is typed in by hand.

The learning curves of finished runs in outputs/ are first gathered into curves.csv, so that the plots can be drawn
again, byte for byte, where outputs/ is not at hand. A table or plot without rows is left out. Figures of the two
studies that this repo builds on stand beside ours, marked as theirs: other models, other data, number of problems and
seeds unknown. GSM8K stands in both tables: a checkpoint may have been trained on it or not.

accuracy   mean over seeds; 95 % Wilson interval over the problems at that mean
vs SFT     share of right replies to a problem less SFT's to the same problem, seed by seed, averaged over the seeds
           that both have; 95 % bootstrap interval over the problems; p of a two-sided sign-flip test over them
           (Fisher, The Design of Experiments, 1935) as (count + 1) / (flips + 1) (Phipson and Smyth, 2010), corrected
           by Holm (1979) over the scripts of one column
pass@k     1 - C(n - c, k) / C(n, k) for a problem with c right of n replies (Chen et al., Evaluating Large Language
           Models Trained on Code, 2021), averaged over seeds; 95 % bootstrap interval over the problems

Input: results.csv, items.csv, curves.csv in the folder, outputs/**/metrics.jsonl. Output: GRPO_reward, Out-domain and
BFCL as .md and .png, pass_at_k.md, Pass_at_k.png, Learning_curves.png, curves.csv.
Command: python resources/make_tables.py
"""

import csv
import json
import math
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from common import evaluation, runs, settings
from common.settings import setting
from resources import plots


@dataclass
class Args(settings.ProfileArgs):
    folder: str = setting("resources", "where the csv files lie and the tables and plots go")
    outputs: str = setting("outputs", "where the finished runs lie")
    flips: int = setting(10_000, "sign flips and bootstrap samples; p is at least 1 / (flips + 1)")


CURVE_COLUMNS = {  # column of curves.csv, and its name in metrics.jsonl
    "accuracy": "heldout_accuracy",
    "reward": "reward",
    "no_signal": "frac_reward_zero_std",
    "truncated": "completions/clipped_ratio",
    "entropy": "entropy",
}
ORDER = [
    "never-calls",
    "base",
    "SFT",
    "GRPO-1K",
    "GRPO-1K-v2",
    "GRPO-1K-v3",
    "GRPO-1K-def",
    "GRPO-Hybrid",
    "GRPO-Intuitor",
]
LONG = ["GRPO-Intuitor-long", "GRPO-Intuitor-self_certainty-long"]
ORDER += [*LONG, "GRPO-DualHead", "GRPO-GSM8K", "GRPO-Linear", "GRPO-Control-random", "GRPO-Control-format"]
OUT_DOMAIN = ["yes_no", "multiple_choice", "word_problem", "boolq", "commonsense_qa", "arc_challenge", "gsm8k"]
DATASETS = ["linear", "linear-harder", "dapo", "math500", *OUT_DOMAIN, "bfcl_single", "bfcl_multi"]  # then any other
CHANCE = {"yes_no": 50, "boolq": 50, "multiple_choice": 25, "arc_challenge": 25, "commonsense_qa": 20}  # %, by guessing
VALIDATED = ["boolq", "commonsense_qa"]  # the answers of their test split are not public
CURVE_GROUPS = {
    "paid for answer and form": ["GRPO-1K", "GRPO-1K-v2", "GRPO-1K-v3", "GRPO-1K-def"],
    "paid for its own certainty": ["GRPO-Hybrid", "GRPO-Intuitor", "GRPO-DualHead"],
    "the same for longer": LONG,
    "without SFT, and controls": ["GRPO-GSM8K", "GRPO-Linear", "GRPO-Control-random", "GRPO-Control-format"],
}
NOTES = {"base": "no training; its seeds are those of the sampling", "GRPO-Linear": "from the base, no SFT"}
NOTES |= {"GRPO-Control-random": "coin-toss reward", "GRPO-Control-format": "reward for the form alone"}
NOTES |= {"GRPO-Intuitor": "no outside signal, its own certainty alone"}
NOTES |= {"GRPO-Intuitor-long": "four times as many updates"}
NOTES |= {"GRPO-Intuitor-self_certainty-long": "the published definition of certainty, as many updates"}
NOTES |= {"never-calls": "the floor, what a model without a single call gets", "SFT-BFCL": "SFT of the base on calls"}
NOTES |= {"SFT-BFCL-multi": "SFT-BFCL, trained on dialogues too", "GRPO_BFCL_v1": "from SFT-BFCL"}
NOTES |= {"GRPO_BFCL_v2": "from SFT-BFCL-multi"}

# Their accuracies in percent: our set that is theirs or has its shape -> what they measured on -> script -> figure.
DAPO = {"thesis DAPO": {"GRPO-1K": 80, "GRPO-1K-v2": 82, "GRPO-1K-v3": 82, "GRPO-1K-def": 84}}
LINEAR = {"linear study": {"base": 4.2, "SFT": 71.6, "GRPO-Linear": 74.0}}
BOOLQ = {"thesis BoolQ": {"GRPO-1K-def": 84, "GRPO-Hybrid": 83, "GRPO-Intuitor": 87, "GRPO-DualHead": 83}}
CSQA = {"thesis CSQA": {"GRPO-1K-def": 57, "GRPO-Hybrid": 62, "GRPO-Intuitor": 56, "GRPO-DualHead": 59}}
ARC = {"thesis ARC": {"GRPO-1K-def": 63, "GRPO-Hybrid": 69, "GRPO-Intuitor": 66, "GRPO-DualHead": 69}}
GSM8K = {"linear study GSM8K": {"base": 55.19, "SFT": 0.73, "GRPO-Linear": 64.44}}
THEIRS = {"linear": DAPO | LINEAR, "dapo": DAPO, "yes_no": BOOLQ, "multiple_choice": CSQA | ARC, "word_problem": GSM8K}
FROM = "GRPO_BFCL_v1-from-"
THEIRS |= {"bfcl_single": {"thesis BFCL": {f"{FROM}GRPO-Hybrid": 50, f"{FROM}GRPO-1K-def": 42.6}}}
THEIRS |= {"boolq": BOOLQ, "commonsense_qa": CSQA, "arc_challenge": ARC, "gsm8k": GSM8K}
THEIR_NOTES = {
    "GRPO_reward": "thesis, accuracy / judge / efficiency / final: 1K 80 % / 8.36 / 0.92 / 0.838, v2 82 % / 8.38 / "
    "0.91 / 0.845, v3 82 % / 8.31 / 0.90 / 0.840, def 84 % / 8.48 / 0.92 / 0.859.",
    "BFCL": "thesis, mean reward and perfect matches: from Hybrid 0.54, 50 %; from 1K-def (noHybrid) 0.47, 42.6 %.",
}


def reference_of(dataset: str, scripts: set[str]) -> str:
    """The script that the others are compared with: what GRPO started from."""
    if not dataset.startswith("bfcl"):
        return "SFT"
    wanted = ["SFT-BFCL-multi", "SFT-BFCL"] if "multi" in dataset else ["SFT-BFCL"]
    return next((script for script in wanted if script in scripts), "base")


def is_number(text: str | None) -> bool:
    try:
        return math.isfinite(float(text))
    except (TypeError, ValueError):
        return False


def read_rows(path: Path, texts: Sequence[str], numbers: Sequence[str], optional: Sequence[str] = ()) -> list[dict]:
    """The rows of a csv file; ends the script where a column is empty that may not be, or holds no number."""
    rows = evaluation.read_results(path)
    for line, row in enumerate(rows, 2):
        wrong = [name for name in texts if not row.get(name)]
        wrong += [name for name in numbers if not is_number(row.get(name))]
        wrong += [name for name in optional if row.get(name) and not is_number(row[name])]
        if wrong:
            fix = "repair that line, or delete it and run what made it again"
            runs.fail(f"{runs.shown(path)}, line {line}: {wrong[0]} is missing or no number; {fix}")
    return rows


def is_test(row: dict) -> bool:
    return row["split"] in ("test", "official") or (row["split"] == "validation" and row["dataset"] in VALIDATED)


def read_items(path: Path) -> dict:
    """(base, dataset, decoding) -> script -> seed -> (right replies to each item, replies to an item)."""
    items = defaultdict(lambda: defaultdict(dict))
    for line, row in enumerate(read_rows(path, (*evaluation.KEY, "correct"), ["samples"]), 2):
        try:
            samples, correct = int(row["samples"]), np.array([int(count) for count in row["correct"].split()])
            if not 0 <= min(correct) <= max(correct) <= samples or not samples:
                raise ValueError
        except ValueError:
            problem = f"correct is not a list of counts from 0 to {row['samples']}"
            runs.fail(f"{runs.shown(path)}, line {line}: {problem}; test {row['script']}, seed {row['seed']} again")
        if is_test(row):
            items[row["base"], row["dataset"], row["decoding"]][row["script"]][row["seed"]] = (correct, samples)
    return items


def rank(script: str) -> tuple:
    """Sorts scripts: those of ORDER in theirs, then any other with SFT before GRPO."""
    return (ORDER.index(script) if script in ORDER else len(ORDER), not script.startswith("SFT"), script)


def rank_of_set(name: str) -> tuple:
    return (DATASETS.index(name) if name in DATASETS else len(DATASETS), name)


def over_seeds(rows: list[dict]) -> dict:
    """Means over the seeds of one script, with a Wilson interval over the problems, and each seed's accuracy."""
    names = ("accuracy", *COLUMNS, *MATH_COLUMNS)
    values = {name: [float(row[name]) for row in rows if row.get(name)] for name in names}
    mean = {name: statistics.mean(column) for name, column in values.items() if column}
    n = min(int(row["n"]) for row in rows)
    low, high = evaluation.wilson(mean["accuracy"], n)
    return {**mean, "low": low, "high": high, "each": values["accuracy"], "n": n}


def of_one_length(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Those with the most items; seeds that were tested on fewer cannot be averaged item by item."""
    most = max(map(len, arrays), default=0)
    return [array for array in arrays if len(array) == most]


@lru_cache(4)
def resampled(items: int, samples: int) -> np.ndarray:
    """(samples, items) positions drawn with putting back, the same ones for every table."""
    return np.random.default_rng(0).integers(0, items, (samples, items), dtype=np.uint32)


def bootstrap(values: np.ndarray, samples: int) -> tuple[float, float]:
    """95 % interval of the mean of one value an item (percentiles; Efron, 1979); the same on every call."""
    means = values[resampled(len(values), samples)].mean(1)
    return tuple(float(edge) for edge in np.percentile(means, [2.5, 97.5]))


def sign_flip_test(differences: np.ndarray, flips: int) -> float:
    """Two-sided p that paired differences, one an item, have no direction; sources in the docstring of the file."""
    rng, total, count = np.random.default_rng(0), differences.sum(), 0
    for start in range(0, flips, 1000):  # a thousand at a time, for the memory
        kept = rng.integers(0, 2, (min(1000, flips - start), len(differences)), dtype=np.int8)
        count += int((abs(2 * (kept @ differences) - total) >= abs(total) - 1e-9).sum())
    return (count + 1) / (flips + 1)


def holm(p: dict[str, float]) -> dict[str, float]:
    """The p of several tests, corrected so that the chance of any false finding stays below each of them."""
    corrected, largest = {}, 0.0
    for done, name in enumerate(sorted(p, key=p.get)):
        largest = max(largest, min(1.0, (len(p) - done) * p[name]))
        corrected[name] = largest
    return corrected


def compare(items: dict, reference: str, flips: int) -> dict[str, tuple]:
    """script -> (mean difference to the reference, low, high, corrected p), for items as script -> seed -> counts.

    A base has no seed of its own: its mean is set against every seed of the other.
    """
    shares = {script: {seed: c / n for seed, (c, n) in seeds.items()} for script, seeds in items.items()}
    theirs, tested = shares.pop(reference, {}), {}
    for script, ours in shares.items():
        other = theirs
        if script == "base":
            ours = dict.fromkeys(theirs, np.mean(of_one_length(list(ours.values())), axis=0))
        elif reference == "base":
            other = dict.fromkeys(ours, np.mean(of_one_length(list(theirs.values())), axis=0)) if theirs else {}
        pairs = [(ours[seed], other[seed]) for seed in sorted(ours.keys() & other.keys())]
        differences = of_one_length([a - b for a, b in pairs if len(a) == len(b)])
        if differences:
            mean = np.mean(differences, axis=0)
            tested[script] = (float(mean.mean()), *bootstrap(mean, flips), sign_flip_test(mean, flips))
    corrected = holm({script: row[3] for script, row in tested.items()})
    return {script: (*row[:3], corrected[script]) for script, row in tested.items()}


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that k replies drawn from n without putting back hold one of the c right ones (Chen et al., 2021)."""
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def pass_table(items: dict, samples: int) -> dict[str, dict[int, tuple]]:
    """script -> k -> (pass@k, low, high), for items as script -> seed -> (counts, replies to an item)."""
    table = defaultdict(dict)
    for script in sorted(items.keys() & set(ORDER), key=rank):
        most = min(n for _, n in items[script].values())
        for k in [*(2**i for i in range(most.bit_length()) if 2**i < most), most]:
            seeds = [np.array([pass_at_k(n, int(c), k) for c in counts]) for counts, n in items[script].values()]
            mean = np.mean(of_one_length(seeds), axis=0)
            table[script][k] = (float(mean.mean()), *bootstrap(mean, samples))
    return table


def gather_curves(path: Path, outputs: Path) -> list[dict]:
    """The rows of curves.csv with those of every finished run in outputs put in."""
    stored = read_rows(path, ["script", "base"], ["seed", "step"], list(CURVE_COLUMNS))
    rows = {(row["script"], row["seed"], row["base"], row["step"]): row for row in stored}
    for made in sorted(outputs.glob("**/run.json")):
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
    if ordered:
        beside = path.with_suffix(".tmp")
        with open(beside, "w", newline="") as file:
            writer = csv.DictWriter(file, ["script", "seed", "base", "step", *CURVE_COLUMNS], lineterminator="\n")
            writer.writeheader()
            writer.writerows(ordered)
        os.replace(beside, path)
    return ordered


def make_table(rows: list[dict], items: dict, flips: int) -> dict[str, dict[str, dict]]:
    """script -> decoding -> figures over seeds, with the comparison under "against" where the items allow one."""
    cells = defaultdict(lambda: defaultdict(list))
    for row in rows:
        cells[row["script"]][row["decoding"]].append(row)
    table = {s: {way: over_seeds(cells[s][way]) for way in sorted(cells[s])} for s in sorted(cells, key=rank)}
    base, dataset = rows[0]["base"], rows[0]["dataset"]
    for decoding in plots.DECODINGS:
        known = {script: seeds for script, seeds in items.get((base, dataset, decoding), {}).items() if script in table}
        for script, against in compare(known, reference_of(dataset, set(table)), flips).items():
            if decoding in table[script]:
                table[script][decoding]["against"] = against
    return table


COLUMNS = {  # of over_seeds: head of the column, format
    "format_rate": ("well-formed", "{:.0%}"),
    "truncated_rate": ("truncated", "{:.0%}"),
    "mean_tokens": ("tokens", "{:.0f}"),
    "reward": ("reward", "{:.3f}"),
}
MATH_COLUMNS = {"judge": ("judge", "{:.2f}"), "efficiency": ("efficiency", "{:.2f}"), "final": ("final", "{:.3f}")}


def percent(figures: dict | None) -> str:
    return "{:.1%} [{:.1%}, {:.1%}]".format(*(figures[x] for x in ("accuracy", "low", "high"))) if figures else ""


def difference(figures: dict | None) -> str:
    if not figures or "against" not in figures:
        return ""
    mean, low, high, p = figures["against"]
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    mean, low, high = (round(100 * value, 1) + 0.0 for value in (mean, low, high))  # + 0.0 turns -0.0 into 0.0
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}], {chance}"


def table_rows(table: dict[str, dict[str, dict]], dataset: str) -> list[dict[str, str]]:
    """A row for each script, column -> text, without the columns that would be empty in all rows."""
    reference = reference_of(dataset, set(table))
    columns = COLUMNS if dataset.startswith("bfcl") else COLUMNS | MATH_COLUMNS
    rows = []
    for script, ways in table.items():
        shown = [ways[way] for way in plots.DECODINGS if way in ways]
        row = {"script": script, "seeds": str(len(shown[0]["each"]))}
        for way in plots.DECODINGS:
            row |= {way: percent(ways.get(way)), f"{way}, vs {reference}": difference(ways.get(way))}
        each = [100 * accuracy for accuracy in shown[0]["each"]]
        row["each seed"] = f"{min(each):.1f} to {max(each):.1f} %" if len(each) > 1 else ""
        for name, (head, form) in columns.items():
            row[head] = next((form.format(figures[name]) for figures in shown if name in figures), "")
        theirs = THEIRS.get(dataset, {}).items()
        row["theirs"] = ", ".join(f"{what} {known[script]} %" for what, known in theirs if script in known)
        rows.append(row)
    return [{name: row[name] for name in row if any(other[name] for other in rows)} for row in rows]


def markdown_table(rows: list[dict[str, str]]) -> list[str]:
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + " --- |" * len(rows[0])]
    return [*lines, *("| " + " | ".join(row.values()) + " |" for row in rows), ""]


def overview(tables: dict) -> list[dict[str, str]]:
    """A row for each script, a column for each data set: accuracy of the sampled replies, else of the greedy one."""
    scripts = sorted({script for table in tables.values() for script in table}, key=rank)
    rows = [{"script": script} for script in scripts]
    for dataset, table in tables.items():
        for row in rows:
            ways = table.get(row["script"], {})
            row[dataset] = percent(next((ways[way] for way in plots.DECODINGS if way in ways), None))
    return rows


def shown_sets(tables: dict) -> tuple[dict, list[str]]:
    """The tables of sets of which any script or study solves anything, and the names of the other sets."""
    shown = {
        key: table
        for key, table in tables.items()
        if key[1] in THEIRS or any(figures["accuracy"] for ways in table.values() for figures in ways.values())
    }
    shown = shown or tables
    return shown, sorted({dataset for _, dataset in tables.keys() - shown.keys()})


def write_markdown(name: str, title: str, tables: dict, rows: list[dict]) -> str:
    """tables: (base, dataset) -> table; rows: the rows of results.csv behind them."""
    text, references = [f"# {title}", ""], list(dict.fromkeys(reference_of(key[1], set(tables[key])) for key in tables))
    for base in sorted({base for base, _ in tables}):
        ours = {dataset: table for (of, dataset), table in tables.items() if of == base}
        if len(ours) > 1:
            shown, unsolved = shown_sets({(base, dataset): table for dataset, table in ours.items()})
            overall = overview({dataset: table for (_, dataset), table in shown.items()})
            text += [f"## {base}, all sets", "", *markdown_table(overall)]
            text += [f"- 0 % for every script: {', '.join(unsolved)}", ""] if unsolved else []
        for dataset, table in ours.items():
            n = sorted({figures["n"] for ways in table.values() for figures in ways.values()})
            count = f"{n[0]} to {n[-1]}" if len(n) > 1 else f"{n[0]}"
            text += [f"## {base}, {dataset}, {count} test problems", ""]
            text += markdown_table(table_rows(table, dataset))
    scripts = {script for table in tables.values() for script in table}
    text += [f"- {script}: {note}" for script, note in NOTES.items() if script in scripts]
    text += [
        "- sampled: mean of several replies a problem, 5 at temperature 0.7, top-p 0.8, top-k 20 unless a command says",
        "  otherwise; greedy: one reply. Every later column is of the sampled replies where there are any.",
        "- [ ] behind an accuracy: 95 % Wilson interval over the problems, at the mean over the seeds.",
        f"- vs {' or '.join(references)}: points of difference on the same problems and seeds, 95 % bootstrap",
        "  interval over the problems, p of a paired sign-flip test, corrected (Holm) over the scripts of the column.",
        "  They speak of other problems, not of other seeds: for those see each seed.",
    ]
    if any(dataset in THEIRS for _, dataset in tables) or name in THEIR_NOTES:
        text += [
            "- theirs, not measured here: Qwen3-4B in the thesis, Qwen2.5-1.5B-Instruct, systems in [-30, 30], in the",
            "  linear study; other problems than ours, their number and the seeds unknown.",
        ]
    text += [f"- {THEIR_NOTES[name]}"] if name in THEIR_NOTES else []
    return "\n".join([*text, "", "Commands:", "", "```", *sorted({row["command"] for row in rows}), "```"]) + "\n"


def write_pass_at_k(tables: dict, items: dict) -> str:
    """tables: (base, dataset) -> what pass_table gives; items: the same with "pass@k" -> what it was made from."""
    text = ["# pass@k: one of k replies is right", ""]
    for (base, dataset), table in tables.items():
        text += [f"## {base}, {dataset}", ""]
        ks, rows = sorted({k for row in table.values() for k in row}), []
        for script, row in table.items():
            seeds = items[base, dataset, "pass@k"][script].values()
            count = max(len(counts) for counts, _ in seeds)
            cells = {f"k = {k}": "{:.1%} [{:.1%}, {:.1%}]".format(*row[k]) if k in row else "" for k in ks}
            rows.append({"script": script, "seeds": str(len(seeds)), "problems": str(count), **cells})
        text += markdown_table(rows)
    text += [
        "- Unbiased estimate 1 - C(n - c, k) / C(n, k) from c right of n replies to a problem, averaged over seeds and",
        "  problems; [ ]: 95 % bootstrap interval over the problems.",
        "- A gain at k = 1 that is gone at the largest k is sharpening: the right reply was already among the others.",
    ]
    return "\n".join(text) + "\n"


PARTS = {  # the name of the files: their title, and which data sets they show
    "GRPO_reward": (
        "In-domain: base, SFT and the GRPO variants",
        lambda dataset: dataset == "gsm8k" or not (dataset in OUT_DOMAIN or dataset.startswith("bfcl")),
    ),
    "Out-domain": ("Out-domain: tasks that were not trained on", lambda dataset: dataset in OUT_DOMAIN),
    "BFCL": ("BFCL: perfect matches of function calls", lambda dataset: dataset.startswith("bfcl")),
}


def draw_part(name: str, results: list[dict], items: dict, folder: Path, flips: int) -> None:
    """One of PARTS as .md and .png, or nothing where it has no rows."""
    title, belongs = PARTS[name]
    rows = [row for row in results if belongs(row["dataset"]) and row["decoding"] in plots.DECODINGS]
    rows = [row for row in rows if row["script"] in ORDER or name == "BFCL"]
    sets = defaultdict(list)
    for base in sorted({row["base"] for row in rows} - {"none"}):  # the floor stands beside every base
        for row in sorted(rows, key=lambda row: rank_of_set(row["dataset"])):
            if row["base"] in (base, "none"):
                sets[base, row["dataset"]].append(row | {"base": base})
    if not sets:
        return
    tables = {key: make_table(of_set, items, flips) for key, of_set in sets.items()}
    (folder / f"{name}.md").write_text(write_markdown(name, title, tables, rows))
    picture = folder / f"{name}.png"
    if name != "GRPO_reward":
        scripts = sorted({script for table in tables.values() for script in table}, key=rank)
        shown, unsolved = shown_sets(tables)
        note = f"0 % for every script: {', '.join(unsolved)}" if unsolved else ""
        return plots.side_by_side(shown, scripts, THEIRS, CHANCE, title, note, picture)
    sections = {}
    for (base, dataset), table in tables.items():
        lines = table_rows(table, dataset)
        hidden = {"each seed", "theirs"}  # marks of the picture show them
        hidden |= {"greedy, vs SFT"} if "sampled, vs SFT" in lines[0] else set()
        shown = [{head: text for head, text in line.items() if head not in hidden} for line in lines]
        sections[f"{dataset} ({base})"] = (table, shown, THEIRS.get(dataset, {}))
    plots.with_numbers(sections, title, picture)


def main(args):
    if args.flips < 1:
        runs.fail(f"--flips {args.flips}: choose 1 or more")
    folder = runs.resolve(args.folder)
    numbers = ["n", "accuracy", "format_rate", "truncated_rate", "mean_tokens"]
    results = read_rows(folder / "results.csv", evaluation.KEY, numbers, [*MATH_COLUMNS, "reward"])
    results = [row for row in results if is_test(row)]
    if not results:
        command = "python GRPO_indomain/GRPO_test.py"
        runs.fail(f"{runs.shown(folder / 'results.csv')} has no rows of a test split; first run: {command}")
    items = read_items(folder / "items.csv")
    curves = gather_curves(folder / "curves.csv", runs.resolve(args.outputs))

    for name in PARTS:
        draw_part(name, results, items, folder, args.flips)
    asked = sorted((key for key in items if key[2] == "pass@k"), key=lambda key: (key[0], rank_of_set(key[1])))
    passed = {key[:2]: pass_table(items[key], args.flips) for key in asked if items[key].keys() & set(ORDER)}
    if passed:
        (folder / "pass_at_k.md").write_text(write_pass_at_k(passed, items))
        plots.pass_at_k(passed, folder / "Pass_at_k.png")
    if curves:
        calls = sorted({row["script"] for row in curves if row["script"].startswith("GRPO_BFCL")})
        plots.curves(curves, CURVE_GROUPS | {"function calls": calls}, folder / "Learning_curves.png")
    if (table := folder / "GRPO_reward.md").exists():
        print(table.read_text())
    unknown = {row["script"] for row in results if not row["dataset"].startswith("bfcl")} - set(ORDER)
    if unknown:
        print(f"left out, as ORDER does not name them: {', '.join(sorted(unknown))}")


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
