"""Generation: completions for conversations, with transformers or with vLLM."""

import collections
import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from common import lora, memory, models, runs

PROMPT_ROOM = 4096  # tokens that vLLM reserves for a prompt
TOO_LONG = {"text": "", "tokens": 0, "truncated": True, "too_long": True}  # in place of a completion without room
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of a LoRA that vLLM can be asked to hold


def generate(
    model,
    tokenizer,
    conversations: Sequence[list[dict]],
    max_new_tokens: int,
    batch_size: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    progress: str = "",
    begun: str = "",
) -> list[dict]:
    """One completion per conversation, in the same order: {"text", "tokens", "truncated"}; begun: its first words.

    temperature 0 is greedy. Random numbers come from `seed` alone; the random state of a training run stays unchanged.
    tokens counts the end token; truncated: no end token within max_new_tokens. batch_size: completions at once, fewer
    where a GPU has no room for them. progress: the title of a bar.
    """
    import torch
    from tqdm import tqdm
    from transformers import GenerationConfig

    from common import decode

    sampling = {"do_sample": temperature > 0}
    if temperature > 0:
        sampling |= {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    ends, pad = models.stop_tokens(tokenizer), tokenizer.pad_token_id
    config = GenerationConfig(
        max_new_tokens=max_new_tokens, eos_token_id=ends, pad_token_id=pad, disable_compile=True, **sampling
    )
    texts = [text + begun for text in rendered(tokenizer, conversations)]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    if model.device.type == "cuda":
        longest = max(map(len, token_ids(tokenizer, texts)), default=0)
        batch_size = min(batch_size, fitting(model.config, model.dtype, longest + max_new_tokens))
    completions, was_training = [None] * len(texts), model.training
    cuda = [torch.cuda.current_device()] if model.device.type == "cuda" else []
    model.eval()
    if not (own := decode.fits(model)):
        say_slow(type(model).__name__)
    with torch.random.fork_rng(devices=cuda), torch.inference_mode():
        torch.manual_seed(seed)
        for start in tqdm(
            range(0, len(order), batch_size), desc=progress, disable=None if progress else True, leave=False
        ):
            chosen = order[start : start + batch_size]
            asked = [texts[i] for i in chosen]
            if own:
                written = decode.decode(
                    model, token_ids(tokenizer, asked), max_new_tokens, ends, (temperature, top_p, top_k)
                )
                output = [one.ids for one in written]
            else:
                inputs = tokenizer(asked, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
                output = model.generate(
                    input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, generation_config=config
                )[:, inputs.input_ids.shape[1] :].tolist()
            for i, ids in zip(chosen, output):
                length = next((n for n, token in enumerate(ids, 1) if token in ends), None)
                text = begun + tokenizer.decode(ids[:length], skip_special_tokens=True)
                completions[i] = {"text": text, "tokens": length or len(ids), "truncated": length is None}
    model.train(was_training)
    return completions


@functools.cache  # once
def say_slow(kind: str) -> None:
    print(f"{kind} generates with transformers: the faster decode is for a plain Qwen3 in float32 on the CPU")


def fitting(config, dtype, tokens: int) -> int:
    """How many completions have room in the GPU's free memory, by the key-value cache of prompt and completion.

    A layer's cache is copied as it grows, and activations need room too: half of the memory is left for that.
    """
    import torch

    free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return max(1, free // 2 // (memory.Shape.of(config).cache(dtype.itemsize) * tokens))


def generate_as_trained(trainer, tokenizer, conversations: Sequence[list[dict]], max_new_tokens: int) -> list[dict]:
    """Greedy completions by the policy of a trainer as it is now, with the engine of its rollouts; else as generate().

    So no second engine needs memory for a cache; and vLLM has the weights that it needs for the next rollouts.
    """
    import numpy

    if not getattr(trainer, "use_vllm", False):
        model = trainer.accelerator.unwrap_model(trainer.model)
        return generate(model, tokenizer, conversations, max_new_tokens, batch_size=128)
    engine, ends = trainer.vllm_generation, models.stop_tokens(tokenizer)
    if trainer.state.global_step != trainer._last_loaded_step:  # as the trainer does
        engine.sync_weights()
        trainer._last_loaded_step = trainer.state.global_step
    own = engine.temperature, engine.max_completion_length
    engine.temperature, engine.max_completion_length = 0.0, max_new_tokens
    state = numpy.random.get_state()  # vLLM's Model Runner V2 draws the seed of each request from it, greedy ones too
    try:
        _, found, *_ = engine.generate(
            token_ids(tokenizer, rendered(tokenizer, conversations)), None, num_generations=1
        )
    finally:
        engine.temperature, engine.max_completion_length = own
        numpy.random.set_state(state)
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in found]
    return [{"text": text, "tokens": len(ids), "truncated": ids[-1] not in ends} for text, ids in zip(texts, found)]


def generate_vllm(
    llm,
    tokenizer,
    conversations: Sequence[list[dict]],
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    adapter=None,
) -> list[dict]:
    """generate() with a vllm.LLM; a completion's random numbers come from seed, prompt and number of the sample.

    adapter: the vllm.lora.request.LoRARequest to add to its model.
    """
    from vllm import SamplingParams

    sampling = SamplingParams(
        max_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        stop_token_ids=models.stop_tokens(tokenizer),
    )
    texts = rendered(tokenizer, conversations)
    each, completions, asked = [sampling.clone() for _ in texts], [], collections.Counter()
    for one, text in zip(each, texts):
        one.seed = request_seed(seed, text, asked[text])
        asked[text] += 1
    prompts = [{"prompt_token_ids": ids} for ids in token_ids(tokenizer, texts)]
    bar = "TQDM_DISABLE" not in os.environ  # vLLM divides by the time that its bar measures, 0 where bars are off
    for request in llm.generate(prompts, each, use_tqdm=bar, lora_request=adapter):
        ids, reason = list(request.outputs[0].token_ids), request.outputs[0].finish_reason
        text = tokenizer.decode(ids, skip_special_tokens=True)
        completions.append({"text": text, "tokens": len(ids), "truncated": reason == "length"})
    return completions


def request_seed(seed: int, prompt: str, sample: int) -> int:
    """56 bits of a hash: no two samples, prompts or seeds share a draw, as they would with seed + position."""
    return int.from_bytes(hashlib.sha256(f"{seed} {sample} {prompt}".encode()).digest()[:7])


def context_length(folder: str, args) -> int:
    """Tokens of prompt and completion that fit into a checkpoint's context, at most what a test needs."""
    from transformers import AutoConfig

    own = AutoConfig.from_pretrained(folder).get_text_config().max_position_embeddings
    return min(own, getattr(args, "prompt_room", PROMPT_ROOM) + args.max_new_tokens)


def rendered(tokenizer, conversations: Sequence[list[dict]]) -> list[str]:
    """The text of each conversation before the completion."""
    return [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations]


def token_ids(tokenizer, texts: list[str]) -> list[list[int]]:
    return tokenizer(texts, add_special_tokens=False).input_ids if texts else []


def prompt_lengths(tokenizer, conversations: Sequence[list[dict]]) -> list[int]:
    """Tokens of each conversation before the completion."""
    return [len(ids) for ids in token_ids(tokenizer, rendered(tokenizer, conversations))]


def within(answer: Callable, tokenizer, room: int) -> Callable:
    """answer(conversations, **how), with TOO_LONG for every prompt of more than `room` tokens."""

    def bounded(asked, **how):
        lengths = prompt_lengths(tokenizer, asked)
        fits = [conversation for conversation, length in zip(asked, lengths) if length <= room]
        completions = iter(answer(fits, **how) if fits else [])
        return [next(completions) if length <= room else dict(TOO_LONG) for length in lengths]

    return bounded


def generator(folder: str, tokenizer, args) -> Callable:
    """A function from conversations and sampling settings to completions."""
    if args.use_vllm:
        # CUDA is in use by now (is_available() is enough), and an engine forked from such a process dies.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        from vllm import LLM

        root, adapter = lora.source(folder)
        how = {"seed": args.seed, "max_model_len": context_length(folder, args)}
        if adapter:
            from vllm.lora.request import LoRARequest

            rank = next((rank for rank in VLLM_RANKS if rank >= lora.rank(adapter)), None)
            if rank is None:
                runs.fail(f"the rank of {runs.shown(adapter)} is above {VLLM_RANKS[-1]}; leave --use_vllm out")
            how |= {"enable_lora": True, "max_lora_rank": rank}
            adapter = LoRARequest(Path(folder).name, 1, str(adapter))
        llm = LLM(model=root, **how)
        return lambda asked, **how: generate_vllm(llm, tokenizer, asked, args.max_new_tokens, adapter=adapter, **how)
    model = models.load_for_generation(folder)
    return lambda asked, **how: generate(
        model, tokenizer, asked, args.max_new_tokens, args.batch_size, progress=Path(folder).name, **how
    )
