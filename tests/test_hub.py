"""The hub, with a stand-in on this machine: what is pushed loads, nothing else is pushed, no token is shown or kept."""

import base64
import json
import os
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import BASE, FEW, GRPO, ROOT, SFT, call, load_script, one_line

from common import evaluation, hub, models, runs, settings

PUSH, TOKEN = "demo/push_to_hub.py", "hf_secretsecretsecret"


class StandIn:
    """The hub's requests to make a repository and to commit to it; a repository is a folder.

    refuse: the part of an address that is answered with 403. seen: the addresses asked for.
    """

    def __init__(self, folder: Path):
        self.folder, self.refuse, self.seen, self.asked = folder, None, [], None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                assert self.headers["Authorization"] == f"Bearer {TOKEN}" and TOKEN.encode() not in body
                hub.seen.append(self.path)
                code, reply = (403, {"error": "no"}) if hub.refuse and hub.refuse in self.path else (200, None)
                reply = json.dumps(reply or hub.answer(self.path, body)).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str, body: bytes) -> dict:
        if path == "/api/repos/create":
            asked = json.loads(body)
            name, self.asked = f"{asked.get('organization') or 'someone'}/{asked['name']}", asked
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            return {"url": f"{self.address}/{name}", "id": name}
        if path == "/api/validate-yaml":  # of the card's head
            return {"errors": [], "warnings": []}
        name, kind = re.fullmatch("/api/models/(.*)/(preupload|commit)/main", path).groups()
        if kind == "preupload":
            sent = json.loads(body)["files"]
            return {"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in sent]}
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                (self.folder / name / line["value"]["path"]).write_bytes(content)
        return {"commitUrl": f"{self.address}/{name}/commit/1", "commitOid": "1" * 40}

    def commits(self) -> int:
        return sum("/commit/" in path for path in self.seen)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    from huggingface_hub import constants

    made = StandIn(tmp_path / "hub")
    monkeypatch.setattr(constants, "ENDPOINT", made.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield made
    made.server.shutdown()


@pytest.fixture
def output(tmp_path):
    """A finished output, with all that an output may hold."""
    folder = tmp_path / "machine" / "GRPO-1K"
    shutil.copytree(BASE, folder)
    (folder / "adapter").mkdir()
    for name in ("adapter/adapter_model.safetensors", "optimizer.pt", "samples.jsonl", "metrics.jsonl"):
        (folder / name).write_text(str(folder))
    final = {"heldout_accuracy": 0.75, "heldout_ci_low": 0.632, "heldout_ci_high": 0.84, "heldout_n": 64}
    facts = {
        "command": f"python {GRPO} --output {folder} --dataset={tmp_path}/linear --judge http://me:key@host/v1",
        "base": str(BASE),
        "dataset": f"{tmp_path}/linear",
        "lineage": ["tiny-base", "GRPO-1K"],
        "update_kept": 0.5,
        "hyperparameters": {"output_dir": str(folder)},
        **{"seed": 5, "commit": "abc1234", "versions": {"torch": "2.13.0"}, "device": "1 CPU threads"},
        **{"tags": "thesis", "fingerprint": "f00d", "seconds": 300, "final": final},
    }
    runs.write_json(folder / "run.json", facts)
    return folder


def test_what_is_pushed_loads_and_nothing_else_is_pushed(stand_in, output, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    done = call(PUSH, output, "--hub_model_id", "someone/mine", "--hub_private_repo")
    assert done.returncode == 0 and "pushed" in done.stdout and "private" in str(stand_in.asked), done.stderr
    repo = stand_in.folder / "someone" / "mine"
    pushed, own = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (repo, output))
    assert all(torch.equal(pushed[name], own[name]) for name in own)
    assert models.load_tokenizer(str(repo))[1] == "thesis"
    known = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in repo.iterdir()} == known | {"chat_template.jinja", "README.md"}
    assert stand_in.commits() == 1
    for path in repo.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes() and TOKEN.encode() not in path.read_bytes()
    assert TOKEN not in done.stdout + done.stderr


def test_the_card_has_command_base_data_limits_and_intervals(output, tmp_path):
    from huggingface_hub import ModelCard

    text = hub.card(output, repo="someone/mine")
    head = ModelCard(text).data
    assert head.pipeline_tag == "text-generation"
    (figure,) = head.eval_results
    assert (figure.dataset_name, figure.dataset_split, figure.metric_value) == ("linear", "validation", 0.75)
    for words in (
        f"python {GRPO} --output GRPO-1K --dataset=linear --judge URL",
        "tiny-base -> GRPO-1K",
        *("Base: tiny-base. Data set: linear, fingerprint f00d", "Seed 5, commit abc1234", "300 seconds"),
        *("| 64 | 75.0% | 63.2% to 84.0% |", "50% of the last update", 'model="someone/mine"', "## Limits"),
    ):
        assert words in text, words
    assert str(tmp_path) not in text and "key@host" not in text
    facts = json.loads((output / "run.json").read_text())
    runs.write_json(output / "run.json", facts | {"base": "Qwen/Qwen3-4B-Base"})
    assert ModelCard(hub.card(output)).data.to_dict()["base_model"] == "Qwen/Qwen3-4B-Base"


def test_the_card_has_the_commands_of_the_stages_before_it(output):
    sft = output.parent / "SFT"
    shutil.copytree(output, sft)
    facts = json.loads((output / "run.json").read_text())
    runs.write_json(output / "run.json", facts | {"base": str(sft)})
    runs.write_json(sft / "run.json", facts | {"command": f"python {SFT} --output {sft}"})
    for made, shown in ((1, True), (3, False)):  # before the checkpoint, or again after it
        os.utime(sft / "run.json", (made, made))
        os.utime(output / "run.json", (2, 2))
        text = hub.card(output)
        assert (f"python {SFT} --output SFT" in text) == shown and "Base: tiny-base" in text


def test_the_card_has_only_rows_that_were_measured_on_this_checkpoint(output, tmp_path):
    args = SimpleNamespace(results=str(tmp_path / "results.csv"), seed=5, tags="thesis")
    plan = evaluation.Plan("greedy", 1, {})
    key = evaluation.key_of(evaluation.checkpoint_facts(str(output), args), "linear", "test", plan)
    row = {**key, "n": 4, "accuracy": 0.75, "ci_low": 0.3, "ci_high": 0.95, "command": f"python t.py --x {tmp_path}"}
    evaluation.save_rows([row, row | {"dataset": "other"}, row | {"seed": 6}], evaluation.results_path(args))
    assert hub.measured(output, args) == []
    kept = evaluation.completions_file(key, args)
    kept.parent.mkdir()
    kept.write_text("".join(json.dumps({"correct": correct}) + "\n" for correct in (True, True, True, False)))
    (found,) = hub.measured(output, args)
    text = hub.card(output, [found])
    assert "| linear, test, greedy | 4 | 75.0% | 30.0% to 95.0% |" in text and "python t.py --x " in text
    assert "flexible" not in text
    both = found | {"flexible": "1.0000", "flexible_low": "0.5101", "flexible_high": "1.0000"}
    text = hub.card(output, [both])
    assert "| linear, test, greedy, flexible | 4 | 100.0% | 51.0% to 100.0% |" in text
    assert "| linear, test, greedy, strict | 4 | 75.0% | 30.0% to 95.0% |" in text and "flexible: the answer" in text
    evaluation.save_rows([row | {"accuracy": 0.5}], evaluation.results_path(args))  # a row of another run
    assert hub.measured(output, args) == []


def test_bad_input_is_one_line(stand_in, output, tmp_path, monkeypatch):
    stand_in.refuse = "/commit/"
    one_line(call(PUSH, output), "refuses (403)", "token")
    stand_in.refuse = "/create"
    one_line(call(PUSH, output), "refuses (403)")
    for name in ("no name!", "a/b/c"):
        one_line(call(PUSH, output, "--hub_model_id", name), "--hub_model_id")
    stand_in.server.shutdown()
    stand_in.server.server_close()
    one_line(call(PUSH, output), "cannot be reached")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    one_line(call(PUSH, output), "hf auth login")
    one_line(call(PUSH), "which output?")
    one_line(call(PUSH, tmp_path / "nothing"), "does not exist")
    one_line(call(PUSH, BASE), "not the output of a training script")
    assert TOKEN not in call(PUSH, output).stderr


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_what_does_not_load_is_not_pushed(file, stand_in, output):
    (output / file).write_text("")
    one_line(call(PUSH, output), "cannot load", str(output))
    assert not stand_in.seen


@pytest.mark.parametrize(
    "facts",
    [None, [], {"lineage": None, "base": None}, {"lineage": ["a"], "base": "b", "dataset": None, "final": None}],
)
def test_a_damaged_record_is_one_line(facts, output):
    runs.write_json(output / "run.json", facts)
    one_line(call(PUSH, output, "--dry_run"), str(output))


@pytest.mark.parametrize("script", [PUSH, "GRPO_indomain/GRPO_test.py"])
def test_results_have_to_be_a_file(script, output, tmp_path):
    words = [output] if script == PUSH else []
    one_line(call(script, *words, "--results", tmp_path), "is a folder")
    if script == PUSH:
        one_line(call(script, *words, "--results", tmp_path / "none.csv"), "no such file")


@pytest.mark.parametrize("script", [SFT, GRPO, "ToolUse/SFT_tools.py", "ToolUse/DPO_tools.py", "BFCL/GRPO_BFCL_v2.py"])
def test_a_token_on_the_command_line_is_refused(script):
    for words in (["--hub_token", TOKEN], [f"--hub_token={TOKEN}"]):
        done = call(script, *words)
        one_line(done, "hf auth login")
        assert TOKEN not in done.stdout + done.stderr


@pytest.mark.parametrize("script", sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("[SGBT]*/*.py")))
def test_every_training_script_offers_the_hub_and_curves(script):
    Args = getattr(load_script(script), "Args", settings.ProfileArgs)
    trains = hasattr(Args, "learning_rate") and hasattr(Args, "per_device_train_batch_size")
    assert trains == ({"push_to_hub", "hub_model_id", "report_to"} <= set(settings.settings_of(Args)))


@pytest.mark.slow
def test_a_run_is_pushed_once_when_it_is_finished(stand_in, linear_data, tmp_path):
    from transformers import AutoModelForCausalLM

    words = [SFT, "--dataset", linear_data, "--output", tmp_path / "mine", *FEW[SFT], "--max_steps", 2, "--push_to_hub"]
    done = call(*words)
    assert done.returncode == 0 and "pushed" in done.stdout, done.stderr
    assert stand_in.commits() == 1
    AutoModelForCausalLM.from_pretrained(stand_in.folder / "someone" / "mine")
    record = (tmp_path / "mine" / "run.json").read_text()
    assert json.loads(record)["hyperparameters"]["push_to_hub"] and TOKEN not in record
    assert (tmp_path / "mine" / "README.md").read_text().startswith("---\n")
    assert ".partial" not in (tmp_path / "mine" / "README.md").read_text()
    assert "push_to_hub.py" in call(*words, "--resume").stdout and stand_in.commits() == 1

    stand_in.refuse = "/commit/"
    done = call(*words, "--overwrite")
    one_line(done, "is whole", "push_to_hub.py")
    assert (tmp_path / "mine" / "run.json").exists()
