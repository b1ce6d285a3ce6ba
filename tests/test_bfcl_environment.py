"""bfcl-eval in this environment: it imports beside newer packages than it pins, its own truths pass its checkers, and
our executor and scores say what its own say."""

import random
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from common import tool_worker, toolcalls

MULTI_TURN = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
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
    official = toolcalls.bfcl()
    truths = [row["ground_truth"] for row in official.load_ground_truth_entry(category)]
    return list(zip(official.load_dataset_entry(category, include_language_specific_hint=False), truths))


@pytest.fixture(scope="module")
def worker():
    with toolcalls.Episodes() as worker:
        yield worker


@pytest.fixture
def fresh():
    """A name that no episode had before, for BFCL keeps its instances in globals under it; they are deleted after."""
    from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils

    count = iter(range(10**6))
    yield lambda: f"fresh{next(count)}"
    for name in [name for name in vars(multi_turn_utils) if name.startswith("fresh")]:
        delattr(multi_turn_utils, name)


def test_the_command_line_imports_after_our_own_import():
    """It loads the handlers of all models; the table that stood in for theirs is gone by then."""
    code = (
        "from common import toolcalls; toolcalls.bfcl()\n"
        "import bfcl_eval.__main__, bfcl_eval.eval_checker.eval_runner\n"
        "from bfcl_eval.constants.model_config import MODEL_CONFIG_MAPPING as table\n"
        "assert len(table) > 50 and not table[toolcalls.MODEL].underscore_to_dot"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_its_folders_are_not_among_the_packages():
    toolcalls.bfcl()
    from bfcl_eval.constants.eval_config import PACKAGE_ROOT, PROJECT_ROOT

    assert PROJECT_ROOT.is_dir() and PROJECT_ROOT != PACKAGE_ROOT.parent


@pytest.mark.parametrize("category", SINGLE_TURN)
def test_single_turn_truths_score_as_right(category):
    rows = entries(category)
    assert len(rows) == SINGLE_TURN[category]
    for entry, truth in rows:
        calls = toolcalls.true_calls(truth, entry["function"], category)
        scored = toolcalls.score_single(calls, entry["function"], truth, category)
        assert scored["valid"] == (entry["id"] not in REFUSED) == (set(scored.values()) == {1.0}), entry["id"]


@pytest.mark.parametrize("category", MULTI_TURN)
def test_multi_turn_truths_replay_alike(category, worker, fresh):
    """All 800: valid by the official checker and by ours, with the same results and the same last state."""
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils import execute_multi_turn_func_call

    rows, long = entries(category), "long_context" in category
    assert len(rows) == 200
    for entry, truth in rows:
        steps = [[calls] if calls else [] for calls in truth]
        assert multi_turn_checker(steps, truth, entry, category, fresh())["valid"], entry["id"]
        assert toolcalls.score_multi(worker, entry, truth, truth) == {
            **{"valid": True, "turns": 1, "prefix": 1, "state": 1, "responses": 1, "extra": 0}
        }, entry["id"]
        setting = entry["initial_config"], entry["involved_classes"]
        name, episode = fresh(), worker.open(*setting, long_context=long)
        for calls in truth:
            results, instances = execute_multi_turn_func_call(calls, *setting, name, entry["id"], long)
            assert worker.execute(episode, calls) == results, entry["id"]
        state = worker.state(episode)
        assert state is not None and state == tool_worker.public_state(instances), entry["id"]
        worker.close(episode)
    assert worker.restarts == 0


@pytest.mark.parametrize("category", MULTI_TURN)
def test_multi_turn_verdicts_agree_on_wrong_episodes(category, worker, fresh):
    """A call dropped, repeated, moved or changed, or a turn left out: valid exactly where the official checker is."""
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

    rng, verdicts = random.Random(7), []
    for entry, truth in entries(category):
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
        scored = toolcalls.score_multi(worker, entry, truth, turns)
        assert scored["valid"] == official == (scored["turns"] == 1), entry["id"]
        verdicts.append(official)
    assert 10 < sum(verdicts) < 150
