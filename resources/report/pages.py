"""Figures as text, and rows as Markdown: what the pages of make_tables.py share."""

import math
import statistics
from collections.abc import Sequence

from resources.report import seeds

DECODINGS = ("sampled", "greedy")  # in the order of the tables


def markdown_table(rows: list[dict[str, str]]) -> list[str]:
    """The lines of a table whose columns are the keys of the rows, without those that are empty in all rows."""
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    return [*lines, *("| " + " | ".join(row[name] for name in names) + " |" for row in rows), ""]


def number(value: float, digits: int = 1, sign: bool = False) -> str:
    """A rounded number, never as -0.0."""
    return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}"


def chance(p: float) -> str:
    """A p; empty for NaN."""
    return "" if math.isnan(p) else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def points(against: tuple | None) -> str:
    """(difference, low, high, p) as percentage points; empty for None."""
    if not against:
        return ""
    mean, low, high = (number(100 * value, sign=True) for value in against[:3])
    return f"{mean} [{low}, {high}], {chance(against[3])}"


def over_seeds(values: Sequence[float], scale: float = 1, digits: int = 1, unit: str = "", sign: bool = False) -> str:
    """Mean of one value a seed with its 95 % interval; of one seed the value alone; empty for none."""
    if not values:
        return ""
    mean = number(scale * statistics.mean(values), digits, sign) + unit
    low, high = (number(scale * edge, digits, sign) for edge in seeds.interval(values))
    return f"{mean} [{low}, {high}]" if len(values) > 1 else mean


def listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)
