"""Data of one's own: what is read, what is left out and said, which split a row belongs to, and bad input."""

import json

import pytest
from conftest import BASE, FEW, GRPO, ROOT, SFT, call, one_line

from common import data, runs
from SFT import own_data

CREATE = "SFT/dataset_creation.py"
WORDS = ("--dataset", "mine", "--columns", "question=problem,answer=result")
SIZES = ("--sft_rows", 20, "--train_rows", 400, "--validation_rows", 100, "--test_rows", 100)


def problem(number: int, **more) -> dict:
    return {"problem": f"What is {number} plus 1?", "result": f"{number} + 1\n#### {number + 1}", **more}


def write(path, rows: list):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def make(tmp_path, rows: list, *words, name: str = "data/mine"):
    source = write(tmp_path / "rows.jsonl", rows)
    return call(CREATE, *WORDS, *SIZES, "--source", source, "--output", tmp_path / name, *words)


def questions(folder, split: str) -> set[str]:
    path = folder / f"{split}.jsonl"
    return {row["question"] for row in runs.read_jsonl(path)} if path.exists() else set()


@pytest.mark.parametrize(
    "text, solution",
    [
        *[("18", "18"), ("18.", "18"), ("$18", "$18"), ("1,004", "1,004"), ("18 apples", "18 apples")],
        *[("3*6\n#### 18", "18"), (r"so \boxed{\frac{3}{4}}.", r"\frac{3}{4}"), ("The answer is 18.", "18")],
        *[
            ("The answer is 18, because 3*6 = 18.", "18"),
            ("So she makes $18 per day.", "18"),
            ("x=2, y=-3", "x=2, y=-3"),
        ],
        *[("Paris", "Paris"), ("Of 3 apples and 4 pears some were left over", None), ("((", "(("), ("", None)],
        ("x" * 600, None),
    ],
)
def test_an_answer_is_found_in_free_text(text, solution):
    assert own_data.readable(text) == solution


LAYOUTS = [  # of the options "saw", "dog", "fig"
    {"options": {"label": ["A", "B", "C"], "text": ["saw", "dog", "fig"]}, "answer": "B"},
    {"options": {"text": ["saw", "dog", "fig"], "label": ["1", "2", "3"]}, "answer": "2"},
    {
        "options": [{"label": "A", "text": "saw"}, {"label": "B", "text": "dog"}, {"label": "C", "text": "fig"}],
        "answer": "B",
    },
    {"options": {"A": "saw", "B": "dog", "C": "fig"}, "answer": "B"},
    {"options": ["saw", "dog", "fig"], "answer": 1},
    {"options": ["saw", "dog", "fig"], "answer": "1"},
    {"options": ["saw", "dog", "fig"], "answer": "dog"},
    {"options": ["saw", "dog", "fig"], "answer": "(b)"},
    {"options": '["saw", "dog", "fig"]', "answer": "B"},
]


@pytest.mark.parametrize("row", LAYOUTS)
def test_options_come_in_several_layouts(row):
    labels, options = own_data.options_of(row, "options")
    assert options == ["saw", "dog", "fig"] and own_data.letter(row["answer"], labels, options) == "B"


@pytest.mark.parametrize(
    "answer, options, fault",
    [
        *[("cat", ["saw", "dog"], "none of"), (None, ["saw", "dog"], "null"), (2, ["saw", "dog"], "beyond")],
        *[("1", ["1", "2"], "more than one"), ("dog", ["dog", "dog"], "more than one"), (1, ["saw", None], "null")],
        *[
            (1, ["saw"], "no list"),
            (1, "saw, dog", "neither"),
            (1, [["saw"], "dog"], "neither text"),
            (True, [1, 2], "neither"),
        ],
    ],
)
def test_an_option_that_cannot_be_told_is_a_fault(answer, options, fault):
    with pytest.raises(own_data.Fault, match=fault):
        labels, options = own_data.options_of({"options": options}, "options")
        own_data.letter(answer, labels, options)


def test_rows_at_fault_are_counted_by_kind(tmp_path):
    faulty = ["null", "[1]", "{", "[" * 5000, problem(1, problem=None), problem(2, problem=" "), problem(3, result="")]
    faulty += [
        problem(4, result=["5"]),
        problem(5, result="of 3 and 4 some were left"),
        problem(0),
        problem(6, problem="x" * 1001),
    ]
    faulty += ['{"problem": "\\ud800?", "result": 3}', {"problem": "?"}, problem(0, problem="WHAT is  0 plus 1?")]
    done = make(tmp_path, [*map(problem, range(200)), *faulty])
    assert done.returncode == 0 and "200 of 214 rows are usable" in done.stdout, done.stderr
    left_out = runs.read_record(tmp_path / "data/mine")["left_out"]
    assert sum(left_out.values()) == 14 and left_out["a line is no JSON object"] == 4
    assert left_out["question is repeated"] == 2 and left_out["question is longer than --max_characters"] == 1
    assert (
        left_out["solution is null"] == 1 and left_out["solution cannot be read as anything that can be checked"] == 1
    )
    rows = data.read_split(str(tmp_path / "data/mine"), "train", ("math",)).rows
    assert {"question": "What is 7 plus 1?", "solution": "8"} in rows


def test_a_row_stays_in_its_split(tmp_path):
    """When the source grows, in another order, with another seed, in other capitals."""
    assert make(tmp_path, list(map(problem, range(300))), name="a").returncode == 0
    grown = [problem(n, problem=f"WHAT  is {n} plus 1?") for n in reversed(range(500))]
    assert make(tmp_path, grown, "--seed", 7, name="b").returncode == 0
    ours = {split: {data.normalised(one) for one in questions(tmp_path / "a", split)} for split in data.SPLITS}
    for split in data.SPLITS:
        grown = {data.normalised(one) for one in questions(tmp_path / "b", split)}
        assert ours[split] and not any(grown & ours[other] for other in data.SPLITS if other != split)
    done = make(tmp_path, list(map(problem, range(300))), "--train_rows", 9, name="c")
    assert done.returncode == 0 and len(questions(tmp_path / "c", "train")) == 9


def test_splits_of_the_source_stay_and_test_questions_are_not_trained_on(tmp_path):
    folder = tmp_path / "source"
    write(folder / "train-00000.jsonl", list(map(problem, range(300))))
    write(folder / "test.jsonl", [problem(n) for n in range(290, 310)])
    words = (*WORDS, *SIZES, "--source", folder)
    assert call(CREATE, *words, "--output", tmp_path / "data/mine").returncode == 0
    mine = tmp_path / "data/mine"
    assert questions(mine, "test") == {problem(n)["problem"] for n in range(290, 310)}
    held_out = questions(mine, "test") | questions(mine, "validation")
    assert len(questions(mine, "train")) + len(questions(mine, "validation")) == 290
    assert not questions(mine, "train") & held_out

    rows = [problem(n, reasoning="We add.") for n in range(290, 600)]
    done = make(tmp_path, rows, "--columns", "question=problem,solution=result,working=reasoning", name="data/other")
    other = tmp_path / "data/other"
    left_out = runs.read_record(other)["left_out"][own_data.LEAK]
    assert 0 < left_out <= 20 and f"{left_out} {own_data.LEAK}" in done.stdout
    trained_on = questions(other, "sft") | questions(other, "train") | questions(other, "validation")
    assert not trained_on & questions(mine, "test") and len(questions(other, "sft")) == 20

    (folder / "test.jsonl").rename(folder / "dev.jsonl")  # without a test split, the validation split is what tests
    assert call(CREATE, *words, "--output", mine, "--overwrite").returncode == 0
    assert len(questions(mine, "test")) == 20 and questions(mine, "validation")


def test_csv_and_parquet_and_joined_columns(tmp_path):
    import pyarrow
    import pyarrow.parquet

    lines = ["\ufeffproblem,a,b,key", *(f'"Is it {n}, or\nnot?",yes {n},no,A' for n in range(200)), "short"]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    columns = ("--kind", "choice", "--columns", "question=problem,options=a+b,answer=key")
    words = ("--dataset", "mine", *SIZES, "--output", tmp_path / "csv")
    done = call(CREATE, *words, "--source", tmp_path / "rows.csv", *columns)
    assert "200 of 201 rows are usable" in done.stdout, done.stderr
    row = data.read_split(str(tmp_path / "csv"), "train", ("choice",)).rows[0]
    assert row["solution"] == "A" and row["question"].endswith("\nB) no") and row["options"][1] == "no"

    table = pyarrow.table({"problem": [f"{n}?" for n in range(200)], "result": [*range(199), None]})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    done = call(CREATE, *WORDS, *SIZES, "--source", tmp_path / "rows.parquet", "--output", tmp_path / "parquet")
    assert "199 of 200 rows are usable; left out: 1 solution is null" in done.stdout, done.stderr


def test_bad_input_is_one_line(tmp_path):
    rows = list(map(problem, range(100)))

    def refused(*said, rows=rows, words=()):
        one_line(make(tmp_path, rows, *words), *said)
        assert not (tmp_path / "data").exists() or not list((tmp_path / "data").glob("mine*"))

    refused("no column answer; its columns: problem, result", words=("--columns", "question=problem,solution=answer"))
    refused("lacks solution=NAME", words=("--columns", "question=problem"))
    refused("give question=NAME", words=("--columns", "problem"))
    refused("lacks options=NAME", words=("--kind", "choice"))
    refused("no row is left", "100 solution is empty", rows=[problem(n, result=" ") for n in range(100)])
    refused(
        "no row is left", "100 solution is neither text nor a number", rows=[problem(n, result={}) for n in range(100)]
    )
    refused("no row is left for the split", "collect more rows", rows=rows[:3])
    refused("its columns: none", rows=["null"])
    refused("its columns: none", rows=[])
    refused("no such file", words=("--source", tmp_path / "none.jsonl"))
    refused("no such file", words=("--source", "none.csv"))
    refused("cannot load nobody/nothing", words=("--source", "nobody/nothing"))
    refused("the folder has no file", words=("--source", ROOT / "recipes"))
    refused("choose a file .jsonl, .csv, .parquet", words=("--source", ROOT / "README.md"))
    refused("the name of another data set", words=("--dataset", "gsm8k"))
    refused("choose a name", words=("--dataset", "../mine"))
    one_line(call(CREATE, "--dataset", "mine"), "--dataset mine: choose linear", "--source FILE")

    indices = [{"problem": f"{n}?", "o": ["a", "b"], "result": 1 + n % 2} for n in range(200)]
    columns = ("--kind", "choice", "--columns", "question=problem,options=o,solution=result")
    refused("counts the options from 1", rows=indices, words=columns)
    (tmp_path / "bad.parquet").write_text("no")
    refused("cannot be read as Parquet", words=("--source", tmp_path / "bad.parquet"))


def test_a_name_without_data_says_how_to_make_it(tmp_path):
    done = call(GRPO, "--dataset", "my_folder", "--base", BASE, "--output", tmp_path / "out")
    one_line(done, "outputs/data/my_folder does not exist", "--dataset my_folder --source FILE --columns question=NAME")


def test_what_was_read_is_bounded():
    """Rows beyond a split's size leave memory, and the result does not depend on their order."""
    rows = {own_data.number_of(str(n)): {"n": n} for n in range(5000)}
    kept = own_data.smallest(rows, 10)
    assert list(kept) == sorted(rows)[:10]


@pytest.mark.slow
def test_sft_grpo_and_a_test_on_rows_of_ones_own(tmp_path):
    columns = ("--columns", "question=problem,solution=result,working=result")
    dataset = tmp_path / "data/mine"
    assert make(tmp_path, list(map(problem, range(300))), *columns).returncode == 0
    few = ("--max_steps", 2, "--heldout_rows", 2)
    sft, grpo = tmp_path / "SFT", tmp_path / "GRPO"
    done = call(SFT, "--dataset", dataset, *FEW[SFT], *few, "--output", sft)
    assert done.returncode == 0, done.stderr
    done = call(GRPO, "--dataset", dataset, "--base", sft, *FEW[GRPO], *few, "--patience", 0, "--output", grpo)
    assert done.returncode == 0, done.stderr
    words = ("--rows", 4, "--samples", 0, "--results", tmp_path / "results.csv")
    done = call("GRPO_indomain/GRPO_test.py", "--dataset", dataset, "--checkpoints", sft, grpo, *words)
    assert done.returncode == 0 and (tmp_path / "results.csv").read_text().count(",mine,test,greedy,4,") == 2, (
        done.stderr
    )
