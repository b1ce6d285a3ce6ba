"""Rewards of hostile completions, drawn from tests/fuzz.py: finite, in their range, and never without an end."""

import math
import random

import fuzz
import pytest
from conftest import load_script


@pytest.mark.parametrize("script", fuzz.RANGES)
def test_rewards_of_hostile_completions_are_in_their_range(script):
    rewards, rng = load_script(script).REWARDS, random.Random(1)
    rewards = rewards.values() if isinstance(rewards, dict) else rewards
    assert {reward.__name__ for reward in rewards} == set(fuzz.RANGES[script])
    for _ in range(30):
        given = fuzz.columns(rng, script, [fuzz.completion(rng, script) for _ in range(10)])
        for reward in rewards:
            low, high = fuzz.RANGES[script][reward.__name__]
            with fuzz.alarm(60):
                paid = reward(**given)
            assert len(paid) == 10 and all(math.isfinite(value) and low <= value <= high for value in paid), paid


@pytest.mark.parametrize("script", ["GRPO_indomain/GRPO-1K-def.py", "GRPO_indomain/GRPO-Linear.py"])
@pytest.mark.parametrize("answer", ["1e400", "-1e400", "1e999", "9" * 310, "0." + "9" * 310, "1/" + "9" * 310])
def test_a_number_that_no_float_can_hold_is_an_answer(script, answer):
    text = f"<start_working_out>1+1=2<end_working_out><SOLUTION>{answer}</SOLUTION>"
    for truth in ("5", "1e-400", "x=2, y=-3"):
        for reward in load_script(script).REWARDS:
            assert math.isfinite(reward(completions=[text], solution=[truth], tags=["thesis"])[0])
