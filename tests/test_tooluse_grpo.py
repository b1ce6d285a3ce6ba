"""GRPO_tools.py: its rewards, what a rollout is, functions of the user's own, and two updates, killed and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
import types

import pytest
from conftest import HOSTILE, ROOT, call, load_script, one_line
from tool_questions import ToolExecutor, error_of, executor, one

from common import runs
from common.calls import call_text
from ToolUse.tooluse import conversations, episodes
from ToolUse.tooluse.rollout import facts, rollout

GRPO = load_script("ToolUse/GRPO_tools.py")
NAMES = [reward.__name__ for reward in GRPO.REWARDS]
SUM, GREETING = one("sum"), one("greeting")
WANTED = episodes.wanted_calls(SUM)
RIGHT = [call_text(WANTED), SUM["messages"][-1]["content"]]


def rewards_of(row: dict, *texts: str) -> dict[str, float]:
    """The rewards of a conversation whose completions are given."""
    episode = episodes.Episode(row, executor().execute)
    said = iter(texts)
    for text in said:
        if episode.going:
            episode.step({"text": text, "tokens": 1, "truncated": False}, 4)
    columns = {name: [value] for name, value in facts(episode).items()}
    rewards = {reward.__name__: reward(completions=[""], **columns)[0] for reward in GRPO.REWARDS}
    assert all(0 <= value <= 1 for value in rewards.values())
    return rewards


def test_a_perfect_conversation_has_every_reward():
    for row, texts in ((SUM, RIGHT), (GREETING, [GREETING["messages"][-1]["content"]])):
        assert rewards_of(row, *texts) == dict.fromkeys(NAMES, 1.0)
    weights = GRPO.Args.__dataclass_fields__["reward_weights"].default_factory()
    assert sum(weights) == pytest.approx(1) and len(weights) == len(NAMES)


def test_each_failure_lowers_its_reward():
    calculator = {"expression": "1 + 1"}
    silent = rewards_of(SUM, RIGHT[1])
    assert [silent[name] for name in NAMES] == [1, 0, 0, 0, 0, 1, 0]  # the number alone, without a call, is no result
    other = rewards_of(SUM, call_text([("calculator", calculator)]), "The result is 2.")
    assert other["right_tool"] == 1 and other["right_arguments"] == other["states_result"] == 0
    wrong = rewards_of(SUM, call_text([("weather", {"city": "Bergen"})]), "It is cold.")
    assert wrong["right_tool"] == 0 and wrong["executed"] == 1
    failed = rewards_of(SUM, call_text([("calculator", {"expression": "1/0"})]), "The result is 0.")
    assert failed["executed"] == 0 and failed["right_tool"] == 1
    untold = rewards_of(SUM, RIGHT[0], "Done.")
    assert untold == dict.fromkeys(NAMES, 1.0) | {"states_result": 0.0, "no_failure": 0.0}
    twice = rewards_of(SUM, RIGHT[0], *RIGHT)
    assert twice["right_tool"] == twice["right_arguments"] == pytest.approx(2 / 3)
    assert twice["no_needless_call"] == 0.5 and twice["no_failure"] == 0
    around = rewards_of(SUM, f"Well: {RIGHT[0]}", RIGHT[1])
    assert around == dict.fromkeys(NAMES, 1.0) | {"clean_format": 0.5, "no_failure": 0.0}
    needless = rewards_of(GREETING, call_text([("calculator", calculator)]), "Hello!")
    assert needless["no_needless_call"] == needless["right_tool"] == needless["right_arguments"] == 0
    assert rewards_of(GREETING, "")["states_result"] == 0


@pytest.mark.parametrize("kind", HOSTILE)
def test_any_text_gives_rewards_and_never_all(kind):
    for texts in ([HOSTILE[kind]], [RIGHT[0], HOSTILE[kind]]):
        assert min(rewards_of(SUM, *texts).values()) < 1


def test_rewards_log_the_failures():
    logged = {}
    GRPO.clean_format(["", ""], [["call"], []], ["no_call", None], log_metric=logged.__setitem__)
    assert logged["failures/no_call"] == 0.5 and len(logged) == len(episodes.FAILURES)


def test_a_rollout_masks_what_the_policy_did_not_write():
    tokenizer, _ = conversations.load_tokenizer(str(ROOT / "resources" / "tiny-base"))
    ends = tokenizer.eos_token
    steps = iter(RIGHT)

    def generate(prompt_ids, images, fields, num_generations):
        text = next(steps)
        return tokenizer([text + ends] * len(prompt_ids), add_special_tokens=False).input_ids, None

    trainer = types.SimpleNamespace(
        processing_class=tokenizer,
        eos_token_ids=[tokenizer.eos_token_id],
        use_vllm=False,
        generation_config=types.SimpleNamespace(max_new_tokens=None),
        batch_rows=[0, 0],
        _generate_single_turn=generate,
    )
    args = types.SimpleNamespace(max_reply_tokens=100, max_turn_steps=4, max_completion_length=500)
    columns = rollout([SUM["prompt"]] * 2, trainer, [SUM], executor().execute, args)

    def there_and_back(text: str) -> str:
        return tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids)

    whole = tokenizer.apply_chat_template(SUM["prompt"] + SUM["completion"], tokenize=False).removesuffix("\n")
    for prompt, completion, mask in zip(columns["prompt_ids"], columns["completion_ids"], columns["env_mask"]):
        own = [token for token, policy in zip(completion, mask, strict=True) if policy]
        assert tokenizer.decode(own) == there_and_back("".join(text + ends for text in RIGHT))
        assert tokenizer.decode(prompt + completion) == there_and_back(whole)
    assert columns["failures"] == [None, None] and columns["logprobs"] is None


SCHEMA = {"name": "reverse", "parameters": {"properties": {"text": {"type": "string"}}, "required": ["text"]}}


def test_functions_come_from_a_file_of_the_users(tmp_path, capsys):
    (tmp_path / "tools.json").write_text(json.dumps({"tools": [SCHEMA]}))
    own = tmp_path / "own.py"
    own.write_text("import time\n\ndef reverse(text):\n    return time.sleep(9) if text == 'slow' else text[::-1]\n")
    tools = ToolExecutor(tmp_path / "tools.json", str(own))
    assert tools.execute("reverse", {"text": "abc"}) == {"result": "cba"}
    assert "no result within" in tools.execute("reverse", {"text": "slow"})["error"]
    assert "--functions FILE" in error_of(capsys, ToolExecutor, tmp_path / "tools.json")
    for content, said in (("def", "SyntaxError"), ("1/0", "ZeroDivisionError"), ("def other(): 1", "no function")):
        own.write_text(content)
        assert said in error_of(capsys, ToolExecutor, tmp_path / "tools.json", str(own))
    for path in (tmp_path / "none.py", tmp_path, tmp_path / "tools.json"):
        assert "--functions" in error_of(capsys, ToolExecutor, tmp_path / "tools.json", str(path))


@pytest.mark.slow
def test_two_updates_and_the_same_weights_after_a_kill(made, tmp_path):
    """Killed with -9 after its first checkpoint, then resumed."""
    script = "ToolUse/GRPO_tools.py"
    sizes = ("--sft_rows", 24, "--train_rows", 24, "--validation_rows", 6, "--test_rows", 4)
    words = ["--dataset", made("tools", "ToolUse/tool_dataset_creation.py", *sizes), "--base", "resources/tiny-base"]
    words += [
        "--max_steps",
        2,
        "--save_steps",
        1,
        "--heldout_rows",
        2,
        "--num_generations",
        4,
        "--max_reply_tokens",
        40,
    ]
    words += ["--per_device_train_batch_size", 8, "--max_turn_steps", 2, "--learning_rate", 1e-3, "--patience", 0]
    whole = made("GRPO_tools", script, *words)
    metrics = [line for line in runs.read_jsonl(whole / "metrics.jsonl") if "loss" in line]
    assert [line["step"] for line in metrics] == [1, 2] and "failures/no_call" in metrics[0]
    facts_of_run = json.loads((whole / "run.json").read_text())
    assert facts_of_run["kind"] == "tools" and "heldout_accuracy" in facts_of_run["final"]

    words += ["--output", tmp_path / "out"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / script), *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not (tmp_path / "out.partial" / "checkpoint-1" / "manifest.json").exists():
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    one_line(call(script, *words), "--resume")
    done = call(script, *words, "--resume")
    assert done.returncode == 0, done.stderr
    assert (whole / "model.safetensors").read_bytes() == (tmp_path / "out" / "model.safetensors").read_bytes()
