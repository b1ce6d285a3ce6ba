"""The pictures of make_tables.py, drawn from its tables: the same tables give the same bytes."""

import io
import os
import statistics
import textwrap
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

matplotlib.rcdefaults()  # whatever the user's own matplotlibrc says
matplotlib.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9, "savefig.dpi": 110})

DECODINGS = {"sampled": "tab:blue", "greedy": "tab:orange"}  # in the order of the tables
T95 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262]  # Student's t at 97.5 %, from 1 degree on
CHARACTER = 0.066  # inches, a little more than the mean character at 8 points
LINE = 0.32  # inches for a script
PANELS = {  # column of curves.csv: title
    "accuracy": "held-out accuracy, greedy",
    "reward": "reward, scales differ",
    "no_signal": "fraction of groups with equal rewards",
    "entropy": "entropy, nats per token",
}


def save(figure, path: Path) -> None:
    """Write beside and rename, without the version that would change the bytes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    plt.close(figure)
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(drawn.getvalue())
    os.replace(beside, path)


def forest(axis, table: dict, scripts: list[str], published: dict[str, dict[str, float]]) -> None:
    """A line for each script: dot and interval of each decoding, a tick for each seed, published figures hollow."""
    drawn = [way for way in DECODINGS if any(way in decodings for decodings in table.values())]
    for decoding, shift in zip(drawn, (-0.15, 0.15) if len(drawn) > 1 else (0,)):
        colour = DECODINGS[decoding]
        for y, script in enumerate(scripts):
            if figures := table.get(script, {}).get(decoding):
                each = [100 * accuracy for accuracy in figures["each"]]
                axis.plot([100 * figures["low"], 100 * figures["high"]], [y + shift] * 2, color=colour, lw=1.5)
                axis.plot(each, [y + shift] * len(each), "|", color=colour, ms=8, mew=1, alpha=0.7)
                axis.plot(100 * figures["accuracy"], y + shift, "o", color=colour, ms=5)
    published = {what: known for what, known in published.items() if known.keys() & set(scripts)}
    for marker, (what, known) in zip("Ds^", published.items()):
        at = {script: y + 0.32 for y, script in enumerate(scripts) if script in known}
        style = {"color": "0.3", "ms": 5, "mfc": "none", "ls": "", "label": f"published: {what}"}
        axis.plot([known[script] for script in at], list(at.values()), marker, **style)
    axis.set_ylim(len(scripts) - 0.5, -0.5)
    axis.set_xlim(-2, 102)
    axis.grid(alpha=0.3)
    axis.tick_params(length=0)
    if published:
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.6 / len(scripts)), ncols=2, frameon=False)


def add_key(figure, title: str, tables: list[dict], guess: bool = False) -> None:
    """What the picture shows and what its marks mean, above everything."""
    ways = {way for table in tables for decodings in table.values() for way in decodings}
    drawn = {way: colour for way, colour in DECODINGS.items() if way in ways}
    marks = [plt.Line2D([], [], color=colour, marker="o", ms=5, label=way) for way, colour in drawn.items()]
    marks.append(plt.Line2D([], [], color="0.4", marker="|", ls="", ms=8, label="each seed"))
    if guess:
        marks.append(plt.Line2D([], [], color="0.4", ls=":", lw=1, label="by guessing"))
    title = f"{title}; % of test problems, mean over seeds, 95 % interval over problems"
    across = len(marks)
    figure.legend(handles=marks, loc="outside upper left", ncols=across, title=title, frameon=False, alignment="left")


def with_numbers(sections: dict[str, tuple], title: str, path: Path) -> None:
    """sections: head -> (table, rows of text, published). Each a forest with its numbers in line on the right."""
    widths = {
        head: {name: max(len(name), *(len(row[name]) for row in rows)) + 2 for name in rows[0] if name != "script"}
        for head, (_, rows, _) in sections.items()
    }
    text = CHARACTER * max(sum(columns.values()) for columns in widths.values())
    heights = [LINE * (len(rows) + 3) for _, rows, _ in sections.values()]
    size, ratios = (7 + text, sum(heights) + 0.7), {"height_ratios": heights, "width_ratios": [5.5, text]}
    figure, axes = plt.subplots(len(sections), 2, figsize=size, squeeze=False, layout="constrained", **ratios)
    for (left, right), (head, (table, rows, published)) in zip(axes, sections.items()):
        forest(left, table, list(table), published)
        left.set_yticks(range(len(table)), list(table))
        left.set_title(head, loc="left", fontsize=10, weight="bold")
        right.set_ylim(left.get_ylim())
        right.set_xlim(0, text / CHARACTER)
        right.axis("off")
        x = 0
        for name, width in widths[head].items():
            right.text(x, -1, name, fontsize=8, weight="bold", va="center")
            for y, row in enumerate(rows):
                right.text(x, y, row[name], fontsize=8, va="center")
            x += width
    add_key(figure, title, [table for table, _, _ in sections.values()])
    save(figure, path)


def side_by_side(
    tables: dict, scripts: list[str], published: dict, chance: dict, title: str, note: str, path: Path
) -> None:
    """tables: (base, dataset) -> table, drawn as forests of the same scripts, four in a row.

    chance: dataset -> percent that a guess among the allowed answers gets, a dotted line. note: below everything.
    """
    across = min(4, len(tables))
    down = -(-len(tables) // across)
    size = (max(2.2 + 3.3 * across, 8), down * LINE * (len(scripts) + 3) + 0.7)
    figure, axes = plt.subplots(down, across, figsize=size, squeeze=False, sharey=True, layout="constrained")
    for axis in axes.flat[len(tables) :]:
        axis.axis("off")
    for axis, ((base, dataset), table) in zip(axes.flat, tables.items()):
        forest(axis, table, scripts, published.get(dataset, {}))
        if dataset in chance:
            axis.axvline(chance[dataset], color="0.4", ls=":", lw=1)
        axis.set_yticks(range(len(scripts)), scripts)
        axis.set_title(f"{dataset} ({base})", fontsize=10)
    add_key(figure, title, list(tables.values()), guess=any(dataset in chance for _, dataset in tables))
    if note:
        figure.supxlabel("\n".join(textwrap.wrap(note, int(size[0] / CHARACTER))), x=0.01, ha="left", fontsize=8)
    save(figure, path)


def pass_at_k(tables: dict, path: Path) -> None:
    """tables: (base, dataset) -> script -> k -> (pass@k, low, high)."""
    scripts = list(dict.fromkeys(script for table in tables.values() for script in table))
    size = (1.8 + 5 * len(tables), 5)
    figure, axes = plt.subplots(1, len(tables), figsize=size, squeeze=False, sharey=True, layout="constrained")
    for axis, ((base, dataset), table) in zip(axes.flat, tables.items()):
        ks = sorted({k for row in table.values() for k in row})
        for i, script in enumerate(scripts):
            if row := table.get(script):
                means, lows, highs = ([100 * row[k][part] for k in row] for part in range(3))
                style = {"color": f"C{i % 10}", "ls": "-" if i < 10 else "--", "marker": "osv^D"[i % 5], "ms": 4}
                axis.plot(list(row), means, label=script, **style)
                axis.fill_between(list(row), lows, highs, color=style["color"], alpha=0.08, lw=0)
        axis.set_xscale("log", base=2)
        axis.set_xticks(ks, [str(k) for k in ks])
        axis.set_ylim(-2, 102)
        axis.set_xlabel("k, completions of a problem")
        axis.set_title(f"{dataset} ({base})")
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("pass@k in %, with 95 % interval over problems")
    lines = {label: line for axis in axes.flat for line, label in zip(*axis.get_legend_handles_labels())}
    figure.legend([lines[s] for s in scripts], scripts, loc="outside right upper", fontsize=8, frameon=False)
    save(figure, path)


def band(values: list[float]) -> tuple[float, float]:
    """95 % interval of the mean over seeds (Student's t) of at least 3, else from the smallest to the largest."""
    if len(values) < 3:
        return min(values), max(values)
    t = T95[min(len(values) - 1, len(T95)) - 1]
    half = t * statistics.stdev(values) / len(values) ** 0.5
    return statistics.mean(values) - half, statistics.mean(values) + half


def curve(axis, steps: dict[int, dict[str, float]], i: int, label: str, marker: str) -> None:
    """The i-th curve of a panel: mean and band at the steps that every seed has; steps: step -> seed -> value."""
    seeds = {seed for known in steps.values() for seed in known}
    at = [step for step in sorted(steps) if len(steps[step]) == len(seeds)]
    if not at:
        return
    means = [statistics.mean(steps[step].values()) for step in at]
    lows, highs = zip(*(band(list(steps[step].values())) for step in at))
    line = ["-", "--", "-.", ":"][i % 4]
    axis.plot(at, means, label=f"{label}, seeds: {len(seeds)}", color=f"C{i}", ls=line, marker=marker, ms=3)
    axis.fill_between(at, lows, highs, color=f"C{i}", alpha=0.12, lw=0)


def curves(rows: list[dict], groups: dict[str, list[str]], path: Path) -> None:
    """A row of panels for each base and group of scripts, from the rows of curves.csv."""
    values = defaultdict(lambda: defaultdict(dict))  # (base, script, column) -> step -> seed -> value
    for row in rows:
        for column in PANELS:
            if row.get(column):
                values[row["base"], row["script"], column][int(row["step"])][row["seed"]] = float(row[column])
    known = {(base, script) for base, script, _ in values}
    shown = [(base, group) for base in sorted({base for base, _ in known}) for group in groups]
    shown = [(base, group) for base, group in shown if any((base, script) in known for script in groups[group])]
    if not shown:
        return
    size, widths = (17, 0.7 + 3.4 * len(shown)), {"width_ratios": [1.8, 1, 1, 1]}
    figure, axes = plt.subplots(len(shown), 4, figsize=size, squeeze=False, layout="constrained", **widths)
    for line, (base, group) in zip(axes, shown):
        for axis, (column, title) in zip(line, PANELS.items()):
            for i, script in enumerate(groups[group]):
                marker = "o" if column == "accuracy" else ""
                curve(axis, values.get((base, script, column), {}), i, script, marker)
            axis.set_title(title)
            axis.set_xlabel("step")
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.grid(alpha=0.3)
        accuracy, reward, no_signal, entropy = line
        accuracy.set_title(f"{group} ({base}): {PANELS['accuracy']}", weight="bold")
        accuracy.set_ylim(-0.02, 1.02)
        accuracy.legend(fontsize=8)
        if max(map(abs, reward.get_ylim())) > 2:  # one variant's rewards lie between 0 and 1, another's from -20 to 12
            reward.set_yscale("symlog", linthresh=1)
            reward.set_title(f"{PANELS['reward']}, log beyond 1")
        no_signal.set_ylim(-0.02, 1.02)
        entropy.set_ylim(bottom=0)
    note = "mean over seeds; band: 95 % interval over the seeds where there are 3 or more, else smallest to largest"
    figure.suptitle(note, x=0.01, ha="left")
    save(figure, path)
