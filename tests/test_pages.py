"""The pages of the study: statistics over seeds, names and starts against study.sh, every page on an invented study."""

import csv
import itertools
import math
import statistics
import subprocess

import invented
import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import ROOT
from matplotlib.text import Text
from test_pipeline import NOTES, environment
from test_tables import draw, measured, one_line

from resources.report import (
    measurements,
    page_accuracy,
    page_calibration,
    page_rewards,
    page_teaching,
    pages,
    plots_curves,
    plots_points,
    scripts,
    seeds,
)

PAGES = {"GRPO_reward", "Out-domain", "BFCL", "ToolUse", "Rewards", "Calibration", "Teaching", "pass_at_k"}
PICTURES = {"Rewards_curves", "Rewards_others", "Rewards_end", "Ablations", "Learning_curves", "Pass_at_k"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with an invented study of one base, drawn."""
    folder = invented.study(tmp_path_factory.mktemp("study") / "resources")
    draw(folder)
    return folder


def test_p_of_t_agrees_with_closed_forms():
    for t in (0.0, 0.5, 1.0, 3.0, 40.0):
        assert seeds.p_of_t(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t))  # Cauchy
        assert seeds.p_of_t(t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert seeds.p_of_t(1.96, 10**6) == pytest.approx(0.05, abs=1e-4)
    assert seeds.p_of_t(-2.0, 7) == seeds.p_of_t(2.0, 7)
    table = {1: 12.706, 2: 4.303, 4: 2.776, 7: 2.365, 39: 2.023}
    assert {degrees: round(seeds.t95(degrees), 3) for degrees in table} == table


def test_the_interval_over_seeds():
    assert seeds.interval([0.2, 0.6]) == (0.2, 0.6) and seeds.interval([0.4]) == (0.4, 0.4)
    low, high = seeds.interval([1.0, 2.0, 3.0])
    assert (low + high) / 2 == 2 and high - 2 == pytest.approx(4.3027 / math.sqrt(3), abs=1e-3)
    assert seeds.interval([5.0] * 8) == (5.0, 5.0)


def test_the_paired_t_test():
    differences = [1.0, 2.0, 3.0, 4.0, 5.0]
    t = statistics.mean(differences) / (statistics.stdev(differences) / math.sqrt(5))
    assert t == pytest.approx(4.2426, abs=1e-4) and seeds.paired_t_test(differences) == pytest.approx(0.01324, abs=1e-5)
    assert seeds.paired_t_test([0.0, 0.0, 0.0]) == 1 and seeds.paired_t_test([2.0, 2.0]) == 0
    assert math.isnan(seeds.paired_t_test([1.0]))
    rng = np.random.default_rng(3)
    found = [seeds.paired_t_test(rng.normal(0, 1, 8)) < 0.05 for _ in range(400)]
    assert 0.02 < statistics.mean(found) < 0.09


def test_the_first_crossing_of_a_level():
    assert seeds.crossing({0: 0.1, 4: 0.3, 8: 0.7, 12: 0.2, 16: 0.9}, 0.5) == 6
    assert seeds.crossing({8: 0.5, 0: 0.0}, 0.5) == 8 and seeds.crossing({0: 0.6, 4: 0.1}, 0.5) == 0
    assert seeds.crossing({0: 0.1, 4: 0.49}, 0.5) is None and seeds.crossing({}, 0.5) is None
    assert seeds.crossing({0: 0.1, 4: 0.7, 8: 0.3, 12: 0.7, 16: 0.6}, 0.5, stays=True) == 10
    assert seeds.crossing({0: 0.5, 4: 0.7}, 0.5, stays=True) == 0
    assert seeds.crossing({0: 0.1, 4: 0.7, 8: 0.3}, 0.5, stays=True) is None and seeds.crossing({}, 0.5, True) is None


def test_starts_are_those_of_study_sh(tmp_path):
    env = environment(tmp_path, "tiny", {"python": NOTES.format(sleep="true"), "sleep": "#!/bin/sh\n"})
    env |= {"NOTES": str(tmp_path / "notes"), "CORES": "4"}
    done = subprocess.run(["bash", ROOT / "study.sh"], cwd=tmp_path, env=env, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    trained = {}
    for note in (tmp_path / "notes").read_text().splitlines():
        words = note.split()
        if words[0] == "begin" and any(word.startswith("outputs/seed") for word in words) and "--output" in words:
            name = words[words.index("--output") + 1]
            if name.startswith("outputs/seed"):
                base = words[words.index("--base") + 1] if "--base" in words else "base"
                trained.setdefault(name.split("/")[-1], set()).add(base.split("/")[-1])
    assert len(trained) > 50
    assert {name: starts for name, starts in trained.items() if starts != {scripts.start_of(name, "")}} == {}
    assert set(trained) <= set(scripts.ORDER)
    shown = {*scripts.VARIANTS, *scripts.ABLATIONS, *scripts.CONTROLS, *scripts.TEACHING}
    of_run = {"GRPO-1K", "GRPO-1K-v2", "GRPO-1K-v3", "GRPO-1K-def", "GRPO-Control-format"}  # run.sh alone trains these
    assert shown | {name for names in scripts.CURVE_GROUPS.values() for name in names} <= set(trained) | of_run
    assert all(set(names) <= set(scripts.ORDER) for names in scripts.PICTURED.values())


@pytest.mark.parametrize(
    "script, dataset, tested, reference",
    [
        ("GRPO-1K-long", "linear", ["base", "SFT-brief", "SFT"], "SFT-brief"),
        ("GRPO-1K", "dapo", ["base", "SFT"], "SFT"),  # on a GPU run.sh starts from SFT
        ("GRPO-1K", "linear", ["base"], "base"),
        ("GRPO-1K-def-from-SFT", "linear", ["SFT-brief"], ""),
        ("ladder-3", "linear-harder", ["base", "SFT", "teach-level"], "SFT"),
        ("GRPO_BFCL_v2-clean", "bfcl_multi", ["SFT-BFCL-multi-clean", "SFT-BFCL"], "SFT-BFCL-multi-clean"),
        ("GRPO_BFCL_v1-from-GRPO-Hybrid", "bfcl_single", ["base", "SFT-BFCL"], "base"),
        ("GRPO_BFCL_v1-mine", "bfcl_single", ["base", "SFT-BFCL"], "SFT-BFCL"),
        ("GRPO-mine", "linear", ["SFT-brief", "SFT"], "SFT-brief"),
        ("SFT_tools-teacher", "tools", ["SFT_tools-few", "SFT_tools"], "SFT_tools-few"),
        ("SFT-mine", "linear", ["base", "SFT"], "base"),
        ("base", "linear", ["SFT"], ""),
        ("never-calls", "bfcl_single", ["base"], ""),
    ],
)
def test_what_a_script_is_compared_with(script, dataset, tested, reference):
    assert scripts.reference_of(script, dataset, tested) == reference


def test_a_picture_has_few_scripts_and_those_of_ones_own():
    known = [*scripts.ORDER, "GRPO-mine"]
    few = scripts.chosen("GRPO_reward", known, 10)
    assert len(few) == 10 and few[-1] == "GRPO-mine" and few[:3] == ["base", "SFT-brief", "SFT"]
    assert scripts.chosen("Out-domain", ["GRPO-Intuitor", "base"], 10) == ["base", "GRPO-Intuitor"]


def curve_rows(script, seed, values, column="accuracy"):
    run = {"script": script, "seed": str(seed), "base": "b"}
    return [{**run, "step": str(4 * i), column: str(value)} for i, value in enumerate(values)]


def test_figures_of_a_reward_can_be_counted_by_hand():
    rows = curve_rows("GRPO-1K-long", 1, [0, 0.4, 0.6, 0.5]) + curve_rows("GRPO-1K-long", 2, [0, 0.2, 0.4, 0.3])
    rows += curve_rows("GRPO-1K-long", 1, [0.8, 1, 1, 1], "format")
    curves = {column: measurements.by_seed(rows, column) for column in ("accuracy", "format")}
    ends = [measured("GRPO-1K-long", seed, "linear", "sampled", 5, [5, seed]) for seed in (1, 2)]
    found = page_rewards.figures_of(curves, ends, "b", "GRPO-1K-long")
    assert found["half"] == {"1": pytest.approx(6), "2": 12.0} and found["half_reached"] == ["1"]
    assert found["first"] == found["half"] and found["lowest"] == {"1": 0.5}
    assert found["formed"] == {"1": pytest.approx(2)} and found["sampled"] == {"1": 0.6, "2": 0.7}
    assert found["highest"] == (8, 0.5) and found["fall"] == {seed: pytest.approx(-0.1) for seed in "12"}
    each = page_rewards.each_seed({"GRPO-1K-long": found}, "half", 1)
    assert each == [{"script": "GRPO-1K-long", "seed 1": "6.0", "seed 2": "> 12.0"}]
    row = page_rewards.table_rows({"GRPO-1K-long": found})[0]
    assert row["to half, for good"] == "9.0 [6.0, 12.0] (1 of 2)" and row["highest held-out"] == "50.0% at 8"
    assert row["end, sampled"] == "65.0% [60.0, 70.0]" and row["end - highest"] == "-10.0 [-10.0, -10.0]"


def test_pairs_are_compared_over_seeds_and_over_problems():
    def reward(half, ends):
        return {"half": dict(zip("12345", half)), "sampled": dict(zip("12345", ends))}

    found = {
        "GRPO-1K-long": reward((30, 34, 31, 36, 33), (0.7, 0.5, 0.6, 0.8, 0.4)),
        "GRPO-1K-v2-long": reward((10, 12, 11, 15, 12), (0.5, 0.7, 0.6, 0.6, 0.6)),
        "GRPO-1K-v3-long": reward((30, 33, 32, 36, 33), (0.7, 0.5, 0.6, 0.8, 0.4)),
    }
    many = {seed: (np.array([5] * 30 + [0] * 10), 5) for seed in "12345"}
    few = {seed: (np.array([0] * 40), 5) for seed in "12345"}
    items = {"GRPO-1K-long": many, "GRPO-1K-v2-long": few, "GRPO-1K-v3-long": many}
    pairs = list(itertools.combinations(found, 2)) + [("GRPO-1K-long", "never trained")]
    compared = page_rewards.compare(found, items, pairs, "sampled", 999)
    assert list(compared) == pairs[:3]
    mean, low, high, p = compared["GRPO-1K-long", "GRPO-1K-v2-long"]["half"]
    assert mean == pytest.approx(20.8) and low < mean < high
    assert p == pytest.approx(2 * seeds.paired_t_test([20, 22, 20, 21, 21]))  # the second smallest of three
    assert compared["GRPO-1K-long", "GRPO-1K-v3-long"]["half"][3] == 1
    assert compared["GRPO-1K-long", "GRPO-1K-v2-long"]["end_problems"][3] == pytest.approx(3 / 1000)
    text = page_rewards.sentences(compared)
    assert "significantly different: GRPO-1K later than GRPO-1K-v2, GRPO-1K-v2 sooner than GRPO-1K-v3;" in text[0]
    assert text[1] == "  not significantly different: GRPO-1K / GRPO-1K-v3."
    assert "over seeds: significantly different: no pair" in text[2]
    assert "GRPO-1K higher than GRPO-1K-v2, GRPO-1K-v2 lower than GRPO-1K-v3" in text[4]
    said = page_rewards.answer(found, compared, "sampled")
    assert "**GRPO-1K-v2**, for good after 12.0 updates (significantly different from all others)." in said[0]
    assert "**GRPO-1K**, 60.0%" in said[1] and "(not significantly different: GRPO-1K-v2 and GRPO-1K-v3)." in said[1]


def test_one_seed_is_shown_without_a_test():
    found = {name: {"half": {"1": 5.0}, "sampled": {"1": 0.5}} for name in scripts.VARIANTS[:2]}
    compared = page_rewards.compare(found, {}, [tuple(found)], "sampled", 99)
    assert page_rewards.sentences(compared) == []
    assert page_rewards.pair_rows(compared)[0]["updates to half"] == "+0.0 [+0.0, +0.0]"
    assert page_rewards.answer({scripts.VARIANTS[0]: found[scripts.VARIANTS[0]]}, {}, "sampled")[0].endswith("updates.")
    assert pages.over_seeds([0.5], 100, unit="%") == "50.0%" and pages.over_seeds([]) == ""


def test_every_page_and_picture_of_a_study(study, tmp_path):
    written = {path.stem for path in study.iterdir() if path.suffix == ".md"}
    assert written == PAGES
    pictures = [path for path in study.iterdir() if path.suffix == ".png"]
    assert {path.stem for path in pictures} == PAGES - {"Rewards", "pass_at_k"} | PICTURES
    assert {plt.imread(path).shape[1] for path in pictures} == {990}  # 9 inches, so that a README does not shrink them
    again = invented.study(tmp_path / "again")
    draw(again)
    assert all(path.read_bytes() == (again / path.name).read_bytes() for path in study.iterdir())


def test_the_page_of_rewards_answers_both_questions(study):
    text = (study / "Rewards.md").read_text()
    assert "Soonest at half of the held-out problems: **GRPO-1K-def**" in text and "Highest at the end: **" in text
    assert "- The start, SFT-brief: sampled " in text and "98% well-formed; greedy " in text
    for script in [*scripts.VARIANTS, *scripts.ABLATIONS, *scripts.CONTROLS]:
        assert text.count(f"| {script} |") == 6  # one table of means, five of each seed
    assert text.count("| 96.0 [96.0, 96.0] (0 of 5) |") >= 2 and "> 96.0" in text
    pairs = [line for line in text.split("\n") if line.startswith("| ") and " - " in line and "p " in line]
    assert len(pairs) == 15 + 8 + 4


def test_the_rewards_need_no_column_of_formats(study, tmp_path):
    with open(study / "curves.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    invented.write(tmp_path / "curves.csv", [name for name in rows[0] if name != "format"], rows)
    curves = measurements.gather_curves(tmp_path / "curves.csv", tmp_path / "no-runs")
    drawn = ["Rewards.md", "Rewards_curves.png", "Ablations.png", "Rewards_others.png"]
    assert page_rewards.draw(curves, [], {}, tmp_path, 20) == drawn
    text = (tmp_path / "Rewards.md").read_text()
    assert "well-formed |" not in text and "updates to half |" in text
    assert (tmp_path / "curves.csv").read_text().startswith("script,seed,base,step,accuracy,format,")


def test_labels_beside_points_do_not_overlap():
    rng = np.random.default_rng(0)
    for close in (0.5, 5, 40):
        at = np.clip(50 + close * rng.normal(size=(15, 2)), 1, 99)
        labels = {f"some-variant-{i}": tuple(point) for i, point in enumerate(at)}
        figure, axis = plt.subplots(figsize=(9, 5.2), dpi=110)
        axis.plot(*zip(*labels.values()), "o")
        axis.set(xlim=(0, 100), ylim=(0, 100))
        plots_points.place_labels(figure, axis, labels, [])
        figure.draw_without_rendering()
        boxes = [Text.get_window_extent(text, figure.canvas.get_renderer()) for text in axis.texts]
        plt.close(figure)
        pairs = itertools.combinations(boxes, 2)
        assert len(boxes) == 15 and sum(plots_points.overlap(*pair) > 20 for pair in pairs) <= (4 if close < 1 else 0)


def test_panels_have_at_most_six_lines():
    assert all(len(names) <= 6 for names in scripts.CURVE_GROUPS.values()) and len(scripts.CURVE_GROUPS) <= 6
    assert len({plots_curves.in_group(name) for names in scripts.CURVE_GROUPS.values() for name in names}) == sum(
        map(len, scripts.CURVE_GROUPS.values())
    )
    assert max(len(names) for names in scripts.TAUGHT.values()) <= 5 and len(scripts.PICTURED["Pass_at_k"]) == 6


def test_calibration_adds_the_bins_of_the_seeds(study, tmp_path, capsys):
    found = measurements.read_calibration(study / "calibration.csv")
    rows = found["tiny-base", "linear_x"]["GRPO-Hybrid-x"]
    count, confidence, correct = page_calibration.bins_of(found["tiny-base", "linear_x"])["GRPO-Hybrid-x"]
    assert len(rows) == 3 and count.tolist() == [sum(row["bin_count"][i] for row in rows) for i in range(len(count))]
    assert (correct <= count).all() and (confidence <= count).all()
    assert len(page_calibration.bins_of(found["tiny-base", "linear_x"])) == page_calibration.CURVES
    assert page_calibration.varies({"SFT-x": (count, confidence, correct)})
    count[2:] = 0  # all completions in two bins
    assert not page_calibration.varies({"SFT-x": (count, confidence, correct)})
    text = (study / "Calibration.md").read_text()
    assert text.index("## tiny-base, linear_x") < text.index("## tiny-base, linear\n")
    assert "| GRPO-Hybrid-x | SFT-x | 3 | 200 |" in text

    lines = (study / "calibration.csv").read_text()
    path = tmp_path / "calibration.csv"
    path.write_text(lines.replace(",0.21,", ",nan,"))
    rows = measurements.read_calibration(path)["tiny-base", "linear"]["SFT"]
    assert page_calibration.table_rows({"SFT": rows})[0]["calibration error"] == ""
    for bad in (
        lines.replace(",0.21,", ",much,", 1),
        lines.replace(",0.21,", ",0.21,7 ", 1),
        lines.replace("200,", "x,", 1),
    ):
        path.write_text(bad)
        assert "calibration.csv, line 2" in one_line(capsys, measurements.read_calibration, path)
    assert measurements.read_calibration(tmp_path / "none.csv") == {} and page_calibration.draw({}, tmp_path) == []


def test_teaching_compares_each_measure_with_the_start():
    def tested(counts, n):
        return {seed: (np.array(counts), n) for seed in "123"}

    items = {
        ("b", "linear_sum", "greedy"): {"SFT-sum": tested([0] * 20, 1), "teach-sum": tested([1] * 20, 1)},
        ("b", "linear_sum", "pass@k"): {"SFT-sum": tested([2] * 20, 4), "teach-sum": tested([4] * 20, 4)},
        ("b", "linear", "greedy"): {"base": tested([0] * 20, 1)},
    }
    known, against = page_teaching.measure(items, "b", 999)
    assert list(known) == [("linear_sum", "SFT-sum"), ("linear_sum", "teach-sum")]  # nothing was taught on the other
    assert {name: found["linear_sum", "teach-sum"][0] for name, found in against.items()} == {
        "greedy": 1.0,
        "pass@1": 0.5,
        "pass@4": 0.0,
    }
    said = page_teaching.sentences(known, against)
    assert said[0] == "- teach-sum on linear_sum (up: greedy and pass@1; no significant difference: pass@4)."
    rows = page_teaching.table_rows(known, against, "linear_sum", 99)
    assert rows[0]["greedy, minus start"] == "" and rows[1]["pass@1, minus start"].startswith("+50.0 [+50.0, +50.0]")
    assert rows[1]["pass@1"] == "100.0% [100.0%, 100.0%]" and rows[0]["pass@1"].startswith("50.0%")


def test_two_bases_and_few_rows_are_drawn(tmp_path):
    folder = invented.study(tmp_path / "two", bases=("one-base", "other-base"))
    curves = measurements.read_curves(folder / "curves.csv")
    results, items = (getattr(measurements, f"read_{name}")(folder / f"{name}.csv") for name in ("results", "items"))
    assert "Rewards_end.png" in page_rewards.draw(curves, results, items, folder, 20)
    assert page_teaching.draw(curves, items, folder, 20) and page_accuracy.draw(
        "GRPO_reward", results, items, folder, 20
    )
    for name in ("Rewards", "Teaching", "GRPO_reward"):
        text = (folder / f"{name}.md").read_text()
        assert "## one-base" in text and "## other-base" in text
    rows = curve_rows("GRPO-1K-long", 1, [0, 0.4, 0.6, 0.5])
    written = page_rewards.draw(rows, [], {}, tmp_path, 20)
    assert written == ["Rewards.md", "Rewards_curves.png"]  # no end was tested, nothing was changed
    assert page_rewards.draw(curve_rows("GRPO-1K", 1, [0, 1]), [], {}, tmp_path, 20) == []
