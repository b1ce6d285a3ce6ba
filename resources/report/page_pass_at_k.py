"""pass_at_k.md: at least one of k completions is correct. Does GRPO add skill, or sharpen what the base can do?"""

from pathlib import Path

from resources.report import comparisons, pages, plots_points, scripts
from resources.report.page_accuracy import rank_of_set

NOTES = """\
- Unbiased estimate 1 - C(n - c, k) / C(n, k) from c correct of n completions of a problem, averaged over
  seeds and problems; [ ]: 95 % bootstrap interval over the problems.
- A gain at k = 1 that is gone at the largest k is sharpening: before GRPO a correct completion was among
  the k as well.
"""


def pass_table(items: dict, samples: int) -> dict[str, dict[int, tuple]]:
    """script -> k -> (pass@k, low, high), for items as script -> seed -> (counts, completions an item)."""
    return {script: comparisons.pass_at_each_k(items[script], samples) for script in sorted(items, key=scripts.rank)}


def table_rows(table: dict[str, dict[int, tuple]], items: dict) -> list[dict[str, str]]:
    """table: of pass_table(); items: what it was made from."""
    ks, rows = sorted({k for row in table.values() for k in row}), []
    for script, row in table.items():
        seeds = items[script].values()
        count = max(len(counts) for counts, _ in seeds)
        cells = {f"k = {k}": "{:.1%} [{:.1%}, {:.1%}]".format(*row[k]) if k in row else "" for k in ks}
        rows.append({"script": script, "seeds": str(len(seeds)), "problems": str(count), **cells})
    return rows


def pictured(tables: dict) -> dict:
    """At most six scripts of each data set; those of Teaching.md have a picture of their own."""
    shown = {}
    for key, table in tables.items():
        taught = {*scripts.TAUGHT.get(key[1], {})} - {*scripts.PICTURED["Pass_at_k"]}
        others = [script for script in table if script not in taught]
        if few := scripts.chosen("Pass_at_k", others, 6):
            shown[key] = {script: table[script] for script in few}
    return {key: table for key, table in shown.items() if set(table) != {"base"}} or shown


def draw(items: dict, folder: Path, samples: int) -> list[str]:
    asked = sorted((key for key in items if key[2] == "pass@k"), key=lambda key: (key[0], rank_of_set(key[1])))
    tables = {key[:2]: pass_table(items[key], samples) for key in asked}
    if not tables:
        return []
    text = ["# pass@k: at least one of k completions is correct", ""]
    for (base, dataset), table in tables.items():
        text += [f"## {base}, {dataset}", ""]
        text += pages.markdown_table(table_rows(table, items[base, dataset, "pass@k"]))
    (folder / "pass_at_k.md").write_text("\n".join([*text, NOTES]))
    drawn = ["pass_at_k.md"]
    if shown := pictured(tables):
        plots_points.pass_at_k(shown, folder / "Pass_at_k.png")
        drawn.append("Pass_at_k.png")
    return drawn
