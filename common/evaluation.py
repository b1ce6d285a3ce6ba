"""Generate answers and score them: the same functions for held-out accuracy during training and for every table."""

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

from common import answers, prompts, runs

RESULTS = runs.ROOT / "resources" / "results.csv"
COLUMNS = (
    *("script", "seed", "base", "dataset", "split", "decoding", "n", "accuracy", "ci_low", "ci_high", "format_rate"),
    *("truncated_rate", "mean_tokens", "judge", "efficiency", "final", "seconds", "commit", "command"),
)
KEY = COLUMNS[:6]  # one row for each; a repeated measurement replaces it


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
) -> list[dict]:
    """One reply per conversation, in their order: {"text", "tokens", "truncated"}.

    temperature 0 is greedy. Random numbers come from `seed` alone, and the generator of a training run around this
    call is left as it was. tokens counts the end token; truncated: no end token within max_new_tokens.
    """
    import torch
    from tqdm import tqdm
    from transformers import GenerationConfig

    sampling = {"do_sample": temperature > 0}
    if temperature > 0:
        sampling |= {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    ends, pad = [tokenizer.eos_token_id, tokenizer.pad_token_id], tokenizer.pad_token_id
    config = GenerationConfig(
        max_new_tokens=max_new_tokens, eos_token_id=ends, pad_token_id=pad, disable_compile=True, **sampling
    )
    texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    replies, was_training = [None] * len(texts), model.training
    cuda = [torch.cuda.current_device()] if model.device.type == "cuda" else []
    model.eval()
    with torch.random.fork_rng(devices=cuda), torch.inference_mode():
        torch.manual_seed(seed)
        for start in tqdm(range(0, len(order), batch_size), desc=progress, disable=not progress, leave=False):
            chosen = order[start : start + batch_size]
            inputs = tokenizer(
                [texts[i] for i in chosen], return_tensors="pt", padding=True, add_special_tokens=False
            ).to(model.device)
            output = model.generate(
                input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, generation_config=config
            )
            for i, ids in zip(chosen, output[:, inputs.input_ids.shape[1] :].tolist()):
                length = next((n for n, token in enumerate(ids, 1) if token in ends), None)
                text = tokenizer.decode(ids[:length], skip_special_tokens=True)
                replies[i] = {"text": text, "tokens": length or len(ids), "truncated": length is None}
    model.train(was_training)
    return replies


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
    """What generate() does, on a vllm.LLM."""
    from vllm import SamplingParams

    sampling = SamplingParams(
        max_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        stop_token_ids=[tokenizer.eos_token_id, tokenizer.pad_token_id],
    )
    texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations]
    prompts_ids = [{"prompt_token_ids": tokenizer(text, add_special_tokens=False).input_ids} for text in texts]
    replies = []
    for request in llm.generate(prompts_ids, [sampling.clone() for _ in texts]):
        ids, reason = list(request.outputs[0].token_ids), request.outputs[0].finish_reason
        text = tokenizer.decode(ids, skip_special_tokens=True)
        replies.append({"text": text, "tokens": len(ids), "truncated": reason == "length"})
    return replies


def score(reply: dict, truth: str, tags: prompts.Tags) -> dict:
    """The reply with `solution`, `correct` and `well_formed` beside it; the rewards call the same two checkers."""
    solution = answers.extract_solution(reply["text"], tags)
    return {
        **reply,
        "solution": solution,
        "correct": answers.is_correct(solution, truth),
        "well_formed": prompts.is_well_formed(reply["text"], tags),
    }


def wilson(p: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share p observed on n items (Wilson, JASA 22, 1927)."""
    if n == 0:
        return 0.0, 1.0
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def summary(scored: list[dict], items: int) -> dict:
    """Shares over all replies; the interval counts items, since several samples of one item are not independent."""
    n = len(scored)
    accuracy = sum(row["correct"] for row in scored) / n
    low, high = wilson(accuracy, items)
    return {
        "n": items,
        "accuracy": accuracy,
        "ci_low": low,
        "ci_high": high,
        "format_rate": sum(row["well_formed"] for row in scored) / n,
        "truncated_rate": sum(row["truncated"] for row in scored) / n,
        "mean_tokens": sum(row["tokens"] for row in scored) / n,
    }


def read_results(path: Path = RESULTS) -> list[dict]:
    """The rows of results.csv, every value a string."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def save_results(rows: list[dict], path: Path = RESULTS) -> None:
    """Put rows into results.csv, each in place of an older one with the same key, and keep the file sorted."""
    from filelock import FileLock

    with FileLock(f"{path}.lock"):  # make -j runs several tests at once
        kept = {tuple(row[name] for name in KEY): row for row in read_results(path)}
        for row in rows:
            row = {name: f"{value:.4f}" if isinstance(value, float) else str(value) for name, value in row.items()}
            kept[tuple(row[name] for name in KEY)] = row
        beside = path.with_name(path.name + ".tmp")
        with open(beside, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept[key] for key in sorted(kept))
        os.replace(beside, path)
