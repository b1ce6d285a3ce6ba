"""The settings of a script, one line each with the values of both profiles.

    learning_rate: float = setting(3e-5, "for LoRA; small models take larger steps", tiny=1e-4)

--profile gpu uses 3e-5, --profile tiny 1e-4; then come the values of --config FILE, then those of the command line. The
file is YAML or JSON; a key is the name of a setting, and an object groups settings under any name:

    base: outputs/SFT_tools
    training:
      learning_rate: 1e-5

--help prints the settings and imports nothing heavy.
"""

import argparse
import dataclasses
import difflib
import inspect
import json
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from common import runs

if not sys.stderr.isatty():
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars of libraries would fill a log file
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns at import of a kernel that is not needed here

# What wandb writes stays beside the runs; it reads this when it is imported.
os.environ.setdefault("WANDB_DIR", str(runs.OUTPUTS))

HELP = bool({"-h", "--help"} & set(sys.argv[1:]))  # then a trainer's config, whose import takes seconds, is left out


class Range(NamedTuple):
    """The numbers that a setting may have. Every number has to be finite, also where no range is given."""

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf  # as `low`, but without this value
    off: float | None = None  # a value outside of the range that stands for "not set"

    def allows(self, value: float) -> bool:
        return value == self.off or (math.isfinite(value) and self.low <= value <= self.high and value > self.above)

    def __str__(self) -> str:
        limits = {"at least": self.low, "more than": self.above, "at most": self.high}
        texts = [f"{words} {limit}" for words, limit in limits.items() if math.isfinite(limit)]
        return " and ".join(texts) or "a finite number"


RANGES = {  # of settings that mean the same everywhere, options of the trainer's config included
    Range(above=0): "learning_rate num_train_epochs temperature save_steps logging_steps",
    Range(above=0, high=1): "top_p",
    Range(low=0): "warmup_steps weight_decay max_grad_norm beta lora_r top_k rows samples",
    Range(low=0, high=1): "vllm_gpu_memory_utilization",
    Range(low=0, high=2**32 - 1): "seed",
    Range(low=1): """
        per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps batch_size lora_alpha
        heldout_rows heldout_every max_completion_length max_prompt_tokens max_length max_new_tokens""",
    Range(low=1, off=-1): "max_steps",
    Range(low=2): "num_generations save_total_limit",  # the last checkpoint, and one before in case that is damaged
}


class Reason(str):
    """The reason of a setting, with its other facts as attributes: the parser of transformers takes only a text."""

    tiny = None
    range = None
    choices = ()


def setting(default, reason: str, tiny=None, low: float | None = None, high: float | None = None, choices=()):
    """A field of a settings class: its value, the reason that --help shows, its value in the tiny profile if different.

    low, high: the range of a number, in place of that in RANGES. choices: the values that a text may have.
    """
    help_line = Reason(reason.replace("%", "%%"))
    help_line.tiny = tiny
    help_line.choices = tuple(choices)
    if low is not None or high is not None:
        help_line.range = Range(low if low is not None else -math.inf, high if high is not None else math.inf)
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": help_line})
    return field(default=default, metadata={"help": help_line})


@dataclass
class ProfileArgs:
    """The settings of every script."""

    profile: str = setting("", "default values to use: tiny or gpu [gpu with CUDA, else tiny]")
    config: str = setting("", "YAML or JSON file with values for these settings; the command line overrides it")


@dataclass
class RunArgs(ProfileArgs):
    """The settings of every stage that saves an output folder."""

    output: str = setting("", "output folder [outputs/ and the name of the script]")
    resume: bool = setting(False, "continue an interrupted run from its last checkpoint; leave a finished one as it is")
    overwrite: bool = setting(False, "replace an existing output")


@dataclass
class TrainArgs(RunArgs):
    """What a machine needs of every stage with a trainer; also options of its config."""

    report_to: list[str] = setting(
        [], "live curves: tensorboard, wandb [none]", choices=("none", "tensorboard", "wandb")
    )
    push_to_hub: bool = setting(False, "push the finished output to the hub; log in before with: hf auth login")
    hub_model_id: str = setting("", "repository on the hub [name of the output folder]")
    load_in_4bit: bool = setting(False, "NF4 base: a quarter of the memory, slower, no vLLM")
    gradient_checkpointing: bool = setting(True, "less memory for more time", tiny=False)
    bf16: bool = setting(True, "bfloat16 arithmetic; most CPUs emulate it slowly", tiny=False)
    dataloader_pin_memory: bool = setting(True, "faster copies to a GPU", tiny=False)
    logging_steps: float = setting(10, "steps between two lines of metrics.jsonl")
    save_steps: float = setting(0.25, "steps between two checkpoints; below 1 a fraction of all steps", tiny=0.5)
    save_total_limit: int = setting(2, "checkpoints to keep: the last one for --resume, and the one before it")


def default_profile() -> str:
    import torch

    return "gpu" if torch.cuda.is_available() else "tiny"


def grouped_settings(args_class) -> tuple[dict[str, Reason], dict[str, Reason]]:
    """The fields made by setting(): those of the script, and those of its base classes in common/."""
    help_lines = {f.name: f.metadata.get("help") for f in dataclasses.fields(args_class)}
    own, shared = {}, {}
    for owner in args_class.__mro__:
        group = shared if owner.__module__.startswith("common.") else own
        for name in owner.__dict__.get("__annotations__", {}):
            if isinstance(help_lines.get(name), Reason) and name not in own and name not in shared:
                group[name] = help_lines[name]
    return own, shared


def settings_of(args_class) -> dict[str, Reason]:
    own, shared = grouped_settings(args_class)
    return own | shared


def run(main: Callable, args_class, description: str, output: Callable | None = None) -> None:
    """Parse the command line, then main(args). A failed write, Ctrl-C and SIGTERM end the script in one line."""
    runs.check_one_process()
    args = parse(args_class, description, output)
    repeat = runs.command_line()
    if hasattr(args, "resume") and not args.resume:
        repeat += " --resume"

    def terminate(number, frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, terminate)
    try:
        main(args)
    except KeyboardInterrupt:
        runs.fail(f"interrupted; continue with: {repeat}", code=130)
    except SystemExit as end:
        if end.code == 128 + signal.SIGTERM:
            runs.fail(f"terminated; continue with: {repeat}", code=end.code)
        raise
    except Exception as error:
        line = runs.explain(error)
        if line is None:
            raise
        runs.fail(f"{line}, then repeat: {repeat}")


def parse(args_class, description: str, output: Callable | None = None, argv: list[str] | None = None):
    """An args_class with the values of the profile, overridden by --config, overridden by the command line.

    output: a function from the parsed arguments to the default output folder. --help lists the settings of the script,
    --help_all also every field of the trainer's config. Ends the script with one line for an unknown option, a value
    out of range, or one that the trainer's config refuses.
    """
    argv = sys.argv[1:] if argv is None else argv
    if "-h" in argv or "--help" in argv:
        try:
            print(help_text(args_class, description), flush=True)
        except BrokenPipeError:  # of `--help | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)
    from transformers import HfArgumentParser

    names = [f.name for f in dataclasses.fields(args_class)]
    parser = HfArgumentParser(args_class, description=description, allow_abbrev=False)
    parser.error = lambda message: runs.fail(f"{message} (--help lists the options)")
    parser.add_argument("--help_all", action="help", help="also list every option of the trainer's config")
    argv = [*config_words(argv, names), *argv]
    profile = parser.parse_known_args([word for word in argv if word != "--help_all"])[0].profile or default_profile()
    if profile not in ("tiny", "gpu"):
        runs.fail(f"--profile {profile}: choose tiny or gpu")
    parser.set_defaults(profile=profile)
    if profile == "tiny":
        reasons = settings_of(args_class)
        parser.set_defaults(**{name: reason.tiny for name, reason in reasons.items() if reason.tiny is not None})
    values, unknown = parser.parse_known_args(argv)
    if unknown:
        runs.fail(f"unknown option {unknown[0]}{nearest(unknown[0].lstrip('-'), names)} (--help lists the options)")
    check(args_class, vars(values))
    try:
        (args,) = parser.parse_args_into_dataclasses(argv)
    except (ValueError, ImportError, ArithmeticError) as error:
        runs.fail(error)
    if isinstance(args, RunArgs):
        default = output(args) if output else runs.OUTPUTS / Path(sys.argv[0]).stem.removesuffix("_train")
        args.output = str(runs.resolve(args.output or default).absolute())
    return args


def nearest(name: str, names: Collection[str]) -> str:
    """The known name that a misspelt one was most likely meant to be, for a message; empty where there is none."""
    similar = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {similar[0]}?" if similar else ""


def config_words(argv: list[str], names: Collection[str]) -> list[str]:
    """The words of a command line that the file of --config stands for; none without one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", default="", nargs="?")
    path = parser.parse_known_args(argv)[0].config
    if not path:
        return []
    values = read_config(path)
    for name in values:
        if name not in names or name == "config":
            runs.fail(f"--config {path}: unknown key {name}{nearest(str(name), names)} (--help lists the settings)")
    return words_of(values, path)


def words_of(values: dict, path: str) -> list[str]:
    """Settings of a file as the words of a command line; ends the script for one that has no such value."""
    words = []
    for name, value in values.items():
        parts = value if isinstance(value, list) else [value]
        for one in parts:
            if not isinstance(one, str | int | float) or str(one).startswith("--"):
                runs.fail(f"--config {path}: {name} is no text, number, true or false, or list of these")
        texts = [shown(one) for one in parts]
        if isinstance(value, list):
            words += [f"--{name}", *texts]
        else:
            words.append(f"--{name}={texts[0]}")
    return words


def content_of(path: str) -> dict:
    """What a file holds; its path is relative to the working directory, the repo, or the script's folder."""
    import yaml

    file = runs.resolve(path)
    if not file.exists():
        file = Path(sys.argv[0]).resolve().parent / path
    try:
        text = file.read_text()
        content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        runs.fail(f"--config {path} cannot be read as YAML or JSON ({error})")
    if not isinstance(content, dict):
        runs.fail(f"--config {path} is no object of settings and their values")
    return content


def read_config(path: str) -> dict:
    """{setting: value} of a file, whose settings may stand in groups."""
    values = {}
    for key, value in content_of(path).items():
        group = value if isinstance(value, dict) else {key: value}
        for name in group:
            if name in values:
                runs.fail(f"--config {path} has {name} twice")
        values |= group
    return values


RANGE_OF = {name: numbers for numbers, names in RANGES.items() for name in names.split()}


def check(args_class, values: dict) -> None:
    """End the script for a value outside of its range or choices, or for more or fewer reward weights than rewards."""
    reasons = settings_of(args_class)
    if values.get("hub_token"):
        runs.fail("--hub_token would be recorded with the command; log in with: hf auth login, or set HF_TOKEN")
    if values.get("results") and runs.resolve(values["results"]).is_dir():
        runs.fail(f"--results {values['results']} is a folder; name a file, such as results.csv in it")
    for name, value in values.items():
        if name not in reasons and name not in RANGE_OF:  # an option of the trainer's config alone
            continue
        reason = reasons.get(name, Reason())
        numbers = reason.range or RANGE_OF.get(name, Range())
        for one in value if isinstance(value, list) else [value]:
            if reason.choices and one not in reason.choices:
                runs.fail(f"--{name} {one}: choose {', '.join(reason.choices)}")
            if type(one) in (int, float) and not numbers.allows(one):
                runs.fail(f"--{name} {one}: choose {numbers}")
    if "reward_weights" in reasons:
        count = len(args_class.__dataclass_fields__["reward_weights"].default_factory())
        if len(values["reward_weights"]) != count:
            runs.fail(f"--reward_weights takes {count} numbers, {reasons['reward_weights']}")


def shown(value) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, list):
        return " ".join(map(shown, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def help_text(args_class, description: str) -> str:
    """The docstring, then a line per setting: value, value in the tiny profile if different, reason."""
    fields = {f.name: f for f in dataclasses.fields(args_class)}
    lines = [inspect.cleandoc(description), "", "value | value with --profile tiny, if different"]
    for heading, group in zip(("of this script", "of other scripts too"), grouped_settings(args_class)):
        lines += ["", heading]
        for name, reason in group.items():
            default = fields[name].default
            if default is dataclasses.MISSING:
                default = fields[name].default_factory()
            value = shown(default)
            if reason.tiny is not None:
                value += f" | {shown(reason.tiny)}"
            lines.append(f"  {'--' + name:29} {value:25} {reason.replace('%%', '%')}")
    return "\n".join([*lines, "", "--help_all also lists every option of the trainer's config."])
