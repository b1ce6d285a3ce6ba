"""The notebooks run from a clean kernel, in a copy of the repo, as they write to outputs/."""

import shutil

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

COPIED = ("common", "tiny", "workbench", "BFCL/bfcl", "SFT", "GRPO_indomain", "GRPO_outdomain", "recipes")
COPIED += ("resources/report", "resources/tiny-base")


@pytest.mark.parametrize("name", ["before_after"])
def test_a_notebook_runs_from_a_clean_kernel(name, tmp_path, monkeypatch):
    for folder in COPIED:
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "rewards.py", tmp_path)
    (tmp_path / "demo").mkdir()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    book = nbformat.read(ROOT / "demo" / f"{name}.ipynb", 4)
    NotebookClient(book, timeout=1800, resources={"metadata": {"path": tmp_path / "demo"}}).execute()
    assert (tmp_path / "outputs" / "notebook" / name).is_dir()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
