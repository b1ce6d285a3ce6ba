"""Pictures of make_tables.py: accuracies of scripts in lines, curves over updates, pass@k, calibration.

All are drawn for a page about 830 pixels wide: 9 inches at 110 dots an inch, letters of at least 9 points. The same
tables give the same bytes.
"""

import io
import os
import statistics
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

matplotlib.rcdefaults()  # whatever the user's own matplotlibrc says
matplotlib.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9, "savefig.dpi": 110})
matplotlib.rcParams.update({"axes.titlesize": 10, "legend.fontsize": 9, "figure.titlesize": 10})

WIDTH = 9  # inches
LINE = 0.29  # inches for a script
WAYS = {"sampled": "#0072B2", "greedy": "#E69F00"}
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#000000", "#56B4E9")  # Okabe and Ito, 2008
RING = {"mfc": "none", "ms": 8}  # seen around a dot of the same value
LINES = ("-", "--", "-.", ":")
MARKERS = "osv^DP"
CHANCE = {"yes_no": 50, "boolq": 50, "multiple_choice": 25, "arc_challenge": 25, "commonsense_qa": 20}  # % by guessing
TICKS = (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 0.999, 0.9999)  # of confidence
LOWEST = 20  # completions in a bin for a point of its own


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


def legend_below(axis) -> None:
    """The legend of a panel, below its x-axis."""
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17), "ncols": 2, "frameon": False}
    axis.legend(handlelength=2.4, columnspacing=1.2, **below)


def note(figure, text: str) -> None:
    figure.supxlabel(text, x=0.01, ha="left", fontsize=9)


def style(i: int) -> dict:
    """Colour and line of the i-th script of a panel."""
    return {"color": PALETTE[i % len(PALETTE)], "ls": LINES[i % len(LINES)]}


def with_marker(i: int) -> dict:
    return {**style(i), "marker": MARKERS[i % len(MARKERS)], "ms": 4}


# Accuracies.


def forest(axis, table: dict, scripts: list[str], ways: list[str], has_flexible: bool) -> None:
    """A line for each script: dot and interval of each decoding, a tick for each seed, of the flexible score.

    Beside it a ring, the strict score; where no script has the flexible one, the strict score takes its place.
    """
    shifts = (-0.17, 0.17) if len(ways) > 1 else (0,)
    for way, shift in zip(ways, shifts):
        colour = WAYS[way]
        for y, script in enumerate(scripts):
            scores = table.get(script, {}).get(way, {})
            figures = scores.get("flexible", scores.get("strict"))
            if figures:
                axis.hlines(y + shift, 100 * figures["low"], 100 * figures["high"], color=colour, lw=1.5)
                for accuracy in figures["each"]:
                    axis.plot(100 * accuracy, y + shift, "|", color=colour, ms=7, mew=1, alpha=0.7)
            for score, figures in scores.items():
                look = RING if has_flexible and score == "strict" else {"ms": 5}
                axis.plot(100 * figures["accuracy"], y + shift, "o", color=colour, **look)
    axis.set_yticks(range(len(scripts)), scripts)
    axis.set_ylim(len(scripts) - 0.5, -0.5)
    axis.set_xlim(-3, 103)
    axis.grid(alpha=0.3)
    axis.tick_params(length=0)


def measured_flexibly(table: dict) -> bool:
    """Whether a script of a table has the flexible score."""
    for ways in table.values():
        if any("flexible" in scores for scores in ways.values()):
            return True
    return False


def forests(tables: dict, scripts: list[str], title: str, path: Path) -> None:
    """Forests of the same scripts, up to three in a row; tables: (base, dataset) -> script -> decoding -> score ->
    figures.
    """
    across = 3 if len(tables) > 2 else len(tables)
    figure, axes = grid(len(tables), across, LINE * (len(scripts) + 2.2), sharey=True)
    tested = {way for table in tables.values() for ways in table.values() for way in ways}
    ways = [way for way in WAYS if way in tested]
    has_flexible = any(map(measured_flexibly, tables.values()))
    for axis, ((base, dataset), table) in zip(axes, tables.items()):
        forest(axis, table, scripts, ways, has_flexible)
        if dataset in CHANCE:
            axis.axvline(CHANCE[dataset], color="0.4", ls=":", lw=1)
        axis.set_title(f"{dataset} ({base})")
    marks = [plt.Line2D([], [], color=WAYS[way], marker="o", ms=5, label=way) for way in ways]
    marks.append(plt.Line2D([], [], color="0.4", marker="|", ls="", ms=8, label="each seed"))
    if has_flexible:
        marks.append(plt.Line2D([], [], color="0.4", marker="o", ls="", ms=5, label="flexible"))
        marks.append(plt.Line2D([], [], color="0.4", marker="o", ls="", label="strict", **RING))
    title = f"{title}\n% of test problems, mean over seeds, 95 % interval over problems"
    place = {"loc": "outside upper left", "ncols": len(marks), "frameon": False, "alignment": "left"}
    figure.legend(handles=marks, title=title, title_fontsize=10, **place)
    save(figure, path)


# Curves over updates.


def curve(axis, by_seed: dict, label: str, look: dict) -> None:
    """The mean in percent at the steps that every seed has, and a thin line for each seed: step -> fraction."""
    steps = sorted(set.intersection(*map(set, by_seed.values())))
    means = [100 * statistics.mean(curve[step] for curve in by_seed.values()) for step in steps]
    axis.plot(steps, means, label=f"{label} ({len(by_seed)})", lw=2, **look)
    for values in by_seed.values():
        axis.plot(steps, [100 * values[step] for step in steps], color=look["color"], lw=0.5, alpha=0.5)


def finish(axis, title: str, label: str) -> None:
    axis.set_title(title)
    axis.set_ylabel(label)
    axis.set_xlabel("updates")
    axis.set_ylim(-3, 103)
    axis.set_xlim(left=0)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    legend_below(axis)


def curves(panels: dict[str, dict], measure: str, path: Path) -> None:
    """panels: title -> label -> seed -> step -> held-out accuracy; measure: the label of that axis."""
    figure, axes = grid(len(panels), 2, 4.2)
    for axis, (title, panel) in zip(axes, panels.items()):
        for i, (label, by_seed) in enumerate(panel.items()):
            curve(axis, by_seed, label, style(i))
        finish(axis, title, measure)
    note(figure, "Mean over the seeds (number in brackets); thin: each seed.")
    save(figure, path)


# pass@k and calibration.


def pass_lines(axis, table: dict[str, dict[int, tuple]], title: str) -> None:
    """table: script -> k -> (pass@k, low, high)."""
    for i, (script, passes) in enumerate(table.items()):
        means, lows, highs = ([100 * passes[k][part] for k in passes] for part in range(3))
        axis.plot(list(passes), means, label=script, **with_marker(i))
        axis.fill_between(list(passes), lows, highs, color=style(i)["color"], alpha=0.1, lw=0)
    ks = sorted({k for passes in table.values() for k in passes})
    shown = ks if len(ks) < 5 else ks[::2]
    axis.set_xscale("log", base=2)
    axis.set_xticks(shown, [str(k) for k in shown])
    axis.set_ylim(-3, 103)
    axis.set_xlabel("k, completions of a problem")
    axis.set_ylabel("pass@k, %")
    axis.set_title(title)
    axis.grid(alpha=0.3)
    legend_below(axis)


def pass_at_k(panels: dict, path: Path) -> None:
    """panels: title -> script -> k -> (pass@k, low, high)."""
    figure, axes = grid(len(panels), 3 if len(panels) == 3 else 2, 4.2)
    for axis, (title, table) in zip(axes, panels.items()):
        pass_lines(axis, table, title)
    note(figure, "Mean over the seeds; band: 95 % interval over the problems.")
    save(figure, path)


def reliability(axis, bins: dict[str, list], title: str) -> None:
    """bins: script -> (completions, sum of confidence, correct) of each bin, as arrays."""
    at = []
    for i, (script, (count, confidence, correct)) in enumerate(bins.items()):
        large = count >= LOWEST
        if not large.any():
            continue
        x = (confidence[large] / count[large]).clip(0.01, 1 - 1e-5)
        axis.plot(x, 100 * correct[large] / count[large], label=script, **with_marker(i))
        at += [*x]
    low = min(at, default=0.1)
    high = max(at, default=0.9)
    line = np.linspace(low, high, 500)
    axis.plot(line, 100 * line, color="0.5", ls=":", label="accuracy = confidence")
    axis.set_xscale("logit")
    shown = [x for x in TICKS if low <= x <= high] or [low]
    axis.set_xticks(shown, [f"{x:g}" for x in shown])
    axis.set_xticks([], minor=True)
    axis.set_ylim(-3, 103)
    axis.set_xlabel("confidence in the solution, logit scale")
    axis.set_ylabel("correct, %")
    axis.set_title(title)
    axis.grid(alpha=0.3)
    legend_below(axis)


def calibration(panels: dict[str, dict], path: Path) -> None:
    """panels: title -> script -> bins, as reliability() takes them."""
    figure, axes = grid(len(panels), 2, 4.2)
    for axis, (title, bins) in zip(axes, panels.items()):
        reliability(axis, bins, title)
    note(figure, f"A point is a bin of at least {LOWEST} completions of all seeds together.")
    save(figure, path)
