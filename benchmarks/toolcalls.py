"""What safe tool calls cost: scored completions a second for single-turn, replayed episodes a second for multi-turn.

Single-turn: the official decoder and checker alone, beside our decode() and score_single(), which add the
kind of completion and the graded parts. Multi-turn: BFCL's own executor, which evals the text of a call in this
process, beside our worker process, live (open, execute turn by turn, close) and as a verdict on a whole episode, for
which ours remembers the results of a ground truth: the episodes of a group share it. Both of a pair take turns, so
that other work on the machine meets both; the ratio is the median over the rounds.

Output: benchmarks/results/toolcalls.json and a table.
Command: python benchmarks/toolcalls.py
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from certainty import machine

from BFCL.bfcl import scoring
from BFCL.bfcl.official import MODEL, bfcl, rows_of
from BFCL.bfcl.sandbox import Sandbox
from common import calls, runs

OUTPUT = runs.ROOT / "benchmarks" / "results" / "toolcalls.json"
ROUNDS = 9
SINGLE_TURN = ("simple_python", "multiple", "parallel", "live_multiple")
ENTRIES = 100  # of each category
MAX_RATIO = 2.0  # what safety may cost in multi-turn


def official_decoder(text: str) -> list[dict]:
    from bfcl_eval.model_handler.local_inference.qwen_fc import QwenFCHandler

    return QwenFCHandler.decode_ast(QwenFCHandler, text, None, False)


def completions() -> list[tuple]:
    """(text, documents, truth, category) of entries, every other one with its first argument's name spelt wrong."""
    rows = []
    for category in SINGLE_TURN:
        for number, row in enumerate(rows_of(category)[:ENTRIES]):
            text = row["completion"][0]["content"]
            if number % 2:
                text = text.replace('"arguments": {"', '"arguments": {"x', 1)
            rows.append((text, json.loads(row["functions"]), json.loads(row["solution"]), category))
    return rows


def episodes(category: str) -> list[tuple]:
    truths = bfcl().load_ground_truth_entry(category)
    return [(entry, row["ground_truth"]) for entry, row in zip(bfcl().load_dataset_entry(category)[:ENTRIES], truths)]


def seconds_of(function: Callable, items: list[tuple]) -> float:
    start = time.perf_counter()
    for item in items:
        function(*item)
    return time.perf_counter() - start


def compare(name: str, theirs: Callable, ours: Callable, items: list[tuple]) -> dict:
    """Items a second of both, and the median over the rounds of our time / their time; a first round warms up."""
    times, ratios = [], []
    for turn in range(ROUNDS + 1):
        if turn % 2:
            own = seconds_of(ours, items)
            official = seconds_of(theirs, items)
        else:
            official = seconds_of(theirs, items)
            own = seconds_of(ours, items)
        if turn > 0:
            times.append((official, own))
            ratios.append(round(own / official, 2))
    official, own = (statistics.median(column) for column in zip(*times))
    figures = {"official_per_second": round(len(items) / official), "ours_per_second": round(len(items) / own)}
    figures |= {"ratio": statistics.median(ratios), "ratios": ratios}
    print(f"{name:44}{figures['official_per_second']:>12}{figures['ours_per_second']:>10}{figures['ratio']:>12}")
    return {"what": name, "n": len(items), **figures}


def main() -> None:
    from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_checker, multi_turn_utils

    def forget() -> None:
        """BFCL keeps every instance in its globals; without this the next episode would go on from the last state."""
        for name in [name for name in vars(multi_turn_utils) if name.startswith("benchmark")]:
            delattr(multi_turn_utils, name)

    def check(text, functions, truth, category):
        return bfcl().ast_checker(functions, official_decoder(text), truth, bfcl().Language.PYTHON, category, MODEL)

    def score(text, functions, truth, category):
        return scoring.score_single(calls.decode(text)[0], functions, truth, category)

    def live_official(entry, truth):
        state = entry["initial_config"], entry["involved_classes"]
        for turn in truth:
            multi_turn_utils.execute_multi_turn_func_call(turn, *state, "benchmark", entry["id"], "long" in entry["id"])
        forget()

    def verdict_official(entry, truth):
        multi_turn_checker.multi_turn_checker([[turn] for turn in truth], truth, entry, "", "benchmark")
        forget()

    def live(entry, truth):
        episode = sandbox.open(entry["initial_config"], entry["involved_classes"], "long" in entry["id"])
        for turn in truth:
            sandbox.execute(episode, turn)
        sandbox.close(episode)

    def verdict(entry, truth):
        scoring.score_multi(sandbox, entry, truth, truth)

    print(f"{'':44}{'official/s':>12}{'ours/s':>10}{'time ratio':>12}")
    rows = [compare("single-turn completions, decoded and scored", check, score, completions())]
    with Sandbox() as sandbox:
        for category in ("multi_turn_base", "multi_turn_long_context"):
            rows.append(compare(f"{category} episodes, live", live_official, live, episodes(category)))
            rows.append(compare(f"{category} episodes, verdict", verdict_official, verdict, episodes(category)))
        restarts = sandbox.restarts
    slow = [row["what"] for row in rows[1:] if row["ratio"] > MAX_RATIO]
    print(f"slower than {MAX_RATIO:g} times in multi-turn: {', '.join(slow) or 'none'}")
    facts = {"machine": machine(), "commit": runs.commit(), "rounds": ROUNDS, "worker_restarts": restarts}
    OUTPUT.parent.mkdir(exist_ok=True)
    runs.write_json(OUTPUT, {**facts, "rows": rows})


if __name__ == "__main__":
    main()
