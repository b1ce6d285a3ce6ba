"""Pictures with points: where each reward ends, pass@k, calibration. The same tables give the same bytes."""

import statistics
from pathlib import Path

from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from resources.report import pages, plots, plots_curves, scripts, seeds

MARKERS = "osv^DP"
PLACES = [  # of a label, in points from its point
    (x, y)
    for far in (10, 16, 26, 38, 52, 68)
    for x, y in ((far, 0), (-far, 0), (far, far), (far, -far), (-far, far), (-far, -far), (0, far))
]
NEAR = 7  # places without a line to the point
TICKS = (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 0.999, 0.9999)
LOWEST = 20  # completions in a bin for a point of its own


def look(script: str, i: int) -> dict:
    """Colour and marker of the i-th script of a picture: those of a variant are its own, controls are hollow."""
    short = scripts.short(script)
    colour = plots_curves.COLOURS.get(short, "#56B4E9")
    hollow = {"mfc": "white"} if script in scripts.CONTROLS else {}
    return {"color": colour, "marker": MARKERS[i % len(MARKERS)], "ms": 6, **hollow}


def overlap(one, other) -> float:
    """The area that two boxes have in common, in square pixels."""
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    down = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0, across) * max(0, down)


def box_between(axis, one: tuple, other: tuple, half: float) -> Bbox:
    """The pixels of a horizontal or vertical line between two points of the data, or of a point."""
    (x0, y0), (x1, y1) = sorted(axis.transData.transform([one, other]).tolist())
    return Bbox.from_extents(x0 - half, min(y0, y1) - half, x1 + half, max(y0, y1) + half)


def place_labels(figure, axis, labels: dict[str, tuple], lines: list[tuple]) -> None:
    """Write each label beside its point (x, y), where it covers least of other labels, points and lines.

    lines: ((x, y), (x, y)) of each, horizontal or vertical.
    """
    renderer, pixel = figure.canvas.get_renderer(), figure.dpi / 72  # pixels of a point of 1/72 inch
    frame = axis.get_window_extent(renderer)
    taken = [(box_between(axis, at, at, 7), 3) for at in labels.values()]  # box and weight
    taken += [(box_between(axis, *line, 1), 1) for line in lines]
    for name, at in labels.items():
        text = axis.text(*at, name, ha="center", va="center")
        here = text.get_window_extent(renderer)
        text.remove()
        tried = []
        for order, (x, y) in enumerate(PLACES):
            middle = x * pixel + (here.width / 2 if x > 0 else -here.width / 2 if x < 0 else 0)
            box = here.translated(middle, y * pixel)
            outside = box.width * box.height - overlap(box, frame)
            covered = sum(weight * overlap(box, other) for other, weight in taken)
            tried.append((covered + 9 * outside + 5 * order, order, box))
        _, order, box = min(tried, key=lambda place: place[:2])
        x, y = PLACES[order]
        how = {"ha": "left" if x > 0 else "right" if x < 0 else "center", "va": "center"}
        if order >= NEAR:
            how["arrowprops"] = {"arrowstyle": "-", "color": "0.6", "lw": 0.7}
        how["path_effects"] = [withStroke(linewidth=3, foreground="white")]
        axis.annotate(name, at, xytext=(x, y), textcoords="offset points", **how)
        taken.append((box, 3))


def end_points(axis, known: dict[str, dict], way: str) -> tuple[dict, list]:
    """A point for each script of one base; its labels and lines, as place_labels() takes them."""
    labels, lines = {}, []
    last = max(step for ours in known.values() for step in ours["half"].values())
    for i, (script, ours) in enumerate(known.items()):
        x, y = [*ours["half"].values()], [100 * value for value in ours[way].values()]
        across, middle = (statistics.mean(x), statistics.mean(y))
        (left, right), (low, high) = seeds.interval(x), seeds.interval(y)
        left, right, low, high = max(0, left), min(last, right), max(0, low), min(100, high)
        drawn = [((left, middle), (right, middle)), ((across, low), (across, high))]
        style = look(script, i)
        for (x0, y0), (x1, y1) in drawn:
            axis.plot([x0, x1], [y0, y1], color=style["color"], lw=1, alpha=0.6)
        axis.plot(across, middle, ls="", **style)
        labels[scripts.short(script)] = (across, middle)
        lines += drawn
    return labels, lines


def ends(found: dict[str, dict], path: Path) -> list[str]:
    """found: base -> script -> page_rewards.figures_of(). Speed and end, a point for each script; [] without ends.

    The variants on the left, the first of them beside other rewards and controls on the right.
    """
    shown = []
    for base, figures in found.items():
        way = next((way for way in pages.DECODINGS if any(ours[way] for ours in figures.values())), None)
        for names in (scripts.VARIANTS, [scripts.VARIANTS[0], *scripts.CONTROLS]):
            known = {name: figures[name] for name in names if way and name in figures and figures[name][way]}
            if {*known} - {scripts.VARIANTS[0]}:
                shown.append((base, way, known))
    if not shown:
        return []
    figure, axes = plots.grid(len(shown), 2, 4.2)
    placed = []
    for axis, (base, way, known) in zip(axes, shown):
        placed.append((axis, *end_points(axis, known, way)))
        axis.set_xlabel("updates until half of the held-out problems\nare solved for good (never: the last update)")
        axis.set_ylabel(f"correct at the end, % of test problems, {way}")
        axis.set_title(f"quick is left, good is up{f' ({base})' if len(found) > 1 else ''}")
        axis.grid(alpha=0.3)
        axis.set_xlim(left=min(0, axis.get_xlim()[0]))
    plots.note(figure, "Lines: 95 % interval over seeds.")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the labels would move it
    for axis, labels, lines in placed:
        place_labels(figure, axis, labels, lines)
    plots.save(figure, path)
    return [path.name]


def pass_lines(axis, table: dict[str, dict[int, tuple]], title: str) -> None:
    """table: script -> k -> (pass@k, low, high)."""
    ks = sorted({k for row in table.values() for k in row})
    for i, (script, row) in enumerate(table.items()):
        means, lows, highs = ([100 * row[k][part] for k in row] for part in range(3))
        style = {"color": plots.PALETTE[i % len(plots.PALETTE)], "ls": plots.LINES[i % len(plots.LINES)], "ms": 4}
        axis.plot(list(row), means, label=script, marker=MARKERS[i % len(MARKERS)], **style)
        axis.fill_between(list(row), lows, highs, color=style["color"], alpha=0.1, lw=0)
    axis.set_xscale("log", base=2)
    shown = ks if len(ks) < 5 else ks[::2]
    axis.set_xticks(shown, [str(k) for k in shown])
    axis.set_ylim(-3, 103)
    axis.set_xlabel("k, completions of a problem")
    axis.set_title(title)
    axis.grid(alpha=0.3)


def pass_at_k(tables: dict, path: Path) -> None:
    """tables: (base, dataset) -> script -> k -> (pass@k, low, high); two panels in a row."""
    figure, axes = plots.grid(len(tables), 2, 4.2)
    for axis, ((base, dataset), table) in zip(axes, tables.items()):
        pass_lines(axis, table, f"{dataset} ({base})")
        axis.set_ylabel("pass@k, %")
        plots.legend_below(axis)
    plots.note(figure, "Mean over the seeds; band: 95 % interval over the problems.")
    plots.save(figure, path)


def reliability(axis, bins: dict[str, tuple], title: str) -> None:
    """bins: script -> (completions, sum of confidence, correct) of each bin, as arrays."""
    at = []
    for i, (script, (count, confidence, correct)) in enumerate(bins.items()):
        kept = count >= LOWEST
        x = (confidence[kept] / count[kept]).clip(0.01, 1 - 1e-5)
        style = {"color": plots.PALETTE[i % len(plots.PALETTE)], "marker": MARKERS[i % len(MARKERS)], "ms": 5}
        axis.plot(x, 100 * correct[kept] / count[kept], label=script, **style)
        at += [*x]
    low, high = (min(at), max(at)) if at else (0.1, 0.9)
    line = [x for x in sorted({low, high, *TICKS, *(i / 200 for i in range(1, 200))}) if low <= x <= high]
    axis.plot(line, [100 * x for x in line], color="0.5", ls=":", label="accuracy = confidence")
    axis.set_xscale("logit")
    shown = [x for x in TICKS if low <= x <= high] or [low]
    axis.set_xticks(shown, [f"{x:g}" for x in shown])
    axis.set_xticks([], minor=True)
    axis.set_ylim(-3, 103)
    axis.set_xlabel("confidence in the solution, logit scale")
    axis.set_ylabel("correct, %")
    axis.set_title(title)
    axis.grid(alpha=0.3)
    plots.legend_below(axis)


def calibration(panels: dict[str, dict], path: Path) -> None:
    """panels: title -> script -> bins, as reliability() takes them."""
    figure, axes = plots.grid(len(panels), 2, 4.2)
    for axis, (title, bins) in zip(axes, panels.items()):
        reliability(axis, bins, title)
    plots.note(figure, f"A point is a bin of at least {LOWEST} completions of all seeds together.")
    plots.save(figure, path)


def teaching(rows: list[tuple], path: Path) -> None:
    """rows: for each base (passes, curves). passes: title -> script -> k -> (pass@k, low, high); curves: title ->
    (label, seed -> step -> fraction, updates before its first) of each line. Three panels of each in a row."""
    figure, axes = plots.grid(6 * len(rows), 3, 3.6)
    for i, (passes, curves) in enumerate(rows):
        above, below = axes[6 * i : 6 * i + 3], axes[6 * i + 3 : 6 * i + 6]
        for axis in (*above[len(passes) :], *below[len(curves) :]):
            axis.axis("off")
        for axis, (title, table) in zip(above, passes.items()):
            pass_lines(axis, table, title)
            axis.set_ylabel("pass@k, %")
            plots.legend_below(axis)
        for axis, (title, lines) in zip(below, curves.items()):
            for i, (label, known, after) in enumerate(lines):
                plots_curves.curve(axis, known, label, plots.PALETTE[i], plots.LINES[i % 4], after, each=True)
            plots_curves.finish(axis, title, plots_curves.HELDOUT)
            plots.legend_below(axis)
    below = "Below, thin: each seed (number in brackets)."
    plots.note(figure, f"Mean over the seeds; band: 95 % interval over the problems. {below}")
    plots.save(figure, path)
