"""What is shown of one run: its table beside the committed figures."""

import csv
import itertools
import subprocess

import pytest
from conftest import load_script
from test_tables import COLUMNS, measured, one_line, write

from common import settings

show_run = load_script("resources/show_run.py")


def one_run(folder, scripts=show_run.SCRIPTS, correct=6, seed=3407, more=(), start="SFT-brief"):
    """results.csv with sampled and greedy rows of one run, correct of 12 problems each, and rows of other runs."""
    rows = [
        measured(
            script,
            0 if script.startswith("base") else seed,
            "linear",
            decoding,
            1,
            [1] * correct + [0] * (12 - correct),
        )
        for script, decoding in itertools.product(scripts, ("sampled", "greedy", "pass@k"))
    ]
    for row in rows:
        row["start"] = start
    elsewhere = [measured("SFT", seed, "yes_no", "greedy", 1, [1]), measured("SFT", 1, "linear", "greedy", 1, [1])]
    for row in [*rows, *elsewhere, *more]:
        row["flexible"] = min(1, row["accuracy"] + 0.25)
        row["flexible_low"], row["flexible_high"] = max(0, row["flexible"] - 0.1), min(1, row["flexible"] + 0.1)
    folder.mkdir(exist_ok=True)
    write(folder / "results.csv", COLUMNS, [*rows, *elsewhere, *more])
    return folder


def commit(folder) -> None:
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "results.csv"], ["commit", "-q", "-m", "figures"]):
        subprocess.run([*git, *words], cwd=folder, check=True)


def show(folder, capsys, *words) -> dict[str, str]:
    """Run the script; script -> its line of the table, and "above" and "below" with what stands around it."""
    words = ["--profile", "tiny", "--folder", folder, *words]
    show_run.main(settings.parse(show_run.Args, show_run.__doc__, argv=list(map(str, words))))
    lines = capsys.readouterr().out.rstrip("\n").split("\n")
    table = {line.split()[0]: line for line in lines[3 : 3 + len(show_run.SCRIPTS)]}
    assert list(table) == [show_run.NAMES.get(script, script) for script in show_run.SCRIPTS] and len(lines) == 17
    assert all(len(line) <= 100 for line in lines if str(folder) not in line)  # a path may be of any length
    return {**table, "above": lines[:3], "below": [" ".join(lines[12:15]), *lines[15:]]}


def test_a_run_stands_beside_the_committed_figures(tmp_path, capsys):
    folder = one_run(tmp_path / "study")
    commit(folder)
    shown = show(folder, capsys)
    both = "75.0 [65.0, 85.0]   50.0   75.0"  # flexible, strict, flexible in git
    assert shown["base"].split("  ", 1)[1].split() == f"{both} {both} +0.0 +0.0".split()
    assert shown["own-prompt"].count(both) == 2
    assert shown["SFT-brief"].count(both) == 2 and "+0.0" not in shown["SFT-brief"]  # not compared with itself
    assert shown["SFT"].count("+0.0") == 2 and "vs SFT-brief" in shown["above"][1]
    assert shown["above"][0] == "tiny-base on linear, 12 test problems, seed 3407"
    assert "Rewards.md" in shown["below"][1] and "GRPO_reward.md" in shown["below"][2]
    better = [measured("GRPO-1K", 3407, "linear", "sampled", 1, [1] * 12)]
    one_run(folder, more=better)
    changed = show(folder, capsys)
    first, rest = changed["GRPO-1K"].split("]", 1)
    assert first.endswith(" 100 [90.0,  100") and rest.split()[:2] == ["100", "75.0"]
    assert rest.split()[-2:] == ["+25.0", "+0.0"]
    assert changed["GRPO-1K-def"] == shown["GRPO-1K-def"]


def test_the_table_of_a_perfect_run_is_no_wider(tmp_path, capsys):
    folder = one_run(tmp_path / "study", correct=12)
    commit(folder)
    others = [script for script in show_run.SCRIPTS if script != "SFT-brief"]
    one_run(folder, others, correct=12, more=[measured("SFT-brief", 3407, "linear", "sampled", 1, [0] * 12)])
    shown = show(folder, capsys)["GRPO-1K-def"]
    assert " 100 [90.0,  100]    100    100   100 [90.0,  100]    100    100     +75.0   +0.0" in shown


def test_files_from_before_there_were_two_scores(tmp_path, capsys):
    """Their table shows the strict one, beside the committed figure and the start's."""
    folder = one_run(tmp_path / "study")
    with open(folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    write(folder / "results.csv", [column for column in COLUMNS if "flexible" not in column], rows)
    commit(folder)
    assert show(folder, capsys)["GRPO-1K"].split() == "GRPO-1K 50.0 50.0 50.0 50.0 +0.0 +0.0".split()


def test_the_variants_are_compared_with_what_they_started_from(tmp_path, capsys):
    others = [script for script in show_run.SCRIPTS if script != "SFT-brief"]
    shown = show(one_run(tmp_path / "study", others, start="SFT"), capsys)
    assert shown["above"][1].endswith("vs SFT") and shown["GRPO-1K"].count("+0.0") == 1 and "+" not in shown["SFT"]
    assert shown["SFT-brief"] == "SFT-brief" and "vs SFT:" in shown["below"][0]


def test_without_git_the_committed_columns_are_empty(tmp_path, capsys, monkeypatch):
    folder = one_run(tmp_path / "study")
    shown = show(folder, capsys)
    assert shown["base"].split() == "base 75.0 [65.0, 85.0] 50.0 75.0 [65.0, 85.0] 50.0 +0.0".split()
    commit(folder)
    assert show(folder, capsys) != shown
    monkeypatch.setenv("PATH", str(tmp_path))  # no git command at all
    assert show(folder, capsys) == shown


@pytest.mark.parametrize("committed", [b"", b"\xff\x00\n", b"script,seed\nSFT,3407\n", b"accuracy\nmany,more\n"])
def test_a_committed_file_without_such_rows_leaves_the_column_empty(committed, tmp_path, capsys):
    (tmp_path / "results.csv").write_bytes(committed)
    commit(tmp_path)
    shown = show(one_run(tmp_path), capsys)
    assert shown["GRPO-1K"].split() == "GRPO-1K 75.0 [65.0, 85.0] 50.0 75.0 [65.0, 85.0] 50.0 +0.0".split()


def test_a_run_may_lack_rows_and_have_another_seed(tmp_path, capsys):
    folder = one_run(tmp_path / "study", ["base", "GRPO-1K"], seed=5)
    shown = show(folder, capsys, "--seed", 5)
    assert shown["GRPO-1K-v2"] == "GRPO-1K-v2" and "50.0" in shown["base"] and "50.0" in shown["GRPO-1K"]
    assert "+" not in shown["GRPO-1K"]  # there is no SFT to compare with
    own = [measured("base", 5, "linear", "sampled", 1, [1] * 12)]
    assert "base          100" in show(one_run(folder, ["base", "SFT"], seed=5, more=own), capsys, "--seed", 5)["base"]
    for words in (["--seed", 3407], ["--seed", 5, "--dataset", "dapo"], ["--seed", 5, "--base", "other"]):
        assert "make run" in one_line(capsys, show, folder, capsys, *words)
    whole = (folder / "results.csv").read_bytes()
    (folder / "results.csv").write_bytes(whole + b"\xff")
    assert "results.csv cannot be read" in one_line(capsys, show, folder, capsys)
    (folder / "results.csv").write_bytes(whole.replace(b",0.5,", b",half,", 1))
    assert "line 2: accuracy" in one_line(capsys, show, folder, capsys)
    (folder / "results.csv").unlink()
    assert "make run" in one_line(capsys, show, folder, capsys)
