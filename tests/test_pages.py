"""Every page and picture, drawn from the rows of a study that nobody ran."""

import csv
import random

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import ROOT, load_script

from common import evaluation, settings
from resources.report import lead, measurements, pages

tables = load_script("resources/make_tables.py")
N = 40
CURVES = ["script", "seed", "base", "step", *measurements.CURVE_COLUMNS]
FALLEN = ("GRPO-1K-v3", "4")  # the script and seed that collapse


def write(path, columns, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def start_of(script) -> str:
    if script in ("base", pages.OWN_PROMPT, "never-calls"):
        return ""
    return "SFT-start" if script in pages.ORDER[3:4] + pages.ORDER[5:] else "tiny-base"


def measured(rng, script, seed, dataset, decoding, samples, base="tiny-base") -> dict:
    """A row for results.csv and items.csv: of problems a third is solved by the start, two thirds after it."""
    rate = 2 / 3 if start_of(script) == "SFT-start" else 1 / 3
    if (script, str(seed)) == FALLEN:
        rate = 0.05
    counts = [1, *(sum(rng.random() < rate for _ in range(samples)) for _ in range(N - 1))]
    row = dict(zip(evaluation.KEY, (script, str(seed), base, dataset, "test", decoding)))
    row |= {"start": start_of(script), "samples": samples, "correct": " ".join(map(str, counts)), "n": N}
    if not dataset.startswith(("bfcl", "tools")):
        row["flexible"] = " ".join(str(max(count, int(rng.random() < 0.1))) for count in counts)
    return row


def study(folder, seeds=range(1, 6), dataset="linear_sum"):
    """The csv files of a study with every name of the pages."""
    rng = random.Random(0)
    rows = []
    curves = []
    for script in [*pages.ORDER, pages.OWN_PROMPT]:
        for seed in seeds if start_of(script) else (0,):
            rows.append(measured(rng, script, seed, dataset, "greedy", 1))
            rows.append(measured(rng, script, seed, dataset, "pass@k", 5))
            rows.append(measured(rng, script, seed, "yes_no", "greedy", 1))
            for step in (0, 10, 20):
                row = {"script": script, "seed": seed, "base": "tiny-base", "step": step, "flexible": 0.2 + step / 100}
                curves.append({**row, "seconds": 3 * step})
    for script in ("base", "SFT", "answer"):
        rows.append(measured(rng, script, 1, "gsm8k", "greedy", 1, "real") | {"mean_tokens": 80, "truncated_rate": 0.1})
    for page in ("BFCL", "ToolUse"):
        for script in pages.SCRIPTS[page]:
            base = "none" if script == "never-calls" else "tiny-base"
            for name in pages.SETS[page][:2]:
                rows += [measured(rng, script, seed, name, "greedy", 1, base) for seed in (1, 2)]
    calibration = []
    for script in pages.SCRIPTS["Calibration"]:
        row = dict(zip(evaluation.KEY, (script, "1", "tiny-base", "linear_x", "test", "T 1")))
        calibration.append({**row, "accuracy": 0.6, "mean_confidence": 0.9, "auroc": "0.7000"})
    calibration[0]["auroc"] = "nan"
    folder.mkdir()
    write(folder / "results.csv", evaluation.COLUMNS, [{**row, "flexible": ""} for row in rows])
    write(folder / "items.csv", evaluation.ITEM_COLUMNS, rows)
    write(folder / "curves.csv", CURVES, curves)
    write(folder / "calibration.csv", load_script("GRPO_outdomain/calibration.py").COLUMNS, calibration)
    return folder


def draw(folder, *words) -> set[str]:
    """Run the script on a folder; the names of what lies there afterwards, without the csv files."""
    words = ["--profile", "tiny", "--folder", folder, "--outputs", folder / "none", "--resamples", 50, *words]
    tables.main(settings.parse(tables.Args, tables.__doc__, argv=list(map(str, words))))
    return {path.name for path in folder.iterdir() if path.suffix != ".csv"}


def one_line(capsys, run, *words) -> str:
    """What a call says on stderr as it ends the script."""
    with pytest.raises(SystemExit) as end:
        run(*words)
    errors = capsys.readouterr().err.strip().split("\n")
    assert end.value.code == 2 and len(errors) == 1 and errors[0].startswith("error:")
    return errors[0]


def cells(page: str) -> dict[str, list[str]]:
    """The first cell of each line of a page's table -> the others."""
    lines = [line.strip("| ").split(" | ") for line in page.split("\n") if line.startswith("| ")]
    return {first: others for first, *others in lines}


def test_every_page_and_picture(tmp_path, capsys):
    folder = study(tmp_path / "study")
    names = draw(folder)
    pictured = {"GRPO_reward.png", "Rewards.png", "Real.png", "BFCL.png", "ToolUse.png", "Calibration.png"}
    pictured.add("Pass_at_k.png")
    texts = {"GRPO_reward.md", "Out-domain.md", "BFCL.md", "ToolUse.md", "Calibration.md", "pass_at_k.md", "Real.md"}
    assert names == pictured | texts and "no rows" not in capsys.readouterr().out
    for name in pictured:
        assert plt.imread(folder / name).shape[1] == 990  # 9 inches, so that a README does not shrink them
    again = study(tmp_path / "again")
    draw(again)
    assert all(path.read_bytes() == (again / path.name).read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("invented", [True, False])
def test_pages_are_short(invented, tmp_path):
    """The invented ones, with every row that a page can have, and the committed ones."""
    folder = ROOT / "resources"
    if invented:
        folder = study(tmp_path / "study")
        draw(folder)
    for path in folder.glob("*.md"):
        text = path.read_text()
        most = len(pages.ORDER) if path.name == "GRPO_reward.md" else pages.ROWS
        assert len(text.split("\n")) <= 80 and len(text.replace("|", " ").split()) <= 700
        assert sum(line.startswith("|") for line in text.split("\n")) <= 2 + most
    assert len(list(folder.glob("*.png"))) <= (8 if invented else 9)  # beside the data: flow.png


def test_the_lead_page(tmp_path):
    folder = study(tmp_path / "study")
    draw(folder)
    text = (folder / "GRPO_reward.md").read_text()
    table = cells(text)
    assert [*table][2:] == pages.ORDER
    head = ["seeds", "strict", "flexible", "minus base", "minus start", "collapsed", "lowest", "minutes"]
    assert table["reward or baseline"] == head
    seeds, strict, flexible, minus_base, minus_start, fallen, lowest, minutes = table["GRPO-1K-v3"]
    assert (seeds, fallen, lowest, minutes) == ("5", "1 of 5", "20.0", "1.0") and float(strict) < float(flexible)
    assert minus_base.count("[") == minus_start.count("[") == 1
    assert table["SFT"][4:] == ["", "", "", "1.0"] and "With its own prompt" in text
    text = text.replace("\n", " ")
    assert "45 pairs of rewards" in text and "smaller differences could not have been seen" in text


def test_pairs_name_what_is_apart_what_is_equal_and_what_could_not_be_seen():
    high = {seed: np.ones(20) for seed in "123"}
    low = {seed: np.zeros(20) for seed in "123"}
    mixed = {"1": np.zeros(20), "2": np.ones(20), "3": np.ones(20)}
    text = lead.pairs_text({"GRPO-1K": low, "GRPO-1K-v2": high, "GRPO-Control-random": high}, 100)
    assert text.startswith("Of the 1 pairs of rewards") and "cannot be told apart" not in text
    assert text.replace("\n", " ").endswith("The lower one is always among GRPO-1K.")
    text = lead.pairs_text({"GRPO-1K": low, "GRPO-1K-v2": low}, 100).replace("\n", " ")
    assert "Equal within 10 points are GRPO-1K and GRPO-1K-v2 +0.0 [+0.0, +0.0]." in text and "among GRPO" not in text
    text = lead.pairs_text({"GRPO-1K": low, "GRPO-1K-v2": mixed}, 100).replace("\n", " ")
    assert "The other 1 cannot be told apart: half of the width" in text and "above" not in text
    assert lead.pairs_text({"GRPO-1K": low, "SFT": high}, 100) == ""


def test_other_pages_compare_with_the_start(tmp_path):
    folder = study(tmp_path / "study")
    draw(folder)
    table = cells((folder / "BFCL.md").read_text())
    assert table["script"][2:4] == ["bfcl_single", "bfcl_single, minus start"]
    assert table["never-calls"][0] == "" and "[" in table["SFT-BFCL"][3]
    table = cells((folder / "Calibration.md").read_text())
    assert table["script"][-1] == "linear_x, AUROC" and table["SFT-x"][-1] == "70.0"
    table = cells((folder / "pass_at_k.md").read_text())
    assert table["script"][2:] == ["pass@1", "pass@1, minus start", "pass@5", "pass@5, minus start"]
    assert len(table) == 2 + pages.ROWS


def test_one_seed_and_a_script_and_data_set_of_ones_own(tmp_path, capsys):
    folder = study(tmp_path / "study", seeds=[3407], dataset="my-set")
    rows = evaluation.read_rows(folder / "items.csv")
    rows.append({**rows[-1], "script": "GRPO-mine", "dataset": "my-set", "flexible": rows[-1]["correct"]})
    write(folder / "items.csv", evaluation.ITEM_COLUMNS, rows)
    assert "GRPO_reward.md" not in draw(folder)
    assert "no rows for GRPO_reward, pass_at_k" in capsys.readouterr().out
    assert "GRPO_reward.md" in draw(folder, "--dataset", "my-set")
    table = cells((folder / "GRPO_reward.md").read_text())
    assert [*table][-1] == "GRPO-mine" and table["GRPO-1K"][0] == "1"


def test_starts_of_the_committed_rows():
    for one in measurements.read_measurements(ROOT / "resources"):
        assert one.start or one.script in ("base", pages.OWN_PROMPT, "never-calls")
