"""A sandbox for the calls of a model: what may be executed runs in a process that may be killed at any time.

May be executed: a documented method by its plain name, with bounded literal arguments. Text of a model is taken apart
as a syntax tree; none of it is evaluated.
"""

import ast
import contextlib
import functools
import json
import socket
import subprocess
import sys
from dataclasses import dataclass, field

from BFCL.bfcl import official
from common import runs

# Bounds of a call that is executed; every ground truth lies far within them (the longest string has 6690 characters).
MAX_CHARS = 20_000  # of all strings of a call
MAX_ITEMS = 500  # of values at one depth of the arguments
MAX_DEPTH = 6
MAX_NUMBER = 10**18
# Arguments whose size is the cost of the call: the digits to compute, the power to raise to.
MAX_COST = dict.fromkeys(("precision", "exponent", "decimal_places"), 1000)
MAX_CALLS = 200  # that are executed of one completion, or of one turn when it is scored

ERROR = "Error during execution: "  # how the official executor begins what went wrong
KILLED = ERROR + "the call took too long or too much memory"
ANSWER_SECONDS = 60  # wall time for one answer; the worker's own limit, in CPU time, comes long before


def parse_call(call: dict | str) -> list | str:
    """[name, {argument: value}] of a call that may be executed, else the error that is its result. Never raises."""
    try:
        if isinstance(call, str):
            name, arguments = _read(call)
        else:
            ((name, arguments),) = call.items()
        if not isinstance(name, str) or name not in _parameters():
            raise ValueError(f"name '{str(name)[:100]}' is not defined")
        if not isinstance(arguments, dict):
            raise ValueError("the arguments are not named")
        _check(arguments)
    except Exception as error:  # noqa: BLE001  the parser has a dozen ways to refuse a text
        return f"{ERROR}{str(error)[:200] or 'this is not a call'}"
    return [name, arguments]


@functools.cache
def _parameters() -> dict[str, list[str]]:
    """{method: its parameters in order} over all classes; no two of them share a name."""
    parameters = {}
    for methods in official.documented().values():
        parameters |= methods
    return parameters


def _read(text: str) -> tuple[str, dict]:
    """Name and arguments of Python text: one call of a plain name with literal arguments, or an error."""
    if len(text) > MAX_CHARS:
        raise ValueError("the call is too long")
    call = ast.parse(text, mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError("only a plain function name can be called")
    name = call.func.id
    if not text.startswith(name):
        raise ValueError("the name is not written as it is")  # Python takes other letters for ASCII ones
    keys = _parameters().get(name, [])[: len(call.args)] + [keyword.arg for keyword in call.keywords]
    nodes = call.args + [keyword.value for keyword in call.keywords]
    if None in keys or len(set(keys)) < len(nodes):
        raise ValueError("arguments are unpacked, repeated or too many")
    return name, dict(zip(keys, map(ast.literal_eval, nodes)))


def _check(arguments: dict) -> None:
    """ValueError unless the arguments are literals of JSON within the bounds."""
    for key, value in arguments.items():
        if key in MAX_COST and isinstance(value, (int, float)) and not abs(value) <= MAX_COST[key]:
            raise ValueError(f"{key} is too large")
    characters = 0
    level = [arguments]
    for _ in range(MAX_DEPTH):
        below = []
        for value in level:
            if isinstance(value, dict):
                if not all(isinstance(key, str) for key in value):
                    raise ValueError("a key is not text")
                below += [*value.keys(), *value.values()]
            elif isinstance(value, (list, tuple)):
                below += value
            elif isinstance(value, str):
                characters += len(value)
            elif isinstance(value, (int, float)):
                if not abs(value) <= MAX_NUMBER:  # so that NaN is refused too
                    raise ValueError("a number is too large or none")
            elif value is not None:
                raise ValueError(f"{type(value).__name__} is no literal of JSON")
        if characters > MAX_CHARS or len(below) > MAX_ITEMS:
            raise ValueError("the arguments are too long")
        level = below
    if level:
        raise ValueError("the arguments are nested too deep")


def _parse_all(calls: list[dict | str]) -> list[list | str]:
    """The calls as the worker takes them; those beyond MAX_CALLS are refused."""
    return [*map(parse_call, calls[:MAX_CALLS]), *[f"{ERROR}too many calls"] * (len(calls) - MAX_CALLS)]


class WorkerDied(Exception):
    """The worker was killed by its limits, or gave no answer in time."""


@dataclass
class Episode:
    """What the sandbox knows of an episode."""

    scenario: list
    calls: list = field(default_factory=list)  # that it has made, to be repeated in a new worker
    held: bool = False  # whether the worker has its instances
    killed: bool = False


class Sandbox:
    """Executes calls in a worker process (BFCL/bfcl/worker.py), each episode on instances of its own.

        with Sandbox() as sandbox:
            episode = sandbox.open(entry["initial_config"], entry["involved_classes"])
            results = sandbox.execute(episode, [{"cd": {"folder": "documents"}}, {"ls": {}}])

    Serves any number of episodes, one after the other (not for threads). A call that takes more than half a second of
    CPU time, or too much memory, ends the worker and its own episode, whose calls all give KILLED from then on. A new
    worker takes the place, and brings each other episode back to where it was by repeating its calls. `restarts`
    counts this.
    """

    def __init__(self):
        self.restarts = 0
        self.episodes: dict[int, Episode] = {}  # those that are open, by their numbers
        self._opened = 0
        self._worker = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stop()

    def open(self, initial_config: dict, involved_classes: list[str], long_context: bool = False) -> int:
        """A new episode from an entry's scenario; its number. ValueError for a class that is not documented."""
        scenario = _scenario(initial_config, involved_classes, long_context)
        self._opened += 1
        self.episodes[self._opened] = Episode(scenario)
        return self._opened

    def execute(self, number: int, calls: list[dict | str]) -> list[str]:
        """One result for each call, in order, worded as the official executor does. Never raises for any call: what
        is not a documented method with bounded literal arguments gives a result that begins with ERROR."""
        episode = self.episodes[number]
        results = []
        if not episode.killed:
            parsed = _parse_all(calls)
            try:
                self._bring_back(number)
                self._send("execute", number, parsed)
                for call in parsed:
                    results.append(self._receive())
                    episode.calls.append(call)
            except WorkerDied:
                episode.killed = True
        return results + [KILLED] * (len(calls) - len(results))

    def close(self, number: int) -> None:
        """Forget an episode."""
        episode = self.episodes.pop(number)
        if episode.held:
            with contextlib.suppress(WorkerDied):
                self._send("close", number)
                self._receive()

    def score(self, entry: dict, truth: list[list], turns: list[list]) -> list[dict] | None:
        """For scoring.score_multi(): what the checkers say of each turn, on new instances; None if they were killed."""
        long_context = "long_context" in str(entry.get("id"))
        scenario = _scenario(entry["initial_config"], entry["involved_classes"], long_context)
        try:
            self._send("score", scenario, list(map(_parse_all, truth)), list(map(_parse_all, turns)))
            return self._receive()
        except WorkerDied:
            return None

    def _bring_back(self, number: int) -> None:
        """Let the worker hold the episode: where it does not, open it there and repeat its calls."""
        episode = self.episodes[number]
        if self._worker and self._worker.poll() is not None:  # someone else ended it, between two requests
            self._stop()
            self.restarts += 1
        if not episode.held:
            self._send("open", number, *episode.scenario)
            self._receive()
            self._send("execute", number, episode.calls)
            for _ in episode.calls:
                self._receive()
            episode.held = True

    def _send(self, *request) -> None:
        """A request to the worker, which is started unless it runs; WorkerDied where it takes none."""
        if self._worker is None:
            self._start()
        try:
            self._pipe.write(json.dumps(request).encode() + b"\n")
            self._pipe.flush()
        except OSError:
            self._bury()

    def _receive(self):
        """The worker's next answer; WorkerDied where none comes."""
        try:
            line = self._pipe.readline()
        except OSError:  # a time-out too
            line = b""
        if not line.endswith(b"\n"):
            self._bury()
        return json.loads(line)

    def _bury(self) -> None:
        self._stop()
        self.restarts += 1
        raise WorkerDied

    def _start(self) -> None:
        official.documented()  # where bfcl-eval is missing, this is the place to say so
        ours, its = socket.socketpair()
        ours.settimeout(ANSWER_SECONDS)
        command = [sys.executable, "-m", "BFCL.bfcl.worker"]
        self._worker = subprocess.Popen(command, cwd=runs.ROOT, stdin=its, stdout=its)
        its.close()
        self._pipe = ours.makefile("rwb")
        ours.close()
        if self._pipe.readline() != b'"ready"\n':
            self._stop()
            runs.fail(f"the worker for tool calls does not start (its message stands above); {official.INSTALL}")

    def _stop(self) -> None:
        if self._worker:
            self._worker.kill()
            self._worker.wait()
            with contextlib.suppress(OSError):
                self._pipe.close()
        self._worker = None
        for episode in self.episodes.values():
            episode.held = False


def _scenario(initial_config: dict, involved_classes: list[str], long_context: bool) -> list:
    unknown = set(involved_classes) - set(official.DOCUMENTS)
    if unknown:
        raise ValueError(f"{sorted(unknown)[0]} is none of the executable classes: {', '.join(official.DOCUMENTS)}")
    return [json.dumps(initial_config), list(involved_classes), bool(long_context)]
