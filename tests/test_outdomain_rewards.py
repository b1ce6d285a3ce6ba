"""The rewards of the out-domain scripts: their formulas, their bounds, hostile completions, what they log."""

import math
from types import SimpleNamespace

import pytest
from conftest import ROOT, load_script
from test_rewards import HOSTILE

from common import answers, prompts
from common.certainty import Certainty

SCRIPTS = ["GRPO-Hybrid", "GRPO-Intuitor", "GRPO-DualHead"]
MODULES = {name: load_script(f"GRPO_outdomain/{name}.py") for name in SCRIPTS}
A, B, C, D = prompts.THESIS
RIGHT, WRONG = f"{A}2*21=42{B}{C}42{D}", f"{A}2*21=43{B}{C}43{D}"
REWARDS = {
    "hybrid": (MODULES["GRPO-Hybrid"].hybrid, -3, 1.26),
    "intuitor": (MODULES["GRPO-Intuitor"].intuitor, -10, 1.5),
    "self_certainty": (MODULES["GRPO-Intuitor"].self_certainty, 0, math.inf),
    "dual_head": (MODULES["GRPO-DualHead"].dual_head, -10, 1.2),
}


def sure(text: str, solution: float, response: float = 0.5, entropy: float = 0.2, tags=prompts.THESIS) -> Certainty:
    """What the policy would be said to be of a text; the solution's certainty only where the text has a solution."""
    return Certainty(solution if answers.extract_solution(text, tags) else None, response, entropy, 3.0)


def pay(name: str, text: str, solution: float = 0.5, progress: float = 0.0, tags: str = "thesis", **figures) -> float:
    """What one completion earns, the truth being 42."""
    state = SimpleNamespace(global_step=progress * 100, max_steps=100)
    logged = {}
    paid = REWARDS[name][0](
        completions=[[{"role": "assistant", "content": text}]],
        solution=["42"],
        tags=[tags],
        certainties=[sure(text, solution, tags=prompts.TAG_SETS[tags], **figures)],
        trainer_state=state,
        log_metric=logged.__setitem__,
    )
    assert all(math.isfinite(value) for value in logged.values())
    return paid[0]


@pytest.mark.parametrize("name", REWARDS)
def test_bounded_and_silent_on_hostile_text(name):
    _, low, high = REWARDS[name]
    for kind, text in {**HOSTILE, "right": RIGHT, "wrong": WRONG}.items():
        for solution in (0.0, 1e-30, 0.75, 1.0):
            for progress in (0.0, 0.5, 1.0):
                value = pay(name, text, solution, progress, response=solution, entropy=1 - solution)
                assert isinstance(value, float) and low <= value <= high + 1e-9, (kind, value)
    assert not (ROOT / "pwned").exists()


@pytest.mark.parametrize("name", REWARDS)
def test_one_reward_a_completion_and_no_silent_cut(name):
    reward, state, logged = REWARDS[name][0], SimpleNamespace(global_step=0, max_steps=10), {}
    columns = {"solution": ["42"] * 3, "tags": ["thesis"] * 3, "trainer_state": state, "log_metric": logged.__setitem__}
    given = [sure(RIGHT, 0.5)] * 3
    assert len(reward(completions=[RIGHT] * 3, certainties=given, **columns)) == 3
    with pytest.raises(ValueError):
        reward(completions=[RIGHT] * 3, certainties=given[:2], **columns)
    with pytest.raises(TypeError):
        reward(completions=[RIGHT] * 3, **columns)


@pytest.mark.parametrize(
    "text, solution, progress, expected",
    [
        (RIGHT, 0.6, 0.0, 0.20 * 0.6 + 0.40 + 0.25 * 0.6 + 0.15),
        (RIGHT, 0.6, 1.0, 0.40 * 0.6 + 0.25 + 0.25 * 0.6 + 0.15),
        (RIGHT, 0.6, 0.5, 0.30 * 0.6 + 0.325 + 0.25 * 0.6 + 0.15),
        (RIGHT, 0.9, 0.0, 1.2 * (0.20 * 0.9 + 0.40 + 0.25 * 0.9 + 0.15)),
        (RIGHT, 1.0, 1.0, 1.2 * 1.05),
        (RIGHT, 0.7, 0.0, 0.20 * 0.7 + 0.40 + 0.25 * 0.7 + 0.15),
        (WRONG, 0.6, 0.0, 0.20 * 0.6 + 0.25 * 0.4),
        (WRONG, 0.8, 0.0, 0.20 * 0.8 + 0.25 * 0.2),
        (WRONG, 0.9, 0.0, 0.7 * (0.20 * 0.9 + 0.25 * 0.1)),
        (f"{A}2*21=42 and 1+1=3{B}{C}42{D}", 0.6, 0.0, 0.20 * 0.6 + 0.40 + 0.25 * 0.6 + 0.15 * 0.5),
        (f"{A}as the sum says{B}{C}42{D}", 0.6, 0.0, 0.20 * 0.6 + 0.40 + 0.25 * 0.6),
        (f"{C}42{D}", 0.6, 0.0, -2),
        (f"{A} \n{B}{C}42{D}", 0.6, 0.0, -2),
        (f"{A}x{A}2*21=42{B}{C}42{D}", 0.6, 0.0, -2),
        (f"{A}2*21=42{B}", 0.6, 0.0, -3),
        (f"{A}2*21=42{B}{C} {D}", 0.6, 0.0, -3),
        (f"{A}2*21=42{B}{C}42", 0.6, 0.0, -3),
        ("", 0.6, 0.0, -3),
    ],
)
def test_hybrid(text, solution, progress, expected):
    assert pay("hybrid", text, solution, progress) == pytest.approx(expected)


def test_hybrid_pays_a_false_certainty_less_and_a_right_answer_more():
    for progress in (0.0, 0.5, 1.0):
        for solution in (0.1, 0.5, 0.75, 0.85, 1.0):
            assert pay("hybrid", RIGHT, solution, progress) > pay("hybrid", WRONG, solution, progress)
    assert pay("hybrid", WRONG, 0.81) < pay("hybrid", WRONG, 0.8)


@pytest.mark.parametrize(
    "text, solution, response, expected",
    [
        (RIGHT, 0.5, 0.4, 0.6 * 0.5 + 0.3 * 0.4 + 0.1 * 0.8),
        (WRONG, 0.5, 0.4, 0.6 * 0.5 + 0.3 * 0.4 + 0.1 * 0.8),
        (RIGHT, 0.9, 0.8, 1.5 * (0.6 * 0.9 + 0.3 * 0.8 + 0.1 * 0.8)),
        (RIGHT, 0.8, 0.8, 0.6 * 0.8 + 0.3 * 0.8 + 0.1 * 0.8),
        (RIGHT, 0.9, 0.7, 0.6 * 0.9 + 0.3 * 0.7 + 0.1 * 0.8),
        (f"{A}w{B}", 0.9, 0.9, -10),
        (f"{A}w{B}{C}{D}", 0.9, 0.9, -10),
    ],
)
def test_intuitor(text, solution, response, expected):
    assert pay("intuitor", text, solution, response=response) == pytest.approx(expected)
    assert pay("self_certainty", text, solution, response=response) == 3.0


@pytest.mark.parametrize(
    "text, solution, expected",
    [
        (RIGHT, 0.5, 0.7 * 0.5 + 0.3),
        (RIGHT, 0.8, 0.7 * 0.8 + 0.3),
        (RIGHT, 0.9, 0.7 * 0.9 + 0.3 + 0.2),
        (WRONG, 0.9, 0.7 * 0.9 + 0.3 * 0.4),
        (f"{C}42{D}", 0.9, -10),
        (f"{RIGHT} or 43", 0.9, -10),
        (f"{A}w{B}{C} {D}", 0.9, -10),
        ("", 0.9, -10),
    ],
)
def test_dual_head(text, solution, expected):
    assert pay("dual_head", text, solution) == pytest.approx(expected)


def test_the_other_tag_set():
    text = "<think>2*21=42</think><answer>42</answer>"
    for name in REWARDS:
        assert pay(name, text, tags="think") == pay(name, RIGHT) and pay(name, text) <= pay(name, RIGHT)


@pytest.mark.parametrize("name", ["hybrid", "intuitor", "dual_head"])
def test_each_part_is_logged_over_the_completions_that_have_it(name):
    texts, logged = [RIGHT, WRONG, f"{A}2*21=42{B}"], {}
    REWARDS[name][0](
        completions=texts,
        solution=["42"] * 3,
        tags=["thesis"] * 3,
        certainties=[sure(text, solution) for text, solution in zip(texts, (0.9, 0.5, 0.1))],
        trainer_state=SimpleNamespace(global_step=0, max_steps=10),
        log_metric=logged.__setitem__,
    )
    expected = {
        "hybrid": {"certainty": 0.7, "correctness": 1 / 3, "calibration": 0.7, "process": 2 / 3},
        "intuitor": {"solution": 0.7, "response": 0.5, "peakedness": 0.8},
        "dual_head": {"certainty": 0.7, "format": 2 / 3, "answer": 1 / 3},
    }[name]
    assert logged == pytest.approx({f"parts/{part}": value for part, value in expected.items()})


def test_variants_differ_in_docstring_hyperparameters_and_rewards_alone():
    """Against GRPO-1K-def.py too: imports, the tiny profile and main(), but for the line that tells of certainty."""
    texts = [(ROOT / f"GRPO_outdomain/{name}.py").read_text() for name in SCRIPTS]
    other = (ROOT / "GRPO_indomain/GRPO-1K-def.py").read_text()
    assert texts[0][texts[0].index("def main(") :] == texts[2][texts[2].index("def main(") :]
    for text in texts:
        assert text[text.index("TINY = ") :].split("\n)\n")[0] == other[other.index("TINY = ") :].split("\n)\n")[0]
        lines, known = text[text.index("def main(") :].splitlines(), other[other.index("def main(") :].splitlines()
        added = [line for line in lines if line not in known]
        assert len(added) <= 6 and len([line for line in known if line not in lines]) <= 3, added
        fields = [line for line in text.splitlines() if "= setting(" in line and "reward" not in line]
        assert fields == [line for line in other.splitlines() if "= setting(" in line and "reward" not in line]
