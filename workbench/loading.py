"""The rewards of a GRPO script, and how they are called outside of a trainer.

Rewards calls them in a process of its own, which is ended where a reward does not come back.
"""

import dataclasses
import importlib.util
import inspect
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from common import kinds, prompts, runs, settings

LOADING = 300  # seconds; an import on a slow disk takes minutes
loaded = []  # the reward functions, in the process that calls them


def load(path: str | Path):
    """A script as a module, by its path; whatever it raises at import is raised here."""
    path = Path(path)
    spec = importlib.util.spec_from_file_location(f"script_{path.stem.replace('-', '_')}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def rewards_of(module, choice: str = "") -> list[Callable]:
    """The reward functions that a run of the script sums; ValueError where there are none.

    choice: the name of the one to take where REWARDS is a dict, as --reward of such a script does.
    """
    rewards = getattr(module, "REWARDS", None)
    if isinstance(rewards, dict):
        if choice not in rewards:
            raise ValueError(f"has several rewards; choose one with --reward: {', '.join(rewards)}")
        return [rewards[choice]]
    if choice:
        raise ValueError("has no choice of rewards; leave --reward out")
    if not isinstance(rewards, list | tuple) or not rewards or not all(map(callable, rewards)):
        raise ValueError("has no REWARDS, a list of reward functions")
    return list(rewards)


def weights_of(module, count: int) -> list[float]:
    """The default of the setting reward_weights in the script's Args; 1 for each reward without it."""
    setting = getattr(getattr(module, "Args", None), "__dataclass_fields__", {}).get("reward_weights")
    if setting is None or setting.default_factory is dataclasses.MISSING:
        return [1.0] * count
    weights = setting.default_factory()
    if len(weights) != count:
        raise ValueError(f"has {count} rewards and {len(weights)} reward_weights")
    return list(map(float, weights))


def columns_of(rows: Sequence[dict], texts: Sequence[str], kind: kinds.Kind, tag_set: str) -> dict[str, list]:
    """The columns that TRL's trainer passes to a reward, one entry for each completion; rows of data.read_split()."""
    tags = prompts.TAG_SETS[tag_set]
    columns = {"tags": [tag_set] * len(rows), "row": list(range(len(rows)))}
    for name in ("solution", *kind.reward_columns):
        columns[name] = [row[name] for row in rows]
    columns["prompts"] = [kind.prompt(row, tags) for row in rows]
    columns["completions"] = [[{"role": "assistant", "content": text}] for text in texts]
    return columns


def trainer_columns(step: int, max_steps: int) -> dict:
    """What TRL's trainer passes beside the columns: its state, and loggers, which log nothing here."""
    state = SimpleNamespace(global_step=step, max_steps=max_steps)
    return {"trainer_state": state, "log_metric": log_nothing, "log_extra": log_nothing}


def log_nothing(*words) -> None:
    pass


def needs(reward: Callable) -> set[str]:
    """The names of the columns that a reward cannot be called without."""
    names = set()
    for parameter in inspect.signature(reward).parameters.values():
        is_open = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and not is_open:
            names.add(parameter.name)
    return names


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
        module = load(path)
    except BaseException as error:  # noqa: BLE001  a script may also exit
        raise ValueError(f"cannot be loaded ({type(error).__name__}: {error})") from None
    loaded[:] = rewards_of(module, choice)
    names = []
    for reward in loaded:
        name = getattr(reward, "__name__", type(reward).__name__)
        names.append(f"{name}_{len(names)}" if name in names else name)
    return names, weights_of(module, len(names))


def evaluate(place: int, columns: dict[str, list]) -> tuple[np.ndarray, float]:
    """(the values of a reward, the seconds that it took); ValueError where TRL's trainer would fail on them."""
    count, begun = len(columns["completions"]), time.perf_counter()
    try:
        values = loaded[place](**columns, **trainer_columns(0, 100))
    except BaseException as error:  # noqa: BLE001
        hint = "; pass --checkpoint FOLDER" if "certainties" in str(error) else ""
        raise ValueError(f"raises {type(error).__name__}: {error}{hint}") from None
    seconds = time.perf_counter() - begun
    try:
        values = list(values)
        numbers = np.array(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"returns {values!r:.60}, not a list of {count} numbers") from None
    if numbers.shape != (count,):
        raise ValueError(f"returns {len(numbers)} values for {count} completions")
    if np.isinf(numbers).any() or np.isnan(numbers).sum() > values.count(None):
        raise ValueError(f"returns {numbers[~np.isfinite(numbers)][0]}")
    return numbers, seconds
