"""Functions in a process of their own, which is killed when one of them takes too long."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable

MAX_RESULT = 10_000  # characters of a result as JSON


class LimitedFunctions:
    """Calls functions of these names in a child process; a call that takes longer than `seconds` ends the child.

    Nothing raises: {"error": ...} stands for whatever went wrong, and the next call gets a new child. The child is a
    fork, so any function will do; arguments and results travel as JSON.
    """

    def __init__(self, functions: dict[str, Callable], seconds: float):
        self.functions, self.seconds, self._child = functions, seconds, None

    def call(self, name: str, arguments: dict) -> dict:
        """The function's result: a dictionary as it is, any other value as {"result": value}."""
        if self._child is None:
            self._start()
        try:
            self._pipe.write(json.dumps([name, arguments]).encode() + b"\n")
            self._pipe.flush()
            line = self._pipe.readline()
            if line.endswith(b"\n"):
                return json.loads(line)
        except OSError:  # no answer in time
            pass
        self.stop()
        return {"error": f"{name} gave no result within {self.seconds:g} seconds"}

    def stop(self) -> None:
        """End the child; the next call starts another one."""
        if self._child:
            with contextlib.suppress(OSError):
                self._pipe.close()
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._child, signal.SIGKILL)
                os.waitpid(self._child, 0)
        self._child = None

    def __del__(self):
        self.stop()

    def _start(self) -> None:
        ours, its = socket.socketpair()
        self._child = os.fork()
        if not self._child:
            try:
                ours.close()
                os.dup2(2, 1)  # whatever a function prints is no result
                self._serve(its.makefile("rwb"))
            finally:
                os._exit(0)
        its.close()
        ours.settimeout(self.seconds + 1)  # for a function that turns its timer off
        self._pipe = ours.makefile("rwb")
        ours.close()

    def _serve(self, pipe) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process, whatever it is doing
        for line in pipe:
            name, arguments = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, self.seconds)
            try:
                result = self.functions[name](**arguments)
                answer = json.dumps(result if isinstance(result, dict) else {"result": result}, allow_nan=False)
                if len(answer) > MAX_RESULT:
                    raise ValueError("the result is too long")
            except BaseException as error:  # noqa: BLE001  a user's function may raise anything, SystemExit too
                answer = json.dumps({"error": f"{name}: {str(error)[:200] or type(error).__name__}"})
            signal.setitimer(signal.ITIMER_REAL, 0)
            pipe.write(answer.encode() + b"\n")
            pipe.flush()
