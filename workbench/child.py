"""Call the rewards of a script in a process of their own, which is ended where a reward does not come back."""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from common import runs, settings
from workbench import loading

LOADING = 300  # seconds; an import on a slow disk takes minutes
loaded = []  # the reward functions, in the process that calls them


class Rewards:
    """The rewards of a script, each call at most `limit` seconds; a bad one ends the workbench in one line."""

    def __init__(self, path: Path, choice: str, limit: float):
        self.name, self.limit = runs.shown(path), limit
        self.source = path.read_text()
        self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self.names, self.weights = self.ask("the script", LOADING, describe, path, choice)

    def ask(self, subject: str, limit: float, function: Callable, *words):
        """What a function returns in the other process, within the limit; an error of it ends the workbench."""
        try:
            return self.pool.submit(function, *words).result(limit)
        except TimeoutError:
            problem = f"takes more than {limit:g} s"
        except BrokenProcessPool:
            problem = "ended its process"
        except ValueError as error:
            problem = str(error)
        self.end()
        runs.fail(f"{self.name}: {subject} {problem}")

    def call(self, columns: dict[str, list]) -> tuple[np.ndarray, float]:
        """(values [completions, rewards], NaN for None; the seconds that all rewards took)."""
        values, seconds = [], 0.0
        for place, name in enumerate(self.names):
            of_reward, time_of_reward = self.ask(f"reward {name}", self.limit, evaluate, place, columns)
            values.append(of_reward)
            seconds += time_of_reward
        return np.stack(values, axis=1), seconds

    def end(self) -> None:
        for process in multiprocessing.active_children():
            process.kill()
        self.pool.shutdown()


def describe(path: Path, choice: str) -> tuple[list[str], list[float]]:
    """Load a script; returns the names of its rewards and their weights."""
    os.dup2(2, 1)  # what the script prints stays out of the report
    settings.HELP = True  # then a script's Args do without trl's config, whose import takes seconds
    try:
        module = loading.load(path)
    except BaseException as error:  # noqa: BLE001  a script may also exit
        raise ValueError(f"cannot be loaded ({type(error).__name__}: {error})") from None
    loaded[:] = loading.rewards_of(module, choice)
    names = []
    for reward in loaded:
        name = getattr(reward, "__name__", type(reward).__name__)
        names.append(f"{name}_{len(names)}" if name in names else name)
    return names, loading.weights_of(module, len(names))


def evaluate(place: int, columns: dict[str, list]) -> tuple[np.ndarray, float]:
    """(the values of a reward, the seconds that it took); ValueError where TRL's trainer would fail on them."""
    count, begun = len(columns["completions"]), time.perf_counter()
    try:
        values = loaded[place](**columns, **loading.trainer_columns(0, 100))
    except BaseException as error:  # noqa: BLE001
        hint = "; pass --checkpoint FOLDER" if "certainties" in str(error) else ""
        raise ValueError(f"raises {type(error).__name__}: {error}{hint}") from None
    seconds = time.perf_counter() - begun
    try:
        numbers = np.array(list(values), dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"returns {values!r:.60}, not a list of {count} numbers") from None
    if numbers.shape != (count,):
        raise ValueError(f"returns {len(numbers)} values for {count} completions")
    if np.isinf(numbers).any() or np.isnan(numbers).sum() > list(values).count(None):
        raise ValueError(f"returns {numbers[~np.isfinite(numbers)][0]}")
    return numbers, seconds
