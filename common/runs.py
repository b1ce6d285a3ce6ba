"""Output folders and run records: how a stage starts, stops, resumes and saves its output.

An output folder appears whole or not at all. A running stage writes everything to `<output>.partial/`: checkpoints,
metrics.jsonl, samples.jsonl. At the end run.json is written last, and the folder is renamed.
"""

import contextlib
import dataclasses
import errno
import importlib.metadata
import importlib.util
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUTPUTS = ROOT / "outputs"


def fail(message: str):
    """End the script with one line on stderr and exit code 2; the message says what to do."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    raise SystemExit(2)


def resolve(path: str | Path) -> Path:
    """The absolute path: relative to the working directory if it exists there, else to the root of the repo."""
    path = Path(path)
    return path.absolute() if path.exists() else ROOT / path


def shown(path: str | Path) -> str:
    """The path for messages and records: relative to the root of the repo if it is inside."""
    path = Path(path)
    return str(path.relative_to(ROOT)) if path.is_absolute() and path.is_relative_to(ROOT) else str(path)


def require(folder: str | Path, command: str) -> dict:
    """The run.json of a finished output; ends the script, naming the command to run, when it is missing or broken."""
    folder = resolve(folder)
    try:
        return json.loads((folder / "run.json").read_text())
    except (OSError, ValueError):
        state = "is not finished" if folder.exists() or partial_of(folder).exists() else "does not exist"
        fail(f"{shown(folder)} {state}; first run: {command}")


def require_base(base: str, command: str) -> str:
    """The base to load: a finished output, another folder with a whole model, or a hub name; else ends the script."""
    folder = resolve(base)
    if folder.is_relative_to(OUTPUTS):
        require(folder, command)
    elif not folder.exists():
        if Path(base).is_absolute() or base.count("/") != 1 or base.startswith((".", "~")):
            fail(f"base {base}: no such folder, and not a hub name (owner/name)")
        return base
    missing = [name for name in ("config.json", "tokenizer_config.json") if not (folder / name).exists()]
    if missing or not list(folder.glob("*.safetensors")):
        fail(f"base {shown(folder)} lacks {missing[0] if missing else 'safetensors weights'}; first run: {command}")
    return str(folder)


def lineage(base: str) -> list[str]:
    """The names of the checkpoints behind this one: the base model first, itself last."""
    folder = resolve(base)
    known = json.loads((folder / "run.json").read_text()).get("lineage", []) if (folder / "run.json").exists() else []
    return [*known[:-1], folder.name] if known else [folder.name]


def partial_of(output: str | Path) -> Path:
    return Path(f"{output}.partial")


def check_output(args) -> None:
    """End the script when the output exists and --overwrite is not given.

    Exit code 0 with --resume if it was made with the same settings, else 2.
    """
    output = Path(args.output)
    if not output.exists():
        return
    if not (output / "run.json").exists():
        fail(f"{shown(output)} was not made by these scripts and is never replaced; choose another --output")
    if args.resume and not args.overwrite:
        made = require(output, "the script that makes it")["hyperparameters"]
        if (name := changed(made, settings_of(args))) is None:
            print(f"{shown(output)} is finished, with the same settings")
            raise SystemExit(0)
        asked = settings_of(args).get(name)
        fail(f"{shown(output)} was made with --{name} {made[name]}, now it is {asked}; pass --overwrite to replace it")
    if not args.overwrite:
        fail(f"{shown(output)} exists; pass --overwrite to replace it, or --output for another folder")


def start(args) -> Path:
    """The working folder, `<output>.partial`; also sets args.output_dir to it.

    Ends the script as check_output() does, and where an interrupted run would be lost or had other settings.
    """
    check_output(args)
    partial = partial_of(args.output)
    interrupted = any(partial.glob("checkpoint-*"))
    if interrupted and not args.resume and not args.overwrite:
        fail(f"{shown(partial)} holds an interrupted run; pass --resume to continue it, --overwrite to discard it")
    if not (interrupted and args.resume):
        shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, exist_ok=True)
    asked, begun = settings_of(args), partial / "settings.json"
    if begun.exists():
        made = json.loads(begun.read_text())
        if name := changed(made, asked):
            fail(
                f"{shown(partial)} was started with --{name} {made[name]}, now it is {asked.get(name)}; "
                "repeat the first command with --resume, or discard that run with --overwrite and without --resume"
            )
    write_json(begun, asked)
    args.output_dir = str(partial)
    return partial


NOT_COMPARED = ("resume", "overwrite", "output", "output_dir", "logging_dir", "run_name")


def changed(made: dict, asked: dict) -> str | None:
    """The first setting that differs between a run and the present command, or None."""
    return next((name for name in made if name not in NOT_COMPARED and made[name] != asked.get(name)), None)


def settings_of(args) -> dict:
    """The fields of the arguments that fit into JSON."""
    values = {f.name: getattr(args, f.name) for f in dataclasses.fields(args)}
    plain = {k: v for k, v in values.items() if v is None or isinstance(v, (bool, int, float, str, list, dict))}
    return json.loads(json.dumps(plain, default=str))


def last_checkpoint(partial: Path) -> str | None:
    """The newest complete checkpoint of an interrupted run, or None; incomplete ones are removed.

    The trainer writes trainer_state.json last: a checkpoint without a readable one is incomplete. Lines of the logs
    after that checkpoint are removed too, since the resumed run writes them again.
    """
    steps = []
    for folder in partial.glob("checkpoint-*"):
        try:
            json.loads((folder / "trainer_state.json").read_text())
            steps.append(folder)
        except (OSError, ValueError):
            shutil.rmtree(folder)
    newest = max(steps, key=lambda folder: int(folder.name.split("-")[1]), default=None)
    step = int(newest.name.split("-")[1]) if newest else 0
    for log in (partial / "metrics.jsonl", partial / "samples.jsonl"):
        if log.exists():
            kept = [line for line in log.read_text().split("\n") if _step_of(line) <= step and newest]
            log.write_text("".join(f"{line}\n" for line in kept))
    return str(newest) if newest else None


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except ValueError:
        return float("inf")


@contextlib.contextmanager
def disk_errors(partial: Path):
    """End the script with one line when a write fails; what was saved before stays for --resume."""
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        disk = full or type(error).__name__ == "SafetensorError" or "Writer" in str(error)
        if not disk:
            raise
        fail(f"could not write to {shown(partial)} ({error}); free some disk space, then repeat with --resume")


def record(args, **facts) -> dict:
    """The content of run.json: command, data, settings, versions, device, and the facts given."""
    names = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes", "math-verify", "vllm")
    installed = {name for name in names if importlib.util.find_spec(name.replace("-", "_"))}
    return {
        "script": shown(Path(sys.argv[0]).resolve()),
        "command": command_line(),
        "seed": args.seed,
        "profile": args.profile,
        "dataset": getattr(args, "dataset", None),
        **facts,
        "commit": commit(),
        "versions": {name: importlib.metadata.version(name) for name in names if name in installed},
        "device": device_name(),
        "hyperparameters": json.loads((partial_of(args.output) / "settings.json").read_text()),
    }


def command_line() -> str:
    """The command as typed at the root of the repo."""
    words = [shown(Path(sys.argv[0]).resolve())] + [shown(word) for word in sys.argv[1:]]
    return shlex.join(["python", *words])


def commit() -> str:
    """The commit of the repo, with a + if the Python files differ from it; empty outside git."""
    run = {"cwd": ROOT, "capture_output": True, "text": True}
    with contextlib.suppress(OSError):
        name = subprocess.run(["git", "rev-parse", "--short", "HEAD"], **run).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "-uno", "--", "*.py"], **run).stdout.strip()
        return name + ("+" if name and changed else "")
    return ""


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
    """The rows of a JSONL file. Only \\n ends a row: a question may hold other characters where splitlines() splits."""
    return [json.loads(line) for line in path.read_text().split("\n") if line]


def append_json(path: Path, row: dict) -> None:
    with open(path, "a") as log:
        log.write(json.dumps(row, ensure_ascii=False) + "\n")


def finish(args, base: str | None = None, **facts) -> None:
    """Write run.json last and rename the working folder to the output, in place of an older one."""
    output, partial = Path(args.output), partial_of(args.output)
    if base:
        facts = {"base": shown(base), "lineage": [*lineage(base), output.name], **facts}
    write_json(partial / "run.json", record(args, **facts))
    if output.exists():
        shutil.rmtree(output)
    os.replace(partial, output)
    for rest in (*output.glob("checkpoint-*"), output / "settings.json", output / "seconds.json"):
        shutil.rmtree(rest) if rest.is_dir() else rest.unlink(missing_ok=True)
    print(f"saved {shown(output)}")


class Clock:
    """Wall time of a run in seconds; a file in the working folder keeps it across --resume."""

    def __init__(self, partial: Path):
        self.path, self.started = partial / "seconds.json", time.time()
        self.before = json.loads(self.path.read_text()) if self.path.exists() else 0.0

    def seconds(self) -> float:
        return round(self.before + time.time() - self.started, 1)

    def save(self) -> None:
        write_json(self.path, self.seconds())
