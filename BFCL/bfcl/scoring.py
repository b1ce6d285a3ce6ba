"""How many calls are correct: the official verdict of one turn and of several, with graded parts for a reward."""

import functools
import json
from collections.abc import Callable

from BFCL.bfcl.official import MODEL, bfcl, is_checkable, is_valid, language_of
from BFCL.bfcl.sandbox import Sandbox
from common import prompts
from common.calls import KINDS, decode

PARTS = ("call", "name", "arguments", "no_extra")  # of the verdict on one turn


def score_single(decoded: list[dict], functions: list[dict], possible_answer: list[dict] | None, category: str) -> dict:
    """The official verdict on the calls of a single-turn completion, and its parts for a graded reward.

    functions: the official documents of the entry; possible_answer: its ground truth, [{name: {argument: [values]}}],
    None or [] for the categories without one (irrelevance: no call is correct; relevance: any call is).
    category: an official name; "parallel", "multiple", "java", "javascript" and "irrelevance" in it matter.
    Java and JavaScript are checked against documents with their own types, as load_dataset_entry gives them with
    include_language_specific_hint=False; the prompt holds those that it gives without (every type is a string).

    Returns {"valid": bool, "call": 1.0 if there is a call where one is wanted, "name": fraction of the wanted functions
    that are called, "arguments": fraction of correct ones among the arguments that are given or needed, mean over the
    wanted calls, "no_extra": 1.0}. Where there are too many calls, these four are multiplied by wanted calls / calls,
    so that one incorrect argument costs less than calling every function offered. Without a call they are 0.0; a valid
    completion has 1.0 in every part. Never raises, whatever is in `decoded`.
    """
    calls = []
    if isinstance(decoded, list):
        calls = [call for call in decoded if isinstance(call, dict)]
    if not possible_answer:
        valid = bool(calls) == ("irrelevance" not in category)
        return {"valid": valid} | dict.fromkeys(PARTS, float(valid))
    if is_valid(calls, functions, possible_answer, category):
        return {"valid": True} | dict.fromkeys(PARTS, 1.0)
    if not calls:
        return {"valid": False} | dict.fromkeys(PARTS, 0.0)
    wanted = len(possible_answer)
    scores = _call_scores(calls[: 4 * wanted + 4], functions, possible_answer, language_of(category))
    no_extra = min(1.0, wanted / len(calls))
    return {
        "valid": False,
        "call": no_extra,
        "name": len(scores) / wanted * no_extra,
        "arguments": sum(scores) / wanted * no_extra,
        "no_extra": no_extra,
    }


def _call_scores(calls: list[dict], functions: list[dict], possible_answer: list[dict], language) -> list[float]:
    """For each wanted call whose function is called: the fraction of correct arguments in the best call of it."""
    candidates = [next(iter(call.items())) for call in calls if call]
    scores = []
    for answer in possible_answer:
        name, values = next(iter(answer.items()))
        function = bfcl().find_description(functions, name)
        best = None
        for place, (called, arguments) in enumerate(candidates):
            if called == name:
                score = _argument_score(arguments, values, function, language)
                if best is None or score > best[0]:
                    best = score, place
        if best:
            scores.append(best[0])
            del candidates[best[1]]
    return scores


def _argument_score(arguments, values: dict, function: dict | None, language) -> float:
    """Fraction of correct arguments among those given or needed, each by the official checker; 1.0 for none needed."""
    if not isinstance(arguments, dict) or function is None or not is_checkable(arguments, language):
        return 0.0
    name = function["name"]
    document = {"name": name, "parameters": {**function["parameters"], "required": []}}
    correct = 0
    for key in arguments.keys() & values.keys():
        call = {name: {key: arguments[key]}}
        truth = {name: {key: values[key]}}
        try:
            if bfcl().simple_function_checker(document, call, truth, language, MODEL)["valid"]:
                correct += 1
        except Exception:  # noqa: BLE001  as in is_valid
            pass
    needed = set(function["parameters"]["required"])
    needed |= {key for key, allowed in values.items() if "" not in allowed}
    return _fraction(correct, len(needed | arguments.keys()))


def score_multi(sandbox: Sandbox, entry: dict, ground_truth: list[list[str]], turns: list[list]) -> dict:
    """The official verdict on a whole dialogue, and its parts for a graded reward.

    entry: `initial_config`, `involved_classes` and `id` (a category with "long_context" in it loads the long one);
    ground_truth: its calls by turn; turns: the model's calls by turn, all steps of a turn in one list. Calls are
    executed again, on instances of their own, so nothing that happened before matters.

    As officially, only turns in whose ground truth there is a call are checked: there must be a call, every public
    attribute must equal the ground truth's after the turn, and its results must be among the results so far.
    Returns {"valid": bool, official; "turns": fraction of the checked turns that are correct, each for itself;
    "prefix": fraction before the first incorrect one; "responses": fraction of the ground truth's results that were
    seen, counted in turns with the correct state; "extra": fraction of the calls beyond the number in the ground
    truth}. All in [0, 1]. Read off states and results, so repeating or undoing calls earns nothing. Never raises,
    whatever the calls are.
    """
    played = [list(calls) for calls in turns[: len(ground_truth)]]
    while len(played) < len(ground_truth):
        played.append([])
    rows = sandbox.score(entry, ground_truth, played)
    if rows is None:
        return {"valid": False, "turns": 0.0, "prefix": 0.0, "responses": 0.0, "extra": 1.0}
    correct = [row["called"] and row["state"] and row["responses"] == 1 for row in rows]
    before = correct.index(False) if False in correct else len(correct)
    calls = sum(map(len, played))
    extra = max(0, calls - sum(map(len, ground_truth)))
    return {
        "valid": len(turns) == len(ground_truth) and all(correct),
        "turns": _fraction(sum(correct), len(rows)),
        "prefix": _fraction(before, len(rows)),
        "responses": _fraction(sum(row["responses"] for row in rows if row["called"] and row["state"]), len(rows)),
        "extra": extra / calls if calls else 0.0,
    }


def _fraction(value: float, of: int) -> float:
    return value / of if of else 1.0


@functools.lru_cache(maxsize=4096)  # a task has several completions, and a completion several rewards
def verdict(text: str, functions: str, solution: str, category: str) -> dict:
    """score_single() for the text of a completion, with `functions` and `solution` as a row holds them: JSON text."""
    return score_single(decode(text)[0], json.loads(functions), json.loads(solution), category)


def verdicts(completions: list, functions, solution, category, **columns) -> list[dict]:
    """verdict() on each of TRL's completions, with the columns of their rows; ValueError if there are not as many."""
    texts = map(prompts.completion_text, completions)
    return [verdict(*row) for row in zip(texts, functions, solution, category, strict=True)]


def score_calls(completion: dict, row: dict, tags: prompts.Tags) -> dict:
    """The scorer of completions with calls: `correct`, `well_formed` (calls and nothing else), `parts` of the verdict.

    A completion that is "too_long" stands for a prompt that does not fit: incorrect, also where no call is wanted.
    """
    calls, kind = decode(completion["text"])
    parts = verdict(completion["text"], row["functions"], row["solution"], row["category"])
    if "too_long" in completion:
        parts = dict.fromkeys(parts, False)
    return {
        **completion,
        "solution": json.dumps(calls) if calls else None,
        "correct": parts["valid"],
        "well_formed": kind == "call",
        "parts": {name: float(value) for name, value in parts.items()},
    }


def with_reward(scored: dict, weights: dict[str, float]) -> dict:
    """A scored completion with `reward`: the sum of its parts, each times its weight."""
    return scored | {"reward": sum(weight * scored["parts"][name] for name, weight in weights.items())}


def log_kinds(log_metric: Callable | None, kinds: list[str]) -> None:
    """Log the fraction of each kind of completion: calls alone, calls among other text, each way of being malformed."""
    if log_metric:
        for kind in KINDS:
            log_metric(f"completions/{kind}", kinds.count(kind) / max(1, len(kinds)))
