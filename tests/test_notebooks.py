"""The notebooks: their cells run from start to end in a fresh interpreter, and what they show is committed."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "demo").glob("*.ipynb"))


def cells(path, kind: str = "code") -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def test_both_are_there():
    assert [path.stem for path in NOTEBOOKS] == ["before_after", "sft_vs_grpo"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_shows_what_it_made(path):
    assert len(cells(path)) + len(cells(path, "markdown")) < 20
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    assert all(cell["execution_count"] for cell in cells(path)), "run: make notebooks"
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert str(ROOT) not in path.read_text() and "/tmp/" not in path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_start_to_end(path, tmp_path):
    """Without a kernel, which is not among the requirements; in a copy, as it writes to outputs/."""
    for name in ("common", "tiny", "BFCL/bfcl", "SFT", "GRPO_indomain", "resources/tiny-base"):
        shutil.copytree(ROOT / name, tmp_path / name)
    code = "\n".join("".join(cell["source"]) for cell in cells(path))
    env = os.environ | {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "outputs" / "notebook" / path.stem).is_dir()
