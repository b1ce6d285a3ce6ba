"""The tables of toolcalls.csv: measures of tool calls by tool, and the rates of each kind of failure."""

import statistics
from collections import defaultdict
from pathlib import Path

from common import evaluation
from resources.report import measurements
from ToolUse.tooluse import episodes


def read(path: Path) -> dict:
    """(base, dataset) -> decoding -> (script, measure, tool) -> (rates of the seeds, n)."""
    found = defaultdict(lambda: defaultdict(dict))
    texts = ("script", "base", "dataset", "split", "decoding", "measure", "tool")
    for row in measurements.read_rows(path, texts, ["seed", "n"], ["rate"]):
        if measurements.is_test(row):
            cells = found[row["base"], row["dataset"]][row["decoding"]]
            rates, _ = cells.get((row["script"], row["measure"], row["tool"]), ([], 0))
            cells[row["script"], row["measure"], row["tool"]] = ([*rates, float(row["rate"])], int(row["n"]))
    return found


def cell(known: tuple | None) -> str:
    """Mean over the seeds, with a Wilson interval over the questions."""
    if not known:
        return ""
    mean, (low, high) = statistics.mean(known[0]), evaluation.wilson(statistics.mean(known[0]), known[1])
    return f"{mean:.1%} [{low:.1%}, {high:.1%}]"


def sections(path: Path, rank) -> list[tuple[str, list[dict[str, str]]]]:
    """(title, rows) of each table, failures by kind and measures by tool: of samples, else of greedy conversations."""
    made = []
    for (base, dataset), ways in sorted(read(path).items()):
        way = "sampled" if "sampled" in ways else "greedy"
        cells = ways[way]
        scripts = sorted({script for script, _, _ in cells}, key=rank)
        tools = sorted({tool for _, _, tool in cells} - {"all", episodes.NONE})
        rows = [
            {"script": script, **{kind: cell(cells.get((script, kind, "all"))) for kind in episodes.FAILURES}}
            for script in scripts
        ]
        made.append((f"{base}, {dataset}: fraction of questions with each failure, {way}", rows))
        rows = []
        for script in scripts:
            for tool in [*tools, episodes.NONE]:
                n = max((known[1] for (s, _, t), known in cells.items() if (s, t) == (script, tool)), default=0)
                measured = {measure: cell(cells.get((script, measure, tool))) for measure in episodes.MEASURES}
                rows.append({"script": script, "tool wanted": tool, "n": str(n), **measured})
        made.append((f"{base}, {dataset}: by tool, {way}", rows))
    return made


def notes() -> list[str]:
    """What the measures and failures mean."""
    known = episodes.MEASURES | episodes.FAILURES
    return [f"- {name}: {meaning}." for name, meaning in known.items()]
