"""Tool-call data: prompts as BFCL's own handler writes them, gold completions that its checkers accept, splits that
share nothing, and synthetic tasks that share nothing with BFCL's own entries."""

import functools
import json
import random
import re
from pathlib import Path

import pytest
import trl
from conftest import ROOT, load_script

from BFCL.bfcl import kinds, official, synthetic
from BFCL.bfcl.official import DOCUMENTS, bfcl, described
from BFCL.bfcl.sandbox import Sandbox, parse_call
from BFCL.bfcl.scoring import score_multi, score_single, with_reward
from common import data, prompts, runs, settings
from common.calls import call_key, decode, tool_message
from tiny import problems

CREATION = load_script("BFCL/BFCL_dataset_creation.py")
WEIGHTS = load_script("BFCL/GRPO_BFCL_v1.py").WEIGHTS
KINDS = CREATION.KINDS
QWEN3 = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()


@functools.cache
def tasks(kind: str, n: int = 40, level: str = "tiny", split: str = "train") -> list[dict]:
    return problems.draw(KINDS[kind], split, n, 0, level=synthetic.LEVELS[level])


def rendered(template: str, messages: list[dict]) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    return render_jinja_template([messages], chat_template=template, add_generation_prompt=True)[0][0]


def handler():
    bfcl()  # says where bfcl-eval may make its folders
    from bfcl_eval.model_handler.local_inference.qwen_fc import QwenFCHandler

    return object.__new__(QwenFCHandler)


@pytest.fixture(scope="module")
def rows_by_kind() -> dict[str, list[dict]]:
    """All of BFCL's entries of one turn, and those of several turns."""
    return {
        "single": [row for name in official.SINGLE for row in official.rows_of(name)],
        "multi": [row for name in official.MULTI for row in official.rows_of(name)],
    }


def official_messages() -> set[str]:
    found = set()
    for name in (*official.SINGLE, *official.MULTI):
        for entry in runs.read_jsonl(official.data_folder() / official.FILE.format(name)):
            found |= {m["content"].strip().lower() for turn in entry["question"] for m in turn if m["role"] == "user"}
    return found


def scored(text: str, row: dict) -> dict:
    kind = kinds.DIALOGUE if "turns" in row else kinds.CALLS
    return with_reward(kind.score({"text": text}, row, prompts.THESIS), WEIGHTS)


def calls_of(row: dict) -> list[tuple[str, dict]]:
    """Every call of a synthetic row."""
    truth = json.loads(row["solution"])
    if "turns" in row:
        return [tuple(parse_call(one)) for turn in truth for one in turn]
    return [(name, {k: v[0] for k, v in args.items() if v[-1] != ""}) for one in truth for name, args in one.items()]


@pytest.mark.parametrize("template", [prompts.CHATML, QWEN3], ids=["ours", "qwen3"])
def test_prompts_are_those_that_the_evaluation_sends(template, rows_by_kind):
    """Every entry of one turn, and the first turns of the others, character by character."""
    evaluation = handler()
    by_id = {row["id"]: row for row in rows_by_kind["single"] + rows_by_kind["multi"]}
    for name in (*official.SINGLE, "multi_turn_base", "multi_turn_miss_func"):
        for entry in bfcl().load_dataset_entry(name)[::9]:
            row = by_id[entry["id"]]
            assert rendered(template, row["prompt"]) == evaluation._format_prompt(
                entry["question"][0], entry["function"]
            )


@pytest.mark.parametrize("template", [prompts.CHATML, QWEN3], ids=["ours", "qwen3"])
def test_a_conversation_is_the_one_that_the_evaluation_sends(template):
    """At every completion of a gold one: the history with calls and results, as the official handler keeps it."""
    evaluation = handler()
    for row in tasks("multi", 20) + tasks("multi", 5, "hard"):
        note = official.NOTE if official.NOTE in row["prompt"][0]["content"] else ""
        functions = [{**f, "description": f["description"] + note} for f in json.loads(row["functions"])]
        whole, history = row["prompt"] + row["completion"], []
        for place, message in enumerate(whole):
            if message["role"] == "assistant":
                assert rendered(template, whole[:place]) == evaluation._format_prompt(history, functions)
                found = evaluation._extract_tool_calls(message["content"])
                said = {"tool_calls": found} if found else {}
                history.append({"role": "assistant", "content": "" if found else message["content"], **said})
            elif message["content"].startswith("<tool_response>"):
                for result in message["content"].split("<tool_response>\n")[1:]:
                    history.append({"role": "tool", "content": result.strip().removesuffix("\n</tool_response>")})
            elif message["role"] == "user":
                history.append(message)


@pytest.mark.parametrize("level", synthetic.LEVELS)
def test_gold_completions_are_perfect_and_others_are_not(level):
    rng = random.Random(0)
    for row in tasks("single", 40, level):
        gold = row["completion"][0]["content"]
        found = scored(gold, row)
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
            found = scored(wrong, row)
            assert not found["correct"] and 0 <= found["reward"] < 1, (wrong, row)


@pytest.mark.parametrize("kind", KINDS)
def test_gold_completions_in_pythons_syntax_hold_the_same_calls_and_are_refused(kind):
    make, seen = KINDS[kind], 0
    for seed in range(40):
        row, other = (make(random.Random(seed), "train", python=fraction) for fraction in (0.0, 1.0))
        assert {**row, "completion": 0} == {**other, "completion": 0}
        for message, said in zip(row["completion"], other["completion"], strict=True):
            calls = decode(message["content"])[0]
            if message["role"] == "assistant" and calls:
                assert decode(said["content"]) == ([], "bad_json")
                assert all(f"{name}(" in said["content"] for call in calls for name in call)
                seen += 1
            else:
                assert message == said
    assert seen >= 40


@pytest.mark.parametrize("category", official.SINGLE[:-1])
def test_official_truths_make_a_gold_completion(category):
    """Of Java 77 of 100, whose first possible values are not source text, of the others nearly all."""
    rows = official.rows_of(category)
    gold = [row for row in rows if "completion" in row]
    assert len(gold) >= (0.77 if category == "simple_java" else 0.99) * len(rows)
    for row in gold:
        assert scored(row["completion"][0]["content"], row)["correct"]


@pytest.mark.parametrize("level", ["tiny", "medium"])
def test_every_turn_matters(level):
    """The truth replays as valid with the results that the gold conversation shows; without one turn it does not."""
    with Sandbox() as sandbox:
        for row in tasks("multi", 25, level):
            names = ("initial_config", "involved_classes", "solution")
            config, classes, truth = (json.loads(row[name]) for name in names)
            entry = {"id": row["id"], "initial_config": config, "involved_classes": classes}
            episode = sandbox.open(config, classes)
            results = [tool_message(sandbox.execute(episode, turn)) for turn in truth]
            assert results == [m for m in row["completion"] if m["content"].startswith("<tool_response>")]
            assert score_multi(sandbox, entry, truth, truth)["valid"]
            for place in range(len(truth)):
                without = [[] if i == place else turn for i, turn in enumerate(truth)]
                assert not score_multi(sandbox, entry, truth, without)["valid"]


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_tasks_share_nothing_with_bfcl(kind):
    """No sentence of an official user, no call of an official truth, so no sequence of calls either."""
    said, called = official_messages(), synthetic.official_calls()
    singles = [row for name in official.SINGLE[:6] + official.SINGLE[7:11] for row in official.rows_of(name)]
    own = {name for owner in DOCUMENTS for name in described(owner)}
    named = [one for row in singles for one in json.loads(row["solution"]) if next(iter(one)) in own]
    assert len(said) > 3000 and len(called) > 500
    for row in (row for level in synthetic.LEVELS for split in data.SPLITS for row in tasks(kind, 10, level, split)):
        turns = [m for turn in json.loads(row["turns"]) for m in turn] if "turns" in row else row["prompt"][1:]
        assert not said & {message["content"].strip().lower() for message in turns}
        assert not called & {call_key(*one) for one in calls_of(row)}
        for name, args in calls_of(row):
            for answer in (one for one in named if name in one):
                assert not score_single([{name: args}], json.loads(row["functions"]), [answer], "parallel")["valid"]


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_splits_are_disjoint_and_repeatable(kind):
    """By the calls, whatever the level and the seed: a task of one split can appear in no other."""
    found = {}
    for split in data.SPLITS:
        for row in tasks(kind, 60, "tiny", split) + tasks(kind, 30, "easy", split):
            key = json.dumps([call_key(*one) for one in calls_of(row)])
            assert found.setdefault(key, split) == split
    assert tasks(kind) == tasks.__wrapped__(kind)
    if kind == "single":
        assert len({row["completion"][0]["content"].split('"')[3] for row in tasks(kind, 200)}) > 45  # functions
    rows = tasks(kind, 100)
    assert {len(json.loads(row["functions"])) for row in rows} == {1, 2}
    assert max(len(row["prompt"][0]["content"]) for row in rows) < 1600


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_official_splits_are_disjoint(kind, rows_by_kind):
    """No question, and of several turns no message and no index, stands in two splits; the test fifth is whole."""
    args = CREATION.Args(kind=kind)
    sizes = {"sft": 300 * (kind == "single"), "train": 10**6, "validation": 100}
    splits = CREATION.split_entries(rows_by_kind[kind], sizes, args)
    groups = {name: {CREATION.group_of(row, kind) for row in rows} for name, rows in splits.items()}
    ids = [row["id"] for rows in splits.values() for row in rows]
    assert len(ids) == len(set(ids)) > 0.99 * len(rows_by_kind[kind])
    for name, others in ((a, b) for a in splits for b in splits if a < b):
        assert not groups[name] & groups[others]
        users = [{row["question"].split("\n")[0] for row in splits[split]} for split in (name, others)]
        assert kind == "single" or not users[0] & users[1]
    total = len({CREATION.group_of(row, kind) for row in rows_by_kind[kind]})
    assert len(groups["test"]) == round(0.2 * total)
    assert all("completion" in row for row in splits["sft"])


def create(*words) -> None:
    """The data set, made by the script's own parser and main() in this process."""
    CREATION.main(settings.parse(CREATION.Args, "", argv=["--profile", "tiny", *map(str, words)]))


@pytest.mark.parametrize("kind, examples", [("single", 6), ("multi", 24)])
def test_the_script_makes_what_sft_and_grpo_read(kind, examples, tmp_path, capsys):
    sizes = ("--kind", kind, "--sft_rows", 6, "--train_rows", 5, "--validation_rows", 4, "--test_rows", 3)
    for name in ("one", "two"):
        create("--output", tmp_path / f"bfcl_{name}", *sizes)
    first, second = (
        data.read_split(str(tmp_path / name), "sft", completions=True) for name in ("bfcl_one", "bfcl_two")
    )
    assert first.fingerprint == second.fingerprint
    sft = data.to_examples(first, "thesis")
    assert len(sft) == examples and {m["role"] for row in sft for m in row["completion"]} == {"assistant"}
    train = data.read_split(str(tmp_path / "bfcl_one"), "train")
    assert train.kind.name == ("calls" if kind == "single" else "dialogue")
    grpo = data.to_prompts(train.rows, "thesis", train.kind)
    assert len(grpo) == 5 and {"prompt", "solution", "functions", "category", "tags"} <= set(grpo.column_names)
    assert all(row["prompt"][-1]["role"] == "user" for row in grpo)

    def ending(*words) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            create("--output", tmp_path / "bfcl_one", *words)
        return end.value.code, "".join(capsys.readouterr())

    code, said = ending(*sizes, "--resume")
    assert code == 0 and "finished, with the same settings" in said
    code, said = ending("--kind", kind, "--resume")
    assert code == 2 and "--sft_rows" in said


def test_bad_input_leaves_nothing_behind(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        create("--output", tmp_path / "out", "--test_share", 1.5)
    assert end.value.code == 2 and "at most 0.99" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_mathematics_does_without_tool_calls():
    """No module of common/ and no stage of mathematics imports tool calls at its top."""
    paths = (
        path for folder in ("common", "SFT", "GRPO_indomain", "GRPO_outdomain") for path in (ROOT / folder).glob("*.py")
    )
    imports = re.compile(r"^(from|import) (BFCL|ToolUse)", re.MULTILINE)
    assert not [path for path in paths if imports.search(path.read_text())]
