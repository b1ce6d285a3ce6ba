"""A sandbox for the calls of a model: they are executed in a process that may be killed at any time."""

import contextlib
import json
import socket
import subprocess
import sys

from BFCL.bfcl import official
from BFCL.bfcl.parse import ERROR, parse_call
from common import data, runs

MAX_CALLS = 200  # that are executed of one completion, or of one turn when it is scored
KILLED = ERROR + "the call took too long or too much memory"
ANSWER_SECONDS = 60  # wall time for one answer; the worker's own limit, in CPU time, comes long before


class WorkerDied(Exception):
    """The worker was killed by its limits, or gave no answer in time."""


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
        self.restarts, self._opened, self._worker = 0, 0, None
        self._scenarios, self._done = {}, {}  # of every open episode: its scenario, the calls it has made
        self._held, self._ended = set(), set()  # episodes that the worker holds, and those that were killed

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stop()

    def open(self, initial_config: dict, involved_classes: list[str], long_context: bool = False) -> int:
        """A new episode from an entry's scenario; its number. ValueError for a class that is not documented."""
        scenario = _scenario(initial_config, involved_classes, long_context)
        self._opened += 1
        self._scenarios[self._opened], self._done[self._opened] = scenario, []
        return self._opened

    def execute(self, episode: int, calls: list[dict | str]) -> list[str]:
        """One result for each call, in order, worded as the official executor does. Never raises for any call: what
        is not a documented method with bounded literal arguments gives a result that begins with ERROR."""
        prepared, results = _prepare(calls), []
        try:
            self._bring_back(episode)
            for call, result in zip(prepared, self._ask(len(prepared), "execute", episode, prepared)):
                results.append(result)
                self._done[episode].append(call)
        except WorkerDied:
            self._ended.add(episode)
        return results + [KILLED] * (len(calls) - len(results))

    def state(self, episode: int) -> dict | None:
        """{class: {attribute: value}} of the public attributes, for records; None where it is too long or killed."""
        try:
            self._bring_back(episode)
            return next(self._ask(1, "state", episode))
        except WorkerDied:
            return None

    def close(self, episode: int) -> None:
        """Forget an episode."""
        del self._scenarios[episode], self._done[episode]
        self._ended.discard(episode)
        if episode in self._held:
            self._held.remove(episode)
            with contextlib.suppress(WorkerDied):
                next(self._ask(1, "close", episode))

    def score(self, entry: dict, truth: list[list], turns: list[list]) -> list[dict] | None:
        """For scoring.score_multi(): what the checkers say of each turn, on new instances; None if they were killed."""
        long_context = "long_context" in str(entry.get("id"))
        scenario = _scenario(entry["initial_config"], entry["involved_classes"], long_context)
        try:
            return next(self._ask(1, "score", scenario, [_prepare(t) for t in truth], [_prepare(t) for t in turns]))
        except WorkerDied:
            return None

    def _ask(self, answers: int, *request):
        """The answers of the worker one by one; WorkerDied where one does not come."""
        if self._worker is None:
            self._start()
        try:
            self._pipe.write(json.dumps(request).encode() + b"\n")
            self._pipe.flush()
            for _ in range(answers):
                line = self._pipe.readline()
                if not line.endswith(b"\n"):
                    raise WorkerDied
                yield json.loads(line)
        except (OSError, WorkerDied):  # a time-out is an OSError too
            self._stop()
            self.restarts += 1
            raise WorkerDied from None

    def _bring_back(self, episode: int) -> None:
        """Let the worker hold the episode: where it does not, open it there and repeat its calls."""
        if episode in self._ended:
            raise WorkerDied
        if self._worker and self._worker.poll() is not None:  # someone else ended it, between two requests
            self._stop()
            self.restarts += 1
        if episode not in self._held:
            next(self._ask(1, "open", episode, *self._scenarios[episode]))
            done = self._done[episode]
            for _ in self._ask(len(done), "execute", episode, done):
                pass
            self._held.add(episode)

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
            runs.fail(f"the worker for tool calls does not start (its message stands above); {data.INSTALL_BFCL}")

    def _stop(self) -> None:
        if self._worker:
            self._worker.kill()
            self._worker.wait()
            with contextlib.suppress(OSError):
                self._pipe.close()
        self._worker = None
        self._held.clear()


def _prepare(calls: list[dict | str]) -> list[list | str]:
    """The calls as the worker takes them; those beyond MAX_CALLS are refused."""
    return [parse_call(call) if i < MAX_CALLS else f"{ERROR}too many calls" for i, call in enumerate(calls)]


def _scenario(initial_config: dict, involved_classes: list[str], long_context: bool) -> list:
    unknown = set(involved_classes) - set(official.DOCUMENTS)
    if unknown:
        raise ValueError(f"{sorted(unknown)[0]} is none of the executable classes: {', '.join(official.DOCUMENTS)}")
    return [json.dumps(initial_config), list(involved_classes), bool(long_context)]
