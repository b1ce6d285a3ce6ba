"""Test checkpoints on tool calls: our own test tasks, the held-out fifth of BFCL, and BFCL's official categories.

accuracy = share of perfect matches by the official checkers (several turns: state and responses after every turn);
reward = what GRPO_BFCL_v1.py pays by default, of several turns what GRPO_BFCL_v2.py does; interval: 95 % Wilson. Beside
the checkpoints stands what a model gets that never calls: on irrelevance that is everything. A prompt that does not fit
into the context counts as wrong. The scores of groups are calculated as officially; of a sample (--rows) they are
estimates. --official leaves our scorer out: it serves each checkpoint and drives BFCL's own command line against it.

Input: checkpoints, outputs/data/<dataset>/, the data of the installed bfcl-eval. Output: rows of resources/results.csv
and items.csv, each reply in outputs/tests/*.jsonl; with --official outputs/bfcl/<checkpoint>/ (result, score).
Command: python BFCL/GRPO_BFCL_evaluate.py --checkpoints outputs/SFT-BFCL outputs/GRPO_BFCL_v1
"""

import contextlib
import dataclasses
import gc
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import data, evaluation, models, runs, settings, tool_tasks, toolcalls
from common.episodes import play, within
from common.settings import setting


@dataclass
class Args(settings.ProfileArgs):
    checkpoints: list[str] = setting([], "folders or hub names [the base and all of outputs/]")
    dataset: list[str] = setting(
        ["bfcl_single", "bfcl_multi", "bfcl_split_single", "bfcl_split_multi"],
        "folders of outputs/data/, made by BFCL_dataset_creation.py; none for the categories alone",
        tiny=["bfcl_single", "bfcl_multi"],
    )
    categories: list[str] = setting(
        ["all"],
        "official categories, or the groups non_live live irrelevance multi_turn",
        tiny=["simple_python", "multiple", "live_simple", "irrelevance"],
    )
    split: str = setting("test", "of the data sets: test, or validation to choose settings by")
    tags: str = setting("thesis", "tag set of a base that carries none; no tag is asked for here")
    base: str = setting(
        "Qwen/Qwen3-4B-Base", "the base that leads the default list of checkpoints", tiny="resources/tiny-base"
    )
    rows: int = setting(
        0, "of each data set and category, drawn with --draw; 0 takes all", tiny=100
    )  # a prompt of the categories takes as long as ten systems of equations
    draw: int = setting(3407, "seed of that draw; not --seed, since checkpoints are compared on the same rows")
    samples: int = setting(
        0, "sampled replies to each row of the data sets, beside the greedy one of the official test", tiny=5
    )
    temperature: float = setting(0.7, "of the samples; this and the next two as in the other tests")
    top_p: float = setting(0.8, "as there")
    top_k: int = setting(20, "as there")
    greedy: bool = setting(True, "one greedy reply")
    seed: int = setting(0, "of the sampling")
    max_new_tokens: int = setting(1024, "of a reply", tiny=100)
    prompt_room: int = setting(12288, "tokens of the longest prompt; several turns with all of a class need most")
    max_steps: int = setting(
        20, "replies with calls in one turn, after which an episode is lost; the official limit", tiny=4
    )
    batch_size: int = setting(64, "replies in memory at once", tiny=100)
    use_vllm: bool = setting(False, "generate with vLLM; needs CUDA")
    results: str = setting("", "another results.csv, with items.csv and the replies beside it [resources/results.csv]")
    show: int = setting(1, "replies to print for each checkpoint and set")
    official: bool = setting(False, "serve each checkpoint and run bfcl generate and bfcl evaluate on it instead")
    server: str = setting("", "for --official: use this server, such as http://127.0.0.1:8000, and start none")
    minutes: float = setting(240, "for --official: time for generating, and for evaluating; then it is given up")


GROUPS = {  # the official ones, without Java and JavaScript apart
    "non_live": ("simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple"),
    "live": ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple"),
    "irrelevance": ("irrelevance", "live_irrelevance"),
    "multi_turn": tool_tasks.MULTI,
}
MODEL = toolcalls.MODEL  # whose handler writes the prompts and reads the replies in --official


def main(args):
    models.check_device(args)
    categories = chosen(args.categories)
    folders, loaded = evaluation.checkpoints_of(args)
    if args.official:
        if not categories:
            runs.fail("--official tests categories; name some with --categories")
        for folder in folders:
            official(folder, categories, args)
        return
    names = [name for name in args.dataset if name != "none"]
    sets = [(data.dataset_folder(name).name, args.split, data.read_split(name, args.split)[0]) for name in names]
    sets += [(f"bfcl_{name}", "official", tool_tasks.official(name)) for name in categories]
    sets = [(name, split, sample(rows, args.rows, args.draw)) for name, split, rows in sets]
    with toolcalls.Episodes() as worker:
        floor = {"script": "never-calls", "seed": 0, "base": "none"}
        save(floor, silent, sets, worker, dataclasses.replace(args, show=0, samples=0))
        for folder, (tokenizer, _) in zip(folders, loaded):
            answer = bounded(evaluation.generator(folder, tokenizer, args), tokenizer, folder, args)
            save(evaluation.checkpoint_facts(folder, args), answer, sets, worker, args)
            del answer  # and with it the model, before the next one takes its memory
            gc.collect()


def chosen(names: list[str]) -> list[str]:
    """The categories of a list of categories and groups."""
    known = dict.fromkeys((*tool_tasks.SINGLE, *tool_tasks.MULTI))
    groups = GROUPS | {"all": tuple(known), "none": ()} | {name: (name,) for name in known}
    for name in names:
        if name not in groups:
            runs.fail(f"--categories {name}: choose from {', '.join(groups)}")
    return list(dict.fromkeys(category for name in names for category in groups[name]))


def sample(rows: list[dict], n: int, seed: int) -> list[dict]:
    """n of the rows, drawn with the seed, in their order; all of them for 0."""
    if not 0 < n < len(rows):
        return rows
    return [rows[place] for place in sorted(random.Random(seed).sample(range(len(rows)), n))]


def silent(asked: list, **how) -> list[dict]:
    """The replies of a model that never calls."""
    return [{"text": "", "tokens": 1, "truncated": False} for _ in asked]


def bounded(answer: Callable, tokenizer, folder: str, args) -> Callable:
    """answer(), with an empty reply to every prompt that leaves no room for a reply in the context."""
    return within(answer, tokenizer, evaluation.context_length(folder, args) - args.max_new_tokens)


def save(facts: dict, answer: Callable, sets: list, worker, args) -> None:
    """Test one checkpoint on every set, save the rows, print the scores of the groups."""
    found = {}
    for name, split, rows in sets:
        for plan in evaluation.plans(args):
            if split == "official" and plan.decoding != "greedy":
                continue
            repeated = [row for row in rows for _ in range(plan.samples)]
            reply = episodes(answer, repeated, worker, args) if "turns" in rows[0] else scored(answer, repeated)
            row = evaluation.test(reply, {**facts, "dataset": name, "split": split}, rows, args.tags, plan, args)
            print(f"  reward {row['reward']:.3f}; {reply.too_long} prompts do not fit into the context")
            evaluation.save_results([row], **evaluation.saved_to(args))
            if plan.decoding == "greedy":
                found[name.removeprefix("bfcl_")] = row
    for group, score in group_scores(found).items():
        print(f"{facts['script']:24} {group} {score:.1%}{' (estimated from a sample)' if args.rows else ''}")


def scored(answer: Callable, rows: list[dict]) -> Callable:
    """answer(), with the verdict on each reply: a prompt that does not fit is wrong, also where no call is wanted."""

    def reply(asked, **how):
        made = []
        for one, row in zip(answer(asked, **how), rows):
            verdict = evaluation.score_calls(one, row)
            made.append(verdict | ({"correct": False, "reward": 0.0} if "too_long" in one else {}))
        reply.too_long = sum("too_long" in one for one in made)
        return made

    return reply


def episodes(answer: Callable, rows: list[dict], worker, args) -> Callable:
    """answer(), for tasks of several turns: all of them are played at once, one reply each a step."""

    def reply(asked, **how):
        made = play(rows, lambda games: answer([game.messages for game in games], **how), worker, args.max_steps)
        reply.too_long = sum(one["too_long"] for one in made)
        return made

    return reply


def group_scores(found: dict[str, dict]) -> dict[str, float]:
    """The official score of each group whose categories were all tested: means over categories, live's over entries."""

    def mean(values):
        return sum(values) / len(values)

    def accuracies(names):
        return [found[name]["accuracy"] for name in names]

    scores = {}
    for group, names in GROUPS.items():
        if not all(name in found for name in names):
            continue
        if group == "live":
            total = sum(found[name]["n"] for name in names)
            scores[group] = sum(found[name]["accuracy"] * found[name]["n"] for name in names) / total
        elif group == "non_live":
            scores[group] = mean([mean(accuracies(names[:3])), *accuracies(names[3:])])
        else:
            scores[group] = mean(accuracies(names))
    return scores


def official(folder: str, categories: list[str], args) -> None:
    """BFCL's own command line on a checkpoint: generate behind a server on 127.0.0.1, evaluate, save its scores."""
    facts = evaluation.checkpoint_facts(folder, args)
    root = runs.OUTPUTS / "bfcl" / f"{facts['script']}-{facts['base']}-{facts['seed']}"
    shutil.rmtree(root, ignore_errors=True)
    (root / "hub").mkdir(parents=True)  # without it `transformers serve` answers 500 to /v1/models
    rows = {name: sample(tool_tasks.official(name), args.rows, args.draw) for name in categories}
    ids = {name: [row["id"] for row in found] for name, found in rows.items()}
    runs.write_json(root / "test_case_ids_to_generate.json", ids)
    address = args.server.removeprefix("http://").rstrip("/") or f"127.0.0.1:{free_port()}"
    host, _, port = address.partition(":")
    environment = {"BFCL_PROJECT_ROOT": str(root), "LOCAL_SERVER_ENDPOINT": host, "LOCAL_SERVER_PORT": port}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(root / "hub")}
    environment = os.environ | environment
    bfcl = [sys.executable, "-m", "bfcl_eval"]
    threads = "1" if not args.use_vllm else "32"
    generate = ["generate", "--model", MODEL, "--local-model-path", folder, "--skip-server-setup", "--run-ids"]
    evaluate = ["evaluate", "--model", MODEL, "--test-category", ",".join(categories), "--partial-eval"]
    with serving(folder, address, environment, args):
        command(bfcl + generate + ["--num-threads", threads], environment, root / "generate.log", args.minutes)
    command(bfcl + evaluate, environment, root / "evaluate.log", args.minutes)
    results = []
    for name in categories:
        path = next((root / "score").rglob(f"BFCL_v4_{name}_score.json"), None)
        if path is None:
            runs.fail(f"bfcl evaluate left no score of {name}; see {runs.shown(root)}/generate.log and evaluate.log")
        score = json.loads(path.open().readline())
        low, high = evaluation.wilson(score["accuracy"], score["total_count"])
        row = {"dataset": f"bfcl_{name}", "split": "bfcl-eval", "decoding": "greedy", "n": score["total_count"]}
        row |= {"accuracy": score["accuracy"], "ci_low": low, "ci_high": high, "commit": runs.commit()}
        results.append({**facts, **row, "command": runs.command_line()})
        print(f"{facts['script']:24} {name} {score['accuracy']:.1%} of {score['total_count']}, by bfcl evaluate")
    evaluation.save_results(results, **evaluation.saved_to(args))


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
            words += ["--max-model-len", evaluation.context_length(folder, args)]
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


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
