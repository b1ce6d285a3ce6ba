"""A configuration file as Tiny Tool Use has it, with the sections model, training, data, tools and evaluation, as
settings of the stages here. The stages' own names may stand in each section too."""

import dataclasses
import importlib
from pathlib import Path
from typing import Any, NamedTuple

from common import runs, settings
from ToolUse.tooluse import schemas

METHODS = {"sft": "SFT_tools", "dpo": "DPO_tools", "teacher_mode": "SFT_tools"}
STRATEGIES = {"manual_templates": "templates", "teacher_mode": "teacher"}  # others have the names that they have here
NAMES = {  # what a key of a section is called here
    ("model", "name"): ["base"],
    ("training", "num_epochs"): ["num_train_epochs"],
    ("training", "batch_size"): ["per_device_train_batch_size"],
    ("data", "strategy"): ["source"],
    ("data", "max_samples"): ["sft_rows", "train_rows"],
    ("evaluation", "eval_steps"): ["heldout_every"],
}
METRICS = {  # names of evaluation.metrics: a measure of episodes.MEASURES
    "tool_accuracy": "tool",
    "argument_accuracy": "arguments",
    "format_correctness": "format",
    "execution_success": "execution",
    "response_quality": "response",
    "tool_format_correctness": "format",
}
LORA_RANK = 32  # of use_lora where no lora_r says another one


class Config(NamedTuple):
    """A file as it was read. options: settings by the stage that they are for, "creation", "training", "evaluation"."""

    method: str
    tools: str  # a JSON file
    functions: str
    metrics: list[str]
    options: dict[str, dict[str, Any]]


def read(path: str, beside: Path) -> Config:
    """The configuration of a file; ends the script, with one line, for all keys that mean nothing here.

    beside: the output, next to which tools that stand in the file are written as a file of their own.
    """
    content = settings.content_of(path)
    sections = {name: content.pop(name, {}) for name in ("model", "training", "data", "evaluation")}
    for name, section in sections.items():
        if not isinstance(section, dict):
            runs.fail(f"--config {path}: {name} is no object")
    method = sections["training"].pop("method", None)
    if method not in METHODS:
        runs.fail(f"--config {path}: training.method is {method!r}; choose {', '.join(METHODS)}")
    metrics = sections["evaluation"].pop("metrics", list(METRICS)[:5])
    if not isinstance(metrics, list) or not set(map(str, metrics)) <= METRICS.keys():
        runs.fail(f"--config {path}: evaluation.metrics is no list of these: {', '.join(METRICS)}")
    tools = content.pop("tools", "ToolUse/configs/tools.json")
    functions = content.pop("functions", "")
    translate(sections, path)
    if method == "teacher_mode":
        sections["data"].setdefault("source", "teacher")
    options = by_stage(method, sections | {"": content}, path)
    if isinstance(tools, list):
        tools = write_tools(tools, beside, path)
    return Config(method, tools, functions, metrics, options)


def translate(sections: dict[str, dict], path: str) -> None:
    """Replace what is called otherwise here, in place."""
    model, training, data = sections["model"], sections["training"], sections["data"]
    if model.pop("trust_remote_code", False) is not False:
        runs.fail(f"--config {path}: model.trust_remote_code is not false; code of a model's repository is never run")
    dtype = model.pop("torch_dtype", "auto")
    if dtype not in ("auto", "float32", "float16", "bfloat16"):
        runs.fail(f"--config {path}: model.torch_dtype {dtype}: choose auto, float32, float16, bfloat16")
    if dtype != "auto":
        model["bf16"] = dtype != "float32" and settings.default_profile() == "gpu"  # 16 bits are bfloat16, on a GPU
    device = model.pop("device_map", "auto")
    if device not in ("auto", "cpu"):
        runs.fail(f"--config {path}: model.device_map {device}: choose auto or cpu")
    if device == "cpu":
        model["use_cpu"] = True
    if "use_lora" in training:
        rank = training.pop("lora_r", LORA_RANK)
        training["lora_r"] = rank if training.pop("use_lora") else 0
    if "batch_size" in training:
        training.setdefault("gradient_accumulation_steps", 1)
    if "strategy" in data:
        data["strategy"] = STRATEGIES.get(data["strategy"], data["strategy"])
    for (name, key), own in NAMES.items():
        if key in sections[name]:
            value = sections[name].pop(key)
            sections[name] |= dict.fromkeys(own, value)


def by_stage(method: str, sections: dict[str, dict], path: str) -> dict[str, dict[str, Any]]:
    """The settings of each stage; ends the script for those that no stage of their section has."""
    names = {}
    for stage, script in (("creation", "tool_dataset_creation"), ("training", METHODS[method])):
        names[stage] = fields_of(script)
    names["evaluation"] = fields_of("tools_evaluate")
    stages_of = {"model": ["training"], "training": ["training"], "data": ["creation", "training"]}
    stages_of |= {"evaluation": ["evaluation", "training"], "": ["creation", "training"]}
    options = {stage: {} for stage in names}
    unknown = []
    for section, values in sections.items():
        for key, value in values.items():
            stages = [stage for stage in stages_of[section] if key in names[stage]]
            if not stages or key in ("config", "output"):
                unknown.append(f"{section}.{key}".removeprefix("."))
            elif section != "":
                stages = stages[:1]  # batch_size of data is that of the teacher
            for stage in stages:
                options[stage][key] = value
    if "dataset" in options["training"]:
        unknown += [f"data.{key}" for key in sections["data"] if key in options["creation"]]
    if unknown:
        runs.fail(f"--config {path}: these keys mean nothing here: {', '.join(unknown)}; remove them")
    return options


def fields_of(script: str) -> set[str]:
    """The settings that a script of ToolUse/ has."""
    return {field.name for field in dataclasses.fields(importlib.import_module(script).Args)}


def write_tools(tools: list, beside: Path, path: str) -> str:
    """Write the schemas of a configuration as a file for the stages; ends the script for one at fault."""
    for number, schema in enumerate(tools, 1):
        if fault := schemas.fault_of(schema):
            runs.fail(f"--config {path}, tool {number}: {fault}")
    file = Path(f"{beside}.tools.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    runs.write_json(file, {"tools": tools})
    return str(file)
