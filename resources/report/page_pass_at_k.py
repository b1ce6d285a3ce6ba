"""pass_at_k: at least one of k completions is correct. Does GRPO add skill, or make likely what was possible?"""

from pathlib import Path

from resources.report import comparisons, page_accuracy, pages, plots

QUESTION = "Does GRPO add skill, or make likely what was possible?"
NOTES = """\
pass@k: at temperature 1, at least one of k completions is correct. Unbiased estimate 1 - C(n - c, k) / C(n, k) from c
correct of n completions of a problem, averaged over seeds and problems; [ ]: 95 % bootstrap interval over the problems.
vs start: percentage points to the start, or where that was not tested, to what that started from; p of a paired
sign-flip test over the problems, corrected (Holm) over the scripts of a data set. A gain at k = 1 that is gone at the
largest k is sharpening: before GRPO a correct completion was among the k as well."""


def table_rows(
    dataset: str, items: dict, starts: dict[str, str], scripts: list[str], flips: int
) -> list[dict[str, str]]:
    """A row for each script with pass@1 and pass@<all completions>; items: script -> seed -> (counts, completions)."""
    most = min(n for seeds in items.values() for _, n in seeds.values())
    references = {script: page_accuracy.reference_of(script, starts, items) for script in items}
    rows = [{"data set": dataset, "script": script, "vs": references[script]} for script in scripts]
    for k in (1, most):
        values = {script: comparisons.pass_values(seeds, k) for script, seeds in items.items()}
        compared = comparisons.compare(values, references, flips)
        for row in rows:
            mean = comparisons.mean_of(values[row["script"]])
            row[f"pass@{k}"] = pages.estimate(mean.mean(), *comparisons.bootstrap(mean, flips))
            row[f"pass@{k}, vs start"] = pages.difference(compared.get(row["script"]))
    return rows


def draw(items: dict, starts: dict, folder: Path, flips: int) -> list[str]:
    """pass_at_k.md and Pass_at_k.png; [] where nothing was tested so. starts: base -> script -> start."""
    text = []
    panels = {}
    for base in sorted({base for base, _, way in items if way == "pass@k"}):
        tested = {dataset for of, dataset, way in items if (of, way) == (base, "pass@k")}
        rows = []
        for dataset in dict.fromkeys([*pages.PASSES, *sorted(tested)]):
            of_set = items.get((base, dataset, "pass@k"), {})
            scripts = pages.of_table(pages.PASSES.get(dataset, pages.PASSES["linear"]), of_set)
            if scripts:
                rows += table_rows(dataset, of_set, starts[base], scripts, flips)
                panels[f"{dataset} ({base})"] = {s: comparisons.pass_at_each_k(of_set[s], flips) for s in scripts}
        if rows:
            text += [f"Base: {base}.", "", *pages.markdown_table(rows[: pages.ROWS])]
    if not panels:
        return []
    plots.pass_at_k(panels, folder / "Pass_at_k.png")
    return [pages.write("pass_at_k.md", QUESTION, text, "Pass_at_k.png", NOTES, folder), "Pass_at_k.png"]
