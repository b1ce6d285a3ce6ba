"""train.py and evaluate.py: configuration files of Tiny Tool Use become settings of the stages."""

import json

import pytest
from conftest import call, load_script, one_line

TRAIN, EVALUATE = "ToolUse/train.py", "ToolUse/evaluate.py"
load_script(TRAIN)  # its folder on the path

from ToolUse.tooluse import sections  # noqa: E402

CALCULATOR = {
    "name": "calculator",
    "description": "Perform mathematical calculations",
    "type": "function",
    "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
}


def config(tmp_path, **content) -> str:
    """A file with the README's model section, sft, and more or other sections."""
    model = {"name": "resources/tiny-base", "trust_remote_code": False, "torch_dtype": "float16", "device_map": "auto"}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model": model, "training": {"method": "sft"}} | content))
    return str(path)


def test_the_sections_become_settings(tmp_path):
    training = {"method": "dpo", "num_epochs": 3, "learning_rate": 5e-5, "batch_size": 4, "use_lora": True, "beta": 0.2}
    data = {"strategy": "manual_templates", "max_samples": 30, "seed": 1}
    evaluation = {"eval_steps": 7, "rows": 5, "metrics": ["tool_accuracy"]}
    file = config(tmp_path, training=training, data=data, evaluation=evaluation, tools=[CALCULATOR], seed=2)
    read = sections.read(file, tmp_path / "out")
    assert read.method == "dpo" and read.metrics == ["tool_accuracy"]
    assert json.loads((tmp_path / "out.tools.json").read_text()) == {"tools": [CALCULATOR]}
    wanted = {"base": "resources/tiny-base", "bf16": False, "lora_r": 32, "gradient_accumulation_steps": 1, "seed": 2}
    wanted |= {"num_train_epochs": 3, "per_device_train_batch_size": 4, "learning_rate": 5e-5, "beta": 0.2}
    assert read.options["training"] == wanted | {"heldout_every": 7}
    assert read.options["creation"] == {"source": "templates", "sft_rows": 30, "train_rows": 30, "seed": 2}
    assert read.options["evaluation"] == {"rows": 5}
    rest = {"training": {"method": "teacher_mode", "use_lora": False, "lora_r": 8}}
    read = sections.read(config(tmp_path, **rest), tmp_path / "out")
    assert read.options["creation"] == {"source": "teacher"} and read.options["training"]["lora_r"] == 0


BAD = [
    ({"training": {"method": "ppo"}}, "choose sft, dpo, teacher_mode"),
    ({"training": 5}, "training is no object"),
    ({"training": {"method": "sft", "learning_rate": "fast"}}, "learning_rate"),
    ({"training": {"method": "sft", "learning_rate": None}}, "learning_rate is no text"),
    ({"training": {"method": "sft", "learning_rate": -1}}, "--learning_rate"),
    ({"model": {"trust_remote_code": True}}, "never run"),
    ({"model": {"torch_dtype": "int8"}}, "torch_dtype int8"),
    ({"model": {"device_map": "cuda:7"}}, "device_map cuda:7"),
    ({"data": {"train_split": 0.8}, "tensorboard": {"enabled": True}}, "data.train_split, tensorboard; remove them"),
    ({"training": {"method": "sft", "output": "x"}}, "training.output"),
    ({"data": {"dataset": "tools", "max_samples": 5}}, "data.sft_rows"),
    ({"data": {"strategy": "dreams"}}, "--source dreams"),
    ({"evaluation": {"metrics": ["bleu"]}}, "evaluation.metrics"),
    ({"tools": [CALCULATOR | {"parameters": 5}]}, "tool 1"),
    ({"tools": "none.json"}, "none.json"),
    ({"functions": "none.py"}, "--functions none.py"),
]


@pytest.mark.parametrize("content, said", BAD)
def test_bad_files_are_one_line_and_nothing_is_made(content, said, tmp_path):
    one_line(call(TRAIN, "--config", config(tmp_path, **content), "--outdir", tmp_path / "out"), said)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_bad_command_lines_are_one_line(tmp_path):
    one_line(call(TRAIN, "--config", tmp_path / "none.json", "--outdir", "x"), "cannot be read")
    one_line(call(TRAIN, "--config", "x"), "--outdir")
    (tmp_path / "list.json").write_text("[]")
    one_line(call(TRAIN, "--config", tmp_path / "list.json", "--outdir", "x"), "no object of")
    one_line(call(EVALUATE, "--model-path", tmp_path, "--config", config(tmp_path)), "records no data set")
    for script in (TRAIN, EVALUATE):
        done = call(script, "--help")
        assert done.returncode == 0 and "Command: python" in done.stdout and "--config" in done.stdout


@pytest.mark.slow
def test_a_configuration_is_trained_and_evaluated(tmp_path, monkeypatch):
    from common import runs

    monkeypatch.setattr(runs, "OUTPUTS", tmp_path / "outputs")
    training = {"method": "sft", "max_steps": 2, "batch_size": 4, "use_lora": False}
    training |= {"heldout_rows": 2, "max_completion_length": 24, "save_steps": 2, "eval_steps": 2}
    data = {"max_samples": 12, "validation_rows": 4, "test_rows": 4}
    file = config(tmp_path, training=training, data=data, tools=[CALCULATOR], evaluation={"max_new_tokens": 24})
    done = call(TRAIN, "--config", file, "--output-dir", tmp_path / "mine")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "mine" / "run.json").read_text())["dataset"] == "mine"
    case = {"prompt": "What is 2 plus 3?", "expected_tool": "calculator", "expected_params": {"expression": "2 + 3"}}
    (tmp_path / "cases.json").write_text(json.dumps([case]))
    words = ["--model-path", tmp_path / "mine", "--config", file, "--cases", tmp_path / "cases.json"]
    done = call(EVALUATE, *words, "--output-dir", tmp_path / "figures")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "figures" / "evaluation_results.json").read_text())
    assert set(results["metrics"]) == {"accuracy", *list(sections.METRICS)[:5]}
    assert results["cases"][0]["parameters"] == 1 and (tmp_path / "figures" / "results.csv").exists()
