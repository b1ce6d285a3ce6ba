"""What the tests share: the repo on the path, the scripts as modules, and a tiny random model to run them with."""

import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run side by side, a core each
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


@functools.cache  # a second copy of a module would make its Args unpicklable for the first
def load_script(path: str):
    """A stage script as a module; its name may hold hyphens."""
    name = Path(path).stem.replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run_script(path: str, *words, cwd=ROOT, **environment) -> subprocess.CompletedProcess:
    """The script as a user runs it, on the CPU and without the hub."""
    script = os.path.relpath(ROOT / path, cwd)
    command = [sys.executable, script, *map(str, words)]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"} | environment
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="session")
def linear_data(tmp_path_factory):
    """A small data set of linear systems, made by the script itself."""
    folder = tmp_path_factory.mktemp("data") / "linear"
    sizes = ("--sft_rows", 64, "--train_rows", 64, "--validation_rows", 16, "--test_rows", 8)
    done = run_script("SFT/dataset_creation.py", "--output", folder, "--level", "easy", *sizes)
    assert done.returncode == 0, done.stderr
    return folder
