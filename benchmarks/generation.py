"""Tokens a second of generation: common/decode.py, transformers, and vLLM where it is installed, in turns.

ratio = median over the rounds of (tokens a second of one / of transformers), sampled at temperature 1
    all: as many tokens for every completion, no end token
    ending: completions end as the checkpoint ends them; a batch of transformers goes on until its last one
Limit: the time of a step is at least that of its operations at the speed of this machine's own matrix product, and that
of its bytes at the speed of its own copy, both measured in the same call:
    operations of a token: 2 * weights of the matrices + 4 * layers * heads * width * tokens before it
    bytes of a step: the weights once, and 8 * layers * kv heads * width * tokens before it, for every completion
    limit = sum over the steps of the larger of the two / seconds measured

Input: outputs/data/<dataset>/, outputs/SFT/. Output: benchmarks/results/generation.json.
Command: python benchmarks/generation.py
"""

import importlib.util
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from certainty import machine, now

from common import data, models, prompts, runs, settings
from common.settings import setting

RESULTS = runs.ROOT / "benchmarks" / "results" / "generation.json"


@dataclass
class Args(settings.ProfileArgs):
    base: str = setting("outputs/SFT", "checkpoint that writes the completions: a folder or a hub name")
    dataset: str = setting("dapo", "folder of outputs/data/, or a path", tiny="linear")
    completions: list[int] = setting([64, 256], "batch sizes, eight completions of each problem")
    tokens: int = setting(110, "tokens of each completion; and at most this many where they end by themselves", low=2)
    rounds: int = setting(5, "rounds of each; the median counts", low=1)
    use_vllm: bool = setting(False, "also vLLM; needs CUDA, or its build for CPUs")


def engines(base: str, tokenizer, args) -> dict[str, Callable]:
    """name: a function from (prompts, end tokens) to the tokens of every completion."""
    import torch
    from transformers import GenerationConfig

    from common import decode

    model = models.load_for_generation(base)
    limit, pad = args.tokens, tokenizer.pad_token_id

    def ours(asked, ends):
        return [one.ids for one in decode.decode(model, asked, limit, ends, (1.0,))]

    def transformers(asked, ends):
        how = GenerationConfig(max_new_tokens=limit, do_sample=True, top_k=0, pad_token_id=pad, disable_compile=True)
        how.eos_token_id = ends or None
        given = tokenizer.pad({"input_ids": asked}, return_tensors="pt", padding_side="left").to(model.device)
        with torch.inference_mode():
            made = model.generate(**given, generation_config=how)[:, given.input_ids.shape[1] :].tolist()
        return [row[: next((n for n, token in enumerate(row, 1) if token in ends), len(row))] for row in made]

    model.generation_config.eos_token_id = None  # else transformers ends there
    found = {"transformers": transformers} | ({"ours": ours} if decode.fits(model) else {})
    if args.use_vllm:
        if importlib.util.find_spec("vllm") is None:
            runs.fail("vLLM is not installed; pip install -r requirements/cuda.txt, or leave --use_vllm out")
        from vllm import LLM, SamplingParams

        llm = LLM(model=base, dtype=str(model.dtype).removeprefix("torch."))

        def vllm(asked, ends):
            how = SamplingParams(max_tokens=limit, temperature=1.0, stop_token_ids=ends, ignore_eos=not ends)
            asked = [{"prompt_token_ids": ids} for ids in asked]
            return [list(one.outputs[0].token_ids) for one in llm.generate(asked, how, use_tqdm=False)]

        found["vLLM"] = vllm
    return found


def speed_of_machine(config) -> tuple[float, float]:
    """(operations a second of a product of the model's shape with many rows, bytes a second read and written)."""
    import torch

    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a = torch.randn(2048, config.hidden_size, device=device, dtype=dtype)
    b = torch.randn(config.hidden_size, 2 * config.intermediate_size, device=device, dtype=dtype)
    large, taken = torch.ones(2**26, device=device), {"product": [], "copy": []}
    other = torch.empty_like(large)
    for _ in range(7):
        began = now()
        for _ in range(20):
            a @ b
        taken["product"].append((now() - began) / 20)
        began = now()
        other.copy_(large)
        taken["copy"].append(now() - began)
    operations = 2 * a.numel() * b.shape[1] / statistics.median(taken["product"])
    return operations, 2 * large.numel() * 4 / statistics.median(taken["copy"])


def limit_seconds(config, weights: int, before: float, made: list, speed: tuple, size: int) -> float:
    """The least time of a generation, by the docstring; weights: numbers in its matrices; size: bytes of a number."""
    seconds, layers = 0.0, config.num_hidden_layers
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    for step in range(max(map(len, made))):
        alive, past = sum(len(ids) > step for ids in made), before + step
        operations = alive * (2 * weights + 4 * layers * config.num_attention_heads * width * past)
        moved = size * (weights + alive * 2 * layers * config.num_key_value_heads * width * past)
        seconds += max(operations / speed[0], moved / speed[1])
    return seconds


def main(args):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    base = runs.require_base(args.base, "python SFT/SFT_train.py")
    tokenizer, tag_set = models.load_tokenizer(base)
    rows, tags = data.read_split(args.dataset, "train")[0], prompts.TAG_SETS[tag_set]
    config, run = AutoConfig.from_pretrained(base), engines(base, tokenizer, args)
    embedded = AutoModelForCausalLM.from_pretrained(base)
    weights = sum(part.numel() for name, part in embedded.named_parameters() if part.dim() == 2)
    weights += (
        0 if config.tie_word_embeddings else -config.vocab_size * config.hidden_size
    )  # the embedding is read once
    size, speed, made = 2 if torch.cuda.is_available() else 4, speed_of_machine(config), []
    for count in args.completions:
        asked = [prompts.build_prompt(row["question"], tags) for row in rows[: count // 8]]
        texts = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        ids = [one for one in tokenizer(texts, add_special_tokens=False).input_ids for _ in range(8)]
        for kind, ends in (("all", []), ("ending", models.stop_tokens(tokenizer))):
            rates, fractions = {name: [] for name in run}, {name: [] for name in run}
            for turn in range(args.rounds + 1):
                for name, generate in run.items():
                    torch.manual_seed(turn)
                    began = now()
                    written = generate(ids, ends)
                    seconds = now() - began
                    least = limit_seconds(config, weights, statistics.fmean(map(len, ids)), written, speed, size)
                    rates[name] += [sum(map(len, written)) / seconds] * (turn > 0)
                    fractions[name] += [least / seconds] * (turn > 0)
            row = {"completions": len(ids), "kind": kind, "mean_tokens": statistics.fmean(map(len, written))}
            for name in run:
                ratios = [one / other for one, other in zip(rates[name], rates["transformers"])]
                row[name] = {"tokens_a_second": statistics.median(rates[name]), "ratio": statistics.median(ratios)}
                row[name] |= {
                    "ratio_low_high": [min(ratios), max(ratios)],
                    "of_limit": statistics.median(fractions[name]),
                }
            made.append(row)
            print(f"{len(ids)} completions, {kind}: " + "; ".join(
                f"{name} {row[name]['tokens_a_second']:.0f} tokens/s, ratio {row[name]['ratio']:.2f}, "
                f"{row[name]['of_limit']:.0%} of the limit" for name in run
            ))  # fmt: skip
    facts = {"command": runs.command_line(), "commit": runs.commit(), "machine": machine(), "rounds": args.rounds}
    facts |= {"operations_a_second": speed[0], "bytes_a_second": speed[1], "batches": made}
    RESULTS.parent.mkdir(exist_ok=True)
    runs.write_json(RESULTS, facts)


if __name__ == "__main__":
    settings.keep_memory = lambda: None  # for both: transformers as it is in a user's own script
    settings.run(main, Args, __doc__)
