"""Which completions have the steps of the SFT rows, and which end by adding their own x and y."""

import json

import pytest
from conftest import load_script
from test_tables import one_line

from common import prompts, settings
from tiny import problems

steps = load_script("resources/solution_steps.py")


def completed(row, working, answer, **key):
    """A line of outputs/tests/: a completion of one row with this reasoning and answer."""
    text = prompts.completion_text(prompts.build_completion(working, answer))
    key = {"script": "GRPO-1K", "split": "test", "decoding": "sampled"} | key
    return key | {"text": text, "correct": answer == row["solution"]}


def count_steps(folder, lines, capsys):
    (folder / "a.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    steps.main(settings.parse(steps.Args, steps.__doc__, argv=["--profile", "tiny", "--tests", str(folder)]))
    return [line.strip("| ").split(" | ") for line in capsys.readouterr().out.strip().split("\n")[2:]]


@pytest.mark.parametrize("dataset", list(problems.SYSTEMS))
def test_every_row_of_a_data_set_has_its_steps_and_no_other_text_has(dataset):
    for row in problems.draw(problems.SYSTEMS[dataset], "train", 50, 0):
        working = row["working"]
        assert steps.has_steps(working, dataset)
        assert steps.has_steps(working, "linear-harder") == (dataset == "linear")
        assert steps.adds_its_own(working) == (dataset == "linear_sum")
        lines = working.split("\n")
        for other in ("", "\n".join(lines[1:]), "\n".join(lines[:-1]), f"{working}\n1+1=2", working.replace("*", "/")):
            assert not steps.has_steps(other, dataset)
        assert not steps.adds_its_own("\n".join([*lines[:-1], "1000 + 1 = 1001"]))
    assert not steps.adds_its_own("2 + 3 = 5") and not steps.adds_its_own("")


def test_steps_are_counted_for_sampled_completions_on_systems_of_the_test_split(tmp_path, capsys):
    linear, summed = (problems.draw(problems.SYSTEMS[name], "test", 1, 0)[0] for name in ("linear", "linear_sum"))
    whole, answer = linear["working"], linear["solution"]
    system, total = {"dataset": "linear"}, {"dataset": "linear_sum", "script": "teach-sum"}
    lines = [completed(linear, whole, given, **system) for given in (answer, answer, answer, "x=0, y=99")]
    lines += [completed(linear, "D=1", answer, **system), {**lines[0], "text": answer}]
    lines += [
        completed(summed, summed["working"], "99", **total),
        completed(summed, whole, summed["solution"], **total),
    ]
    for other in ({"dataset": "yes_no"}, {"split": "validation"}, {"decoding": "greedy"}):
        lines.append({**lines[0], **other})
    assert count_steps(tmp_path, lines, capsys) == [
        ["GRPO-1K", "linear", "6", "83.3%", "66.7%", "75.0%"],
        ["teach-sum", "linear_sum", "2", "50.0%", "50.0%", "0.0%", "50.0%"],
    ]


def test_steps_without_completions_or_of_a_damaged_file_end_in_one_line(tmp_path, capsys):
    assert "GRPO_test.py" in one_line(capsys, count_steps, tmp_path, [], capsys)
    (tmp_path / "c.jsonl").write_text('{"script": "SFT", "se')
    assert "c.jsonl" in one_line(capsys, count_steps, tmp_path, [], capsys)
