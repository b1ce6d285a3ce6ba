"""What the demo's page shows: text that stays text, checkpoints, answers, rewards, runs. Needs no Gradio."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import BASE, CORRECT, HOSTILE, INCORRECT, ROOT, one_line

from common import generation, kinds, prompts, runs
from demo import app, content
from tiny import problems

ARGS = app.Args(max_new_tokens=60)
ROW = {"question": "Work out 2 * 21.", "solution": "42"}
MARKUP = re.compile(r'</?(?:b|span|div|table|tr|td)(?: class="[a-z]*")?>')


def plain(shown: str) -> str:
    """HTML without the markup that the page itself writes."""
    return MARKUP.sub("", shown)


@pytest.mark.parametrize("text", [*HOSTILE.values(), "<script>alert(1)</script>", '<img src=x onerror="alert(1)">'])
def test_text_is_shown_as_text(text):
    shown = plain(content.coloured(text))
    assert "<" not in shown and '"' not in shown
    assert all(c in "\n\t" or c.isprintable() for c in shown)
    shown.encode()
    assert len(content.coloured(text)) < 20 * content.MAX_CHARACTERS


def test_every_character_can_be_seen():
    assert (
        content.visible("a\0b\x1b\u202e\u200b\ud800\r\n\tc")
        == "a[U+0000]b[U+001B][U+202E][U+200B][U+D800][U+000D]\n\tc"
    )
    assert content.coloured("x" * 10**5).endswith(" ... and 90,000 more characters</div>")


def test_tags_and_calls_are_coloured():
    shown = content.coloured(CORRECT)
    assert '<b class="work">&lt;start_working_out&gt;</b><span class="work">2*21=42</span>' in shown
    assert '<b class="answer">&lt;SOLUTION&gt;</b><span class="answer">42</span><b class="answer">' in shown
    assert '<span class="call">f</span>' in content.coloured("<tool_call>f</tool_call>")
    assert '<span class="">after</span>' in content.coloured("</tool_call>after")


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path)
    return tmp_path


def put(folder, *files):
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_text("{}")


def test_checkpoints_are_finished_and_have_weights(outputs):
    whole = ("run.json", "config.json", "model.safetensors")
    put(outputs / "GRPO-1K-def", *whole)
    put(outputs / "SFT", *whole)
    put(outputs / "SFT.partial", *whole)
    put(outputs / "killed", *whole[1:])
    put(outputs / "data", "run.json")
    names = content.checkpoints()
    assert "resources/tiny-base" in names
    assert [name for name in names if not name.startswith("resources/")] == [
        str(outputs / "GRPO-1K-def"),
        str(outputs / "SFT"),
    ]
    assert content.best(names) == str(outputs / "GRPO-1K-def")
    assert content.best(["resources/tiny-base", "resources/tiny-grpo", "outputs/SFT"]) == "resources/tiny-grpo"
    assert content.best(["resources/tiny-base"]) == "resources/tiny-base"


def test_questions_without_a_data_set_are_generated(outputs):
    assert content.sources() == ["linear"]
    assert content.rows_of("linear")[0][0].keys() >= {"question", "solution"}
    put(outputs / "data" / "linear", "test.jsonl")
    with pytest.raises(SystemExit) as end:
        content.rows_of("linear")
    assert content.message(end.value).endswith(
        "is not finished; first run: python SFT/dataset_creation.py --dataset linear"
    )


def test_an_edited_question_keeps_no_answer_of_another():
    row = {"question": "2 * 21\n= ?", "solution": "42"}
    assert content.truth_of(row, "2 * 21\r\n= ?", "42") == "42"
    assert content.truth_of(row, "2 * 22 = ?", "42") == ""
    assert content.truth_of(row, "2 * 22 = ?", "44") == "44"


@pytest.fixture(scope="module")
def base():
    return content.load("resources/tiny-base")


def last(made):
    return list(made)[-1]


def test_a_streamed_answer_is_that_of_generate(base):
    row = problems.draw(problems.yes_no, "test", 1, seed=1)[0]
    conversation = kinds.MATH.prompt(row, prompts.TAG_SETS[base.tag_set])
    steps = list(content.stream(base, conversation, ARGS, 0.0))
    assert [len(ids) for ids in steps] == list(range(1, len(steps) + 1))
    completion = generation.generate(base.model, base.tokenizer, [conversation], 60, batch_size=1)[0]
    assert content.completion_of(base.tokenizer, steps[-1]) == completion


def test_the_seed_decides_what_is_sampled(base):
    conversation = kinds.MATH.prompt(ROW, prompts.TAG_SETS[base.tag_set])
    few = [app.Args(max_new_tokens=20, seed=seed) for seed in (3, 3, 4)]
    first, again, other = (last(content.stream(base, conversation, args, 5.0)) for args in few)
    assert first == again != other


def shown_rewards(base, script, text, row=ROW, kind="math") -> dict:
    ids = base.tokenizer(text, add_special_tokens=False).input_ids + [base.tokenizer.eos_token_id]
    rows = content.rewards(f"{script}.py", row, kinds.of(kind), text, ids, base)
    return {name: value for name, _, value, _ in rows[1:]}


def test_rewards_are_those_of_the_script(base):
    assert shown_rewards(base, "GRPO_indomain/GRPO-1K", CORRECT) == {
        "format_exact": 1.0,
        "answer_correct": 1.0,
        "total": 1.0,
    }
    assert shown_rewards(base, "GRPO_indomain/GRPO-1K", INCORRECT)["total"] == 0.6
    found = shown_rewards(base, "GRPO_indomain/GRPO-1K-def", CORRECT)
    assert found == {"format_exact": 1, "format_graded": 4, "answer_ladder": 5, "number": 3.5, "total": 15.5}


def test_every_script_shows_values_or_says_what_it_needs(base):
    assert len(content.scripts()) >= 12
    for script in content.scripts():
        found = shown_rewards(base, script.removesuffix(".py"), CORRECT)
        numbers = [value for value in found.values() if isinstance(value, float)]
        assert found and (numbers if "BFCL" not in script else not numbers), (script, found)
    assert "functions" in shown_rewards(base, "BFCL/GRPO_BFCL_v1", CORRECT)["valid"]
    assert shown_rewards(base, "BFCL/GRPO_BFCL_v2", CORRECT)["valid"] == "needs kinds, parts"


def test_confidence_is_that_of_the_policy(base):
    found = shown_rewards(base, "GRPO_outdomain/GRPO-Intuitor", CORRECT)
    assert 0 < found["intuitor"] < 1.5 and found["self_certainty"] > 0 and "total" not in found
    assert shown_rewards(base, "GRPO_outdomain/GRPO-Hybrid", "42")["hybrid"] == -3.0


def test_without_the_correct_answer_no_reward_is_invented(base):
    found = shown_rewards(base, "GRPO_indomain/GRPO-1K", CORRECT, {"question": "?", "solution": ""})
    assert found == {"format_exact": 1.0, "answer_correct": "needs the correct answer"}


def test_calls_are_rewarded_by_the_official_checker(base):
    function = {
        "name": "add",
        "parameters": {"type": "dict", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    }
    row = {
        "question": "Add 1.",
        "prompt": [{"role": "user", "content": "Add 1."}],
        "functions": json.dumps([function]),
        "solution": json.dumps([{"add": {"a": [1]}}]),
        "category": "simple_python",
    }
    text = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    assert shown_rewards(base, "BFCL/GRPO_BFCL_v1", text, row, "calls")["total"] == pytest.approx(1.0)


def test_an_edited_script_is_read_again(tmp_path):
    path = tmp_path / "GRPO-own.py"
    path.write_text("REWARDS = 1")
    assert content.load_script(str(path)).REWARDS == 1
    path.write_text("REWARDS = 22")
    os.utime(path, (1, 1))
    assert content.load_script(str(path)).REWARDS == 22


def test_an_answer_is_streamed_and_ends_with_its_rewards():
    made = list(content.answer("resources/tiny-base", ROW, kinds.MATH, "GRPO_indomain/GRPO-1K.py", 0.0, ARGS))
    assert made[0][1] == "1 tokens" and "format_exact" in made[-1][1] and "total" in made[-1][1]


def test_a_verdict_has_both_scores():
    def verdict(text, row=ROW):
        completion = {"text": text, "tokens": 3, "truncated": False}
        return plain(content.verdict(completion, row, kinds.MATH, "thesis"))

    assert verdict("2 * 21 = 42") == "no answer: correct, but not between its tags, not well-formed, 3 tokens"
    assert verdict(CORRECT).startswith("answer 42: correct, ") and ": incorrect, " in verdict("2 * 21 = 40")
    assert ": no correct answer given, " in verdict("2 * 21 = 42", ROW | {"solution": ""})


def test_errors_are_one_line(outputs):
    put(outputs / "SFT", "config.json")
    script = "GRPO_indomain/GRPO-1K.py"
    shown, rest = last(content.answer(str(outputs / "SFT"), ROW, kinds.MATH, script, 0.0, ARGS))
    assert "SFT is not finished; first run: the script that makes it" in shown and rest == ""
    long = {"question": "9 " * 4000, "solution": ""}
    shown, _ = last(content.answer("resources/tiny-base", long, kinds.MATH, script, 0.0, ARGS))
    assert "resources/tiny-base has room for" in shown


def test_two_models_stay_in_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(content, "_models", {})
    monkeypatch.setattr(content.models, "load_for_generation", lambda folder: folder)
    for name in ("a", "b", "a", "c"):
        shutil.copytree(BASE, tmp_path / name, dirs_exist_ok=True)
        content.load(str(tmp_path / name))
    assert list(content._models.values()) == [str(tmp_path / "a"), str(tmp_path / "c")]


@pytest.mark.slow
def test_the_workbench_is_a_page_or_a_line(outputs, linear_data):
    words = ("resources/tiny-base", str(linear_data))
    shown = content.workbench("GRPO_indomain/GRPO-1K.py", "", *words)
    assert shown.startswith("<iframe sandbox srcdoc=") and "groups: " in shown and "<script" not in shown
    shown = content.workbench("GRPO_indomain/GRPO-Control.py", "", *words)
    assert "has several rewards; choose one with --reward: " in shown and 'class="line"' in shown


@pytest.mark.slow
def test_a_missing_gradio_is_one_line(tmp_path):
    (tmp_path / "gradio.py").write_text("raise ImportError")
    command = [sys.executable, "demo/app.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)})
    one_line(done, "gradio is not installed", "make demo", "requirements/demo.txt")
