"""Tool-call data: prompts as BFCL's own handler writes them, gold replies that its checkers accept, splits that share
nothing, and synthetic tasks that share nothing with BFCL's own entries."""

import json
import random
from pathlib import Path

import pytest
import trl
from conftest import load_script
from test_runs import call, one_line

from common import data, evaluation, prompts, runs, tasks, tool_tasks, toolcalls

SCRIPT = "BFCL/BFCL_dataset_creation.py"
CREATION = load_script(SCRIPT)
KINDS = {"single": tool_tasks.single, "multi": tool_tasks.multi}
QWEN3 = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()


def make(kind: str, n: int = 40, level: str = "tiny", split: str = "train") -> list[dict]:
    return tasks.problems(KINDS[kind], split, n, 0, level=tool_tasks.LEVELS[level])


def rendered(template: str, messages: list[dict]) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    return render_jinja_template([messages], chat_template=template, add_generation_prompt=True)[0][0]


def handler():
    toolcalls.bfcl()  # says where bfcl-eval may make its folders
    from bfcl_eval.model_handler.local_inference.qwen_fc import QwenFCHandler

    return object.__new__(QwenFCHandler)


@pytest.fixture(scope="module")
def entries() -> dict[str, list[dict]]:
    """All of BFCL's entries of one turn, and those of several turns."""
    return {
        "single": [row for name in tool_tasks.SINGLE for row in tool_tasks.official(name)],
        "multi": [row for name in tool_tasks.MULTI for row in tool_tasks.official(name)],
    }


def official_messages() -> set[str]:
    found = set()
    for name in (*tool_tasks.SINGLE, *tool_tasks.MULTI):
        for entry in runs.read_jsonl(data.bfcl_folder() / tool_tasks.FILE.format(name)):
            found |= {m["content"].strip().lower() for turn in entry["question"] for m in turn if m["role"] == "user"}
    return found


def calls_of(row: dict) -> list[tuple[str, dict]]:
    """Every call of a synthetic row."""
    truth = json.loads(row["solution"])
    if "turns" in row:
        return [tuple(toolcalls.parse_call(one)) for turn in truth for one in turn]
    return [(name, {k: v[0] for k, v in args.items() if v[-1] != ""}) for one in truth for name, args in one.items()]


@pytest.mark.parametrize("template", [prompts.CHATML, QWEN3], ids=["ours", "qwen3"])
def test_prompts_are_those_that_the_evaluation_sends(template, entries):
    """Every entry of one turn, and the first turns of the others, character by character."""
    official = handler()
    by_id = {row["id"]: row for row in entries["single"] + entries["multi"]}
    for name in (*tool_tasks.SINGLE, "multi_turn_base", "multi_turn_miss_func"):
        for entry in toolcalls.bfcl().load_dataset_entry(name)[::3]:
            row = by_id[entry["id"]]
            assert rendered(template, row["prompt"]) == official._format_prompt(entry["question"][0], entry["function"])


@pytest.mark.parametrize("template", [prompts.CHATML, QWEN3], ids=["ours", "qwen3"])
def test_a_conversation_is_the_one_that_the_evaluation_sends(template):
    """At every reply of a gold conversation: the history with calls and results, as the official handler keeps it."""
    official = handler()
    for row in make("multi", 20) + make("multi", 5, "hard"):
        note = tool_tasks.NOTE if tool_tasks.NOTE in row["prompt"][0]["content"] else ""
        functions = [{**f, "description": f["description"] + note} for f in json.loads(row["functions"])]
        whole, history = row["prompt"] + row["completion"], []
        for place, message in enumerate(whole):
            if message["role"] == "assistant":
                assert rendered(template, whole[:place]) == official._format_prompt(history, functions)
                found = official._extract_tool_calls(message["content"])
                said = {"tool_calls": found} if found else {}
                history.append({"role": "assistant", "content": "" if found else message["content"], **said})
            elif message["content"].startswith("<tool_response>"):
                for result in message["content"].split("<tool_response>\n")[1:]:
                    history.append({"role": "tool", "content": result.strip().removesuffix("\n</tool_response>")})
            elif message["role"] == "user":
                history.append(message)


@pytest.mark.parametrize("level", tool_tasks.LEVELS)
def test_gold_replies_are_perfect_and_others_are_not(level):
    rng = random.Random(0)
    for row in make("single", 40, level):
        gold = row["completion"][0]["content"]
        found = evaluation.score_row({"text": gold}, row, prompts.THESIS)
        assert found["correct"] and found["well_formed"] and found["reward"] == pytest.approx(1), row
        calls = calls_of(row)
        name, args = rng.choice(calls)
        key = rng.choice(list(args))
        left = json.dumps({"name": name, "arguments": {k: v for k, v in args.items() if k != key}})
        for wrong in (
            gold.replace(f'"{name}"', f'"{name}s"'),
            gold.replace(f'"{key}"', '"other"'),
            gold + "\n" + gold,
            f"<tool_call>\n{left}\n</tool_call>",
            gold.replace("<tool_call>\n", "<tool_call>"),
            "",
        ):
            found = evaluation.score_row({"text": wrong}, row, prompts.THESIS)
            assert not found["correct"] and 0 <= found["reward"] < 1, (wrong, row)


@pytest.mark.parametrize("kind", KINDS)
def test_gold_replies_in_pythons_syntax_hold_the_same_calls_and_are_refused(kind):
    make_one, seen = getattr(tool_tasks, kind), 0
    for seed in range(40):
        row, other = (make_one(random.Random(seed), "train", python=share) for share in (0.0, 1.0))
        assert {**row, "completion": 0} == {**other, "completion": 0}
        for message, said in zip(row["completion"], other["completion"], strict=True):
            calls, kind_of = toolcalls.decode(message["content"])
            if message["role"] == "assistant" and calls:
                assert toolcalls.decode(said["content"]) == ([], "bad_json")
                assert all(f"{name}(" in said["content"] for call in calls for name in call)
                seen += 1
            else:
                assert message == said
    assert seen >= 40


def test_most_official_truths_make_a_gold_reply(entries):
    wanted = [row for row in entries["single"] if row["category"] != "live_relevance"]
    gold = [row for row in wanted if "completion" in row]
    assert len(wanted) == 3625 and len(gold) > 0.98 * len(wanted)
    for row in gold:
        assert evaluation.score_row({"text": row["completion"][0]["content"]}, row, prompts.THESIS)["correct"]


@pytest.mark.parametrize("level", ["tiny", "medium"])
def test_every_turn_matters(level):
    """The truth replays as right with the results that the gold conversation shows; without one turn it is wrong."""
    with toolcalls.Episodes() as worker:
        for row in make("multi", 25, level):
            names = ("initial_config", "involved_classes", "solution")
            config, classes, truth = (json.loads(row[name]) for name in names)
            entry = {"id": row["id"], "initial_config": config, "involved_classes": classes}
            episode = worker.open(config, classes)
            results = [tool_tasks.tool_message(worker.execute(episode, turn)) for turn in truth]
            assert results == [m for m in row["completion"] if m["content"].startswith("<tool_response>")]
            assert toolcalls.score_multi(worker, entry, truth, truth)["valid"]
            for place in range(len(truth)):
                without = [[] if i == place else turn for i, turn in enumerate(truth)]
                assert not toolcalls.score_multi(worker, entry, truth, without)["valid"]


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_tasks_share_nothing_with_bfcl(kind):
    """No sentence of an official user, no call of an official truth, so no sequence of calls either."""
    said, called = official_messages(), tool_tasks.official_calls()
    singles = [row for name in tool_tasks.SINGLE[:6] + tool_tasks.SINGLE[7:11] for row in tool_tasks.official(name)]
    own = {name for owner in toolcalls.DOCUMENTS for name in tool_tasks.described(owner)}
    named = [one for row in singles for one in json.loads(row["solution"]) if next(iter(one)) in own]
    assert len(said) > 3000 and len(called) > 500
    for row in (row for level in tool_tasks.LEVELS for split in tasks.SPLITS for row in make(kind, 20, level, split)):
        turns = [m for turn in json.loads(row["turns"]) for m in turn] if "turns" in row else row["prompt"][1:]
        assert not said & {message["content"].strip().lower() for message in turns}
        assert not called & {tool_tasks.call_key(*one) for one in calls_of(row)}
        for name, args in calls_of(row):
            for answer in named:
                right = toolcalls.score_single([{name: args}], json.loads(row["functions"]), [answer], "parallel")
                assert not right["valid"]


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_splits_are_disjoint_and_repeatable(kind):
    """By the calls, whatever the level and the seed: a task of one split can appear in no other."""
    found = {}
    for split in tasks.SPLITS:
        for row in make(kind, 60, "tiny", split) + make(kind, 30, "easy", split):
            key = json.dumps([tool_tasks.call_key(*one) for one in calls_of(row)])
            assert found.setdefault(key, split) == split
    assert make(kind) == make(kind)
    if kind == "single":
        assert len({row["completion"][0]["content"].split('"')[3] for row in make(kind, 200)}) > 45  # functions
    rows = make(kind, 100)
    assert {len(json.loads(row["functions"])) for row in rows} == {1, 2}
    assert max(len(row["prompt"][0]["content"]) for row in rows) < 1600


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_official_splits_are_disjoint(kind, entries):
    """No question, and of several turns no message and no index, stands in two splits; the test fifth is whole."""
    args = CREATION.Args(kind=kind)
    sizes = {"sft": 300 * (kind == "single"), "train": 10**6, "validation": 100}
    splits = CREATION.split_entries(entries[kind], sizes, args)
    groups = {name: {CREATION.group_of(row) for row in rows} for name, rows in splits.items()}
    ids = [row["id"] for rows in splits.values() for row in rows]
    assert len(ids) == len(set(ids)) > 0.99 * len(entries[kind])
    for name, others in ((a, b) for a in splits for b in splits if a < b):
        assert not groups[name] & groups[others]
        users = [{row["question"].split("\n")[0] for row in splits[split]} for split in (name, others)]
        assert kind == "single" or not users[0] & users[1]
    total = len({CREATION.group_of(row) for row in entries[kind]})
    assert len(groups["test"]) == round(0.2 * total)
    assert all("completion" in row for row in splits["sft"])


@pytest.mark.parametrize("kind, examples", [("single", 6), ("multi", 24)])
def test_the_script_makes_what_sft_and_grpo_read(kind, examples, tmp_path):
    sizes = ("--sft_rows", 6, "--train_rows", 5, "--validation_rows", 4, "--test_rows", 3)
    for name in ("one", "two"):
        done = call(SCRIPT, "--kind", kind, "--output", tmp_path / f"bfcl_{name}", *sizes, "--profile", "tiny")
        assert done.returncode == 0, done.stderr
    rows, first = data.read_split(str(tmp_path / "bfcl_one"), "sft", working=True)
    assert first == data.read_split(str(tmp_path / "bfcl_two"), "sft", working=True)[1]
    sft = data.to_prompts(rows, "thesis", completions=True)
    assert len(sft) == examples and {m["role"] for row in sft for m in row["completion"]} == {"assistant"}
    grpo = data.to_prompts(data.read_split(str(tmp_path / "bfcl_one"), "train")[0], "thesis")
    assert len(grpo) == 5 and {"prompt", "solution", "functions", "category", "tags"} <= set(grpo.column_names)
    assert all(row["prompt"][-1]["role"] == "user" for row in grpo)


def test_bad_input(tmp_path):
    output = ("--output", tmp_path / "out")
    one_line(call(SCRIPT, "--kind", "triple", *output), "single, multi")
    one_line(call(SCRIPT, "--source", "web", *output), "synthetic, split")
    one_line(call(SCRIPT, "--level", "odd", *output), "tiny", "hard")
    one_line(call(SCRIPT, "--test_share", "1.5", *output), "between 0 and 1")
    assert not list(tmp_path.iterdir())
    missing = call("SFT/SFT_train.py", "--dataset", tmp_path / "bfcl_multi", *output)
    one_line(missing, "does not exist", "BFCL_dataset_creation.py --kind multi")
