"""Generation and log-probabilities of common/decode.py beside transformers and TRL, on any base of the Llama layout.

generation: tokens a second, sampled at temperature 1, as many tokens for every completion; greedy ones are compared
update: log-probabilities and backward pass with a LoRA on all projections, in batches of one group of eight, by TRL's
    fused output layer and by decode.log_probs(); the gradients are compared
ratio = median over the rounds of (seconds of transformers or TRL / seconds of ours), in turns in one process

Output: benchmarks/results/generation.json, or --results.
Command: python benchmarks/generation.py --base outputs/SFT
"""

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import torch
from machine import facts, now, ratio
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GenerationConfig
from trl.trainer.utils import add_fused_lm_head

from common import decode, generation, models, prompts, runs, settings
from common.settings import setting

QUESTION = "A baker sells {} loaves in April and half as many in May. How many loaves did the baker sell altogether?"
GROUP = 8  # completions of a question


@dataclass
class Args(settings.ProfileArgs):
    base: str = setting("outputs/SFT", "checkpoint of the Llama layout: a folder or a hub name")
    completions: int = setting(64, "completions at once, in groups of eight", low=GROUP)
    tokens: int = setting(110, "tokens of each completion", low=2)
    rounds: int = setting(5, "rounds of each; the median counts", low=1)
    results: str = setting("benchmarks/results/generation.json", "file for the figures")


def timed(function: Callable, *given) -> tuple:
    """(what the function returns, its seconds)."""
    began = now()
    result = function(*given)
    return result, now() - began


@torch.inference_mode()
def by_transformers(model, ids, mask, tokens: int, greedy: bool) -> list[list[int]]:
    """The tokens of each completion."""
    config = GenerationConfig(max_new_tokens=tokens, do_sample=not greedy, pad_token_id=0, disable_compile=True)
    if not greedy:
        config.top_k = 0
    output = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return output[:, ids.shape[1] :].tolist()


def by_decode(model, ids, mask, tokens: int, greedy: bool) -> list[list[int]]:
    prompt_ids = [row[real].tolist() for row, real in zip(ids, mask.bool())]
    return [one.ids for one in decode.decode(model, prompt_ids, tokens, [], (0.0 if greedy else 1.0,))]


def gradients(model, ids, mask, start: int, score: Callable):
    """The gradients of the mean log-probability of the tokens from `start` on, in batches of one group."""
    model.zero_grad()
    for rows in torch.arange(len(ids)).split(GROUP):
        score(model, ids[rows], mask[rows], start).mean().backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def scores_of_trl(model, ids, mask, start: int):
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :start] = -100
    output = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    return output.log_probs[:, start - 1 :]


def scores_of_decode(model, ids, mask, start: int):
    return decode.log_probs(model, ids, mask, start, 1.0)[0]


def adapted(base: str):
    """The model with a LoRA that is not zero, and with TRL's fused output layer."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    model.generation_config = GenerationConfig()  # no end token: completions are equally long
    if not decode.fits(model):
        runs.fail(f"{base}: common/decode.py does not take a {type(model).__name__}")
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    model = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=1e-3)
    return model


def main(args):
    base = runs.require_base(args.base, "python SFT/SFT_train.py")
    tokenizer, tag_set = models.load_tokenizer(base, default="think")
    conversations = []
    for row in range(args.completions):
        question = QUESTION.format(40 + row // GROUP)
        conversations.append(prompts.build_prompt(question, prompts.TAG_SETS[tag_set]))
    texts = generation.rendered(tokenizer, conversations)
    batch = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
    given = batch.input_ids, batch.attention_mask
    start = batch.input_ids.shape[1]
    model = adapted(base)
    greedy = by_decode(model, *given, args.tokens, True)
    equal = statistics.fmean(map(list.__eq__, greedy, by_transformers(model, *given, args.tokens, True)))
    times = {name: [] for name in ("transformers", "decode", "trl", "log_probs")}
    for turn in range(args.rounds + 1):
        torch.manual_seed(turn)
        _, slow = timed(by_transformers, model, *given, args.tokens, False)
        completions, fast = timed(by_decode, model, *given, args.tokens, False)
        ids = torch.cat([given[0], torch.tensor(completions)], 1)
        mask = torch.cat([given[1], torch.ones(args.completions, args.tokens, dtype=torch.long)], 1)
        theirs, slow_update = timed(gradients, model, ids, mask, start, scores_of_trl)
        ours, fast_update = timed(gradients, model, ids, mask, start, scores_of_decode)
        if turn > 0:  # the first round warms up
            for name, seconds in zip(times, (slow, fast, slow_update, fast_update)):
                times[name].append(seconds)

    figures = {
        "generation": ratio(times["transformers"], times["decode"]),
        "tokens_a_second": args.completions * args.tokens / statistics.median(times["decode"]),
        "equal_greedy_completions": equal,
        "update": ratio(times["trl"], times["log_probs"]),
        "gradient_difference": ((ours - theirs).norm() / theirs.norm()).item(),
        "seconds": times,
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    origin = {"command": runs.command_line(), "commit": runs.commit(), "machine": facts(), "rounds": args.rounds}
    runs.write_json(runs.resolve(args.results), origin | figures)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
