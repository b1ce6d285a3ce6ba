"""How many calls are correct: the official verdict of one turn and of several, with graded parts for a reward."""

import functools
import json
import re
from collections.abc import Callable

from BFCL.bfcl.official import MODEL, bfcl
from BFCL.bfcl.sandbox import Sandbox
from common import prompts
from common.calls import KINDS, decode

# Bounds of a Java or JavaScript argument, which the official checker takes apart with regular expressions that
# backtrack: the worst text that we found takes 0.2 s with these, without them for ever. The longest truth has 160.
MAX_CODE_CHARS, MAX_CODE_BRACKETS = 300, 12
LONG_GAP = re.compile(r"\s{9}")


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
    decoded = [call for call in decoded if isinstance(call, dict)] if isinstance(decoded, list) else []
    if not possible_answer:
        valid = bool(decoded) == ("irrelevance" not in category)
        return {"valid": valid} | dict.fromkeys(("call", "name", "arguments", "no_extra"), float(valid))
    if _is_valid(decoded, functions, possible_answer, category):
        return {"valid": True} | dict.fromkeys(("call", "name", "arguments", "no_extra"), 1.0)
    scores, language = [], _language(category)
    left = [pair for call in decoded[: 4 * len(possible_answer) + 4] for pair in list(call.items())[:1]]
    for answer in possible_answer:
        name, values = next(iter(answer.items()))
        function = bfcl().find_description(functions, name)
        rated = [(_arguments(p[1], name, values, function, language), p) for p in left if p[0] == name]
        if rated:
            score, best = max(rated, key=lambda pair: pair[0])
            scores.append(score)
            left.remove(best)
    wanted = len(possible_answer)
    no_extra = min(1.0, wanted / len(decoded)) if decoded else 0.0
    parts = {"call": 1.0, "name": len(scores) / wanted, "arguments": sum(scores) / wanted, "no_extra": 1.0}
    return {"valid": False} | {name: value * no_extra for name, value in parts.items()}


def _language(category: str):
    """The language whose literals the arguments are, as the official runner takes it from the category."""
    languages = bfcl().Language
    if "javascript" in category:
        return languages.JAVASCRIPT
    return languages.JAVA if "java" in category else languages.PYTHON


def _is_checkable(arguments, language) -> bool:
    """Whether the checker ends soon: Java and JavaScript text is bounded before its expressions see it."""
    if language == bfcl().Language.PYTHON or not isinstance(arguments, dict):
        return True
    texts = [value for value in arguments.values() if isinstance(value, str)]
    return all(
        len(text) <= MAX_CODE_CHARS and text.count("[") <= MAX_CODE_BRACKETS and not LONG_GAP.search(text)
        for text in texts
    )


def _is_valid(decoded: list[dict], functions: list[dict], possible_answer: list[dict], category: str) -> bool:
    """The verdict of the official checker; False where it raises."""
    language = _language(category)
    if not all(len(call) == 1 and _is_checkable(next(iter(call.values())), language) for call in decoded):
        return False
    try:
        return bfcl().ast_checker(functions, decoded, possible_answer, language, category, MODEL)["valid"]
    except Exception:  # noqa: BLE001  it indexes what a model gave without looking: whatever it raises is not valid
        return False


def _arguments(given, name: str, values: dict, function: dict | None, language) -> float:
    """Fraction of correct arguments among those given or needed, each by the official checker; 1.0 for none needed."""
    if not isinstance(given, dict) or function is None or not _is_checkable(given, language):
        return 0.0
    needed = set(function["parameters"]["required"]) | {key for key, allowed in values.items() if "" not in allowed}
    correct = 0
    for key in given.keys() & values.keys():
        document = {"name": name, "parameters": {**function["parameters"], "required": []}}
        try:
            found = bfcl().simple_function_checker(
                document, {name: {key: given[key]}}, {name: {key: values[key]}}, language, MODEL
            )
            correct += found["valid"]
        except Exception:  # noqa: BLE001  as in _is_valid
            pass
    asked = len(needed | given.keys())
    return correct / asked if asked else 1.0


def score_multi(sandbox: Sandbox, entry: dict, ground_truth: list[list[str]], turns: list[list]) -> dict:
    """The official verdict on a whole dialogue, and its parts for a graded reward.

    entry: `initial_config`, `involved_classes` and `id` (a category with "long_context" in it loads the long one);
    ground_truth: its calls by turn; turns: the model's calls by turn, all steps of a turn in one list. Calls are
    executed again, on instances of their own, so nothing that happened before matters.

    As officially, only turns in whose ground truth there is a call are checked: there must be a call, every public
    attribute must equal the ground truth's after the turn, and its results must be among the results so far.
    Returns {"valid": bool, official; "turns": fraction of the checked turns that are correct, each for itself;
    "prefix": fraction before the first incorrect one; "state": fraction of the turns that change the state after which
    it is correct (1.0 for none such, if valid, else 0.0); "responses": fraction of the ground truth's results that were
    seen, counted in turns with the correct state; "extra": fraction of the calls beyond the number in the ground
    truth}. All in [0, 1]. Read off states and results, so repeating or undoing calls earns nothing. Never raises,
    whatever the calls are.
    """
    complete, wanted = len(turns) == len(ground_truth), sum(map(bool, ground_truth))
    turns = [list(calls) for calls in turns[: len(ground_truth)]]
    turns += [[]] * (len(ground_truth) - len(turns))
    rows = sandbox.score(entry, ground_truth, turns)
    if rows is None:
        return {"valid": False} | dict.fromkeys(("turns", "prefix", "state", "responses"), 0.0) | {"extra": 1.0}
    correct = [row["called"] and row["state"] and row["responses"] == 1 for row in rows]
    valid = complete and all(correct)
    moved = [row["state"] for row in rows if row["moved"]]
    calls, true_calls = sum(map(len, turns)), sum(map(len, ground_truth))
    return {
        "valid": valid,
        "turns": _fraction(correct, wanted),
        "prefix": _fraction(correct[: correct.index(False)] if False in correct else correct, wanted),
        "state": _fraction(moved, len(moved)) if moved else float(valid),
        "responses": _fraction([row["responses"] for row in rows if row["called"] and row["state"]], wanted),
        "extra": max(0, calls - true_calls) / calls if calls else 0.0,
    }


def _fraction(values: list, of: int) -> float:
    return sum(values) / of if of else 1.0


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
    (calls, kind), fits = decode(completion["text"]), "too_long" not in completion
    parts = verdict(completion["text"], row["functions"], row["solution"], row["category"])
    return {
        **completion,
        "solution": json.dumps(calls) if calls else None,
        "correct": parts["valid"] and fits,
        "well_formed": kind == "call",
        "parts": {name: float(value * fits) for name, value in parts.items()},
    }


def with_reward(scored: dict, weights: dict[str, float]) -> dict:
    """A scored completion with `reward`: the sum of its parts, each times its weight."""
    return scored | {"reward": sum(weight * scored["parts"][name] for name, weight in weights.items())}


def kinds_of(completions: list) -> list[str]:
    """The kind of each of TRL's completions."""
    return [decode(prompts.completion_text(completion))[1] for completion in completions]


def log_kinds(log_metric: Callable | None, kinds: list[str]) -> None:
    """Log the fraction of each kind of completion: calls alone, calls among other text, each way of being malformed."""
    for kind in KINDS if log_metric else ():
        log_metric(f"completions/{kind}", kinds.count(kind) / max(1, len(kinds)))
