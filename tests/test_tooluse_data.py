"""Data sets of tool calls: public layouts with rows at fault, teacher mode, missing and damaged input."""

import json

import pytest
from conftest import ROOT, load_script
from tool_questions import create, error_of, executor, parse, play_one

from common import calls, data, runs, settings
from ToolUse.tooluse import conversations, layouts, teacher

EXAMPLES = load_script("ToolUse/run_examples.py")
SYSTEM = (
    "You are AutoGPT. You have access to the following APIs: [{'name': 'find', 'parameters': {}}, {'name': 'Finish'}]"
)
ACTION = 'Thought: t\nAction: find\nAction Input: {"id": "7"}'
FINISH = 'Thought:\nAction: Finish\nAction Input: {"return_type": "give_answer", "final_answer": "It is blue."}'


def toolbench(*said) -> dict:
    roles = {"u": "user", "f": "function", "a": "assistant"}
    turns = [{"from": "system", "value": SYSTEM}, {"from": "user", "value": "\nWhich?\nBegin!\n"}]
    return {"conversations": turns + [{"from": roles[role], "value": text} for role, text in said]}


def system(tools: str) -> dict:
    return {"conversations": [{"from": "system", "value": f"You have access to the following APIs: {tools}"}]}


def test_toolbench_layout():
    row = layouts.convert(
        "toolbench",
        toolbench(("a", ACTION), ("f", '{"response": "blue"}'), ("u", "Not the first time."), ("a", FINISH)),
    )
    assert row["question"] == "Which?" and row["solution"] == '[[["find", {"id": "7"}]]]'
    assert [message["role"] for message in row["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert row["messages"][-1]["content"] == "It is blue." and [
        t["function"]["name"] for t in json.loads(row["tools"])
    ] == ["find"]
    assert layouts.convert("toolbench", toolbench(("a", ACTION)))["messages"][-1]["content"] == ""


@pytest.mark.parametrize(
    "layout, row, fault",
    [
        ("toolbench", toolbench(("a", ACTION.replace("}", ""))), "arguments of a call is not JSON"),
        ("toolbench", toolbench(("a", 'Action: find\nAction Input: ["7"]')), "arguments of a call is no object"),
        ("toolbench", toolbench(("a", "I do not know")), "a completion has no action"),
        ("toolbench", toolbench(("a", ACTION.replace("find", "other"))), "calls a tool that is not offered"),
        ("toolbench", toolbench(("a", FINISH.replace("give_answer", "give_up_and_restart"))), "gives up"),
        ("toolbench", toolbench(), "no question or no completion"),
        ("toolbench", system("[}"), "the tools cannot be read"),
        ("toolbench", system("[" * 10**5), "the tools cannot be read"),
        ("toolbench", {"conversations": None}, "is not in this layout"),
        ("glaive", {"conversations": [{"from": "robot", "value": ""}], "tools": ""}, "unknown role robot"),
        ("glaive", {"conversations": [], "tools": "[{}]"}, "a tool has no name"),

        ("glaive", {"conversations": [], "tools": '[{"name": "x", "parameters": [5]}]'}, "parameters of a tool are no"),
        ("glaive", {"conversations": [], "tools": "{"}, "the list of tools is not JSON"),
        ("glaive", {"conversations": [], "tools": "{}"}, "the list of tools is no list"),
        ("glaive", {"conversations": [{"from": "function_call", "value": "{"}], "tools": ""}, "a call is not JSON"),
        ("glaive", {"conversations": [{"from": "function_call", "value": "{}"}], "tools": ""}, "a call has no name"),
        ("glaive", {"conversations": [{"from": "gpt", "value": "Hi"}], "tools": "[]"}, "no question or no completion"),
        ("messages", {"messages": [{"role": "critic", "content": "x"}], "tools": "[]"}, "unknown role critic"),
        ("messages", {"messages": [{"content": "x"}], "tools": "[]"}, "is not in this layout"),
        ("messages", {"messages": [{"role": "user", "content": None}], "tools": "[]"}, "a message has no text"),
        ("messages", {"messages": [{"role": "assistant", "content": None}], "tools": "[]"}, "a message has no text"),
    ],
)  # fmt: skip
def test_faults_of_rows_have_names(layout, row, fault):
    with pytest.raises(layouts.Fault, match=fault):
        layouts.convert(layout, row)


def test_public_rows_that_are_at_fault_are_counted(tmp_path, capsys):
    """Lines that are no rows, a null, an empty question, half a character, and rows that the layout does not fit."""
    rows = [toolbench(("a", ACTION.replace("7", str(n)))) for n in range(10, 20)]
    rows += [rows[0], toolbench(("a", ACTION.replace("}", ""))), toolbench(("a", "none"))]
    half, empty, no_text = (toolbench(("a", ACTION), ("f", text), ("a", ACTION)) for text in ("\ud800", "", None))
    empty["conversations"][1]["value"] = " Begin! "
    lines = [*map(json.dumps, [*rows, half, empty, no_text]), "null", "5", "{", "[" * 10**5, ""]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text("\n".join(lines))
    create("--source", "toolbench", "--toolbench", tmp_path / "data", "--output", tmp_path / "out")
    said = capsys.readouterr().out
    faults = {"arguments of a call is not JSON": 1, "a completion has no action": 1, "repeats a row": 1}
    faults |= {"half a character (a lone surrogate)": 1, "a question is empty": 1, "a message has no text": 1}
    for fault, count in (faults | {"a line is no object": 2, "a line is not JSON": 2}).items():
        assert f"{count} ({fault})" in said
    assert "10 rows" in said


def test_glaive_and_messages_layouts():
    tools = json.dumps([{"name": "find", "parameters": {}}])
    call = '{"name": "find", "arguments": {"id": "7"}}'
    said = [
        ("human", "Which?"),
        ("function_call", call),
        ("observation", "blue"),
        ("gpt", "Blue."),
        ("human", "Thanks"),
    ]
    row = layouts.convert("glaive", {"conversations": [{"from": f, "value": v} for f, v in said], "tools": tools})
    parts = [{"type": "reasoning", "value": "r"}, {"type": "tool_call", "value": call}]
    messages = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": parts}]
    messages += [
        {"role": "tool", "content": [{"type": "text", "value": "blue"}]},
        {"role": "assistant", "content": "Blue."},
    ]
    same = layouts.convert("messages", {"messages": messages, "tools": tools})
    assert row["messages"] == same["messages"] and row["question"] == "Which?"
    verdict = play_one(conversations.unfold(row), iter([calls.call_text([("find", {"id": "7"})]), "Blue"]))
    assert verdict["failure"] == "wrong_answer" or verdict["correct"]  # the recorded result, of a tool that is not here
    assert "blue" in verdict["text"]


def test_boundaries_and_rows_of_the_teacher():
    text = "What is 2 plus 3? The result is 5."
    assert [text[at:] for at in teacher.boundaries(text)][-1] == " 5." and len(teacher.boundaries(text)) == 8
    candidate = teacher.Candidate(0, text.index(" The"), ("calculator", {"expression": "2 + 3"}), {"result": 5}, 1.0)
    row = teacher.to_row(text, candidate, [])
    assert row["question"] == "What is 2 plus 3?" and row["messages"][-1]["content"] == "The result is 5."
    assert [m["role"] for m in row["messages"]] == ["user", "assistant", "tool", "assistant"]
    plain = teacher.to_row(text, None, [])
    assert [m["content"] for m in plain["messages"]] == ["What is 2 plus 3?", "The result is 5."]
    assert teacher.to_row("No end", None, [])["question"] == "No"


def test_the_loss_of_the_teacher():
    import torch
    from conftest import BASE

    from common import models

    tokenizer, _ = conversations.load_tokenizer(str(BASE))
    model = models.load_for_generation(str(BASE))
    pairs = [("2*21=", "42\n3*5=15"), ("57*3=171\nIs 57*3=", "171\n")]
    found = teacher.losses(model, tokenizer, pairs, 3, 2)
    for (before, after), loss in zip(pairs, found):
        head, tail = (tokenizer(part, add_special_tokens=False).input_ids for part in (before, after))
        logprobs = model(input_ids=torch.tensor([head + tail])).logits.log_softmax(-1)[0]
        values = [-logprobs[len(head) + t - 1, token].item() for t, token in enumerate(tail[:3])]
        assert loss == pytest.approx((values[0] + 2 / 3 * values[1] + 1 / 3 * values[2]) / 2, abs=1e-4)


def recipe(folder, content) -> str:
    path = folder / "recipe.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_a_recipe_gives_values_and_the_command_line_overrides_them(tmp_path):
    path = recipe(tmp_path, {"sizes": {"sft_rows": 7, "test_rows": 3}, "source": "glaive", "unavailable": 0})
    args = parse("--config", path, "--test_rows", 5)
    assert (args.sft_rows, args.test_rows, args.source, args.unavailable, args.config) == (7, 5, "glaive", 0.0, path)
    assert parse(f"--config={path}").sft_rows == 7 and parse().sft_rows == 400


@pytest.mark.parametrize(
    "content, said",
    [
        ({"sft_row": 7}, "unknown key sft_row"),
        ({"training": {"learnin_rate": 7}}, "unknown key learnin_rate"),
        ({"config": "x"}, "unknown key config"),
        ({"sft_rows": "many"}, "invalid int value"),
        ({"sft_rows": 1.5}, "invalid int value"),
        ({"sft_rows": None}, "sft_rows is no text, number"),
        ({"sft_rows": [1, 2]}, "unknown option 2"),
        ({"sft_rows": -1}, "choose at least 0"),
        ({"source": "--overwrite"}, "source is no text, number"),
        ({"source": "web"}, "choose templates"),
        ({"unavailable": 2}, "at most 1"),
        ({"a": {"seed": 1}, "seed": 2}, "has seed twice"),
        ({"a": {"b": {"seed": 1}}}, "unknown key b"),
        ([], "no object"),
        ("{", "cannot be read as YAML or JSON"),
        ('{"seed": NaN}', "seed"),
    ],
)
def test_bad_recipes(content, said, tmp_path, capsys):
    assert said in error_of(capsys, parse, "--config", recipe(tmp_path, content))


def test_a_recipe_that_is_missing(capsys):
    assert "cannot be read" in error_of(capsys, parse, "--config", "no/such.json")


@pytest.mark.parametrize(
    "name, script", [("sft_toolbench", "SFT_tools"), ("dpo", "DPO_tools"), ("teacher", "tool_dataset_creation")]
)
def test_the_recipes_of_the_repo_fit_their_scripts(name, script):
    args_class = load_script(f"ToolUse/{script}.py").Args
    args = settings.parse(
        args_class, "", argv=["--profile", "tiny", "--config", str(ROOT / f"ToolUse/configs/{name}.json")]
    )
    for key, value in settings.read_config(str(ROOT / f"ToolUse/configs/{name}.json")).items():
        assert getattr(args, key) == value


@pytest.mark.parametrize(
    "words, said",
    [
        (("--source", "toolbench", "--toolbench", "no/such"), "no such folder"),
        (("--source", "teacher", "--texts", "no/such"), "no such file"),
        (("--source", "teacher", "--base", "outputs/nothing"), "first run: python ToolUse/SFT_tools.py"),
        (("--questions", "no/such"), "cannot be read as JSON"),
        (("--tools", "no/such"), "cannot be read as JSON"),
        (("--sft_rows", 0, "--train_rows", 0, "--validation_rows", 0, "--test_rows", 0), "no usable row"),
    ],
)
def test_bad_input_of_the_data_set(words, said, tmp_path, capsys):
    assert said in error_of(capsys, create, "--output", tmp_path / "out", *words)
    assert not list(tmp_path.iterdir())


CASES = ["", "{", "{}", "[]", "[{}]", '[{"prompt": 5, "expected_tool": null}]', '[{"prompt": "x"}]']
CASES += ['[{"prompt": "x", "expected_tool": "other"}]']
CASES += ['[{"prompt": "x", "expected_tool": null, "expected_params": 5}]', "[" * 10**5]
CASES += ['[{"prompt": "x", "expected_tool": ["calculator"]}]', '[{"prompt": "", "expected_tool": null}]']
CASES += ['[{"prompt": "\\ud800", "expected_tool": null}]', '[{"prompt": "x", "expected_tool": "calculator"}]']
CASES += ['[{"prompt": "x", "expected_tool": "weather", "expected_params": {"city": 5}}]']


@pytest.mark.parametrize("text", CASES)
def test_bad_test_cases(text, tmp_path, capsys):
    (tmp_path / "cases.json").write_text(text)
    assert "cases" in error_of(capsys, EXAMPLES.read_cases, tmp_path / "cases.json", executor())


def test_cases_take_other_names_of_arguments(tmp_path):
    case = {"prompt": "How is Oslo?", "expected_tool": "weather", "expected_params": {"location": "Oslo"}}
    (tmp_path / "cases.json").write_text(json.dumps([case]))
    (case,) = EXAMPLES.read_cases(tmp_path / "cases.json", executor())
    assert EXAMPLES.to_row(case, executor())["solution"] == '[[["weather", {"city": "Oslo"}]]]'


def test_missing_data_sets_and_others_name_their_command(tmp_path, capsys):
    said = error_of(capsys, data.read_split, str(tmp_path / "tools_glaive"), "sft")
    assert "python ToolUse/tool_dataset_creation.py --source glaive" in said
    assert "--source templates" in error_of(capsys, data.read_split, str(tmp_path / "tools"), "sft")
    folder = tmp_path / "linear"
    folder.mkdir()
    row = {"question": "q", "solution": "s"}
    facts = data.write_splits(folder, {"sft": [row]})
    runs.write_json(folder / "run.json", {"kind": "math", "splits": facts})
    assert "is of the kind math, needed is tools" in error_of(capsys, data.read_split, str(folder), "sft", ("tools",))
    facts = data.write_splits(folder, {"sft": [row | {"messages": [{"role": "user"}], "tools": "[]"}]})
    runs.write_json(folder / "run.json", {"kind": "tools", "splits": facts})
    assert "messages is not a list of messages" in error_of(capsys, data.read_split, str(folder), "sft")
    runs.write_json(folder / "run.json", {"splits": facts})
    said = error_of(capsys, data.read_split, str(folder), "sft")
    assert "no kind" in said and "SFT/dataset_creation.py --dataset linear --overwrite" in said
