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
OF_SCORES = """\
flexible: the answer counts wherever it stands in a completion; strict: only between its tags."""


def leading(items: dict, key: tuple) -> str:
    """flexible, where every script and seed of the data set has that score, else strict."""
    flexible = items["flexible"].get(key, {})
    for script, seeds in items["strict"].get(key, {}).items():
        if flexible.get(script, {}).keys() != seeds.keys():
            return "strict"
    return "flexible"


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
    """pass_at_k.md and Pass_at_k.png; [] where nothing was tested so.

    items: score -> what measurements.read_items() gives; starts: base -> script -> start.
    """
    text = []
    leads = {key: leading(items, key) for key in items["strict"] if key[2] == "pass@k"}
    panels = {}
    for base in sorted({base for base, _, _ in leads}):
        tested = {dataset for of, dataset, _ in leads if of == base}
        rows = []
        for dataset in dict.fromkeys([*pages.PASSES, *sorted(tested)]):
            key = (base, dataset, "pass@k")
            score = leads.get(key, "strict")
            of_set = items[score].get(key, {})
            scripts = pages.of_table(pages.PASSES.get(dataset, pages.PASSES["linear"]), of_set)
            if scripts:
                named = f"{dataset}, {score}" if "flexible" in leads.values() else dataset
                rows += table_rows(named, of_set, starts[base], scripts, flips)
                panels[f"{dataset} ({base})"] = {s: comparisons.pass_at_each_k(of_set[s], flips) for s in scripts}
        if rows:
            text += [f"Base: {base}.", "", *pages.markdown_table(rows[: pages.ROWS])]
    if not panels:
        return []
    plots.pass_at_k(panels, folder / "Pass_at_k.png")
    notes = f"{OF_SCORES}\n\n{NOTES}" if "flexible" in leads.values() else NOTES
    return [pages.write("pass_at_k.md", QUESTION, text, "Pass_at_k.png", notes, folder), "Pass_at_k.png"]
