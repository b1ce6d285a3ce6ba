"""Confidence of the policy in its completions, for a whole generation batch at once.

TRL passes everything but the policy to a reward function. `informed` adds a column `certainties` to what every reward
function gets: measured on the token ids of the completions, under the current weights.

Completions of common/decode.py need only the output layer, since it keeps the states before that. Completions from vLLM
or transformers need one more forward pass.

All values are at temperature 1, with the softmax in float32. Measuring has no side effects: no gradient, no random
number, and the model returns to its mode (training or evaluation). An error ends the run; it never gives a reward of 0.
"""

import contextlib
import functools
import math
import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

from common import answers, prompts

MAX_LOGITS = 2**25  # in one tensor: 128 MiB of float32, for any size of batch and vocabulary
RESCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling", "output_multiplier", "lm_head_multiplier")


class Certainty(NamedTuple):
    """Confidence of the policy in one completion. A mean over no tokens is NaN: all values of an empty completion."""

    solution: float | None  # exp(mean log p) of the solution's tokens, 0 to 1; None where there is no solution
    response: float  # exp(mean log p) of all tokens of the completion, its end token included, 0 to 1
    entropy: float  # mean entropy of the next token / log of the vocabulary's size, 0 to 1
    self_certainty: float  # mean KL(uniform || p) over all tokens of the completion in nats, 0 or more


def informed(rewards: list[Callable], model, tokenizer, args) -> list[Callable]:
    """The reward functions with the column `certainties` added: a Certainty for each completion.

    model: the one given to the trainer; a LoRA that the trainer adds later is included. args: the trainer's config.
    The functions must be called in this order, as TRL does: the first one measures a generation batch, the last one
    frees the result. ValueError for a model that changes the logits after its output layer.
    """
    scaled = [name for name in RESCALED if getattr(model.config.get_text_config(), name, None) not in (None, 1.0)]
    if scaled:
        raise ValueError(f"{model.config.model_type} changes its logits by {scaled[0]}, which is not supported here")
    last, kept = {}, {}
    model.rollout = kept  # asks decode.install() for the states of each generation batch

    def inform(reward, is_last):
        @functools.wraps(reward)  # TRL names its metrics by the function
        def with_certainties(prompts, completion_ids, tags, **columns):
            if last.get("batch") is not completion_ids:
                measured = measure(model, tokenizer, args, prompts, completion_ids, tags, kept)
                kept.clear()
                last.update(batch=completion_ids, certainties=measured)
            columns["certainties"] = last["certainties"]
            if is_last:
                last.clear()
            return reward(prompts=prompts, completion_ids=completion_ids, tags=tags, **columns)

        return with_certainties

    return [inform(reward, i == len(rewards)) for i, reward in enumerate(rewards, 1)]


def measure(
    model, tokenizer, args, conversations: Sequence, completion_ids: Sequence, tag_sets, kept: dict | None = None
) -> list[Certainty]:
    """A Certainty for each completion; tag_sets: the name of the tag set that each prompt asks for.

    kept: `ids` and `states` of a generation batch; saves the forward pass if it is of exactly these completions.
    """
    if kept and kept["ids"] == list(completion_ids):
        figures = state_figures(model, kept["states"], completion_ids)
    else:
        # The prompts as the trainer renders them.
        prompt_ids = tokenizer.apply_chat_template(
            list(conversations),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            **(args.chat_template_kwargs or {}),
        )["input_ids"]
        size = args.per_device_train_batch_size
        figures = token_figures(model, prompt_ids, completion_ids, size, autocast(model, args))
    distinct = list(set(chain(*completion_ids)))
    pieces = dict(zip(distinct, tokenizer.batch_decode([[token] for token in distinct], skip_special_tokens=True)))
    vocabulary, found = model.get_output_embeddings().weight.shape[0], []
    for rows, ids, name in zip(figures, completion_ids, tag_sets, strict=True):
        logp, entropy, divergence = rows.double().mean(0).tolist() if len(rows) else [math.nan] * 3
        chosen = solution_tokens(tokenizer, ids, prompts.TAG_SETS[name], pieces)
        solution = math.exp(rows[chosen, 0].double().mean()) if chosen else None
        found.append(Certainty(solution, math.exp(logp), entropy / math.log(vocabulary), divergence))
    return found


def autocast(model, args):
    """A context with the trainer's mixed precision."""
    import torch

    dtype = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None
    return torch.autocast(model.device.type, dtype) if dtype else contextlib.nullcontext()


def token_figures(model, prompt_ids: Sequence, completion_ids: Sequence, batch_size: int, precision=None) -> list:
    """For each completion a float32 tensor [tokens, 3] on the CPU: log p of the token, entropy, KL(uniform || p).

    In nats; entropy and KL are of the distribution that the token was sampled from. batch_size: completions in memory
    at once. A prompt shared by several of them is processed once. precision: a context for the forward pass.
    """
    import torch

    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    was_training, figures = model.training, []
    model.eval()
    try:
        with torch.inference_mode(), precision or contextlib.nullcontext():
            for start in range(0, len(completion_ids), batch_size):
                chosen = slice(start, start + batch_size)
                figures += _batch_figures(model, prompt_ids[chosen], completion_ids[chosen])
    finally:
        model.train(was_training)
    return figures


def _batch_figures(model, prompt_ids: Sequence, completion_ids: Sequence) -> list:
    import torch

    device, backbone = model.device, model.base_model
    unique = list(dict.fromkeys(map(tuple, prompt_ids)))
    row_of = {ids: row for row, ids in enumerate(unique)}
    rows = torch.tensor([row_of[tuple(ids)] for ids in prompt_ids], device=device)
    prompt, prompt_mask = _padded(unique, "left", device)
    places = prompt_mask.cumsum(1)
    read = backbone(
        input_ids=prompt, attention_mask=prompt_mask, position_ids=(places - 1).clamp(min=0), use_cache=True
    )
    read.past_key_values.batch_select_indices(rows)
    completion, mask = _padded(completion_ids, "right", device)
    written = backbone(
        input_ids=completion,
        attention_mask=torch.cat([prompt_mask[rows], mask], dim=1),
        position_ids=places[rows, -1:] + torch.arange(completion.shape[1], device=device),
        past_key_values=read.past_key_values,
        use_cache=True,
    )
    # The state before each token: the last one of the prompt, then all but the last one of the completion.
    states = torch.cat([read.last_hidden_state[rows, -1:], written.last_hidden_state[:, :-1]], dim=1)
    return state_figures(model, [row[: len(ids)] for row, ids in zip(states, completion_ids)], completion_ids)


def state_figures(model, states: Sequence, completion_ids: Sequence) -> list:
    """What token_figures() returns, from the states [tokens, hidden] before the tokens of each completion."""
    import torch

    head, figures = model.get_output_embeddings(), []
    states = torch.cat(list(states))
    tokens = torch.tensor(list(chain(*completion_ids)), dtype=torch.long, device=states.device)
    size = max(1, MAX_LOGITS // head.weight.shape[0])
    with torch.inference_mode():
        for some, targets in zip(states.split(size), tokens.split(size)):
            logp = head(some).float().log_softmax(-1)
            taken = logp.gather(1, targets[:, None])[:, 0]
            divergence = -math.log(logp.shape[1]) - logp.mean(1)
            figures.append(torch.stack([taken, -(logp.exp() * logp).sum(1), divergence], dim=1).cpu())
    return list(torch.cat(figures).split([len(ids) for ids in completion_ids]))


def _padded(rows: Sequence, side: str, device):
    """The rows as one tensor of ids, and its mask. Any id serves as padding, since it is masked."""
    import torch

    rows = [torch.tensor(ids, dtype=torch.long) for ids in rows]
    pad = functools.partial(torch.nn.utils.rnn.pad_sequence, batch_first=True, padding_side=side)
    return pad(rows).to(device), pad([torch.ones_like(ids) for ids in rows]).to(device)


def solution_tokens(tokenizer, ids: Sequence[int], tags: prompts.Tags, pieces: dict | None = None) -> slice | None:
    """The position of the solution's tokens in the ids of a completion; None where extract_solution finds no solution.

    A token counts if it holds a character of the solution, stripped of spaces, even if it also holds part of a tag: a
    tag may be several tokens, and a tokenizer may join its end with the text beside it. pieces: token id -> text of
    that token alone, to save time.
    """
    text = tokenizer.decode(ids, skip_special_tokens=True)
    solution = answers.extract_solution(text, tags)
    if solution is None:
        return None
    start = text.index(solution, text.index(tags.answer_open) + len(tags.answer_open))
    alone = [pieces[token] for token in ids] if pieces else []
    if "".join(alone) == text:
        settled = [0, *accumulate(map(len, alone))].__getitem__
    else:  # tokens that hold part of a character, or decode differently alone

        @functools.cache
        def settled(n: int) -> int:
            """Number of characters of the text that the first n tokens fix; an incomplete one is not counted."""
            return len(os.path.commonprefix([tokenizer.decode(ids[:n], skip_special_tokens=True), text]))

    numbers = range(len(ids) + 1)
    first = bisect_left(numbers, start, key=settled)
    return slice(first - (settled(first) > start), bisect_left(numbers, start + len(solution), key=settled))
