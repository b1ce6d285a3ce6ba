"""Confidence of the policy in its completions, for a whole generation batch at once.

It is measured on the token ids of the completions. Where the states before the output layer are known, as
common/decode.py keeps them, only that layer is needed; otherwise the completions go through the model once more.

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


def check_model(model) -> None:
    """ValueError for a model that changes the logits after its output layer."""
    config = model.config.get_text_config()
    for name in RESCALED:
        if getattr(config, name, None) not in (None, 1.0):
            raise ValueError(f"{model.config.model_type} changes its logits by {name}, which is not supported here")


def measure(model, tokenizer, prompt_ids: Sequence, completion_ids: Sequence, tag_sets, batch_size: int) -> list:
    """A Certainty for each completion, by one forward pass over batch_size of them at a time.

    tag_sets: the name of the tag set that each prompt asks for.
    """
    figures = token_figures(model, prompt_ids, completion_ids, batch_size)
    return of_figures(model, tokenizer, figures, completion_ids, tag_sets)


def of_figures(model, tokenizer, figures: Sequence, completion_ids: Sequence, tag_sets) -> list[Certainty]:
    """A Certainty for each completion, from what token_figures() or state_figures() returns."""
    vocabulary = model.get_output_embeddings().weight.shape[0]
    tokens = list(set(chain(*completion_ids)))
    texts = tokenizer.batch_decode([[token] for token in tokens], skip_special_tokens=True)
    pieces = dict(zip(tokens, texts))
    certainties = []
    for values, ids, tag_set in zip(figures, completion_ids, tag_sets, strict=True):
        logp = entropy = divergence = math.nan
        if ids:
            logp, entropy, divergence = values.double().mean(0).tolist()
        places = solution_tokens(tokenizer, ids, prompts.TAG_SETS[tag_set], pieces)
        solution = None
        if places:
            solution = math.exp(values[places, 0].double().mean())
        certainties.append(Certainty(solution, math.exp(logp), entropy / math.log(vocabulary), divergence))
    return certainties


def token_figures(model, prompt_ids: Sequence, completion_ids: Sequence, batch_size: int, precision=None) -> list:
    """For each completion a float32 tensor [tokens, 3] on the CPU: log p of the token, entropy, KL(uniform || p).

    In nats; entropy and KL are of the distribution that the token was sampled from. batch_size: completions in memory
    at once. A prompt shared by several of them is processed once. precision: a context for the forward pass.
    """
    import torch

    if hasattr(model, "get_base_model"):  # of PEFT; its layers keep their LoRA
        model = model.get_base_model()
    was_training, figures = model.training, []
    model.eval()
    try:
        with torch.inference_mode(), precision or contextlib.nullcontext():
            for start in range(0, len(completion_ids), batch_size):
                batch = slice(start, start + batch_size)
                figures += _batch_figures(model, prompt_ids[batch], completion_ids[batch])
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
        for part, targets in zip(states.split(size), tokens.split(size)):
            logp = head(part).float().log_softmax(-1)
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
    length = _prefix_length(tokenizer, ids, text, pieces or {})
    counts = range(len(ids) + 1)
    first = bisect_left(counts, start, key=length)
    if length(first) > start:
        first -= 1
    return slice(first, bisect_left(counts, start + len(solution), key=length))


def _prefix_length(tokenizer, ids: Sequence[int], text: str, pieces: dict) -> Callable[[int], int]:
    """A function from n to the number of characters of the text that the first n tokens fix."""
    alone = [pieces.get(token, "") for token in ids]
    if "".join(alone) == text:
        return [0, *accumulate(map(len, alone))].__getitem__

    @functools.cache
    def length(n: int) -> int:  # of tokens that hold part of a character, or decode differently alone
        return len(os.path.commonprefix([tokenizer.decode(ids[:n], skip_special_tokens=True), text]))

    return length
