"""Output folders and run records: how a stage starts, stops, resumes and saves its output.

An output folder appears whole or not at all. A running stage writes everything to `<output>.partial/`: checkpoints,
metrics.jsonl, samples.jsonl. At the end run.json is written last, and the folder is renamed.
"""

import contextlib
import ctypes
import dataclasses
import errno
import hashlib
import importlib.metadata
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
OUTPUTS = ROOT / "outputs"
SAMPLES = "kept.json"  # in the folder of a run that trains on samples of its own start


class Run(NamedTuple):
    """A run that is ready to train: data, tokenizer, model and folders."""

    args: Any  # the settings of the script; also the trainer's config
    base: str  # folder or hub name of the initial model
    tokenizer: Any
    tag_set: str
    rows: list[dict]  # rows of the data set that are not too long, in the order of `dataset`
    dataset: Any  # datasets.Dataset for the trainer
    heldout: list[dict]  # rows for held-out accuracy, never trained on
    fingerprint: str  # of the whole split that `rows` come from
    kind: Any  # kinds.Kind of these rows
    partial: Path  # working folder
    model: Any
    lora: Any  # peft.LoraConfig, or None
    repo: str = ""  # on the hub, to push the output to
    inputs: dict[str, str] = {}  # inputs_of() when it began
    started: float = 0.0  # time.time() when this process began it


def fail(message: str, code: int = 2):
    """End the script with one line on stderr that says what to do, and an exit code; the line is a note of the exit."""
    line = " ".join(str(message).split())
    print(f"error: {line}", file=sys.stderr)
    end = SystemExit(code)
    end.add_note(line)
    raise end


def dataset_folder(name: str) -> Path:
    """outputs/data/<name> for a name, the folder itself for a path."""
    return resolve(name) if "/" in name else OUTPUTS / "data" / name


def made(folder: str | Path) -> str | None:
    """Tells whether a folder was made again: a hash of its run.json, "" for one without, None for a hub name."""
    record = Path(folder) / "run.json"
    if record.exists():
        return hashlib.sha256(record.read_bytes()).hexdigest()[:16]
    return "" if Path(folder).exists() else None


def inputs_of(args) -> dict[str, str]:
    """What tells whether the inputs of a training were made again: base and dataset with a hash, if they are here.

    The hash of a data set is that of its rows but for the tests, so that it may be made again from the same source.
    """
    inputs = {}
    with contextlib.suppress(OSError, ValueError, KeyError, AttributeError):
        inputs["base"] = made(resolve(args.base))
        facts = json.loads((dataset_folder(args.dataset) / "run.json").read_text())
        rows = {split: fact["fingerprint"] for split, fact in facts["splits"].items() if split != "test"}
        inputs["dataset"] = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]
    return {name: value for name, value in inputs.items() if value}


def resolve(path: str | Path) -> Path:
    """The absolute path: relative to the working directory if it exists there, else to the root of the repo."""
    path = Path(path)
    return path.absolute() if path.exists() else ROOT / path


def shown(path: str | Path) -> str:
    """The path for messages and records: relative to the root of the repo if it is inside."""
    path = Path(path)
    return str(path.relative_to(ROOT)) if path.is_absolute() and path.is_relative_to(ROOT) else str(path)


def read_record(folder: Path) -> dict | None:
    """The run.json of a folder; None where there is none that is whole."""
    try:
        facts = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def require(folder: str | Path, command: str) -> dict:
    """The run.json of a finished output; ends the script, naming the command to run, when it is missing or broken."""
    folder = resolve(folder)
    facts = read_record(folder)
    if facts is None:
        if partial_of(folder).exists():
            fail(f"{shown(folder)} is not finished; first repeat the command that began it, with --resume")
        state = "is not finished" if folder.exists() else "does not exist"
        fail(f"{shown(folder)} {state}; first run: {command}")
    return facts


def require_base(base: str, command: str) -> str:
    """The base to load: a finished output, another folder with a whole model, or a hub name; else ends the script."""
    folder = resolve(base)
    if folder.is_relative_to(OUTPUTS):
        require(folder, command)
    elif not folder.exists():
        if Path(base).is_absolute() or base.count("/") != 1 or base.startswith((".", "~")):
            fail(f"base {base}: no such folder, and not a hub name (owner/name)")
        return base
    for pattern in ("config.json", "tokenizer_config.json", "*.safetensors"):
        if not list(folder.glob(pattern)):
            fail(f"base {shown(folder)} lacks {pattern}; first run: {command}")
    return str(folder)


def lineage(base: str) -> list[str]:
    """The names of the checkpoints behind this one: the base model first, itself last."""
    folder = resolve(base)
    facts = read_record(folder) or {}
    earlier = facts.get("lineage") or []
    return [*earlier[:-1], folder.name]


def partial_of(output: str | Path) -> Path:
    return Path(f"{output}.partial")


def check_one_process() -> None:
    """End the script where a launcher, such as accelerate's or torchrun, has started it in several processes."""
    processes = int(os.environ.get("WORLD_SIZE") or 1)
    if processes > 1:
        fail(
            f"WORLD_SIZE is {processes}, and these scripts run in one process: start them with python; "
            "for several GPUs take verl or TRL's own scripts"
        )


def check_output(args) -> None:
    """End the script when the output exists and --overwrite is not given.

    Exit code 0 with --resume if it was made with the same settings, else 2.
    """
    output = Path(args.output)
    if not output.exists():
        return
    if not (output / "run.json").exists():
        fail(f"{shown(output)} was not made by these scripts and is never replaced; choose another --output")
    if args.overwrite:
        return
    if not args.resume:
        fail(f"{shown(output)} exists; pass --overwrite to replace it, or --output for another folder")
    facts = require(output, "the script that makes it")
    what = f"{shown(output)} was made"
    advice = "pass --overwrite to replace it"
    check_same(facts["hyperparameters"], settings_of(args), what, advice)
    check_inputs(facts, args, what, advice)
    print(f"{shown(output)} is finished, with the same settings")
    if getattr(args, "push_to_hub", False):
        print(f"it was not pushed now; to push it: python demo/push_to_hub.py {shown(output)}")
    raise SystemExit(0)


def check_same(recorded: dict, settings: dict, what: str, advice: str) -> None:
    """End the script for the first setting that differs between a run and the present command."""
    name = changed(recorded, settings)
    if name:
        fail(f"{what} with --{name} {recorded[name]}, now it is {settings.get(name)}; {advice}")


def check_inputs(recorded: dict, args, what: str, advice: str) -> None:
    """End the script where the base or the data of a run was made again since."""
    present = inputs_of(args)
    for name, value in recorded.get("inputs", {}).items():
        if value != present.get(name, value):
            fail(f"{what} from an earlier {getattr(args, name)}, which was made again since; {advice}")


_locks = []  # held until the process ends, however it ends


def lock(partial: Path) -> None:
    """Keep every other process out of a working folder; ends the script when another one is in it."""
    from filelock import FileLock, Timeout

    folder_lock = FileLock(f"{partial}.lock", is_singleton=True)
    try:
        folder_lock.acquire(timeout=0)
    except Timeout:
        fail(f"another process is writing to {shown(partial)}; wait for it, or choose another --output")
    _locks.append(folder_lock)


def start(args, planned: dict | None = None, inputs: dict | None = None) -> Path:
    """The working folder, `<output>.partial`; also sets args.output_dir to it.

    Ends the script as check_output() does, and where an interrupted run would be lost or had other settings. planned:
    settings to change afterwards, which are not recorded: what fits on the GPU of a first start need not on that of
    the next. inputs: inputs_of() of a training, which are recorded.
    """
    partial = partial_of(args.output)
    args.output_dir = str(partial)
    check_output(args)
    partial.parent.mkdir(parents=True, exist_ok=True)
    lock(partial)
    open_folder(args, partial, inputs or {})
    for name, value in (planned or {}).items():
        setattr(args, name, value)
    return partial


def open_folder(args, partial: Path, inputs: dict) -> None:
    """Make the working folder, or keep that of an interrupted run, and record the settings in it."""
    interrupted = any(partial.glob("checkpoint-*")) or (partial / SAMPLES).exists()
    if interrupted and not args.resume and not args.overwrite:
        fail(f"{shown(partial)} holds an interrupted run; pass --resume to continue it, --overwrite to discard it")
    if not (interrupted and args.resume):
        shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, exist_ok=True)
    record_of_start = partial / "settings.json"
    recorded = {}
    if record_of_start.exists():
        try:
            recorded = json.loads(record_of_start.read_text())
        except ValueError:
            fail(f"{shown(record_of_start)} is damaged; delete {shown(partial)} to start again")
    if getattr(args, "report_to", None):  # an interrupted curve goes on, a new one gets a name of its own
        args.run_name = recorded.get("run_name") or args.run_name
        args.run_name = args.run_name or f"{Path(args.output).name}-{time.strftime('%Y%m%d-%H%M%S')}"
    advice = "discard that run with --overwrite and without --resume"
    begun = f"{shown(partial)} was started"
    check_same(recorded, settings_of(args), begun, f"repeat the first command with --resume, or {advice}")
    check_inputs(recorded, args, begun, advice)
    write_json(record_of_start, settings_of(args) | {"inputs": recorded.get("inputs", inputs)})


NOT_COMPARED = {"config", "resume", "overwrite", "output", "output_dir", "logging_dir"}  # config: its values are
NOT_COMPARED |= {"report_to", "run_name", "push_to_hub", "hub_model_id", "hub_private_repo"}
NOT_COMPARED |= {"inputs"}  # check_inputs() compares them
NOT_COMPARED |= {"num_processes"}  # older runs have recorded it, when training could use several


def changed(recorded: dict, settings: dict) -> str | None:
    """The first setting that differs between a run and the present command, or None."""
    for name, value in recorded.items():
        if name not in NOT_COMPARED and value != settings.get(name):
            return name
    return None


def settings_of(args) -> dict:
    """The fields of the arguments that fit into JSON."""
    settings = {}
    for field in dataclasses.fields(args):
        value = getattr(args, field.name)
        if value is None or isinstance(value, bool | int | float | str | list | dict):
            settings[field.name] = value
    return json.loads(json.dumps(settings, default=str))


def trim_logs(partial: Path, step: int) -> None:
    """Drop what was logged after a step: the run that continues from there logs it again."""
    for log in (partial / "metrics.jsonl", partial / "samples.jsonl"):
        if log.exists():
            lines = [line for line in log.read_text().split("\n") if _step_of(line) <= step]
            log.write_text("".join(f"{line}\n" for line in lines))


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except ValueError:  # an empty line, or one that is not whole
        return float("inf")


def explain(error: BaseException) -> str | None:
    """One line on a file that could not be read or written; None for any other error."""
    number = getattr(error, "errno", None)
    file = getattr(error, "filename", None) or "a file"
    # The writers of safetensors and of torch do not pass the number on.
    from_torch = any(words in str(error) for words in ("StreamWriter", "iostream error", "inline_container"))
    from_safetensors = type(error).__name__ == "SafetensorError"
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or from_torch or from_safetensors:
        return f"could not write {shown(file)}: {error}; free some disk space"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"could not open {shown(file)}: {error.strerror}; change its permissions, or choose another folder"
    return None


def record(args, **facts) -> dict:
    """The content of run.json: command, data, settings, versions, device, and the facts given."""
    versions = {}
    for name in ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes", "vllm"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "script": shown(Path(sys.argv[0]).resolve()),
        "command": command_line(),
        "seed": args.seed,
        "profile": args.profile,
        "dataset": getattr(args, "dataset", None),
        **facts,
        "commit": commit(),
        "versions": versions,
        "device": device_name(),
        "hyperparameters": json.loads((partial_of(args.output) / "settings.json").read_text()),
    }


def command_line() -> str:
    """The command as typed at the root of the repo."""
    return shlex.join(["python", shown(Path(sys.argv[0]).resolve()), *map(shown, sys.argv[1:])])


def commit() -> str:
    """The commit of the repo, with a + if the Python files differ from it; empty outside git."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    try:
        name = git("rev-parse", "--short", "HEAD")
        differs = git("status", "--porcelain", "-uno", "--", "*.py")
    except OSError:  # no git
        return ""
    return f"{name}+" if name and differs else name


def device_name() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"


def peak_memory_gib() -> float:
    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)  # Linux counts in KiB


def write_json(path: Path, value) -> None:
    """Write to a temporary file and rename it, so that the file is never incomplete."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")
    os.replace(beside, path)


def read_jsonl(path: Path) -> list[dict]:
    """The rows of a JSONL file; ends the script for a line that is not JSON.

    Only \\n ends a line: a question may hold other characters that Python takes for line ends.
    """
    rows = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line:
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            fail(f"{shown(path)}, line {number} is not JSON ({error}); make the file again, or delete that line")
    return rows


def append_json(path: Path, row: dict) -> None:
    with open(path, "a") as log:
        log.write(json.dumps(row, ensure_ascii=False) + "\n")


def finish(args, base: str | None = None, **facts) -> None:
    """Write run.json last and rename the working folder to the output, in place of an older one."""
    output = Path(args.output)
    partial = partial_of(output)
    if base:
        facts = {"base": shown(base), "lineage": [*lineage(base), output.name], **facts}
    write_json(partial / "run.json", record(args, **facts))
    if output.exists():
        shutil.rmtree(output)
    os.replace(partial, output)
    Path(f"{partial}.lock").unlink(missing_ok=True)
    for folder in output.glob("checkpoint-*"):
        shutil.rmtree(folder)
    (output / "settings.json").unlink(missing_ok=True)
    print(f"saved {shown(output)}")


def keep_memory() -> None:
    """Make glibc keep freed memory, which it would return to the system and fetch again for each large tensor."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-2, 2**26)  # M_TOP_PAD
