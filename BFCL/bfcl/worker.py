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
from BFCL.bfcl.sandbox import ERROR

CPU_SECONDS = 0.5  # for one call or one comparison of states; no ground truth takes 0.1
MEMORY = 2**30
MAX_RESULT = 10**6  # characters of one result; the longest of a ground truth has 32 thousand


def main() -> None:
    official.documented()  # everything is imported before files and memory are limited
    checkers()
    for limit, size in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # not every system has every limit
            resource.setrlimit(limit, (size, size))
    output = sys.stdout
    sys.stdout = sys.stderr  # whatever a class prints is no answer

    def answer(value) -> None:
        output.write(json.dumps(value) + "\n")
        output.flush()

    episodes = {}
    answer("ready")
    for line in sys.stdin:
        action, *request = json.loads(line)
        if action == "open":
            number, *scenario = request
            episodes[number] = instances_of(*scenario)
            answer("open")
        elif action == "execute":
            number, calls = request
            for call in calls:
                answer(execute(episodes[number], call))
        elif action == "close":
            episodes.pop(request[0], None)
            answer("closed")
        elif action == "score":
            answer(score(*request))


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


def instances_of(config: str, classes: list[str], long_context: bool) -> dict:
    """{class: new instance} of a scenario (JSON text). They share nothing with any other episode.

    For a long context TravelAPI puts dictionaries of its module into its state and later changes them: hence the copy.
    """
    configs = json.loads(config)
    instances = {}
    for name in classes:
        instances[name] = official.executable(name)()
        if name != "MathAPI":  # it has no state
            instances[name]._load_scenario(configs.get(name, {}), long_context=long_context)
    if long_context and "TravelAPI" in instances:
        return copy.deepcopy(instances)
    return instances


@functools.cache
def mutable_defaults(name: str, method: str) -> tuple | None:
    """The default values of a method, if one of them can be changed by a call (post_tweet keeps its empty lists)."""
    values = getattr(official.executable(name), method).__defaults__ or ()
    return values if any(isinstance(value, (list, dict, set)) for value in values) else None


def execute(instances: dict, call: list | str) -> str:
    """The result of [name, {argument: value}] as the official executor words it; a refused call is its own result."""
    if isinstance(call, str):
        return call
    method, arguments = call
    name = next((name for name in instances if method in official.documented()[name]), None)
    if name is None:
        return f"{ERROR}name '{method}' is not defined"
    if defaults := mutable_defaults(name, method):
        getattr(official.executable(name), method).__defaults__ = copy.deepcopy(defaults)
    with limited():
        try:
            text = as_text(getattr(instances[name], method)(**arguments))
        except Exception as error:
            text = f"{ERROR}{error}"
    return text if len(text) <= MAX_RESULT else f"{ERROR}the result is too long"


def as_text(result) -> str:
    if isinstance(result, dict):
        with contextlib.suppress(Exception):
            return json.dumps(result)
    return str(result)


def is_same(instances: dict, true_instances: dict) -> bool:
    """The official comparison of states; False where it cannot end (a directory that holds itself)."""
    state_checker, _ = checkers()
    with limited():
        try:
            return state_checker(instances, true_instances)["valid"]
        except RecursionError:
            return False


def score(scenario: list, truth: list[list], turns: list[list]) -> list[dict]:
    """For each turn with calls in the ground truth, what scoring.score_multi reads off; on instances of their own."""
    _, response_checker = checkers()
    instances = instances_of(*scenario)
    true_instances = instances_of(*scenario)
    results = []
    rows = []
    for calls, true_calls in zip(turns, truth):
        results += [execute(instances, call) for call in calls]
        true_results = [execute(true_instances, call) for call in true_calls]
        if true_calls:
            missing = response_checker(results, true_results, 0).get("details", {}).get("missing_items", [])
            rows.append(
                {
                    "called": bool(calls),
                    "state": is_same(instances, true_instances),
                    "responses": 1 - len(missing) / len(true_results),
                }
            )
    return rows


if __name__ == "__main__":
    main()
