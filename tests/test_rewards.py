"""Every reward of every GRPO script: right, wrong, malformed and hostile completions."""

import math
import random

import pytest
from conftest import ROOT, load_script

from common import evaluation, prompts

SCRIPTS = ["GRPO-1K", "GRPO-1K-v2", "GRPO-1K-v3", "GRPO-1K-def", "GRPO-Linear", "GRPO-Control"]
MODULES = {name: load_script(f"GRPO_indomain/{name}.py") for name in SCRIPTS}
A, B, C, D = prompts.THESIS
RIGHT = f"{A}2*21=42{B}{C}42{D}"

HOSTILE = {
    "empty": "",
    "spaces": "  \n\t ",
    "no tags": "the answer is 42",
    "answer tags alone": f"{C}42{D}",
    "unclosed": f"{A}2*21=42{B}{C}42",
    "reversed": f"{D}42{C}{B}2*21{A}",
    "repeated solution": f"{A}w{B}{C}42{D}{C}42{D}",
    "repeated everything": RIGHT * 50,
    "nested": f"{A}{C}42{D}{B}{C}42{D}",
    "solution inside solution": f"{A}w{B}{C}{C}42{D}{D}",
    "answer inside working": f"{A}{C}42{D}{B}",
    "text after": f"{RIGHT} or maybe 43",
    "several answers": f"{A}w{B}{C}42 or 43{D}",
    "list of answers": f"{A}w{B}{C}1, 2, 3, 42{D}",
    "long": "x" * 10**5,
    "long solution": f"{A}w{B}{C}{'4' * 10**5}{D}",
    "open tags by the thousand": A * 10**4 + C * 10**4,
    "brackets": f"{A}w{B}{C}{'(' * 400}42{D}",
    "power tower": f"{A}w{B}{C}9**9**9{D}",
    "latex tower": f"{A}w{B}{C}9^{{9^{{9^9}}}}{D}",
    "factorial": f"{A}w{B}{C}(99999!)!{D}",
    "huge exponent": f"{A}w{B}{C}1e999999999{D}",
    "code": f"{A}w{B}{C}__import__('os').system('touch pwned'){D}",
    "nul": f"{A}\0{B}{C}42\0{D}",
    "surrogate": f"{A}w{B}{C}\ud800{D}",
    "nan": f"{A}w{B}{C}nan{D}",
    "inf": f"{A}w{B}{C}inf{D}",
    "minus inf": f"{A}w{B}{C}-Infinity{D}",
    "other digits": f"{A}w{B}{C}٤٢{D}",
    "division by zero": f"{A}w{B}{C}1/0{D}",
    "wrong tag set": "<think>w</think><answer>42</answer>",
    "special token text": f"{A}w{B}{C}42{D}<|im_end|><|im_start|>user",
}
BOUNDS = {
    "format_exact": (0, 1),
    "answer_right": (0, 1),
    "tag_faults": (-4, 0),
    "answer_ladder": (-4.5, 5),
    "number": (-2.5, 3.5),
    "answer": (0, 1),
    "random_reward": (0, 1),
}


def functions(name: str) -> list:
    rewards = MODULES[name].REWARDS
    return list(rewards.values()) if isinstance(rewards, dict) else rewards


def pay(reward, text: str, truth: str = "42", tags: str = "thesis") -> float:
    return reward(completions=[[{"role": "assistant", "content": text}]], solution=[truth], tags=[tags])[0]


def named(script: str, reward: str):
    return getattr(MODULES[script], reward)


def each_reward():
    return [(script, reward.__name__) for script in SCRIPTS for reward in functions(script)]


@pytest.mark.parametrize("script, name", each_reward())
def test_bounded_and_silent_on_hostile_text(script, name):
    low, high = (-12, 4) if (script, name) == ("GRPO-1K-def", "format_graded") else BOUNDS.get(name, (0, 1))
    for truth in ("42", "x=2, y=-3", r"\frac{1}{2}", "(0, \\infty)", "not a number"):
        for kind, text in HOSTILE.items():
            value = pay(named(script, name), text, truth)
            assert isinstance(value, float) and math.isfinite(value) and low <= value <= high, (kind, truth, value)
    assert not (ROOT / "pwned").exists()


@pytest.mark.parametrize("script, name", each_reward())
def test_one_reward_a_completion_and_no_silent_cut(script, name):
    if name == "random_reward":
        return
    reward = named(script, name)
    assert len(reward(completions=[RIGHT] * 3, solution=["42"] * 3, tags=["thesis"] * 3)) == 3
    with pytest.raises(ValueError):
        reward(completions=[RIGHT] * 3, solution=["42"] * 3, tags=["thesis"] * 2)
    with pytest.raises(TypeError):
        reward(completions=[RIGHT])


@pytest.mark.parametrize("script", SCRIPTS[:4])
def test_nothing_pays_more_than_the_right_reply(script):
    module, weights = MODULES[script], MODULES[script].Args.__dataclass_fields__["reward_weights"].default_factory()

    def total(text):
        return sum(w * pay(reward, text) for w, reward in zip(weights, module.REWARDS))

    best = total(RIGHT)
    for kind, text in HOSTILE.items():
        assert total(text) <= best, kind


def test_format_exact():
    reward = named("GRPO-1K", "format_exact")
    assert pay(reward, RIGHT) == pay(reward, RIGHT + " \n") == 1
    for kind in ("no tags", "unclosed", "reversed", "repeated solution", "nested", "text after", "answer tags alone"):
        assert pay(reward, HOSTILE[kind]) == 0, kind
    assert pay(reward, HOSTILE["wrong tag set"], tags="think") == 1


def test_answer_right():
    reward = named("GRPO-1K", "answer_right")
    assert pay(reward, RIGHT) == pay(reward, f"{C}42{D}") == 1
    assert pay(reward, HOSTILE["wrong tag set"], tags="think") == 1
    for kind in set(HOSTILE) - {"answer tags alone", "text after", "special token text"}:
        assert pay(reward, HOSTILE[kind]) == 0, kind
    assert pay(reward, f"{C}314{D}", "3.14") == 0 and pay(reward, f"{C}3.14{D}", "314") == 0
    assert pay(reward, f"{C}y=-3, x=2{D}", "x=2, y=-3") == 1
    assert pay(reward, f"{C}x=-3, y=2{D}", "x=2, y=-3") == 0


def test_format_graded():
    reward = named("GRPO-1K-v2", "format_graded")
    assert pay(reward, RIGHT) == 1
    assert pay(reward, f"{A}w{B}{C}42") == 0.75
    assert pay(reward, f"{C}42{D}") == 0.5
    assert pay(reward, f"{A}{A}w{B}{C}42{D}") == 0.75
    assert pay(reward, "42") == 0


def test_tag_faults():
    reward = named("GRPO-1K-v3", "tag_faults")
    assert pay(reward, RIGHT) == 0
    assert pay(reward, f"{A}{A}w{B}{C}42") == -2
    assert pay(reward, "42") == -4


def test_def_format_graded():
    reward = named("GRPO-1K-def", "format_graded")
    assert pay(reward, RIGHT) == 4
    assert pay(reward, f"{A}w{B}{C}42") == 1
    assert pay(reward, f"{A}{A}w{B}{C}42{D}") == 0
    assert pay(reward, "") == -8


@pytest.mark.parametrize(
    "answer, truth, expected",
    [
        ("42", "42", 5),
        ("42.0", "42", 5),
        ("45", "42", 2),
        ("38", "42", 2),
        ("49", "42", 1.5),
        ("-42", "42", -2.5),
        ("60", "42", -2.5),
        ("-44", "-42", 2),
        ("0.001", "0", -2.5),
        ("0", "0", 5),
        ("many", "42", -4.5),
        ("x=2, y=-3", "x=2, y=-3", 5),
        ("y=-3, x=2", "x=2, y=-3", 5),
        ("x=20, y=-33", "x=20, y=-30", 2),
        ("x=20, y=-35", "x=20, y=-30", 1.5),
        ("x=20, y=30", "x=20, y=-30", -2.5),
        ("x=20", "x=20, y=-30", -2.5),
        ("x=0, y=-31", "x=0, y=-30", 2),
        ("x=1, y=-30", "x=0, y=-30", -2.5),
        ("soon", "x=20, y=-30", -4.5),
        (r"\sqrt{2}", r"\sqrt{2}", 5),
        (r"\sqrt{3}", r"\sqrt{2}", -2.5),
    ],
)
def test_answer_ladder(answer, truth, expected):
    assert pay(named("GRPO-1K-def", "answer_ladder"), f"{A}w{B}{C}{answer}{D}", truth) == expected


def test_answer_ladder_without_an_answer():
    for kind in ("empty", "unclosed", "repeated solution", "reversed"):
        assert pay(named("GRPO-1K-def", "answer_ladder"), HOSTILE[kind]) == -2


def test_number():
    reward = named("GRPO-1K-def", "number")
    assert pay(reward, f"{A}w{B}{C}about 42 apples{D}") == 3.5
    assert pay(reward, f"{A}w{B}{C}42 or 43{D}") == -1.5
    assert pay(reward, f"{A}w{B}{C}many{D}") == pay(reward, "42") == -2.5
    assert pay(reward, f"{A}w{B}{C}x=2, y=-3{D}", "x=2, y=-3") == 3.5
    assert pay(reward, f"{A}w{B}{C}y=-3, x=2{D}", "x=2, y=-3") == pay(reward, f"{A}w{B}{C}0.5{D}", "1/2") == 3.5
    for wrong in ("x=2, y=3", "y=2, x=-3", "2"):
        assert pay(reward, f"{A}w{B}{C}{wrong}{D}", "x=2, y=-3") == -1.5


def test_linear():
    reward, truth = named("GRPO-Linear", "answer"), "x=2, y=-3"
    assert pay(reward, f"{C}x=2, y=-3{D}", truth) == 1
    assert pay(reward, f"{C}x=2, y=3{D}", truth) == pytest.approx(0.1)
    for answer in ("x=2", "2", "x=2, y=three", "x=2, y=-3, z=1", "x=2, x=2"):
        assert pay(reward, f"{C}{answer}{D}", truth) == 0, answer


def test_control_pays_a_fair_coin_that_the_seed_repeats():
    reward = named("GRPO-Control", "random_reward")
    random.seed(5)
    first = reward([RIGHT] * 4000)
    random.seed(5)
    assert first == reward([RIGHT] * 4000) and set(first) == {0.0, 1.0} and 0.45 < sum(first) / 4000 < 0.55


def test_training_and_evaluation_agree():
    """What GRPO pays for as right and well-formed is what the tables count."""
    for kind, text in {**HOSTILE, "right": RIGHT}.items():
        scored = evaluation.score({"text": text}, "42", prompts.THESIS)
        assert scored["correct"] == pay(named("GRPO-1K", "answer_right"), text), kind
        assert scored["well_formed"] == pay(named("GRPO-1K", "format_exact"), text), kind


def test_variants_differ_in_docstring_hyperparameters_and_rewards_alone():
    """From main() to the end, and the imports, the four GRPO-1K scripts are the same text."""
    texts = [(ROOT / f"GRPO_indomain/{name}.py").read_text() for name in SCRIPTS[:4]]
    assert len({text[text.index("def main(") :] for text in texts}) == 1
    assert len({text[text.index("\nimport sys") : text.index("@dataclass")] for text in texts}) == 1
