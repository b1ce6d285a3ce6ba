"""What the workbench has measured: one screen of text that ends in plain sentences, a picture, a page."""

import base64
import html
from pathlib import Path

import numpy as np

from workbench.measures import EQUAL, MANY, Estimate, Figures
from workbench.probes import COMPARED

WIDTH = 110  # columns of the screen
HABITS = {"length": "characters", "tags": "tags", "repetition": "repetitions"}  # that a reward may teach unasked


def printable(text: str, width: int = 0) -> str:
    """The text on one line, control characters as signs; its middle is left out beyond the width."""
    text = "".join(c if c.isprintable() else "⏎" if c == "\n" else "·" for c in text)
    if width and len(text) > width:
        half = (width - 5) // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return text


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def screen(figures: Figures) -> str:
    terms = [f"{weight:g} {name}" for weight, name in zip(figures.weights, figures.names)]
    count = f"{len(figures.total)} completions, {len(figures.groups)} groups"
    blocks = [
        [f"{figures.script}: sum = {' + '.join(terms)}", f"{count}: {figures.source}"],
        verdict_lines(figures),
        [
            f"{name:16}{figures.total[place]:<6.3g} {printable(figures.texts[place], WIDTH - 23)}"
            for name, place in figures.extremes().items()
        ],
        group_lines(figures),
        probe_lines(figures),
        [f"- {sentence}" for sentence in sentences(figures)],
    ]
    return "\n\n".join("\n".join(line.rstrip() for line in lines if line.strip()) for lines in blocks)


def verdict_lines(figures: Figures) -> list[str]:
    """For each reward its range, then mean and standard deviation for each verdict."""
    heads = [verdict.partition(", ") for verdict in figures.present]
    lines = [
        f"{'mean ± deviation':16}{'range':>14}" + "".join(f"{head[0]:>16}" for head in heads),
        " " * 30 + "".join(f"{head[2]:>16}" for head in heads),
        f"{'completions':30}" + "".join(f"{len(figures.of(verdict)):>16}" for verdict in figures.present),
    ]
    for name, values in [*zip(figures.names, figures.values), ("sum", figures.total)]:
        line = f"{name:16.16}{f'{values.min():.3g} to {values.max():.3g}':>14}"
        for verdict in figures.present:
            some = values[figures.verdicts == verdict]
            line += f"{f'{some.mean():.3g} ± {some.std():.2g}':>16}"
        lines.append(line)
    return lines


def group_lines(figures: Figures) -> list[str]:
    """Groups without signal, order, where the signal comes from, correlations."""
    order, groups = figures.order, len(figures.groups)
    silent = groups - len(figures.moving)
    lines = [f"{'no signal':16}{silent} of {groups} groups: all their sums are equal"]
    lines.append(
        f"{'order':16}{order.inverted} of the {order.groups} groups with both have an incorrect completion above a "
        "correct one:"
    )
    lines.append(
        f"{'':16}{order.false_positives} incorrect, {order.false_negatives} correct ones; of all such pairs "
        f"{percent(order.below)} are inverted, {percent(order.equal)} equal"
    )
    if not figures.moving:
        return lines
    parts = []
    for name, one in figures.signal.items():
        parts.append(f"{name} {percent(one.value)} [{100 * one.low:.0f}, {100 * one.high:.0f}]")
    lines.append(f"{'signal from':16}{', '.join(parts)}")
    parts = [f"{name} {one.value:+.2f} [{one.low:+.2f}, {one.high:+.2f}]" for name, one in figures.correlations.items()]
    return [*lines, f"{'correlated with':16}{', '.join(parts[:3])}", f"{'':16}{', '.join(parts[3:])}"]


def probe_lines(figures: Figures) -> list[str]:
    """For each probe the sum, the rewards and the time; a mark where it gets as much as a correct completion."""
    lines = [f"{'probe':22}{'sum':>8}" + "".join(f"{name:>15.14}" for name in figures.names) + f"{'ms':>8}"]
    more, equal = figures.warnings()
    marks = dict.fromkeys(more, "  WARNING") | dict.fromkeys(equal, "  as much")
    for name, probe in figures.probes.items():
        values = "".join(f"{value:15.3g}" for value in probe.rewards)
        lines.append(f"{name:22}{probe.total:8.3g}{values}{1000 * probe.seconds:8.1f}{marks.get(name, '')}")
    return lines


def sentences(figures: Figures) -> list[str]:
    """What the figures carry; a sentence without enough groups behind it is left out."""
    return [*about_signal(figures), *about_answers(figures), *about_probes(figures)]


def about_signal(figures: Figures) -> list[str]:
    groups, moving = len(figures.groups), len(figures.moving)
    lines = []
    for name, values in zip(figures.names, figures.values):
        if np.ptp(values) <= EQUAL:
            lines.append(f"{name} is {values[0]:g} for every completion: nothing is learned from it.")
    if not moving:
        return [*lines, "No group has a signal: nothing is learned from these completions."]
    if moving < MANY:
        return [*lines, f"{moving} of {groups} groups have a signal: too few to say what would be learned."]
    if moving < groups:
        lines.append(f"Nothing is learned from {percent(1 - moving / groups)} of the groups.")
    estimates = sorted(figures.signal.items(), key=lambda item: -item[1].value)
    estimates = [(name, one) for name, one in estimates if abs(one.value) >= 0.005]
    if len(estimates) > 1:
        first, *others = [(percent(one.value), name) for name, one in estimates]
        line = f"{first[0]} of the signal of the first updates comes from {first[1]}, "
        lines.append(line + ", ".join(f"{part} from {name}" for part, name in others) + ".")
    for name, one in estimates:
        if one.high < 0:
            lines.append(f"{name} works against the sum: where it is higher, the sum is lower.")
    known = figures.correlations
    for first, second in (("format", "answer"), ("answer", "format")):
        if first in known and second in known and known[first].low > known[second].high:
            values = f"({known[first].value:+.2f}) more than the {second} ({known[second].value:+.2f})"
            lines.append(f"Within a group the sum follows the {first} {values}.")
    # Of length, tags and repetition the strongest: they go together.
    equals = {name: one for name, one in figures.among_equals.items() if name in HABITS and one.low * one.high > 0}
    if equals:
        name = max(equals, key=lambda name: abs(equals[name].value))
        value = equals[name].value
        direction = "more" if value > 0 else "fewer"
        lines.append(
            f"Among completions of one verdict, those with {direction} {HABITS[name]} get more ({value:+.2f})."
        )
    return lines


def about_answers(figures: Figures) -> list[str]:
    names = ("correct answer", "incorrect answer", "correct, no last tag")
    correct, incorrect, open_end = (figures.probes[name].total for name in names)
    line = f"A correct answer in the right format gets {correct:.3g}, an incorrect one {incorrect:.3g}, a correct one "
    line += f"without its last tag {open_end:.3g}"
    if incorrect > open_end + EQUAL:
        line += ": a missing tag costs more than an incorrect answer"
    lines = [f"{line}."]
    good, bad = figures.of("correct, malformed"), figures.of("incorrect, malformed")
    if min(len(good), len(bad)) >= MANY and max(np.ptp(good), np.ptp(bad), abs(good[0] - bad[0])) <= EQUAL:
        part = percent(len(good) / len(figures.total))
        lines.append(
            f"{part} of the completions have a correct answer in a wrong format; it gets what an incorrect one gets."
        )
    order = figures.order
    if order.groups >= MANY:
        part = percent(order.inverted / order.groups)
        lines.append(
            f"In {part} of the groups with both, an incorrect completion is ranked above a correct one; "
            f"{percent(order.equal)} of such pairs get the same."
        )
    return lines


def about_probes(figures: Figures) -> list[str]:
    subject = (
        "the median correct completion" if "correct" in figures.present else "a correct answer in the right format"
    )
    more, equal = figures.warnings()
    lines = []
    if more:
        lines.append(f"WARNING: more than {subject} ({figures.threshold():.3g}) gets: {', '.join(more)}.")
    if equal:
        lines.append(f"As much as {subject} ({figures.threshold():.3g}) gets: {', '.join(equal)}.")
    slow = [f"{name} ({probe.seconds:.1f} s)" for name, probe in figures.probes.items() if probe.seconds > 1]
    if slow:
        lines.append(f"One completion takes more than a second: {', '.join(slow)}.")
    return lines


def draw(figures: Figures, path: Path) -> None:
    """The sums by verdict, the probes, the signal by reward, the correlations."""
    from resources.report import plots  # late: matplotlib

    figure, (sums, probes, signal, correlations) = plots.grid(4, 2, 3.0)
    spread = np.random.default_rng(0)
    for place, verdict in enumerate(figures.present):
        values = figures.of(verdict)
        colour = plots.PALETTE[0 if verdict.startswith("correct") else 3]
        sums.plot(values, place + spread.uniform(-0.3, 0.3, len(values)), "o", ms=3, alpha=0.3, color=colour, mew=0)
        sums.plot(np.median(values), place, "k|", ms=18, mew=2)
    labels = [f"{verdict} ({len(figures.of(verdict))})" for verdict in figures.present]
    sums.set_yticks(range(len(labels)), labels)
    sums.set_title("sum of each completion; line: median")
    colours = [plots.PALETTE[0 if name in COMPARED else 3] for name in figures.probes]
    probes.barh(list(figures.probes), [probe.total for probe in figures.probes.values()], color=colours)
    probes.axvline(figures.threshold(), color="k", ls="--", lw=1)
    probes.set_title("probes; dashed: median correct")
    bars(signal, figures.signal, plots.PALETTE[2])
    signal.set_title(f"signal by reward ({len(figures.moving)} of {len(figures.groups)} groups)")
    bars(correlations, figures.correlations, plots.PALETTE[2])
    correlations.set_title("correlation with the sum, within groups")
    for axis in (sums, probes, signal, correlations):
        axis.invert_yaxis()
    plots.note(figure, f"{figures.script}: {len(figures.total)} completions; intervals: 95 %, over groups")
    path.parent.mkdir(parents=True, exist_ok=True)
    plots.save(figure, path)


def bars(axis, estimates: dict[str, Estimate], colour: str) -> None:
    for name, one in estimates.items():
        ends = [[max(0.0, one.value - one.low)], [max(0.0, one.high - one.value)]]
        axis.barh([name], [one.value], xerr=ends, color=colour, capsize=3)
    axis.axvline(0, color="k", lw=0.8)


def page(figures: Figures, picture: Path) -> str:
    """The screen, the picture and the two extreme completions as HTML that needs no other file."""
    image = base64.b64encode(picture.read_bytes()).decode()
    title = html.escape(figures.script)
    parts = [f"<h1>{title}</h1><pre>{html.escape(screen(figures))}</pre>"]
    parts.append(f'<img alt="sums, probes, signal, correlations" src="data:image/png;base64,{image}">')
    for name, place in figures.extremes().items():
        lines = [html.escape(printable(line)) for line in figures.texts[place][:10_000].split("\n")]
        parts.append(f"<h2>{name}: {figures.total[place]:.3g}</h2><pre>{'<br>'.join(lines)}</pre>")
    style = "body{font:16px sans-serif;max-width:64em;margin:2em auto}pre{white-space:pre-wrap}img{max-width:100%}"
    head = f'<meta charset="utf-8"><title>{title}</title><style>{style}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
