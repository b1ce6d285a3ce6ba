"""The page of a pretrained base, Real: what each checkpoint solves of GSM8K, and in how many tokens."""

from pathlib import Path

import numpy as np

from resources.report import comparisons, measurements, pages, plots

LISTED = [pages.OWN_PROMPT, "base", "SFT", "SFT-own", "SFT-more"]


def row_of(script: str, test: measurements.Test, resamples: int) -> dict[str, str]:
    """A row of the table: one checkpoint, all of its seeds."""
    column = pages.Column("flexible", test.values("flexible"))
    start = test.starts()[script]
    estimate = pages.minus(column, script, start, resamples)
    interval = comparisons.two_way(comparisons.matrix_of(column.values[script]), resamples)[1:]
    low, high = map(pages.percent, np.clip(interval, 0, 1))
    of_script = [row for row in test.rows if row.script == script]
    return {
        "script": script,
        "start": start,
        "seeds": str(len(of_script)),
        "n": str(len(of_script[0].strict)),
        "strict": pages.mean(test.values("strict")[script]),
        "flexible": f"{pages.mean(column.values[script])} [{low}, {high}]",
        "minus start": pages.interval(estimate) if estimate else "",
        "tokens": f"{np.mean([row.tokens for row in of_script]):.0f}",
        "cut": pages.percent(np.mean([row.truncated for row in of_script])),
    }


def draw(test: measurements.Test, base: str, folder: Path, resamples: int) -> list[str]:
    """Real.md and Real.png; [] where the base was not tested on the data set, or results.csv has no lengths."""
    test = test._replace(rows=[row for row in test.rows if row.flexible is not None and np.isfinite(row.tokens)])
    if not test.rows:
        return []
    values = test.values("flexible")
    scripts = [script for script in LISTED if script in values]
    scripts += sorted(set(values) - set(LISTED))
    rows = [row_of(script, test, resamples) for script in scripts[: pages.ROWS]]
    points = {}
    for row in test.rows:
        estimate = comparisons.two_way(values[row.script][row.seed][None], resamples)
        points.setdefault(row.script, []).append((row.tokens, estimate))
    plots.tokens_and_accuracy(points, folder / "Real.png")
    page = pages.write("Real", folder, table=pages.markdown_table(rows), base=base, dataset=test.dataset)
    return [page, "Real.png"]
