"""Questions with tools, the conversations that answer them, and what is measured: any text."""

import json
import random
from collections import Counter

import pytest
from conftest import BASE, HOSTILE, ROOT, load_script
from tool_questions import TEMPLATES, ToolExecutor, error_of, executor, one, play_one, rows

from common import data, generation, prompts, runs, settings
from ToolUse.tooluse import conversations, episodes, questions


def test_questions_of_the_splits_share_no_wording_and_no_words():
    templates = json.loads(TEMPLATES.read_text())
    for task in templates["tasks"]:
        wordings = [ask for split in questions.SPLITS for ask in task[split]]
        assert len(set(wordings)) == len(wordings), task["name"]
    words = {
        split: {w for row in rows()[split] for w in row["question"].strip("?.!").split()} for split in questions.SPLITS
    }
    for name, known in templates["values"].items():
        if isinstance(known, list) and isinstance(known[0], str):
            used = {split: words[split] & set(known) for split in words}
            assert all(used.values()), name
            assert not (used["train"] & used["test"] or used["train"] & used["validation"]), name


def test_questions_want_every_tool_none_several_and_steps():
    for part in rows().values():
        categories = Counter(row["category"] for row in part)
        assert {"sum", "weather", "capital", "two cities", "city and sum", "greeting", "no tool offered"} <= set(
            categories
        )
        for row in part:
            steps = json.loads(row["solution"])
            assert all("error" not in executor().execute(*call) for step in steps for call in step)
            assert conversations.problem(row) is None


def test_the_correct_conversation_has_no_failure():
    """Played with the completions of the row itself, every measure holds; and every question is played to its end."""
    for row in (row for part in rows().values() for row in part):
        said = iter([m["content"] for m in row["completion"] if m["role"] == "assistant"])
        verdict = play_one(row, said)
        assert verdict["failure"] is None and verdict["correct"] and False not in verdict["measures"].values(), verdict
        assert next(said, None) is None


def test_each_failure_is_told_apart():
    row, plain = one("weather"), one("greeting")
    call, answer = (m["content"] for m in row["completion"] if m["role"] == "assistant")
    city = json.loads(row["solution"])[0][0][1]["city"]
    for said, failure in (
        ([call, answer], None),
        ([call.replace(": ", ":"), answer], None),
        ([call.replace(city, city.upper()), answer], None),
        ([call.replace("weather", "search").replace("city", "query"), answer], "wrong_tool"),
        ([call.replace(city, "Atlantis"), answer], "wrong_argument"),
        ([call[:-14], answer], "bad_json"),
        ([call.replace("</tool_call>", ""), answer], "bad_json"),
        ([f"Sure. {call}", answer], "bad_json"),
        ([answer], "no_call"),
        ([call, call, answer], "needless_call"),
        ([call, "It is 99 degrees."], "wrong_answer"),
        ([call, ""], "wrong_answer"),
    ):
        assert play_one(row, iter(said))["failure"] == failure, said
    assert play_one(plain, iter([call, answer]))["failure"] == "needless_call"
    assert play_one(plain, iter([""]))["failure"] == "wrong_answer"
    assert play_one(plain, iter(["Hello weather calculator!"]))["failure"] is None  # words are no calls
    verdict = play_one(row, iter(["weather"]))
    assert verdict["measures"]["tool"] is False and verdict["tool"] == "weather"


def test_questions_without_room_are_left_out_and_counted(tmp_path, capsys):
    """A conversation that has outgrown the context ends unanswered; it is not taken for a call that cannot be read."""
    evaluate, base = load_script("ToolUse/tools_evaluate.py"), str(BASE)
    args = settings.parse(evaluate.Args, "", argv=["--profile", "tiny"])
    loaded = [conversations.load_tokenizer(base)]
    part = rows()["test"][:40]
    lengths = sorted(generation.prompt_lengths(loaded[0][0], [row["prompt"] for row in part]))
    args.prompt_room = lengths[10]
    facts = data.write_splits(tmp_path, {"test": part})
    runs.write_json(tmp_path / "run.json", {"kind": "tools", "splits": facts})
    fitting = evaluate.test_set(str(tmp_path), [base], loaded, args).rows
    assert 0 < len(fitting) < 40 and f"{40 - len(fitting)} of 40 questions do not fit" in capsys.readouterr().out
    args.prompt_room = lengths[0] - 1
    assert "--prompt_room" in error_of(capsys, evaluate.test_set, str(tmp_path), [base], loaded, args)
    row = one("weather")
    call = row["completion"][0]["content"]
    said = iter([{"text": call, "tokens": 1, "truncated": False}, dict(generation.TOO_LONG)])
    (verdict,) = episodes.play([row], lambda prompts: [next(said)], executor().execute, 4)
    assert verdict["failure"] == "wrong_answer" and verdict["too_long"] and verdict["well_formed"]


def test_no_completion_raises_or_hangs():
    call = '<tool_call>\n{"name": "weather", "arguments": {"city": %s}}\n</tool_call>'
    values = ["[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900, "[" * 30 + "]" * 30, r'"\ud800"', "1e999", "null"]
    odd = [r'<tool_call>\n{"name": "\ud800", "arguments": {"\ud800": 1}}\n</tool_call>'.replace(r"\n", "\n")]
    for text in [*HOSTILE.values(), *odd, *(call % value for value in values)]:
        verdict = play_one(one("weather"), iter([text] * 4))
        assert not verdict["correct"] and verdict["failure"], text[:100]
        if text.encode(errors="replace").decode() == text:  # as every text of a tokenizer is
            assert verdict["text"].encode() or not text
    assert not (ROOT / "pwned").exists()


def test_unfolding_writes_what_the_templates_write():
    """Ours, and Qwen3's own, on prompts with tools and on whole conversations without empty think blocks."""
    from test_bfcl_data import QWEN3
    from transformers.utils.chat_template_utils import render_jinja_template

    def render(template, messages, tools=None, ask=False):
        how = {"tools": tools, "add_generation_prompt": ask}
        return render_jinja_template([messages], chat_template=template, **how)[0][0]

    french = {"name": "météo", "description": "Récupère", "parameters": {"type": "object", "properties": {}}}
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Quoi?"}]
    messages += [{"role": "assistant", "content": "", "tool_calls": [conversations.called("météo", {"où": "Nîmes"})]}]
    messages += [
        {"role": "tool", "content": "é"},
        {"role": "tool", "content": "è"},
        {"role": "assistant", "content": "Ça."},
    ]
    other = conversations.unfold(conversations.make_row("french", messages, [{"type": "function", "function": french}]))
    for row in [*rows()["train"][:40], other]:
        tools, own = json.loads(row["tools"]), conversations.template("thesis")
        whole = row["prompt"] + row["completion"]
        assert render(own, row["messages"], tools) == render(prompts.CHATML, whole)
        first = row["messages"][: [m["role"] for m in row["messages"]].index("assistant")]
        for template in (own, QWEN3):
            assert render(template, first, tools, ask=True) == render(prompts.CHATML, row["prompt"], ask=True)
        if row["messages"][-2]["role"] == "tool":
            asked = row["messages"][:-1]
            assert render(QWEN3, asked, tools, ask=True) == render(prompts.CHATML, whole[:-1], ask=True)


def test_a_base_without_the_tokens_of_calls_is_refused(tmp_path, capsys):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE({c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|pad|>").save_pretrained(tmp_path)
    said = error_of(capsys, conversations.load_tokenizer, str(tmp_path))
    assert "has no token <tool_call>" in said and "Qwen3" in said


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda t: t.pop("values"), "KeyError"),
        (lambda t: t["tasks"][0].pop("test"), "KeyError"),
        (lambda t: t["tasks"][0].update(test=[]), "task sum has no test"),
        (lambda t: t["tasks"][0]["calls"][0][0].update(name="other"), "calls other"),
    ],
)
def test_bad_templates(change, said, tmp_path, capsys):
    templates = json.loads(TEMPLATES.read_text())
    change(templates)
    (tmp_path / "questions.json").write_text(json.dumps(templates))
    assert said in error_of(capsys, questions.read_templates, tmp_path / "questions.json", executor().schemas)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda t: t["values"].update(city=["Rome", "Oslo"]), "values city has too few words"),
        (lambda t: t["tasks"][0].update(train=["What is {c}?"]), "'What is {c}?' cannot be filled in (KeyError"),
        (lambda t: t["tasks"][0].update(answers=["{r1[value]}"]), "cannot be filled in (KeyError"),
        (lambda t: t["tasks"][0].update(train=["{a"]), "cannot be filled in (ValueError"),
        (lambda t: t["tasks"][0]["calls"][0][0]["arguments"].update(expression="{a} +"), "gives {'error'"),
    ],
)
def test_templates_that_cannot_be_filled_in(change, said, tmp_path, capsys):
    templates = json.loads(TEMPLATES.read_text())
    change(templates)
    (tmp_path / "questions.json").write_text(json.dumps(templates))
    templates = questions.read_templates(tmp_path / "questions.json", executor().schemas)

    def ask():
        for seed in range(100):
            questions.question(random.Random(seed), "train", templates, executor(), 0.1)

    assert said in error_of(capsys, ask)


def test_questions_for_a_single_tool():
    one_tool = ToolExecutor([executor().schemas["weather"]])
    templates = json.loads(TEMPLATES.read_text())
    templates["values"]["other"] = templates["values"]["city"]
    templates["tasks"] = [task for task in templates["tasks"] if task["name"] in ("weather", "greeting")]
    made = [questions.question(random.Random(seed), "test", templates, one_tool, 0.5) for seed in range(30)]
    assert {row["category"] for row in made} == {"weather", "greeting"}
    assert all(len(json.loads(row["tools"])) == 1 for row in made)


def test_episodes_are_repeatable():
    """Random completions: the same verdicts twice, and none raises."""
    rng = random.Random(0)
    words = ["<tool_call>\n", "\n</tool_call>", '{"name": "weather", "arguments": {"city": "Rome"}}', "Rome", "{", "12"]
    texts = ["".join(rng.choices(words, k=rng.randint(0, 6))) for _ in range(200)]
    verdicts = [[play_one(row, iter([text])) for row, text in zip(rows()["test"], texts)] for _ in range(2)]
    assert verdicts[0] == verdicts[1] and len({v["failure"] for v in verdicts[0]}) > 3


def test_arguments_are_numbers_where_the_schema_wants_them(capsys):
    task, values = {"name": "double"}, {"a": 42}
    assert questions.argument(task, "{a}", values, {"type": "integer"}) == 42
    assert questions.argument(task, "{a}", values, {"type": "string"}) == "42"
    assert questions.argument(task, [1], values, {"type": "array"}) == [1]
    assert "is not a number" in error_of(capsys, questions.argument, task, "x{a}", values, {"type": "integer"})
