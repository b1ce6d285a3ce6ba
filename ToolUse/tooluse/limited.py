"""A function in a process of its own, which is ended when it takes too long, together with whatever it started."""

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable

MAX_RESULT = 10_000  # characters of a result as JSON
MAX_ERROR = 250  # characters


def failure(name: str, reason) -> dict:
    """The result of a call that went wrong; reason: a text, or what was raised."""
    text = str(reason) or type(reason).__name__
    return {"error": f"{name[:50]}: {text}"[:MAX_ERROR]}


def call(function: Callable[[str, dict], dict], name: str, arguments: dict, seconds: float) -> dict:
    """function(name, arguments) in a fork of this process, so that no call sees what another one left behind.

    Nothing raises: {"error": ...} stands for whatever went wrong. Ends the process group of the fork after `seconds`.
    """
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        try:
            os.close(reader)
            _work(function, name, arguments, seconds, writer)
        finally:
            os._exit(0)
    os.close(writer)
    with contextlib.suppress(OSError):
        os.setpgid(process, process)  # here and in the fork: nobody knows which one comes first
    try:
        text = _read(reader, time.monotonic() + seconds)
    finally:
        os.close(reader)
        with contextlib.suppress(OSError):
            os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
    return json.loads(text) if text else failure(name, f"no result within {seconds:g} seconds")


def _read(reader: int, deadline: float) -> bytes:
    """The line that the fork writes; nothing where it ends before, or is too late."""
    text = b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([reader], [], [], max(0, deadline - time.monotonic()))
        chunk = os.read(reader, MAX_RESULT) if ready else b""
        if not chunk:
            return b""
        text += chunk
    return text


def _work(function: Callable, name: str, arguments: dict, seconds: float, writer: int) -> None:
    """In the fork: write the result as a line of JSON."""
    os.setpgid(0, 0)
    os.dup2(2, 1)  # whatever a function prints is no result
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds + 1)  # ends it where the script was killed
    try:
        text = json.dumps(function(name, arguments), allow_nan=False)
        if len(text) > MAX_RESULT:
            raise ValueError("the result is too long")
    except BaseException as error:  # noqa: BLE001  a user's function may raise anything, SystemExit too
        text = json.dumps(failure(name, error))
    with open(writer, "wb") as pipe:
        pipe.write(text.encode() + b"\n")
