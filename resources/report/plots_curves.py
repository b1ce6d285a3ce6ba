"""Pictures over updates: mean of the seeds and its interval. The same curves give the same bytes."""

import statistics
from pathlib import Path

from resources.report import plots, scripts, seeds

NOTE = "Mean over the seeds (number in brackets); band: 95 % interval over 3 or more seeds, else smallest to largest."
HELDOUT = "held-out accuracy, %"
COLOURS = {scripts.short(script): colour for script, colour in zip(scripts.VARIANTS, plots.PALETTE)}


def curve(axis, known: dict, label: str, colour: str, line: str, after: int = 0, each: bool = False) -> None:
    """Mean and band, in percent, at the steps that every seed has; known: seed -> step -> fraction.

    after: updates before the first of these. each: a thin line for each seed in place of the band.
    """
    at = sorted(set.intersection(*map(set, known.values()))) if known else []
    if not at:
        return
    values = [[100 * steps[step] for steps in known.values()] for step in at]
    lows, highs = zip(*((max(0, low), min(100, high)) for low, high in map(seeds.interval, values)))
    at = [step + after for step in at]
    axis.plot(at, list(map(statistics.mean, values)), label=f"{label} ({len(known)})", color=colour, ls=line)
    if each:
        axis.plot(at, values, color=colour, lw=0.6)
    else:
        axis.fill_between(at, lows, highs, color=colour, alpha=0.13, lw=0)


def panel(axis, known: dict[str, dict], title: str, ylabel: str) -> None:
    """known: label -> seed -> step -> fraction; a variant has the same colour in all pictures."""
    fixed = {label: COLOURS.get(label) or COLOURS.get(f"GRPO-{label}") for label in known}
    spare = iter([*(colour for colour in plots.PALETTE if colour not in fixed.values()), *plots.PALETTE])
    for i, (label, ours) in enumerate(known.items()):
        curve(axis, ours, label, fixed[label] or next(spare), plots.LINES[i % len(plots.LINES)])
    finish(axis, title, ylabel)


def finish(axis, title: str, ylabel: str) -> None:
    axis.set_title(title)
    axis.set_ylabel(ylabel)
    axis.set_xlabel("updates")
    axis.set_ylim(-3, 103)
    axis.set_xlim(left=0)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)


def of_base(curves: dict, base: str, names: list[str]) -> dict[str, dict]:
    """label -> seed -> step -> value of those scripts that have a curve."""
    return {scripts.short(name): curves[base, name] for name in names if (base, name) in curves}


def in_group(script: str) -> str:
    """A name short enough for two columns of a legend."""
    return script.removeprefix("GRPO-").removeprefix("GRPO_BFCL_")


def rewards(curves: dict[str, dict], bases: list[str], names: list[str], title: str, path: Path) -> None:
    """What each reward teaches first: accuracy on the left, format on the right; a row of panels for each base."""
    figure, axes = plots.grid(2 * len(bases), 2, 3.5)
    for base, left, right in zip(bases, axes[::2], axes[1::2]):
        head = f" ({base})" if len(bases) > 1 else ""
        panel(left, of_base(curves["accuracy"], base, names), f"correct{head}", HELDOUT)
        panel(right, of_base(curves["format"], base, names), f"well-formed{head}", "well-formed completions, %")
    lines, labels = axes[0].get_legend_handles_labels()
    how = {"loc": "outside upper center", "ncols": 3, "frameon": False, "title_fontsize": 10}
    figure.legend(lines, labels, title=f"From SFT-brief, {title}: correct, and well-formed", **how)
    plots.note(figure, NOTE)
    plots.save(figure, path)


def in_panels(shown: list[tuple], height: float, note: str, path: Path) -> list[str]:
    """Held-out accuracy in a panel for each (title, known), two in a row; [] for none."""
    if not shown:
        return []
    figure, axes = plots.grid(len(shown), 2, height)
    for axis, (title, known) in zip(axes, shown):
        panel(axis, known, title, HELDOUT)
        plots.legend_below(axis)
    plots.note(figure, note)
    plots.save(figure, path)
    return [path.name]


def ablations(curves: dict, bases: list[str], path: Path) -> list[str]:
    """A panel for each run of which one thing was changed, over the seeds that both have; [] for none."""
    shown = []
    for base in bases:
        for original in dict.fromkeys(scripts.ABLATIONS.values()):
            changed = [script for script, of in scripts.ABLATIONS.items() if of == original]
            seeds_of = {seed for script in changed for seed in curves.get((base, script), {})}
            ours = {seed: steps for seed, steps in curves.get((base, original), {}).items() if seed in seeds_of}
            known = {scripts.short(original): ours} | of_base(curves, base, changed)
            if ours:
                head = f" ({base})" if len(bases) > 1 else ""
                shown.append((f"{scripts.short(original)} with one thing changed{head}", known))
    return in_panels(shown, 3.9, NOTE, path)


def groups(curves: dict, path: Path) -> list[str]:
    """Held-out accuracy, a panel for each group of scripts and base; [] where there is none."""
    bases = sorted({base for base, _ in curves})
    shown = []
    for base in bases:
        for group, names in scripts.CURVE_GROUPS.items():
            if known := {in_group(name): curves[base, name] for name in names if (base, name) in curves}:
                shown.append((f"{group} ({base})" if len(bases) > 1 else group, known))
    return in_panels(shown, 3.4, f"{NOTE} Names without GRPO- and GRPO_BFCL_.", path)
