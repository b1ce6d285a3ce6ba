"""Certainty: the batched figures against one sample at a time, where the solution's tokens stand, and what it leaves
untouched."""

import contextlib
import copy
import functools
import math
import statistics
from types import SimpleNamespace

import pytest
import torch
from conftest import BASE, CORRECT, call
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from common import answers, decode, generation, grpo, models, prompts, runs
from GRPO_outdomain import certainty

A, B, C, D = prompts.THESIS

# What was asked (of different lengths, one of them holding a solution of its own) and what was written.
BATCH = [
    ("1+1?", CORRECT),
    ("1+1?", f"{A}2*21=43{B}{C}x=4, y=-3{D}"),
    ("1+1?", f"{A}2*21=4"),
    (f"{CORRECT} Is this right, and if not, what is? Think twice.", f"{A}w{B}{C}7{D}"),
    (f"{CORRECT} Is this right, and if not, what is? Think twice.", f"{A}w{B}{C}{D}"),
    ("1+1?", f"{C}{C}42{D}"),
    ("2+2?", "4"),
    ("2+2?", f"{C} 4 {D} and more" * 20),
]


def one_at_a_time(model, tokenizer, prompt_ids, completion_ids, tag_set: str) -> list:
    """The plain way to a Certainty of each completion: no batch, no cache, all logits of prompt and completion."""
    found, tags = [], prompts.TAG_SETS[tag_set]
    for prompt, completion in zip(prompt_ids, completion_ids, strict=True):
        ids = torch.tensor([[*prompt, *completion]], device=model.device)
        with torch.no_grad():
            logp = model(ids).logits[0].float().log_softmax(-1)[len(prompt) - 1 : -1]
        taken = [logp[place, token].item() for place, token in enumerate(completion)]
        text = tokenizer.decode(completion, skip_special_tokens=True)
        solution, own = answers.extract_solution(text, tags), []
        if solution is not None:
            start = text.index(solution, text.index(tags.answer_open) + len(tags.answer_open))
            ends = [len(tokenizer.decode(completion[:n], skip_special_tokens=True)) for n in range(len(completion) + 1)]
            places = range(len(completion))
            own = [taken[n] for n in places if ends[n] < start + len(solution) and ends[n + 1] > start]
        entropy = -(logp.exp() * logp).sum(1).mean().item() / math.log(logp.shape[1])
        divergence = -math.log(logp.shape[1]) - logp.mean().item()
        confidence = math.exp(statistics.fmean(own)) if solution is not None else None
        found.append(certainty.Certainty(confidence, math.exp(statistics.fmean(taken)), entropy, divergence))
    return found


@functools.cache
def tokenizer_of(kind: str):
    """The tiny base's tokenizer, where a tag is one token, or one where tags are several and join with what is near."""
    if kind == "one":
        return models.load_tokenizer(str(BASE), "thesis")[0]
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers import models as kinds

    bpe = Tokenizer(kinds.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    names = ["<pad>", "<|im_end|>", "<|im_start|>"]
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=names, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator([f"N>42</SOL {prompts.system_prompt()}", ">42</"] * 20, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>", eos_token="<|im_end|>")
    tokenizer.chat_template = prompts.mark_template(None, "thesis")
    return tokenizer


def random_model(tokenizer, seed: int = 0, **changes):
    """A tiny Qwen3 whose random weights are large enough for distributions that are far from uniform."""
    torch.manual_seed(seed)
    sizes = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, head_dim=8, max_position_embeddings=1024)
    heads = dict(num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2)
    config = dict(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, tie_word_embeddings=True)
    return Qwen3ForCausalLM(Qwen3Config(**config | sizes | heads | changes)).eval()


def prompt_tokens(tokenizer, conversations) -> list[list[int]]:
    return generation.token_ids(tokenizer, generation.rendered(tokenizer, conversations))


def batch(tokenizer, rows=BATCH):
    """(prompt_ids, completion_ids) of the rows, an end token after each completion that comes to its end."""
    asked = prompt_tokens(tokenizer, [prompts.build_prompt(question) for question, _ in rows])
    ids = [tokenizer(text, add_special_tokens=False).input_ids for _, text in rows]
    return asked, [row + [tokenizer.eos_token_id] * text.endswith(D) for row, (_, text) in zip(ids, rows)]


def measured(model, tokenizer, asked, ids, batch_size=3):
    return certainty.measure(model, tokenizer, asked, ids, ["thesis"] * len(ids), batch_size)


def reference(model, tokenizer, asked, ids):
    return one_at_a_time(model, tokenizer, asked, ids, "thesis")


def close(ours, theirs, tolerance=1e-5):
    for row, other in zip(ours, theirs, strict=True):
        assert (row.solution is None) == (other.solution is None)
        assert row[1:] == pytest.approx(other[1:], abs=tolerance, rel=tolerance)
        assert row.solution is None or row.solution == pytest.approx(other.solution, abs=tolerance)


@pytest.mark.parametrize("kind", ["one", "several"])
@pytest.mark.parametrize("size", [1, 3, 64])
def test_equal_to_one_sample_at_a_time(kind, size):
    tokenizer = tokenizer_of(kind)
    model = random_model(tokenizer)
    asked, ids = batch(tokenizer)
    found = measured(model, tokenizer, asked, ids, size)
    close(found, reference(model, tokenizer, asked, ids))
    assert [row.solution is None for row in found] == [False, False, True, False, True, True, True, True]
    for row in found:
        assert 0 < row.response < 1 and 0 < row.entropy < 1 and row.self_certainty > 0


def test_the_logits_in_many_pieces_are_the_same(monkeypatch):
    tokenizer = tokenizer_of("one")
    model = random_model(tokenizer)
    asked, ids = batch(tokenizer)
    whole = measured(model, tokenizer, asked, ids)
    monkeypatch.setattr(certainty, "MAX_LOGITS", 5 * len(tokenizer))
    sizes = []
    model.lm_head.register_forward_hook(lambda module, given, logits: sizes.append(logits.numel()))
    close(measured(model, tokenizer, asked, ids), whole, 1e-6)
    assert sum(sizes) == len(tokenizer) * sum(map(len, ids)) and max(sizes) == 5 * len(tokenizer)


def test_figures_of_a_known_distribution():
    """All weights 0: every token has the probability 1 / vocabulary."""
    tokenizer = tokenizer_of("one")
    model = random_model(tokenizer)
    for weight in model.parameters():
        weight.data.zero_()
    asked, ids = batch(tokenizer, BATCH[:1])
    (found,) = measured(model, tokenizer, asked, ids)
    assert found == pytest.approx((1 / len(tokenizer), 1 / len(tokenizer), 1, 0), abs=1e-6)


@pytest.mark.parametrize("kind", ["one", "several"])
@pytest.mark.parametrize("solution", ["42", " x = 4, y = -3 ", "\n7\n", "é", "🙂", "½🙂 ", "4>", "</4", "<SOLUTIO"])
def test_solution_tokens_are_those_that_hold_it(kind, solution):
    tokenizer = tokenizer_of(kind)
    text = f"{A}🙂 is 2*21=42{B}{C}{solution}{D}\n"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    chosen = certainty.solution_tokens(tokenizer, ids, prompts.THESIS)
    pieces = {token: tokenizer.decode([token], skip_special_tokens=True) for token in set(ids)}
    assert chosen == certainty.solution_tokens(tokenizer, ids, prompts.THESIS, pieces)
    assert solution.strip() in tokenizer.decode(ids[chosen])
    before, after = tokenizer.decode(ids[: chosen.start]), tokenizer.decode(ids[chosen.stop :])
    for fewer in (ids[chosen][1:], ids[chosen][:-1]):
        assert solution.strip() not in tokenizer.decode(fewer)
    if kind == "one":
        assert before.rstrip() == f"{A}🙂 is 2*21=42{B}{C}" and after.lstrip() == f"{D}\n"


@pytest.mark.parametrize("kind", ["one", "several"])
def test_no_solution_tokens_without_a_solution(kind):
    tokenizer = tokenizer_of(kind)
    for text in (
        "",
        "42",
        C,
        f"{C}{D}",
        f"{C}42",
        f"{D}42{C}",
        f"{C}4{D}{C}2{D}",
        f"{A}{C}42{D}{B}",
        f"{C}{'4' * 501}{D}",
    ):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert answers.extract_solution(text) is None
        assert certainty.solution_tokens(tokenizer, ids, prompts.THESIS) is None


def test_the_other_tag_set_is_read():
    tokenizer = tokenizer_of("one")
    ids = tokenizer("<think>w</think><answer>42</answer>", add_special_tokens=False).input_ids
    chosen = certainty.solution_tokens(tokenizer, ids, prompts.TAG_SETS["think"])
    assert "42" in tokenizer.decode(ids[chosen]) and certainty.solution_tokens(tokenizer, ids, prompts.THESIS) is None


def test_a_completion_of_no_tokens_is_nan():
    tokenizer = tokenizer_of("one")
    asked, ids = batch(tokenizer, BATCH[:2])
    found = measured(random_model(tokenizer), tokenizer, asked, [[], ids[1]])
    assert found[0].solution is None and all(math.isnan(figure) for figure in found[0][1:])
    assert found[1].solution is not None


def test_nothing_is_left_changed():
    """Mode, gradients and random numbers, also when the forward fails."""
    tokenizer = tokenizer_of("one")
    model = random_model(tokenizer, attention_dropout=0.5).train()
    model.gradient_checkpointing_enable()
    asked, ids = batch(tokenizer)
    state = torch.random.get_rng_state()
    found = measured(model, tokenizer, asked, ids)
    assert model.training and torch.equal(state, torch.random.get_rng_state())
    close(found, reference(model.eval(), tokenizer, asked, ids))
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    model.train()
    with pytest.raises(IndexError):
        measured(model, tokenizer, asked[:1], [[len(tokenizer)]])
    assert model.training
    loss = model(torch.tensor([ids[0]]), labels=torch.tensor([ids[0]])).loss
    loss.backward()  # no tensor of the forward without gradients is left in the model
    assert model.model.embed_tokens.weight.grad is not None


def test_states_that_are_known_need_no_forward():
    tokenizer = tokenizer_of("one")
    model = random_model(tokenizer)
    questions = ["1+1?", f"{CORRECT} Is this right?", "2?", "2?", "3?", "4?"]
    asked = prompt_tokens(tokenizer, [prompts.build_prompt(question) for question in questions])
    written = decode.decode(model, asked, 20, list(range(4, 104)), (1.0,))
    ids = [one.ids for one in written]
    assert len(set(map(len, ids))) > 1
    figures = certainty.state_figures(model, [one.states for one in written], ids)
    found = certainty.of_figures(model, tokenizer, figures, ids, ["thesis"] * len(ids))
    close(found, reference(model, tokenizer, asked, ids))


def test_a_fault_is_raised_and_not_rewarded():
    tokenizer = tokenizer_of("one")
    model, (asked, ids) = random_model(tokenizer), batch(tokenizer)
    with pytest.raises(IndexError):
        measured(model, tokenizer, asked[:1], [[10**6]])
    with pytest.raises(ValueError):
        certainty.measure(model, tokenizer, asked, ids, ["thesis"], 3)
    certainty.check_model(model)
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(ValueError, match="final_logit_softcapping"):
        certainty.check_model(model)


@pytest.mark.slow
@pytest.mark.parametrize("lora_r, checkpointing, four_bit", [(0, False, False), (8, True, False), (8, True, True)])
def test_in_the_trainer_it_is_the_policy_of_the_moment(tmp_path, lora_r, checkpointing, four_bit, monkeypatch):
    """The real trainer: at each step what a reward is told is what the trained model says one sample at a time."""
    from datasets import Dataset

    from GRPO_outdomain.trainer import GRPOTrainer

    if not lora_r:
        monkeypatch.setattr(certainty, "token_figures", None)  # the states of generation are enough
    tokenizer = copy.deepcopy(tokenizer_of("several"))
    random_model(tokenizer, hidden_size=64).save_pretrained(tmp_path / "base")
    how = dict(max_steps=3, learning_rate=0.05, per_device_train_batch_size=4, num_generations=2, use_vllm=False)
    how |= dict(max_completion_length=16, bf16=False, gradient_checkpointing=checkpointing, save_strategy="no")
    how |= dict(dataloader_pin_memory=False, skip_no_signal=True, load_in_4bit=four_bit)
    args = grpo.Args(output_dir=str(tmp_path / "out"), **how)
    args.lora_r, args.lora_alpha = lora_r, 2 * lora_r
    seen = []

    def responses(prompts, completion_ids, certainties, row, **columns):
        assert model.training
        asked = prompt_tokens(tokenizer, prompts)
        held = reference(trainer.model.eval(), tokenizer, asked, completion_ids)
        close(certainties, held, 0.05 if four_bit else 1e-5)  # a 4-bit layer calculates in bfloat16
        if lora_r and seen:
            with trainer.model.disable_adapter():
                without = reference(trainer.model, tokenizer, asked, completion_ids)
            assert any(abs(a.response - b.response) > 1e-3 * a.response for a, b in zip(held, without))
        trainer.model.train()
        seen.append(certainties)
        assert row == trainer.batch_rows
        return [-row.entropy for row in certainties]

    def shares_the_measurement(certainties, **columns):
        assert certainties == seen[-1]
        return [0.0] * len(certainties)

    rows = [
        {"prompt": prompts.build_prompt(question), "tags": "thesis", "row": place}
        for place, (question, _) in enumerate(BATCH)
    ]
    model = models.load_model(str(tmp_path / "base"), args)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[responses, shares_the_measurement],
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=models.lora_config(args),
    )
    calls, measure = [], trainer.certainties
    trainer.certainties = lambda *given: calls.append(len(trainer.batch_completions)) or measure(*given)
    trainer.train()
    assert calls == [4 if trainer.decodes else 0] * 3 and len(seen) == 3 and trainer.batch_completions == []
    assert trainer.state.log_history[0]["rewards/responses/mean"] < 0
    rollouts = trainer.rollouts()
    assert len(rollouts) == 4 and all(BATCH[one["row"]][0] == one["prompt"][-1]["content"] for one in rollouts)


@pytest.mark.parametrize("other", ["another token", "another order", "a longer completion"])
def test_states_of_other_tokens_are_not_used(other, monkeypatch):
    from GRPO_outdomain.trainer import GRPOTrainer

    tokenizer = tokenizer_of("one")
    model = random_model(tokenizer)
    conversations = [prompts.build_prompt(question) for question in ("1+1?", "2+2?", "3+3?")]
    asked = prompt_tokens(tokenizer, conversations)
    trainer = GRPOTrainer.__new__(GRPOTrainer)
    trainer.batch_completions = decode.decode(model, asked, 20, list(range(4, 104)), (1.0,))
    trainer.model, trainer.processing_class = model, tokenizer
    trainer.accelerator = SimpleNamespace(autocast=contextlib.nullcontext)
    trainer.args = SimpleNamespace(per_device_train_batch_size=3)
    monkeypatch.setattr(trainer, "_tokenize_prompts", lambda conversations: (prompt_tokens(tokenizer, conversations),))
    ids = [one.ids for one in trainer.batch_completions]
    ids = {
        "another token": [*ids[:2], [*ids[2][:-1], ids[2][-1] + 1]],
        "another order": [ids[1], ids[0], ids[2]],
        "a longer completion": [*ids[:2], ids[2] + [5] * 30],
    }[other]
    close(trainer.certainties(conversations, ids, ["thesis"] * 3), reference(model, tokenizer, asked, ids))


@pytest.mark.slow
@pytest.mark.parametrize("script", ["GRPO-Hybrid", "GRPO-Intuitor", "GRPO-DualHead"])
def test_the_scripts_run_and_log_their_parts(script, linear_data, tmp_path):
    words = ["--dataset", linear_data, "--base", BASE, "--output", tmp_path / "out", "--heldout_rows", 2]
    words += ["--max_steps", 2, "--per_device_train_batch_size", 8, "--max_completion_length", 100]
    done = call(f"GRPO_outdomain/{script}.py", *words)
    assert done.returncode == 0, done.stderr
    rows = [row for row in runs.read_jsonl(tmp_path / "out" / "metrics.jsonl") if "reward" in row]
    parts = {"GRPO-Hybrid": "process", "GRPO-Intuitor": "response", "GRPO-DualHead": "format"}
    assert len(rows) == 2 and all(f"parts/{parts[script]}" in row for row in rows)
    assert (tmp_path / "out" / "run.json").exists()
