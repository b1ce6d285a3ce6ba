"""demo/real_model.ipynb for two updates of a pretrained model: BASE=FOLDER GSM8K=FOLDER python -m pytest tests/real

BASE: a folder with the weights of Qwen2.5-0.5B-Instruct or of another model; GSM8K: a folder with its files. Without
them they come from the hub. Ten minutes on one core.
"""

import csv
import json
import os
import shutil
import subprocess
import sys

from conftest import ROOT

FEW = {"UPDATES": "2", "GROUPS": "1", "GROUP_SIZE": "4", "TOKENS": "48", "TEST_ROWS": "8"}


def test_the_notebook_trains_and_tests_a_pretrained_model(tmp_path):
    for name in ("common", "tiny", "BFCL/bfcl", "SFT", "GRPO_indomain", "recipes"):
        shutil.copytree(ROOT / name, tmp_path / name)
    cells = json.loads((ROOT / "demo" / "real_model.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    env = os.environ | FEW | {"MPLBACKEND": "agg"}
    if "BASE" not in env:
        env.pop("HF_HUB_OFFLINE")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    out = tmp_path / "outputs" / "notebook" / "real_model"
    with open(out / "results.csv") as file:
        before, after = csv.DictReader(file)
    assert before["n"] == after["n"] == "8" and before["flexible"] and after["flexible"]
    assert json.loads((out / "GRPO-GSM8K" / "run.json").read_text())["hyperparameters"]["max_steps"] == 2
    assert done.stdout.count("(correct: ") == 2
