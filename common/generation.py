"""Generation: completions for conversations, with transformers or with vLLM."""

import collections
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from common import models

PROMPT_ROOM = 4096  # tokens that vLLM reserves for a prompt


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
    tokens counts the end token; truncated: no end token within max_new_tokens. progress: the title of a bar.
    """
    import torch
    from tqdm import tqdm
    from transformers import GenerationConfig

    sampling = {"do_sample": temperature > 0}
    if temperature > 0:
        sampling |= {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    ends, pad = models.stop_tokens(tokenizer), tokenizer.pad_token_id
    config = GenerationConfig(
        max_new_tokens=max_new_tokens, eos_token_id=ends, pad_token_id=pad, disable_compile=True, **sampling
    )
    texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations]
    texts = [text + begun for text in texts]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    completions, was_training = [None] * len(texts), model.training
    cuda = [torch.cuda.current_device()] if model.device.type == "cuda" else []
    model.eval()
    with torch.random.fork_rng(devices=cuda), torch.inference_mode():
        torch.manual_seed(seed)
        for start in tqdm(
            range(0, len(order), batch_size), desc=progress, disable=None if progress else True, leave=False
        ):
            chosen = order[start : start + batch_size]
            inputs = tokenizer(
                [texts[i] for i in chosen], return_tensors="pt", padding=True, add_special_tokens=False
            ).to(model.device)
            output = model.generate(
                input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, generation_config=config
            )
            for i, ids in zip(chosen, output[:, inputs.input_ids.shape[1] :].tolist()):
                length = next((n for n, token in enumerate(ids, 1) if token in ends), None)
                text = begun + tokenizer.decode(ids[:length], skip_special_tokens=True)
                completions[i] = {"text": text, "tokens": length or len(ids), "truncated": length is None}
    model.train(was_training)
    return completions


def generate_vllm(
    llm,
    tokenizer,
    conversations: Sequence[list[dict]],
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
) -> list[dict]:
    """generate() with a vllm.LLM; a completion's random numbers come from seed, prompt and number of the sample."""
    from vllm import SamplingParams

    sampling = SamplingParams(
        max_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        stop_token_ids=models.stop_tokens(tokenizer),
    )
    texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations]
    prompts_ids = [{"prompt_token_ids": tokenizer(text, add_special_tokens=False).input_ids} for text in texts]
    each, completions, asked = [sampling.clone() for _ in texts], [], collections.Counter()
    for one, text in zip(each, texts):
        one.seed = request_seed(seed, text, asked[text])
        asked[text] += 1
    for request in llm.generate(prompts_ids, each):
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


def prompt_lengths(tokenizer, conversations: Sequence[list[dict]]) -> list[int]:
    """Tokens of each conversation before the completion."""
    texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations]
    return [len(ids) for ids in tokenizer(texts, add_special_tokens=False).input_ids] if texts else []


def generator(folder: str, tokenizer, args) -> Callable:
    """A function from conversations and sampling settings to completions."""
    if args.use_vllm:
        # CUDA is in use by now (is_available() is enough), and an engine forked from such a process dies.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        from vllm import LLM

        llm = LLM(model=folder, seed=args.seed, max_model_len=context_length(folder, args))
        return lambda asked, **how: generate_vllm(llm, tokenizer, asked, args.max_new_tokens, **how)
    model = models.load_for_generation(folder)
    return lambda asked, **how: generate(
        model, tokenizer, asked, args.max_new_tokens, args.batch_size, progress=Path(folder).name, **how
    )
