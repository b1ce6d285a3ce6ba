"""The memory plan: exact sizes, choices that fit, the same update, refusals that say what fits."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import BASE, ROOT

from common import memory
from common.memory import GB, QWEN3, Settings

FOUR = QWEN3["Qwen/Qwen3-4B-Base"]
GRPO = Settings(tokens=2048, batch=8, accumulation=4)


def test_the_sizes_are_those_of_the_model():
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(BASE)
    shape = memory.Shape.of(config)
    model = AutoModelForCausalLM.from_pretrained(BASE)
    norms = sum(weight.numel() for name, weight in model.named_parameters() if "norm" in name)
    assert shape.linear() + shape.embeddings() == model.num_parameters() - norms

    from peft import LoraConfig, get_peft_model

    from common import models

    adapted = get_peft_model(model, models.lora_config(SimpleNamespace(lora_r=8, lora_alpha=16)))
    assert isinstance(adapted.peft_config["default"], LoraConfig)
    assert shape.lora(8) == sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)


def test_qwen3_4b_has_the_known_sizes():
    assert round((FOUR.linear() + FOUR.embeddings()) / 1e9, 2) == 4.02
    assert FOUR.cache() == 147_456


def test_a_plan_fits_and_keeps_the_update():
    for shape in QWEN3.values():
        for card in range(8, 150, 6):
            for asked in (GRPO, GRPO._replace(use_vllm=False), GRPO._replace(lora_r=0), GRPO._replace(tokens=8000)):
                plan = memory.plan(shape, asked, card * GB)
                if plan:
                    assert plan.total() <= card * GB * 1.001
                    assert plan.batch * plan.accumulation == asked.batch * asked.accumulation
                    assert 0 < plan.fraction < 1 if asked.use_vllm else plan.fraction == 0


def test_more_memory_is_never_worse():
    plans = [memory.plan(FOUR, GRPO, card * GB) for card in range(10, 150)]
    found = [(plan is not None, plan and not plan.sleep, plan.batch if plan else 0) for plan in plans]
    assert found == sorted(found, key=lambda row: (row[0], bool(row[1]), row[2]))


class Args(SimpleNamespace):
    def __init__(self, **changed):
        known = {
            **{"max_prompt_tokens": 512, "max_completion_length": 1536, "per_device_train_batch_size": 8},
            **{"gradient_accumulation_steps": 4, "steps_per_generation": 4, "num_generations": 8, "lora_r": 32},
            **{"load_in_4bit": False, "gradient_checkpointing": True, "use_vllm": True, "vllm_mode": "colocate"},
            **{"vllm_gpu_memory_utilization": 0.0, "vllm_enable_sleep_mode": False, "bf16": True, "use_cpu": False},
        }
        super().__init__(**known | changed)


def apply(args, free: float, total: float) -> None:
    vars(args).update(memory.apply(FOUR, args, free, total))


def test_a_large_gpu_gets_the_script_s_batch(capsys):
    args = Args()
    apply(args, 79 * GB, 80 * GB)
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == (8, 4)
    engine = 2 * 4.022e9 + memory.ENGINE + 32 * 2048 * FOUR.cache()
    assert args.vllm_gpu_memory_utilization == pytest.approx(engine / (80 * GB), abs=0.011)
    assert "memory, calculated" in capsys.readouterr().out


def test_a_smaller_gpu_gets_smaller_batches_and_the_same_update():
    args = Args(max_completion_length=7000)
    apply(args, 38 * GB, 40 * GB)
    assert args.per_device_train_batch_size < 8
    assert args.per_device_train_batch_size * args.gradient_accumulation_steps == 32
    assert args.per_device_train_batch_size * args.steps_per_generation == 32


def test_what_a_user_chose_for_vllm_stays():
    args = Args(vllm_gpu_memory_utilization=0.37)
    apply(args, 79 * GB, 80 * GB)
    assert args.vllm_gpu_memory_utilization == 0.37


def test_without_a_plan_vllm_gets_a_fraction():
    args = Args(use_cpu=True)
    vars(args).update(memory.fit(str(BASE), args))
    assert args.vllm_gpu_memory_utilization == memory.UNPLANNED and args.per_device_train_batch_size == 8


def test_what_cannot_fit_is_refused_with_what_would(capsys):
    with pytest.raises(SystemExit):
        apply(Args(), 23.3 * GB, 24 * GB)
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--load_in_4bit --use_vllm false" in error and "Qwen3-1.7B" not in error[:60]
    with pytest.raises(SystemExit):
        apply(Args(lora_r=0), 23.3 * GB, 24 * GB)
    assert "--lora_r 32 --load_in_4bit --use_vllm false" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        apply(Args(), 1 * GB, 2 * GB)
    assert "a GPU with more memory" in capsys.readouterr().err


def test_options_of_the_user_are_tried_even_if_they_do_not_fit(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["GRPO-1K.py", "--lora_r", "32"])
    args = Args()
    apply(args, 23.3 * GB, 24 * GB)
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps, args.steps_per_generation) == (
        1,
        32,
        32,
    )
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and said.startswith("warning: this needs at least") and "--use_vllm false" in said
    monkeypatch.setattr(sys, "argv", ["GRPO-1K.py", "--per_device_train_batch_size=8"])
    args = Args()
    apply(args, 23.3 * GB, 24 * GB)
    assert args.per_device_train_batch_size == 8


@pytest.mark.parametrize("wanted", [True, False])
def test_sleep_mode_is_the_user_s_choice(wanted, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["GRPO-1K.py", "--vllm_enable_sleep_mode", str(wanted)])
    for card in (80, 40, 24):
        args = Args(vllm_enable_sleep_mode=wanted)
        apply(args, 0.97 * card * GB, card * GB)
        assert args.vllm_enable_sleep_mode == wanted


QWEN = {  # Qwen2.5-0.5B
    **{"model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14},
    **{"num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151936, "tie_word_embeddings": True},
    **{"max_position_embeddings": 32768},
}
CPU = {
    **{"max_completion_length": 128, "per_device_train_batch_size": 24, "gradient_accumulation_steps": 1},
    **{"steps_per_generation": 1, "lora_r": 16, "use_vllm": False, "gradient_checkpointing": False, "bf16": False},
}


def fit_on_cpu(config: dict, free: float, folder, monkeypatch, **changed) -> tuple:
    """(arguments as planned, settings that were changed)."""
    (folder / "config.json").write_text(json.dumps(config))
    machine = SimpleNamespace(available=free * GB, total=2 * free * GB)
    monkeypatch.setattr("psutil.virtual_memory", lambda: machine)
    args = Args(**CPU | changed)
    changes = memory.fit(str(folder), args)
    vars(args).update(changes)
    return args, changes


@pytest.mark.parametrize("free, batch", [(200, 24), (24, 6), (12, 3), (1, 1)])
def test_on_a_cpu_the_micro_batch_follows_from_free_memory(free, batch, tmp_path, monkeypatch, capsys):
    args, _ = fit_on_cpu(QWEN, free, tmp_path, monkeypatch)
    assert args.per_device_train_batch_size == batch
    assert batch * args.gradient_accumulation_steps == 24 == batch * args.steps_per_generation
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and ("warning" in said) == (free == 1)


def test_a_small_model_keeps_its_batch_on_a_cpu(tmp_path, monkeypatch, capsys):
    config = json.loads((BASE / "config.json").read_text())
    _, changes = fit_on_cpu(config, 1, tmp_path, monkeypatch, per_device_train_batch_size=64)
    assert "per_device_train_batch_size" not in changes and not capsys.readouterr().out


def test_a_config_without_known_names_has_no_plan(tmp_path, monkeypatch, capsys):
    _, changes = fit_on_cpu({"model_type": "mamba", "hidden_size": 64}, 1, tmp_path, monkeypatch)
    assert "per_device_train_batch_size" not in changes and "no plan for a mamba" in capsys.readouterr().out


def test_prompt_and_completion_fit_into_the_context(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        fit_on_cpu(QWEN | {"max_position_embeddings": 600}, 24, tmp_path, monkeypatch)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "640 tokens" in said and "context of 600" in said
    fit_on_cpu(QWEN | {"max_position_embeddings": 640}, 24, tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "gemma3", "llama", "phi3"])
def test_the_shape_of_other_families_is_an_upper_bound(kind):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(kind)
    shape = memory.Shape.of(config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    towers = [weight.numel() for name, weight in model.named_parameters() if "vision" in name or "multi_modal" in name]
    count = model.num_parameters() - sum(towers)
    assert 0.97 * count < shape.linear() + shape.embeddings() < 1.4 * count


@pytest.mark.parametrize("card, size", [(80, "4B"), (23.5, "1.7B"), (10, "0.6B"), (2, "")])
def test_what_fits_on_a_card_is_printed_for_a_shell(card, size):
    command = [sys.executable, str(ROOT / "benchmarks/memory_plan.py"), "--fits", str(card)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == (f"Qwen/Qwen3-{size}-Base\n" if size else "")
    assert done.returncode == (0 if size else 2) and done.stderr.count("\n") == 1
