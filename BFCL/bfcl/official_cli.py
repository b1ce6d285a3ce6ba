"""BFCL's own command line on a checkpoint: a server on this machine, bfcl generate, bfcl evaluate, and its scores."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from BFCL.bfcl.official import MODEL  # whose handler writes the prompts and reads the completions
from common import evaluation, generation, runs


def test(folder: str, ids: dict[str, list[str]], args) -> list[dict]:
    """Rows of results.csv for a checkpoint, one for each category.

    ids: of the entries to test, by category. args: server (an address, or "" to start one), minutes, use_vllm, profile,
    and what checkpoint_facts() and context_length() read. Leaves outputs/bfcl/<checkpoint>/ with all that bfcl wrote;
    ends the script when a command fails or takes too long.
    """
    facts, folder = evaluation.checkpoint_facts(folder, args), local(folder)
    root = runs.OUTPUTS / "bfcl" / f"{facts['script']}-{facts['base']}-{facts['seed']}"
    shutil.rmtree(root, ignore_errors=True)
    (root / "hub").mkdir(parents=True)  # without it `transformers serve` answers 500 to /v1/models
    runs.write_json(root / "test_case_ids_to_generate.json", ids)
    address = args.server.removeprefix("http://").rstrip("/") or f"127.0.0.1:{free_port()}"
    host, _, port = address.partition(":")
    environment = {"BFCL_PROJECT_ROOT": str(root), "LOCAL_SERVER_ENDPOINT": host, "LOCAL_SERVER_PORT": port}
    environment = os.environ | environment | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(root / "hub")}
    bfcl = [sys.executable, "-m", "bfcl_eval"]
    generate = ["generate", "--model", MODEL, "--local-model-path", folder, "--skip-server-setup", "--run-ids"]
    generate += ["--num-threads", "32" if args.use_vllm else "1"]
    evaluate = ["evaluate", "--model", MODEL, "--test-category", ",".join(ids), "--partial-eval"]
    with serving(folder, address, environment, args):
        command(bfcl + generate, environment, root / "generate.log", args.minutes)
    command(bfcl + evaluate, environment, root / "evaluate.log", args.minutes)
    rows = []
    for name in ids:
        path = next((root / "score").rglob(f"BFCL_v4_{name}_score.json"), None)
        if path is None:
            runs.fail(f"bfcl evaluate left no score of {name}; see {runs.shown(root)}/generate.log and evaluate.log")
        score = json.loads(path.open().readline())
        low, high = evaluation.wilson(score["accuracy"], score["total_count"])
        row = {"dataset": f"bfcl_{name}", "split": "bfcl-eval", "decoding": "greedy", "n": score["total_count"]}
        row |= {"accuracy": score["accuracy"], "ci_low": low, "ci_high": high, "commit": runs.commit()}
        rows.append({**facts, **row, "command": runs.command_line()})
        print(f"{facts['script']:24} {name} {score['accuracy']:.1%} of {score['total_count']}, by bfcl evaluate")
    return rows


def local(folder: str) -> str:
    """The folder of a checkpoint, for a hub name that of its download: the server and bfcl get no access to the hub."""
    if Path(folder).is_dir():
        return folder
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(folder, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"])
    except Exception as error:  # the hub client raises a dozen types; all mean the same to the user
        runs.fail(f"cannot download {folder} ({type(error).__name__}); pass a folder that holds it")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(words: list[str], environment: dict, log: Path, minutes: float) -> None:
    """Run a command with its output in a file; ends the script when it fails or takes too long."""
    with open(log, "w") as output:
        try:
            done = subprocess.run(words, env=environment, stdout=output, stderr=output, timeout=60 * minutes)
        except subprocess.TimeoutExpired:
            runs.fail(
                f"{' '.join(words[2:5])} took more than {minutes:g} minutes; see {runs.shown(log)}, raise --minutes"
            )
    if done.returncode:
        runs.fail(f"bfcl {words[3]} failed with code {done.returncode}; see {runs.shown(log)}")


@contextlib.contextmanager
def serving(folder: str, address: str, environment: dict, args):
    """A server with the checkpoint at the address, vLLM or transformers; it is ended with all that it started."""
    host, _, port = address.partition(":")
    if args.server:
        process = None
    else:
        program = Path(sys.executable).with_name("vllm" if args.use_vllm else "transformers")
        words = [program, "serve", folder]
        if args.use_vllm:
            words += ["--max-model-len", generation.context_length(folder, args)]
        else:
            words += ["--device", "cuda" if args.profile == "gpu" else "cpu"]
        words += ["--host", host, "--port", port]
        log = open(Path(environment["BFCL_PROJECT_ROOT"]) / "server.log", "w")
        process = subprocess.Popen(
            list(map(str, words)), env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait(f"http://{address}/v1/models", process, 15)
        yield
    finally:
        if process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            log.close()


def wait(url: str, process, minutes: float) -> None:
    """Until the server answers; ends the script when it dies or does not answer in time."""
    deadline = time.time() + 60 * minutes
    while time.time() < deadline and (process is None or process.poll() is None):
        with contextlib.suppress(OSError):  # not there yet, or not ready: an error of urllib is an OSError
            if urllib.request.urlopen(url, timeout=10).status == 200:
                return
        time.sleep(1)
    state = "answers no request" if process is None or process.poll() is None else f"ended with code {process.poll()}"
    runs.fail(f"the server at {url} {state}; see its server.log")
