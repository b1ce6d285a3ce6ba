"""Calibration: does the confidence of a checkpoint in its solution tell correct from incorrect answers?"""

import math
from pathlib import Path

from resources.report import measurements, page_accuracy, pages, plots

QUESTION = "Does confidence tell correct from incorrect answers?"
SCRIPTS = ["base", "SFT-x", "GRPO-1K-def-x", "GRPO-Hybrid-x", "GRPO-Intuitor-x", "GRPO-DualHead-x"]
SCRIPTS += ["SFT", "GRPO-1K-def-from-SFT"]
NOTES = """\
linear_x asks for x alone: the last operation is done inside the solution; on linear the solution copies the
reasoning, and confidence is always 1. confidence: exp(mean log p) of the tokens of the solution, sampled at
temperature 1. AUROC: the chance that of a correct and an incorrect answer the correct one has the higher confidence;
0.5 says that confidence tells nothing. calibration error: mean distance between accuracy and confidence over the
bins, weighted by their completions. Means over the seeds with a 95 % interval (Student's t). The picture adds up the
bins of all seeds, of the data set with most checkpoints."""


def table_row(rows: list[dict], ways: dict) -> dict[str, str]:
    """rows: of calibration.csv, one a seed; ways: the figures of the accuracy table of the same script, {} for none."""
    figures = page_accuracy.first_way(ways).get("strict", {})  # confidence is of the answer between the tags
    row = {"data set": rows[0]["dataset"], "script": rows[0]["script"], "seeds": str(len(rows)), "accuracy": ""}
    if figures:
        row["accuracy"] = pages.estimate(figures["accuracy"], figures["low"], figures["high"])
    row["vs start"] = pages.difference(figures.get("against"))
    row["at T 1"] = pages.over_seeds([float(one["accuracy"]) for one in rows], 100, unit="%")
    for name, head in (("mean_confidence", "confidence"), ("auroc", "AUROC"), ("ece", "calibration error")):
        row[head] = pages.over_seeds([one[name] for one in rows if not math.isnan(one[name])], 1, 3)
    return row


def bins_of(measured: dict[str, list[dict]]) -> dict[str, list]:
    """script -> its three bins, added over the seeds; measured: script -> rows of calibration.csv."""
    bins = {}
    for script in pages.of_table(SCRIPTS, measured):
        bins[script] = [sum(row[column] for row in measured[script]) for column in measurements.BINS]
    return bins


def draw(calibration: dict, tables: dict, folder: Path) -> list[str]:
    """Calibration.md and .png from what measurements.read_calibration() gives; [] where that is nothing."""
    if not calibration:
        return []
    text = []
    panels = {}
    for base in sorted({base for base, _ in calibration}):
        rows = []
        sets = [dataset for of, dataset in calibration if of == base]
        sets.sort(key=lambda dataset: len(calibration[base, dataset]), reverse=True)
        panels[f"{sets[0]} ({base})"] = bins_of(calibration[base, sets[0]])
        for dataset in sets:
            measured = calibration[base, dataset]
            table = tables.get(base, {}).get(dataset, {})
            for script in pages.of_table(SCRIPTS, measured):
                rows.append(table_row(measured[script], table.get(script, {})))
        text += [f"Base: {base}.", "", *pages.markdown_table(rows[: pages.ROWS])]
    plots.calibration(panels, folder / "Calibration.png")
    return [pages.write("Calibration.md", QUESTION, text, "Calibration.png", NOTES, folder), "Calibration.png"]
