"""Rewards and Ablations: speed and end of the runs from SFT-brief that went on until their curves were flat.

formed     updates until 90 % of the held-out completions are well-formed for the first time
half       updates until half of the held-out problems are solved for good
           (in both a seed that never gets there counts as its last step)
end        accuracy on the test split, sampled, else greedy
half and end are of the flexible score where every one of these runs has it, else of the strict one
"""

import math
from itertools import combinations
from pathlib import Path

from resources.report import comparisons, measurements, pages, plots

SCRIPTS = [*pages.VARIANTS, *pages.ABLATIONS, *pages.CONTROLS]
IN_DOMAIN = ("linear", "dapo")  # data sets of the end: the first that was tested
LEVELS = {  # name: (column of curves.csv, level, for good)
    "formed": ("format", 0.9, False),
    "half": ("accuracy", 0.5, True),
}
MEASURES = {"half": "updates to half", "end": "end, over seeds", "problems": "end, over problems"}
OF_CONTROLS = "GRPO-1K-def-long"  # what other rewards and controls are compared with
FAMILIES = [  # of pairs: p is corrected within each
    list(combinations(pages.VARIANTS, 2)),
    list(pages.ABLATIONS.items()),
    [(script, OF_CONTROLS) for script in pages.CONTROLS],
]
NOTES = """\
From SFT-brief. to 90 % well-formed: updates until so many held-out completions are well-formed for the first time. to
half: until half of the 100 held-out problems are solved for good (greedy, linear between two measurements). A seed that
never gets there counts as its last update; (n of m): how many do. end: test problems. [ ]: 95 % interval over the seeds
(Student's t). minus: difference to the script named there, paired by seed; p of a paired t-test, for the end also of a
paired sign-flip test over the problems; each corrected (Holm) over all pairs of the rewards, of the changes, or of the
controls. Over seeds: would other seeds show it? Over problems: would other problems, with these very checkpoints? The
values of each seed are in results.csv and curves.csv."""
OF_SCORES = """\
half and end: the flexible score, the answer counts wherever it stands in a completion; end, strict: the score that the
rewards ask for, the answer counts only between its tags."""
CHANGES = """\
Everything as in the run named under minus, but: half-rate, half the learning rate; answer-0.8, 0.2 for the format and
0.8 for the answer in place of 0.6 and 0.4; no-near, an answer close to the truth is rewarded as an incorrect one;
no-penalties, no component is below 0; no-number and no-graded, without that reward."""


def leading(curves: list[dict], results: list[dict]) -> str:
    """flexible, where every measurement of SCRIPTS has that score, else strict; rows of curves.csv and results.csv."""
    ends = [row for row in results if row["dataset"] in IN_DOMAIN]
    measured = [row for row in (*curves, *ends) if row["script"] in SCRIPTS and row.get("accuracy")]
    return "flexible" if all(row.get("flexible") for row in measured) else "strict"


def figures_of(
    curves: dict, results: list[dict], way: str, base: str, script: str, score: str = "strict"
) -> dict[str, dict]:
    """formed, half, end, strict end: seed -> value; formed_reached, half_reached: the seeds that get there.

    curves: column -> what measurements.by_seed() gives, "accuracy" by the score; results: rows of results.csv, of one
    base and data set; way: the decoding of the end.
    """
    rows = [row for row in results if (row["script"], row["decoding"]) == (script, way)]
    column = measurements.SCORES[score]
    figures = {"end": {row["seed"]: float(row[column]) for row in rows}}
    figures["strict end"] = {row["seed"]: float(row["accuracy"]) for row in rows}
    for name, (column, level, stays) in LEVELS.items():
        steps = {}
        reached = []
        for seed, curve in sorted(curves[column].get((base, script), {}).items()):
            steps[seed] = comparisons.crossing(curve, level, stays)
            if steps[seed] is None:
                steps[seed] = float(max(curve))
            else:
                reached.append(seed)
        figures[name] = steps
        figures[f"{name}_reached"] = reached
    return figures


def compare(figures: dict, items: dict, pairs: list[tuple], flips: int) -> dict[str, dict[tuple, tuple]]:
    """half, end, problems -> (script, script) -> (mean, low, high, p corrected within the pairs).

    figures: script -> figures_of(); items: script -> seed -> counts of the test problems.
    """
    values = comparisons.fractions(items)
    compared = {name: {} for name in MEASURES}
    for ours, theirs in pairs:
        if ours not in figures or theirs not in figures:
            continue
        for name in ("half", "end"):
            difference = comparisons.seed_difference(figures[ours][name], figures[theirs][name])
            if difference:
                compared[name][ours, theirs] = difference
        mean = comparisons.paired(values.get(ours, {}), values.get(theirs, {}))
        if mean is not None:
            p = comparisons.sign_flip_test(mean, flips)
            compared["problems"][ours, theirs] = (mean.mean(), math.nan, math.nan, p)
    return {name: comparisons.with_holm(tests) for name, tests in compared.items()}


def with_count(figures: dict, name: str) -> str:
    """Mean and interval of updates, with the number of seeds that get there where some do not."""
    text = pages.over_seeds([*figures[name].values()])
    reached = len(figures[f"{name}_reached"])
    if reached < len(figures[name]):
        text += f" ({reached} of {len(figures[name])})"
    return text


def table_row(script: str, figures: dict, against: str, compared: dict, score: str = "strict") -> dict[str, str]:
    """figures: of figures_of(), of one script; compared: of compare(); score: of half and end."""
    row = {"script": script, "seeds": str(len(figures["half"]))}
    row["to 90 % well-formed"] = with_count(figures, "formed")
    row["to half"] = with_count(figures, "half")
    row["end"] = pages.over_seeds([*figures["end"].values()], 100, unit="%")
    if score == "flexible":
        row["end, strict"] = pages.over_seeds([*figures["strict end"].values()], 100, unit="%")
    row["minus"] = against
    pair = (script, against)
    row[MEASURES["half"]] = pages.difference(compared["half"].get(pair), scale=1)
    row[MEASURES["end"]] = pages.difference(compared["end"].get(pair))
    row[MEASURES["problems"]] = ""
    if pair in compared["problems"]:
        row[MEASURES["problems"]] = pages.chance(compared["problems"][pair][3])
    return row


def rows_of(curves: dict, results: list[dict], items: dict, base: str, score: str, flips: int) -> tuple[list, list]:
    """The rows of Rewards.md and of Ablations.md, of one base; items: of that score."""
    tested = {row["dataset"] for row in results if row["base"] == base}
    dataset = next((name for name in IN_DOMAIN if name in tested), "")
    ends = [row for row in results if (row["base"], row["dataset"]) == (base, dataset)]
    way = next((way for way in pages.DECODINGS if any(row["decoding"] == way for row in ends)), "")
    figures = {}
    for script in SCRIPTS:
        if (base, script) in curves["accuracy"]:
            figures[script] = figures_of(curves, ends, way, base, script, score)
    tests = items.get((base, dataset, way), {})
    variants, changes, controls = (compare(figures, tests, pairs, flips) for pairs in FAMILIES)
    rows = []
    ablations = []
    for script, ours in figures.items():
        if script in pages.ABLATIONS:
            ablations.append(table_row(script, ours, pages.ABLATIONS[script], changes, score))
        elif script in pages.CONTROLS:
            rows.append(table_row(script, ours, OF_CONTROLS, controls, score))
        else:
            rows.append(table_row(script, ours, "" if script == pages.HIGHEST else pages.HIGHEST, variants, score))
    return rows, ablations


def curves_of(curves: dict, base: str, scripts: list[str]) -> dict[str, dict]:
    """script -> seed -> step -> held-out accuracy, of those scripts that have a curve."""
    return {script: curves[base, script] for script in scripts if (base, script) in curves}


def panels_of(curves: dict, bases: list[str]) -> tuple[dict, dict]:
    """The panels of Rewards.png and of Ablations.png: title -> curves_of()."""
    rewards = {}
    ablations = {}
    for base in bases:
        head = f" ({base})" if len(bases) > 1 else ""
        rewards[f"rewards of answer and format{head}"] = curves_of(curves, base, pages.VARIANTS)
        controls = curves_of(curves, base, pages.CONTROLS)
        if controls:
            first = curves_of(curves, base, pages.VARIANTS[:1])
            rewards[f"GRPO-1K beside other rewards and controls{head}"] = first | controls
        for original in dict.fromkeys(pages.ABLATIONS.values()):
            changed = [script for script, unchanged in pages.ABLATIONS.items() if unchanged == original]
            panel = curves_of(curves, base, changed)
            seeds = {seed for by_seed in panel.values() for seed in by_seed}
            ours = {seed: curve for seed, curve in curves.get((base, original), {}).items() if seed in seeds}
            if ours:
                ablations[f"{original}, one thing changed{head}"] = {original: ours} | panel
    return rewards, ablations


def draw(curve_rows: list[dict], results: list[dict], items: dict, folder: Path, flips: int) -> list[str]:
    """Both pages and their pictures; [] where no variant was trained so long.

    items: score -> what measurements.read_items() gives.
    """
    score = leading(curve_rows, results)
    curves = {"format": measurements.by_seed(curve_rows, "format")}
    curves["accuracy"] = measurements.by_seed(curve_rows, measurements.SCORES[score])
    bases = sorted({base for base, script in curves["accuracy"] if script in pages.VARIANTS})
    if not bases:
        return []
    text = []
    changes = []
    for base in bases:
        rows, ablations = rows_of(curves, results, items.get(score, {}), base, score, flips)
        text += [f"Base: {base}.", "", *pages.markdown_table(rows)]
        if ablations:
            changes += [f"Base: {base}.", "", *pages.markdown_table(ablations)]
    rewards, ablations = panels_of(curves["accuracy"], bases)
    label = "held-out accuracy, flexible, %" if score == "flexible" else "held-out accuracy, %"
    notes = f"{OF_SCORES}\n\n{NOTES}" if score == "flexible" else NOTES
    plots.curves(rewards, label, folder / "Rewards.png")
    question = "Which reward should I take, and when?"
    drawn = [pages.write("Rewards.md", question, text, "Rewards.png", notes, folder), "Rewards.png"]
    if ablations:
        plots.curves(ablations, label, folder / "Ablations.png")
        question = "What does each part of a reward do?"
        notes = f"{notes}\n\n{CHANGES}"
        drawn += [pages.write("Ablations.md", question, changes, "Ablations.png", notes, folder), "Ablations.png"]
    return drawn
