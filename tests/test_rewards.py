"""Every reward of the in-domain GRPO scripts: correct, incorrect, malformed and hostile completions."""

import ast
import math
import random
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import CORRECT, HOSTILE, ROOT, load_script, score

from common import kinds, prompts

SCRIPTS = ["GRPO-1K", "GRPO-1K-v2", "GRPO-1K-v3", "GRPO-1K-def", "GRPO-Linear", "GRPO-Control"]
MODULES = {name: load_script(f"GRPO_indomain/{name}.py") for name in SCRIPTS}
A, B, C, D = prompts.THESIS
BOUNDS = {
    "format_exact": (0, 1),
    "answer_correct": (0, 1),
    "tag_faults": (-4, 0),
    "answer_ladder": (-4.5, 5),
    "number": (-2.5, 3.5),
    "answer": (0, 1),
    "random_reward": (0, 1),
}


def functions(name: str) -> list:
    rewards = MODULES[name].REWARDS
    return list(rewards.values()) if isinstance(rewards, dict) else rewards


def named(script: str, reward: str):
    return getattr(MODULES[script], reward)


def each_reward():
    return [(script, reward.__name__) for script in SCRIPTS for reward in functions(script)]


@pytest.mark.parametrize("script, name", each_reward())
def test_bounded_and_silent_on_hostile_text(script, name):
    low, high = (-12, 4) if (script, name) == ("GRPO-1K-def", "format_graded") else BOUNDS.get(name, (0, 1))
    for truth in ("42", "x=2, y=-3", r"\frac{1}{2}", "(0, \\infty)", "not a number"):
        for kind, text in HOSTILE.items():
            value = score(named(script, name), text, truth, prompts=["?"], trainer_state=SimpleNamespace(global_step=1))
            assert isinstance(value, float) and math.isfinite(value) and low <= value <= high, (kind, truth, value)
    assert not (ROOT / "pwned").exists()


@pytest.mark.parametrize("script, name", each_reward())
def test_one_reward_a_completion_and_no_silent_cut(script, name):
    if name == "random_reward":
        return
    reward = named(script, name)
    assert len(reward(completions=[CORRECT] * 3, solution=["42"] * 3, tags=["thesis"] * 3)) == 3
    with pytest.raises(ValueError):
        reward(completions=[CORRECT] * 3, solution=["42"] * 3, tags=["thesis"] * 2)
    with pytest.raises(TypeError):
        reward(completions=[CORRECT])


@pytest.mark.parametrize("script", SCRIPTS[:4])
def test_nothing_earns_more_than_the_correct_completion(script):
    module, weights = MODULES[script], MODULES[script].Args.__dataclass_fields__["reward_weights"].default_factory()

    def total(text):
        return sum(w * score(reward, text) for w, reward in zip(weights, module.REWARDS))

    best = total(CORRECT)
    for kind, text in HOSTILE.items():
        assert total(text) <= best, kind


def test_format_exact():
    reward = named("GRPO-1K", "format_exact")
    assert score(reward, CORRECT) == score(reward, CORRECT + " \n") == 1
    for kind in ("no tags", "unclosed", "reversed", "repeated solution", "nested", "text after", "answer tags alone"):
        assert score(reward, HOSTILE[kind]) == 0, kind
    assert score(reward, HOSTILE["wrong tag set"], tags="think") == 1


def test_answer_correct():
    reward = named("GRPO-1K", "answer_correct")
    assert score(reward, CORRECT) == score(reward, f"{C}42{D}") == 1
    assert score(reward, HOSTILE["wrong tag set"], tags="think") == 1
    for kind in set(HOSTILE) - {"answer tags alone", "text after", "special token text"}:
        assert score(reward, HOSTILE[kind]) == 0, kind
    assert score(reward, f"{C}314{D}", "3.14") == 0 and score(reward, f"{C}3.14{D}", "314") == 0
    assert score(reward, f"{C}y=-3, x=2{D}", "x=2, y=-3") == 1
    assert score(reward, f"{C}x=-3, y=2{D}", "x=2, y=-3") == 0


def test_format_graded():
    reward = named("GRPO-1K-v2", "format_graded")
    assert score(reward, CORRECT) == 1
    assert score(reward, f"{A}w{B}{C}42") == 0.75
    assert score(reward, f"{C}42{D}") == 0.5
    assert score(reward, f"{A}{A}w{B}{C}42{D}") == 0.75
    assert score(reward, "42") == 0


def test_tag_faults():
    reward = named("GRPO-1K-v3", "tag_faults")
    assert score(reward, CORRECT) == 0
    assert score(reward, f"{A}{A}w{B}{C}42") == -2
    assert score(reward, "42") == -4


def test_def_format_graded():
    reward = named("GRPO-1K-def", "format_graded")
    assert score(reward, CORRECT) == 4
    assert score(reward, f"{A}w{B}{C}42") == 1
    assert score(reward, f"{A}{A}w{B}{C}42{D}") == 0
    assert score(reward, "") == -8


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
    assert score(named("GRPO-1K-def", "answer_ladder"), f"{A}w{B}{C}{answer}{D}", truth) == expected


def test_answer_ladder_without_an_answer():
    for kind in ("empty", "unclosed", "repeated solution", "reversed"):
        assert score(named("GRPO-1K-def", "answer_ladder"), HOSTILE[kind]) == -2


def test_number():
    reward = named("GRPO-1K-def", "number")
    assert score(reward, f"{A}w{B}{C}about 42 apples{D}") == 3.5
    assert score(reward, f"{A}w{B}{C}42 or 43{D}") == -1.5
    assert score(reward, f"{A}w{B}{C}many{D}") == score(reward, "42") == -2.5
    assert score(reward, f"{A}w{B}{C}x=2, y=-3{D}", "x=2, y=-3") == 3.5
    assert score(reward, f"{A}w{B}{C}y=-3, x=2{D}", "x=2, y=-3") == score(reward, f"{A}w{B}{C}0.5{D}", "1/2") == 3.5
    for wrong in ("x=2, y=3", "y=2, x=-3", "2"):
        assert score(reward, f"{A}w{B}{C}{wrong}{D}", "x=2, y=-3") == -1.5


def test_linear():
    reward, truth = named("GRPO-Linear", "answer"), "x=2, y=-3"
    assert score(reward, f"{C}x=2, y=-3{D}", truth) == 1
    assert score(reward, f"{C}x=2, y=3{D}", truth) == pytest.approx(0.1)
    for answer in ("x=2", "2", "x=2, y=three", "x=2, y=-3, z=1", "x=2, x=2"):
        assert score(reward, f"{C}{answer}{D}", truth) == 0, answer


def test_the_control_is_a_fair_coin_that_step_and_problems_repeat():
    def tosses(problem, step):
        state = SimpleNamespace(global_step=step)
        return named("GRPO-Control", "random_reward")([problem] * 4000, [CORRECT] * 4000, trainer_state=state)

    first = tosses("a", 1)
    random.seed(6)
    assert first == tosses("a", 1) and set(first) == {0.0, 1.0} and 0.45 < sum(first) / 4000 < 0.55
    for other in (tosses("a", 2), tosses("b", 1)):
        assert 0.45 < sum(x == y for x, y in zip(first, other)) / 4000 < 0.55


def test_training_and_evaluation_agree():
    """What GRPO rewards as correct and well-formed is what the tables count."""
    for kind, text in {**HOSTILE, "correct": CORRECT}.items():
        scored = kinds.score({"text": text}, "42", prompts.THESIS)
        assert scored["correct"] == score(named("GRPO-1K", "answer_correct"), text), kind
        assert scored["well_formed"] == score(named("GRPO-1K", "format_exact"), text), kind


def parts(path: Path) -> dict:
    """A script cut into its imports (head), the fields of its Args, main() and its last line."""
    cut = {"head": "", "main": "", "last": ""}
    for node in ast.parse(path.read_text()).body[1:]:
        if getattr(node, "name", "") == "Args":
            cut |= {"from": ast.unparse(node.bases[0]), "fields": {f.target.id: ast.unparse(f) for f in node.body}}
        elif isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr)):
            cut["head"] += ast.unparse(node) + "\n"
        elif isinstance(node, ast.If) or getattr(node, "name", "") == "main":
            cut["last" if isinstance(node, ast.If) else "main"] += ast.unparse(node)
    return cut


def test_the_four_on_1000_problems_differ_in_docstring_values_and_rewards_alone():
    first, *others = [parts(ROOT / f"GRPO_indomain/{name}.py") for name in SCRIPTS[:4]]
    for other in others:
        for name in ("head", "main", "last"):
            assert other[name] == first[name]
        assert list(other["fields"]) == list(first["fields"])
        assert {**other["fields"], "reward_weights": ""} == {**first["fields"], "reward_weights": ""}


VARIANTS = sorted(ROOT.glob("GRPO_*/GRPO-*.py"))


@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: path.stem)
def test_all_variants_have_one_shape(path):
    """Against GRPO-1K.py: main() up to its rewards and the tags of its base, imports up to modules of common/."""
    first, other = parts(ROOT / "GRPO_indomain/GRPO-1K.py"), parts(path)

    def plain(main):
        main = main.replace("GRPO_outdomain.trainer", "common.trainer")
        return re.sub(r", made_by='[^']*'(, default_tags='\w+')?|    rewards = .*\n|(REWARDS|rewards), args", "", main)

    assert plain(other["main"]) == plain(first["main"])
    own = {line for line in other["head"].splitlines() if line not in first["head"].splitlines()}
    assert all(line == "import random" or line.startswith("from common import ") for line in own)
    assert re.sub(r", output=.*", ")", other["last"]) == first["last"] and other["from"] == first["from"]
    shared = [name for name in first["fields"] if name in other["fields"]]
    assert shared == [name for name in other["fields"] if name in first["fields"]], "the same order everywhere"


@pytest.mark.parametrize("name", ["GRPO-Hybrid", "GRPO-Intuitor", "GRPO-DualHead"])
def test_out_of_domain_the_values_are_those_of_the_best_in_domain(name):
    paths = ROOT / "GRPO_indomain" / "GRPO-1K-def.py", ROOT / "GRPO_outdomain" / f"{name}.py"
    best, other = ({k: v for k, v in parts(path)["fields"].items() if "reward" not in k} for path in paths)
    assert other == best
