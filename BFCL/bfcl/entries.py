"""The entries of BFCL v4 as rows of a data set: prompts, descriptions, ground truths and gold completions."""

import functools
import json

from BFCL.bfcl import scoring
from BFCL.bfcl.official import bfcl
from BFCL.bfcl.parse import parse_call
from common import data, runs
from common.calls import call_key, call_text, offer

SINGLE = (
    *("simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple", "irrelevance"),
    *("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance"),
)
MULTI = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
FILE = "BFCL_v4_{}.json"
NOTE = " Note that the provided function is in Python 3 syntax."  # load_dataset_entry() puts it behind a description
MORE = "I have updated some more functions you can choose from. What about now?"  # officially, where functions join
REFUSAL = "None of the functions can do this."


@functools.cache
def official_calls() -> frozenset[str]:
    """The key of every call in a ground truth of BFCL's multi-turn categories."""
    rows = [
        row for name in MULTI for row in runs.read_jsonl(data.bfcl_folder() / "possible_answer" / FILE.format(name))
    ]
    return frozenset(call_key(*parse_call(call)) for row in rows for turn in row["ground_truth"] for call in turn)


def gold_value(options):
    """The first of the possible values of an argument, "" for leaving it out. Deep inside, values have no list."""
    value = options if not isinstance(options, list) else options[0] if options else ""
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        return [gold_arguments(part) for part in value]
    return gold_arguments(value) if isinstance(value, dict) else value


def gold_arguments(possible: dict) -> dict:
    values = {name: gold_value(options) for name, options in possible.items()}
    return {name: value for name, value in values.items() if value != ""}


def gold_completion(functions: list[dict], answer: list[dict], category: str) -> str | None:
    """A completion that the official checker accepts; None where the first possible values do not make one."""
    if "irrelevance" in category:
        return REFUSAL
    calls = [(name, gold_arguments(possible)) for one in answer for name, possible in one.items()]
    if "java" in category:  # its arguments are the source text of a value, JavaScript's too
        source = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in args.items()} for _, args in calls]
        calls = [(name, args) for (name, _), args in zip(calls, source)]
    verdict = scoring.score_single([{name: args} for name, args in calls], functions, answer, category)
    return call_text(calls) if verdict["valid"] and calls else None


def rows_of(category: str) -> list[dict]:
    """The rows of a category of BFCL, with the prompt that its evaluation sends and the descriptions that it checks by.

    Of one turn: with `completion`, where there is a gold one. Of several turns: without; a turn that has no message of
    the user brings functions along, which its official message offers.
    """
    shown = bfcl().load_dataset_entry(category)
    # Several turns are not checked by descriptions.
    plain = shown if category in MULTI else bfcl().load_dataset_entry(category, include_language_specific_hint=False)
    answered = (data.bfcl_folder() / "possible_answer" / FILE.format(category)).exists()
    truths = {row["id"]: row["ground_truth"] for row in bfcl().load_ground_truth_entry(category)} if answered else {}
    rows = []
    for entry, unnoted in zip(shown, plain):
        turns, truth = entry["question"], truths.get(entry["id"], [])
        for turn, functions in entry.get("missed_function", {}).items():
            turns[int(turn)] = [{"role": "user", "content": f"{functions}\n{MORE}"}]
        said = [message["content"] for turn in turns for message in turn if message["role"] == "user"]
        row = {
            "id": entry["id"],
            "category": category,
            "question": "\n".join(said),
            "prompt": offer(turns[0], entry["function"]),
            "functions": json.dumps(unnoted["function"]),
            "solution": json.dumps(truth),
        }
        if category in MULTI:
            named = {"turns": turns, "initial_config": entry["initial_config"]}
            named["involved_classes"] = entry["involved_classes"]
            row |= {name: json.dumps(value) for name, value in named.items()}
        elif text := gold_completion(unnoted["function"], truth, category):
            row["completion"] = [{"role": "assistant", "content": text}]
        rows.append(row)
    return rows
