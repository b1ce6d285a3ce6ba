"""A model annotates plain text with calls of tools, as in Toolformer (Schick et al. 2023, arXiv 2302.04761, section 2).

For each text and each tool: at every word boundary the probability that a call begins; at the likeliest boundaries some
calls are sampled; they are executed; and a call is kept if its result makes the text that follows likelier,

    min(L(nothing), L(call without result)) - L(call with result) >= margin

L(z) = sum_t w_t * -log p(token t of the text that follows | z, the text before), w_t falling linearly to 0 over a
window and summing to 1; z stands before the text, since the model has never seen a call inside a text.
"""

import json
import math
import re
from collections import Counter
from typing import NamedTuple

from common import calls, generation, prompts
from ToolUse.tooluse import conversations


class Candidate(NamedTuple):
    """A call proposed for a place of a text."""

    text: int  # number of the text
    at: int  # characters before the call
    call: tuple[str, dict]
    result: dict | None = None
    gain: float = 0.0  # nats a token


def boundaries(text: str) -> list[int]:
    """Where a call may stand: after each word but the last."""
    return [match.start() for match in re.finditer(r" (?=\S)", text)]


def conversation(before: str, tool: dict) -> list[dict]:
    """The conversation in which a model continues a text with one tool at hand."""
    offered = json.dumps({"type": "function", "function": tool}, ensure_ascii=False)
    return [{"role": "system", "content": prompts.tools_prompt([offered])}, {"role": "user", "content": before}]


def call_probabilities(model, tokenizer, prompts_: list[list[dict]], batch_size: int) -> list[float]:
    """The probability that a completion begins with a call."""
    import torch

    (opening,) = tokenizer("<tool_call>", add_special_tokens=False).input_ids
    texts = generation.rendered(tokenizer, prompts_)
    probabilities = []
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        inputs = tokenizer(batch, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
        with torch.inference_mode():
            logits = model(
                input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, logits_to_keep=1, use_cache=False
            ).logits
        probabilities += logits[:, -1].float().softmax(-1)[:, opening].tolist()
    return probabilities


def losses(model, tokenizer, pairs: list[tuple[str, str]], window: int, batch_size: int) -> list[float]:
    """L of each (context, text that follows), in nats a token."""
    import torch

    values = []
    for start in range(0, len(pairs), batch_size):
        rows = []
        for pair in pairs[start : start + batch_size]:
            before, after = tokenizer(list(pair), add_special_tokens=False).input_ids
            rows.append((before, after[:window]))
        longest = max(len(before) + len(after) for before, after in rows)
        ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
        for i, (before, after) in enumerate(rows):
            ids[i, : len(before) + len(after)] = torch.tensor(before + after)  # on the right: a mask is not needed
        with torch.inference_mode():
            logprobs = model(input_ids=ids.to(model.device), use_cache=False).logits.float().log_softmax(-1).cpu()
        for i, (before, after) in enumerate(rows):
            weights = [1 - t / window for t in range(len(after))]
            places = range(len(before) - 1, len(before) - 1 + len(after))
            terms = [-w * logprobs[i, place, token].item() for w, place, token in zip(weights, places, after)]
            values.append(sum(terms) / sum(weights))
    return values


def likely_places(model, tokenizer, texts: list[str], tool: dict, args) -> list[tuple[int, int]]:
    """The likeliest places for a call of a tool, args.positions in each text at most: (text, characters before)."""
    places = [(number, at) for number, text in enumerate(texts) for at in boundaries(text)]
    prompts_ = [conversation(texts[number][:at], tool) for number, at in places]
    by_text = [[] for _ in texts]
    for (number, at), p in zip(places, call_probabilities(model, tokenizer, prompts_, args.batch_size)):
        by_text[number].append((p, at))
    likely = []
    for number, rated in enumerate(by_text):
        best = sorted(rated, reverse=True)[: args.positions]
        likely += [(number, at) for p, at in best if p >= args.threshold]
    return likely


def propose(model, tokenizer, texts: list[str], tools: dict[str, dict], args):
    """Different calls of the tools for the texts, a list of Candidate, and the number of sampled completions."""
    places = []
    for tool in tools.values():
        for number, at in likely_places(model, tokenizer, texts, tool, args):
            places += [(number, at, tool)] * args.samples
    completions = generation.generate(
        model,
        tokenizer,
        [conversation(texts[number][:at], tool) for number, at, tool in places],
        args.max_new_tokens,
        args.batch_size,
        temperature=args.temperature,
        seed=args.seed,
        begun=calls.OPEN,
    )
    candidates = {}
    for (number, at, tool), completion in zip(places, completions):
        objects, kind = calls.decode(completion["text"])
        pairs = [pair for call in objects for pair in call.items()]
        if kind == "call" and len(pairs) == 1 and pairs[0][0] == tool["name"]:
            key = (number, at, calls.call_key(*pairs[0]))
            candidates.setdefault(key, Candidate(number, at, pairs[0]))
    return list(candidates.values()), len(places)


def rate(model, tokenizer, texts: list[str], candidates: list[Candidate], args) -> list[Candidate]:
    """The candidates with their gains."""
    contexts = []
    for candidate in candidates:
        text = texts[candidate.text]
        before, after = text[: candidate.at], text[candidate.at :]
        call = calls.call_text([candidate.call])
        result = calls.tool_message([json.dumps(candidate.result, ensure_ascii=False)])["content"]
        contexts += [(before, after), (f"{call}\n{before}", after), (f"{call}\n{result}\n{before}", after)]
    loss = losses(model, tokenizer, contexts, args.window, args.batch_size)
    rated = []
    for candidate, nothing, call, result in zip(candidates, loss[::3], loss[1::3], loss[2::3]):
        rated.append(candidate._replace(gain=min(nothing, call) - result))
    return rated


def annotate(model, tokenizer, texts: list[str], executor, args) -> tuple[list[Candidate], dict]:
    """The best kept call of each text that has one, and how many calls there were at each stage.

    args: the settings of tool_dataset_creation.py; positions, threshold, samples, margin are k, tau_s, m, tau_f there.
    """
    proposed, sampled = propose(model, tokenizer, texts, executor.schemas, args)
    executed = []
    for candidate in proposed:
        result = executor.execute(*candidate.call)
        if "error" not in result and result.get("found", True):  # a search without an entry tells nothing
            executed.append(candidate._replace(result=result))
    rated = rate(model, tokenizer, texts, executed, args)
    kept = [candidate for candidate in rated if candidate.gain >= args.margin]
    best = {}
    for candidate in sorted(kept, key=lambda candidate: -candidate.gain):
        best.setdefault(candidate.text, candidate)
    counts = {"texts": len(texts), "sampled": sampled, "proposed": len(proposed), "executed": len(executed)}
    counts |= {"kept": len(kept), "texts with a kept call": len(best)}
    counts |= Counter(candidate.call[0] for candidate in best.values())
    gains = sorted(candidate.gain for candidate in rated)
    median = gains[len(gains) // 2] if gains else math.nan
    listing = conversations.listing(counts)
    print(f"teacher: {listing}; median gain {median:.2f} nats a token, margin {args.margin}")
    return [best[number] for number in sorted(best)], counts


def to_row(text: str, candidate: Candidate | None, tools: list[dict]) -> dict:
    """The text as a conversation: what stands before the call is the question. Without a call it is its first half."""
    messages, name = [], "none"
    if candidate:
        at, (name, arguments) = candidate.at, candidate.call
        result = json.dumps(candidate.result, ensure_ascii=False)
        messages.append({"role": "assistant", "content": "", "tool_calls": [conversations.called(name, arguments)]})
        messages.append({"role": "tool", "name": name, "content": result})
    else:
        end = re.search(r"[.?!] ", text)
        at = end.start() + 1 if end else boundaries(text)[0]
    messages.insert(0, {"role": "user", "content": text[:at].strip()})
    messages.append({"role": "assistant", "content": text[at:].strip()})
    return conversations.make_row(f"teacher {name}", messages, tools)
