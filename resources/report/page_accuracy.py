"""GRPO_reward, Out-domain, BFCL and ToolUse: accuracy of every script on every data set, beside what it started from.

accuracy   mean over seeds; 95 % Wilson interval over the problems at that mean
vs start   fraction of correct completions of a problem minus that of the start on the same problem and seed, averaged
           over the seeds that both have; 95 % bootstrap interval over the problems; p of a two-sided sign-flip test
           over the problems, corrected by Holm over the scripts of one column (comparisons.py)
judge      by arithmetic: 10 * the fraction of the arithmetic in the reasoning that is correct; or the score, 0 to 10,
           that a model gave (--judge of the tests)
"""

import statistics
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from common import evaluation
from resources.report import comparisons, pages, plots, published, scripts, toolcalls
from ToolUse.tooluse import episodes

OUT_DOMAIN = ["yes_no", "multiple_choice", "word_problem", "boolq", "commonsense_qa", "arc_challenge", "gsm8k"]
DATASETS = ["linear", "dapo", "linear_x", "linear_sum", "linear-harder", "math500", *OUT_DOMAIN]
DATASETS += ["bfcl_single", "bfcl_multi"]  # then any other
DATASETS += ["tools", *(f"tools:{measure}" for measure in episodes.MEASURES)]
CHANCE = {"yes_no": 50, "boolq": 50, "multiple_choice": 25, "arc_challenge": 25, "commonsense_qa": 20}  # % by guessing
TITLES = {  # of the tables and pictures of that name
    "GRPO_reward": "In-domain: base, SFT and the GRPO variants",
    "Out-domain": "Out-domain: tasks that were not trained on",
    "BFCL": "BFCL: perfect matches of tool calls",
    "ToolUse": "Tool use: questions answered without a failure, and five measures",
}
PANELS = {"Out-domain": (3, 6, 12), "BFCL": (2, 2, 13), "ToolUse": (3, 6, 10)}  # in a row, of a base; scripts
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
    table = {s: {way: over_seeds(cells[s][way]) for way in sorted(cells[s])} for s in sorted(cells, key=scripts.rank)}
    base, dataset = rows[0]["base"], rows[0]["dataset"]
    for decoding in pages.DECODINGS:
        known = items.get((base, dataset, decoding), {})
        known = comparisons.fractions({script: seeds for script, seeds in known.items() if script in table})
        references = {script: scripts.reference_of(script, dataset, known) for script in known}
        for script, against in comparisons.compare(known, references, flips).items():
            if decoding in table[script]:
                table[script][decoding]["against"] = against
    return table


# Tables as text: a row for each script, column -> text.


def percent(figures: dict | None) -> str:
    return "{accuracy:.1%} [{low:.1%}, {high:.1%}]".format(**figures) if figures else ""


def difference(figures: dict | None) -> str:
    return pages.points((figures or {}).get("against"))


def start(script: str, dataset: str, tested: Collection[str]) -> str:
    """What a script started from, and what it is compared with where that is another."""
    said, reference = scripts.start_of(script, dataset), scripts.reference_of(script, dataset, tested)
    if not reference or said == reference or (said, reference) == ("SFT-brief", "SFT"):
        return reference or said
    return f"{said} (compared with {reference})"


def table_rows(table: dict[str, dict[str, dict]], dataset: str) -> list[dict[str, str]]:
    """A row for each script, without the columns that would be empty in all rows.

    The head of the judge column says what judged; where that differs between rows, each cell does.
    """
    judges = {figures["judged_by"] for ways in table.values() for figures in ways.values() if "judge" in figures}
    only_judge = judges.pop() if len(judges) == 1 else ""
    rows = []
    for script, ways in table.items():
        shown = [ways[way] for way in pages.DECODINGS if way in ways]
        row = {"script": script, "start": start(script, dataset, table), "seeds": str(len(shown[0]["each"]))}
        for way in pages.DECODINGS:
            row[way] = percent(ways.get(way))
            row[f"{way}, vs start"] = difference(ways.get(way))
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
    return rows


def overview(tables: dict) -> list[dict[str, str]]:
    """A row for each script, a column for each data set of one base: sampled accuracy, else greedy."""
    rows = [{"script": script} for script in sorted({s for table in tables.values() for s in table}, key=scripts.rank)]
    for (_, dataset), table in tables.items():
        for row in rows:
            ways = table.get(row["script"], {})
            row[dataset] = percent(next((ways[way] for way in pages.DECODINGS if way in ways), None))
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


def above_guessing(tables: dict) -> tuple[dict, list[str]]:
    """The tables of sets on which any script solves more than by guessing, and the names of the other sets."""
    shown = {}
    for (base, dataset), table in tables.items():
        best = max(figures["accuracy"] for ways in table.values() for figures in ways.values())
        if best > CHANCE.get(dataset, 0) / 100:
            shown[base, dataset] = table
    shown = shown or tables
    return shown, sorted({dataset for _, dataset in tables.keys() - shown.keys()}, key=rank_of_set)


# Markdown.


def markdown(name: str, tables: dict, rows: list[dict], parts: list[tuple]) -> str:
    """tables: (base, dataset) -> table; rows: of results.csv, behind them; parts: more tables as (title, rows)."""
    text = [f"# {TITLES[name]}", ""]
    for base in sorted({base for base, _ in tables}):
        ours = {key: table for key, table in tables.items() if key[0] == base}
        if len(ours) > 1:
            shown, unsolved = shown_sets(ours)
            text += [f"## {base}, all sets", "", *pages.markdown_table(overview(shown))]
            if unsolved:
                text += [f"- 0 % for every script: {', '.join(unsolved)}", ""]
        for (_, dataset), table in ours.items():
            n = sorted({figures["n"] for ways in table.values() for figures in ways.values()})
            count = f"{n[0]} to {n[-1]}" if len(n) > 1 else f"{n[0]}"
            text += [f"## {base}, {dataset}, {count} test problems", ""]
            text += pages.markdown_table(table_rows(table, dataset))
    for title, part in parts:
        text += [f"## {title}", "", *pages.markdown_table(part)]
    text += notes(name, tables) + (toolcalls.notes() if parts else [])
    return "\n".join([*text, "", "Commands:", "", "```", *sorted({row["command"] for row in rows}), "```"]) + "\n"


def notes(name: str, tables: dict) -> list[str]:
    """What the scripts and columns of the tables mean."""
    shown = {script for table in tables.values() for script in table}
    text = [f"- {script}: {note}" for script, (_, note) in scripts.STARTS.items() if note and script in shown]
    text += [
        "- sampled: mean of several completions a problem, 5 at temperature 0.7, top-p 0.8, top-k 20 unless a command",
        "  says otherwise; greedy: one completion. The columns behind these are of the sampled completions, or of the",
        "  greedy ones where none were sampled.",
        "- [ ] behind an accuracy: 95 % Wilson interval over the problems, at the mean over the seeds.",
        "- vs start: percentage points of difference to the start on the same problems and seeds, or, where the start",
        "  was not tested, to the start of that; 95 % bootstrap interval over the problems; p of a paired sign-flip",
        "  test, corrected (Holm) over the scripts of a column. Both are about other problems, not about other seeds:",
        "  for those see the accuracy of each seed.",
    ]
    if name in published.NOTES or any(dataset in published.ACCURACIES for _, dataset in tables):
        text += [
            "- published, not measured here: Qwen3-4B in the thesis; Qwen2.5-1.5B-Instruct, systems in [-30, 30], in",
            "  the linear study; on other problems than here, number of problems and seeds unknown.",
        ]
    if name in published.NOTES:
        text += [f"- {published.NOTES[name]}"]
    return text


# Files: each function writes its own into the folder and returns their names.


def draw(name: str, results: list[dict], items: dict, folder: Path, flips: int) -> list[str]:
    """The tables of that name as .md and .png."""
    rows = [row for row in results if belongs(row["dataset"], name) and row["decoding"] in pages.DECODINGS]
    sets = defaultdict(list)
    for base in sorted({row["base"] for row in rows} - {"none"}):  # the floor stands beside every base
        for row in sorted(rows, key=lambda row: rank_of_set(row["dataset"])):
            if row["base"] in (base, "none"):
                sets[base, row["dataset"]].append({**row, "base": base})
    if not sets:
        return []
    tables = {key: make_table(of_set, items, flips) for key, of_set in sets.items()}
    parts = toolcalls.sections(folder / "toolcalls.csv", scripts.rank) if name == "ToolUse" else []
    (folder / f"{name}.md").write_text(markdown(name, tables, rows, parts))
    picture = draw_with_numbers if name == "GRPO_reward" else draw_side_by_side
    picture(name, tables, folder / f"{name}.png")
    return [f"{name}.md", f"{name}.png"]


def draw_with_numbers(name: str, tables: dict, path: Path) -> None:
    """The first data set of each base, a few scripts, with numbers beside them."""
    sections = {}
    for (base, dataset), table in tables.items():
        if not any(head.endswith(f"({base})") for head in sections):
            few = {script: table[script] for script in scripts.chosen(name, table, 10)}
            rows = []
            for ways in few.values():
                row = {way: f"{100 * ways[way]['accuracy']:.1f}" if way in ways else "" for way in pages.DECODINGS}
                against = next(
                    (ways[way]["against"] for way in pages.DECODINGS if "against" in ways.get(way, {})), None
                )
                rows.append({**row, "vs start": short_difference(against)})
            sections[f"{dataset} ({base})"] = (few, rows)
    below = (
        "vs start: percentage points to what the script started from, sampled where it was sampled; p: paired over the "
    )
    plots.with_numbers(
        sections,
        TITLES[name],
        f"{below}problems, corrected (Holm). All scripts, data sets and starts: {name}.md.",
        path,
    )


def short_difference(against: tuple | None) -> str:
    return f"{pages.number(100 * against[0], sign=True)}, {pages.chance(against[3])}" if against else ""


def counted(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} sets"


def draw_side_by_side(name: str, tables: dict, path: Path) -> None:
    """The first data sets of each base; which others the Markdown has stands below."""
    across, most, lines = PANELS[name]
    solved, unsolved = above_guessing(tables)
    shown = {}
    for base in sorted({base for base, _ in solved}):
        shown |= dict([item for item in solved.items() if item[0][0] == base][:most])
    names = scripts.chosen(name, {script for table in shown.values() for script in table}, lines)
    left_out = sorted({dataset for _, dataset in solved.keys() - shown.keys()}, key=rank_of_set)
    below = f"{name}.md has also: {counted(left_out)}. " if left_out else ""
    below += f"Nothing above guessing: {counted(unsolved)}." if unsolved else ""
    plots.side_by_side(shown, names, CHANCE, TITLES[name], below, across, path)
