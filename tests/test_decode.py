"""The own decode and log-probs against transformers and TRL: the same tokens, frequencies, gradients and updates."""

import copy
from types import SimpleNamespace

import pytest
import torch
from conftest import BASE, GRPO, call
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PhiConfig,
    PhiForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from common import data, decode, generation, grpo, models, prompts, runs

VOCABULARY, PAD, END = 12, 0, 1
PROMPTS = [[5, 6, 7, 8, 9, 3], [4, 4], [5, 6, 7, 8, 9, 3], [11, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [4, 4], [4, 4]]
HEADS = [(4, 2), (5, 1), (3, 3), (1, 1)]  # of queries, of keys and values


def model_of(heads=(4, 2), layers=2, seed=0, **changes):
    """A Qwen3 with random weights, large enough for distributions that are far from uniform."""
    sizes = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=layers, head_dim=8)
    sizes |= dict(num_attention_heads=heads[0], num_key_value_heads=heads[1], initializer_range=0.3)
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(Qwen3Config(**sizes | changes)).eval()
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.data.uniform_(0.5, 1.5)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = END, PAD
    return model


def padded(rows: list, left: bool):
    side = "left" if left else "right"
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad([torch.tensor(row) for row in rows], True, PAD, side)
    return ids, pad([torch.ones(len(row), dtype=torch.long) for row in rows], True, 0, side)


@pytest.mark.parametrize("heads", HEADS)
def test_greedy_is_that_of_transformers(heads):
    model = model_of(heads, layers=heads[1], tie_word_embeddings=heads[0] > 3)
    ids, mask = padded(PROMPTS, left=True)
    some = decode.decode(model, PROMPTS[1:2], 6, [])[0].ids[-1]  # ends at least one completion early
    how = GenerationConfig(max_new_tokens=30, do_sample=False, eos_token_id=[END, some], pad_token_id=PAD)
    theirs = model.generate(input_ids=ids, attention_mask=mask, generation_config=how)[:, ids.shape[1] :].tolist()
    ours = decode.decode(model, PROMPTS, 30, [END, some])
    ends = [next((n for n, token in enumerate(row, 1) if token in (END, some)), len(row)) for row in theirs]
    assert [one.ids for one in ours] == [row[:end] for row, end in zip(theirs, ends)]
    assert any(end < 30 for end in ends) and all(len(one.states) == end for one, end in zip(ours, ends))
    whole = model(torch.tensor([PROMPTS[0] + ours[0].ids]), output_hidden_states=True).hidden_states[-1][0]
    assert torch.allclose(ours[0].states, whole[len(PROMPTS[0]) - 1 : -1], atol=1e-5)


@pytest.mark.parametrize("how", [(1.0, 1.0, 0), (0.7, 0.8, 5), (1.5, 0.6, 0), (0.7, 1.0, 3)])
def test_drawn_frequencies_are_those_of_transformers(how):
    """Chi-square of the first two tokens together against their exact probabilities, by transformers' warpers."""
    model, n = model_of(), 20000
    found = decode.decode(model, [PROMPTS[0]] * n, 2, [END], how)
    config = GenerationConfig(do_sample=True, temperature=how[0], top_p=how[1], top_k=how[2])
    warp = model._get_logits_processor(config, device="cpu")

    def chances(ids):
        return warp(torch.tensor([ids]), model(torch.tensor([ids])).logits[:, -1]).softmax(-1)[0].double()

    first, expected = chances(PROMPTS[0]), {}
    for token, p in enumerate(first.tolist()):
        rest = chances([*PROMPTS[0], token]).tolist() if token != END else [1.0]
        expected |= {(token, *([other] if token != END else [])): p * q for other, q in enumerate(rest) if p * q > 0}
    counts = {pair: 0 for pair in expected}
    for one in found:
        counts[tuple(one.ids)] += 1  # KeyError for a pair without probability
    common = [pair for pair, p in expected.items() if p * n >= 5]
    rare = sum(expected[pair] for pair in expected if pair not in common) * n
    cells = [(counts[pair], expected[pair] * n) for pair in common]
    if rare >= 5:
        cells.append((n - sum(count for count, _ in cells), rare))
    square = sum((count - wanted) ** 2 / wanted for count, wanted in cells)
    freedom = len(cells) - 1
    assert freedom > 5 and square < freedom + 4 * (2 * freedom) ** 0.5  # four standard deviations


def test_a_row_does_not_depend_on_the_rows_that_finish(monkeypatch):
    model, made = model_of(), []
    for fraction in (0.0, 0.1, 2.0):
        monkeypatch.setattr(decode, "FINISHED", fraction)
        torch.manual_seed(1)
        made.append(decode.decode(model, PROMPTS * 4, 20, [END, 7], (1.0,)))
    lengths = {len(one.ids) for one in made[0]}
    assert len(lengths) > 3
    for other in made[1:]:
        assert [one.ids for one in other] == [one.ids for one in made[0]]
        assert [one.entropy for one in other] == pytest.approx([one.entropy for one in made[0]], abs=1e-4)


def test_a_cache_that_is_too_large_is_divided(monkeypatch):
    model = model_of()
    whole = decode.decode(model, PROMPTS, 20, [END])
    monkeypatch.setattr(decode, "CACHE", 1)
    assert [one.ids for one in decode.decode(model, PROMPTS, 20, [END])] == [one.ids for one in whole]


def test_weights_that_are_not_numbers_end_in_no_index_error():
    model = model_of()
    model.lm_head.weight.data.fill_(torch.nan)
    for one in decode.decode(model, PROMPTS, 5, [END], (1.0, 0.9, 5)):
        assert all(0 <= token < VOCABULARY for token in one.ids)


def batch_of(model, temperature=1.0):
    """(ids, mask, first column of the completions) of sampled completions."""
    torch.manual_seed(2)
    completions = decode.decode(model, PROMPTS, 15, [END, 7], (temperature,))
    return batch_of_completions(PROMPTS, [one.ids for one in completions])


def batch_of_completions(asked: list, completions: list) -> tuple:
    prompt_ids, prompt_mask = padded(asked, left=True)
    ids, mask = padded(completions, left=False)
    return torch.cat([prompt_ids, ids], 1), torch.cat([prompt_mask, mask], 1), prompt_ids.shape[1]


@pytest.mark.parametrize("heads", HEADS)
def test_log_probs_and_gradients_are_those_of_transformers(heads, temperature=0.7):
    """In float64, where the order of sums does not matter."""
    model = model_of(heads, layers=3)
    ids, mask, start = batch_of(model)
    model.double()
    figures = []
    for own in (False, True):
        model.zero_grad()
        figures.append(scored(model, ids, mask, start, temperature, own))
    for theirs, ours in zip(*figures):
        assert (ours - theirs).norm() < 1e-5 * theirs.norm()


def test_the_entropy_of_generation_is_that_of_the_log_probs():
    model = model_of()
    torch.manual_seed(2)
    summed = [one.entropy for one in decode.decode(model, PROMPTS, 15, [END, 7], (0.7,))]
    entropy = decode.log_probs(model, *batch_of(model, 0.7), 0.7)[1]
    assert summed == pytest.approx(entropy.sum(1).tolist(), abs=1e-4)


LLAMA3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3["original_max_position_embeddings"] = 16
FAMILIES = {  # name: (model type, what differs from the defaults of its config)
    "Llama": ("llama", {"rope_parameters": LLAMA3}),
    "Llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "SmolLM2": ("llama", {"tie_word_embeddings": True, "num_attention_heads": 3, "num_key_value_heads": 1}),
    "Qwen2.5": ("qwen2", {"tie_word_embeddings": True}),
    "Qwen2.5 with YaRN": ("qwen2", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}}),
    "Qwen3": ("qwen3", {"head_dim": 10}),
    "Mistral": ("mistral", {"sliding_window": None, "head_dim": 16}),
}
SMALL = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, pad_token_id=PAD)
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def family(name: str, lora: bool = False):
    """A model of a family with random weights, norms and biases; with a LoRA that changes its completions."""
    kind, changes = FAMILIES[name]
    sizes = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=3, pad_token_id=PAD)
    sizes |= dict(num_attention_heads=4, num_key_value_heads=2, initializer_range=0.3, max_position_embeddings=64)
    sizes |= dict(bos_token_id=END, eos_token_id=END)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes | changes)).eval()
    for part, weight in model.named_parameters():
        if part.endswith("bias") or "norm" in part:
            weight.data.uniform_(0.5, 1.5)
    model.get_input_embeddings().weight.data[PAD].normal_(std=0.3)  # zeros magnify what rounding leaves
    if lora:
        model = get_peft_model(model, LoraConfig(r=2, target_modules=PROJECTIONS, task_type="CAUSAL_LM")).eval()
        for part, weight in model.named_parameters():
            if "lora_B" in part:
                weight.data.normal_(std=0.3)
    return model


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_of_each_family_is_that_of_transformers(name, lora, monkeypatch):
    model = family(name, lora)
    assert decode.fits(model)
    if lora:
        monkeypatch.setattr(decode, "LARGE", 0)  # all matrices as large ones
    before = {part: weight.clone() for part, weight in model.state_dict().items()}
    ids, mask = padded(PROMPTS, left=True)
    how = GenerationConfig(max_new_tokens=30, do_sample=False, pad_token_id=PAD)
    model.generation_config.eos_token_id = None
    theirs = model.generate(input_ids=ids, attention_mask=mask, generation_config=how)[:, ids.shape[1] :].tolist()
    assert [one.ids for one in decode.decode(model, PROMPTS, 30, [])] == theirs
    assert all(torch.equal(weight, before[part]) for part, weight in model.state_dict().items())
    if lora:
        with model.disable_adapter():
            other = [one.ids for one in decode.decode(model, PROMPTS, 30, [])]
        assert other == [one.ids for one in decode.decode(family(name), PROMPTS, 30, [])] != theirs


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_log_probs_and_gradients_of_each_family_are_those_of_transformers(name, lora, monkeypatch):
    model = family(name, lora)
    ids, mask, start = batch_of(model)
    model.double()
    figures = []
    for logits in (None, decode.LOGITS, 100):
        model.zero_grad()
        if logits == 100:  # several pieces, and layers that are calculated again
            monkeypatch.setattr(decode, "LOGITS", logits)
            monkeypatch.setattr(decode, "ACTIVATIONS", len(ids[0]) * 1000)
        figures.append(scored(model, ids, mask, start, 0.7, own=logits is not None))
    for ours in figures[1:]:
        for part, other in zip(ours, figures[0], strict=True):
            assert (part - other).norm() < 1e-5 * other.norm()
    if lora:  # nothing but the LoRA has a gradient
        assert all(("lora" in part) == (weight.grad is not None) for part, weight in model.named_parameters())


def scored(model, ids, mask, start: int, temperature: float, own: bool) -> tuple:
    """(log-probs, entropies, all gradients in one tensor) of a loss on the log-probs."""
    if own:
        logp, entropy = decode.log_probs(model, ids, mask, start, temperature)
    else:
        every = model(input_ids=ids, attention_mask=mask).logits[:, start - 1 : -1] / temperature
        every = every.log_softmax(-1)
        real = mask[:, start:]
        logp = every.gather(2, ids[:, start:, None])[..., 0] * real
        entropy = -(every.exp() * every).sum(-1) * real
    torch.manual_seed(5)
    (logp * torch.randn(logp.shape, dtype=logp.dtype)).sum().backward()
    gradients = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
    return logp.detach(), entropy.detach(), torch.cat(gradients)


def test_what_fits():
    def lora(**changes):
        config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", **changes)
        return get_peft_model(model_of(), config)

    def changed(name, **changes):
        kind, own = FAMILIES[name]
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, vocab_size=12, **own | SMALL | changes))

    plain = model_of()
    assert decode.fits(plain) and decode.fits(lora()) and decode.fits(lora().get_base_model())
    hooked = copy.deepcopy(plain)
    hooked.model.layers[0].self_attn.q_proj.register_forward_hook(lambda *seen: None)
    others = [hooked, copy.deepcopy(plain).bfloat16(), model_of(attention_dropout=0.1)]
    others += [lora(use_dora=True), lora(lora_bias=True), lora(lora_dropout=0.1), lora(modules_to_save=["lm_head"])]
    others += [model_of(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0})]
    others += [changed("Mistral", sliding_window=8), changed("Llama", hidden_act="gelu")]
    others += [changed("Qwen2.5", use_sliding_window=True, sliding_window=8, max_window_layers=0)]
    others += [PhiForCausalLM(PhiConfig(vocab_size=12, **SMALL))]
    for number, other in enumerate(others):
        assert not decode.fits(other), number
    with torch.autocast("cpu", torch.bfloat16):
        assert not decode.fits(plain)


def test_other_models_generate_with_transformers_and_say_so_once(capsys):
    tokenizer, _ = models.load_tokenizer(str(BASE), "thesis")
    model, asked = models.load_for_generation(str(BASE)), [prompts.build_prompt("1+1?")] * 2
    generation.say_slow.cache_clear()
    ours = generation.generate(model, tokenizer, asked, 20, 2)
    assert "generates with transformers" not in capsys.readouterr().out
    model.lm_head.register_forward_hook(lambda *seen: None)
    theirs = [generation.generate(model, tokenizer, asked, 20, 2) for _ in range(2)]
    assert capsys.readouterr().out.count("generates with transformers") == 1
    assert theirs == [ours, ours]


def test_a_long_generation_says_where_it_is_when_no_bar_is_seen(monkeypatch, capsys):
    tokenizer, _ = models.load_tokenizer(str(BASE), "thesis")
    model, asked = models.load_for_generation(str(BASE)), [prompts.build_prompt("1+1?")] * 5
    seconds = iter([0, 50, 70, 100])  # of the start, after each batch, and of the line
    monkeypatch.setattr(generation.time, "monotonic", lambda: next(seconds))
    generation.generate(model, tokenizer, asked, 4, 3, progress="GRPO-1K")
    assert capsys.readouterr().out == "GRPO-1K: 5 of 5 completions\n"


def test_a_script_generates_with_the_own_decode(linear_data, sft, tmp_path):
    words = ["--dataset", linear_data, "--base", sft, "--output", tmp_path / "out", "--max_steps", 1]
    words += ["--heldout_rows", 2, "--per_device_train_batch_size", 8, "--max_completion_length", 40]

    def refuse(*given, **named):
        raise AssertionError("transformers' own way")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Qwen3ForCausalLM, "generate", refuse)
        patch.setattr(Qwen3ForCausalLM, "forward", refuse)
        done = call(GRPO, *words)
    assert done.returncode == 0, done.stderr


def update(folder, tokenizer, trainer_class, replay: list, lora=None, **changes) -> tuple:
    """One update of SGD by a trainer: its weights, and what it logged. replay: the completions; filled if empty."""

    def reward(completion_ids, prompts, **columns):  # the second group has no signal
        return [1.1 + sum(ids) % 7 * (prompt == prompts[0]) for ids, prompt in zip(completion_ids, prompts)]

    how = dict(max_steps=1, optim="sgd", learning_rate=1.0, max_grad_norm=0.0, lr_scheduler_type="constant", bf16=False)
    how |= dict(num_generations=4, max_completion_length=24, gradient_checkpointing=False, save_strategy="no")
    how |= dict(report_to="none", use_cpu=True, logging_steps=1, disable_tqdm=True, use_vllm=False) | changes
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    models.set_stop_tokens(SimpleNamespace(use_vllm=False), tokenizer, model)
    rows = data.to_prompts([{"question": text, "solution": "1"} for text in ("1+1?", "What is 2*3?")], "thesis")
    args = grpo.Args(output_dir=str(folder / "out"), skip_no_signal=True, **how)
    trainer = trainer_class(model, reward, args, rows, processing_class=tokenizer, peft_config=lora)
    own = trainer._generate_single_turn

    def generate(*given, **named):
        replay[:] = replay or own(*given, **named)[0]
        torch.manual_seed(0)  # the trainer shuffles the batch
        return [list(ids) for ids in replay], None

    trainer._generate_single_turn = generate
    before = torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])
    trainer.train()
    after = torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])
    return after - before, trainer.state.log_history[0]


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch, with_lora", [(2, False), (4, True)])
def test_an_update_is_that_of_trl(tmp_path, monkeypatch, micro_batch, with_lora):
    """Fails where a private method of TRL that the trainer overrides is called in another way or no more."""
    import trl

    from common.trainer import GRPOTrainer

    calls = set()
    for name in ("decode", "log_probs"):
        whole = getattr(decode, name)
        monkeypatch.setattr(decode, name, lambda *given, whole=whole: calls.add(whole.__name__) or whole(*given))
    tokenizer, _ = models.load_tokenizer(str(BASE), "thesis")
    model_of(layers=2, vocab_size=len(tokenizer), initializer_range=0.2).save_pretrained(tmp_path)
    how = dict(per_device_train_batch_size=micro_batch, gradient_accumulation_steps=8 // micro_batch)
    how["lora"] = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM") if with_lora else None
    replay, rows, loss = [], [], trl.GRPOTrainer._compute_loss

    def counting(self, model, inputs):
        rows.append(len(inputs["completion_ids"]))
        return loss(self, model, inputs)

    monkeypatch.setattr(trl.GRPOTrainer, "_compute_loss", counting)
    ours, logged = update(tmp_path, tokenizer, GRPOTrainer, replay, **how)
    theirs, plain = update(tmp_path, tokenizer, trl.GRPOTrainer, replay, **how)
    assert calls == {"decode", "log_probs"}
    assert len(replay) == 8 and logged["frac_reward_zero_std"] == 0.5
    assert sum(rows[: 8 // micro_batch]) < 8 == sum(rows[8 // micro_batch :])
    assert theirs.norm() > 0 and (ours - theirs).norm() < 1e-5 * theirs.norm()
    names = ["loss", "reward", "num_tokens", "clip_ratio/region_mean", "completions/mean_length"]
    for name in [*names, "entropy"]:
        assert logged[name] == pytest.approx(plain[name], rel=1e-4, abs=1e-6), name


@pytest.mark.slow
def test_an_update_with_an_entropy_bonus_is_that_of_trl(tmp_path):
    import trl

    from common.trainer import GRPOTrainer

    tokenizer, _ = models.load_tokenizer(str(BASE), "thesis")
    model_of(layers=2, vocab_size=len(tokenizer), initializer_range=0.2).save_pretrained(tmp_path)
    replay, how = [], dict(per_device_train_batch_size=8, entropy_coef=0.5)
    ours, _ = update(tmp_path, tokenizer, GRPOTrainer, replay, **how)
    theirs, _ = update(tmp_path, tokenizer, trl.GRPOTrainer, replay, **how)
    without, _ = update(tmp_path, tokenizer, trl.GRPOTrainer, replay, **how | {"entropy_coef": 0.0})
    assert (theirs - without).norm() > 0.01 * theirs.norm()
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()


def test_equal_rewards_are_no_signal_although_their_deviation_is_not_zero():
    from common.trainer import fraction_without_signal

    weights = torch.tensor([0.6, 0.4])
    formats = torch.tensor([[1.0, 0.0]] * 8)
    sums = (formats * weights).sum(1)
    assert sums.std() > 0  # what TRL looks at
    assert fraction_without_signal(formats, weights, 8) == 1
    rewards = torch.cat([formats, formats, torch.zeros(8, 2), torch.full((8, 2), -1e-9)])
    rewards[3, 1] = 1e-4
    assert fraction_without_signal(rewards, weights, 8) == 0.75


@pytest.mark.slow
def test_an_update_without_any_signal_changes_nothing(tmp_path, linear_data, sft):
    words = ["--dataset", linear_data, "--base", sft, "--output", tmp_path / "out", "--max_steps", 1, "--patience", 0]
    words += ["--heldout_rows", 2, "--per_device_train_batch_size", 8, "--max_completion_length", 5]
    assert call(GRPO, *words).returncode == 0
    before, after = (models.load_for_generation(str(folder)).state_dict() for folder in (sft, tmp_path / "out"))
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())
    (logged,) = [row for row in runs.read_jsonl(tmp_path / "out" / "metrics.jsonl") if "loss" in row]
    assert logged["frac_reward_zero_std"] == 1 and logged["grad_norm"] == 0 and logged["entropy"] > 0
