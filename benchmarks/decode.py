"""A real model on a CPU: generation and the log-probs to train on, common/decode.py beside transformers and TRL.

generation: greedy by transformers and by decode(), whose ids are compared; and by decode() with int8 weights
update: log-probs and backward pass with a LoRA on all projections, in batches of one group, by TRL's fused output layer
    and by log_probs(); the gradients are compared
ratio = median over the rounds of (seconds of transformers or TRL / seconds of ours), in turns in one process
limit = seconds of the matrix products at the speed of this machine's own product of as many rows / seconds measured
mean_difference: of log p of a sampled token, int8 less the model, in nats. On one thread seconds are the processor's.

Output: benchmarks/results/decode.json. Command: python benchmarks/decode.py --base FOLDER
"""

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from certainty import machine, now

from common import models, prompts, runs, settings
from common.settings import setting

RESULTS = runs.ROOT / "benchmarks" / "results" / "decode.json"
QUESTIONS = [
    "A baker sells 48 loaves in April and half as many in May. How many loaves did the baker sell altogether?",
    "Rosa earns 12 dollars an hour. Yesterday she worked for 50 minutes. How many dollars did she earn?",
    "A book has 120 pages. Tom read 12 pages on Monday and twice as many on Tuesday. How many pages are left?",
    "A wallet costs 100 dollars. Mia has half of that, and her aunt gives her 15 more. How much does she still need?",
]


@dataclass
class Args(settings.ProfileArgs):
    base: str = setting("outputs/SFT", "a folder or a hub name, of the Llama layout")
    completions: int = setting(32, "completions at once, in groups of eight", low=8)
    tokens: int = setting(128, "tokens of each completion", low=2)
    rounds: int = setting(3, "rounds of each; the median counts", low=1)
    lora_rank: int = setting(16, "rank of the LoRA that is trained", low=1)


def product_speed(config, rows: int) -> float:
    """Operations a second of the best product of `rows` rows with the largest matrix of a layer."""
    import torch

    weight = torch.randn(2 * config.intermediate_size, config.hidden_size)
    x = torch.randn(rows, config.hidden_size)
    columns = x.T.contiguous()
    speeds = []
    for product in (lambda: torch.nn.functional.linear(x, weight), lambda: weight @ columns):
        for _ in range(10):
            began = now()
            product()
            speeds.append(2 * x.numel() * len(weight) / (now() - began))
    return max(speeds)


def timed(function, *given):
    began = now()
    result = function(*given)
    return result, now() - began


def generation(model, ids: list, tokens: int) -> tuple[dict, float, tuple]:
    """(seconds of each, fraction of equal completions, completions sampled in int8)."""
    import torch
    from transformers import GenerationConfig

    from common import decode

    how = GenerationConfig(max_new_tokens=tokens, do_sample=False, pad_token_id=0, disable_compile=True)
    room = max(map(len, ids))
    given = torch.tensor([[0] * (room - len(row)) + row for row in ids])
    mask = torch.tensor([[0] * (room - len(row)) + [1] * len(row) for row in ids])

    def transformers():
        with torch.inference_mode():
            return model.generate(input_ids=given, attention_mask=mask, generation_config=how)[:, room:].tolist()

    theirs, seconds = timed(transformers)
    ours, own_seconds = timed(decode.decode, model, ids, tokens, [])
    sampled, int8_seconds = timed(decode.decode, model, ids, tokens, [], (1.0,), True)
    equal = statistics.fmean(one.ids == other for one, other in zip(ours, theirs))
    whole = torch.cat([given, torch.tensor([one.ids for one in sampled])], 1)
    mask = torch.cat([mask, torch.ones(len(ids), tokens, dtype=torch.long)], 1)
    times = {"transformers": seconds, "ours": own_seconds, "int8": int8_seconds}
    return times, equal, (whole, mask, room, torch.stack([one.log_probs for one in sampled]))


def update(model, ids, mask, start: int, own: bool):
    """The gradients of the mean log-prob, in batches of one group; by log_probs() or by TRL."""
    import torch

    from common import decode

    model.zero_grad()
    for rows in torch.arange(len(ids)).split(8):
        if own:
            scores = decode.log_probs(model, ids[rows], mask[rows], start, 1.0)[0]
        else:
            labels = ids[rows].masked_fill(mask[rows] == 0, -100)
            labels[:, :start] = -100
            found = model(input_ids=ids[rows], attention_mask=mask[rows], labels=labels, fused_lm_head=True)
            scores = found.log_probs[:, start - 1 :]
        scores.mean().backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def main(args):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, GenerationConfig
    from trl.trainer.utils import add_fused_lm_head

    from common import decode

    base = runs.require_base(args.base, "python SFT/SFT_train.py")
    tokenizer, tag_set = models.load_tokenizer(base, default="think")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    model.generation_config = GenerationConfig()
    if not decode.fits(model):
        runs.fail(f"{base}: common/decode.py does not take a {type(model).__name__}")
    asked = [prompts.build_prompt(question, prompts.TAG_SETS[tag_set]) for question in QUESTIONS]
    texts = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(texts, add_special_tokens=False).input_ids
    ids = [ids[row // 8 % len(ids)] for row in range(args.completions)]
    config = model.config
    embedded = config.vocab_size * config.hidden_size
    body = model.num_parameters() - embedded * (1 if config.tie_word_embeddings else 2)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    lora = LoraConfig(r=args.lora_rank, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, lora)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=1e-3)
    times = {"transformers": [], "ours": [], "int8": [], "TRL": [], "log_probs": []}
    for turn in range(args.rounds):
        torch.manual_seed(turn)
        seconds, equal, (whole, mask, start, drawn) = generation(adapted, ids, args.tokens)
        theirs, seconds["TRL"] = timed(update, adapted, whole, mask, start, False)
        ours, seconds["log_probs"] = timed(update, adapted, whole, mask, start, True)
        for name, value in seconds.items():
            times[name].append(value)
        with torch.no_grad():
            difference = drawn - decode.log_probs(adapted, whole, mask, start, 1.0)[0]
        print(f"round {turn + 1}: {seconds}", flush=True)

    def ratio(one, other):
        ratios = [slow / fast for slow, fast in zip(times[one], times[other])]
        return {"median": statistics.median(ratios), "low_high": [min(ratios), max(ratios)]}

    # A group's prompt once; forward pass, gradient of the inputs, and both for the output layer.
    written = args.completions * args.tokens
    trained = 4 * body * (written + sum(map(len, ids[::8]))) + 4 * embedded * written
    speeds = product_speed(config, args.completions), product_speed(config, 8 * args.tokens)
    facts = {"command": runs.command_line(), "commit": runs.commit(), "machine": machine(), "rounds": args.rounds}
    facts["generation"] = {"ratio": ratio("transformers", "ours"), "ratio_int8": ratio("transformers", "int8")}
    facts["generation"]["of_limit"] = 2 * (body + embedded) * written / speeds[0] / statistics.median(times["ours"])
    facts["generation"]["equal_completions"] = equal
    facts["generation"]["int8_mean_difference"] = difference.abs().mean().item()
    facts["update"] = {"ratio": ratio("TRL", "log_probs")}
    facts["update"]["of_limit"] = trained / speeds[1] / statistics.median(times["log_probs"])
    facts["update"]["gradient_difference"] = ((ours - theirs).norm() / theirs.norm()).item()
    facts |= {"seconds": times, "operations_a_second": speeds}
    runs.write_json(RESULTS, facts)
    print(facts)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
