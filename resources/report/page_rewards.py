"""Rewards.md: which reward should I take, and when? Speed and end of the runs that start from SFT-brief.

first      updates until half of the held-out problems are solved for the first time
half       until they are solved for good; a seed that never gets there counts as its last step, here and in the others
formed     until 90 % of the held-out completions are well-formed for the first time
lowest     held-out accuracy at its lowest after `first`
end        accuracy on the test split, sampled and greedy
fall       held-out accuracy at the end minus that at the highest point of the mean curve
"""

import math
import statistics
from itertools import combinations
from pathlib import Path

from resources.report import comparisons, measurements, pages, plots_curves, plots_points, scripts, seeds

IN_DOMAIN = ("linear", "dapo")  # data sets of the end: the first that was tested
LEVELS = {  # name: (column of curves.csv, level, for good)
    "first": ("accuracy", 0.5, False),
    "half": ("accuracy", 0.5, True),
    "formed": ("format", 0.9, False),
}
FAMILIES = {  # of pairs: p is corrected within each
    "the variants with each other": list(combinations(scripts.VARIANTS, 2)),
    "one thing changed": list(scripts.ABLATIONS.items()),
    "other rewards and controls": [(script, "GRPO-1K-def-long") for script in scripts.CONTROLS],
}
ALL = [*scripts.VARIANTS, *scripts.ABLATIONS, *scripts.CONTROLS]
MEASURES = {  # what the pairs are compared by: (title, first script is lower, first script is higher)
    "half": ("Updates to half for good, over seeds", "sooner than", "later than"),
    "end": ("The end, over seeds", "lower than", "higher than"),
    "end_problems": ("The end, over problems", "lower than", "higher than"),
}
EACH_SEED = {  # the tables with the values of every seed: (head, scale)
    "first": ("updates to half, first time", 1),
    "half": ("updates to half, for good", 1),
    "formed": ("updates to 90 % well-formed", 1),
    "sampled": ("end, sampled, %", 100),
    "greedy": ("end, greedy, %", 100),
}
NOTES = """\
- updates to half: until half of the held-out problems are solved (greedy, linear between two measurements), for the
  first time, and for good: never below half afterwards; to 90 % well-formed: for the first time. A seed that never
  gets there counts as its last update, in means and tests; (n of m) says how many seeds get there. lowest between:
  held-out accuracy at its lowest after the first time.
- end: accuracy on the test problems of {dataset}. highest: the highest point of the mean held-out curve, and its
  update; end - highest: of the same curves, over the seeds. The point is chosen for being the highest, so a difference
  of a few points is expected by chance.
- [ ]: 95 % interval of the mean over the seeds (Student's t); of two seeds, both values.
- Pairs: first minus second, paired by seed; p of a paired t-test over the seeds (Student, 1908); for the end ({way})
  also p of a paired sign-flip test over the problems. Each p is corrected (Holm) within its table, the intervals are
  not. Over seeds: would other seeds show it? Over problems: would other problems, with these very checkpoints?
- Commands: of the runs study.sh, of the tests GRPO_reward.md.
"""


def figures_of(curves: dict, results: list[dict], base: str, script: str) -> dict:
    """first, half, formed, lowest, sampled, greedy: seed -> value; first_reached and so on: seeds that get there;
    highest: (step, mean held-out accuracy) and fall: seed -> difference, of the steps that all seeds have."""
    found = {way: {} for way in pages.DECODINGS} | {"highest": None, "fall": {}, "lowest": {}}
    for row in results:
        if row["script"] == script and row["decoding"] in found:
            found[row["decoding"]][row["seed"]] = float(row["accuracy"])
    for name, (column, level, stays) in LEVELS.items():
        known = curves[column].get((base, script), {})
        steps = {seed: seeds.crossing(curve, level, stays) for seed, curve in sorted(known.items())}
        found[f"{name}_reached"] = [seed for seed, step in steps.items() if step is not None]
        found[name] = {seed: float(max(known[seed])) if step is None else step for seed, step in steps.items()}
    known = curves["accuracy"].get((base, script), {})
    for seed in found["first_reached"]:
        found["lowest"][seed] = min(value for step, value in known[seed].items() if step >= found["first"][seed])
    shared = sorted(set.intersection(*map(set, known.values()))) if known else []
    if shared:
        means = {step: statistics.mean(curve[step] for curve in known.values()) for step in shared}
        best = max(shared, key=means.get)
        found["highest"] = (best, means[best])
        found["fall"] = {seed: curve[shared[-1]] - curve[best] for seed, curve in known.items()}
    return found


def difference(ours: dict, theirs: dict) -> tuple:
    """(mean, low, high, p) of ours minus theirs, both seed -> value, over the seeds that both have; () for none."""
    both = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    return (statistics.mean(both), *seeds.interval(both), seeds.paired_t_test(both)) if both else ()


def compare(found: dict, items: dict, pairs: list[tuple], way: str, flips: int) -> dict[tuple, dict]:
    """(script, script) -> half, end and end_problems: (mean, low, high, p corrected within the pairs).

    found: script -> figures_of(); items: script -> seed -> counts of the test problems.
    """
    compared = {}
    fractions = comparisons.fractions(items)
    for ours, theirs in pairs:
        if ours not in found or theirs not in found:
            continue
        row = {"half": difference(found[ours]["half"], found[theirs]["half"])}
        row["end"] = difference(found[ours][way], found[theirs][way])
        mean = comparisons.paired(fractions.get(ours, {}), fractions.get(theirs, {}))
        p = () if mean is None else (comparisons.sign_flip_test(mean, flips),)
        row["end_problems"] = (*row["end"][:3], *p) if row["end"] and p else ()
        compared[ours, theirs] = row
    for name in MEASURES:
        p = {pair: row[name][3] for pair, row in compared.items() if row[name] and not math.isnan(row[name][3])}
        for pair, corrected in comparisons.holm(p).items():
            compared[pair][name] = (*compared[pair][name][:3], corrected)
    return compared


def sentences(compared: dict[tuple, dict]) -> list[str]:
    """Which pairs differ significantly in each measure, and which do not."""
    text = []
    for name, (title, lower, higher) in MEASURES.items():
        apart, alike = [], []
        for (ours, theirs), row in compared.items():
            if not row[name] or math.isnan(row[name][3]):
                continue
            word = lower if row[name][0] < 0 else higher
            if row[name][3] < 0.05:
                apart.append(f"{scripts.short(ours)} {word} {scripts.short(theirs)}")
            else:
                alike.append(f"{scripts.short(ours)} / {scripts.short(theirs)}")
        if apart or alike:
            text += [
                f"- {title}: significantly different: {', '.join(apart) or 'no pair'};",
                f"  not significantly different: {', '.join(alike) or 'no pair'}.",
            ]
    return text


def not_apart(compared: dict, script: str, name: str) -> str:
    """The scripts that cannot be told from this one, in brackets; "" where it was compared with none."""
    p = {}
    for pair, row in compared.items():
        if script in pair and row[name]:
            p[pair[0] if script == pair[1] else pair[1]] = row[name][3]
    alike = [scripts.short(other) for other in p if not p[other] < 0.05]
    if alike:
        return f" (not significantly different: {pages.listed(alike)})"
    return " (significantly different from all others)" if p else ""


def answer(found: dict, compared: dict, way: str) -> list[str]:
    """Which of the variants is the soonest, and which ends highest."""
    known = [script for script in scripts.VARIANTS if script in found]
    means = {script: statistics.mean(found[script]["half"].values()) for script in known}
    best = min(means, key=means.get)
    text = [
        f"- Soonest at half of the held-out problems: **{scripts.short(best)}**, for good after {means[best]:.1f} "
        f"updates{not_apart(compared, best, 'half')}."
    ]
    means = {script: statistics.mean(found[script][way].values()) for script in known if found[script][way]}
    if means:
        best = max(means, key=means.get)
        text += [
            f"- Highest at the end: **{scripts.short(best)}**, {means[best]:.1%} of the test problems, {way}"
            f"{not_apart(compared, best, 'end')}."
        ]
    return [*text, ""]


def table_rows(found: dict) -> list[dict[str, str]]:
    rows = []
    for script, ours in found.items():
        row = {"script": script, "seeds": str(len(ours["half"]))}
        heads = {"formed": "to 90 % well-formed", "first": "to half, first time", "half": "to half, for good"}
        for name, head in heads.items():
            values = ours[name]
            count = f" ({len(ours[f'{name}_reached'])} of {len(values)})" if values else ""
            row[head] = pages.over_seeds([*values.values()]) + count
        row["lowest between"] = pages.over_seeds([*ours["lowest"].values()], 100, unit="%")
        for way in pages.DECODINGS:
            row[f"end, {way}"] = pages.over_seeds([*ours[way].values()], 100, unit="%")
        row["highest held-out"] = "{1:.1%} at {0}".format(*ours["highest"]) if ours["highest"] else ""
        row["end - highest"] = pages.over_seeds([*ours["fall"].values()], 100, sign=True)
        rows.append(row)
    return rows


def each_seed(found: dict, name: str, scale: float) -> list[dict[str, str]]:
    """A row for each script, a column for each seed; > before a seed that never gets there."""
    columns = sorted({seed for ours in found.values() for seed in ours[name]}, key=int)
    rows = []
    for script, ours in found.items():
        missed = set(ours[name]) - set(ours.get(f"{name}_reached", ours[name]))
        cells = {
            f"seed {seed}": ("> " if seed in missed else "") + pages.number(scale * ours[name][seed])
            if seed in ours[name]
            else ""
            for seed in columns
        }
        rows.append({"script": script, **cells})
    return rows


def pair_rows(compared: dict[tuple, dict]) -> list[dict[str, str]]:
    rows = []
    for (ours, theirs), row in compared.items():
        half = ""
        if row["half"]:
            mean, low, high = (pages.number(value, sign=True) for value in row["half"][:3])
            half = f"{mean} [{low}, {high}], {pages.chance(row['half'][3])}".rstrip(", ")
        end = pages.points(row["end"]).rstrip(", ")
        problems = pages.chance(row["end_problems"][3]) if row["end_problems"] else ""
        pair = {"pair": f"{scripts.short(ours)} - {scripts.short(theirs)}"}
        rows.append({**pair, "updates to half": half, "end, over seeds": end, "end, over problems": problems})
    return rows


def start_of_all(results: list[dict]) -> list[str]:
    """A sentence on SFT-brief, from which all of them start; results: of one base and data set."""
    rows = [row for row in results if row["script"] == "SFT-brief"]
    said = []
    for way in pages.DECODINGS:
        ours = [row for row in rows if row["decoding"] == way]
        if ours:
            correct, formed = ([float(row[name]) for row in ours] for name in ("accuracy", "format_rate"))
            said.append(
                f"{way} {pages.over_seeds(correct, 100, unit='%')} correct, {statistics.mean(formed):.0%} well-formed"
            )
    return [f"- The start, SFT-brief: {'; '.join(said)}."] if said else []


def section(base: str, found: dict, results: list[dict], items: dict, dataset: str, flips: int) -> list[str]:
    """The tables and sentences of one base; results: its rows of that data set."""
    way = next((way for way in pages.DECODINGS if any(ours[way] for ours in found.values())), "sampled")
    items = items.get((base, dataset, way), {})
    compared = {title: compare(found, items, pairs, way, flips) for title, pairs in FAMILIES.items()}
    text = [f"## {base}", "", *start_of_all(results), *answer(found, compared["the variants with each other"], way)]
    text += pages.markdown_table(table_rows(found))
    for title, of_family in compared.items():
        if of_family:
            text += [f"### Pairs: {title}", "", *pages.markdown_table(pair_rows(of_family))]
            text += [*sentences(of_family), ""]
    for name, (head, scale) in EACH_SEED.items():
        if any(ours[name] for ours in found.values()):
            text += [f"### Each seed: {head}", "", *pages.markdown_table(each_seed(found, name, scale))]
    return [*text, NOTES.format(dataset=dataset, way=way)]


def draw(curve_rows: list[dict], results: list[dict], items: dict, folder: Path, flips: int) -> list[str]:
    """Rewards.md and its pictures; [] where no variant was trained so long."""
    curves = {column: measurements.by_seed(curve_rows, column) for column in ("accuracy", "format")}
    bases = sorted({base for base, script in curves["accuracy"] if script in scripts.VARIANTS})
    if not bases:
        return []
    text, ends = (
        ["# Which reward should I take, and when?", "", "GRPO from SFT-brief, until the curves are flat.", ""],
        {},
    )
    for base in bases:
        ours = [row for row in results if row["base"] == base]
        dataset = next((name for name in IN_DOMAIN if any(row["dataset"] == name for row in ours)), IN_DOMAIN[0])
        ours = [row for row in ours if row["dataset"] == dataset]
        known = [script for script in ALL if (base, script) in curves["accuracy"]]
        ends[base] = {script: figures_of(curves, ours, base, script) for script in known}
        text += section(base, ends[base], ours, items, dataset, flips)
    (folder / "Rewards.md").write_text("\n".join(text))
    drawn = ["Rewards.md", "Rewards_curves.png"]
    title = "rewards of answer and format"
    plots_curves.rewards(curves, bases, scripts.VARIANTS, title, folder / "Rewards_curves.png")
    drawn += plots_curves.ablations(curves["accuracy"], bases, folder / "Ablations.png")
    if {script for _, script in curves["accuracy"]} & {*scripts.CONTROLS}:
        names, title = [scripts.VARIANTS[0], *scripts.CONTROLS], "GRPO-1K beside other rewards and controls"
        plots_curves.rewards(curves, bases, names, title, folder / "Rewards_others.png")
        drawn.append("Rewards_others.png")
    return drawn + plots_points.ends(ends, folder / "Rewards_end.png")
