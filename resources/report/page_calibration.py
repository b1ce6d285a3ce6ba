"""Calibration.md: does the confidence of a checkpoint in its solution tell correct from incorrect answers?"""

import math
from pathlib import Path

from resources.report import pages, plots_points, scripts

CURVES = 5  # of a panel, at most
BINS = ("bin_count", "bin_confidence", "bin_correct")
NOTES = """\
- confidence = exp(mean log p) of the solution's tokens, sampled at temperature 1; answered: fraction of the completions
  that have a solution.
- AUROC: the chance that of a correct and an incorrect answer the correct one has the higher confidence; 0.5: confidence
  tells nothing.
- calibration error: mean distance between accuracy and confidence over the bins, weighted by their completions.
- Means over the seeds, with a 95 % interval (Student's t; of two seeds, both values). Seeds in which all answers are
  correct, or none, have no AUROC.
- The picture adds up the bins of all seeds, and leaves out a data set on which confidence is always the same.

Commands:

```
{commands}
```
"""


def table_rows(measured: dict[str, list[dict]]) -> list[dict[str, str]]:
    """measured: script -> rows of calibration.csv, one a seed."""
    rows = []
    for script in sorted(measured, key=scripts.rank):
        ours = measured[script]
        row = {"script": script, "start": scripts.start_of(script, ""), "seeds": str(len(ours))}
        row["problems"] = " or ".join(sorted({one["n"] for one in ours}, key=int))
        row["answered"] = pages.over_seeds([float(one["answered"]) for one in ours], 100, unit="%")
        row["accuracy"] = pages.over_seeds([float(one["accuracy"]) for one in ours], 100, unit="%")
        for name, head in (("mean_confidence", "mean confidence"), ("auroc", "AUROC"), ("ece", "calibration error")):
            row[head] = pages.over_seeds([one[name] for one in ours if not math.isnan(one[name])], 1, 3)
        rows.append(row)
    return rows


def bins_of(measured: dict[str, list[dict]]) -> dict[str, tuple]:
    """script -> its bins, added over the seeds, of the scripts that the picture shows: a base last to go in."""
    names = sorted(measured, key=lambda script: (script == "base", scripts.rank(script)))[:CURVES]
    names.sort(key=scripts.rank)
    return {name: tuple(sum(row[column] for row in measured[name]) for column in BINS) for name in names}


def varies(bins: dict[str, tuple]) -> bool:
    """Whether confidence takes more than two values: the bins of bins_of() that are large enough to be drawn."""
    return any((count >= plots_points.LOWEST).sum() > 2 for count, _, _ in bins.values())


def draw(found: dict, folder: Path) -> list[str]:
    """Calibration.md and .png from what measurements.read_calibration() gives; [] where that is nothing."""
    if not found:
        return []
    text, panels, commands = ["# Does confidence tell correct from incorrect answers?", ""], {}, set()
    for base, dataset in sorted(found, key=lambda key: (key[0], -len(found[key]), key[1])):
        measured = found[base, dataset]
        text += [f"## {base}, {dataset}", "", *pages.markdown_table(table_rows(measured))]
        panels[f"{dataset} ({base})"] = bins_of(measured)
        commands |= {row["command"] for rows in measured.values() for row in rows}
    text.append(NOTES.format(commands="\n".join(sorted(commands))))
    (folder / "Calibration.md").write_text("\n".join(text))
    panels = {title: bins for title, bins in panels.items() if varies(bins)} or panels
    plots_points.calibration(panels, folder / "Calibration.png")
    return ["Calibration.md", "Calibration.png"]
