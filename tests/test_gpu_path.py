"""The path of a user with a GPU, as far as a machine without one can follow it: on stand-ins for CUDA and for vLLM."""

import os
import random
import sys
import types

import pytest
from conftest import BASE, GRPO, SFT, load_script

from common import data, generation, grpo, models, progress, prompts, runs, settings, training


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


ROWS = [
    {"question": f"What is {i} + 1?" + " Think." * (i == 2) * 40, "working": "w", "solution": f"{i}"} for i in range(6)
]


def data_set(folder, **splits):
    """A data set of these rows, and the tokens of its longest and of its second longest prompt."""
    folder.mkdir()
    runs.write_json(folder / "run.json", {"splits": data.write_splits(folder, splits)})
    return folder


def prepared(script, folder, monkeypatch, *words) -> training.Run:
    """What the script hands to its trainer, without a model."""
    held = []
    monkeypatch.setattr(models, "load_model", lambda *how: None)
    monkeypatch.setattr(models, "check_device", lambda args: None)
    for name in ("trl.SFTTrainer", "trl.GRPOTrainer"):
        monkeypatch.setattr(name, lambda *how, **named: named)
    monkeypatch.setattr(training, "train", lambda run, trainer, *how: held.append(run))
    words = ["--profile", "tiny", "--dataset", folder, "--base", BASE, "--tags", "thesis", *words]
    module = load_script(script)
    module.main(settings.parse(module.Args, "", lambda args: folder / "out", [str(word) for word in words]))
    return held[0]


def test_long_prompts_are_dropped_and_rows_stay_aligned(tokenizer, tmp_path, monkeypatch, capsys):
    """The tokens that ask for a completion count: vLLM's room for a prompt holds them too."""
    folder, others = data_set(tmp_path / "dapo", train=ROWS, validation=ROWS[1:4]), [*ROWS[:2], *ROWS[3:]]
    lengths = data.token_lengths(ROWS, tokenizer, "thesis", completions=False)
    asked = tokenizer.apply_chat_template(prompts.build_prompt(ROWS[2]["question"]), add_generation_prompt=True)
    assert lengths[2] == max(lengths) == len(asked["input_ids"])
    run = prepared(GRPO, folder, monkeypatch, "--max_prompt_tokens", lengths[2] - 1)
    said = capsys.readouterr().out.splitlines()
    limit = f"rows longer than {lengths[2] - 1} tokens (longest {lengths[2]}); --max_prompt_tokens sets the limit"
    assert said == [f"train: dropped 1 of 6 {limit}", f"validation: dropped 1 of 3 {limit}"]
    assert run.rows == others and run.heldout == [ROWS[1], ROWS[3]]
    for row, example in zip(run.rows, run.dataset, strict=True):
        assert run.rows[data.row_of(example["prompt"])] == row and example["prompt"][-1]["content"] == row["question"]


def test_long_rows_of_sft_are_dropped(tokenizer, tmp_path, monkeypatch, capsys):
    folder = data_set(tmp_path / "gsm8k", sft=ROWS, validation=ROWS[1:4])
    longest = max(data.token_lengths(ROWS, tokenizer, "thesis", completions=True))
    run = prepared(SFT, folder, monkeypatch, "--max_length", longest - 1)
    assert f"sft: dropped 1 of 6 rows longer than {longest - 1} tokens (longest {longest})" in capsys.readouterr().out
    assert len(run.dataset) == 5 and run.rows == [*ROWS[:2], *ROWS[3:]] and len(run.heldout) == 2


@pytest.mark.parametrize(
    "name, script, advice",
    [
        ("dapo", GRPO, "--dataset dapo --max_characters N"),
        ("gsm8k", SFT, "--dataset gsm8k --max_working_characters N"),
        ("linear", SFT, "--dataset linear --level easy"),
        ("bfcl_multi", SFT, "--kind multi --source synthetic --level easy"),
        ("bfcl_split_multi", GRPO, "--kind multi --source split --max_characters N"),
    ],
)
def test_a_limit_that_leaves_nothing_names_options_that_exist(name, script, advice, tmp_path, monkeypatch, capsys):
    folder, option = data_set(tmp_path / name, sft=ROWS, train=ROWS, validation=ROWS), "--max_prompt_tokens"
    with pytest.raises(SystemExit):
        prepared(script, folder, monkeypatch, "--max_length" if script == SFT else option, 20)
    said = capsys.readouterr().err
    assert "nothing left" in said and f"{advice} --overwrite" in said and said.count("error:") == 1
    words = said.split("shorter rows: python ")[1].replace(" N ", " 9 ").split()
    creation = load_script(words[0])
    settings.parse(creation.Args, "", lambda args: folder / "made", words[1:])  # ends with code 2 for an unknown option
