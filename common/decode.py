"""A Qwen3 in float32 on the CPU without the overhead of its modules: generation, and the log-probs to train on.

For models as small as the embedded base. Weights with the same input are joined, the norm before them is multiplied in,
a prompt is processed once for all its completions, and padding is left out. Models that do not fit() keep TRL's ways.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import embedding, linear, rms_norm, scaled_dot_product_attention, silu

FINISHED = 0.1  # rows leave the batch when this fraction of it is finished
CACHE = 2**28  # numbers in a key-value cache, 1 GiB; a larger batch is divided


class Completion(NamedTuple):
    ids: list[int]  # with the end token, if there is one
    entropy: float  # sum over the tokens, in nats, at the temperature of sampling; 0 for a greedy one
    states: torch.Tensor  # [tokens, hidden]: what the output layer got before each token


def fits(model) -> bool:
    """Whether it is a plain Qwen3 in float32 on the CPU: no LoRA, 4-bit weights, hooks or mixed precision."""
    config, modules = model.config, list(model.modules())
    other = {type(module).__name__ for module in modules if not type(module).__name__.startswith("Qwen3")}
    return (
        type(model).__name__ == "Qwen3ForCausalLM"
        and other <= {"Linear", "Embedding", "ModuleList", "SiLUActivation"}
        and not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
        and all(weight.device.type == "cpu" and weight.dtype == torch.float32 for weight in model.parameters())
        and config.rope_parameters["rope_type"] == "default"
        and not (config.attention_bias or config.attention_dropout or config.use_sliding_window)
        and not torch.is_autocast_enabled("cpu")
    )


class Weights:
    """The weights of a model as they are used here; gradients reach the model's own."""

    def __init__(self, model):
        config, inner = model.config, model.model
        self.heads, self.kv_heads, self.width = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        self.eps, self.embedding, self.norm = config.rms_norm_eps, inner.embed_tokens.weight, inner.norm.weight
        self.head, self.frequencies, self.layers = model.lm_head.weight, inner.rotary_emb.inv_freq, []
        for layer in inner.layers:
            own, mlp = layer.self_attn, layer.mlp
            qkv = torch.cat([own.q_proj.weight, own.k_proj.weight, own.v_proj.weight]) * layer.input_layernorm.weight
            up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]) * layer.post_attention_layernorm.weight
            scales = [own.q_norm.weight * self.width**-0.5] * self.heads + [own.k_norm.weight] * self.kv_heads
            self.layers.append((qkv, torch.stack(scales), own.o_proj.weight, up, mlp.down_proj.weight))

    def states(self, tokens, places, attend: Callable):
        """What the output layer gets, [tokens, hidden]; places: the position of each token in its row.

        attend(i, q, k, v): attention of layer i over [tokens, heads, width], for all tokens or only the last ones.
        """
        angles = (places[:, None].float() * self.frequencies)[:, None]
        cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([-angles.sin(), angles.sin()], -1)
        x, split = embedding(tokens, self.embedding), [self.heads + self.kv_heads, self.kv_heads]
        for i, (qkv, scales, out, up, down) in enumerate(self.layers):
            y = linear(rms_norm(x, x.shape[-1:], eps=self.eps), qkv)
            qk, v = y.view(len(x), -1, self.width).split(split, 1)
            qk = rms_norm(qk, qk.shape[-1:], eps=self.eps) * scales
            qk = qk * cos + torch.cat(qk.chunk(2, -1)[::-1], -1) * sin
            seen = attend(i, *qk.split([self.heads, self.kv_heads], 1), v).flatten(1)
            x = torch.addmm(x[-len(seen) :], seen, out.T)
            gate, value = linear(rms_norm(x, x.shape[-1:], eps=self.eps), up).chunk(2, -1)
            x = torch.addmm(x, silu(gate) * value, down.T)
        return rms_norm(x, x.shape[-1:], self.norm, self.eps)


def attention(q, k, v, mask):
    """Of q [batch, queries, heads, width] over k, v [batch, keys, kv heads, width]; q is scaled already."""
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    k, v = (part[:, :, None].expand(-1, -1, q.shape[1] // k.shape[1], -1, -1).flatten(1, 2) for part in (k, v))
    return scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0).transpose(1, 2)


def causal(real):
    """The mask [batch, 1, queries, keys] of rows whose tokens are `real`; padding sees itself, so that none is NaN."""
    size = real.shape[1]
    return (torch.ones(size, size, dtype=torch.bool).tril() & real[:, None] | torch.eye(size, dtype=torch.bool))[
        :, None
    ]


def draw(logits, chance, temperature: float = 0.0, top_p: float = 1.0, top_k: int = 0) -> tuple:
    """(tokens, entropies) of rows of logits, by inverse transform; temperature 0 is greedy, without an entropy.

    chance: a number above 0 and at most 1 for each row. The entropies are those before top_k and top_p.
    """
    if temperature == 0:
        return logits.argmax(-1), logits.new_zeros(len(logits))
    logits = logits / temperature
    whole = p = logits.softmax(-1)
    if top_k or top_p < 1:
        p, order = p.topk(min(top_k or p.shape[-1], p.shape[-1]))
        p = p.masked_fill(p.cumsum(-1) - p >= top_p * p.sum(-1, keepdim=True), 0.0)
    total = p.cumsum(-1)
    found = torch.searchsorted(total, chance[:, None] * total[:, -1:]).clamp_(max=p.shape[-1] - 1)  # NaN has no place
    if top_k or top_p < 1:
        found = order.gather(1, found)
    # A token's logit less the log of its probability is the log of the softmax's sum.
    return found[:, 0], (logits.gather(1, found) - whole.gather(1, found).log())[:, 0] - (whole * logits).sum(-1)


@torch.inference_mode()
def decode(model, prompts: Sequence, limit: int, ends: Sequence[int], sampling=()) -> list[Completion]:
    """A completion of at most `limit` tokens of each prompt, a list of ids; equal prompts are processed once.

    ends: tokens that end a completion. sampling: temperature, top_p, top_k as in draw(). Random numbers come from
    torch's default generator, for each row its own, whatever the other rows do.
    """
    distinct = {ids: number for number, ids in enumerate(dict.fromkeys(map(tuple, prompts)))}
    room, rows, weights = max(map(len, distinct)), len(prompts), Weights(model)
    cache = len(weights.layers), rows, weights.kv_heads, weights.width, room + limit
    if rows > 1 and 2 * torch.Size(cache).numel() > CACHE:
        parts = prompts[: rows // 2], prompts[rows // 2 :]
        return [one for part in parts for one in decode(model, part, limit, ends, sampling)]
    keys, values = torch.zeros(cache), torch.zeros(cache).mT.contiguous()
    which = torch.tensor([distinct[tuple(ids)] for ids in prompts])
    real = torch.arange(room) >= torch.tensor([[room - len(ids)] for ids in distinct])  # padded on the left
    bias = torch.zeros(rows, weights.kv_heads, 1, room + limit)
    bias[..., :room].masked_fill_(~real[which, None, None], -torch.inf)

    def read(i, q, k, v):
        q, k, v = (part.unflatten(0, real.shape) for part in (q, k, v))
        keys[i, ..., :room], values[i, :, :, :room] = k.permute(0, 2, 3, 1)[which], v.transpose(1, 2)[which]
        return attention(q, k, v, causal(real)).flatten(0, 1)

    def write(i, q, k, v):
        keys[i, ..., end - 1], values[i, :, :, end - 1] = k, v
        past = [part[..., :end].flatten(0, 1) for part in (bias, keys[i])]
        weight = torch.baddbmm(past[0], q.reshape(len(past[0]), -1, weights.width), past[1]).softmax(-1)
        return torch.bmm(weight, values[i, :, :, :end].flatten(0, 1)).view(len(k), -1, weights.width)

    tokens = torch.zeros(real.shape, dtype=torch.long)
    tokens[real] = torch.tensor([token for ids in distinct for token in ids])
    places = real.cumsum(1) - 1
    state = weights.states(tokens.flatten(), places.flatten(), read).unflatten(0, real.shape)[which, -1]
    places, alive, done = places[which, -1], torch.arange(rows), torch.zeros(rows, dtype=torch.bool)
    made, states = torch.zeros(limit, rows, dtype=torch.long), torch.zeros(limit, rows, state.shape[-1])
    count, entropy = torch.full((rows,), limit), torch.zeros(limit, rows)
    chances, ends = 1 - torch.rand(limit, rows), torch.tensor(ends)
    for number in range(limit):
        token, information = draw(linear(state, weights.head), chances[number, alive], *sampling)
        for all_of_it, part in ((made, token), (states, state), (entropy, information * ~done)):
            all_of_it[number].index_copy_(0, alive, part)
        ended = torch.isin(token, ends) & ~done
        count[alive[ended]], done = number + 1, done | ended
        if done.all():
            break
        if done.sum() >= FINISHED * len(done):
            token, places, alive, bias = token[~done], places[~done], alive[~done], bias[~done]
            keys, values, done = keys[:, ~done], values[:, ~done], done[~done]
        places, end = places + 1, room + number + 1
        state = weights.states(token, places, write)
    rows = zip(made.T.tolist(), count.tolist(), entropy.sum(0).tolist(), states.transpose(0, 1))
    return [Completion(ids[:n], total, row[:n]) for ids, n, total, row in rows]


def log_probs(model, ids, mask, start: int, temperature: float) -> tuple:
    """(log p, entropy) of the tokens from column `start` on, [batch, columns - start], 0 where mask is 0.

    ids, mask: [batch, columns], prompts padded on the left, completions on the right. Equal prompts are processed
    once, without their last token, which begins each completion. The entropy has no gradient.
    """
    weights, mask = Weights(model), mask.bool()
    prompts, which = torch.where(mask, ids, -1)[:, : start - 1].unique(dim=0, return_inverse=True)
    real, written = prompts >= 0, mask[:, start:]
    count, columns = int(real.sum()), written.shape[1]
    tokens = torch.cat([prompts[real], ids[:, start - 1 : -1][written]])
    places = torch.cat([(real.cumsum(1) - 1)[real], (real.sum(1)[which, None] + torch.arange(columns))[written]])
    own = torch.ones(len(ids), columns, columns, dtype=torch.bool).tril()
    seen = torch.cat([real[which, None].expand(-1, columns, -1), own], 2)[:, None]

    def padded(part, where):
        return part.new_zeros(*where.shape, *part.shape[1:]).masked_scatter(where[..., None, None], part)

    def attend(i, q, k, v):
        first = [padded(part[:count], real) for part in (q, k, v)]
        both = (torch.cat([some[which], padded(part[count:], written)], 1) for some, part in zip(first[1:], (k, v)))
        found = attention(padded(q[count:], written), *both, seen)[written]
        last = i == len(weights.layers) - 1  # there nothing reads the states of the prompt
        return found if last else torch.cat([attention(*first, causal(real))[real], found])

    every = (linear(weights.states(tokens, places, attend), weights.head) / temperature).log_softmax(-1)
    found = every.gather(1, ids[:, start:][written][:, None])[:, 0]
    entropies = -(every.detach().exp() * every.detach()).sum(-1)
    return tuple(part.new_zeros(written.shape).masked_scatter(written, part) for part in (found, entropies))
