"""Teaching.md: does GRPO teach? Greedy accuracy and pass@k of the start and of what was trained from it."""

from pathlib import Path

from common import evaluation
from resources.report import comparisons, measurements, pages, plots_points, scripts

PANELS = {  # of held-out curves: in each list runs one after the other
    "one level": [["teach-level"]],
    "a ladder of levels": [["ladder-1", "ladder-2", "ladder-3"]],
    "two skills composed": [["teach-sum"], ["teach-sum-early"]],
}
NOTES = """\
- 300 updates of GRPO each, from an SFT whose rows all have one way of reasoning: nothing is left but to compute
  better. teach-level and teach-sum stay on the data of their start; ladder-3 climbs from linear over
  linear-harder to linear-hardest, 100 updates on each. Rewards: GRPO-1K-def's; on linear_sum GRPO-Linear's.
- linear_sum: the base has both skills, systems and sums of signed numbers, and never saw them composed. SFT-sum-early
  ends before the composition is learned, SFT-sum while it is, sooner or later on each seed.
- greedy: one completion; [ ]: 95 % Wilson interval over the problems at the mean over the seeds. pass@k: at
  temperature 1, at least one of k completions is correct, unbiased estimate; [ ]: 95 % bootstrap interval over the
  problems.
- minus start: percentage points on the same problems and seeds; 95 % bootstrap interval over the problems; p of a
  paired sign-flip test, corrected (Holm) over all rows of this page that have the column.
- Teaching would raise pass@k at the largest k as well; a gain at k = 1 alone is sharpening: what was among the k
  completions before has become the likely one.
"""


def values_of(items: dict, base: str, dataset: str, script: str) -> dict[str, dict]:
    """measure -> seed -> one value a problem, of greedy, pass@1 and pass@<all completions>."""
    found = {}
    if greedy := items.get((base, dataset, "greedy"), {}).get(script):
        found["greedy"] = comparisons.fractions({script: greedy})[script]
    if passed := items.get((base, dataset, "pass@k"), {}).get(script):
        most = min(n for _, n in passed.values())
        found |= {f"pass@{k}": comparisons.pass_values(passed, k) for k in sorted({1, most})}
    return found


def measure(items: dict, base: str, flips: int) -> tuple[dict, dict]:
    """Of one base: (dataset, script) -> values_of(); measure -> (dataset, script) -> (difference to the start, low,
    high, p corrected over all of the measure)."""
    known = {}
    for dataset, names in scripts.TAUGHT.items():
        measured = {(dataset, script): values_of(items, base, dataset, script) for script in ["base", *names]}
        if any(values and script != "base" for (_, script), values in measured.items()):
            known |= {key: values for key, values in measured.items() if values}
    against = {}
    for name in dict.fromkeys(name for values in known.values() for name in values):
        of_measure = {key: values[name] for key, values in known.items() if name in values}
        starts = {(dataset, script): scripts.TAUGHT[dataset].get(script) for dataset, script in of_measure}
        trained = {key: (key[0], start) for key, start in starts.items() if start}
        against[name] = comparisons.compare(of_measure, trained, flips)
    return known, against


def cell(name: str, values: dict, flips: int) -> str:
    """A measure of one script with its interval over the problems."""
    mean = comparisons.mean_of(values)
    if name == "greedy":
        low, high = evaluation.wilson(float(mean.mean()), len(mean))
    else:
        low, high = comparisons.bootstrap(mean, flips)
    return f"{mean.mean():.1%} [{low:.1%}, {high:.1%}]"


def table_rows(known: dict, against: dict, dataset: str, flips: int) -> list[dict[str, str]]:
    rows = []
    for (of, script), values in known.items():
        if of == dataset:
            row = {"script": script, "seeds": str(len(next(iter(values.values()))))}
            for name in against:
                row[name] = cell(name, values[name], flips) if name in values else ""
                row[f"{name}, minus start"] = pages.points(against[name].get((of, script)))
            rows.append(row)
    return rows


def sentences(known: dict, against: dict) -> list[str]:
    """For each trained script and data set: which measures rise or fall significantly."""
    text = []
    for dataset, script in known:
        ways = {"up": [], "down": [], "no significant difference": []}
        for name, found in against.items():
            if figures := found.get((dataset, script)):
                way = "up" if figures[0] > 0 else "down"
                ways[way if figures[3] < 0.05 else "no significant difference"].append(name)
        said = [f"{way}: {pages.listed(names)}" for way, names in ways.items() if names]
        if said:
            text.append(f"- {script} on {dataset} ({'; '.join(said)}).")
    return [*text, ""] if text else []


def picture_of(items: dict, curves: dict, base: str, head: str, flips: int) -> tuple[dict, dict]:
    """The panels of one base, as plots_points.teaching() takes them; head: for the title of each."""
    passes = {}
    for dataset, names in scripts.TAUGHT.items():
        of_set = items.get((base, dataset, "pass@k"), {})
        if set(names) & set(of_set):
            passes[dataset + head] = {
                script: comparisons.pass_at_each_k(of_set[script], flips) for script in names if script in of_set
            }
    lines = {}
    for title, chains in PANELS.items():
        of_panel = []
        for chain in chains:
            after = 0
            for script in chain:
                if known := curves.get((base, script)):
                    of_panel.append((script, known, after))
                    after += max(max(steps) for steps in known.values())
        if of_panel:
            lines[title + head] = of_panel
    return passes, lines


def draw(curve_rows: list[dict], items: dict, folder: Path, flips: int) -> list[str]:
    """Teaching.md and .png; [] where nothing of it was tested."""
    asked = [key for key, of_set in items.items() if key[1] in scripts.TAUGHT and scripts.TEACHING & set(of_set)]
    bases = sorted({base for base, _, _ in asked})
    if not bases:
        return []
    curves = measurements.by_seed(curve_rows, "accuracy")
    text = ["# Does GRPO teach?", ""]
    for base in bases:
        known, against = measure(items, base, flips)
        text += [f"## {base}", "", *sentences(known, against)]
        for dataset in dict.fromkeys(dataset for dataset, _ in known):
            text += [f"### {dataset}", "", *pages.markdown_table(table_rows(known, against, dataset, flips))]
    (folder / "Teaching.md").write_text("\n".join([*text, NOTES]))
    heads = {base: f"\n({base})" if len(bases) > 1 else "" for base in bases}
    rows = [picture_of(items, curves, base, head, flips) for base, head in heads.items()]
    plots_points.teaching(rows, folder / "Teaching.png")
    return ["Teaching.md", "Teaching.png"]
