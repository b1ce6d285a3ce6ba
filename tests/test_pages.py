"""The pages of the study: statistics over seeds, and every page on an invented study."""

import csv
import itertools
import math
import statistics

import invented
import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import ROOT
from test_tables import draw, measured, one_line

from resources.report import comparisons, measurements, page_calibration, page_rewards, pages

PAGES = {"GRPO_reward", "Out-domain", "BFCL", "Teaching", "ToolUse", "Rewards", "Ablations", "Calibration", "pass_at_k"}
PICTURES = PAGES - {"Out-domain", "pass_at_k"} | {"Pass_at_k"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with an invented study of one base, drawn."""
    folder = invented.study(tmp_path_factory.mktemp("study") / "resources")
    draw(folder)
    return folder


def test_p_of_t_agrees_with_closed_forms():
    for t in (0.0, 0.5, 1.0, 3.0, 40.0):
        assert comparisons.p_of_t(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t))  # Cauchy
        assert comparisons.p_of_t(t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert comparisons.p_of_t(1.96, 10**6) == pytest.approx(0.05, abs=1e-4)
    assert comparisons.p_of_t(-2.0, 7) == comparisons.p_of_t(2.0, 7)
    table = {1: 12.706, 2: 4.303, 4: 2.776, 7: 2.365, 39: 2.023}
    assert {degrees: round(comparisons.t95(degrees), 3) for degrees in table} == table


def test_the_interval_over_seeds():
    assert comparisons.interval([0.2, 0.6]) == (0.2, 0.6) and comparisons.interval([0.4]) == (0.4, 0.4)
    low, high = comparisons.interval([1.0, 2.0, 3.0])
    assert (low + high) / 2 == 2 and high - 2 == pytest.approx(4.3027 / math.sqrt(3), abs=1e-3)
    assert comparisons.interval([5.0] * 8) == (5.0, 5.0)


def test_the_paired_t_test():
    differences = [1.0, 2.0, 3.0, 4.0, 5.0]
    t = statistics.mean(differences) / (statistics.stdev(differences) / math.sqrt(5))
    assert t == pytest.approx(4.2426, abs=1e-4)
    assert comparisons.paired_t_test(differences) == pytest.approx(0.01324, abs=1e-5)
    assert comparisons.paired_t_test([0.0, 0.0, 0.0]) == 1 and comparisons.paired_t_test([2.0, 2.0]) == 0
    assert math.isnan(comparisons.paired_t_test([1.0]))
    rng = np.random.default_rng(3)
    found = [comparisons.paired_t_test(rng.normal(0, 1, 8)) < 0.05 for _ in range(400)]
    assert 0.02 < statistics.mean(found) < 0.09


def test_the_first_crossing_of_a_level():
    assert comparisons.crossing({0: 0.1, 4: 0.3, 8: 0.7, 12: 0.2, 16: 0.9}, 0.5) == 6
    assert comparisons.crossing({8: 0.5, 0: 0.0}, 0.5) == 8 and comparisons.crossing({0: 0.6, 4: 0.1}, 0.5) == 0
    assert comparisons.crossing({0: 0.1, 4: 0.49}, 0.5) is None and comparisons.crossing({}, 0.5) is None
    assert comparisons.crossing({0: 0.1, 4: 0.7, 8: 0.3, 12: 0.7, 16: 0.6}, 0.5, stays=True) == 10
    assert comparisons.crossing({0: 0.5, 4: 0.7}, 0.5, stays=True) == 0
    assert comparisons.crossing({0: 0.1, 4: 0.7, 8: 0.3}, 0.5, stays=True) is None


def test_the_scripts_of_the_pages_have_rows():
    rows = measurements.read_results(ROOT / "resources" / "results.csv")
    assert pages.OF_STUDY - {pages.OWN_PROMPT} <= {row["script"] for row in rows}
    assert all(row["start"] for row in rows if row["script"] not in ("base", pages.OWN_PROMPT, "never-calls"))


def curve_rows(script, seed, values, column="accuracy"):
    run = {"script": script, "seed": str(seed), "base": "b"}
    return [{**run, "step": str(4 * i), column: str(value)} for i, value in enumerate(values)]


def test_figures_of_a_reward_can_be_counted_by_hand():
    rows = curve_rows("GRPO-1K-long", 1, [0, 0.4, 0.6, 0.5]) + curve_rows("GRPO-1K-long", 2, [0, 0.2, 0.4, 0.3])
    rows += curve_rows("GRPO-1K-long", 1, [0.8, 1, 1, 1], "format")
    curves = {column: measurements.by_seed(rows, column) for column in ("accuracy", "format")}
    ends = [measured("GRPO-1K-long", seed, "linear", "sampled", 5, [5, seed]) for seed in (1, 2)]
    figures = page_rewards.figures_of(curves, ends, "sampled", "b", "GRPO-1K-long")
    assert figures["half"] == {"1": pytest.approx(6), "2": 12.0} and figures["half_reached"] == ["1"]
    assert figures["formed"] == {"1": pytest.approx(2)} and figures["end"] == {"1": 0.6, "2": 0.7}
    row = page_rewards.table_row("GRPO-1K-long", figures, "", {name: {} for name in page_rewards.MEASURES})
    assert row["to half"] == "9.0 [6.0, 12.0] (1 of 2)" and row["end"] == "65.0% [60.0, 70.0]"


def test_pairs_are_compared_over_seeds_and_over_problems():
    def reward(half, ends):
        return {"half": dict(zip("12345", half)), "end": dict(zip("12345", ends))}

    figures = {
        "GRPO-1K-long": reward((30, 34, 31, 36, 33), (0.7, 0.5, 0.6, 0.8, 0.4)),
        "GRPO-1K-v2-long": reward((10, 12, 11, 15, 12), (0.5, 0.7, 0.6, 0.6, 0.6)),
        "GRPO-1K-v3-long": reward((30, 33, 32, 36, 33), (0.7, 0.5, 0.6, 0.8, 0.4)),
    }
    many = {seed: (np.array([5] * 30 + [0] * 10), 5) for seed in "12345"}
    few = {seed: (np.array([0] * 40), 5) for seed in "12345"}
    items = {"GRPO-1K-long": many, "GRPO-1K-v2-long": few, "GRPO-1K-v3-long": many}
    pairs = list(itertools.combinations(figures, 2)) + [("GRPO-1K-long", "never trained")]
    compared = page_rewards.compare(figures, items, pairs, 999)
    assert [*compared["half"]] == [*compared["end"]] == [*compared["problems"]] == pairs[:3]
    mean, low, high, p = compared["half"]["GRPO-1K-long", "GRPO-1K-v2-long"]
    assert mean == pytest.approx(20.8) and low < mean < high
    assert p == pytest.approx(2 * comparisons.paired_t_test([20, 22, 20, 21, 21]))  # the second smallest of three
    assert compared["half"]["GRPO-1K-long", "GRPO-1K-v3-long"][3] == 1
    assert compared["problems"]["GRPO-1K-long", "GRPO-1K-v2-long"][3] == pytest.approx(3 / 1000)


def test_one_seed_is_shown_without_a_test():
    figures = {name: {"half": {"1": 5.0}, "end": {"1": 0.5}} for name in pages.VARIANTS[:2]}
    compared = page_rewards.compare(figures, {}, [tuple(figures)], 99)
    assert pages.difference(compared["half"][tuple(figures)], scale=1) == "+0.0 [+0.0, +0.0]"
    assert pages.over_seeds([0.5], 100, unit="%") == "50.0%" and pages.over_seeds([]) == ""


def test_every_page_and_picture_of_a_study(study, tmp_path):
    texts = {path.stem: path.read_text() for path in study.glob("*.md")}
    assert texts.keys() == PAGES
    for text in texts.values():
        lines = text.split("\n")
        assert len(lines) <= 80 and len(text.split()) <= 700
        assert sum(line.startswith("|") for line in lines) <= 2 + pages.ROWS
    pictures = list(study.glob("*.png"))
    assert {path.stem for path in pictures} == PICTURES and len(PICTURES) <= 8
    assert {plt.imread(path).shape[1] for path in pictures} == {990}  # 9 inches, so that a README does not shrink them
    again = invented.study(tmp_path / "again")
    draw(again)
    assert all(path.read_bytes() == (again / path.name).read_bytes() for path in study.iterdir())


def test_each_reward_has_a_row_beside_what_it_is_compared_with(study):
    """The invented study has the flexible score of every run, and each solves half of the problems from the start."""
    rewards = (study / "Rewards.md").read_text()
    ablations = (study / "Ablations.md").read_text()
    assert all(f"| {script} | 3 |" in rewards for script in [*pages.VARIANTS, *pages.CONTROLS])
    assert all(f"| {script} | 3 |" in ablations and f"| {of} |" in ablations for script, of in pages.ABLATIONS.items())
    assert "| 0.0 [0.0, 0.0] |" in rewards and "p = " in rewards
    assert "| end, strict |" in rewards and "| end, strict |" in ablations and "flexible" in rewards


def test_the_rewards_are_strict_where_a_run_lacks_the_flexible_score(study, tmp_path):
    results = measurements.read_results(study / "results.csv")
    curves = measurements.read_curves(study / "curves.csv")
    assert page_rewards.leading(curves, results) == "flexible"
    row = next(row for row in curves if row["script"] == pages.VARIANTS[0])
    row["flexible"] = ""
    assert page_rewards.leading(curves, results) == "strict"
    page_rewards.draw(curves, results, {}, tmp_path, 20)
    rewards = (tmp_path / "Rewards.md").read_text()
    assert "| 96.0 [96.0, 96.0] (0 of 3) |" in rewards and "flexible" not in rewards and "strict" not in rewards


def test_both_scores_stand_on_every_page_that_has_them(study):
    for name in ("GRPO_reward", "Teaching", "Out-domain"):
        text = (study / f"{name}.md").read_text()
        head = next(line for line in text.split("\n") if line.startswith("| script"))
        first = pages.ACCURACIES[name].sets[0]
        assert f"| {first}, flexible | {first}, strict | {first}, vs start |" in head
    for name in ("BFCL", "ToolUse"):  # calls have the strict score alone
        assert "flexible" not in (study / f"{name}.md").read_text()
    assert "linear, flexible |" in (study / "pass_at_k.md").read_text()


def test_the_rewards_need_no_column_of_formats(study, tmp_path):
    with open(study / "curves.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    invented.write(tmp_path / "curves.csv", [name for name in rows[0] if name != "format"], rows)
    curves = measurements.gather_curves(tmp_path / "curves.csv", tmp_path / "no-runs")
    drawn = ["Rewards.md", "Rewards.png", "Ablations.md", "Ablations.png"]
    assert page_rewards.draw(curves, [], {}, tmp_path, 20) == drawn
    text = (tmp_path / "Rewards.md").read_text()
    assert "well-formed |" not in text and "| to half |" in text
    assert (tmp_path / "curves.csv").read_text().startswith("script,seed,base,step,accuracy,format,")


def test_calibration_adds_the_bins_of_the_seeds(study, tmp_path, capsys):
    calibration = measurements.read_calibration(study / "calibration.csv")
    measured = calibration["tiny-base", "linear_x"]
    rows = measured["GRPO-Hybrid-x"]
    count, confidence, correct = page_calibration.bins_of(measured)["GRPO-Hybrid-x"]
    assert len(rows) == 3 and count.tolist() == [sum(row["bin_count"][i] for row in rows) for i in range(len(count))]
    assert (correct <= count).all() and (confidence <= count).all()
    assert "| linear_x | GRPO-Hybrid-x | 3 |" in (study / "Calibration.md").read_text()

    lines = (study / "calibration.csv").read_text()
    path = tmp_path / "calibration.csv"
    path.write_text(lines.replace(",0.21,", ",nan,"))
    rows = measurements.read_calibration(path)["tiny-base", "linear"]["SFT"]
    assert page_calibration.table_row(rows, {})["calibration error"] == ""
    for damaged in ((",0.21,", ",much,"), (",0.21,", ",0.21,7 "), ("200,", "x,")):
        path.write_text(lines.replace(*damaged, 1))
        assert "calibration.csv, line 2" in one_line(capsys, measurements.read_calibration, path)
    assert measurements.read_calibration(tmp_path / "none.csv") == {} and page_calibration.draw({}, {}, tmp_path) == []


def test_two_bases_and_few_rows_are_drawn(tmp_path):
    folder = invented.study(tmp_path / "two", bases=("one-base", "other-base"))
    draw(folder)
    for path in folder.glob("*.md"):
        text = path.read_text()
        assert "Base: one-base" in text and "Base: other-base" in text
    rows = curve_rows("GRPO-1K-long", 1, [0, 0.4, 0.6, 0.5])
    assert page_rewards.draw(rows, [], {}, tmp_path, 20) == ["Rewards.md", "Rewards.png"]  # no end was tested
    assert page_rewards.draw(curve_rows("GRPO-1K", 1, [0, 1]), [], {}, tmp_path, 20) == []
