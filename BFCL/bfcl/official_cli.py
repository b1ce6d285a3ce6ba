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
from common import evaluation, generation, lora, runs


def test(checkpoint: str, ids: dict[str, list[str]], args) -> list[dict]:
    """Rows of results.csv for a checkpoint, one for each category.

    ids: of the entries to test, by category. args: server (an address, or "" to start one), minutes, use_vllm, profile,
    and what checkpoint_facts() and context_length() read. Leaves outputs/bfcl/<checkpoint>/ with all that bfcl wrote;
    ends the script when a command fails or takes too long.
    """
    facts = evaluation.checkpoint_facts(checkpoint, args)
    folder = local(checkpoint)
    root = runs.OUTPUTS / "bfcl" / f"{facts['script']}-{facts['base']}-{facts['seed']}"
    shutil.rmtree(root, ignore_errors=True)
    (root / "hub").mkdir(parents=True)  # without it `transformers serve` answers 500 to /v1/models
    runs.write_json(root / "test_case_ids_to_generate.json", ids)
    address = args.server.removeprefix("http://").rstrip("/") or f"127.0.0.1:{free_port()}"
    host, _, port = address.partition(":")
    environment = os.environ | {
        "BFCL_PROJECT_ROOT": str(root),
        "LOCAL_SERVER_ENDPOINT": host,
        "LOCAL_SERVER_PORT": port,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": str(root / "hub"),
    }
    bfcl = [sys.executable, "-m", "bfcl_eval"]
    generate = ["generate", "--model", MODEL, "--local-model-path", folder, "--skip-server-setup", "--run-ids"]
    generate += ["--num-threads", "32" if args.use_vllm else "1"]
    evaluate = ["evaluate", "--model", MODEL, "--test-category", ",".join(ids), "--partial-eval"]
    with serving(folder, host, port, environment, args):
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
            process = subprocess.run(words, env=environment, stdout=output, stderr=output, timeout=60 * minutes)
        except subprocess.TimeoutExpired:
            runs.fail(f"bfcl {words[3]} took more than {minutes:g} minutes; see {runs.shown(log)}, raise --minutes")
    if process.returncode:
        runs.fail(f"bfcl {words[3]} failed with code {process.returncode}; see {runs.shown(log)}")


def server_command(folder: str, args) -> list[str]:
    """The command that serves a checkpoint, without its address: vllm, or transformers where --use_vllm is off.

    vLLM serves a 16-bit LoRA as adapter/ on its root, named as the folder, since bfcl asks for the model by that name.
    """
    root, adapter = lora.source(folder)
    if not args.use_vllm:
        if adapter:
            print(f"{runs.shown(folder)}: measures its merged weights; --use_vllm serves its adapter/ on {root}")
        program = Path(sys.executable).with_name("transformers")
        return [str(program), "serve", folder, "--device", "cuda" if args.profile == "gpu" else "cpu"]
    program = Path(sys.executable).with_name("vllm")
    words = [str(program), "serve", local(root), "--max-model-len", str(generation.context_length(folder, args))]
    if adapter:
        ranks = [rank for rank in generation.VLLM_RANKS if rank >= lora.rank(adapter)]
        if not ranks:
            runs.fail(f"the rank of {runs.shown(adapter)} is above {generation.VLLM_RANKS[-1]}; leave --use_vllm out")
        # The root may end its completions with another token than the checkpoint.
        words += ["--tokenizer", folder, "--generation-config", folder]
        words += ["--enable-lora", "--max-lora-rank", str(ranks[0]), "--lora-modules", f"{folder}={adapter}"]
    return words


@contextlib.contextmanager
def serving(folder: str, host: str, port: str, environment: dict, args):
    """A server with the checkpoint at the address, unless --server names one; it is ended with all that it started."""
    url = f"http://{host}:{port}/v1/models"
    if args.server:
        wait(url, None, 15)
        yield
        return
    words = [*server_command(folder, args), "--host", host, "--port", port]
    with open(Path(environment["BFCL_PROJECT_ROOT"]) / "server.log", "w") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait(url, process, 15)
            yield
        finally:
            end(process)


def end(process: subprocess.Popen) -> None:
    """End a process and all that it started, in 30 seconds or by force."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait(url: str, process: subprocess.Popen | None, minutes: float) -> None:
    """Until the server answers; ends the script when it dies or does not answer in time."""
    deadline = time.time() + 60 * minutes
    while time.time() < deadline:
        if process and process.poll() is not None:
            runs.fail(f"the server at {url} ended with code {process.poll()}; see its server.log")
        with contextlib.suppress(OSError):  # not there yet, or not ready: an error of urllib is an OSError
            if urllib.request.urlopen(url, timeout=10).status == 200:
                return
        time.sleep(1)
    runs.fail(f"the server at {url} answers no request; see its server.log")
