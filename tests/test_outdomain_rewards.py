"""The rewards of the out-domain scripts: their formulas, their bounds, hostile completions, what they log."""

import math
from types import SimpleNamespace

import pytest
from conftest import CORRECT, HOSTILE, INCORRECT, ROOT, load_script
from conftest import score as score_with

from common import answers, prompts
from GRPO_outdomain.certainty import Certainty

SCRIPTS = ["GRPO-Hybrid", "GRPO-Intuitor", "GRPO-DualHead"]
MODULES = {name: load_script(f"GRPO_outdomain/{name}.py") for name in SCRIPTS}
A, B, C, D = prompts.THESIS
REWARDS = {
    "hybrid": (MODULES["GRPO-Hybrid"].hybrid, -3, 1.26),
    "intuitor": (MODULES["GRPO-Intuitor"].intuitor, -10, 1.5),
    "self_certainty": (MODULES["GRPO-Intuitor"].self_certainty, 0, math.inf),
    "dual_head": (MODULES["GRPO-DualHead"].dual_head, -10, 1.2),
}


def certainty(text: str, solution: float, response=0.5, entropy=0.2, tags=prompts.THESIS) -> Certainty:
    """What the policy would be measured at on a text; the solution's part only where the text has a solution."""
    return Certainty(solution if answers.extract_solution(text, tags) else None, response, entropy, 3.0)


def score(name: str, text: str, solution: float = 0.5, progress: float = 0.0, tags: str = "thesis", **figures) -> float:
    """What one completion earns at this certainty of its solution, the truth being 42."""
    logged = {}
    reward = score_with(
        REWARDS[name][0],
        text,
        tags=tags,
        certainties=[certainty(text, solution, tags=prompts.TAG_SETS[tags], **figures)],
        trainer_state=SimpleNamespace(global_step=progress * 100, max_steps=100),
        log_metric=logged.__setitem__,
    )
    assert all(math.isfinite(value) for value in logged.values())
    return reward


@pytest.mark.parametrize("name", REWARDS)
def test_bounded_and_silent_on_hostile_text(name):
    _, low, high = REWARDS[name]
    for kind, text in {**HOSTILE, "correct": CORRECT, "incorrect": INCORRECT}.items():
        for solution in (0.0, 1e-30, 0.75, 1.0):
            for progress in (0.0, 0.5, 1.0):
                value = score(name, text, solution, progress, response=solution, entropy=1 - solution)
                assert isinstance(value, float) and low <= value <= high + 1e-9, (kind, value)
    assert not (ROOT / "pwned").exists()


@pytest.mark.parametrize("name", REWARDS)
def test_one_reward_a_completion_and_no_silent_cut(name):
    reward, state, logged = REWARDS[name][0], SimpleNamespace(global_step=0, max_steps=10), {}
    columns = {"solution": ["42"] * 3, "tags": ["thesis"] * 3, "trainer_state": state, "log_metric": logged.__setitem__}
    given = [certainty(CORRECT, 0.5)] * 3
    assert len(reward(completions=[CORRECT] * 3, certainties=given, **columns)) == 3
    with pytest.raises(ValueError):
        reward(completions=[CORRECT] * 3, certainties=given[:2], **columns)
    with pytest.raises(TypeError):
        reward(completions=[CORRECT] * 3, **columns)


@pytest.mark.parametrize(
    "text, solution, progress, expected",
    [
        (CORRECT, 0.6, 0.0, 0.20 * 0.6 + 0.40 + 0.25 * 0.6 + 0.15),
        (CORRECT, 0.6, 1.0, 0.40 * 0.6 + 0.25 + 0.25 * 0.6 + 0.15),
        (CORRECT, 0.6, 0.5, 0.30 * 0.6 + 0.325 + 0.25 * 0.6 + 0.15),
        (CORRECT, 0.9, 0.0, 1.2 * (0.20 * 0.9 + 0.40 + 0.25 * 0.9 + 0.15)),
        (CORRECT, 1.0, 1.0, 1.2 * 1.05),
        (CORRECT, 0.7, 0.0, 0.20 * 0.7 + 0.40 + 0.25 * 0.7 + 0.15),
        (INCORRECT, 0.6, 0.0, 0.20 * 0.6 + 0.25 * 0.4),
        (INCORRECT, 0.8, 0.0, 0.20 * 0.8 + 0.25 * 0.2),
        (INCORRECT, 0.9, 0.0, 0.7 * (0.20 * 0.9 + 0.25 * 0.1)),
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
    assert score("hybrid", text, solution, progress) == pytest.approx(expected)


def test_hybrid_lowers_a_false_certainty_and_raises_a_correct_answer():
    for progress in (0.0, 0.5, 1.0):
        for solution in (0.1, 0.5, 0.75, 0.85, 1.0):
            assert score("hybrid", CORRECT, solution, progress) > score("hybrid", INCORRECT, solution, progress)
    assert score("hybrid", INCORRECT, 0.81) < score("hybrid", INCORRECT, 0.8)


@pytest.mark.parametrize(
    "text, solution, response, expected",
    [
        (CORRECT, 0.5, 0.4, 0.6 * 0.5 + 0.3 * 0.4 + 0.1 * 0.8),
        (INCORRECT, 0.5, 0.4, 0.6 * 0.5 + 0.3 * 0.4 + 0.1 * 0.8),
        (CORRECT, 0.9, 0.8, 1.5 * (0.6 * 0.9 + 0.3 * 0.8 + 0.1 * 0.8)),
        (CORRECT, 0.8, 0.8, 0.6 * 0.8 + 0.3 * 0.8 + 0.1 * 0.8),
        (CORRECT, 0.9, 0.7, 0.6 * 0.9 + 0.3 * 0.7 + 0.1 * 0.8),
        (f"{A}w{B}", 0.9, 0.9, -10),
        (f"{A}w{B}{C}{D}", 0.9, 0.9, -10),
    ],
)
def test_intuitor(text, solution, response, expected):
    assert score("intuitor", text, solution, response=response) == pytest.approx(expected)
    assert score("self_certainty", text, solution, response=response) == 3.0


@pytest.mark.parametrize(
    "text, solution, expected",
    [
        (CORRECT, 0.5, 0.7 * 0.5 + 0.3),
        (CORRECT, 0.8, 0.7 * 0.8 + 0.3),
        (CORRECT, 0.9, 0.7 * 0.9 + 0.3 + 0.2),
        (INCORRECT, 0.9, 0.7 * 0.9 + 0.3 * 0.4),
        (f"{C}42{D}", 0.9, -10),
        (f"{CORRECT} or 43", 0.9, -10),
        (f"{A}w{B}{C} {D}", 0.9, -10),
        ("", 0.9, -10),
    ],
)
def test_dual_head(text, solution, expected):
    assert score("dual_head", text, solution) == pytest.approx(expected)


def test_the_other_tag_set():
    text = "<think>2*21=42</think><answer>42</answer>"
    for name in REWARDS:
        assert score(name, text, tags="think") == score(name, CORRECT) and score(name, text) <= score(name, CORRECT)


@pytest.mark.parametrize("name", ["hybrid", "intuitor", "dual_head"])
def test_each_part_is_logged_over_the_completions_that_have_it(name):
    texts, logged = [CORRECT, INCORRECT, f"{A}2*21=42{B}"], {}
    REWARDS[name][0](
        completions=texts,
        solution=["42"] * 3,
        tags=["thesis"] * 3,
        certainties=[certainty(text, solution) for text, solution in zip(texts, (0.9, 0.5, 0.1))],
        trainer_state=SimpleNamespace(global_step=0, max_steps=10),
        log_metric=logged.__setitem__,
    )
    expected = {
        "hybrid": {"certainty": 0.7, "correctness": 1 / 3, "calibration": 0.7, "process": 2 / 3},
        "intuitor": {"solution": 0.7, "response": 0.5, "peakedness": 0.8},
        "dual_head": {"certainty": 0.7, "format": 2 / 3, "answer": 1 / 3},
    }[name]
    assert logged == pytest.approx({f"parts/{part}": value for part, value in expected.items()})
