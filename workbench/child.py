"""Call the rewards of a script in a process of its own, which can be ended where a reward does not come back.

The process answers in lines of JSON: the rewards, then that it has read the calls, then one line for each call and
reward. What the script prints goes to stderr.
"""

import atexit
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import runs, settings
from workbench import loading

LOADING = 300  # seconds; the first import of torch on a slow disk takes minutes


class Rewards:
    """The rewards of a script, each call at most `limit` seconds; ends the workbench in one line for a bad one."""

    def __init__(self, path: Path, choice: str, limit: float):
        self.path, self.limit = path, limit
        command = [sys.executable, __file__, str(path), choice]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8")
        atexit.register(self.process.kill)
        self.lines = queue.SimpleQueue()
        threading.Thread(target=self.read, daemon=True).start()
        facts = self.line("the script", LOADING)
        self.names: list[str] = facts["names"]
        self.weights: list[float] = facts["weights"]
        self.needs: list[list[str]] = facts["needs"]

    def read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put({"error": "ended its process"})

    def line(self, subject: str, limit: float) -> dict:
        """The next line of the process; its error, or none within the limit, ends the workbench."""
        try:
            facts = self.lines.get(timeout=limit)
        except queue.Empty:
            facts = {"error": f"takes more than {limit:g} s"}
        if "error" in facts:
            self.process.kill()
            runs.fail(f"{runs.shown(self.path)}: {subject} {facts['error']}")
        return facts

    def call(self, calls: list[dict[str, list]]) -> list[tuple[list[list], list[float]]]:
        """For each call, given by its columns: the values [rewards][completions], and the seconds of each reward."""
        print(json.dumps(calls), file=self.process.stdin, flush=True)
        self.line("the script", LOADING)
        results = []
        for _ in calls:
            lines = [self.line(f"reward {name}", self.limit) for name in self.names]
            results.append(([line["values"] for line in lines], [line["seconds"] for line in lines]))
        self.process.kill()
        return results


def checked(values, count: int) -> list[float | None]:
    """What a reward has returned, as numbers; ValueError where TRL's trainer would fail on it."""
    if not hasattr(values, "__iter__"):
        raise ValueError(f"returns {values!r}, not a list of {count} numbers")
    values = list(values)
    if len(values) != count:
        raise ValueError(f"returns {len(values)} values for {count} completions")
    numbers = [None if value is None else float(value) for value in values]
    for number in numbers:
        if number is not None and not math.isfinite(number):
            raise ValueError(f"returns {number}")
    return numbers


def main(path: str, choice: str) -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    settings.HELP = True  # then a script's Args do without trl's config, whose import takes seconds

    def answer(**facts) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    try:
        module = loading.load(path)
    except BaseException as error:  # noqa: BLE001  a script may also exit
        return answer(error=f"cannot be loaded ({type(error).__name__}: {error})")
    try:
        rewards = loading.rewards_of(module, choice)
        weights = loading.weights_of(module, len(rewards))
    except ValueError as error:
        return answer(error=str(error))
    needs = [loading.needs(reward) for reward in rewards]
    answer(names=[loading.name_of(reward) for reward in rewards], weights=weights, needs=needs)
    calls = json.loads(sys.stdin.readline())
    from GRPO_outdomain.certainty import Certainty

    beside = loading.trainer_columns(0, 100, with_state="trainer_state" in Path(path).read_text())
    answer(ready=True)
    for columns in calls:
        if "certainties" in columns:
            columns["certainties"] = [Certainty(*values) for values in columns["certainties"]]
        for reward in rewards:
            begun = time.perf_counter()
            try:
                values = reward(**columns, **beside)
            except BaseException as error:  # noqa: BLE001
                return answer(error=f"raises {type(error).__name__}: {error}")
            seconds = time.perf_counter() - begun
            try:
                values = checked(values, len(columns["completions"]))
            except (ValueError, TypeError) as error:
                return answer(error=str(error))
            if columns is calls[0] and all(value is None for value in values):
                return answer(error="returns None for every completion")
            answer(values=values, seconds=seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
