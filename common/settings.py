"""The settings of a script, one line each with the values of both profiles; the command line overrides them.

    learning_rate: float = setting(3e-5, "for LoRA; small models take larger steps", tiny=1e-4)

--profile gpu uses 3e-5, --profile tiny 1e-4. --help prints these lines and imports nothing heavy.
"""

import contextlib
import ctypes
import dataclasses
import inspect
import logging
import math
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from common import recipes, runs

if not sys.stderr.isatty():
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars of libraries would fill a log file
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns at import of a kernel that is not needed here

# What the libraries of --report_to write stays beside the runs; they read this when they are imported.
os.environ.setdefault("TRACKIO_DIR", str(runs.OUTPUTS / "trackio"))
os.environ.setdefault("WANDB_DIR", str(runs.OUTPUTS))

PROFILES = ("tiny", "gpu")
HELP = bool({"-h", "--help"} & set(sys.argv[1:]))  # then a trainer's config, which takes seconds to import, is left out


class Range(NamedTuple):
    """The numbers that a setting may have. Every number has to be finite, also where no range is given."""

    low: float | None = None
    high: float | None = None
    above: float | None = None  # as `low`, but without this value
    off: float | None = None  # a value outside of the range that stands for "not set"

    def problem(self, value: float) -> str | None:
        """What to choose instead of the value, or None."""
        wanted = []
        if self.low is not None:
            wanted.append(f"at least {self.low}")
        if self.above is not None:
            wanted.append(f"more than {self.above}")
        if self.high is not None:
            wanted.append(f"at most {self.high}")
        fits = math.isfinite(value) and (self.low is None or value >= self.low)
        fits = fits and (self.high is None or value <= self.high) and (self.above is None or value > self.above)
        return None if fits or value == self.off else " and ".join(wanted) or "a finite number"


RANGES = {  # of settings that mean the same everywhere, options of the trainer's config included
    "learning_rate": Range(above=0),
    "warmup_steps": Range(low=0),
    "weight_decay": Range(low=0),
    "max_grad_norm": Range(low=0),
    "num_train_epochs": Range(above=0),
    "max_steps": Range(low=1, off=-1),
    "num_generations": Range(low=2),
    "per_device_train_batch_size": Range(low=1),
    "per_device_eval_batch_size": Range(low=1),
    "gradient_accumulation_steps": Range(low=1),
    "temperature": Range(above=0),
    "top_p": Range(above=0, high=1),
    "top_k": Range(low=0),
    "beta": Range(low=0),
    "lora_r": Range(low=0),
    "lora_alpha": Range(low=1),
    "seed": Range(low=0, high=2**32 - 1),
    "heldout_rows": Range(low=1),
    "heldout_every": Range(low=1),
    "max_completion_length": Range(low=1),
    "max_prompt_tokens": Range(low=1),
    "max_length": Range(low=1),
    "max_new_tokens": Range(low=1),
    "batch_size": Range(low=1),
    "rows": Range(low=0),
    "samples": Range(low=0),
    "save_steps": Range(above=0),
    "save_total_limit": Range(low=2),  # the last one, and the one before in case that one is damaged
    "logging_steps": Range(above=0),
    "vllm_gpu_memory_utilization": Range(low=0, high=1),
}
GROUPS = {  # of --help; settings in none of them come first
    "sampling": (
        *("temperature", "top_p", "top_k", "num_generations", "max_completion_length", "max_prompt_tokens", "samples"),
        *("greedy", "max_new_tokens", "pass_k", "pass_rows", "max_reply_tokens", "max_turn_steps"),
    ),
    "memory and engine": (
        *("load_in_4bit", "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"),
        *("batch_size", "gradient_checkpointing", "bf16", "skip_no_signal", "dataloader_pin_memory"),
        *("max_length", "prompt_room"),
        *("use_vllm", "vllm_mode", "vllm_max_model_length", "vllm_gpu_memory_utilization"),
        *("vllm_importance_sampling_mode", "vllm_importance_sampling_clip_max"),
    ),
    "logging and checkpoints": (
        *("logging_steps", "save_strategy", "save_steps", "save_total_limit", "eval_strategy", "eval_steps"),
        *("load_best_model_at_end", "metric_for_best_model", "heldout_every", "heldout_rows", "patience", "show"),
        *("report_to", "push_to_hub", "hub_model_id"),
    ),
    "folders": (
        *(
            "base",
            "checkpoints",
            "dataset",
            "output",
            "results",
            "completions",
            "folder",
            "outputs",
            "profile",
            "resume",
            "overwrite",
        ),
        *("boolq", "commonsense_qa", "arc_challenge", "gsm8k", "openmath", "dapo", "math500"),
    ),
}


class Reason(str):
    """The reason of a setting, with its other facts as attributes: the parser of transformers takes only a text."""

    tiny, range, choices = None, None, ()


def setting(default, reason: str, tiny=None, low: float | None = None, high: float | None = None, choices=()):
    """A field of a settings class: its value, the reason that --help shows, its value in the tiny profile if different.

    low, high: the range of a number, in place of that in RANGES. choices: the values that a text may have.
    """
    known = Reason(reason.replace("%", "%%"))
    known.tiny, known.choices = tiny, tuple(choices)
    known.range = None if low is None and high is None else Range(low, high)
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

    def __post_init__(self):
        if runs.PROCESSES > 1 and hasattr(self, "per_device_train_batch_size"):
            import torch

            self.divide_batch()
            if not torch.cuda.is_available():
                self.use_cpu = True  # else each process would train on its own
                os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"  # an optimizer of its "cpu:0" cannot be loaded
            self.ddp_find_unused_parameters = False  # no forward pass leaves a weight out
        if hasattr(super(), "__post_init__"):  # that of the trainer's config
            super().__post_init__()

    def divide_batch(self) -> None:
        """Divide a process's batch among all of them: an update keeps its number of examples.

        Takes from gradient_accumulation_steps first, which saves time, then from per_device_train_batch_size.
        """
        steps, size = self.gradient_accumulation_steps, self.per_device_train_batch_size
        fewer = math.gcd(steps, runs.PROCESSES)
        rest = runs.PROCESSES // fewer
        if size % rest:
            runs.fail(f"{steps} batches of {size} cannot be divided among {runs.PROCESSES} processes; start fewer")
        self.gradient_accumulation_steps, self.per_device_train_batch_size = steps // fewer, size // rest


@dataclass
class TrainArgs(RunArgs):
    """The settings of every stage with a trainer; also options of its config."""

    report_to: list[str] = setting(
        [], "live curves: trackio, tensorboard, wandb [none]", choices=("none", "trackio", "tensorboard", "wandb")
    )
    push_to_hub: bool = setting(False, "push the finished output to the hub; log in before with: hf auth login")
    hub_model_id: str = setting("", "repository on the hub [name of the output folder]")


def default_profile() -> str:
    import torch

    return "gpu" if torch.cuda.is_available() else "tiny"


def settings_of(args_class) -> dict[str, Reason]:
    """The fields made by setting(): first those of the script, then those of its base classes in common/."""
    known = {f.name: f.metadata.get("help") for f in dataclasses.fields(args_class)}
    names = [name for owner in args_class.__mro__ for name in owner.__dict__.get("__annotations__", {})]
    return {name: known[name] for name in names if isinstance(known.get(name), Reason)}


def run(main: Callable, args_class, description: str, output: Callable | None = None) -> None:
    """Parse the command line, then main(args). A failed write, Ctrl-C and SIGTERM end the script in one line.

    Of several processes the main one goes first: the others begin when it has checked everything in runs.start().
    """
    args = parse(args_class, description, output)
    keep_memory()
    if runs.PROCESSES > 1 and not hasattr(args, "per_device_train_batch_size"):
        runs.fail("this script runs in one process; start it without accelerate launch")
    if not runs.IS_MAIN:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        runs.wait()
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
        if end.code == 128 + signal.SIGTERM and runs.IS_MAIN:
            runs.fail(f"terminated; continue with: {repeat}", code=end.code)
        raise
    except Exception as error:
        if (line := runs.explain(error)) is None:
            raise
        runs.fail(f"{line}, then repeat: {repeat}")


def keep_memory() -> None:
    """Make glibc keep freed memory, which it would return to the system and fetch again for each large tensor."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**26)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
            mallopt(option, value)


def parse(args_class, description: str, output: Callable | None = None, argv: list[str] | None = None):
    """An args_class with the values of the profile, overridden by the command line.

    output: a function from the parsed arguments to the default output folder. --help lists the settings of the script,
    --help_all also every field of the trainer's config. Ends the script with one line for an unknown option, a value
    out of range, or one that the trainer's config refuses.
    """
    argv = sys.argv[1:] if argv is None else argv
    argv = recipes.with_values(argv, args_class)
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
    values, unknown = parser.parse_known_args(argv)
    if unknown:
        runs.fail(f"unknown option {unknown[0]} (--help lists the options)")
    check(args_class, vars(values))
    try:
        (args,) = parser.parse_args_into_dataclasses(argv)
    except (ValueError, ImportError, ArithmeticError) as error:
        runs.fail(error)
    if isinstance(args, RunArgs):
        name = Path(sys.argv[0]).stem.removesuffix("_train")
        args.output = str(runs.resolve(args.output or (output(args) if output else runs.OUTPUTS / name)).absolute())
    return args


def check(args_class, values: dict) -> None:
    """End the script for a value outside of its range or choices, or for more or fewer reward weights than rewards."""
    known = settings_of(args_class)
    if values.get("hub_token"):
        runs.fail("--hub_token would be recorded with the command; log in with: hf auth login, or set HF_TOKEN")
    for name, value in values.items():
        chosen = known.get(name, Reason())
        allowed = chosen.range or RANGES.get(name, Range())
        for one in value if isinstance(value, list) else [value]:
            if chosen.choices and one not in chosen.choices:
                runs.fail(f"--{name} {one}: choose {', '.join(chosen.choices)}")
            number = isinstance(one, (int, float)) and not isinstance(one, bool) and (name in known or name in RANGES)
            if number and (wanted := allowed.problem(one)):
                runs.fail(f"--{name} {one}: choose {wanted}")
    weights = next((f for f in dataclasses.fields(args_class) if f.name == "reward_weights" and f.name in known), None)
    if weights and len(values["reward_weights"]) != len(weights.default_factory()):
        runs.fail(f"--reward_weights takes {len(weights.default_factory())} numbers, {known['reward_weights']}")


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
