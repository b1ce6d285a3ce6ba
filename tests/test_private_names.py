"""Every private name of a library that this repo touches exists in the installed version. After an upgrade these tests
run first, and say which file needs what is gone."""

import inspect
import re

import pytest
from conftest import ROOT


def grpo_trainer():
    from trl import GRPOTrainer

    return GRPOTrainer


def vllm_generation():
    from trl.generation.vllm_generation import VLLMGeneration

    return VLLMGeneration


def hf_trainer():
    from transformers import Trainer

    return Trainer


def torch_module():
    from torch.nn import Module

    return Module


OVERRIDDEN = {  # methods of trl.GRPOTrainer in common/trainer.py: their first parameters
    "_get_per_token_logps_and_entropies": ["model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"],
    "_generate_single_turn": ["prompt_ids", "images", "multimodal_fields", "num_generations"],
    "_generate_and_score_completions": ["inputs"],
    "_calculate_rewards": ["inputs", "prompts", "completions", "completion_ids_list"],
    "_compute_loss": ["model", "inputs"],
}
TOUCHED = {  # name: (class, file of ours)
    "_generate_single_turn": (grpo_trainer, "common/generation.py"),
    "_tokenize_prompts": (grpo_trainer, "GRPO_outdomain/trainer.py"),
    "_log_completion_extra": (grpo_trainer, "common/trainer.py"),
    "_metrics": (grpo_trainer, "common/trainer.py"),
    "_logs": (grpo_trainer, "common/trainer.py"),
    "_entropy_bonus_enabled": (grpo_trainer, "common/trainer.py"),
    "_last_loaded_step": (grpo_trainer, "common/generation.py"),
    "_iter_named_params": (vllm_generation, "common/lora.py"),
    "_load_from_checkpoint": (hf_trainer, "common/training.py"),
    "_forward_hooks": (torch_module, "common/decode.py"),
    "_forward_pre_hooks": (torch_module, "common/decode.py"),
}
# Private names of our own, of the standard library, and of bfcl_eval, whose version is fixed.
OURS = {"_replace", "_fields", "_exit", "_load_scenario"}
FOLDERS = ("BFCL", "GRPO_indomain", "GRPO_outdomain", "SFT", "ToolUse", "common", "demo", "resources", "tiny")


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_a_method_that_we_override_takes_what_it_took(name):
    method = getattr(grpo_trainer(), name, None)
    assert method, f"trl.GRPOTrainer has no {name} any more, which common/trainer.py overrides"
    parameters = list(inspect.signature(method).parameters)[1:]
    assert parameters[: len(OVERRIDDEN[name])] == OVERRIDDEN[name], f"trl.GRPOTrainer.{name} takes {parameters}"


@pytest.mark.parametrize("name", TOUCHED)
def test_a_private_name_that_we_touch_is_there(name):
    owner, path = TOUCHED[name]
    owner = owner()
    there = hasattr(owner, name) or re.search(rf"\bself\.{name}\b", inspect.getsource(owner))
    assert there, f"{owner.__name__} has no {name} any more, which {path} needs"
    assert re.search(rf"\.{name}\b", (ROOT / path).read_text()), f"{path} has no {name} any more; take it off this list"


def test_log_probs_are_given_as_the_trainer_gives_them():
    source = inspect.getsource(grpo_trainer()._get_per_token_logps_and_entropies)
    assert "return logps, entropies, aux_loss" in source, "trl.GRPOTrainer gives log-probabilities in another way"


def test_no_other_private_name_is_touched():
    """Found by its form: a name with an underscore behind the dot, of something other than self."""
    known = OVERRIDDEN.keys() | TOUCHED.keys() | OURS
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            names = set(re.findall(r"(?<!\bself)\.(_[a-z]\w*)", path.read_text()))
            assert names <= known, f"{path.relative_to(ROOT)} touches {names - known}; name it here, with its owner"


def test_our_trainer_touches_and_replaces_nothing_else():
    from common.trainer import GRPOTrainer

    own = {name for name in vars(GRPOTrainer) if not name.startswith("__")}
    touched = set(re.findall(r"\bself\.(_[a-z]\w*)", inspect.getsource(GRPOTrainer)))
    assert touched <= own | TOUCHED.keys(), f"name {touched - own - TOUCHED.keys()} here"
    replaced = {name for name in own if hasattr(grpo_trainer(), name)}
    assert replaced == OVERRIDDEN.keys(), f"trl.GRPOTrainer has {replaced - OVERRIDDEN.keys()} of its own now"
