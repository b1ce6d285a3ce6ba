"""The notebooks: their cells run from start to end in a fresh interpreter, and what they show is committed."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

NOTEBOOK = ROOT / "demo" / "before_after.ipynb"
COPIED = ("common", "tiny", "workbench", "BFCL/bfcl", "SFT", "GRPO_indomain", "GRPO_outdomain")
COPIED += ("resources/report", "resources/tiny-base")


def cells(path, kind: str = "code") -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def test_the_notebook_is_short_and_shows_what_it_made():
    path = NOTEBOOK
    assert len(cells(path)) + len(cells(path, "markdown")) < 20
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    assert all(cell["execution_count"] for cell in cells(path)), "run: make notebooks"
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert str(ROOT) not in path.read_text() and "/tmp/" not in path.read_text()


def test_the_real_notebook_has_at_most_15_cells():
    path = ROOT / "demo" / "real_model.ipynb"  # run by tests/real
    assert len(cells(path)) + len(cells(path, "markdown")) <= 15
    assert "BASE = " in "".join(cells(path)[0]["source"])


@pytest.mark.slow
def test_the_notebook_runs_from_start_to_end(tmp_path):
    """Without a kernel, which no requirement brings, and for a few updates; in a copy, as it writes to outputs/."""
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "rewards.py", tmp_path)
    code = "\n".join("".join(cell["source"]) for cell in cells(NOTEBOOK))
    code = code.replace("from IPython.display import Image", "Image = open")
    code = code.replace('"--config", "recipes/tiny/start.yaml"', '"--max_steps", "8"').replace('"40"', '"2"')
    env = os.environ | {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "outputs" / "notebook" / "before_after").is_dir()
