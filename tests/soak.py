"""A soak: the pipeline under attack for up to an hour. Prints one table, and exits with 1 where anything failed.

fuzz: hostile completions through every reward function of every script; none may raise, leave its range, or take long.
kills: kill -9 at random moments; --resume has to give the weights and the log of an uninterrupted run.
disk: from one save on, no file may become larger than a limit; one line, and --resume gives the same weights.
sandbox: episodes of hostile calls; no process may be left behind, and memory has to stay flat.
memory: the resident memory of long GRPO runs has to stay flat.

Everything is made in a temporary folder. Command: make soak, or python tests/soak.py --parts fuzz disk --minutes 10
"""

import argparse
import contextlib
import functools
import gc
import hashlib
import json
import math
import multiprocessing
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import fuzz
from conftest import load_script

CORES = os.cpu_count() or 1
SLOW = 0.3  # seconds of CPU time for one completion
HUNG = 30  # seconds after which a call is given up
GROWTH = 100.0  # KiB of resident memory that a training step, or an episode, may add
SFT, DEF, HYBRID = "SFT/SFT_train.py", "GRPO_indomain/GRPO-1K-def.py", "GRPO_outdomain/GRPO-Hybrid.py"
V1, V2 = "BFCL/GRPO_BFCL_v1.py", "BFCL/GRPO_BFCL_v2.py"
ROWS = "--train_rows 64 --validation_rows 16 --test_rows 8"
FEW = "--max_steps 6 --save_steps 2 --heldout_every 3 --heldout_rows 4"
GROUPS = "--num_generations 4 --per_device_train_batch_size 16 --patience 0"
# Scripts and settings; @name is the folder of what is made by that name. The bases get a signal from their rewards.
MADE = {
    "linear": ("SFT/dataset_creation.py", f"--dataset linear --sft_rows 256 {ROWS}"),
    "single": ("BFCL/BFCL_dataset_creation.py", f"--kind single --sft_rows 300 {ROWS}"),
    "multi": ("BFCL/BFCL_dataset_creation.py", f"--kind multi --sft_rows 300 {ROWS}"),
    "SFT": (SFT, "--dataset @linear --heldout_rows 4"),
    "SFT-BFCL": (SFT, "--dataset @single --heldout_rows 4"),
}
WORDS = {
    SFT: f"--dataset @linear {FEW} --eval_steps 2 --per_device_train_batch_size 32 --heldout_every 1",
    **dict.fromkeys((DEF, HYBRID), f"--dataset @linear --base @SFT {FEW} {GROUPS}"),
    V1: f"--dataset @single --base @SFT-BFCL {FEW} {GROUPS}",
    V2: f"--dataset @multi --base @SFT-BFCL {FEW} {GROUPS}",
}
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Row(NamedTuple):
    """A line of the table."""

    what: str
    done: str
    figure: str
    faults: list[str]


class Stage(NamedTuple):
    """A script with its settings, and what an uninterrupted run of it gives."""

    script: str
    words: list[str]
    result: str  # weights and log
    lines: int  # of the log


def command(script: str, *words) -> list[str]:
    return [sys.executable, str(ROOT / script), *map(str, words)]


def words_of(work: Path, words: str) -> list[str]:
    return [str(made(work, word[1:])) if word.startswith("@") else word for word in words.split()]


@functools.cache
def made(work: Path, name: str) -> Path:
    """The folder of a data set or a base, which is made when it is first asked for."""
    script, words = MADE[name]
    making = command(script, *words_of(work, words), "--output", work / name)
    done = subprocess.run(making, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{script} {words}\n{done.stderr}")
    return work / name


def result(output: Path) -> str:
    """A hash of the weights and of the steps, losses, rewards and held-out accuracies of the log."""
    names = ("step", "loss", "reward", "heldout_accuracy")
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    log = json.dumps([[row.get(name) for name in names] for row in rows])
    return hashlib.sha256((output / "model.safetensors").read_bytes() + log.encode()).hexdigest()[:16]


@functools.cache
def whole(work: Path, script: str) -> Stage:
    """An uninterrupted run of the script."""
    output, words = work / "whole" / Path(script).stem, words_of(work, WORDS[script])
    done = subprocess.run(command(script, *words, "--output", output), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{script} {' '.join(words)}\n{done.stderr}")
    return Stage(script, words, result(output), len((output / "metrics.jsonl").read_text().splitlines()))


def lines_of(output: Path) -> int:
    """Number of lines in the log of a run that is going on."""
    try:
        return len(Path(f"{output}.partial/metrics.jsonl").read_text().splitlines())
    except FileNotFoundError:  # not yet, or not any more
        return 0


def resumed(stage: Stage, output: Path) -> str | None:
    """What is wrong with the run that --resume ends, or None."""
    again = command(stage.script, *stage.words, "--output", output, "--resume")
    done = subprocess.run(again, capture_output=True, text=True)
    if done.returncode:
        return f"--resume ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"
    return None if result(output) == stage.result else "--resume gave other weights, or another log"


def fuzz_rewards(work: Path, args, until: float) -> Iterator[Row]:
    chunks = range(args.fuzz // 100)
    slowest, faults, done = {}, {}, 0
    with multiprocessing.Pool(CORES, initializer=warm_up) as pool:
        for part in pool.imap_unordered(fuzz_chunk, (args.seed * 10**6 + i for i in chunks)):
            done += 100
            for key, seconds, text, found in part:
                slowest[key] = max(slowest.get(key, (0.0, "")), (seconds, text))
                faults[key] = faults.get(key, []) + found
            if time.monotonic() > until:
                pool.terminate()
                break
    for script, rewards in fuzz.RANGES.items():
        for name in rewards:
            seconds, text = slowest[script, name]
            slow = [f"{seconds:.2f} s for {text}"] if seconds > SLOW else []
            figure = f"slowest {1000 * seconds:.0f} ms"
            yield Row(f"{Path(script).stem} {name}", f"{done} completions", figure, [*faults[script, name], *slow])


def warm_up() -> None:
    """Import everything, so that no call is charged for it, nor for collecting what the imports left."""
    from common import answers

    for script in fuzz.RANGES:
        load_script(script)
    answers.is_correct("2x", "x+x")
    gc.freeze()


def fuzz_chunk(seed: int) -> list[tuple]:
    """For each reward function (its key, CPU seconds of the slowest of 100 completions, that text, faults)."""
    rng, found = random.Random(seed), []
    for script, ranges in fuzz.RANGES.items():
        rewards = load_script(script).REWARDS
        given = [fuzz.columns(rng, script, [fuzz.completion(rng, script)]) for _ in range(100)]
        for reward in rewards.values() if isinstance(rewards, dict) else rewards:
            low, high = ranges[reward.__name__]
            slowest, faults = (0.0, ""), []
            gc.disable()
            for columns in given:
                text = f"{columns['completions'][0][0]['content'][:200]!r} against {columns['solution'][0][:80]!r}"
                before, value = time.process_time(), None
                try:
                    with fuzz.alarm(HUNG):
                        (value,) = reward(**columns)
                except (Exception, fuzz.Hung) as error:  # noqa: BLE001
                    faults.append(f"{type(error).__name__} {str(error)[:100]} for {text}")
                slowest = max(slowest, (time.process_time() - before, text))
                if value is not None and not (math.isfinite(value) and low <= value <= high):
                    faults.append(f"{value} for {text}")
            gc.enable()
            found.append(((script, reward.__name__), *slowest, faults))
    return found


def attacked(title: str, attack: Callable, cases: list[tuple[Stage, object]], until: float) -> Iterator[Row]:
    """A row for each script. attack(number, stage, how) tells what happened, and what is wrong with it or None."""

    def one(number: int) -> tuple[str, str | None] | None:
        return None if time.monotonic() > until else attack(number, *cases[number])

    with ThreadPoolExecutor(CORES) as pool:
        found = list(pool.map(one, range(len(cases))))
    for script in dict.fromkeys(stage.script for stage, _ in cases):
        mine = [row for row, (stage, _) in zip(found, cases) if row and stage.script == script]
        figure = ", ".join(f"{n} {what}" for what, n in sorted(Counter(what for what, _ in mine).items()))
        yield Row(f"{title}, {Path(script).stem}", f"{len(mine)} runs", figure, [fault for _, fault in mine if fault])


def kills(work: Path, args, until: float) -> Iterator[Row]:
    rng, known = random.Random(args.seed), [whole(work, script) for script in (SFT, DEF, V1, V2)]
    # A moment: so many lines of the log, and up to a second, in which there may be another one.
    cases = [(stage, (rng.randrange(stage.lines), rng.random())) for stage in known * args.kills][: args.kills]

    def kill(number: int, stage: Stage, moment: tuple[int, float]) -> tuple[str, str | None]:
        (lines, seconds), output = moment, work / "kills" / f"{number}"
        process = subprocess.Popen(command(stage.script, *stage.words, "--output", output), **QUIET)
        while lines_of(output) < lines and process.poll() is None:
            time.sleep(0.002)
        time.sleep(seconds)
        process.kill()
        state = "had ended" if process.wait() == 0 else f"at line {lines} of {stage.lines}"
        fault = resumed(stage, output)
        return state, fault and f"killed after line {lines}: {fault}"

    yield from attacked("kill -9", kill, cases, until)


LIMITS = (2000, 60_000, 10**6, 6 * 10**6)  # bytes: less than settings, tokenizer, weights and optimizer have


def disk(work: Path, args, until: float) -> Iterator[Row]:
    known = [whole(work, script) for script in (SFT, DEF)]
    cases = [(stage, (save, limit)) for save in range(4) for limit in LIMITS for stage in known]

    def fill(number: int, stage: Stage, how: tuple[int, int]) -> tuple[str, str | None]:
        (save, limit), output = how, work / "disk" / f"{number}"
        started = command(stage.script, *stage.words, "--output", output)
        process = subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        before = Path(f"{output}.partial") / (f"checkpoint-{2 * save}/manifest.json" if save else "settings.json")
        while not before.exists() and process.poll() is None:
            time.sleep(0.002)
        with contextlib.suppress(ProcessLookupError):  # it has ended before
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        errors = process.communicate()[1]
        said = [line for line in errors.splitlines() if line.startswith("error: ")]
        if process.returncode and (process.returncode != 2 or len(said) != 1 or "disk space" not in said[0]):
            fault = f"exit code {process.returncode}: {errors.splitlines()[-1:]}"
        else:
            fault = resumed(stage, output)
        state = "ended in one line" if process.returncode else "went through"
        return state, fault and f"{limit} bytes from save {save + 1} on: {fault}"

    yield from attacked("full disk", fill, cases, until)


def resident(pid: int | str = "self") -> int:
    """Resident memory of a process in KiB."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def children() -> set[int]:
    return {int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def growth(points: list[tuple[int, int]]) -> tuple[float, str]:
    """What a step, or an episode, adds to (step, KiB), in KiB, and the same in words.

    Within a step the memory rises and falls by far more, so the slope is that of the lowest value of each twelfth, over
    the last two thirds.
    """
    if len(points) < 24:
        return 0.0, "too few to tell"
    size = math.ceil(len(points) / 12)
    lowest = [min(points[i : i + size], key=lambda point: point[1]) for i in range(0, len(points), size)][4:]
    slope = statistics.linear_regression(*zip(*lowest)).slope
    return slope, f"{slope:+.1f} KiB each, {lowest[0][1] >> 10} to {lowest[-1][1] >> 10} MiB"


# Arguments at the bounds of what is executed, and names of folders.
EDGES = (0, 1000, -1000, 10**18, 1e18, 1e-300, [10**18] * 500, "x" * 19_000, "9" * 300, ".", "..", "/", "a/../b")


def hostile_call(rng: random.Random, methods: dict[str, list[str]]) -> dict | str:
    """A call of a documented method with arguments that are mostly wrong, or of something else, as JSON or Python."""
    method = rng.choice((*methods, *methods, "__init__", "_load_scenario", "eval", "os.system", "", "open"))
    names = methods.get(method, ["a"]) if rng.random() < 0.8 else ["__class__", "self"]
    picked = rng.random()
    if picked < 0.5:
        arguments = {name: fuzz.made(rng, rng.choice(("value", "word", "number", "strange"))) for name in names}
        for name, value in arguments.items():
            with contextlib.suppress(ValueError, RecursionError):
                arguments[name] = json.loads(value)
        return {method: arguments if rng.random() < 0.5 else {name: rng.choice(EDGES) for name in names}}
    if picked < 0.9:
        values = (fuzz.made(rng, rng.choice(("value", "expression", "number", "deep"))) for _ in names)
        return f"{method}({', '.join(f'{name}={value}' for name, value in zip(names, values))})"
    odd = ({}, {method: None}, {"a": {}, "b": {}}, {5: {}}, f"{method}(*'ab')", "not " * 5000, "-" * 19_000 + "1")
    return rng.choice((*odd, fuzz.made(rng, "reasoning")))


def sandbox(work: Path, args, until: float) -> Iterator[Row]:
    from BFCL.bfcl import official, scoring
    from BFCL.bfcl.sandbox import Sandbox

    rng, before, category = random.Random(args.seed), children(), "multi_turn_base"
    entries = official.bfcl().load_dataset_entry(category)
    truths = {row["id"]: row["ground_truth"] for row in official.bfcl().load_ground_truth_entry(category)}
    points, faults, slowest, done, opened = [], [], 0.0, 0, []
    with Sandbox() as box:
        for done in range(1, args.episodes + 1):
            entry = rng.choice(entries)
            methods = {m: names for c in entry["involved_classes"] for m, names in official.documented()[c].items()}
            opened.append(box.open(entry["initial_config"], entry["involved_classes"]))
            for _ in range(rng.randint(1, 3)):
                calls = [hostile_call(rng, methods) for _ in range(rng.choice((0, 1, 3, 6)))]
                episode, started = rng.choice(opened[-8:]), time.monotonic()
                try:
                    results = box.execute(episode, calls)
                    if len(results) != len(calls) or not all(isinstance(text, str) for text in results):
                        faults.append(f"not one text a call: {results!r:.200}")
                    parts = scoring.score_multi(box, entry, truths[entry["id"]], [calls, calls]) if calls[5:] else {}
                    if not all(0 <= value <= 1 for value in parts.values()):
                        faults.append(f"{parts} for {calls!r:.300}")
                except Exception as error:  # noqa: BLE001
                    faults.append(f"{type(error).__name__} {error} for {calls!r:.300}")
                slowest = max(slowest, time.monotonic() - started)
            if rng.random() < 0.02 and box._worker:
                box._worker.kill()
            while len(opened) > 8:
                box.close(opened.pop(0))
            points.append((done, resident()))
            if time.monotonic() > until:
                break
    faults += [f"process {pid} was left behind" for pid in children() - before]
    slope, flat = growth(points)
    faults += [flat] if slope > GROWTH else []
    figure = f"{flat}; {box.restarts} restarts; slowest {slowest:.1f} s"
    yield Row("sandbox", f"{done} episodes", figure, faults)


def memory(work: Path, args, until: float) -> Iterator[Row]:
    words = {script: words_of(work, WORDS[script]) for script in (DEF, HYBRID)}
    long = f"--max_steps {args.steps} --save_steps 50 --heldout_every 50 --num_train_epochs 100".split()

    def watched(script: str) -> Row:
        output, points = work / "memory" / Path(script).stem, []
        process = subprocess.Popen(command(script, *words[script], *long, "--output", output), **QUIET)
        while process.poll() is None:
            time.sleep(0.1)
            steps = lines_of(output)
            if steps > (points[-1][0] if points else 1):
                with contextlib.suppress(OSError, StopIteration):  # it has just ended
                    points.append((steps, resident(process.pid)))
            if time.monotonic() > until:
                process.kill()
        slope, flat = growth(points)
        faults = [flat] if slope > GROWTH else []
        faults += [f"exit code {process.returncode}"] if process.returncode not in (0, -signal.SIGKILL) else []
        return Row(f"memory, {Path(script).stem}", f"{len(points)} steps", flat, faults)

    with ThreadPoolExecutor(CORES) as pool:
        yield from pool.map(watched, words)


PARTS = {  # and how much of the time each may take
    **{"fuzz": (fuzz_rewards, 0.2), "kills": (kills, 0.3), "disk": (disk, 0.25), "sandbox": (sandbox, 0.05)},
    "memory": (memory, 0.2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=60, help="at most; a part that runs out of time does less")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fuzz", type=int, default=10**5, help="completions for each reward function")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=1000, help="of the sandbox")
    parser.add_argument("--steps", type=int, default=300, help="of training, for the memory")
    args = parser.parse_args()
    rows, end = [], time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        os.environ["BFCL_PROJECT_ROOT"] = f"{folder}/bfcl"
        for number, part in enumerate(args.parts):
            started = time.monotonic()
            share = PARTS[part][1] / sum(PARTS[left][1] for left in args.parts[number:])
            rows += PARTS[part][0](Path(folder), args, started + share * (end - started))
            print(f"{part}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(f"| part | done | figure | faults |\n|---|---|---|---|  <!-- seed {args.seed}, {CORES} cores -->")
    for row in rows:
        print(f"| {row.what} | {row.done} | {row.figure} | {len(row.faults)} |")
    for row in rows:
        for fault in row.faults[:5]:
            print(f"{row.what}: {fault}", file=sys.stderr)
    sys.exit(1 if any(row.faults for row in rows) else 0)


if __name__ == "__main__":
    main()
