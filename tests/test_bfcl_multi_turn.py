"""Dialogues, rollouts and rewards of GRPO_BFCL_v2.py; and that v1 and v2 train from Qwen3's own chat template."""

import json
import types

import pytest
from conftest import ROOT, load_script

from BFCL.bfcl import dialogues
from BFCL.bfcl.rollout import rollout
from BFCL.bfcl.sandbox import Sandbox
from BFCL.bfcl.scoring import with_reward
from common import data, models, runs, settings
from common.calls import KINDS, call_text, offer, tool_message

V1, V2 = load_script("BFCL/GRPO_BFCL_v1.py"), load_script("BFCL/GRPO_BFCL_v2.py")
STRING = {"type": "dict", "properties": {"dir_name": {"type": "string"}}, "required": ["dir_name"]}
FUNCTIONS = [{"name": name, "description": "Of folders.", "parameters": STRING} for name in ("mkdir", "rmdir")]
TURNS = [[{"role": "user", "content": f"Make a folder {name}."}] for name in ("music", "maps")]
ROW = {
    "id": "multi_turn_synthetic_1",
    "category": "multi_turn_synthetic",
    "question": "Make a folder music.\nMake a folder maps.",
    "prompt": offer(TURNS[0], FUNCTIONS),
    "functions": json.dumps(FUNCTIONS),
    "solution": json.dumps([["mkdir(dir_name='music')"], ["mkdir(dir_name='maps')"]]),
    "turns": json.dumps(TURNS),
    "initial_config": json.dumps({"GorillaFileSystem": {"root": {"home": {"type": "directory", "contents": {}}}}}),
    "involved_classes": json.dumps(["GorillaFileSystem"]),
}
SINGLE = {name: ROW[name] for name in ("prompt", "functions")} | {
    "id": "synthetic_simple_1",
    "category": "synthetic_simple",
    "question": "Make a folder music.",
    "solution": json.dumps([{"mkdir": {"dir_name": ["music"]}}]),
}


def call(name: str, *folders: str) -> str:
    return call_text([(name, {"dir_name": folder}) for folder in folders])


MUSIC, MAPS = call("mkdir", "music"), call("mkdir", "maps")
RIGHT = [MUSIC, "Done.", MAPS, "Done."]
HOSTILE = {
    "silent": "",
    "bad JSON": MUSIC.replace("{", "{{"),
    "a list": "<tool_call>\n[1, 2]\n</tool_call>",
    "no arguments": '<tool_call>\n{"name": "mkdir"}\n</tool_call>',
    "unclosed": MUSIC.removesuffix("</tool_call>"),
    "deep": "<tool_call>\n" + "[" * 10**5 + "\n</tool_call>",
    "unknown tool": call("open", "music"),
    "private method": call("_load_scenario", "music"),
    "arguments of another type": call_text([("mkdir", {"dir_name": [{"a": None}]})]),
    "other arguments": call_text([("mkdir", {"folder": "music", "self": 1})]),
    "many calls": call("mkdir", *map(str, range(500))),
    "nul and surrogate": "\0\ud800" + MUSIC,
}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox
        assert not sandbox.episodes  # every episode was closed


@pytest.fixture(scope="module")
def tokenizer():
    return models.load_tokenizer(str(ROOT / "resources" / "tiny-base"), default="thesis")[0]


def played(sandbox, *scripts: list[str], max_steps: int = 3) -> list[dict]:
    """The verdicts on episodes whose completions are given; where they run out, the last one is repeated."""
    order, said = [], {}

    def answer(going):
        order.extend(going if not order else ())
        for dialogue in going:
            said[dialogue] = said.get(dialogue, -1) + 1
        chosen = [(scripts[order.index(dialogue)], said[dialogue]) for dialogue in going]
        return [{"text": s[min(n, len(s) - 1)], "tokens": 5, "truncated": False} for s, n in chosen]

    verdicts = dialogues.play([ROW] * len(scripts), answer, sandbox, max_steps)
    return [with_reward(verdict, V2.WEIGHTS) for verdict in verdicts]


def test_a_correct_episode_is_perfect_and_a_silent_one_worth_nothing(sandbox):
    right, silent = played(sandbox, RIGHT, ["Done."])
    assert right["correct"] and right["well_formed"] and right["reward"] == pytest.approx(1)
    assert set(right["parts"].values()) == {1.0} and list(right["parts"]) == list(V2.WEIGHTS)
    assert set(silent["parts"].values()) == {0.0} and silent["reward"] == 0 and silent["kinds"] == ["no_call"] * 2
    assert "<tool_response>" in right["text"] and right["kinds"] == ["call", "no_call"] * 2


def test_episodes_do_not_touch_each_other(sandbox):
    """All make the same folders, one step after another: in one file system the second would find them there."""
    for verdict in played(sandbox, RIGHT, RIGHT, [MUSIC, "Done.", "Done."], RIGHT):
        assert "exists" not in verdict["text"] and verdict["parts"]["prefix"] >= 0.5


def test_repeating_and_undoing_earn_nothing(sandbox):
    undo = call("rmdir", "music")
    half, repeated, undone, again, late = played(
        sandbox,
        [MUSIC, "Done."],
        [MUSIC, MUSIC, MUSIC, "Done."],
        [MUSIC, undo, "Done."],
        [MUSIC, undo, MUSIC, "Done.", MAPS, "Done."],
        [MUSIC, "Done.", undo, MUSIC, "Done."],
    )
    assert 0 < half["reward"] < 0.5 and repeated["reward"] <= half["reward"] and late["reward"] <= half["reward"]
    assert undone["reward"] == 0
    assert again["correct"] and 0.5 < again["reward"] < 1 and again["parts"]["concise"] == 0.5


@pytest.mark.parametrize("kind", HOSTILE)
def test_any_text_gives_a_reward(kind, sandbox):
    text = HOSTILE[kind]
    whole, after = played(sandbox, [text], [*RIGHT[:2], text])
    for verdict in (whole, after):
        assert 0 <= verdict["reward"] < 0.5 and not verdict["correct"]
        assert all(0 <= part <= 1 for part in verdict["parts"].values())
        assert set(verdict["kinds"]) <= set(KINDS)
        json.dumps(verdict)


def test_an_endless_dialogue_ends(sandbox):
    (endless,) = played(sandbox, [MUSIC], max_steps=3)
    assert len(endless["kinds"]) == 4 and not endless["correct"]


def test_an_error_closes_the_episodes(sandbox):
    with pytest.raises(ZeroDivisionError):
        dialogues.play([ROW, ROW], lambda going: 1 / 0, sandbox, 3)
    assert not sandbox.episodes


def scripted(tokenizer, *scripts: list[str]) -> types.SimpleNamespace:
    """What rollout() needs of a trainer; its policy gives each prompt of a step the next text of the script in its
    place, end token included. All scripts have the same length."""
    trainer = types.SimpleNamespace(
        processing_class=tokenizer,
        eos_token_ids=[tokenizer.eos_token_id],
        use_vllm=False,
        generation_config=types.SimpleNamespace(max_new_tokens=None),
        batch_rows=[0] * len(scripts),
        asked=[],
    )

    def generate(asked, images, fields, num_generations):
        texts = [script[len(trainer.asked)] + tokenizer.eos_token for script in scripts]
        trainer.asked.append(asked)
        completions = tokenizer(texts, add_special_tokens=False).input_ids
        return [ids[: trainer.generation_config.max_new_tokens] for ids in completions], None

    trainer._generate_single_turn = generate
    return trainer


def roll(tokenizer, sandbox, *scripts, **limits) -> tuple[dict, types.SimpleNamespace]:
    limits = {"max_reply_tokens": 100, "max_turn_steps": 3, "max_completion_length": 1000} | limits
    trainer = scripted(tokenizer, *scripts)
    args = types.SimpleNamespace(**limits)
    return rollout([ROW["prompt"]] * len(scripts), trainer, [ROW], sandbox, args), trainer


def test_the_mask_marks_the_tokens_of_the_policy(tokenizer, sandbox):
    made, _ = roll(tokenizer, sandbox, RIGHT, RIGHT)

    def there_and_back(text: str) -> str:
        return tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids)

    conversation, news = list(ROW["prompt"]), [tool_message(["None"])]
    for text, said in zip(RIGHT, (news, TURNS[1], news, [])):
        conversation += [{"role": "assistant", "content": text}, *said]
    whole = tokenizer.apply_chat_template(conversation, tokenize=False).removesuffix("\n")
    for prompt, completion, mask in zip(made["prompt_ids"], made["completion_ids"], made["env_mask"], strict=True):
        own = [token for token, one in zip(completion, mask, strict=True) if one]
        assert tokenizer.decode(own) == there_and_back("".join(text + tokenizer.eos_token for text in RIGHT))
        assert tokenizer.decode(prompt + completion) == there_and_back(whole)
        assert mask[0] == mask[-1] == 1 and 0 in mask
    assert made["logprobs"] is None and [part["valid"] for part in made["parts"]] == [1.0, 1.0]


def test_episodes_keep_their_order(tokenizer, sandbox):
    made, trainer = roll(tokenizer, sandbox, ["Done.", "Done."], ["Done.", "No."])
    assert [len(asked) for asked in trainer.asked] == [2, 2]
    assert [tokenizer.decode(ids).count("No.") for ids in made["completion_ids"]] == [0, 1]


def test_an_episode_that_outgrows_its_limit_is_cut(tokenizer, sandbox):
    """At any place: it ends with a token of the policy, within the limit, and is not valid."""
    whole = len(roll(tokenizer, sandbox, RIGHT)[0]["completion_ids"][0])
    for limit in (*range(1, whole, 7), whole - 1, whole):
        made, _ = roll(tokenizer, sandbox, RIGHT, max_completion_length=limit)
        (ids,), (mask,), (parts,) = made["completion_ids"], made["env_mask"], made["parts"]
        assert 0 < len(ids) <= limit and mask[-1] == 1 and len(ids) == len(mask)
        assert parts["valid"] == parts["concise"] == (limit == whole)


def test_the_calls_of_a_cut_completion_are_not_made(tokenizer, sandbox):
    """Not even those that stand whole in it."""
    made, _ = roll(
        tokenizer, sandbox, [MUSIC], max_reply_tokens=len(tokenizer(MUSIC, add_special_tokens=False).input_ids)
    )
    assert set(made["parts"][0].values()) == {0.0} and made["kinds"] == [[]] and len(made["env_mask"][0]) > 5


def test_rewards_are_the_parts():
    logged = {}
    parts = [{name: 0.1 * place for place, name in enumerate(V2.WEIGHTS)}, dict.fromkeys(V2.WEIGHTS, 1.0)]
    columns = {"kinds": [["call", "no_call"], []], "turns": ["[]", "[]"], "id": ["a", "b"]}
    values = [reward(["", ""], parts=parts, log_metric=logged.__setitem__, **columns) for reward in V2.REWARDS]
    assert [reward.__name__ for reward in V2.REWARDS] == list(V2.WEIGHTS)
    assert values == [[part[name] for part in parts] for name in V2.WEIGHTS]
    assert logged["completions/call"] == 0.5 and logged["completions/per_episode"] == 1
    assert sum(V2.WEIGHTS.values()) == pytest.approx(1)
    assert V2.Args.__dataclass_fields__["reward_weights"].default_factory() == list(V2.WEIGHTS.values())


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory):
    """A folder with a random Qwen3 and the chat template of the published ones, word for word."""
    import torch
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM
    from trl.chat_template_utils import qwen3_chat_template

    folder = tmp_path_factory.mktemp("qwen3")
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "resources" / "tiny-base")
    tokenizer.chat_template = qwen3_chat_template
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    config = Qwen3Config(vocab_size=len(tokenizer), **ids, **sizes, **heads)
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("script", [V1, V2])
def test_two_steps_from_qwen3s_own_template(script, qwen3, tmp_path):
    """Every completion is made to end, so that both turns are played; the length counts the policy's tokens alone."""
    multi = script is V2
    rows = [(ROW if multi else SINGLE) | {"id": f"multi_turn_synthetic_{i}"} for i in range(3)]
    (tmp_path / "data").mkdir()
    facts = data.write_splits(tmp_path / "data", {"train": rows, "validation": rows[:2]})
    kind = "dialogue" if multi else "calls"
    runs.write_json(tmp_path / "data" / "run.json", {"kind": kind, "splits": facts})
    words = {"base": qwen3, "dataset": tmp_path / "data", "tags": "thesis", "output": tmp_path / "out", "max_steps": 2}
    words |= {"per_device_train_batch_size": 4, "num_generations": 2, "max_prompt_tokens": 2000, "heldout_every": 2}
    words |= {"max_reply_tokens": 6} if multi else {"max_completion_length": 6}
    argv = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    args = settings.parse(script.Args, "", argv=["--profile", "tiny", *argv])
    closing = models.load_tokenizer(str(qwen3), "thesis")[0].eos_token_id
    args.generation_kwargs = {"forced_eos_token_id": closing}
    script.main(args)
    metrics = [row for row in runs.read_jsonl(tmp_path / "out" / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in metrics] == [1, 2] and (tmp_path / "out" / "model.safetensors").exists()
    held = [row for row in runs.read_jsonl(tmp_path / "out" / "metrics.jsonl") if "heldout_accuracy" in row]
    assert [row["step"] for row in held] == [0, 2]
    for row in metrics:
        assert row["completions/max_length"] <= (12 if multi else 6) and 0 <= row["reward"] <= 1
        assert not multi or row["completions/per_episode"] == 2


@pytest.mark.parametrize(
    "script, row, kind, needed",
    [
        (V1, ROW, "dialogue", "--kind single"),
        (V2, SINGLE, "calls", "--kind multi"),
        (V2, {"question": "1 + 1", "solution": "2"}, "math", "--kind multi"),
    ],
)
def test_another_kind_of_data_set_is_refused(script, row, kind, needed, qwen3, tmp_path, capsys):
    rows = [row]
    (tmp_path / "data").mkdir()
    facts = data.write_splits(tmp_path / "data", {"train": rows, "validation": rows})
    runs.write_json(tmp_path / "data" / "run.json", {"kind": kind, "splits": facts})
    words = ["--profile", "tiny", "--base", str(qwen3), "--dataset", str(tmp_path / "data"), "--output"]
    args = settings.parse(script.Args, "", argv=[*words, str(tmp_path / "out")])
    with pytest.raises(SystemExit) as end:
        script.main(args)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert end.value.code == 2 and len(errors) == 1 and needed in errors[0]
    assert not (tmp_path / "out").exists()
