"""The rewards of a GRPO script, and what they are called with outside of a trainer."""

import dataclasses
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

from common import kinds, prompts


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
