"""What the workbench has measured: one screen of text that ends in plain sentences, a picture, a page."""

import base64
import html
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.measures import EQUAL, Figures

WIDTH = 110  # columns of the screen
MANY = 10  # groups, or completions, that a sentence needs


def printable(text: str, width: int = 0) -> str:
    """The text on one line, control characters as signs; its middle is left out beyond the width."""
    text = "".join(c if c.isprintable() else "·" for c in text.replace("\n", "⏎"))
    if width and len(text) > width:
        half = (width - 5) // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return text


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def screen(figures: Figures) -> str:
    terms = [f"{weight:g} {name}" for weight, name in zip(figures.weights, figures.names)]
    lines = [
        f"{figures.script}: sum = {' + '.join(terms)}",
        f"{len(figures.total)} completions, {figures.count} groups: {figures.source}\n",
        verdict_table(figures).to_string() + "\n",
    ]
    for name, place in figures.extremes():
        lines.append(f"{name:16}{figures.total[place]:<6.3g} {printable(figures.texts[place], WIDTH - 23)}")
    probes = figures.probes.drop(columns="is_fixed").map("{:.3g}".format)
    probes[""] = figures.marks()
    lines += [f"\n{group_lines(figures)}\n", probes.to_string() + "\n"]
    for sentence in about_signal(figures) + about_answers(figures):
        lines.append(f"- {sentence}")
    return "\n".join(lines)


def verdict_table(figures: Figures) -> pd.DataFrame:
    """Mean and standard deviation of each reward and of the sum for each verdict; in the end the range."""
    values = pd.DataFrame(np.column_stack([figures.values, figures.total]), columns=[*figures.names, "sum"])
    rows = {}
    for verdict in figures.present:
        some = values[figures.verdicts == verdict]
        means, deviations = some.mean().map("{:.3g}".format), some.std(ddof=0).map("{:.2g}".format)
        rows[f"{verdict} ({len(some)})"] = means + " ± " + deviations
    rows["range"] = values.min().map("{:.3g}".format) + " to " + values.max().map("{:.3g}".format)
    return pd.DataFrame(rows).T


def group_lines(figures: Figures) -> str:
    """Groups without signal, order, where the signal comes from, correlations."""
    pairs = figures.pairs
    below = pairs[pairs.below]
    lines = [
        f"{'no signal':16}{figures.count - figures.moving} of {figures.count} groups: all their sums are equal",
        f"{'order':16}{below.group.nunique()} of the {pairs.group.nunique()} groups with both have an incorrect "
        "completion above a correct one:",
        f"{'':16}{below.place_incorrect.nunique()} incorrect, {below.place.nunique()} correct ones",
    ]
    for head, estimates in (("signal from", figures.signal), ("correlated with", figures.correlations)):
        for name, one in estimates.iterrows():
            lines.append(f"{head:16}{name:16}{one.value:+.2f} [{one.low:+.2f}, {one.high:+.2f}]")
            head = ""
    return "\n".join(lines)


def about_signal(figures: Figures) -> list[str]:
    if figures.moving < MANY:
        return [f"{figures.moving} of {figures.count} groups have a signal: too few to say what is learned."]
    lines = []
    if figures.moving < figures.count:
        lines.append(f"Nothing is learned from {percent(1 - figures.moving / figures.count)} of the groups.")
    signal = figures.signal.value.sort_values(ascending=False)
    if len(signal) > 1:
        parts = [f"{percent(value)} from {name}" for name, value in signal.items()]
        lines.append(f"The signal of the first updates comes {', '.join(parts)}.")
    known = figures.correlations.reindex(["format", "answer"])  # NaN, which is not greater, where one is constant
    for first, second in (known.index, known.index[::-1]):
        if known.low[first] > known.high[second]:
            values = f"({known.value[first]:+.2f}) more than the {second} ({known.value[second]:+.2f})"
            lines.append(f"Within a group the sum follows the {first} {values}.")
    return lines


def about_answers(figures: Figures) -> list[str]:
    lines = []
    probes = figures.probes.loc[["correct answer", "incorrect answer", "correct, no last tag"]]
    correct, incorrect, open_end = probes["sum"]
    if probes.is_fixed.all():
        line = f"A correct answer in the right format gets {correct:.3g}, an incorrect one {incorrect:.3g}, "
        line += f"a correct one without its last tag {open_end:.3g}"
        if incorrect > open_end + EQUAL:
            line += ": a missing tag costs more than an incorrect answer"
        lines.append(f"{line}.")
    good, bad = figures.of("correct, malformed"), figures.of("incorrect, malformed")
    if min(len(good), len(bad)) >= MANY and np.ptp([*good, *bad]) <= EQUAL:
        part = percent(len(good) / len(figures.total))
        lines.append(f"{part} of the completions have a correct answer in a wrong format: rewarded as incorrect ones.")
    pairs = figures.pairs
    if pairs.group.nunique() >= MANY:
        inverted = percent(pairs.groupby("group").below.any().mean())
        line = f"In {inverted} of the groups with both, an incorrect completion is ranked above a correct one; "
        lines.append(f"{line}{percent(pairs.equal.mean())} of such pairs get the same.")
    marks = figures.marks()
    for mark, words in (("WARNING", "WARNING: more than"), ("as much", "As much as")):
        if mark in marks.values:
            names = ", ".join(marks.index[marks == mark])
            lines.append(f"{words} the median correct completion ({figures.threshold:.3g}) gets: {names}.")
    return lines


def along_training(reports: list[Figures]) -> str:
    """A line for each file of completions: where the signal comes from as the policy learns."""
    lines = []
    for figures in reports:
        line = {"": printable(figures.source, 50), "no signal": 1 - figures.moving / figures.count}
        lines.append(line | {"correct": figures.correct.mean()} | figures.signal.value.to_dict())
    return pd.DataFrame(lines).to_string(index=False, float_format=percent, na_rep="")


def draw(figures: Figures, path: Path) -> None:
    """The sums by verdict, and where the signal comes from."""
    from resources.report import plots  # late: matplotlib

    figure, (sums, signal) = plots.grid(2, 2, 3.0)
    spread = np.random.default_rng(0)
    for verdict in figures.present:
        values = figures.of(verdict)
        colour = plots.PALETTE[0 if verdict.startswith("correct") else 3]
        places = figures.present.index(verdict) + spread.uniform(-0.3, 0.3, len(values))
        sums.plot(values, places, "o", ms=3, alpha=0.3, color=colour, mew=0)
    sums.set_yticks(range(len(figures.present)), figures.present)
    sums.set_title("sum of each completion")
    both = pd.concat([figures.correlations, figures.signal])[::-1]
    ends = np.clip([both.value - both.low, both.high - both.value], 0, None)
    signal.barh(both.index, both.value, xerr=ends, color=plots.PALETTE[2], capsize=3)
    signal.axhline(len(figures.signal) - 0.5, color="k", lw=0.8)
    signal.set_title("signal by reward; above, its correlation with")
    plots.note(figure, f"{figures.script}: {len(figures.total)} completions; intervals: 95 %, over groups")
    path.parent.mkdir(parents=True, exist_ok=True)
    plots.save(figure, path)


def page(figures: Figures, picture: Path) -> str:
    """The screen, the picture and the two extreme completions as HTML that needs no other file."""
    image = base64.b64encode(picture.read_bytes()).decode()
    parts = [f"<pre>{html.escape(screen(figures))}</pre>", f'<img src="data:image/png;base64,{image}">']
    for name, place in figures.extremes():
        text = html.escape(printable(figures.texts[place][:10_000])).replace("⏎", "<br>")
        parts.append(f"<h2>{name}: {figures.total[place]:.3g}</h2><pre>{text}</pre>")
    head = f'<meta charset="utf-8"><title>{html.escape(figures.script)}</title>'
    style = "<style>pre{white-space:pre-wrap}img{max-width:100%}</style>"
    return f'<!doctype html><html lang="en"><head>{head}{style}</head><body>{"".join(parts)}</body></html>\n'
