"""Small updates in bfloat16: the base stays exact, and what the next stage and the tests load is the trained policy."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from conftest import BASE
from transformers import AutoModelForCausalLM

from common import lora, models, runs

IDS = torch.arange(40).reshape(2, 20)
ARGS = SimpleNamespace(lora_r=8, lora_alpha=16, load_in_4bit=False, bf16=True)


@pytest.fixture(scope="session")
def tokenizer():
    return models.load_tokenizer(str(BASE), "thesis")[0]


@pytest.fixture(scope="session")
def qwen2(tmp_path_factory):
    """A base whose attention has biases, as Qwen2 and Qwen2.5 have."""
    from transformers import AutoConfig, Qwen2Config, Qwen2ForCausalLM

    known = AutoConfig.from_pretrained(BASE).to_dict()
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(num_hidden_layers=2, **{name: known[name] for name in names}))
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            weight.data.normal_()
    folder = tmp_path_factory.mktemp("qwen2")
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture(params=["qwen3", "qwen2"])
def base(request):
    return BASE if request.param == "qwen3" else request.getfixturevalue("qwen2")


def policy(base, seed: int = 0, step: float = 3e-5, steps: int = 6, **how):
    """A policy with a LoRA, as far from its base as AdamW takes it in some steps of this size."""
    from peft import get_peft_model

    torch.manual_seed(seed)
    args = SimpleNamespace(**vars(ARGS) | how)
    model = get_peft_model(models.load_model(str(base), args), models.lora_config(args))
    walk(model, step * steps)
    return model


def walk(model, step: float) -> None:
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data += step * torch.randn(weight.shape).sign()


def saved(model, tokenizer, folder, base):
    """The folder as a run leaves it."""
    folder.mkdir()
    facts = models.save_model(SimpleNamespace(model=model), tokenizer, folder, str(base))
    runs.write_json(folder / "run.json", facts)
    return facts


def base_weights(model) -> dict:
    return {name: w.clone() for name, w in model.named_parameters() if "lora_" not in name}


def engine_of(model):
    """TRL's own code for the weights of vLLM, with a list in its place."""
    from trl.generation.vllm_generation import VLLMGeneration

    engine, got = VLLMGeneration.__new__(VLLMGeneration), {}
    loads = SimpleNamespace(load_weights=lambda pairs: got.update({name: w.clone() for name, w in pairs}))
    runner = SimpleNamespace(model_executor=SimpleNamespace(driver_worker=SimpleNamespace(model_runner=None)))
    runner.model_executor.driver_worker.model_runner = SimpleNamespace(model=loads)
    engine.llm = SimpleNamespace(llm_engine=runner, reset_prefix_cache=lambda: None)
    engine.model, engine.mode, engine.enable_sleep_mode, engine.accelerator = model, "colocate", False, None
    state = SimpleNamespace(deepspeed_plugin=None, fsdp_plugin=None)
    from trl.distributed import DistributedBackend

    engine._dist = DistributedBackend(SimpleNamespace(state=state))
    return engine, got


def drift(base, keep: bool, updates: int) -> tuple[float, dict, dict]:
    """How far the base has moved after syncs, relative to the update; what vLLM got last, and what it should have."""
    model = policy(base, steps=0)
    before, (engine, got) = base_weights(model), engine_of(model)
    if keep:
        lora.keep_base(engine)
    for _ in range(updates):
        walk(model, 3e-5)
        engine.sync_weights()
    now, update = base_weights(model), lora.trained(model)
    moved = sum((now[name].float() - w.float()).square().sum() for name, w in before.items()) ** 0.5
    size = sum((b @ a).square().sum() for a, b in update.values()) ** 0.5
    wanted = {name.removeprefix("base_model.model.").replace(".base_layer", ""): w for name, w in before.items()}
    for name, (a, b) in update.items():
        wanted[f"{name}.weight"] = (wanted[f"{name}.weight"].float() + b @ a).to(torch.bfloat16)
    return (moved / size).item(), got, wanted


def test_the_base_stays_exact_however_often_vllm_gets_the_weights(base):
    moved, got, wanted = drift(base, keep=True, updates=50)
    assert moved == 0 and got.keys() == wanted.keys()
    assert all(torch.equal(got[name], w) for name, w in wanted.items())
    assert drift(base, keep=False, updates=50)[0] > 0.05  # what TRL does on its own


def test_every_weight_is_synced_as_trl_names_it(base):
    """With all weights trained nothing is replaced; with a LoRA the names are those that TRL's own code gives."""
    model = policy(base)
    engine, got = engine_of(model)
    engine.sync_weights()
    names = list(got)
    lora.keep_base(engine)
    got.clear()
    engine.sync_weights()
    assert list(got) == names
    plain, _ = engine_of(AutoModelForCausalLM.from_pretrained(base))
    lora.keep_base(plain)
    assert "_iter_named_params" not in vars(plain)


def logits(model):
    with torch.no_grad():
        return model.eval()(IDS).logits.float()


def test_what_bfloat16_loses_is_measured_and_said(tokenizer, tmp_path, capsys):
    """Six steps of 3e-5 are less than half a last bit of most weights, three hundred are not."""
    little = saved(policy(BASE), tokenizer, tmp_path / "little", BASE)
    said = capsys.readouterr().out
    assert 0.05 < little["update_kept"] < 0.9 and f"hold {little['update_kept']:.0%} of the update" in said
    much = saved(policy(BASE, steps=300), tokenizer, tmp_path / "much", BASE)
    assert 0.99 < much["update_kept"] < 1.01 and not capsys.readouterr().out
    plain = saved(policy(BASE, bf16=False), tokenizer, tmp_path / "plain", BASE)
    assert plain["update_kept"] > 0.999 and "root" not in plain and not capsys.readouterr().out
    assert not saved(AutoModelForCausalLM.from_pretrained(BASE), tokenizer, tmp_path / "all", BASE)


def exact_logits(root, *updates):
    """Of the root in float32 with the updates added."""
    model = AutoModelForCausalLM.from_pretrained(root, dtype=torch.bfloat16).float()
    for update in updates:
        for name, (a, b) in update.items():
            model.get_submodule(name).weight.data += b @ a
    return logits(model)


def test_the_next_stage_and_the_tests_load_the_trained_policy(tokenizer, tmp_path, monkeypatch):
    """A chain of two small updates; merging each in bfloat16 would lose most of both."""
    root = tmp_path / "root"
    AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.bfloat16).save_pretrained(root)
    first = policy(root, seed=1, steps=20)
    updates = [lora.trained(first)]
    wanted = logits(first)
    facts = saved(first, tokenizer, tmp_path / "first", root)
    assert facts["root"] == str(root) and facts["update_kept"] < 0.9

    start = policy(tmp_path / "first", seed=2, steps=0)
    assert torch.equal(logits(start), wanted)  # the next stage starts where this one ended, to the bit
    second = policy(tmp_path / "first", seed=2, steps=20)
    updates.append(lora.trained(second))
    facts = saved(second, tokenizer, tmp_path / "second", tmp_path / "first")
    assert facts["root"] == str(root) and lora.rank(tmp_path / "second" / "adapter") == 16
    shutil.rmtree(tmp_path / "first")  # of a chain, the last one and the root are enough

    exact = exact_logits(root, *updates)
    tested = logits(models.load_for_generation(str(tmp_path / "second")))
    assert torch.allclose(tested, exact, atol=1e-4)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "second", dtype=torch.float32)
    assert (logits(merged) - exact).abs().max() > 20 * (tested - exact).abs().max()

    from peft import PeftModel

    model = AutoModelForCausalLM.from_pretrained(root, dtype=torch.float32)
    assert torch.allclose(logits(PeftModel.from_pretrained(model, tmp_path / "second" / "adapter")), exact, atol=1e-4)


def test_an_update_on_the_base_is_trained_around(tokenizer, tmp_path):
    """The earlier update is frozen, is part of the reference model, and reaches vLLM and the merged weights."""
    saved(policy(BASE, seed=1, steps=40), tokenizer, tmp_path / "first", BASE)
    model = policy(tmp_path / "first", seed=2, steps=40)
    assert all("lora_" in name for name, w in model.named_parameters() if w.requires_grad)
    with model.disable_adapter():
        reference = logits(model)
    assert torch.equal(reference, logits(models.load_model(str(tmp_path / "first"), ARGS)))
    assert not torch.equal(reference, logits(AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.bfloat16)))
    model.train()(IDS, labels=IDS).loss.backward()
    assert all(w.grad is not None for name, w in model.named_parameters() if "lora_B" in name)
    assert not any("earlier" in name for name in model.state_dict())
    synced = dict(lora.merged(model))
    total = lora.total(model)
    saved(model, tokenizer, tmp_path / "second", tmp_path / "first")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "second", dtype=torch.bfloat16)
    root = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.bfloat16)
    for name, (a, b) in total.items():
        wanted = (root.get_submodule(name).weight.float() + b @ a).bfloat16()
        for found in (synced[f"{name}.weight"], merged.get_submodule(name).weight):
            assert (found.float() - wanted.float()).abs().max() <= wanted.abs().max() * 2**-7  # order of the sums


@pytest.mark.parametrize("change", ["root gone", "adapter gone", "root made again"])
def test_without_its_root_a_checkpoint_gives_its_merged_weights(change, tokenizer, tmp_path, capsys):
    root = tmp_path / "root"
    shutil.copytree(BASE, root)
    saved(policy(root), tokenizer, tmp_path / "out", root)
    capsys.readouterr()
    assert lora.source(str(tmp_path / "out")) == (str(root), tmp_path / "out" / "adapter")
    assert not capsys.readouterr().out
    if "gone" in change:
        shutil.rmtree({"root": root, "adapter": tmp_path / "out" / "adapter"}[change.split()[0]])
    else:
        facts = json.loads((root / "run.json").read_text())
        runs.write_json(root / "run.json", facts | {"seconds": 1})
    loaded = models.load_for_generation(str(tmp_path / "out"))
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "root" in said and "made again" in said
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert torch.equal(logits(loaded), logits(merged))


def test_a_4_bit_base_keeps_its_updates(tokenizer, tmp_path):
    """The next stage with a 4-bit base starts from the policy that was trained on that base."""
    first = policy(BASE, seed=1, steps=400, load_in_4bit=True)
    wanted = logits(first)
    facts = saved(first, tokenizer, tmp_path / "first", BASE)
    assert facts["root"] == runs.shown(BASE)
    start, plain = (policy(base, steps=0, load_in_4bit=True) for base in (tmp_path / "first", BASE))
    apart = [(logits(model) - wanted).abs().mean() for model in (start, plain)]
    assert apart[0] < 0.2 * apart[1]  # of the sums in bfloat16


def test_a_damaged_update_ends_in_one_line(tokenizer, tmp_path, capsys):
    saved(policy(BASE), tokenizer, tmp_path / "out", BASE)
    weights = tmp_path / "out" / "adapter" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    for damage in (lambda: weights.write_bytes(whole[:1000]), weights.unlink):
        damage()
        capsys.readouterr()
        with pytest.raises(SystemExit):
            models.load_for_generation(str(tmp_path / "out"))
        said = capsys.readouterr().err
        assert said.count("error:") == 1 and "out on resources/tiny-base" in said and "make or download" in said
