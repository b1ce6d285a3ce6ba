"""GRPO_reward, Out-domain, BFCL, Teaching and ToolUse: accuracy of each checkpoint, beside what it started from.

score      flexible: the answer counts wherever it stands in a completion; strict: only between its tags. Flexible leads
           where it was measured (calls and dialogues have the strict score alone)
accuracy   mean over seeds; 95 % Wilson interval over the problems at that mean
vs start   fraction of correct completions of a problem minus that of the start on the same problem and seed, averaged
           over the seeds that both have; 95 % bootstrap interval over the problems; p of a two-sided sign-flip test
           over the problems, corrected by Holm over all scripts that were tested on the data set (comparisons.py)
"""

import itertools
import statistics
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from common import evaluation
from resources.report import comparisons, measurements, pages, plots

NOTES = """\
Sampled completions, 5 a problem at temperature 0.7, top-p 0.8 and top-k 20, or greedy ones where none were sampled;
95 % Wilson interval over the problems. vs start: percentage points to the start on the same problems and seeds, or,
where the start was not tested, to the start of that; 95 % bootstrap interval; p of a paired sign-flip test, corrected
(Holm). Both are about other problems, not about other seeds; results.csv has each seed."""
OF_SCORES = """\
flexible: the answer counts wherever it stands in a completion; strict: only between its tags. Intervals, seeds and vs
start are of the flexible score where it was measured; a ring is strict."""
PICTURED = ["GRPO_reward", "BFCL", "Teaching", "ToolUse"]


def reference_of(script: str, starts: dict[str, str], tested: Collection[str]) -> str:
    """What a script is compared with: its start, or where that was not tested, what that started from; "" for none."""
    start = starts.get(script, "")
    for _ in starts:  # as often as there are names: of one's own, names may lead in a circle
        if start in tested:
            return start
        start = starts.get(start, "")
    return ""


def over_seeds(rows: list[dict], score: str = "strict") -> dict:
    """Mean accuracy of one script, with a Wilson interval over the problems, and the accuracy of each seed."""
    accuracies = [float(row[measurements.SCORES[score]]) for row in rows]
    problems = min(int(row["n"]) for row in rows)
    mean = statistics.mean(accuracies)
    low, high = evaluation.wilson(mean, problems)
    return {"accuracy": mean, "low": low, "high": high, "each": accuracies, "n": problems}


def make_table(rows: list[dict], items: dict, starts: dict[str, str], flips: int) -> dict[str, dict[str, dict]]:
    """script -> decoding -> score -> figures over seeds, with the comparison under "against" where the items allow one.

    rows: of results.csv, all of one base and data set; items: score -> what measurements.read_items() gives. A script
    has the flexible score where each of its rows has it.
    """
    cells = defaultdict(lambda: defaultdict(list))
    for row in rows:
        cells[row["script"]][row["decoding"]].append(row)
    table = {}
    for script, ways in cells.items():
        table[script] = {way: scores_of(ways[way]) for way in pages.DECODINGS if way in ways}
    for way, score in itertools.product(pages.DECODINGS, measurements.SCORES):
        of_way = items.get(score, {}).get((rows[0]["base"], rows[0]["dataset"], way), {})
        values = comparisons.fractions({script: seeds for script, seeds in of_way.items() if script in table})
        references = {script: reference_of(script, starts, values) for script in values}
        for script, against in comparisons.compare(values, references, flips).items():
            if score in table[script].get(way, {}):
                table[script][way][score]["against"] = against
    return table


def scores_of(rows: list[dict]) -> dict[str, dict]:
    """score -> figures over seeds, of one script and decoding."""
    scores = {}
    for score, column in measurements.SCORES.items():
        if all(row.get(column) for row in rows):
            scores[score] = over_seeds(rows, score)
    return scores


def first_way(ways: dict[str, dict]) -> dict[str, dict]:
    """score -> figures of the sampled completions, else of the greedy ones."""
    return next((ways[way] for way in pages.DECODINGS if way in ways), {})


def leading(table: dict[str, dict]) -> str:
    """The score that stands first in a table and is compared with the start: flexible where a script has it."""
    has_flexible = any("flexible" in first_way(ways) for ways in table.values())
    return "flexible" if has_flexible else "strict"


def table_rows(tables: dict[str, dict], page: pages.Page, starts: dict[str, str]) -> list[dict[str, str]]:
    """A row for each script; tables: data set -> table of make_table()."""
    tested = {script for table in tables.values() for script in table}
    rows = []
    for script in pages.of_table(page.scripts, tested, page.own):
        row = {"script": script, "start": starts.get(script, ""), "seeds": ""}
        for dataset, table in tables.items():
            scores = first_way(table.get(script, {}))
            first = leading(table)
            if scores:
                row["seeds"] = row["seeds"] or str(len(scores["strict"]["each"]))
            figures = scores.get(first)
            head = f"{dataset}, flexible" if first == "flexible" else dataset
            row[head] = ""
            if figures:
                row[head] = pages.estimate(figures["accuracy"], figures["low"], figures["high"])
            if first == "flexible":
                row[f"{dataset}, strict"] = f"{pages.number(100 * scores['strict']['accuracy'])}%" if scores else ""
            if dataset not in pages.MEASURES:
                row[f"{dataset}, vs start"] = pages.difference(figures.get("against") if figures else None)
        rows.append(row)
    return rows


def sets_of(name: str, tables: dict) -> list[str]:
    """The data sets of a page that were tested, in its order; GRPO_reward takes those of one's own too."""
    sets = list(pages.ACCURACIES[name].sets)
    if name == "GRPO_reward":
        others = {dataset for page in pages.ACCURACIES.values() for dataset in page.sets}
        sets += sorted(set(tables) - others - {"linear_x"})  # which Calibration.md has
    return [dataset for dataset in sets if dataset in tables]


def measure(results: list[dict], items: dict, flips: int) -> dict[str, dict[str, dict]]:
    """base -> data set -> table; a checkpoint that never calls, of no base, stands beside every base."""
    starts = measurements.starts_of(results)
    rows = defaultdict(list)
    for row in results:
        if row["decoding"] in pages.DECODINGS and row["split"] != "official":
            rows[row["base"], row["dataset"]].append(row)
    tables = defaultdict(dict)
    for (base, dataset), ours in rows.items():
        if base != "none":
            floor = [{**row, "base": base} for row in rows.get(("none", dataset), [])]
            tables[base][dataset] = make_table([*ours, *floor], items, starts[base], flips)
    return tables


def draw(name: str, measured: dict, starts: dict, folder: Path) -> list[str]:
    """The page of that name and its picture; [] where nothing of it was tested. measured: of measure()."""
    page = pages.ACCURACIES[name]
    text = []
    panels = {}
    for base in sorted(measured):
        tables = {dataset: measured[base][dataset] for dataset in sets_of(name, measured[base])}
        rows = table_rows(tables, page, starts[base])
        if rows and (page.own or len(rows) > 1):  # of SFT alone there is nothing to compare
            text += [f"Base: {base}.", "", *pages.markdown_table(rows)]
            panels |= {(base, dataset): table for dataset, table in tables.items()}
    if not panels:
        return []
    notes = f"{NOTES}\n\n{page.notes}"
    if any(leading(table) == "flexible" for table in panels.values()):
        notes = f"{OF_SCORES}\n\n{notes}"
    if name not in PICTURED:
        return [pages.write(f"{name}.md", page.question, text, "", notes, folder)]
    tested = {script for table in panels.values() for script in table}
    plots.forests(panels, pages.of_table(page.scripts, tested, page.own), page.question, folder / f"{name}.png")
    return [pages.write(f"{name}.md", page.question, text, f"{name}.png", notes, folder), f"{name}.png"]
