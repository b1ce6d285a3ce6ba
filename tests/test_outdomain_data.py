"""Questions of the out-domain sets: what is asked, what is left out and said, and the script on all of their shapes."""

import json
import shutil
from pathlib import Path

from conftest import BASE, call, one_line

from common import evaluation, runs
from GRPO_outdomain import questions
from tiny import problems

TEST = "GRPO_outdomain/GRPO_outdomain_test.py"


def write(folder: Path, split: str, rows: list[dict]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def choice(labels="ABC", texts=("saw", "dog", "fig"), key="B", question="Which  is an animal?") -> dict:
    return {"question": question, "choices": {"label": list(labels), "text": list(texts)}, "answerKey": key}


def boolq(question="is water wet", answer=True, passage="Water is wet.") -> dict:
    return {"question": question, "answer": answer, "passage": passage}


def test_multiple_choice_has_the_form_of_the_generated_one(tmp_path):
    rows = [choice(), choice(labels="123", key="3"), choice(texts=("a\nsaw", "dog", "fig"))]
    found, dropped = questions.load("arc_challenge", str(write(tmp_path / "arc", "test", rows)))
    assert dropped == 0 and [row["solution"] for row in found] == ["B", "C", "B"]
    assert found[0]["question"] == "Which is an animal?\nA) saw\nB) dog\nC) fig"
    assert found[2]["options"] == questions.options_of(found[2]["question"]) == ["a saw", "dog", "fig"]
    made = problems.draw(problems.multiple_choice, "test", 20, 1)
    assert all(len(questions.options_of(row["question"])) == 4 for row in made)
    assert all(row["solution"] in "ABCD" for row in made)


def test_rows_without_a_usable_answer_or_option_are_left_out(tmp_path):
    broken = [choice(key="D"), choice(key=""), choice(key=None), choice(texts=("saw", "", "fig"))]
    broken += [
        choice(texts=("saw", None, "fig")),
        choice(texts=("saw", "dog")),
        choice(labels="A", texts=("saw",), key="A"),
    ]
    broken += [choice(labels="ABB"), choice(question=""), choice(question=None), {**choice(), "choices": None}]
    folder = write(tmp_path / "csqa", "validation", [choice(), *broken])
    found, dropped = questions.load("commonsense_qa", str(folder))
    assert len(found) == 1 and dropped == len(broken)

    rows = [boolq(), boolq(answer=False), boolq(answer=None), boolq(passage=""), boolq(question=None)]
    found, dropped = questions.load("boolq", str(write(tmp_path / "boolq", "validation", rows)))
    assert [row["solution"] for row in found] == ["yes", "no"] and dropped == 3
    assert found[0]["question"] == "Water is wet.\nQuestion: is water wet? Answer yes or no."

    rows = [{"question": "1+1?", "answer": "1+1=2\n#### 2"}, {"question": "?", "answer": "two"}]
    rows += [{"question": "?", "answer": "#### many"}, {"question": "?", "answer": "####"}]
    found, dropped = questions.load("gsm8k", str(write(tmp_path / "gsm8k", "test", rows)))
    assert [row["solution"] for row in found] == ["2"] and dropped == 3


def run(tmp_path, *words):
    """The script on the base; what it says and the rows that it has written so far."""
    table = tmp_path / "results.csv"
    done = call(TEST, "--results", table, "--checkpoints", BASE, *words)
    return done, evaluation.read_rows(table)


def test_generated_shapes_make_rows_and_items(tmp_path):
    done, rows = run(tmp_path, "--rows", 12, "--samples", 2, "--max_new_tokens", 24)
    assert {(row["dataset"], row["decoding"]) for row in rows} == {
        (name, decoding) for name in problems.OTHER_SHAPES for decoding in ("greedy", "sampled")
    }
    assert all(row["n"] == "12" and row["split"] == "test" and row["script"] == "base" for row in rows)
    items = evaluation.read_rows(tmp_path / "items.csv")
    assert len(items) == 6 and all(len(item["correct"].split()) == 12 for item in items)
    assert "12 of 12 questions; dropped 0" in done.stdout
    asked = runs.read_jsonl(next((tmp_path / "tests").glob("*word_problem*greedy.jsonl")))
    held_out = {row["question"] for row in problems.draw(problems.word_problem, "test", 12, 3407)}
    assert {one["question"] for one in asked} == held_out


def test_sets_in_folders_long_passages_and_the_draw(tmp_path):
    passages = [boolq(question=f"is it {n}", passage="long " * (3000 if n == 0 else 3)) for n in range(9)]
    sets = ["--boolq", write(tmp_path / "b", "validation", [*passages, boolq(answer=None)])]
    sets += ["--arc_challenge", write(tmp_path / "a", "test", [choice(question=f"{n}?") for n in range(9)])]
    words = [*sets, "--dataset", "boolq", "arc_challenge", "--max_new_tokens", 8]

    def asked(*more):
        done, rows = run(tmp_path, *words, *more)
        assert {(row["dataset"], row["split"]) for row in rows} == {("boolq", "validation"), ("arc_challenge", "test")}
        kept = [runs.read_jsonl(path) for path in sorted((tmp_path / "tests").iterdir())]
        return done.stdout, [[line["question"] for line in lines] for lines in kept]

    said, first = asked("--rows", 4)
    assert "boolq, validation: 4 of 10 questions; dropped 1 without a usable answer or options, 1 too long" in said
    assert [len(questions) for questions in first] == [4, 4]
    assert first == asked("--rows", 4, "--seed", 7)[1] and first != asked("--rows", 4, "--draw", 7)[1]
    assert [len(questions) for questions in asked("--rows", 0)[1]] == [9, 8]


def test_bad_input_ends_in_one_line(tmp_path):
    write(tmp_path / "train-only", "train", [choice()])
    write(tmp_path / "other", "test", [{"question": "?", "answer": "1"}])
    write(tmp_path / "long", "validation", [boolq(passage="long " * 3000)])
    write(tmp_path / "empty", "test", [choice(key="Z")])
    for words, said in (
        (["--dataset", "poems"], "choose boolq"),
        (["--dataset", "boolq", "--boolq", tmp_path / "none"], "no such folder"),
        (["--dataset", "arc_challenge", "--arc_challenge", tmp_path / "train-only"], "no split test"),
        (["--dataset", "arc_challenge", "--arc_challenge", tmp_path / "other"], "no column choices"),
        (["--dataset", "arc_challenge", "--arc_challenge", tmp_path / "empty"], "no question left"),
        (["--dataset", "boolq", "--boolq", tmp_path / "long"], "no question left"),
        (["--greedy", "false"], "nothing to test"),
        (["--judge", "x", "--judge_model", "m"], "address of a server"),
        (["--tags", "none"], "thesis or think"),
    ):
        if words[0] == "--tags":
            words = [*words, "--checkpoints", untagged(tmp_path / "untagged")]
        one_line(run(tmp_path, *words)[0], said)
    assert not (tmp_path / "results.csv").exists()


def untagged(folder: Path) -> Path:
    """The base with a chat template that names no tag set."""
    shutil.copytree(BASE, folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().partition("-#}")[2] or template.read_text())
    return folder


def test_a_checkpoint_without_tags_is_asked_with_those_given(tmp_path):
    words = ["--dataset", "word_problem", "--rows", 4, "--max_new_tokens", 8, "--tags", "think"]
    assert run(tmp_path, *words, "--checkpoints", untagged(tmp_path / "untagged"))[0].returncode == 0
    assert len(runs.read_jsonl(next((tmp_path / "tests").iterdir()))) == 4
