"""The settings of a script, one line each with the values of both profiles; the command line overrides them.

    learning_rate: float = setting(3e-5, "for LoRA; small models take larger steps", tiny=1e-4)

--profile gpu uses 3e-5, --profile tiny 1e-4. --help prints these lines and imports nothing heavy.
"""

import dataclasses
import inspect
import logging
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from common import runs

if not sys.stderr.isatty():
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars of libraries would fill a log file
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns at import of a kernel that is not needed here

PROFILES = ("tiny", "gpu")
HELP = bool({"-h", "--help"} & set(sys.argv[1:]))  # then scripts skip the slow import of a trainer's config
# Lowest and highest value of a setting in any script; setting(low=, high=) takes precedence.
RANGES = {
    "learning_rate": (0, 1),
    "temperature": (0, 10),
    "top_p": (0, 1),
    "beta": (0, 100),
}
GROUPS = {  # of --help; settings in none of them come first
    "sampling": (
        *("temperature", "top_p", "top_k", "num_generations", "max_completion_length", "max_prompt_tokens", "samples"),
        *("greedy", "max_new_tokens", "pass_k", "pass_rows", "max_reply_tokens", "max_turn_steps", "max_steps_a_turn"),
    ),
    "memory and engine": (
        *("load_in_4bit", "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"),
        *("batch_size", "gradient_checkpointing", "bf16", "dataloader_pin_memory", "max_length", "prompt_room"),
        *("use_vllm", "vllm_mode", "vllm_max_model_length", "vllm_gpu_memory_utilization"),
    ),
    "logging and checkpoints": (
        *("logging_steps", "save_strategy", "save_steps", "save_total_limit", "eval_strategy", "eval_steps"),
        *("load_best_model_at_end", "metric_for_best_model", "heldout_every", "heldout_rows", "patience", "show"),
    ),
    "folders": (
        *("base", "checkpoints", "dataset", "output", "results", "tests", "profile", "resume", "overwrite"),
        *("boolq", "commonsense_qa", "arc_challenge", "gsm8k", "openmath", "dapo", "math500"),
    ),
}


class Reason(str):
    """The reason of a setting, with its other facts as attributes: the parser of transformers takes only a text."""

    tiny, low, high, choices = None, None, None, ()


def setting(default, reason: str, tiny=None, low: float | None = None, high: float | None = None, choices=()):
    """A field of a settings class: its value, the reason that --help shows, its value in the tiny profile if different.

    low, high: bounds of a number; choices: the allowed values of a text. parse() ends the script for other values.
    """
    known = Reason(reason.replace("%", "%%"))
    known.tiny, known.low, known.high, known.choices = tiny, low, high, tuple(choices)
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": known})
    return field(default=default, metadata={"help": known})


@dataclass
class ProfileArgs:
    profile: str = setting("", "default values to use: tiny or gpu [gpu with CUDA, else tiny]")


@dataclass
class RunArgs(ProfileArgs):
    """The settings of every stage that saves an output folder."""

    output: str = setting("", "output folder [outputs/ and the name of the script]")
    resume: bool = setting(False, "continue an interrupted run from its last checkpoint; leave a finished one as it is")
    overwrite: bool = setting(False, "replace an existing output")


def default_profile() -> str:
    import torch

    return "gpu" if torch.cuda.is_available() else "tiny"


def settings_of(args_class) -> dict[str, Reason]:
    """The fields made by setting(): first those of the script, then those of its base classes in common/."""
    known = {f.name: f.metadata.get("help") for f in dataclasses.fields(args_class)}
    names = [name for owner in args_class.__mro__ for name in owner.__dict__.get("__annotations__", {})]
    return {name: known[name] for name in names if isinstance(known.get(name), Reason)}


def parse(args_class, description: str, output: Callable | None = None, argv: list[str] | None = None):
    """An args_class with the values of the profile, overridden by the command line.

    output: a function from the parsed arguments to the default output folder. --help lists the settings of the script,
    --help_all also every field of the trainer's config. Ends the script with one line for an unknown option, a value
    out of range, or one that the trainer's config refuses.
    """
    argv = sys.argv[1:] if argv is None else argv
    if {"-h", "--help"} & set(argv):
        print(help_text(args_class, description))
        raise SystemExit(0)
    from transformers import HfArgumentParser

    parser = HfArgumentParser(args_class, description=description, allow_abbrev=False)
    parser.error = lambda message: runs.fail(f"{message} (--help lists the options)")
    parser.add_argument("--help_all", action="help", help="also list every option of the trainer's config")
    chosen = parser.parse_known_args([word for word in argv if word != "--help_all"])[0].profile
    if chosen not in ("", *PROFILES):
        runs.fail(f"--profile {chosen}: choose tiny or gpu")
    profile = chosen or default_profile()
    tiny = {name: known.tiny for name, known in settings_of(args_class).items() if known.tiny is not None}
    parser.set_defaults(profile=profile, **(tiny if profile == "tiny" else {}))
    try:
        args, unknown = parser.parse_args_into_dataclasses(argv, return_remaining_strings=True)
    except (ValueError, ImportError) as error:
        runs.fail(error)
    if unknown:
        runs.fail(f"unknown option {unknown[0]} (--help lists the options)")
    check(args)
    if isinstance(args, RunArgs):
        name = Path(sys.argv[0]).stem.removesuffix("_train")
        args.output = str(runs.resolve(args.output or (output(args) if output else runs.OUTPUTS / name)).absolute())
    return args


def check(args) -> None:
    """End the script for a value outside the range or the choices of its setting."""
    for name, known in settings_of(type(args)).items():
        value = getattr(args, name)
        low, high = (
            (known.low, known.high) if (known.low, known.high) != (None, None) else RANGES.get(name, (None, None))
        )
        for one in value if isinstance(value, list) else [value]:
            if known.choices and one not in known.choices:
                runs.fail(f"--{name} {one}: choose {', '.join(known.choices)}")
            if isinstance(one, bool) or not isinstance(one, (int, float)):
                continue
            if not math.isfinite(one) or (low is not None and one < low) or (high is not None and one > high):
                wanted = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)
                runs.fail(f"--{name} {one}: choose {' and '.join(wanted) or 'a finite number'}")


def help_text(args_class, description: str) -> str:
    """The docstring, then a line per setting: value, value in the tiny profile if different, reason."""

    def shown(value) -> str:
        if isinstance(value, list):
            return " ".join(map(shown, value))
        return str(value).lower() if isinstance(value, bool) else str(value)

    fields = {f.name: f for f in dataclasses.fields(args_class)}
    first = "rewards and learning" if "learning_rate" in fields else "what is done"
    rows = {group: [] for group in (first, *GROUPS)}
    for name, known in settings_of(args_class).items():
        group = next((group for group, names in GROUPS.items() if name in names), first)
        default = fields[name].default
        value = shown(fields[name].default_factory() if default is dataclasses.MISSING else default)
        value += "" if known.tiny is None else f" | {shown(known.tiny)}"
        rows[group].append((f"--{name}", value, known.replace("%%", "%")))
    widths = [min(36, max(len(row[i]) for found in rows.values() for row in found)) for i in (0, 1)]
    lines = [inspect.cleandoc(description), "", "value | value with --profile tiny, if different"]
    for group, found in rows.items():
        lines += ["", group] * bool(found)
        lines += [f"  {option:{widths[0]}}  {value:{widths[1]}}  {reason}" for option, value, reason in found]
    return "\n".join([*lines, "", "--help_all also lists every option of the trainer's config."])
