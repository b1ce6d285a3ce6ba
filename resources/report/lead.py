"""The lead page, GRPO_reward: every reward, control and baseline beside the base and the start, on one data set.

Rewards.png shows how each got there: held-out accuracy over the updates, a thin line for each seed.
"""

import itertools
import statistics
import textwrap
from pathlib import Path

from resources.report import comparisons, measurements, pages, plots

ROWS = 18
EQUAL = 0.10  # two rewards count as equal where the interval of their difference lies within this


def row_of(script: str, test: measurements.Test, curves: dict, seconds: dict, resamples: int) -> dict[str, str]:
    """A row of the lead table. curves, seconds: script -> seed -> step -> held-out accuracy, seconds."""
    column = pages.Column("flexible", test.values("flexible"))
    seeds = column.values[script]
    row = {"reward or baseline": script, "seeds": str(len(seeds))}
    row["strict"] = pages.mean(test.values("strict")[script])
    row["flexible"] = pages.mean(seeds)
    start = test.starts()[script]
    for head, reference in (("minus base", "base"), ("minus start", start)):
        estimate = pages.minus(column, script, reference, resamples)
        row[head] = pages.interval(estimate) if estimate else ""
    row |= {"collapsed": "", "lowest": "", "minutes": ""}
    if start == "base":
        row["minus start"] = ""  # it stands under minus base
    elif start in column.values:
        both = seeds.keys() & column.values[start].keys()
        row["collapsed"] = f"{len(comparisons.collapsed(seeds, column.values[start]))} of {len(both)}"
        if script in curves:
            lowest = min(min(curve.values()) for curve in curves[script].values())
            row["lowest"] = pages.percent(lowest)
    if script in seconds:
        minutes = statistics.mean(max(curve.values()) for curve in seconds[script].values()) / 60
        row["minutes"] = f"{minutes:.1f}"
    return row


def pairs_text(values: dict[str, dict], resamples: int) -> str:
    """How many pairs of rewards, rejection-sampled SFT among them, differ, are equal, or cannot be told apart."""
    column = pages.Column("flexible", values)
    others = ["base", pages.OWN_PROMPT, "SFT-start", "SFT", *pages.CONTROLS]
    scripts = [script for script in values if script not in others]
    scripts.sort(key=lambda script: -comparisons.matrix_of(values[script]).mean())
    lower_ones = []  # of the pairs that differ
    equal = []
    half_widths = []
    for higher, lower in itertools.combinations(scripts, 2):
        estimate = pages.minus(column, higher, lower, resamples)
        if estimate is None:
            continue
        if -EQUAL <= estimate.low and estimate.high <= EQUAL:
            equal.append(f"{higher} and {lower} {pages.interval(estimate)}")
        elif estimate.low > 0:
            lower_ones.append(lower)
        else:
            half_widths.append(50 * (estimate.high - estimate.low))
    count = len(lower_ones) + len(equal) + len(half_widths)
    if not count:
        return ""
    text = f"Of the {count} pairs of rewards, rejection-sampled SFT among them, {len(lower_ones)} differ by an interval"
    text += f" apart from 0 (by chance {count / 20:.1f} would)."
    if lower_ones:
        text += f" The lower one is always among {', '.join(sorted(set(lower_ones)))}."
    if equal:
        text += f" Equal within {100 * EQUAL:.0f} points are {'; '.join(equal)}."
    if half_widths:
        text += f" The other {len(half_widths)} cannot be told apart: half of the width of their intervals is"
        text += f" {min(half_widths):.1f} to {max(half_widths):.1f} points, and smaller differences could not have been"
        text += " seen."
    return textwrap.fill(text, 120)


def draw(test: measurements.Test, base: str, curve_rows: list[dict], folder: Path, resamples: int) -> list[str]:
    """GRPO_reward.md, GRPO_reward.png and Rewards.png; [] where the flexible score was not measured."""
    if test.score() != "flexible":
        return []
    values = test.values()
    curves = measurements.by_seed(curve_rows, base, "flexible", values)
    seconds = measurements.by_seed(curve_rows, base, "seconds", values)
    scripts = pages.in_order(pages.ORDER, values, ROWS)
    rows = [row_of(script, test, curves, seconds, resamples) for script in scripts]
    pairs = pairs_text(values, resamples)
    if pages.OWN_PROMPT in values:
        solved = pages.mean(values[pages.OWN_PROMPT])
        pairs = f"With its own prompt, without our instruction, the base solves {solved} % (flexible).\n\n{pairs}"
    facts = {"base": base, "dataset": test.dataset, "decoding": test.rows[0].decoding, "pairs": pairs}
    facts["problems"] = len(test.rows[0].strict)
    page = pages.write("GRPO_reward", folder, table=pages.markdown_table(rows), **facts)

    marks = {}
    for script, label in (("base", "base"), ("SFT", "SFT on all rows")):
        if script in values:
            marks[label] = comparisons.matrix_of(values[script]).mean()
    plots.scores(values, test.values("strict"), scripts, marks, folder / "GRPO_reward.png")
    panels = {}
    for script in scripts:
        start = test.starts()[script]
        if script in curves and script not in pages.BASELINES:  # those take other numbers of updates
            panels[script] = {"script": curves[script], "collapsed": {}}
            for seed in comparisons.collapsed(values[script], values.get(start, {})):
                if seed in curves[script]:
                    panels[script]["collapsed"][seed] = curves[script].pop(seed)
    drawn = [page, "GRPO_reward.png"]
    if panels:
        plots.lines(panels, folder / "Rewards.png", level=marks.get("SFT on all rows"))
        drawn.append("Rewards.png")
    return drawn
