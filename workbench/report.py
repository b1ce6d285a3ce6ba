"""What the workbench has measured: one screen of text with plain sentences, a picture, a page."""

import base64
import html
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench import measures
from workbench.measures import VERDICTS, Estimate

WIDTH = 110  # columns of the screen
MANY = 10  # groups, or completions of a verdict; a sentence needs as many


class Probe(NamedTuple):
    """A probe with the median of what it gets over the questions."""

    name: str
    rewards: list[float]
    total: float
    seconds: float  # of all rewards, for one completion


class Report(NamedTuple):
    """Everything that is shown; arrays have one entry for each completion."""

    script: str
    source: str
    names: list[str]
    weights: list[float]
    values: np.ndarray  # [rewards, completions]
    total: np.ndarray
    texts: list[str]
    verdicts: np.ndarray
    groups: list[np.ndarray]
    signal_groups: list[np.ndarray]
    signal: list[Estimate]  # for each reward; [] where no group has a signal
    correlations: dict[str, Estimate | None]
    order: measures.Order
    probes: list[Probe]

    @property
    def correct(self) -> np.ndarray:
        return np.char.startswith(self.verdicts, "correct")

    def of(self, verdict: str) -> np.ndarray:
        """The sums of the completions with a verdict."""
        return self.total[self.verdicts == verdict]

    def probe(self, name: str) -> Probe:
        return next(probe for probe in self.probes if probe.name == name)

    def threshold(self) -> float:
        """The median correct completion; without one the probe with the correct answer."""
        correct = self.of("correct")
        return float(np.median(correct)) if len(correct) else self.probe("correct answer").total

    def as_good(self) -> list[Probe]:
        """The probes that get at least what the median correct completion gets, although their answer is incorrect."""
        threshold = self.threshold() - measures.EQUAL
        return [one for one in self.probes if one.name not in measures.COMPARED and one.total >= threshold]


def printable(text: str, width: int = 0) -> str:
    """The text on one line with every character visible; its middle is left out beyond the width."""
    text = "".join(c if c.isprintable() else "⏎" if c == "\n" else "·" for c in text)
    if width and len(text) > width:
        half = (width - 5) // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return text


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def interval(estimate: Estimate) -> str:
    return f"{percent(estimate.value)} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def screen(report: Report) -> str:
    """At most some 50 lines of WIDTH columns."""
    terms = [f"{weight:g} {name}" for weight, name in zip(report.weights, report.names)]
    count, groups = len(report.total), len(report.groups)
    lines = [
        printable(f"{report.script}: sum = {' + '.join(terms)}", 2 * WIDTH),
        printable(f"{count} completions of {groups} questions with several: {report.source}", 2 * WIDTH),
        "",
        *verdict_table(report),
        "",
        *extremes(report),
        "",
        *group_lines(report),
        "",
        *probe_table(report),
        "",
        *(f"- {sentence}" for sentence in sentences(report)),
    ]
    return "\n".join(lines)


def verdict_table(report: Report) -> list[str]:
    """A line for each reward: range, then mean and standard deviation for each verdict."""
    present = [verdict for verdict in VERDICTS if verdict in report.verdicts]
    heads = [*present[:]]
    lines = [f"{'mean ± deviation':16.16}{'range':>14}" + "".join(f"{head.split(', ')[0]:>13}" for head in heads)]
    lines.append(" " * 30 + "".join(f"{', '.join(head.split(', ')[1:]):>13}" for head in heads))
    lines.append(f"{'completions':30}" + "".join(f"{len(report.of(verdict)):>13}" for verdict in present))
    for name, values in [*zip(report.names, report.values), ("sum", report.total)]:
        line = f"{name:16.16}{f'{values.min():.3g} to {values.max():.3g}':>14}"
        for verdict in present:
            some = values[report.verdicts == verdict]
            line += f"{f'{some.mean():.2f} ± {some.std():.2f}':>13}"
        lines.append(line)
    return [line.rstrip() for line in lines]


def extremes(report: Report) -> list[str]:
    """The incorrect completion with the highest sum and the correct one with the lowest."""
    lines = []
    for name, places, best in (
        ("best incorrect", np.flatnonzero(~report.correct), np.argmax),
        ("worst correct", np.flatnonzero(report.correct), np.argmin),
    ):
        text = "none"
        if len(places):
            place = places[best(report.total[places])]
            text = f"{report.total[place]:<6.3g} {printable(report.texts[place], WIDTH - 23)}"
        lines.append(f"{name:16}{text}")
    return lines


def group_lines(report: Report) -> list[str]:
    """Groups without signal, orders, where the signal comes from, correlations."""
    order, groups = report.order, len(report.groups)
    silent = groups - len(report.signal_groups)
    lines = [f"{'no signal':16}{silent} of {groups} groups ({percent(silent / groups)}): all their sums are equal"]
    if order.groups:
        lines.append(
            f"{'order':16}{order.inverted} of {order.groups} groups with both have an incorrect completion above a "
            f"correct one: {order.false_positives} incorrect,"
        )
        lines.append(
            f"{'':16}{order.false_negatives} correct completions; of all such pairs {percent(order.below)} are inverted, "
            f"{percent(order.equal)} equal"
        )
    if report.signal:
        parts = [f"{name} {interval(estimate)}" for name, estimate in zip(report.names, report.signal)]
        lines.append(f"{'signal from':16}{', '.join(parts)}")
        known = {name: estimate for name, estimate in report.correlations.items() if estimate}
        parts = [f"{name} {one.value:+.2f} [{one.low:+.2f}, {one.high:+.2f}]" for name, one in known.items()]
        lines.append(f"{'correlated with':16}{', '.join(parts[:3])}")
        if parts[3:]:
            lines.append(f"{'':16}{', '.join(parts[3:])}")
    return lines


def probe_table(report: Report) -> list[str]:
    """A line for each probe: rewards, sum, time; a mark where it gets as much as the median correct completion."""
    heads = "".join(f"{name:>15.14}" for name in report.names)
    lines = [f"{'probe':22}{'sum':>8}{heads}{'ms':>8}"]
    above = report.as_good()
    for probe in report.probes:
        values = "".join(f"{value:15.3g}" for value in probe.rewards)
        mark = ""
        if probe in above:
            mark = "  WARNING" if probe.total > report.threshold() + measures.EQUAL else "  as much"
        lines.append(f"{probe.name:22}{probe.total:8.3g}{values}{1000 * probe.seconds:8.1f}{mark}")
    return lines


def sentences(report: Report) -> list[str]:
    """What the figures carry, in plain words; a sentence without enough groups behind it is left out."""
    texts = [*_of_signal(report), *_of_answers(report), *_of_order(report)]
    strict, threshold = report.as_good(), report.threshold()
    warned = [probe.name for probe in strict if probe.total > threshold + measures.EQUAL]
    equal = [probe.name for probe in strict if probe.name not in warned]
    subject = "the median correct completion" if len(report.of("correct")) else "a correct answer in the right format"
    if warned:
        texts.append(f"WARNING: more than {subject} ({threshold:.3g}) gets: {', '.join(warned)}.")
    if equal:
        texts.append(f"As much as {subject} ({threshold:.3g}) gets: {', '.join(equal)}.")
    slow = [f"{probe.name} ({probe.seconds:.1f} s)" for probe in report.probes if probe.seconds > 1]
    if slow:
        texts.append(f"More than a second for one completion takes: {', '.join(slow)}.")
    return texts


def _of_signal(report: Report) -> list[str]:
    texts = []
    silent = len(report.groups) - len(report.signal_groups)
    if not report.signal:
        return ["Nothing is learned from these completions: no group has a signal."]
    if silent:
        texts.append(f"From {percent(silent / len(report.groups))} of the groups nothing is learned.")
    for name, values in zip(report.names, report.values):
        if np.ptp(values) <= measures.EQUAL:
            texts.append(f"{name} is {values[0]:g} for every completion: from this start it teaches nothing.")
    if len(report.signal_groups) < MANY:
        return [*texts, f"Only {len(report.signal_groups)} groups have a signal: too few to say what it consists of."]
    moving = [pair for pair in zip(report.names, report.signal) if abs(pair[1].value) >= 0.005]
    if len(moving) > 1:
        moving.sort(key=lambda pair: -pair[1].value)
        parts = [f"{percent(estimate.value)} {name}" for name, estimate in moving]
        texts.append(f"Of what is learned in the first updates {', '.join(parts)}.")
    for name, estimate in moving:
        if estimate.high < 0:
            texts.append(f"{name} works against the sum: where it is higher, the sum is lower.")
    known = {name: one for name, one in report.correlations.items() if one}
    form, answer = known.get("format"), known.get("answer")
    if form and answer and form.low > answer.high:
        texts.append(
            f"Within a group the sum follows the format ({form.value:+.2f}) more than the answer ({answer.value:+.2f})."
        )
    elif form and answer and answer.low > form.high:
        texts.append(
            f"Within a group the sum follows the answer ({answer.value:+.2f}) more than the format ({form.value:+.2f})."
        )
    for name, more, less in (("length", "Longer", "Shorter"), ("repetition", "More repetitive", "Less repetitive")):
        one = known.get(name)
        if one and min(abs(one.low), abs(one.high)) > 0.1 and one.low * one.high > 0:
            texts.append(f"{more if one.value > 0 else less} completions get more ({one.value:+.2f}).")
    return texts


def _of_answers(report: Report) -> list[str]:
    incorrect, untagged = report.probe("incorrect answer").total, report.probe("correct, no last tag").total
    correct = report.probe("correct answer").total
    end = "; so the format is worth more than the answer" if incorrect > untagged + measures.EQUAL else ""
    texts = [
        f"A correct answer in the right format gets {correct:.3g}, an incorrect one {incorrect:.3g}, a correct one "
        f"without its last tag {untagged:.3g}{end}."
    ]
    good, bad = report.of("correct, malformed"), report.of("incorrect, malformed")
    if min(len(good), len(bad)) >= MANY and abs(good.mean() - bad.mean()) <= measures.EQUAL:
        share = percent(len(good) / len(report.total))
        texts.append(
            f"{share} of the completions have a correct answer in a wrong format, and get what incorrect ones get."
        )
    return texts


def _of_order(report: Report) -> list[str]:
    order = report.order
    if order.groups < MANY:
        return []
    rate = percent(order.inverted / order.groups)
    texts = [f"In {rate} of the groups with both, an incorrect completion is ranked above a correct one."]
    if order.equal >= 0.5:
        texts.append(f"{percent(order.equal)} of the pairs of a correct and an incorrect completion get the same.")
    return texts


def draw(report: Report, path: Path) -> None:
    """The sums by verdict, the signal by reward, the correlations, the probes."""
    from resources.report import plots  # late: matplotlib

    figure, (sums, probes, signal, correlations) = plots.grid(4, 2, 3.0)
    present = [verdict for verdict in VERDICTS if verdict in report.verdicts]
    spread = np.random.default_rng(0)
    for place, verdict in enumerate(present):
        values = report.of(verdict)
        rows = place + spread.uniform(-0.3, 0.3, len(values))
        colour = plots.PALETTE[0 if verdict.startswith("correct") else 3]
        sums.plot(values, rows, "o", ms=3, alpha=0.3, color=colour, mew=0)
        sums.plot(np.median(values), place, "k|", ms=14)
    labels = [f"{verdict} ({len(report.of(verdict))})" for verdict in present]
    sums.set_yticks(range(len(present)), labels)
    sums.set_title("sum of each completion; line: median")
    names = [probe.name for probe in report.probes]
    colours = [plots.PALETTE[0 if name in measures.COMPARED else 3] for name in names]
    probes.barh(names, [probe.total for probe in report.probes], color=colours)
    probes.axvline(report.threshold(), color="k", ls="--", lw=1)
    probes.set_title("sum of each probe; dashed: median correct completion")
    if report.signal:
        bars(signal, dict(zip(report.names, report.signal)), plots.PALETTE[2])
        bars(correlations, {name: one for name, one in report.correlations.items() if one}, plots.PALETTE[2])
    silent = percent(1 - len(report.signal_groups) / len(report.groups))
    signal.set_title(f"fraction of the signal; {silent} of the groups have none")
    correlations.set_title("correlation with the sum, within groups")
    for axis in (sums, probes, signal, correlations):
        axis.invert_yaxis()
    plots.note(figure, f"{printable(report.script)}: {len(report.total)} completions; intervals: 95 %, over groups")
    path.parent.mkdir(parents=True, exist_ok=True)
    plots.save(figure, path)


def bars(axis, estimates: dict[str, Estimate], colour: str) -> None:
    values = np.array([(one.value, one.value - one.low, one.high - one.value) for one in estimates.values()]).T
    axis.barh(list(estimates), values[0], xerr=values[1:].clip(0), color=colour, capsize=3)
    axis.axvline(0, color="k", lw=0.8)


def page(report: Report, picture: Path) -> str:
    """The screen, the picture and the two extreme completions in full, as HTML that needs no other file."""
    image = base64.b64encode(picture.read_bytes()).decode()
    title = html.escape(printable(report.script))
    parts = [f"<h1>{title}</h1><pre>{html.escape(screen(report))}</pre>"]
    parts.append(f'<img alt="sums, probes, signal, correlations" src="data:image/png;base64,{image}">')
    for name, places, best in (
        ("Best incorrect completion", np.flatnonzero(~report.correct), np.argmax),
        ("Worst correct completion", np.flatnonzero(report.correct), np.argmin),
    ):
        if len(places):
            text = report.texts[places[best(report.total[places])]][:10_000]
            lines = [html.escape(printable(line)) for line in text.split("\n")]
            parts.append(f"<h2>{name}</h2><pre>{'<br>'.join(lines)}</pre>")
    style = "body{font:16px sans-serif;max-width:60em;margin:2em auto}pre{white-space:pre-wrap}img{max-width:100%}"
    head = f'<meta charset="utf-8"><title>{title}</title><style>{style}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
