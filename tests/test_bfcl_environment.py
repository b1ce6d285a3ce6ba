"""bfcl-eval in this environment: it imports beside newer packages than it pins, its own truths pass its checkers, and
our sandbox and scores say what its own say."""

import importlib.util
import random
import re
import sys
from pathlib import Path

import pytest

from BFCL.bfcl.official import MODEL, MULTI, bfcl
from BFCL.bfcl.sandbox import Sandbox
from BFCL.bfcl.scoring import score_multi, score_single

SINGLE_TURN = {  # entries with a ground truth
    **{"simple_python": 400, "simple_java": 100, "simple_javascript": 50, "multiple": 200, "parallel": 200},
    **{"parallel_multiple": 200, "live_simple": 258, "live_multiple": 1053, "live_parallel": 16},
    "live_parallel_multiple": 24,
}
# Entries whose ground truth the official checker itself refuses: truths without the values, the argument or the
# function's own parameters that the documents demand, and Java lists and maps that its converter reads as text.
REFUSED = {
    *("live_simple_106-63-0", "live_simple_112-68-0", "live_multiple_862-181-3", "live_multiple_964-207-0"),
    *("simple_java_36", "simple_java_64", "simple_java_65"),
}


def entries(category: str) -> list[tuple[dict, list]]:
    """Each entry of a category, with the documents that its checker reads, and its ground truth."""
    truths = [row["ground_truth"] for row in bfcl().load_ground_truth_entry(category)]
    return list(zip(bfcl().load_dataset_entry(category, include_language_specific_hint=False), truths))


def true_calls(possible_answer: list[dict], functions: list[dict], category: str) -> list[dict]:
    """What a correct completion decodes to: the first allowed value of every argument that may not be left out.

    Arguments of Java and JavaScript functions are source text.
    """
    calls = []
    for name, values in ((name, values) for answer in possible_answer for name, values in answer.items()):
        parameters, given = bfcl().find_description(functions, name)["parameters"], {}
        for key, allowed in values.items():
            if allowed and ("" not in allowed or key in parameters["required"]):
                value, document = first(allowed), parameters["properties"].get(key, {})
                given[key] = source(value, document, category == "simple_java") if "java" in category else value
        calls.append({name: given})
    return calls


def first(allowed: list):
    """The first allowed value that is not "" (left out); dictionaries hold lists of allowed values again."""
    value = next((value for value in allowed if value != ""), "")
    if isinstance(value, dict):
        return {k: first(v) if isinstance(v, list) else v for k, v in value.items() if v != [""]}
    return [first([item]) for item in value] if isinstance(value, list) else value


def source(value, document: dict, java: bool) -> str:
    """A value as Java or JavaScript text, in a form that the official converters of the two read."""
    kind = document.get("type")
    if isinstance(value, (bool, str)):
        return value if isinstance(value, str) else str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value}{({'float': 'f', 'long': 'L'} if java else {'Bigint': 'n'}).get(kind, '')}"

    def item(value) -> str:
        text = source(value, document.get("items", {}), java)
        return f'"{text}"' if isinstance(value, str) and kind != "Array" else text  # its quotes would stay in the value

    if isinstance(value, dict):
        if java:
            return f"new HashMap<>() {{{{ {' '.join(f'put({item(k)}, {item(v)});' for k, v in value.items())} }}}}"
        return f"{{{', '.join(f'{k}: {item(v)}' for k, v in value.items())}}}"
    items = ", ".join(map(item, value))
    if not java:
        return f"[{items}]"
    if kind == "Array":
        return f"new Object[]{{{items}}}"
    return f"new ArrayList<>(Arrays.asList({items}))" if items else "new ArrayList<>()"


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def fresh():
    """A name that no episode had before, for BFCL keeps its instances in globals under it; they are deleted after."""
    from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils

    count = iter(range(10**6))
    yield lambda: f"fresh{next(count)}"
    for name in [name for name in vars(multi_turn_utils) if name.startswith("fresh")]:
        delattr(multi_turn_utils, name)


def test_the_row_that_stands_in_for_the_table_of_models_says_what_the_table_says():
    """And it is gone after our import, so that whoever needs the table, such as the command line, gets all of it."""
    bfcl()
    name = "bfcl_eval.constants.model_config"
    table = Path(importlib.util.find_spec(name).origin).read_text()
    (row,) = re.findall(rf'"{MODEL}": ModelConfig\((.*?)\n    \)', table, re.DOTALL)
    assert "underscore_to_dot=False" in row
    assert name not in sys.modules or len(sys.modules[name].MODEL_CONFIG_MAPPING) > 50


def test_its_folders_are_not_among_the_packages():
    bfcl()
    from bfcl_eval.constants.eval_config import PACKAGE_ROOT, PROJECT_ROOT

    assert PROJECT_ROOT.is_dir() and PROJECT_ROOT != PACKAGE_ROOT.parent


@pytest.mark.parametrize("category", SINGLE_TURN)
def test_single_turn_truths_score_as_valid(category):
    rows = entries(category)
    assert len(rows) == SINGLE_TURN[category]
    for entry, truth in rows:
        calls = true_calls(truth, entry["function"], category)
        scored = score_single(calls, entry["function"], truth, category)
        assert scored["valid"] == (entry["id"] not in REFUSED) == (set(scored.values()) == {1.0}), entry["id"]


@pytest.mark.parametrize("category", MULTI)
def test_multi_turn_truths_replay_alike(category, sandbox, fresh):
    """Every fourth: valid by the official checker and by ours, with the same results."""
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils import execute_multi_turn_func_call

    rows, long = entries(category), "long_context" in category
    assert len(rows) == 200
    for entry, truth in rows[::4]:
        steps = [[calls] if calls else [] for calls in truth]
        assert multi_turn_checker(steps, truth, entry, category, fresh())["valid"], entry["id"]
        assert score_multi(sandbox, entry, truth, truth) == {
            **{"valid": True, "turns": 1, "prefix": 1, "responses": 1, "extra": 0}
        }, entry["id"]
        scenario = entry["initial_config"], entry["involved_classes"]
        name, episode = fresh(), sandbox.open(*scenario, long_context=long)
        for calls in truth:
            results, _ = execute_multi_turn_func_call(calls, *scenario, name, entry["id"], long)
            assert sandbox.execute(episode, calls) == results, entry["id"]
        sandbox.close(episode)
    assert sandbox.restarts == 0


@pytest.mark.parametrize("category", MULTI)
def test_multi_turn_verdicts_agree_on_changed_episodes(category, sandbox, fresh):
    """A call dropped, repeated, moved or changed, or a turn left out: valid exactly where the official checker is."""
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

    rng, verdicts = random.Random(7), []
    for entry, truth in entries(category)[::3]:
        turns = [list(calls) for calls in truth]
        turn = rng.choice([i for i, calls in enumerate(turns) if calls])
        at, change = rng.randrange(len(turns[turn])), rng.randrange(5)
        if change == 0:
            del turns[turn][at]
        elif change == 1:
            turns[turn].insert(at, turns[turn][at])
        elif change == 2:
            turns[turn - 1].append(turns[turn].pop(at))
        elif change == 3:
            turns[turn][at] = re.sub(r"[A-Za-z0-9]'", "'", turns[turn][at], count=1)
        else:
            turns[turn] = []
        steps = [[calls] if calls else [] for calls in turns]
        official = multi_turn_checker(steps, truth, entry, category, fresh())["valid"]
        scored = score_multi(sandbox, entry, truth, turns)
        assert scored["valid"] == official == (scored["turns"] == 1), entry["id"]
        verdicts.append(official)
    assert 3 < sum(verdicts) < 50
