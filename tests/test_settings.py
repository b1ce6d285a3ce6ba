"""The settings of a script: what --help shows, the values of both profiles, and values that are refused."""

import dataclasses
import os
import re
import subprocess
import sys

import pytest
from conftest import GRPO, ROOT, SFT, call, load_script, one_line

from common import runs, settings

SCRIPTS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("[SGB]*/*.py") if "class Args" in path.read_text())
CREATE, INTUITOR = "SFT/dataset_creation.py", "GRPO_outdomain/GRPO-Intuitor.py"
TESTS = ["GRPO_indomain/GRPO_test.py", "GRPO_outdomain/GRPO_outdomain_test.py"]
OTHERS = ["ToolUse/SFT_tools.py", "ToolUse/DPO_tools.py", "ToolUse/tools_evaluate.py", "ToolUse/run_examples.py"]
OTHERS += ["demo/app.py", "resources/make_tables.py", "tiny/make_base.py"]
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes", "sympy", "matplotlib"}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_help_works_from_the_root_and_from_the_folder(script):
    done = call(script, "--help")
    assert done.returncode == 0, done.stderr
    folder, name = os.path.split(ROOT / script)
    command = [sys.executable, "-X", "importtime", name, "--help"]
    there = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert there.returncode == 0 and there.stdout == done.stdout
    imported = {line.split("|")[-1].strip() for line in there.stderr.splitlines()}
    assert "dataclasses" in imported and not HEAVY & imported

    known = settings.settings_of(load_script(script).Args)
    lines = {found[1]: found[0] for found in re.finditer(r"^  --(\S+) .*$", done.stdout, re.MULTILINE)}
    assert lines.keys() == known.keys() and done.stdout.count("\n  --") == len(known)
    assert set(load_script(script).Args.__dict__["__annotations__"]) <= set(lines)
    for name, reason in known.items():
        assert reason.replace("%%", "%") in lines[name] and (" | " in lines[name]) == (reason.tiny is not None)
    assert "Command: python" in done.stdout


def test_help_shows_the_values_of_both_profiles_and_first_those_of_the_script():
    text = call(GRPO, "--help").stdout
    own, shared = text.split("\nof other scripts too\n")
    for line in (r"--learning_rate +3e-05 \| 0\.00015 +\S", r"--reward_weights +0\.6 0\.4 +\S", "--temperature "):
        assert re.search(line, own)
    for line in (r"--bf16 +true \| false +\S", "--use_vllm ", "--heldout_every ", "--output ", "--config "):
        assert re.search(line, shared)
    assert call(GRPO, "--help", "--profile", "gpu").stdout == text
    assert "--adam_beta1" not in text and "--adam_beta1" in call(GRPO, "--help_all").stdout


@pytest.mark.parametrize("script", [script for script in SCRIPTS if "/GRPO-" in script] + [SFT, CREATE, *TESTS])
def test_a_profile_has_the_values_on_the_line_of_the_setting(script):
    Args = load_script(script).Args
    fields = {field.name: field for field in dataclasses.fields(Args)}
    on_a_cpu = ["--use_cpu"] if "use_cpu" in fields else []  # with it the trainer's config turns pinned memory off
    for profile, words in (("tiny", []), ("gpu", on_a_cpu)):
        args = settings.parse(Args, "", argv=["--profile", profile, *words])
        for name, reason in settings.settings_of(Args).items():
            default = fields[name].default
            value = fields[name].default_factory() if default is dataclasses.MISSING else default
            wanted = reason.tiny if profile == "tiny" and reason.tiny is not None else value
            assert name in ("profile", "output", "dataloader_pin_memory") or getattr(args, name) == wanted, name


def test_a_file_of_settings_is_overridden_by_the_command_line(tmp_path):
    Args = load_script(GRPO).Args
    (tmp_path / "a.yaml").write_text(
        "training:\n  learning_rate: 1e-5\n  reward_weights: [0.5, 0.5]\ngradient_checkpointing: true\n"
    )
    (tmp_path / "a.json").write_text(
        '{"learning_rate": 1e-5, "training": {"reward_weights": [0.5, 0.5], "gradient_checkpointing": true}}'
    )
    for name in ("a.yaml", "a.json"):
        words = ["--config", str(tmp_path / name), "--reward_weights", "1", "2"]
        args = settings.parse(Args, "", argv=words)
        assert (args.learning_rate, args.reward_weights, args.gradient_checkpointing) == (1e-5, [1.0, 2.0], True)


@pytest.mark.parametrize("script", [*SCRIPTS, *OTHERS])
def test_every_script_takes_a_file_of_settings_and_names_an_unknown_key(script, tmp_path):
    (tmp_path / "a.yaml").write_text("profil: tiny\n")
    one_line(call(script, "--config", tmp_path / "a.yaml"), "unknown key profil", "did you mean profile?")


def test_an_edited_value_is_used_by_its_profile_and_the_command_line_wins(tmp_path):
    edited = tmp_path / "GRPO-edited.py"
    text = (ROOT / GRPO).read_text()
    assert text.count("3e-5") == text.count("tiny=1.5e-4") == 1
    edited.write_text(text.replace("3e-5", "5e-5").replace("tiny=1.5e-4", "tiny=7e-4"))

    def learning_rate(*words):
        return settings.parse(load_script(str(edited)).Args, "", argv=list(words)).learning_rate

    assert learning_rate() == learning_rate("--profile", "tiny") == 7e-4
    assert learning_rate("--profile", "gpu", "--use_cpu") == 5e-5
    assert learning_rate("--learning_rate", "0.01") == 0.01


@pytest.mark.parametrize(
    "script, words, said",
    [
        (GRPO, ["--learning_rate", "nan"], "--learning_rate nan: choose more than 0"),
        (GRPO, ["--gradient_accumulation_steps", 0], "--gradient_accumulation_steps 0: choose at least 1"),
        (GRPO, ["--save_steps", -2], "--save_steps -2.0: choose more than 0"),
        (SFT, ["--num_train_epochs", 0], "--num_train_epochs 0.0: choose more than 0"),
        (SFT, ["--warmup_steps", -1], "--warmup_steps -1.0: choose at least 0"),
        ("BFCL/GRPO_BFCL_v1.py", ["--reward_weights", "nan", 1, 1, 1, 1], "--reward_weights nan"),
        ("BFCL/GRPO_BFCL_v2.py", ["--max_turn_steps", 0], "--max_turn_steps 0"),
        (TESTS[0], ["--pass_k", -1], "--pass_k -1"),
        (GRPO, ["--learning_rate", 0], "--learning_rate 0.0"),
        (GRPO, ["--learning_rate", -0.1], "--learning_rate -0.1"),
        (GRPO, ["--weight_decay", "nan"], "--weight_decay nan"),
        (GRPO, ["--learning_rate", "fast"], "learning_rate"),
        (GRPO, ["--temperature", "inf"], "--temperature inf"),
        (GRPO, ["--temperature", 0], "--temperature 0.0: choose more than 0"),
        (GRPO, ["--beta", -0.1], "--beta -0.1"),
        (GRPO, ["--reward_weights", 0.6, "nan"], "--reward_weights nan: choose a finite number"),
        (GRPO, ["--reward_weights", 1], "--reward_weights takes 2 numbers"),
        (GRPO, ["--max_steps", 0], "--max_steps 0: choose at least 1"),
        (GRPO, ["--seed", 2**32], "--seed 4294967296: choose at least 0 and at most 4294967295"),
        (GRPO, ["--save_total_limit", 1], "--save_total_limit 1: choose at least 2"),
        (GRPO, ["--lora_r", -1], "--lora_r -1: choose at least 0"),
        (GRPO, ["--num_generations", 1], "--num_generations 1: choose at least 2"),
        (GRPO, ["--heldout_every", 0], "--heldout_every 0: choose at least 1"),
        (GRPO, ["--vllm_gpu_memory_utilization", 1.5], "at most 1"),
        (GRPO, ["--profile", "huge"], "tiny or gpu"),
        (GRPO, ["--no_such_option", 1], "--no_such_option"),
        (GRPO, ["--learning_rat", 0.1], "--learning_rat; did you mean learning_rate?"),
        (SFT, ["--max_length", 0], "--max_length 0: choose at least 1"),
        (INTUITOR, ["--reward", "gut"], "--reward gut: choose intuitor, self_certainty"),
        ("GRPO_indomain/GRPO-Control.py", ["--reward", "gut"], "--reward gut: choose random, format"),
        (CREATE, ["--dataset", "poems"], "--dataset poems: choose linear, linear_x, linear_sum"),
        (CREATE, ["--level", "none"], "--level none: choose easy, medium"),
        (CREATE, ["--terse", 1.5], "--terse 1.5: choose at least 0 and at most 1"),
        (CREATE, ["--test_rows", -1], "--test_rows -1: choose at least 0"),
        (TESTS[0], ["--top_p", 1.5], "--top_p 1.5: choose more than 0 and at most 1"),
        (TESTS[0], ["--max_new_tokens", 0], "--max_new_tokens 0: choose at least 1"),
        (TESTS[1], ["--dataset", "boolq", "poems"], "--dataset poems: choose boolq"),
        (TESTS[1], ["--rows", "many"], "rows"),
    ],
)
def test_a_value_that_cannot_be_used_ends_the_script_in_one_line(script, words, said, tmp_path):
    output = ["--output", tmp_path / "out"] if script not in TESTS else ["--results", tmp_path / "results.csv"]
    one_line(call(script, *words, *output), said)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "script, words, name",
    [
        (GRPO, [], "GRPO-1K"),
        (SFT, [], "SFT"),
        (INTUITOR, [], "GRPO-Intuitor"),
        (INTUITOR, ["--reward", "self_certainty"], "GRPO-Intuitor-self_certainty"),
        ("GRPO_indomain/GRPO-Control.py", ["--reward", "format"], "GRPO-Control-format"),
        (CREATE, ["--dataset", "gsm8k"], "data/gsm8k"),
    ],
)
def test_an_output_is_named_after_the_script_and_its_reward(script, words, name, tmp_path, monkeypatch):
    """There is something by that name already, which is not replaced."""
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path)
    (tmp_path / name).mkdir(parents=True)
    one_line(call(script, *words), f"{tmp_path / name} was not made by these scripts")
