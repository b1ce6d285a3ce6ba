"""Certainty: the batched figures against one sample at a time, where the solution's tokens stand, and what it leaves
untouched."""

import copy
import functools
import math
from types import SimpleNamespace

import pytest
import torch
from conftest import BASE, CORRECT, call, load_script
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from common import answers, certainty, decode, models, prompts, runs

A, B, C, D = prompts.THESIS
one_at_a_time = load_script("benchmarks/certainty.py").one_at_a_time
SETTINGS = SimpleNamespace(chat_template_kwargs=None, per_device_train_batch_size=3, bf16=False, fp16=False)

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


def batch(tokenizer, rows=BATCH):
    """(conversations, completion_ids) of the rows, an end token after each completion that comes to its end."""
    conversations = [prompts.build_prompt(question) for question, _ in rows]
    ids = [tokenizer(text, add_special_tokens=False).input_ids for _, text in rows]
    return conversations, [row + [tokenizer.eos_token_id] * text.endswith(D) for row, (_, text) in zip(ids, rows)]


def reference(model, tokenizer, conversations, ids):
    asked = [
        tokenizer.apply_chat_template(c, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
        for c in conversations
    ]
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
    conversations, ids = batch(tokenizer)
    settings = SimpleNamespace(**vars(SETTINGS) | {"per_device_train_batch_size": size})
    found = certainty.measure(model, tokenizer, settings, conversations, ids, ["thesis"] * len(ids))
    close(found, reference(model, tokenizer, conversations, ids))
    assert [row.solution is None for row in found] == [False, False, True, False, True, True, True, True]
    for row in found:
        assert 0 < row.response < 1 and 0 < row.entropy < 1 and row.self_certainty > 0


def test_the_logits_in_many_pieces_are_the_same(monkeypatch):
    tokenizer = tokenizer_of("one")
    model = random_model(tokenizer)
    conversations, ids = batch(tokenizer)
    whole = certainty.measure(model, tokenizer, SETTINGS, conversations, ids, ["thesis"] * len(ids))
    monkeypatch.setattr(certainty, "MAX_LOGITS", 5 * len(tokenizer))
    sizes = []
    model.lm_head.register_forward_hook(lambda module, given, logits: sizes.append(logits.numel()))
    close(certainty.measure(model, tokenizer, SETTINGS, conversations, ids, ["thesis"] * len(ids)), whole, 1e-6)
    assert sum(sizes) == len(tokenizer) * sum(map(len, ids)) and max(sizes) == 5 * len(tokenizer)


def test_figures_of_a_known_distribution():
    """All weights 0: every token has the probability 1 / vocabulary."""
    tokenizer = tokenizer_of("one")
    model = random_model(tokenizer)
    for weight in model.parameters():
        weight.data.zero_()
    conversations, ids = batch(tokenizer, BATCH[:1])
    (found,) = certainty.measure(model, tokenizer, SETTINGS, conversations, ids, ["thesis"])
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
    conversations, ids = batch(tokenizer, BATCH[:2])
    found = certainty.measure(random_model(tokenizer), tokenizer, SETTINGS, conversations, [[], ids[1]], ["thesis"] * 2)
    assert found[0].solution is None and all(math.isnan(figure) for figure in found[0][1:])
    assert found[1].solution is not None


def test_nothing_is_left_changed():
    """Mode, gradients and random numbers, also when the forward fails."""
    tokenizer = tokenizer_of("one")
    model = random_model(tokenizer, attention_dropout=0.5).train()
    model.gradient_checkpointing_enable()
    conversations, ids = batch(tokenizer)
    state = torch.random.get_rng_state()
    found = certainty.measure(model, tokenizer, SETTINGS, conversations, ids, ["thesis"] * len(ids))
    assert model.training and torch.equal(state, torch.random.get_rng_state())
    close(found, reference(model.eval(), tokenizer, conversations, ids))
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    model.train()
    with pytest.raises(IndexError):
        certainty.measure(model, tokenizer, SETTINGS, conversations[:1], [[len(tokenizer)]], ["thesis"])
    assert model.training
    loss = model(torch.tensor([ids[0]]), labels=torch.tensor([ids[0]])).loss
    loss.backward()  # no tensor of the forward without gradients is left in the model
    assert model.model.embed_tokens.weight.grad is not None


def test_rewards_share_one_forward_and_let_go_of_it(monkeypatch):
    tokenizer, calls, got = tokenizer_of("one"), [], []
    model = random_model(tokenizer)
    monkeypatch.setattr(certainty, "measure", lambda *given: calls.append(given[4]) or [len(calls)])

    def first(certainties, **columns):
        return got.append(certainties) or [0.0]

    def second(certainties, completion_ids, prompts, tags, answer, **columns):
        return got.append(certainties) or [1.0]

    ours = certainty.informed([first, second], model, tokenizer, SETTINGS)
    assert [reward.__name__ for reward in ours] == ["first", "second"]
    batches = [[[1]], [[1]]]  # equal, but not the same
    for ids in (*batches, batches[0]):
        for reward in ours:
            reward(prompts=["?"], completion_ids=ids, tags=["thesis"], answer="42")
    assert len(calls) == 3 and got == [[1], [1], [2], [2], [3], [3]]


def written(model, tokenizer, questions):
    """(conversations, kept) of completions that the model samples: kept as decode.install() does it."""
    conversations = [prompts.build_prompt(question) for question in questions]
    texts = tokenizer.apply_chat_template(conversations, add_generation_prompt=True, tokenize=False)
    asked = tokenizer(texts, add_special_tokens=False).input_ids
    found = decode.decode(model, asked, 20, list(range(4, 104)), (1.0,))
    return conversations, {"ids": [one.ids for one in found], "states": [one.states for one in found]}


def test_what_the_model_generated_needs_no_forward(monkeypatch):
    tokenizer = tokenizer_of("one")
    model = random_model(tokenizer)
    conversations, kept = written(model, tokenizer, ["1+1?", f"{CORRECT} Is this right?", "2?", "2?", "3?", "4?"])
    ids = kept["ids"]
    assert len(set(map(len, ids))) > 1
    with monkeypatch.context() as patch:
        patch.setattr(certainty, "token_figures", None)
        found = certainty.measure(model, tokenizer, SETTINGS, conversations, ids, ["thesis"] * len(ids), kept)
    close(found, reference(model, tokenizer, conversations, ids))


def test_states_of_other_tokens_are_not_used():
    tokenizer = tokenizer_of("one")
    model = random_model(tokenizer)
    conversations, kept = written(model, tokenizer, ["1+1?", "2+2?", "3+3?"])
    ids = kept["ids"]
    for other in ([*ids[:2], [*ids[2][:-1], ids[2][-1] + 1]], [ids[1], ids[0], ids[2]], [*ids[:2], ids[2] + [5] * 30]):
        found = certainty.measure(model, tokenizer, SETTINGS, conversations, other, ["thesis"] * 3, kept)
        close(found, reference(model, tokenizer, conversations, other))


def test_a_fault_is_raised_and_not_rewarded():
    tokenizer = tokenizer_of("one")
    (reward,) = certainty.informed([lambda **columns: [0.0]], random_model(tokenizer), tokenizer, SETTINGS)
    conversations, ids = batch(tokenizer)
    with pytest.raises(IndexError):
        reward(prompts=conversations[:1], completion_ids=[[10**6]], tags=["thesis"])
    with pytest.raises(ValueError):
        reward(prompts=conversations, completion_ids=ids, tags=["thesis"])
    capped = random_model(tokenizer)
    capped.config.final_logit_softcapping = 30.0
    with pytest.raises(ValueError, match="final_logit_softcapping"):
        certainty.informed([lambda **columns: [0.0]], capped, tokenizer, SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "lora_r, checkpointing, four_bit", [(0, False, False), (0, True, False), (8, True, False), (8, True, True)]
)
def test_in_the_trainer_it_is_the_policy_of_the_moment(tmp_path, lora_r, checkpointing, four_bit, monkeypatch):
    """The real trainer: at each step what a reward is told is what the trained model says one sample at a time."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    if not lora_r:
        monkeypatch.setattr(certainty, "token_figures", None)  # the states of generation are enough
    tokenizer = copy.deepcopy(tokenizer_of("several"))
    random_model(tokenizer, hidden_size=64).save_pretrained(tmp_path / "base")
    how = dict(max_steps=3, learning_rate=0.05, per_device_train_batch_size=4, num_generations=2, report_to="none")
    how |= dict(max_completion_length=16, bf16=False, gradient_checkpointing=checkpointing, save_strategy="no")
    how |= dict(dataloader_pin_memory=False)
    args = GRPOConfig(output_dir=str(tmp_path / "out"), **how)
    args.lora_r, args.lora_alpha, args.load_in_4bit = lora_r, 2 * lora_r, four_bit
    seen = []

    def responses(prompts, completion_ids, certainties, **columns):
        assert model.training
        held = reference(trainer.model.eval(), tokenizer, prompts, completion_ids)
        close(certainties, held, 0.05 if four_bit else 1e-5)  # a 4-bit layer calculates in bfloat16
        if lora_r and seen:
            with trainer.model.disable_adapter():
                without = reference(trainer.model, tokenizer, prompts, completion_ids)
            assert any(abs(a.response - b.response) > 1e-3 * a.response for a, b in zip(held, without))
        trainer.model.train()
        seen.append([row.response for row in certainties])
        return [-row.entropy for row in certainties]

    rows = [{"prompt": prompts.build_prompt(question), "tags": "thesis"} for question, _ in BATCH]
    model = models.load_model(str(tmp_path / "base"), args)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=certainty.informed([responses], model, tokenizer, args),
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=models.lora_config(args),
    )
    decode.install(trainer, True)
    trainer.train()
    assert len(seen) == 3 and trainer.state.log_history[0]["rewards/responses/mean"] < 0


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


def test_prompts_are_those_of_the_trainer():
    """The ids that the trainer generates from, with its own call, and ours."""
    from trl import GRPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(BASE)
    conversations = [prompts.build_prompt(question) for question, _ in BATCH]
    fields = dict(processing_class=tokenizer, tools=None, chat_template=None, chat_template_kwargs={})
    fields |= dict(_is_vlm=False, environment_factories=None)
    theirs = GRPOTrainer._tokenize_prompts(SimpleNamespace(**fields), conversations)[0]
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            certainty, "token_figures", lambda model, ids, *_: seen.extend(ids) or [torch.ones(1, 3)] * len(ids)
        )
        model = random_model(tokenizer)
        certainty.measure(model, tokenizer, SETTINGS, conversations, [[5]] * len(BATCH), ["thesis"] * len(BATCH))
    assert seen == theirs
