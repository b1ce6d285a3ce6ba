"""The stages of ToolUse/ on the tiny base, with few steps: data, SFT, DPO, teacher mode, test, examples, tables."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from conftest import BASE, ROOT, call, load_script, one_line, run_script

from common import evaluation, settings
from ToolUse.tooluse import episodes

DATA, SFT, DPO = (f"ToolUse/{name}.py" for name in ("tool_dataset_creation", "SFT_tools", "DPO_tools"))
EVALUATE, EXAMPLES = "ToolUse/tools_evaluate.py", "ToolUse/run_examples.py"
SMALL = ["--heldout_rows", 2, "--heldout_every", 100, "--max_completion_length", 24, "--max_turn_steps", 2]
STEPS = {
    SFT: [*SMALL, "--max_steps", 4, "--save_steps", 2, "--eval_steps", 2, "--learning_rate", 1e-3],
    DPO: [*SMALL, "--max_steps", 4, "--save_steps", 2, "--pairs", 40, "--logging_steps", 1],
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tools_data(made):
    sizes = ("--sft_rows", 24, "--train_rows", 24, "--validation_rows", 6, "--test_rows", 4)
    return made("tools", DATA, *sizes)


@pytest.fixture(scope="module")
def sft_tools(made, tools_data):
    return made("SFT_tools", SFT, "--dataset", tools_data, *STEPS[SFT])


@pytest.fixture(scope="module")
def dpo_tools(made, tools_data, sft_tools):
    return made("DPO_tools", DPO, "--dataset", tools_data, "--base", sft_tools, *STEPS[DPO])


def test_checkpoints_are_whole_and_say_how_they_were_made(sft_tools, dpo_tools):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for folder, lineage in ((sft_tools, 2), (dpo_tools, 3)):
        facts = json.loads((folder / "run.json").read_text())
        assert len(facts["lineage"]) == lineage and "heldout_accuracy" in facts["final"]
        assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() > 10**6
        tokenizer = AutoTokenizer.from_pretrained(folder)
        shown = tokenizer.apply_chat_template(
            [{"role": "user", "content": "?"}], tools=[{"type": "function"}], tokenize=False
        )
        assert '<tools>\n{"type": "function"}\n</tools>' in shown
    logged = [json.loads(line) for line in (dpo_tools / "metrics.jsonl").read_text().splitlines()]
    assert any("rewards/margins" in line for line in logged)


def test_a_killed_run_ends_with_the_same_weights(tools_data, sft_tools, dpo_tools, tmp_path):
    """Killed with -9 after its first checkpoint, then resumed. For SFTTrainer, SFT_train.py is tested so."""
    words = ["--dataset", tools_data, "--base", sft_tools, *STEPS[DPO], "--output", tmp_path / "out"]
    command = [sys.executable, str(ROOT / DPO), *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "out.partial" / "checkpoint-2" / "manifest.json").exists():
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    one_line(call(DPO, *words), "--resume")
    done = call(DPO, *words, "--resume")
    assert done.returncode == 0, done.stderr
    assert (dpo_tools / "model.safetensors").read_bytes() == (tmp_path / "out" / "model.safetensors").read_bytes()
    one_line(call(DPO, *words), "exists", "--overwrite")
    assert "is finished" in call(DPO, *words, "--resume").stdout


def test_evaluation_writes_every_measure_and_the_tables_show_them(tools_data, sft_tools, dpo_tools, tmp_path):
    words = ["--dataset", tools_data, "--checkpoints", BASE, sft_tools, dpo_tools]
    words += ["--max_new_tokens", 24, "--max_turn_steps", 2, "--results", tmp_path / "results.csv"]
    done = call(EVALUATE, *words)
    assert done.returncode == 0, done.stderr
    rows = evaluation.read_rows(tmp_path / "results.csv")
    names = {"tools", *(f"tools:{measure}" for measure in episodes.MEASURES)}
    assert {row["dataset"] for row in rows} == names and len(rows) == 3 * len(names)
    for row in rows:
        assert float(row["ci_low"]) <= float(row["accuracy"]) <= float(row["ci_high"]) and int(row["n"]) <= 4
    parts = evaluation.read_rows(tmp_path / "toolcalls.csv", evaluation.PART_KEY)
    assert {row["measure"] for row in parts} == {*episodes.MEASURES, *episodes.FAILURES}
    for script in {row["script"] for row in parts}:
        of_script = [row for row in parts if row["script"] == script]
        failed = sum(float(row["rate"]) for row in of_script if row["measure"] in episodes.FAILURES)
        accuracy = [row for row in rows if (row["script"], row["dataset"]) == (script, "tools")]
        assert failed == pytest.approx(1 - float(accuracy[0]["accuracy"]), abs=0.001)
    assert call(EVALUATE, *words, "--resume").stdout.count("already tested") == 3

    tables = load_script("resources/make_tables.py")
    words = ["--profile", "tiny", "--folder", tmp_path, "--outputs", tmp_path / "none", "--resamples", 20]
    tables.main(settings.parse(tables.Args, "", argv=list(map(str, words))))
    text = (tmp_path / "ToolUse.md").read_text()
    assert (tmp_path / "ToolUse.png").exists() and "tools:arguments" in text and "| DPO_tools |" in text


def test_teacher_mode_counts_what_it_proposes_executes_and_keeps(sft_tools, tmp_path):
    """Four samples for each tool: a good call twice, one that fails, no call; a gain of 0.5 nats a token."""
    texts = tmp_path / "texts.txt"
    texts.write_text("What is 23 plus 45? The result is 68.\n\nOne\n")
    words = ["--source", "teacher", "--base", sft_tools, "--texts", texts, "--output", tmp_path / "out"]
    words += ["--threshold", 0, "--samples", 4, "--without", 0]
    from ToolUse.tooluse import teacher

    def reply(expression):
        return f'<tool_call>\n{{"name": "calculator", "arguments": {{"expression": "{expression}"}}}}\n</tool_call>'

    def generate(model, tokenizer, asked, *how, **options):
        said = [reply("23 + 45"), reply("23 + 45"), reply("1/0"), options["begun"]]
        return [{"text": said[i % 4], "tokens": 9, "truncated": False} for i in range(len(asked))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teacher.generation, "generate", generate)
        patch.setattr(teacher, "losses", lambda model, tokenizer, pairs, *how: [2.0, 1.5, 1.0] * (len(pairs) // 3))
        counted = "12 sampled, 2 proposed, 1 executed, 0 kept"
        one_line(call(DATA, *words, "--margin", 0.6), "no proposed call was kept", counted)
        assert not (tmp_path / "out").exists()
        assert call(DATA, *words, "--margin", 0.4).returncode == 0
    counts = json.loads((tmp_path / "out" / "run.json").read_text())["teacher"]
    assert counts["kept"] == counts["texts with a kept call"] == counts["calculator"] == 1
    (row,) = [json.loads(line) for line in (tmp_path / "out" / "sft.jsonl").read_text().splitlines()]
    assert row["solution"] == '[[["calculator", {"expression": "23 + 45"}]]]'


def test_examples_show_calls_and_a_summary(sft_tools):
    done = call(EXAMPLES, "--checkpoint", sft_tools, "--max_new_tokens", 24, "--max_turn_steps", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("question:") == done.stdout.count("expected:") == 8 and re.search(
        r"^tool +\d of 8", done.stdout, re.M
    )


def test_help_lists_the_settings_and_their_reasons():
    runs_of_help = [call(script, "--help") for script in (DATA, SFT, DPO, EVALUATE, EXAMPLES)]
    for done in [*runs_of_help, run_script(DPO, "--help", cwd=ROOT / "ToolUse")]:
        assert done.returncode == 0 and "--tools" in done.stdout and "Command: python" in done.stdout
