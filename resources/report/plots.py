"""Pictures of make_tables.py: a dot for each seed of a script, and lines over updates or k, one panel a script.

All are drawn for a page about 830 pixels wide: 9 inches at 110 dots an inch, letters of at least 9 points. The same
tables give the same bytes.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

matplotlib.rcdefaults()  # whatever the user's own matplotlibrc says
matplotlib.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9, "savefig.dpi": 110})
matplotlib.rcParams.update({"axes.titlesize": 10, "legend.fontsize": 9, "figure.titlesize": 10})

WIDTH = 9  # inches
LINE = 0.3  # inches for a script
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#000000", "#56B4E9")  # Okabe and Ito, 2008
COLOURS = {"script": PALETTE[0], "collapsed": PALETTE[3], "start": "0.6"}  # of lines()


def save(figure, path: Path) -> None:
    """Write beside and rename, without the version that would change the bytes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    plt.close(figure)
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(drawn.getvalue())
    os.replace(beside, path)


def grid(panels: int, across: int, height: float, **options):
    """A figure of so many panels, at most `across` in a line, each so many inches high; its axes in one list."""
    across = min(across, panels)
    down = -(-panels // across)
    size = (WIDTH, height * down + 0.5)
    figure, axes = plt.subplots(down, across, figsize=size, squeeze=False, layout="constrained", **options)
    for axis in axes.flat[panels:]:
        axis.axis("off")
    return figure, list(axes.flat[:panels])


def note(figure, text: str) -> None:
    figure.supxlabel(text, x=0.01, ha="left", fontsize=9)


def offsets(count: int) -> np.ndarray:
    """How far from the line of its script each seed stands, so that equal values do not hide each other."""
    return np.linspace(-0.25, 0.25, count) if count > 1 else np.zeros(1)


def seed_dots(axis, values: dict[str, dict], scripts: list[str]) -> None:
    """A filled dot for each seed of a script, a tick for the mean; values: script -> seed -> one fraction a problem."""
    for line, script in enumerate(scripts):
        means = [100 * problems.mean() for _, problems in sorted(values.get(script, {}).items())]
        if means:
            axis.plot(means, line + offsets(len(means)), "o", ms=5, color=PALETTE[0], alpha=0.8, mew=0)
            axis.vlines(np.mean(means), line - 0.38, line + 0.38, color="k", lw=1.2)
    axis.set_yticks(range(len(scripts)), scripts)
    axis.set_ylim(len(scripts) - 0.5, -0.5)
    axis.grid(alpha=0.3)
    axis.tick_params(length=0)


def scores(flexible: dict, strict: dict, scripts: list[str], marks: dict[str, float], path: Path) -> None:
    """The lead picture: of each seed the flexible score filled and the strict one hollow, beside lines for `marks`."""
    figure, (axis,) = grid(1, 1, LINE * 1.3 * len(scripts) + 0.7)
    for line, script in enumerate(scripts):
        seeds = sorted(flexible[script])
        for seed, place in zip(seeds, offsets(len(seeds))):
            ends = [100 * strict[script][seed].mean(), 100 * flexible[script][seed].mean()]
            axis.plot(ends, [line + place] * 2, color="0.7", lw=1, zorder=1)
            axis.plot(ends[0], line + place, "o", ms=7, mfc="none", mec=PALETTE[3], mew=1.1)
    seed_dots(axis, flexible, scripts)
    for style, (name, value) in zip(("--", ":"), marks.items()):
        axis.axvline(100 * value, color="0.35", ls=style, lw=1.2, zorder=0)
        axis.text(100 * value, -0.6, name, ha="center", va="bottom", color="0.35")
    axis.set_xlim(-2, 102)
    axis.set_xlabel("test problems solved, %")
    axis.plot([], [], "o", ms=5, color=PALETTE[0], label="flexible, a dot a seed")
    axis.plot([], [], "o", ms=7, mfc="none", mec=PALETTE[3], label="strict")
    axis.plot([], [], "|", ms=10, color="k", label="mean, flexible")
    figure.legend(loc="outside lower right", ncols=3, frameon=False)
    save(figure, path)


def dots(panels: dict[str, dict], scripts: list[str], path: Path) -> None:
    """The same scripts in panels side by side; panels: title -> script -> seed -> one fraction a problem."""
    figure, axes = grid(len(panels), 3, LINE * (len(scripts) + 2.2), sharex=True, sharey=True)
    for axis, (title, values) in zip(axes, panels.items()):
        seed_dots(axis, values, scripts)
        axis.set_title(title)
        axis.set_xlim(-3, 103)
    figure.supxlabel("%; a dot is a seed, a black line the mean", fontsize=9)
    save(figure, path)


def tokens_and_accuracy(points: dict[str, list[tuple]], path: Path) -> None:
    """Points with intervals; points: script -> (mean tokens, estimate of the accuracy) of each seed."""
    figure, (axis,) = grid(1, 1, 3.6)
    for number, (script, seeds) in enumerate(points.items()):
        colour = PALETTE[number % len(PALETTE)]
        for tokens, (mean, low, high) in seeds:
            axis.vlines(tokens, 100 * low, 100 * high, color=colour, lw=1.2, alpha=0.7)
            axis.plot(tokens, 100 * mean, "o", ms=6, color=colour)
        tokens, estimate = seeds[0]
        axis.annotate(script, (tokens, 100 * estimate.mean), (6, 0), textcoords="offset points", va="center")
    axis.set_xlabel("mean tokens of a completion")
    axis.set_ylabel("test problems solved, flexible, %")
    longest = max(tokens for seeds in points.values() for tokens, _ in seeds)
    axis.set_xlim(0, 1.2 * longest)
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    save(figure, path)


def lines(panels: dict[str, dict], path: Path, level: float | None = None, ks: Sequence[int] = ()) -> None:
    """Small multiples with the same axes: a thin line for each seed.

    panels: title -> a name of COLOURS -> seed -> step or k -> fraction; level: a dashed line; ks: in place of steps.
    """
    figure, axes = grid(len(panels), 4, 1.9, sharex=True, sharey=True)
    for axis, (title, groups) in zip(axes, panels.items()):
        for name, seeds in groups.items():
            for curve in seeds.values():
                heights = [100 * value for value in curve.values()]
                axis.plot(list(curve), heights, color=COLOURS[name], lw=1.1, alpha=0.8)
        if level is not None:
            axis.axhline(100 * level, color="0.35", ls="--", lw=1)
        axis.set_title(title, fontsize=9)
        axis.set_ylim(-3, 103)
        axis.grid(alpha=0.3)
        if ks:
            axis.set_xscale("log", base=2)
            axis.set_xticks(ks[::2], [str(k) for k in ks[::2]])
    for axis in axes[-4:]:
        axis.tick_params(labelbottom=True)
    figure.supxlabel("k, completions of a problem" if ks else "updates", fontsize=9)
    figure.supylabel("pass@k, %" if ks else "held-out accuracy, flexible, %", fontsize=9)
    save(figure, path)
