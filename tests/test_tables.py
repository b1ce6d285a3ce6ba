"""The statistics of the pages against what can be counted by hand, and files that cannot be used."""

import itertools
import math
import statistics

import numpy as np
import pytest
from conftest import load_script
from test_pages import draw, one_line, study

from common import runs
from resources.report import comparisons, measurements, pages

tables = load_script("resources/make_tables.py")


def test_two_way_bootstrap_of_two_seeds_and_two_problems():
    """Means -0.5 and 0.5 of two seeds, moved to their t width; problems do not differ: four draws of seeds remain."""
    matrix = np.array([[-0.5, -0.5], [0.5, 0.5]])
    factor = 12.706 / 1.96 * math.sqrt(2)
    assert comparisons.with_t_width(matrix) == pytest.approx(matrix * factor)
    assert comparisons.two_way(matrix, 4000) == (0, -1, 1)  # an interval of fractions ends at 1
    assert comparisons.two_way(matrix / 100, 4000) == pytest.approx((0, -0.005 * factor, 0.005 * factor))


def test_two_way_bootstrap_of_equal_seeds_is_over_the_problems():
    problems = np.array([1.0] * 60 + [0.0] * 40)
    once = comparisons.two_way(problems[None], 10_000)
    assert once == pytest.approx(comparisons.two_way(np.stack([problems] * 5), 10_000))
    assert once == pytest.approx((0.6, 0.6 - 0.096, 0.6 + 0.096), abs=0.015)  # the normal interval of 100 problems
    assert comparisons.two_way(np.ones((1, 5)), 100) == pytest.approx((1, 1, 1))


def test_two_way_bootstrap_of_equal_problems_is_as_wide_as_students_t():
    seeds = np.array([0.10, 0.14, 0.18, 0.22, 0.26])
    half = 2.776 * statistics.stdev(seeds) / math.sqrt(5)
    mean, low, high = comparisons.two_way(np.repeat(seeds[:, None], 50, 1), 10_000)
    assert mean == pytest.approx(0.18)
    assert (low, high) == pytest.approx((0.18 - half, 0.18 + half), abs=0.01)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        matrix = rng.normal(0, 0.1, (5, 1)) + rng.normal(0, 0.2, (1, 60)) + rng.normal(0, 0.2, (5, 60))
        estimate = comparisons.two_way(matrix, 500)
        hits += estimate.low <= 0 <= estimate.high
    assert 0.9 <= hits / 200 <= 0.99


def test_differences_pair_seeds_and_problems():
    ours = {"1": np.array([1.0, 0.0]), "2": np.array([1.0, 1.0])}
    theirs = {"2": np.array([0.0, 1.0]), "3": np.array([0.0, 0.0])}
    base = {"0": np.array([0.0, 1.0])}
    assert comparisons.difference(ours, theirs).tolist() == [[1.0, 0.0]]
    assert comparisons.difference(ours, base) is None
    assert comparisons.difference(ours, base, of_base=True).tolist() == [[1.0, -1.0], [1.0, 0.0]]
    shorter = {"1": np.array([0.5]), "2": np.array([0.5])}
    assert comparisons.difference(ours, shorter).tolist() == [[0.0], [0.5]]
    assert comparisons.difference(ours, {"2": np.array([0.5])}) is None
    assert comparisons.difference(ours, {}, of_base=True) is None


def test_a_seed_collapses_below_half_of_its_start():
    start = {"1": np.array([0.2, 0.2]), "2": np.array([0.4, 0.4]), "3": np.array([0.4, 0.4])}
    ours = {"1": np.array([0.1, 0.1]), "2": np.array([0.1, 0.2]), "4": np.array([0.0, 0.0])}
    assert comparisons.collapsed(ours, start) == ["2"]


def test_pass_at_k_agrees_with_every_draw():
    for n, c, k in itertools.product([1, 4, 6], range(7), range(1, 7)):
        if c <= n and k <= n:
            draws = itertools.combinations([True] * c + [False] * (n - c), k)
            (value,) = comparisons.pass_at_k(np.array([c]), n, k)
            assert value == pytest.approx(statistics.mean(map(any, draws)))


def test_figures_are_written_without_minus_zero():
    assert pages.interval(comparisons.Estimate(-0.0001, -0.02, 0.01)) == "+0.0 [-2.0, +1.0]"
    assert pages.percent(-0.0001) == "0.0" and pages.percent(0.468, sign=True) == "+46.8"


def test_curves_of_finished_runs_are_gathered(tmp_path):
    folder = study(tmp_path / "study")
    outputs = tmp_path / "outputs"
    for run in ("GRPO-1K", "GRPO-1K-new.partial/GRPO-1K-new"):
        (outputs / run).mkdir(parents=True)
        runs.write_json(outputs / run / "run.json", {"seed": 1, "lineage": ["tiny-base", "SFT", "GRPO-1K"]})
        scores = {"heldout_accuracy": 0.125, "heldout_flexible": 0.75, "seconds": 61.5}
        runs.append_json(outputs / run / "metrics.jsonl", {"step": 0, **scores})
    curves = measurements.gather_curves(folder / "curves.csv", outputs)
    stored = (folder / "curves.csv").read_bytes()
    (row,) = [row for row in curves if row["script"] == "GRPO-1K" and row["seed"] == "1"]  # in place of those before
    assert (row["step"], row["accuracy"], row["flexible"]) == ("0", "0.1250", "0.7500")
    values = measurements.by_seed(curves, "tiny-base", "seconds", {"GRPO-1K": ["1"]})
    assert values == {"GRPO-1K": {"1": {0: 61.5}}}
    measurements.gather_curves(folder / "curves.csv", tmp_path / "none")
    assert (folder / "curves.csv").read_bytes() == stored
    assert "GRPO-1K-new" not in {row["script"] for row in curves}


@pytest.mark.parametrize(
    "name, old, new, message",
    [
        ("items.csv", ",5,", ",2,", "is not a list of counts from 0 to 2"),
        ("items.csv", ",5,", ",five,", "samples is missing or no number"),
        ("items.csv", ",1,1 ", ",1,__import__('os') ", "correct is not a list of counts"),
        ("items.csv", ",1,1 ", ",1,-1 ", "correct is not a list of counts"),
        ("items.csv", ",test,", ",validation,", "has no rows of a test split; first run"),
        ("items.csv", "tiny-base,", ",", "base is missing"),
        ("results.csv", "SFT,", "SFT,\udcff", "results.csv cannot be read"),
        ("results.csv", "\n", ",,,,,,,,,,,,,,,,,,,,,,,,more\n", "more cells than columns"),
        ("curves.csv", ",10,", ",ten,", "step is missing or no number"),
        ("calibration.csv", "0.7000", "much", "auroc is missing or no number"),
    ],
)
def test_bad_rows_end_in_one_line(name, old, new, message, tmp_path, capsys):
    folder = study(tmp_path / "study")
    text = (folder / name).read_text()
    assert old in text
    head, rows = text.split("\n", 1)
    (folder / name).write_bytes(f"{head}\n{rows.replace(old, new)}".encode(errors="surrogateescape"))
    assert message in one_line(capsys, draw, folder)
    assert not list(folder.glob("*.md"))


def test_files_that_are_missing(tmp_path, capsys):
    folder = study(tmp_path / "study")
    for name in ("results.csv", "curves.csv", "calibration.csv"):
        (folder / name).unlink()
    assert "Rewards.png" not in draw(folder)
    assert "| SFT | 5 |" in (folder / "GRPO_reward.md").read_text()
    (folder / "items.csv").unlink()
    assert "items.csv has no rows of a test split; first run" in one_line(capsys, draw, folder)
