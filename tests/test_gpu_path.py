"""The path of a user with a GPU, as far as a machine without one can follow it: on stand-ins for CUDA and for vLLM."""

import os
import random
import sys
import types

import pytest
from conftest import BASE, GRPO, load_script

from common import generation, grpo, progress, prompts, settings, training


class SamplingParams(types.SimpleNamespace):
    def clone(self):
        return SamplingParams(**vars(self))


class LLM:
    """A stand-in for vllm.LLM that keeps how it was made and the seeds it was asked with."""

    def __init__(self, **how):
        self.how, self.method = how, os.environ.get("VLLM_WORKER_MULTIPROC_METHOD")
        LLM.made = self

    def generate(self, asked, sampling):
        self.seeds = [one.seed for one in sampling]
        output = types.SimpleNamespace(token_ids=[1, 2], finish_reason="stop")
        return [types.SimpleNamespace(outputs=[output]) for _ in asked]


@pytest.fixture
def vllm(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", types.SimpleNamespace(SamplingParams=SamplingParams, LLM=LLM))


@pytest.fixture(scope="session")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE)


@pytest.mark.parametrize("own, method", [(None, "spawn"), ("forkserver", "forkserver")])
def test_vllm_starts_its_engine_in_a_new_process(own, method, vllm, tokenizer, monkeypatch):
    """A fork of a process that has asked for CUDA cannot use it; a user's own choice stays."""
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", own or "")
    if not own:
        monkeypatch.delenv("VLLM_WORKER_MULTIPROC_METHOD")
    generation.generator(str(BASE), tokenizer, types.SimpleNamespace(use_vllm=True, seed=0, max_new_tokens=8))
    assert LLM.made.method == method


def test_samples_share_no_draw_between_seeds_problems_and_samples(vllm, tokenizer):
    """With seed + position, seeds 1 and 2 would share all samples but one."""

    def seeds(seed, *questions):
        llm = LLM()
        asked = [prompts.build_prompt(question) for question in questions]
        generation.generate_vllm(llm, tokenizer, asked, 8, temperature=1.0, seed=seed)
        return llm.seeds

    first, second = seeds(1, *"aaabbb"), seeds(2, *"aaabbb")
    assert len({*first, *second}) == 12 and all(0 <= seed < 2**63 for seed in first)
    assert seeds(1, *"babbaa") == [first[i] for i in (3, 0, 4, 5, 1, 2)]  # whatever else is asked


def test_rollouts_follow_the_seed(monkeypatch):
    """Building the trainer with vLLM leaves every generator in the same state, whatever --seed says."""
    import torch

    trainer, drawn = types.SimpleNamespace(accelerator=types.SimpleNamespace(process_index=0)), []
    monkeypatch.setattr(training, "train", lambda *how: drawn.append((random.random(), torch.rand(1).item())))
    for use_vllm, seed in ((True, 1), (True, 2), (True, 1), (False, 1), (False, 2)):
        random.seed(0)
        torch.manual_seed(0)
        args = types.SimpleNamespace(use_vllm=use_vllm, seed=seed)
        grpo.train(types.SimpleNamespace(args=args), trainer)
    one, two, again, without, other = drawn
    assert one == again and not set(one) & set(two)
    assert without == other  # transformers draws from what the trainer was built with


def test_the_ratio_of_the_engines_is_bounded_by_token_and_shown():
    args = settings.parse(load_script(GRPO).Args, "", argv=["--profile", "gpu", "--bf16", "false"])
    assert args.vllm_importance_sampling_mode == "token_truncate" and args.vllm_importance_sampling_clip_max == 3
    assert args.vllm_importance_sampling_correction and args.vllm_importance_sampling_clip_min is None
    assert "sampling/importance_sampling_ratio/mean" in progress.SHOWN
