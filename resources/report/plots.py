"""Pictures of make_tables.py: what all share, and accuracies of scripts in lines. The same tables give the same bytes.

All are drawn for a page about 830 pixels wide: 9 inches at 110 dots an inch, letters of at least 9 points.
"""

import io
import os
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

matplotlib.rcdefaults()  # whatever the user's own matplotlibrc says
matplotlib.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9, "savefig.dpi": 110})
matplotlib.rcParams.update({"axes.titlesize": 10, "legend.fontsize": 9, "figure.titlesize": 10})

WIDTH = 9  # inches
LETTERS = 118  # letters of 9 points in a line of that width
LINE = 0.29  # inches for a script
DECODINGS = {"sampled": "#0072B2", "greedy": "#E69F00"}
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#000000", "#56B4E9")  # Okabe and Ito, 2008
LINES = ("-", "--", "-.", ":")


def save(figure, path: Path) -> None:
    """Write beside and rename, without the version that would change the bytes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    plt.close(figure)
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(drawn.getvalue())
    os.replace(beside, path)


def wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, LETTERS))


def grid(panels: int, across: int, height: float, **how):
    """A figure of so many panels, at most `across` in a line, each so many inches high; its axes in one list."""
    across = min(across, panels)
    down = -(-panels // across)
    size = (WIDTH, height * down + 0.5)
    figure, axes = plt.subplots(down, across, figsize=size, squeeze=False, layout="constrained", **how)
    for axis in axes.flat[panels:]:
        axis.axis("off")
    return figure, list(axes.flat[:panels])


def legend_below(axis, columns: int = 2, **how) -> None:
    """The legend of a panel, below its x-axis."""
    how = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17), "ncols": columns, "frameon": False} | how
    axis.legend(handlelength=2.4, columnspacing=1.2, **how)


def note(figure, text: str) -> None:
    figure.supxlabel(wrapped(text), x=0.01, ha="left", fontsize=9)


def forest(axis, table: dict, scripts: list[str]) -> None:
    """A line for each script: dot and interval of each decoding, a tick for each seed."""
    drawn = [way for way in DECODINGS if any(way in decodings for decodings in table.values())]
    for decoding, shift in zip(drawn, (-0.17, 0.17) if len(drawn) > 1 else (0,)):
        colour = DECODINGS[decoding]
        for y, script in enumerate(scripts):
            if figures := table.get(script, {}).get(decoding):
                each = [100 * accuracy for accuracy in figures["each"]]
                axis.plot([100 * figures["low"], 100 * figures["high"]], [y + shift] * 2, color=colour, lw=1.5)
                axis.plot(each, [y + shift] * len(each), "|", color=colour, ms=7, mew=1, alpha=0.7)
                axis.plot(100 * figures["accuracy"], y + shift, "o", color=colour, ms=5)
    axis.set_ylim(len(scripts) - 0.5, -0.5)
    axis.set_xlim(-3, 103)
    axis.grid(alpha=0.3)
    axis.tick_params(length=0)


def add_key(figure, title: str, tables: list[dict], guess: bool = False) -> None:
    """What the picture shows and what its marks mean, above everything."""
    ways = {way for table in tables for decodings in table.values() for way in decodings}
    drawn = {way: colour for way, colour in DECODINGS.items() if way in ways}
    marks = [plt.Line2D([], [], color=colour, marker="o", ms=5, label=way) for way, colour in drawn.items()]
    marks.append(plt.Line2D([], [], color="0.4", marker="|", ls="", ms=8, label="each seed"))
    if guess:
        marks.append(plt.Line2D([], [], color="0.4", ls=":", lw=1, label="by guessing"))
    title = f"{wrapped(title)}\n% of test problems, mean over seeds, 95 % interval over problems"
    how = {"loc": "outside upper left", "ncols": len(marks), "frameon": False, "alignment": "left"}
    figure.legend(handles=marks, title=title, title_fontsize=10, **how)


def with_numbers(sections: dict[str, tuple], title: str, below: str, path: Path) -> None:
    """sections: head -> (table, rows of text: column -> text). Each a forest with its numbers in line on the right.

    below: a note.
    """
    heights = [LINE * (len(rows) + 2.5) for _, rows in sections.values()]
    size, ratios = (WIDTH, sum(heights) + 1.2), {"height_ratios": heights, "width_ratios": [1.25, 1]}
    figure, axes = plt.subplots(len(sections), 2, figsize=size, squeeze=False, layout="constrained", **ratios)
    for (left, right), (head, (table, rows)) in zip(axes, sections.items()):
        forest(left, table, list(table))
        left.set_yticks(range(len(table)), list(table))
        left.set_title(head, loc="left", weight="bold")
        widths = {name: max(len(name), *(len(row[name]) for row in rows)) + 1.5 for name in rows[0]}
        right.set_ylim(left.get_ylim())
        right.set_xlim(0, sum(widths.values()))
        right.axis("off")
        x = 0
        for name, width in widths.items():
            right.text(x, -0.95, name, weight="bold", va="center")
            for y, row in enumerate(rows):
                right.text(x, y, row[name], va="center")
            x += width
    add_key(figure, title, [table for table, _ in sections.values()])
    note(figure, below)
    save(figure, path)


def side_by_side(tables: dict, scripts: list[str], chance: dict, title: str, below: str, across: int, path: Path):
    """tables: (base, dataset) -> table, drawn as forests of the same scripts, `across` in a row.

    chance: dataset -> percent that a guess among the allowed answers gets, a dotted line. below: a note.
    """
    figure, axes = grid(len(tables), across, LINE * (len(scripts) + 2.2), sharey=True)
    bases = sorted({base for base, _ in tables})
    for axis, ((base, dataset), table) in zip(axes, tables.items()):
        forest(axis, table, scripts)
        if dataset in chance:
            axis.axvline(chance[dataset], color="0.4", ls=":", lw=1)
        axis.set_yticks(range(len(scripts)), scripts)
        axis.set_title(f"{dataset}\n({base})" if len(bases) > 1 else dataset)
    title = title if len(bases) > 1 else f"{title} ({bases[0]})"
    add_key(figure, title, list(tables.values()), guess=any(dataset in chance for _, dataset in tables))
    if below:
        note(figure, below)
    save(figure, path)
