"""Draw every table and picture of a folder from the csv files in it; no measured figure is typed in by hand.

The learning curves of finished runs in outputs/ are first gathered into curves.csv, so that the pictures can be drawn
again, byte for byte, without outputs/. A table or picture without rows is left out. Figures that two studies published
(published.py) stand beside the measured ones. GSM8K is in both tables, in-domain and out-domain: a checkpoint may have
been trained on it or not.

accuracy   mean over seeds; 95 % Wilson interval over the problems at that mean
vs SFT     fraction of correct completions of a problem minus SFT's of the same problem and seed, averaged over the
           seeds that both have; 95 % bootstrap interval over the problems; p of a two-sided sign-flip test over the
           problems, corrected by Holm over the scripts of one column (comparisons.py)
pass@k     1 - C(n - c, k) / C(n, k) for a problem with c correct of n completions, averaged over seeds; 95 % bootstrap
           interval over the problems
judge      by arithmetic: 10 * the fraction of the arithmetic in the reasoning that is correct; or the score, 0 to 10,
           that a model gave (--judge of the tests)

Input: results.csv, items.csv, toolcalls.csv, curves.csv in the folder, outputs/**/metrics.jsonl. Output: GRPO_reward,
Out-domain, BFCL and ToolUse as .md and .png, pass_at_k.md, Pass_at_k.png, Learning_curves.png, curves.csv.
Command: python resources/make_tables.py
"""

import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import evaluation, runs, settings
from common.settings import setting
from common.tools import episodes
from resources import comparisons, measurements, plots, published, toolcalls


@dataclass
class Args(settings.ProfileArgs):
    folder: str = setting("resources", "folder of the csv files, for tables and pictures too")
    outputs: str = setting("outputs", "folder of the finished runs, for their learning curves")
    flips: int = setting(10_000, "sign flips of a test, samples of a bootstrap; p is at least 1 / (flips + 1)", low=1)


SCRIPTS = {  # in the order of the tables, with a note below them; other scripts come after these
    "never-calls": "a model that never makes a call, the floor",
    "base": "no training; its seeds are those of the sampling",
    "SFT": "",
    "GRPO-1K": "",
    "GRPO-1K-v2": "",
    "GRPO-1K-v3": "",
    "GRPO-1K-def": "",
    "GRPO-Hybrid": "",
    "GRPO-Intuitor": "rewarded for its own certainty alone, not for answers",
    "GRPO-Intuitor-long": "GRPO-Intuitor with four times as many updates",
    "GRPO-Intuitor-self_certainty-long": "GRPO-Intuitor-long with the published definition of certainty",
    "GRPO-DualHead": "",
    "GRPO-GSM8K": "",
    "GRPO-Linear": "from the base, no SFT",
    "GRPO-Control-random": "rewarded by a coin toss",
    "GRPO-Control-format": "rewarded for the format alone",
}
ORDER = list(SCRIPTS)
CALL_NOTES = {
    "SFT-BFCL": "SFT of the base on tool calls",
    "SFT-BFCL-multi": "SFT of SFT-BFCL on dialogues",
    "GRPO_BFCL_v1": "from SFT-BFCL",
    "GRPO_BFCL_v2": "from SFT-BFCL-multi",
    "SFT_tools": "SFT of the base on questions with tools",
    "SFT_tools-more": "SFT_tools trained on the rows that DPO_tools takes its pairs from, as many updates",
    "DPO_tools": "from SFT_tools, on pairs of all five failures",
    "SFT_tools-few": "SFT of the base on 64 questions with tools",
    "SFT_tools-teacher": "SFT_tools-few trained on texts that it annotated with calls itself (teacher mode)",
}
CURVE_GROUPS = {
    "answer and format rewards": ["GRPO-1K", "GRPO-1K-v2", "GRPO-1K-v3", "GRPO-1K-def"],
    "certainty rewards": ["GRPO-Hybrid", "GRPO-Intuitor", "GRPO-DualHead"],
    "certainty rewards, longer": ["GRPO-Intuitor-long", "GRPO-Intuitor-self_certainty-long"],
    "without SFT, and controls": ["GRPO-GSM8K", "GRPO-Linear", "GRPO-Control-random", "GRPO-Control-format"],
}
OUT_DOMAIN = ["yes_no", "multiple_choice", "word_problem", "boolq", "commonsense_qa", "arc_challenge", "gsm8k"]
DATASETS = ["linear", "linear-harder", "dapo", "math500", *OUT_DOMAIN, "bfcl_single", "bfcl_multi"]  # then any other
DATASETS += ["tools", *(f"tools:{measure}" for measure in episodes.MEASURES)]
CHANCE = {"yes_no": 50, "boolq": 50, "multiple_choice": 25, "arc_challenge": 25, "commonsense_qa": 20}  # % by guessing
TITLES = {  # of the tables and pictures of that name
    "GRPO_reward": "In-domain: base, SFT and the GRPO variants",
    "Out-domain": "Out-domain: tasks that were not trained on",
    "BFCL": "BFCL: perfect matches of tool calls",
    "ToolUse": "Tool use: questions answered without a failure, and five measures",
}
COLUMNS = {  # of results.csv: head of the column, format
    "format_rate": ("well-formed", "{:.0%}"),
    "truncated_rate": ("truncated", "{:.0%}"),
    "mean_tokens": ("tokens", "{:.0f}"),
    "reward": ("reward", "{:.3f}"),
    "judge": ("judge", "{:.2f}"),
    "efficiency": ("efficiency", "{:.2f}"),
    "final": ("final", "{:.3f}"),
}
NOT_OF_CALLS = ["judge", "efficiency", "final"]


def belongs(dataset: str, name: str) -> bool:
    """Whether the tables of that name show the data set."""
    if dataset.startswith(("bfcl", "tools")):
        return name == ("BFCL" if dataset.startswith("bfcl") else "ToolUse")
    if dataset == "gsm8k":
        return name in ("GRPO_reward", "Out-domain")
    return name == ("Out-domain" if dataset in OUT_DOMAIN else "GRPO_reward")


def reference_of(dataset: str, scripts: set[str]) -> str:
    """The script that the others are compared with: what GRPO started from."""
    if dataset.startswith("tools"):
        return "SFT_tools"
    if not dataset.startswith("bfcl"):
        return "SFT"
    wanted = ["SFT-BFCL-multi", "SFT-BFCL"] if "multi" in dataset else ["SFT-BFCL"]
    return next((script for script in wanted if script in scripts), "base")


def rank(script: str) -> tuple:
    """Sorts scripts: those of ORDER in its order, then any other with SFT before GRPO."""
    return (ORDER.index(script) if script in ORDER else len(ORDER), not script.startswith("SFT"), script)


def rank_of_set(name: str) -> tuple:
    return (DATASETS.index(name) if name in DATASETS else len(DATASETS), name)


# Statistics: from rows of results.csv and items to a table, script -> decoding -> figures.


def judge_of(row: dict) -> str:
    """Whether a model judged the reasoning in a row of results.csv, or the arithmetic stated in it was checked."""
    options = [word.split("=")[0] for word in row["command"].split()]
    return "model" if "--judge" in options else "arithmetic"


def over_seeds(rows: list[dict]) -> dict:
    """Means over the seeds of one script, with a Wilson interval over the problems, and each seed's accuracy."""
    values = {name: [float(row[name]) for row in rows if row.get(name)] for name in ("accuracy", *COLUMNS)}
    mean = {name: statistics.mean(column) for name, column in values.items() if column}
    n = min(int(row["n"]) for row in rows)
    low, high = evaluation.wilson(mean["accuracy"], n)
    judged_by = " and ".join(sorted({judge_of(row) for row in rows if row.get("judge")}))
    return {**mean, "low": low, "high": high, "each": values["accuracy"], "n": n, "judged_by": judged_by}


def make_table(rows: list[dict], items: dict, flips: int) -> dict[str, dict[str, dict]]:
    """script -> decoding -> figures over seeds, with the comparison under "against" where the items allow one.

    rows: of results.csv, all of one base and data set; items: what measurements.read_items() gives.
    """
    cells = defaultdict(lambda: defaultdict(list))
    for row in rows:
        cells[row["script"]][row["decoding"]].append(row)
    table = {s: {way: over_seeds(cells[s][way]) for way in sorted(cells[s])} for s in sorted(cells, key=rank)}
    base, dataset = rows[0]["base"], rows[0]["dataset"]
    for decoding in plots.DECODINGS:
        known = {script: seeds for script, seeds in items.get((base, dataset, decoding), {}).items() if script in table}
        for script, against in comparisons.compare(known, reference_of(dataset, set(table)), flips).items():
            if decoding in table[script]:
                table[script][decoding]["against"] = against
    return table


def pass_table(items: dict, samples: int) -> dict[str, dict[int, tuple]]:
    """script -> k -> (pass@k, low, high), for items as script -> seed -> (counts, completions an item)."""
    scripts = sorted(items, key=rank)
    return {script: comparisons.pass_at_each_k(items[script], samples) for script in scripts}


# Tables as text: a row for each script, column -> text.


def percent(figures: dict | None) -> str:
    return "{accuracy:.1%} [{low:.1%}, {high:.1%}]".format(**figures) if figures else ""


def difference(figures: dict | None) -> str:
    if not figures or "against" not in figures:
        return ""
    mean, low, high, p = figures["against"]
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    mean, low, high = (round(100 * value, 1) + 0.0 for value in (mean, low, high))  # + 0.0 turns -0.0 into 0.0
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}], {chance}"


def table_rows(table: dict[str, dict[str, dict]], dataset: str) -> list[dict[str, str]]:
    """A row for each script, without the columns that would be empty in all rows.

    The head of the judge column says what judged; where that differs between rows, each cell does.
    """
    reference = reference_of(dataset, set(table))
    judges = {figures["judged_by"] for ways in table.values() for figures in ways.values() if "judge" in figures}
    only_judge = judges.pop() if len(judges) == 1 else ""
    rows = []
    for script, ways in table.items():
        shown = [ways[way] for way in plots.DECODINGS if way in ways]
        row = {"script": script, "seeds": str(len(shown[0]["each"]))}
        for way in plots.DECODINGS:
            row[way] = percent(ways.get(way))
            row[f"{way}, vs {reference}"] = difference(ways.get(way))
        each = [100 * accuracy for accuracy in shown[0]["each"]]
        row["each seed"] = f"{min(each):.1f} to {max(each):.1f} %" if len(each) > 1 else ""
        for name, (head, form) in COLUMNS.items():
            if dataset.startswith(("bfcl", "tools")) and name in NOT_OF_CALLS:
                continue
            figures = next((figures for figures in shown if name in figures), {})
            text = form.format(figures[name]) if figures else ""
            if name == "judge" and only_judge:
                head = f"judge ({only_judge})"
            elif name == "judge" and figures:
                text = f"{text} ({figures['judged_by']})"
            row[head] = text
        known = published.ACCURACIES.get(dataset, {}).items()
        row["published"] = ", ".join(f"{what} {figures[script]} %" for what, figures in known if script in figures)
        rows.append(row)
    return [{name: row[name] for name in row if any(other[name] for other in rows)} for row in rows]


def overview(tables: dict) -> list[dict[str, str]]:
    """A row for each script, a column for each data set of one base: sampled accuracy, else greedy."""
    scripts = sorted({script for table in tables.values() for script in table}, key=rank)
    rows = [{"script": script} for script in scripts]
    for (_, dataset), table in tables.items():
        for row in rows:
            ways = table.get(row["script"], {})
            row[dataset] = percent(next((ways[way] for way in plots.DECODINGS if way in ways), None))
    return rows


def shown_sets(tables: dict) -> tuple[dict, list[str]]:
    """The tables of sets of which any script or study solves anything, and the names of the other sets."""
    shown = {}
    for (base, dataset), table in tables.items():
        solved = any(figures["accuracy"] for ways in table.values() for figures in ways.values())
        if solved or dataset in published.ACCURACIES:
            shown[base, dataset] = table
    shown = shown or tables
    return shown, sorted({dataset for _, dataset in tables.keys() - shown.keys()})


# Markdown.


def markdown_table(rows: list[dict[str, str]]) -> list[str]:
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + " --- |" * len(rows[0])]
    return [*lines, *("| " + " | ".join(row.values()) + " |" for row in rows), ""]


def markdown(name: str, tables: dict, rows: list[dict], parts: list[tuple]) -> str:
    """tables: (base, dataset) -> table; rows: of results.csv, behind them; parts: more tables as (title, rows)."""
    text = [f"# {TITLES[name]}", ""]
    for base in sorted({base for base, _ in tables}):
        ours = {key: table for key, table in tables.items() if key[0] == base}
        if len(ours) > 1:
            shown, unsolved = shown_sets(ours)
            text += [f"## {base}, all sets", "", *markdown_table(overview(shown))]
            if unsolved:
                text += [f"- 0 % for every script: {', '.join(unsolved)}", ""]
        for (_, dataset), table in ours.items():
            n = sorted({figures["n"] for ways in table.values() for figures in ways.values()})
            count = f"{n[0]} to {n[-1]}" if len(n) > 1 else f"{n[0]}"
            text += [f"## {base}, {dataset}, {count} test problems", ""]
            text += markdown_table(table_rows(table, dataset))
    for title, part in parts:
        text += [f"## {title}", "", *markdown_table(part)]
    text += notes(name, tables) + (toolcalls.notes() if parts else [])
    return "\n".join([*text, "", "Commands:", "", "```", *sorted({row["command"] for row in rows}), "```"]) + "\n"


def notes(name: str, tables: dict) -> list[str]:
    """What the scripts and columns of the tables mean."""
    scripts = {script for table in tables.values() for script in table}
    references = dict.fromkeys(reference_of(dataset, set(table)) for (_, dataset), table in tables.items())
    text = [f"- {script}: {note}" for script, note in {**SCRIPTS, **CALL_NOTES}.items() if note and script in scripts]
    text += [
        "- sampled: mean of several completions a problem, 5 at temperature 0.7, top-p 0.8, top-k 20 unless a command",
        "  says otherwise; greedy: one completion. The columns behind these are of the sampled completions, or of the",
        "  greedy ones where none were sampled.",
        "- [ ] behind an accuracy: 95 % Wilson interval over the problems, at the mean over the seeds.",
        f"- vs {' or '.join(references)}: percentage points of difference on the same problems and seeds; 95 %",
        "  bootstrap interval over the problems; p of a paired sign-flip test, corrected (Holm) over the scripts of a",
        "  column. Both are about other problems, not about other seeds: for those see the accuracy of each seed.",
    ]
    if name in published.NOTES or any(dataset in published.ACCURACIES for _, dataset in tables):
        text += [
            "- published, not measured here: Qwen3-4B in the thesis; Qwen2.5-1.5B-Instruct, systems in [-30, 30], in",
            "  the linear study; on other problems than here, number of problems and seeds unknown.",
        ]
    if name in published.NOTES:
        text += [f"- {published.NOTES[name]}"]
    return text


def pass_markdown(tables: dict, items: dict) -> str:
    """tables: (base, dataset) -> what pass_table gives; items: the same with "pass@k" -> what it was made from."""
    text = ["# pass@k: at least one of k completions is correct", ""]
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
        "- Unbiased estimate 1 - C(n - c, k) / C(n, k) from c correct of n completions of a problem, averaged over",
        "  seeds and problems; [ ]: 95 % bootstrap interval over the problems.",
        "- A gain at k = 1 that is gone at the largest k is sharpening: before GRPO a correct completion was among",
        "  the k as well.",
    ]
    return "\n".join(text) + "\n"


# Files: each function writes its own into the folder and returns their names.


def draw_tables(name: str, results: list[dict], items: dict, folder: Path, flips: int) -> list[str]:
    """The tables of that name as .md and .png."""
    rows = [row for row in results if belongs(row["dataset"], name) and row["decoding"] in plots.DECODINGS]
    sets = defaultdict(list)
    for base in sorted({row["base"] for row in rows} - {"none"}):  # the floor stands beside every base
        for row in sorted(rows, key=lambda row: rank_of_set(row["dataset"])):
            if row["base"] in (base, "none"):
                sets[base, row["dataset"]].append({**row, "base": base})
    if not sets:
        return []
    tables = {key: make_table(of_set, items, flips) for key, of_set in sets.items()}
    parts = toolcalls.sections(folder / "toolcalls.csv", rank) if name == "ToolUse" else []
    (folder / f"{name}.md").write_text(markdown(name, tables, rows, parts))
    draw = draw_with_numbers if name == "GRPO_reward" else draw_side_by_side
    draw(tables, TITLES[name], folder / f"{name}.png")
    return [f"{name}.md", f"{name}.png"]


def draw_with_numbers(tables: dict, title: str, picture: Path) -> None:
    sections = {}
    for (base, dataset), table in tables.items():
        rows = table_rows(table, dataset)
        hidden = ["each seed", "published"]  # the picture shows them as marks
        if "sampled, vs SFT" in rows[0]:
            hidden.append("greedy, vs SFT")
        shown = [{head: text for head, text in row.items() if head not in hidden} for row in rows]
        sections[f"{dataset} ({base})"] = (table, shown, published.ACCURACIES.get(dataset, {}))
    plots.with_numbers(sections, title, picture)


def draw_side_by_side(tables: dict, title: str, picture: Path) -> None:
    scripts = sorted({script for table in tables.values() for script in table}, key=rank)
    shown, unsolved = shown_sets(tables)
    note = f"0 % for every script: {', '.join(unsolved)}" if unsolved else ""
    plots.side_by_side(shown, scripts, published.ACCURACIES, CHANCE, title, note, picture)


def draw_pass_at_k(items: dict, folder: Path, samples: int) -> list[str]:
    asked = sorted((key for key in items if key[2] == "pass@k"), key=lambda key: (key[0], rank_of_set(key[1])))
    tables = {key[:2]: pass_table(items[key], samples) for key in asked}
    if not tables:
        return []
    (folder / "pass_at_k.md").write_text(pass_markdown(tables, items))
    plots.pass_at_k(tables, folder / "Pass_at_k.png")
    return ["pass_at_k.md", "Pass_at_k.png"]


def draw_curves(curves: list[dict], folder: Path) -> list[str]:
    if not curves:
        return []
    calls = sorted({row["script"] for row in curves if row["script"].startswith("GRPO_BFCL")})
    plots.curves(curves, {**CURVE_GROUPS, "tool calls": calls}, folder / "Learning_curves.png")
    return ["Learning_curves.png"]


def main(args):
    folder = runs.resolve(args.folder)
    results = measurements.read_results(folder / "results.csv")
    items = measurements.read_items(folder / "items.csv")
    curves = measurements.gather_curves(folder / "curves.csv", runs.resolve(args.outputs))

    drawn = []
    for name in TITLES:
        drawn += draw_tables(name, results, items, folder, args.flips)
    drawn += draw_pass_at_k(items, folder, args.flips)
    drawn += draw_curves(curves, folder)

    print(f"{runs.shown(folder)}: drew {', '.join(drawn)}")


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
