"""The tables and pictures: their statistics against what can be counted by hand, the drawing on made-up csv files."""

import csv
import itertools
import math
import random
import statistics

import numpy as np
import pytest
from conftest import load_script

from common import evaluation, runs, settings
from resources.report import comparisons, measurements, page_accuracy, page_pass_at_k, pages

tables = load_script("resources/make_tables.py")
VARIANTS = ["SFT", "GRPO-1K", "GRPO-Hybrid"]
SETS = ["linear", "yes_no", "bfcl_single"]
PASS = {"pass_at_k.md", "Pass_at_k.png"}
COLUMNS = list(dict.fromkeys([*evaluation.COLUMNS, "start"]))
STARTS = {"base": "", "never-calls": "", "SFT": "tiny-base", "SFT-BFCL": "tiny-base", "SFT-BFCL-multi": "SFT-BFCL"}


def both(*names: str) -> set[str]:
    return {f"{name}.{kind}" for name in names for kind in ("md", "png")}


def write(path, columns, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def measured(script, seed, dataset, decoding, samples, correct, **more) -> dict:
    """A row that serves both results.csv and items.csv."""
    key = dict(zip(evaluation.KEY, (script, str(seed), "tiny-base", dataset, "test", decoding)))
    accuracy = sum(correct) / samples / len(correct)
    facts = {"n": len(correct), "accuracy": accuracy, "format_rate": 1, "truncated_rate": 0, "mean_tokens": 90.5}
    items = {"samples": samples, "correct": " ".join(map(str, correct))}
    start = STARTS.get(script, "SFT")
    return {**key, **facts, **items, "start": start, "command": f"python test.py {dataset}", **more}


def with_flexible(row: dict, counts: list[int]) -> dict:
    """The row of results.csv with a flexible score; of items.csv: `counts`."""
    flexible = sum(counts) / row["samples"] / len(counts)
    low, high = evaluation.wilson(flexible, len(counts))
    more = {"flexible": flexible, "flexible_low": low, "flexible_high": high}
    return {**row, **more, "counts": " ".join(map(str, counts))}


def write_measured(folder, rows) -> None:
    folder.mkdir(exist_ok=True)
    write(folder / "results.csv", COLUMNS, rows)
    items = [{**row, "flexible": row.get("counts", "")} for row in rows]
    write(folder / "items.csv", evaluation.ITEM_COLUMNS, items)


def made_up(folder, seeds=(1, 2, 3), variants=VARIANTS, sets=SETS, n=12):
    """results.csv, items.csv and curves.csv of an invented study."""
    rng, rows, curves = random.Random(0), [], []
    for dataset, script in itertools.product(sets, ["base", *variants]):
        for seed in seeds if script != "base" else (0,):
            for decoding, samples in (("greedy", 1), ("sampled", 5), ("pass@k", 8)):
                correct = [sum(rng.random() < 0.5 for _ in range(samples)) for _ in range(n)]
                more = {"judge": 7.5, "efficiency": 0.9, "final": 0.7, "reward": 0.25}
                rows.append(measured(script, seed, dataset, decoding, samples, correct, **more))
    for script, seed, step in itertools.product(variants, seeds, range(5)):
        row = {"script": script, "seed": seed, "base": "tiny-base", "step": step, "accuracy": rng.random()}
        curves.append(row | ({"reward": 9 * rng.random(), "no_signal": 0.5, "entropy": 0.1} if step else {}))
    folder.mkdir(exist_ok=True)
    write(folder / "results.csv", COLUMNS, rows)
    write(folder / "items.csv", evaluation.ITEM_COLUMNS, rows)
    write(folder / "curves.csv", ["script", "seed", "base", "step", *measurements.CURVE_COLUMNS], curves)
    return folder


def draw(folder) -> set[str]:
    """Run the script on a folder; the names of what lies there afterwards, without the csv files."""
    words = ["--profile", "tiny", "--folder", folder, "--outputs", folder / "no-runs", "--flips", 50]
    tables.main(settings.parse(tables.Args, tables.__doc__, argv=list(map(str, words))))
    return {path.name for path in folder.iterdir() if path.suffix != ".csv"}


def fails(folder, capsys) -> str:
    message = one_line(capsys, draw, folder)
    assert not [path for path in folder.iterdir() if path.suffix != ".csv"]
    return message


def one_line(capsys, run, *words) -> str:
    """What a call says on stderr as it ends the script."""
    with pytest.raises(SystemExit) as end:
        run(*words)
    errors = capsys.readouterr().err.strip().split("\n")
    assert end.value.code == 2 and len(errors) == 1 and errors[0].startswith("error:")
    return errors[0]


def exact_p(differences) -> float:
    """The fraction of all sign patterns whose mean is at least as far from 0."""
    sums = [abs(sum(s * d for s, d in zip(signs, differences))) for signs in itertools.product((1, -1), repeat=10)]
    return sum(total >= abs(sum(differences)) - 1e-9 for total in sums) / len(sums)


@pytest.mark.parametrize(
    "differences",
    [
        [1.0] * 10,
        [-1.0] * 10,
        [0.0] * 10,
        [1, 1, 1, 0, 0, 0, 0, 0, 0, -1],
        [0.2, 0.4, -0.2, 0.6, 0.8, 0.2, 0, 0, -0.4, 1],
    ],
)
def test_sign_flips_agree_with_all_patterns(differences):
    p = comparisons.sign_flip_test(np.array(differences, float), 10_000)
    assert p == pytest.approx(exact_p(differences), abs=0.02)
    assert p == comparisons.sign_flip_test(-np.array(differences, float), 10_000)
    assert 0 < p <= 1


def test_sign_flips_are_never_zero_and_find_nothing_in_noise():
    assert comparisons.sign_flip_test(np.ones(200), 999) == 1 / 1000
    rng = np.random.default_rng(5)
    found = [comparisons.sign_flip_test(rng.choice([-0.2, 0, 0.2], 60), 500) < 0.05 for _ in range(300)]
    assert 0.01 < statistics.mean(found) < 0.1


def test_holm():
    corrected = comparisons.holm({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.9})
    assert corrected == pytest.approx({"b": 0.04, "c": 0.09, "a": 0.09, "d": 0.9})
    assert comparisons.holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert comparisons.holm({"a": 0.02}) == {"a": 0.02} and comparisons.holm({}) == {}


def test_bootstrap_is_near_the_normal_interval_and_repeats():
    values = np.array([1.0] * 60 + [0.0] * 40)
    low, high = comparisons.bootstrap(values, 10_000)
    assert (low, high) == pytest.approx((0.6 - 0.096, 0.6 + 0.096), abs=0.015)
    assert (low, high) == comparisons.bootstrap(values, 10_000)
    assert comparisons.bootstrap(np.ones(5), 100) == (1.0, 1.0)


def test_pass_at_k_agrees_with_every_draw():
    for n, c, k in itertools.product([1, 4, 6], range(7), range(1, 7)):
        if c <= n and k <= n:
            draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
            assert comparisons.pass_at_k(n, c, k) == pytest.approx(statistics.mean(map(any, draws)))
    assert comparisons.pass_at_k(64, 1, 64) == 1 and comparisons.pass_at_k(64, 0, 64) == 0
    assert comparisons.pass_at_k(10_000, 1, 1) == pytest.approx(1e-4)


def test_pass_at_k_averages_seeds_and_is_compared_with_the_start():
    counts = {"1": (np.array([6, 0]), 6), "2": (np.array([3, 0]), 6)}
    none = {seed: (np.array([0, 0]), 6) for seed in "12"}
    passes = comparisons.pass_at_each_k(counts, 100)
    assert (
        list(passes) == [1, 2, 4, 6] and passes[1][0] == pytest.approx((1 + 0.5) / 4) and passes[6] == (0.5, 0.0, 1.0)
    )
    for k in (2, 4):
        missed = math.comb(3, k) / 15
        assert passes[k][0] == pytest.approx((1 + 1 - missed) / 4)
    starts = {"my-trial": "never-tested", "never-tested": "SFT"}
    rows = page_pass_at_k.table_rows("linear", {"my-trial": counts, "SFT": none}, starts, ["SFT", "my-trial"], 100)
    assert [row["vs"] for row in rows] == ["", "SFT"] and rows[0]["pass@1, vs start"] == ""
    assert rows[1]["pass@1"].startswith("37.5% [") and rows[1]["pass@6, vs start"].startswith("+50.0 [")


def test_a_comparison_pairs_items_and_seeds():
    sft = {"1": (np.array([0, 5, 0, 5]), 5), "2": (np.array([5, 5, 5, 5]), 5)}
    better = {"1": (np.array([1, 1, 1, 1]), 1), "3": (np.array([0, 0, 0, 0]), 1)}  # seed 3 has no partner
    shorter = {"1": (np.array([1, 1]), 1)}
    elsewhere = {"7": (np.array([1, 1, 1, 1]), 1)}
    base = {"0": (np.array([0, 0, 0, 0]), 1), "1": (np.array([0, 0, 0, 1]), 1)}
    items = {"SFT": sft, "GRPO-1K": better, "GRPO-1K-v2": shorter, "GRPO-1K-v3": elsewhere, "base": base}
    values = comparisons.fractions(items)
    references = {script: "base" if script == "SFT" else "SFT" for script in items if script != "base"}
    found = comparisons.compare(values, references | {"base": ""}, 2000)
    assert found.keys() == {"GRPO-1K", "SFT"}
    assert found["GRPO-1K"][0] == 0.5  # items +1, 0, +1, 0
    assert found["SFT"][0] == 0.75 - 0.125  # both seeds against the mean of the base's
    assert found["GRPO-1K"][3] >= 0.5 and found["SFT"][1] <= 0.625 <= found["SFT"][2]
    assert comparisons.compare(values, {"GRPO-1K": "never tested", "SFT": "SFT"}, 100) == {}
    assert comparisons.paired(values["GRPO-1K-v3"], values["SFT"]) is None


def test_a_difference_is_written_with_interval_and_p():
    assert pages.difference((0.468, 0.41, 0.52, 0.0002)) == "+46.8 [+41.0, +52.0], p < 0.001"
    assert pages.difference((-0.0001, -0.02, 0.01, 0.25)) == "+0.0 [-2.0, +1.0], p = 0.250"
    assert pages.difference((0.1, 0.1, 0.1, math.nan)) == "+10.0 [+10.0, +10.0]" and pages.difference(None) == ""


@pytest.mark.parametrize(
    "script, tested, reference",
    [
        ("GRPO-1K", ["base", "SFT-brief", "SFT"], "SFT-brief"),
        ("GRPO-1K", ["base"], "base"),
        ("ladder-3", ["base", "SFT"], "SFT"),
        ("ladder-3", ["ladder-2", "SFT"], "ladder-2"),
        ("base", ["SFT"], ""),
        ("GRPO-mine", ["base"], ""),  # no row says what it started from
        ("round", ["base"], ""),  # its start has the same name
    ],
)
def test_what_a_script_is_compared_with(script, tested, reference):
    rows = [("base", ""), ("SFT-brief", "b"), ("SFT", "b"), ("GRPO-1K", "SFT-brief"), ("round", "round")]
    rows += [("ladder-1", "SFT"), ("ladder-2", "ladder-1"), ("ladder-3", "ladder-2")]
    starts = measurements.starts_of([{"base": "b", "script": name, "start": start} for name, start in rows])["b"]
    assert starts["SFT"] == "base" and page_accuracy.reference_of(script, starts, tested) == reference


def test_a_table_has_few_rows_and_those_of_ones_own():
    listed = [f"GRPO-{i}" for i in range(20)]
    pages_own = ["a-trial", "my-trial"]
    table = pages.of_table([*pages.VARIANTS, *pages.CONTROLS, *pages.ABLATIONS], [*pages.ABLATIONS, *pages.VARIANTS])
    assert table == [*pages.VARIANTS, *pages.ABLATIONS][: pages.ROWS]
    table = pages.of_table([*pages.VARIANTS, *pages.ABLATIONS], [*pages.ABLATIONS, *pages_own, *pages.VARIANTS])
    assert len(table) == pages.ROWS and table[-2:] == pages_own and table[0] == pages.VARIANTS[0]
    assert len(pages.of_table(listed, listed)) <= pages.ROWS


def test_calls_stand_beside_the_floor_and_official_categories_in_the_csv(tmp_path):
    folder = made_up(tmp_path / "study", variants=["SFT-BFCL", "SFT-BFCL-multi"], sets=["bfcl_single", "bfcl_multi"])
    with open(folder / "results.csv", "a", newline="") as file:
        floor = measured("never-calls", 0, "bfcl_single", "greedy", 1, [0] * 12) | {"base": "none"}
        official = measured("base", 0, "bfcl_simple_java", "greedy", 1, [0, 1]) | {"split": "official"}
        csv.DictWriter(file, COLUMNS, extrasaction="ignore").writerows([floor, official])
    assert draw(folder) == both("BFCL") | PASS
    text = (folder / "BFCL.md").read_text()
    assert "| SFT-BFCL-multi | SFT-BFCL |" in text and "| never-calls |" in text and "Base: none" not in text
    assert "| bfcl_single, vs start |" in text and "bfcl_simple_java" not in text


def test_the_same_files_give_the_same_bytes(tmp_path):
    first, second = made_up(tmp_path / "first"), made_up(tmp_path / "second")
    assert draw(first) == draw(second) == both("GRPO_reward", "BFCL") | PASS | {"Out-domain.md"}
    assert all(path.read_bytes() == (second / path.name).read_bytes() for path in first.iterdir())
    text = (first / "GRPO_reward.md").read_text()
    assert text.index("| base |") < text.index("| SFT |") < text.index("| GRPO-1K |") < text.index("| GRPO-Hybrid |")
    assert "| linear, vs start |" in text and "| GRPO-1K | SFT | 3 |" in text and "p = " in text
    assert "yes_no" not in text and "![How many problems does each checkpoint solve?](GRPO_reward.png)" in text
    assert "| pass@8 |" in (first / "pass_at_k.md").read_text()


@pytest.mark.parametrize(
    "study, there",
    [
        (dict(seeds=(1,), sets=["linear"]), both("GRPO_reward") | PASS),
        (dict(variants=[], sets=["yes_no"]), PASS | {"Out-domain.md"}),
        (dict(variants=["GRPO-1K"], seeds=(4, 5), sets=["gsm8k"]), both("GRPO_reward") | PASS | {"Out-domain.md"}),
        (dict(variants=["SFT-BFCL", "GRPO_BFCL_v1"], sets=["bfcl_multi"], n=1), both("BFCL") | PASS),
    ],
)
def test_what_is_missing_is_left_out(study, there, tmp_path):
    assert draw(made_up(tmp_path / "study", **study)) == there


def test_a_table_has_both_scores_and_compares_the_flexible_one(tmp_path):
    """The base solves all and closes no tag; what SFT adds is the tag."""
    rows = []
    for script, correct in (("base", [0] * 12), ("SFT", [5] * 9 + [0] * 3)):
        row = measured(script, 1, "linear", "sampled", 5, correct)
        rows.append(with_flexible(row, [5] * 11 + [0] if script == "base" else correct))
    rows.append(measured("GRPO-1K", 1, "linear", "sampled", 5, [5] * 12))  # from before there were two
    rows.append(measured("SFT-BFCL", 1, "bfcl_single", "sampled", 5, [5] * 12))
    rows.append(measured("base", 1, "bfcl_single", "sampled", 5, [0] * 12))
    write_measured(tmp_path / "study", rows)
    assert draw(tmp_path / "study") == both("GRPO_reward", "BFCL")
    text = (tmp_path / "study" / "GRPO_reward.md").read_text()
    lines = {line.split(" | ")[0]: line.split(" | ") for line in text.split("\n") if line.startswith("| ")}
    assert lines["| script"][3:] == ["linear, flexible", "linear, strict", "linear, vs start |"]
    assert lines["| base"][3].startswith("91.7% [") and lines["| base"][4] == "0.0%"
    assert lines["| SFT"][3].startswith("75.0% [") and lines["| SFT"][5].startswith("-16.7 [")
    assert lines["| GRPO-1K"][3:5] == ["", "100.0%"]
    assert "a ring is strict" in text
    calls = (tmp_path / "study" / "BFCL.md").read_text()
    assert "flexible" not in calls and "+100.0 [" in calls


def test_a_file_without_the_columns_of_the_flexible_score(tmp_path):
    """results.csv, items.csv and curves.csv of an earlier version give the same pages as with empty columns."""
    now, before = made_up(tmp_path / "now"), made_up(tmp_path / "before")
    for name in ("results.csv", "items.csv", "curves.csv"):
        with open(before / name, newline="") as file:
            rows = list(csv.DictReader(file))
        write(before / name, [column for column in rows[0] if "flexible" not in column], rows)
        assert "flexible" not in (before / name).read_text()
    assert draw(now) == draw(before)
    pages_now = [path.read_bytes() for path in sorted(now.glob("*.[mp]*"))]
    assert pages_now == [path.read_bytes() for path in sorted(before.glob("*.[mp]*"))]


def test_results_alone_are_enough(tmp_path, capsys):
    folder = made_up(tmp_path / "study", variants=["SFT", "GRPO-1K", "my-trial"], sets=["linear", "my-set"])
    (folder / "items.csv").unlink()
    (folder / "curves.csv").unlink()
    assert draw(folder) == both("GRPO_reward")
    text = (folder / "GRPO_reward.md").read_text()
    assert "vs start |" not in text and text.index("| GRPO-1K |") < text.index("| my-trial |")  # of one's own: the last
    assert "| my-set |" in text
    drew, end = capsys.readouterr().out.split("\n")
    assert drew.endswith("drew GRPO_reward.md, GRPO_reward.png") and not end


def test_curves_of_finished_runs_are_gathered(tmp_path):
    folder, outputs = made_up(tmp_path / "study"), tmp_path / "outputs"
    for run in ("GRPO-1K", "GRPO-1K-def.partial/GRPO-1K-def"):
        (outputs / run).mkdir(parents=True)
        runs.write_json(outputs / run / "run.json", {"seed": 1, "lineage": ["tiny-base", "SFT", "GRPO-1K"]})
        scores = {"heldout_accuracy": 0.125, "heldout_flexible": 0.75}
        runs.append_json(outputs / run / "metrics.jsonl", {"step": 0, **scores})
    curves = measurements.gather_curves(folder / "curves.csv", outputs)
    stored = (folder / "curves.csv").read_bytes()
    known = [row for row in curves if row["script"] == "GRPO-1K" and row["seed"] == "1"]
    (row,) = known  # in place of the five rows before
    assert (row["step"], row["accuracy"], row["flexible"]) == ("0", "0.1250", "0.7500")
    measurements.gather_curves(folder / "curves.csv", tmp_path / "none")
    assert (folder / "curves.csv").read_bytes() == stored
    assert "GRPO-1K-def" not in {row["script"] for row in curves}


def test_bad_files_end_in_one_line(tmp_path, capsys):
    folder = made_up(tmp_path / "study")
    measured_rows, items = ((folder / name).read_text() for name in ("results.csv", "items.csv"))
    (folder / "items.csv").write_text(items.replace(",8,", ",2,", 1))
    assert "items.csv, line" in fails(folder, capsys)
    (folder / "items.csv").write_text(items.replace(",8,", ",eight,", 1))
    assert "samples" in fails(folder, capsys)
    (folder / "items.csv").write_text(items + "SFT,1,tiny-base,linear,test,greedy,1,1 0 __import__('os'),\n")
    assert "again" in fails(folder, capsys)
    (folder / "items.csv").write_text(items + "SFT,1,tiny-base,linear,test,greedy,1,1 0,1 2\n")
    assert "flexible is not a list of counts" in fails(folder, capsys)
    (folder / "items.csv").write_text(items + "SFT,1,tiny-base,linear,test,greedy,1,1 0 x,\n")
    assert "again" in fails(folder, capsys)
    (folder / "items.csv").write_text(items + "SFT,1,tiny-base\n")
    assert "dataset" in fails(folder, capsys)
    (folder / "items.csv").write_text(items)
    for bad in (b"\xff\xfe", b"SFT,1,\x80tiny-base,linear,test,greedy\n"):
        (folder / "results.csv").write_bytes(measured_rows.encode() + bad)
        assert "results.csv cannot be read" in fails(folder, capsys)
    (folder / "results.csv").write_text(measured_rows.replace(",12,", ",12.5,", 1))
    assert "line 2: n is" in fails(folder, capsys)
    head, first, rest = measured_rows.split("\n", 2)
    (folder / "results.csv").write_text(f"{head}\n{first},,more\n{rest}")
    assert "line 2: more cells than columns" in fails(folder, capsys)
    (folder / "results.csv").write_text(measured_rows.replace(",python test.py linear,", ",,", 1))
    assert "line 2: command is missing" in fails(folder, capsys)
    (folder / "results.csv").write_text(measured_rows.replace(",90.5,", ",many,", 1))
    assert "mean_tokens" in fails(folder, capsys)
    (folder / "results.csv").write_text(measured_rows.replace(",test,", ",validation,"))
    assert "no rows of a test split" in fails(folder, capsys)
    for empty in ("", measured_rows.split("\n")[0] + "\n"):
        (folder / "results.csv").write_text(empty)
        assert "GRPO_test.py" in fails(folder, capsys)
    (folder / "results.csv").unlink()
    assert "GRPO_test.py" in fails(folder, capsys)
