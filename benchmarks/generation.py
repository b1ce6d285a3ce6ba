"""Tokens a second of generation: common/decode.py, transformers, and vLLM where it is installed, in turns.

ratio = median over the rounds of (tokens a second of one / of transformers), sampled at temperature 1
    all: as many tokens for every completion, no end token
    ending: completions end as the checkpoint ends them; a batch of transformers goes on until its last one
Limit: the time of a step is at least that of its operations at the speed of this machine's own matrix product, and that
of its bytes at the speed of its own copy, both measured in the same call:
    operations of a token: 2 * weights of the matrices + 4 * layers * heads * width * tokens before it
    numbers read in a step: the weights once, and 2 * layers * kv heads * width * tokens before it for every completion
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

from common import data, generation, models, prompts, runs, settings
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


def engines(base: str, model, tokenizer, args) -> dict[str, Callable]:
    """name: a function from (token ids of the prompts, end tokens) to the token ids of every completion."""
    import torch
    from transformers import GenerationConfig

    from common import decode

    def ours(prompt_ids, ends):
        return [completion.ids for completion in decode.decode(model, prompt_ids, args.tokens, ends, (1.0,))]

    def transformers(prompt_ids, ends):
        config = GenerationConfig(
            max_new_tokens=args.tokens,
            do_sample=True,
            top_k=0,
            eos_token_id=ends or None,
            pad_token_id=tokenizer.pad_token_id,
            disable_compile=True,
        )
        batch = tokenizer.pad({"input_ids": prompt_ids}, return_tensors="pt", padding_side="left").to(model.device)
        with torch.inference_mode():
            output = model.generate(**batch, generation_config=config)
        completions = []
        for ids in output[:, batch.input_ids.shape[1] :].tolist():
            length = next((n for n, token in enumerate(ids, 1) if token in ends), len(ids))
            completions.append(ids[:length])
        return completions

    functions = {"transformers": transformers}
    if decode.fits(model):
        functions["ours"] = ours
    if args.use_vllm:
        if importlib.util.find_spec("vllm") is None:
            runs.fail("vLLM is not installed; pip install -r requirements/cuda.txt, or leave --use_vllm out")
        from vllm import LLM, SamplingParams

        llm = LLM(model=base, dtype=str(model.dtype).removeprefix("torch."))

        def vllm(prompt_ids, ends):
            sampling = SamplingParams(max_tokens=args.tokens, temperature=1.0, stop_token_ids=ends, ignore_eos=not ends)
            inputs = [{"prompt_token_ids": ids} for ids in prompt_ids]
            outputs = llm.generate(inputs, sampling, use_tqdm=False)
            return [list(output.outputs[0].token_ids) for output in outputs]

        functions["vLLM"] = vllm
    return functions


def speed_of_machine(model) -> tuple[float, float]:
    """(operations a second of a product of the model's shape with many rows, bytes a second read and written)."""
    import torch

    config = model.config
    a = torch.randn(2048, config.hidden_size, device=model.device, dtype=model.dtype)
    b = torch.randn(config.hidden_size, 2 * config.intermediate_size, device=model.device, dtype=model.dtype)
    numbers = torch.ones(2**26, device=model.device)
    other = torch.empty_like(numbers)
    products, copies = [], []
    for _ in range(7):
        began = now()
        for _ in range(20):
            a @ b
        products.append((now() - began) / 20)
        began = now()
        other.copy_(numbers)
        copies.append(now() - began)
    operations = 2 * a.numel() * b.shape[1] / statistics.median(products)
    return operations, 2 * numbers.numel() * 4 / statistics.median(copies)


def limit_seconds(model, prompt_length: float, lengths: list[int], speed: tuple[float, float]) -> float:
    """The least time of a generation, by the docstring."""
    config = model.config
    weights = sum(weight.numel() for weight in model.parameters() if weight.dim() == 2)
    if not config.tie_word_embeddings:
        weights -= config.vocab_size * config.hidden_size  # of the embedding only single rows are read
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    states = config.num_hidden_layers * width
    seconds = 0.0
    for step in range(max(lengths)):
        rows = sum(length > step for length in lengths)
        before = prompt_length + step
        operations = rows * (2 * weights + 4 * states * config.num_attention_heads * before)
        numbers = weights + rows * 2 * states * config.num_key_value_heads * before
        seconds += max(operations / speed[0], numbers * model.dtype.itemsize / speed[1])
    return seconds


def compare(functions: dict[str, Callable], model, prompt_ids: list, ends: list[int], speed, rounds: int) -> dict:
    """The figures of each engine on a batch; a first round warms up."""
    import torch

    prompt_length = statistics.fmean(map(len, prompt_ids))
    rates = {name: [] for name in functions}
    fractions = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, generate in functions.items():
            torch.manual_seed(turn)
            began = now()
            lengths = [len(ids) for ids in generate(prompt_ids, ends)]
            seconds = now() - began
            if turn > 0:
                rates[name].append(sum(lengths) / seconds)
                fractions[name].append(limit_seconds(model, prompt_length, lengths, speed) / seconds)
    figures = {"completions": len(prompt_ids), "mean_tokens": statistics.fmean(lengths)}
    for name in functions:
        ratios = [rate / other for rate, other in zip(rates[name], rates["transformers"])]
        figures[name] = {
            "tokens_a_second": statistics.median(rates[name]),
            "ratio": statistics.median(ratios),
            "ratio_low_high": [min(ratios), max(ratios)],
            "of_limit": statistics.median(fractions[name]),
        }
    return figures


def main(args):
    import torch
    from transformers import AutoModelForCausalLM

    base = runs.require_base(args.base, "python SFT/SFT_train.py")
    tokenizer, tag_set = models.load_tokenizer(base)
    rows = data.read_split(args.dataset, "train").rows
    # Loaded as a user's own script does, so that glibc's setting of our scripts helps neither.
    cuda = torch.cuda.is_available()
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16 if cuda else torch.float32)
    model = model.to("cuda" if cuda else "cpu").eval()
    model.generation_config.eos_token_id = None  # else transformers ends there
    functions = engines(base, model, tokenizer, args)
    speed = speed_of_machine(model)
    batches = []
    for count in args.completions:
        conversations = [prompts.build_prompt(row["question"], prompts.TAG_SETS[tag_set]) for row in rows[: count // 8]]
        texts = generation.rendered(tokenizer, conversations)
        prompt_ids = [ids for ids in generation.token_ids(tokenizer, texts) for _ in range(8)]
        for kind, ends in (("all", []), ("ending", models.stop_tokens(tokenizer))):
            figures = compare(functions, model, prompt_ids, ends, speed, args.rounds)
            batches.append({"kind": kind, **figures})
            for name in functions:
                part = figures[name]
                print(
                    f"{len(prompt_ids)} completions, {kind}: {name} {part['tokens_a_second']:.0f} tokens/s, "
                    f"ratio {part['ratio']:.2f}, {part['of_limit']:.0%} of the limit"
                )
    facts = {"command": runs.command_line(), "commit": runs.commit(), "machine": machine(), "rounds": args.rounds}
    facts |= {"operations_a_second": speed[0], "bytes_a_second": speed[1], "batches": batches}
    RESULTS.parent.mkdir(exist_ok=True)
    runs.write_json(RESULTS, facts)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
