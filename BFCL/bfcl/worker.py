"""The process in which calls of a model are executed: python -m BFCL.bfcl.worker, started by Sandbox.

It holds instances of BFCL's classes and calls their documented methods with literal arguments; there is nothing else it
can be asked for. Requests and answers are lines of JSON on stdin and stdout. Each call has half a second of CPU time,
after which the kernel ends the process, whatever it is doing; memory is limited and no file can be written.
"""

import contextlib
import copy
import functools
import json
import resource
import signal
import sys

from BFCL.bfcl import official
from BFCL.bfcl.parse import ERROR

CPU_SECONDS = 0.5  # for one call or one comparison of states; no ground truth takes 0.1
MEMORY = 2**30
MAX_RESULT = 10**6  # characters of one result; the longest of a ground truth has 32 thousand


def main() -> None:
    official.documented(), checkers()  # everything is imported before files and memory are limited
    for limit, size in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # not every system has every limit
            resource.setrlimit(limit, (size, size))
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a class prints is no answer
    episodes = {}

    def answer(value) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    answer("ready")
    for line in sys.stdin:
        action, *rest = json.loads(line)
        if action == "open":
            number, *scenario = rest
            episodes[number] = instances(*scenario)
            answer("open")
        elif action == "execute":
            for call in rest[1]:
                answer(execute(episodes[rest[0]], call))
        elif action == "state":
            with limited():
                state = public_state(episodes[rest[0]])
            answer(state)
        elif action == "close":
            episodes.pop(rest[0], None)
            answer("closed")
        elif action == "score":
            answer(score(*rest))


@contextlib.contextmanager
def limited():
    """Limited CPU time for what is inside; the default action of the signal is to end the process."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


@functools.cache
def checkers():
    from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_checker

    return multi_turn_checker.state_checker, multi_turn_checker.response_checker


def instances(config: str, classes: list[str], long_context: bool) -> dict:
    """{class: new instance} of a scenario (JSON text). They share nothing with any other episode.

    For a long context TravelAPI puts dictionaries of its module into its state and later changes them: hence the copy.
    """
    made, config = {}, json.loads(config)
    for name in classes:
        made[name] = official.executable(name)()
        if name != "MathAPI":  # it has no state
            made[name]._load_scenario(config.get(name, {}), long_context=long_context)
    return copy.deepcopy(made) if long_context and "TravelAPI" in made else made


@functools.cache
def defaults_of(name: str, method: str) -> tuple | None:
    """The default values of a method, if one of them can be changed by a call (post_tweet keeps its empty lists)."""
    values = getattr(official.executable(name), method).__defaults__
    return values if any(isinstance(value, (list, dict, set)) for value in values or ()) else None


@functools.cache
def owners(classes: tuple[str, ...]) -> dict[str, str]:
    """{method: class} of the documented methods of some classes."""
    return {method: name for name in classes for method in official.documented()[name]}


def execute(made: dict, call: list | str) -> str:
    """The result of [name, {argument: value}] as the official executor words it; a refused call is its own result."""
    if isinstance(call, str):
        return call
    method, arguments = call
    name = owners(tuple(made)).get(method)
    if name is None:
        return f"{ERROR}name '{method}' is not defined"
    if defaults := defaults_of(name, method):
        getattr(official.executable(name), method).__defaults__ = copy.deepcopy(defaults)
    with limited():
        try:
            result = getattr(made[name], method)(**arguments)
            text = result if isinstance(result, str) else as_text(result)
        except Exception as error:
            text = f"{ERROR}{error}"
    return text if len(text) <= MAX_RESULT else f"{ERROR}the result is too long"


def as_text(result) -> str:
    if isinstance(result, dict):
        with contextlib.suppress(Exception):
            return json.dumps(result)
    return str(result)


def public_state(made: dict) -> dict | None:
    """{class: {attribute: value}} without private attributes, for records; None where it is endless or too long."""

    def plain(value):
        if isinstance(value, set):
            return sorted(value)
        return value.contents if hasattr(value, "contents") else getattr(value, "content", str(value))

    public = {
        name: {key: value for key, value in vars(instance).items() if not key.startswith("_")}
        for name, instance in made.items()
    }
    with contextlib.suppress(Exception):
        text = json.dumps(public, default=plain)
        return json.loads(text) if len(text) <= MAX_RESULT else None
    return None


def same(made: dict, truth: dict) -> bool:
    """The official comparison of states; False where it cannot end (a directory that holds itself)."""
    with limited():
        try:
            return checkers()[0](made, truth)["valid"]
        except RecursionError:
            return False


@functools.lru_cache(512)
def true_steps(scenario: str, truth: str) -> list[tuple[list[str], bool]]:
    """For each turn of a ground truth: its results, and whether it changes the public state."""
    made, before = instances(*json.loads(scenario)), instances(*json.loads(scenario))
    steps = []
    for calls in json.loads(truth):
        results = [execute(made, call) for call in calls]
        steps.append((results, not same(before, made)))
        for call in calls:
            execute(before, call)
    return steps


def score(scenario: list, truth: list[list], turns: list[list]) -> list[dict]:
    """For each turn with calls in the ground truth, what scoring.score_multi reads off; on instances of their own."""
    made, true = instances(*scenario), instances(*scenario)
    steps = true_steps(json.dumps(scenario), json.dumps(truth))
    results, rows = [], []
    for calls, true_calls, (true_results, moved) in zip(turns, truth, steps):
        results += [execute(made, call) for call in calls]
        for call in true_calls:
            execute(true, call)
        if true_calls:
            missing = checkers()[1](results, true_results, 0).get("details", {}).get("missing_items", [])
            row = {"called": bool(calls), "moved": moved, "state": same(made, true)}
            rows.append(row | {"responses": 1 - len(missing) / len(true_results)})
    return rows


if __name__ == "__main__":
    main()
