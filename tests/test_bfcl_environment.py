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
from BFCL.bfcl.scoring import score_multi


def entries(category: str) -> list[tuple[dict, list]]:
    """Each entry of a category and its ground truth."""
    truths = [row["ground_truth"] for row in bfcl().load_ground_truth_entry(category)]
    return list(zip(bfcl().load_dataset_entry(category), truths))


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
