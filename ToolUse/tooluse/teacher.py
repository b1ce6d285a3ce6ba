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


class Settings(NamedTuple):
    """Names as in the paper in brackets."""

    positions: int  # boundaries of a text where calls are sampled, for each tool (k)
    threshold: float  # least probability of a call there (tau_s)
    samples: int  # calls sampled at a boundary (m)
    temperature: float
    margin: float  # least gain, in nats a token (tau_f)
    window: int  # tokens that the loss looks at; 5 in the paper
    max_new_tokens: int
    batch_size: int
    seed: int


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


def asking(before: str, tool: dict) -> list[dict]:
    """The conversation in which a model continues a text with one tool at hand."""
    offered = json.dumps({"type": "function", "function": tool}, ensure_ascii=False)
    return [{"role": "system", "content": prompts.tools_prompt([offered])}, {"role": "user", "content": before}]


def chances(model, tokenizer, conversations_, batch_size: int) -> list[float]:
    """The probability that a completion begins with a call."""
    import torch

    (opening,) = tokenizer("<tool_call>", add_special_tokens=False).input_ids
    texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations_]
    found = []
    for start in range(0, len(texts), batch_size):
        inputs = tokenizer(
            texts[start : start + batch_size], return_tensors="pt", padding=True, add_special_tokens=False
        ).to(model.device)
        with torch.inference_mode():
            logits = model(
                input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, logits_to_keep=1, use_cache=False
            ).logits
        found += logits[:, -1].float().softmax(-1)[:, opening].tolist()
    return found


def losses(model, tokenizer, pairs: list[tuple[str, str]], window: int, batch_size: int) -> list[float]:
    """L of each (context, text that follows), in nats a token."""
    import torch

    found = []
    for start in range(0, len(pairs), batch_size):
        rows = [
            [tokenizer(part, add_special_tokens=False).input_ids for part in pair]
            for pair in pairs[start : start + batch_size]
        ]
        rows = [(before, after[:window]) for before, after in rows]
        longest = max(len(before) + len(after) for before, after in rows)
        ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
        for i, (before, after) in enumerate(rows):
            ids[i, : len(before) + len(after)] = torch.tensor(before + after)  # on the right: a mask is not needed
        with torch.inference_mode():
            logprobs = model(input_ids=ids.to(model.device), use_cache=False).logits.float().log_softmax(-1).cpu()
        for i, (before, after) in enumerate(rows):
            weights = [1 - t / window for t in range(len(after))]
            values = [-logprobs[i, len(before) + t - 1, token].item() for t, token in enumerate(after)]
            found.append(sum(w * v for w, v in zip(weights, values)) / sum(weights))
    return found


def propose(model, tokenizer, texts: list[str], tools: dict[str, dict], how: Settings) -> tuple[list[Candidate], int]:
    """Different calls of the tools for the texts, and the number of sampled completions."""
    places = []
    for tool in tools.values():
        asked = [(i, at) for i, text in enumerate(texts) for at in boundaries(text)]
        chance = chances(model, tokenizer, [asking(texts[i][:at], tool) for i, at in asked], how.batch_size)
        for i in range(len(texts)):
            likely = sorted(((p, at) for p, (of, at) in zip(chance, asked) if of == i), reverse=True)
            places += [(i, at, tool) for p, at in likely[: how.positions] if p >= how.threshold]
    places = [place for place in places for _ in range(how.samples)]
    completions = generation.generate(
        model,
        tokenizer,
        [asking(texts[i][:at], tool) for i, at, tool in places],
        how.max_new_tokens,
        how.batch_size,
        temperature=how.temperature,
        seed=how.seed,
        begun=calls.OPEN,
    )
    found = {}
    for (i, at, tool), completion in zip(places, completions):
        made, kind = calls.decode(completion["text"])
        pairs = [pair for call in made for pair in call.items()]
        if kind == "call" and len(pairs) == 1 and pairs[0][0] == tool["name"]:
            found.setdefault((i, at, calls.call_key(*pairs[0])), Candidate(i, at, pairs[0]))
    return list(found.values()), len(places)


def annotate(model, tokenizer, texts: list[str], executor, how: Settings) -> tuple[list[Candidate], dict]:
    """The best kept call of each text that has one, and how many calls there were at each stage."""
    proposed, sampled = propose(model, tokenizer, texts, executor.schemas, how)
    executed = [candidate._replace(result=executor.execute(*candidate.call)) for candidate in proposed]
    executed = [candidate for candidate in executed if "error" not in candidate.result]
    contexts = []
    for one in executed:
        before, after = texts[one.text][: one.at], texts[one.text][one.at :]
        call, result = calls.call_text([one.call]), json.dumps(one.result, ensure_ascii=False)
        for z in ("", f"{call}\n", f"{call}\n{calls.tool_message([result])['content']}\n"):
            contexts.append((z + before, after))
    loss = losses(model, tokenizer, contexts, how.window, how.batch_size)
    rated = [one._replace(gain=min(loss[3 * i], loss[3 * i + 1]) - loss[3 * i + 2]) for i, one in enumerate(executed)]
    kept = [one for one in rated if one.gain >= how.margin]
    best = {}
    for one in sorted(kept, key=lambda one: -one.gain):
        best.setdefault(one.text, one)
    by_tool = Counter(one.call[0] for one in best.values())
    counts = {"texts": len(texts), "sampled": sampled, "proposed": len(proposed), "executed": len(executed)}
    counts |= {"kept": len(kept), "texts with a kept call": len(best), **by_tool}
    gains = sorted(one.gain for one in rated)
    middle = gains[len(gains) // 2] if gains else math.nan
    print(f"teacher: {told(counts)}; median gain {middle:.2f} nats a token, margin {how.margin}")
    return [best[text] for text in sorted(best)], counts


def told(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def to_row(text: str, candidate: Candidate | None, tools: list[dict]) -> dict:
    """The text as a conversation: what stands before the call is the question. Without a call it is its first half."""
    if candidate:
        at, (name, arguments) = candidate.at, candidate.call
        middle = [
            {"role": "assistant", "content": "", "tool_calls": [conversations.called(name, arguments)]},
            {"role": "tool", "name": name, "content": json.dumps(candidate.result, ensure_ascii=False)},
        ]
    else:
        end = re.search(r"[.?!] ", text)
        at, name, middle = (end.start() + 1 if end else boundaries(text)[0]), "none", []
    said, rest = (
        {"role": role, "content": part.strip()} for role, part in (("user", text[:at]), ("assistant", text[at:]))
    )
    return conversations.make_row(f"teacher {name}", [said, *middle, rest], tools)
