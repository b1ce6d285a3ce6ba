"""The memory plan: exact sizes, choices that fit, the same update, refusals that say what fits."""

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
            **{"vllm_gpu_memory_utilization": 0.0, "vllm_enable_sleep_mode": False},
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


def test_readme_has_the_table():
    command = [sys.executable, str(ROOT / "benchmarks/memory_plan.py")]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert table.strip() in (ROOT / "README.md").read_text()


def test_the_page_on_several_gpus_has_the_table():
    command = [sys.executable, str(ROOT / "benchmarks/several_gpus.py")]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert table.strip() in (ROOT / "benchmarks/README.md").read_text()
