"""The table of one run: what it shows, and what it says where there is nothing to show."""

import csv

import pytest
from conftest import load_script

from common import evaluation, runs, settings

show_run = load_script("resources/show_run.py")


def row(script, flexible, seed="3407", start="SFT-start", **more) -> dict:
    values = dict(zip(evaluation.KEY, (script, seed, "tiny-base", "linear_sum", "test", "greedy")))
    scores = {"n": "200", "accuracy": "0.1", "flexible": str(flexible), "flexible_low": "0.1", "flexible_high": "0.9"}
    return {**values, **scores, "start": start, **more}


RUN = [
    row("base", 0.065, seed="0", start=""),
    row("GRPO-mine", 0.4),
    row("GRPO-1K", 0.6),
    row("SFT-start", 0.2, start="tiny-base"),
    row("GRPO-1K", 0.9, seed="1"),
    row("GRPO-1K", 0.9, decoding="sampled"),
]


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    """The output whose seed is shown."""
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path / "outputs")
    (tmp_path / "outputs" / "SFT").mkdir(parents=True)
    runs.write_json(tmp_path / "outputs" / "SFT" / "run.json", {"seed": 3407})


def show(folder, capsys, rows=RUN, committed=()) -> list[str]:
    for name, of_file in (("results.csv", rows), ("run.csv", committed)):
        with open(folder / name, "w", newline="") as file:
            writer = csv.DictWriter(file, evaluation.COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(of_file)
    words = ["--profile", "tiny", "--folder", str(folder), "--dataset", "linear_sum"]
    show_run.main(settings.parse(show_run.Args, show_run.__doc__, argv=words))
    return capsys.readouterr().out.strip().split("\n")


def test_a_run_stands_beside_the_committed_one(tmp_path, capsys):
    lines = show(tmp_path, capsys, committed=[row("SFT-start", 0.25), row("GRPO-1K", 0.5)])
    assert max(map(len, lines[:-1])) <= 100  # the last names the folder
    assert lines[0] == "tiny-base on linear_sum, 200 problems, greedy, seed 3407, in %"
    table = [line.split() for line in lines[3:7]]
    assert [line[0] for line in table] == ["base", "SFT-start", "GRPO-1K", "GRPO-mine"]
    assert table[2] == ["GRPO-1K", "60.0", "[10.0,", "90.0]", "10.0", "+40.0", "50.0", "10.0", "+25.0"]
    assert table[3][-1] == "+20.0"
    assert table[1][5] == "+13.5"  # its start is the base


def test_a_run_without_flexible_scores_or_committed_rows(tmp_path, capsys):
    lines = show(tmp_path, capsys, [row("SFT", "", flexible_low="")])
    assert lines[3].split() == ["SFT", "10.0"]


@pytest.mark.parametrize(
    "rows, message",
    [
        ([], "no test of seed 3407 from resources/tiny-base on linear_sum; first run: make run"),
        ([row("base", 0.1, seed="0")], "first run: make run"),
        ([row("SFT", 0.5, accuracy="x")], "results.csv, line 2: accuracy is missing or no number"),
        ([row("", 0.5)], "line 2: script is missing"),
    ],
)
def test_what_cannot_be_shown_ends_in_one_line(rows, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        show(tmp_path, capsys, rows)
    errors = capsys.readouterr().err.strip().split("\n")
    assert end.value.code == 2 and len(errors) == 1 and message in errors[0]
