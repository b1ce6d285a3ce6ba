"""What the tests share: the scripts as modules and as commands, hostile completions, and what is expensive to make."""

import contextlib
import functools
import importlib.util
import io
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}  # the tests need neither a GPU nor the hub
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with Ctrl-C ignored
os.environ.setdefault("OMP_NUM_THREADS", "1")  # they run side by side, a core each
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # bitsandbytes would load torch's compiler, for seconds, at import
ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / "resources" / "tiny-base"
sys.path.insert(0, str(ROOT))

from common import runs
from common.prompts import THESIS

A, B, C, D = THESIS
CORRECT, INCORRECT = f"{A}2*21=42{B}{C}42{D}", f"{A}2*21=43{B}{C}43{D}"
CALL = '<tool_call>\n{"name": "send_message", "arguments": {"receiver_id": "USR101", "message": "late"}}\n</tool_call>'
HOSTILE = {  # for every reward: completions that are malformed, misleading, huge or dangerous
    "empty": "",
    "spaces": "  \n\t ",
    "no tags": "the answer is 42",
    "answer tags alone": f"{C}42{D}",
    "unclosed": f"{A}2*21=42{B}{C}42",
    "reversed": f"{D}42{C}{B}2*21{A}",
    "repeated solution": f"{A}w{B}{C}42{D}{C}42{D}",
    "repeated everything": CORRECT * 50,
    "nested": f"{A}{C}42{D}{B}{C}42{D}",
    "solution inside solution": f"{A}w{B}{C}{C}42{D}{D}",
    "answer inside reasoning": f"{A}{C}42{D}{B}",
    "text after": f"{CORRECT} or maybe 43",
    "several answers": f"{A}w{B}{C}42 or 43{D}",
    "list of answers": f"{A}w{B}{C}1, 2, 3, 42{D}",
    "long": "x" * 10**5,
    "long solution": f"{A}w{B}{C}{'4' * 10**5}{D}",
    "open tags by the thousand": A * 10**4 + C * 10**4,
    "brackets": f"{A}w{B}{C}{'(' * 400}42{D}",
    "power tower": f"{A}w{B}{C}9**9**9{D}",
    "latex tower": f"{A}w{B}{C}9^{{9^{{9^9}}}}{D}",
    "factorial": f"{A}w{B}{C}(99999!)!{D}",
    "huge exponent": f"{A}w{B}{C}1e999999999{D}",
    "code": f"{A}w{B}{C}__import__('os').system('touch pwned'){D}",
    "nul": f"{A}\0{B}{C}42\0{D}",
    "surrogate": f"{A}w{B}{C}\ud800{D}",
    "nan": f"{A}w{B}{C}nan{D}",
    "inf": f"{A}w{B}{C}inf{D}",
    "minus inf": f"{A}w{B}{C}-Infinity{D}",
    "other digits": f"{A}w{B}{C}٤٢{D}",
    "division by zero": f"{A}w{B}{C}1/0{D}",
    "wrong tag set": "<think>w</think><answer>42</answer>",
    "special token text": f"{A}w{B}{C}42{D}<|im_end|><|im_start|>user",
    "call without line ends": CALL.replace("\n", ""),
    "unclosed call": CALL.removesuffix("</tool_call>"),
    "call that is not JSON": CALL.replace("{", "{{"),
    "list as call": "<tool_call>\n[1, 2]\n</tool_call>",
    "null as call": "<tool_call>\nnull\n</tool_call>",
    "call without arguments": '<tool_call>\n{"name": "send_message"}\n</tool_call>',
    "arguments as text": '<tool_call>\n{"name": "send_message", "arguments": "a"}\n</tool_call>',
    "name as list": '<tool_call>\n{"name": [], "arguments": {}}\n</tool_call>',
    "nan as argument": CALL.replace('"late"', "NaN"),
    "nested argument": CALL.replace('"late"', '{"a": [{"b": {}}]}'),
    "deep call": "<tool_call>\n" + "[" * 10**5 + "\n</tool_call>",
    "big number as argument": CALL.replace('"late"', "9" * 10**4),
    "call repeated": CALL * 500,
    "open call tags by the thousand": "<tool_call>\n" * 10**4,
    "code as argument": CALL.replace("late", "__import__('os').system('touch pwned')"),
}


def score(reward, text: str, truth: str = "42", tags: str = "thesis", **columns) -> float:
    """What a reward function gives one completion."""
    completions = [[{"role": "assistant", "content": text}]]
    return reward(completions=completions, solution=[truth], tags=[tags], **columns)[0]


@functools.cache  # a second copy of a module would make its Args unpicklable for the first
def load_script(path: str):
    """A stage script as a module; its name may hold hyphens."""
    name = Path(path).stem.replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run_script(path: str, *words, cwd=ROOT) -> subprocess.CompletedProcess:
    """The script as a user runs it, in a process of its own."""
    command = [sys.executable, os.path.relpath(ROOT / path, cwd), *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)


def call(path: str | Path, *words) -> subprocess.CompletedProcess:
    """The same script, first line to last, in this process, which has imported the libraries already."""
    out, errors, code, terminate = io.StringIO(), io.StringIO(), 0, signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(ROOT / path), *map(str, words)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                runpy.run_path(sys.argv[0], run_name="__main__")
            except SystemExit as end:
                code = end.code
            finally:  # what ends with a process
                signal.signal(signal.SIGTERM, terminate)
                while runs._locks:
                    runs._locks.pop().release()
    return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())


def one_line(done: subprocess.CompletedProcess, *words: str, code: int = 2) -> None:
    """The script ended with the exit code and one line of error that holds the words."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == code and len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
    for word in words:
        assert word in errors[0], errors[0]


def pytest_collection_modifyitems(items) -> None:
    """First what explains most of the failures after an upgrade of a library."""
    items.sort(key=lambda item: item.path.name != "test_private_names.py")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """made(name, script, *words): the script's output of that name, made once for all workers of pytest-xdist."""
    from filelock import FileLock

    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder

    def output(name: str, script: str, *words) -> Path:
        with FileLock(folder / f"{name}.lock"):
            if not (folder / name).exists():
                done = call(script, *words, "--output", folder / name)
                assert done.returncode == 0, done.stderr
        return folder / name

    return output


@pytest.fixture(scope="session")
def linear_data(made):
    """A small data set of linear systems."""
    sizes = ("--sft_rows", 64, "--train_rows", 64, "--validation_rows", 16, "--test_rows", 8)
    return made("linear", "SFT/dataset_creation.py", "--dataset", "linear", "--level", "easy", *sizes)


SFT, GRPO = "SFT/SFT_train.py", "GRPO_indomain/GRPO-1K.py"
FEW = {  # a few steps of the real trainers on the real base
    SFT: ["--max_steps", 8, "--save_steps", 2, "--eval_steps", 2, "--heldout_every", 4, "--heldout_rows", 4],
    GRPO: ["--max_steps", 6, "--save_steps", 2, "--heldout_every", 2, "--heldout_rows", 4, "--num_generations", 4]
    + ["--per_device_train_batch_size", 8, "--max_completion_length", 120, "--tags", "thesis"],
}


@pytest.fixture(scope="session")
def sft(made, linear_data):
    """A checkpoint of a few steps of SFT."""
    return made("SFT", SFT, "--dataset", linear_data, *FEW[SFT])


@pytest.fixture(scope="session")
def grpo(made, linear_data, sft):
    """A checkpoint of a few steps of GRPO-1K, from that of SFT."""
    return made("GRPO-1K", GRPO, "--dataset", linear_data, "--base", sft, *FEW[GRPO])
