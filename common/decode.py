"""Models of the Llama layout in float32 on the CPU, without the overhead of their modules.

decode() generates and log_probs() scores what is trained on. Layers with the same input are one matrix product, a
prompt is processed once for all its completions, and padding is left out. Models that do not fit() keep the ways of
transformers and TRL.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import embedding, linear, rms_norm, scaled_dot_product_attention, silu
from torch.utils.checkpoint import checkpoint

FAMILIES = ("Llama", "Mistral", "Qwen2", "Qwen3")
PARTS = {"Linear", "Embedding", "ModuleList", "SiLUActivation", "ModuleDict", "ParameterDict", "Identity"}
ROPES = ("default", "linear", "llama3", "yarn")  # those whose frequencies do not depend on the length
FINISHED = 0.1  # rows leave the batch when this fraction of it is finished
CACHE = 2**28  # numbers in a key-value cache, 1 GiB; a larger batch is divided
LOGITS = 2**26  # numbers in one tensor of logits to train on, 256 MiB; more tokens are divided
ACTIVATIONS = 2**30  # numbers that the layers keep for the backward pass, 4 GiB; other layers are calculated again
LARGE = 2**19  # numbers in a matrix that meets few rows faster from the left, W x'
FEW = 128  # rows


class Completion(NamedTuple):
    ids: list[int]  # with the end token, if there is one
    entropy: float  # sum over the tokens, in nats, at the temperature of sampling; 0 for a greedy one
    states: torch.Tensor  # [tokens, hidden]: what the output layer got before each token


def without_peft(model):
    """The model of transformers inside a PEFT model; any other model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def fits(model) -> bool:
    """Whether decode() and log_probs() give what the model gives.

    True for Llama, SmolLM2, Mistral, Qwen2, Qwen2.5 and Qwen3 in float32 on the CPU, with or without a LoRA of PEFT on
    their projections; not with 4-bit weights, a sliding window, other hooks, dropout, DoRA or mixed precision.
    """
    model = without_peft(model)
    family = type(model).__name__.removesuffix("ForCausalLM")
    if family not in FAMILIES or torch.is_autocast_enabled("cpu"):
        return False
    for module in model.modules():
        kind = type(module).__name__
        changed = module._forward_hooks or module._forward_pre_hooks or getattr(module, "lora_variant", None)
        if changed or any(getattr(module, "lora_bias", {}).values()):
            return False
        if kind not in PARTS and not kind.startswith(family):
            return False
    config = model.config
    slides = "sliding_attention" in (getattr(config, "layer_types", None) or [])
    if family == "Mistral":
        slides = config.sliding_window is not None
    if slides or config.attention_dropout or config.rope_parameters["rope_type"] not in ROPES:
        return False
    if 2 * len(model.model.rotary_emb.inv_freq) != model.model.layers[0].self_attn.head_dim:
        return False
    plain = type(model.lm_head) is torch.nn.Linear and type(model.model.embed_tokens) is torch.nn.Embedding
    return plain and all(weight.device.type == "cpu" and weight.dtype == torch.float32 for weight in model.parameters())


def loras_of(layer) -> list[tuple]:
    """(A, B, scaling) of each LoRA that PEFT adds to a linear layer: its weight is meant to be W + scaling B A."""
    if not hasattr(layer, "lora_A") or layer.disable_adapters or layer.merged:
        return []
    names = [name for name in layer.active_adapters if name in layer.lora_A]
    return [(layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name]) for name in names]


class Joined:
    """Linear layers with the same input as one matrix product, LoRA and the norm before them multiplied in."""

    norm = None

    def __init__(self, layers, norm=None):
        weights = []
        for layer in layers:
            weight = layer.weight
            for a, b, scaling in loras_of(layer):
                weight = torch.addmm(weight, b, a, alpha=scaling)
            weights.append(weight)
        self.weight = weights[0] if len(weights) == 1 else torch.cat(weights)
        if norm is not None:
            self.weight = self.weight * norm
        self.bias = None
        if layers[0].bias is not None:
            self.bias = torch.cat([layer.bias for layer in layers])

    def __call__(self, x):
        if len(x) > FEW or self.weight.numel() < LARGE:
            return linear(x, self.weight, self.bias)
        y = torch.mm(self.weight, x.T.contiguous()).T
        return y if self.bias is None else y + self.bias

    def added_to(self, total, x):
        if self.bias is None and self.weight.numel() < LARGE:
            return torch.addmm(total, x, self.weight.T)
        return total + self(x)


class Adapted:
    """Linear layers with the same input, each with its LoRA beside the frozen weight, as PEFT has it."""

    def __init__(self, layers, norm=None):
        self.layers = [(layer.weight, layer.bias, loras_of(layer)) for layer in layers]
        self.norm = norm

    def __call__(self, x):
        outputs = []
        for weight, bias, loras in self.layers:
            y = linear(x, weight, bias)
            for a, b, scaling in loras:
                y = torch.addmm(y, linear(x, a), b.T, alpha=scaling)
            outputs.append(y)
        return torch.cat(outputs, -1)

    def added_to(self, total, x):
        return total + self(x)


class Weights:
    """The weights of a model as they are used here; gradients reach the model's own.

    fold: add each LoRA to its weight, in a copy; else gradients reach its A and B, and frozen weights are not copied.
    """

    def __init__(self, model, fold: bool):
        model = without_peft(model)
        inner = model.model
        first = inner.layers[0].self_attn
        self.width = first.head_dim
        self.heads = model.config.num_attention_heads
        self.kv_heads = model.config.num_key_value_heads
        self.eps = model.config.rms_norm_eps
        self.normed = hasattr(first, "q_norm")
        self.embedding = inner.embed_tokens
        self.norm = inner.norm.weight
        self.head = Joined([model.lm_head])
        self.rope = inner.rotary_emb

        def joined(layers, norm=None):
            if fold or all(layer.weight.requires_grad and not loras_of(layer) for layer in layers):
                return Joined(layers, norm)
            return Adapted(layers, norm)

        self.layers = []
        for layer in inner.layers:
            own = layer.self_attn
            mlp = layer.mlp
            q_scale = k_scale = torch.ones(self.width)
            if self.normed:
                q_scale, k_scale = own.q_norm.weight, own.k_norm.weight
            scales = torch.stack([q_scale * self.width**-0.5] * self.heads + [k_scale] * self.kv_heads)
            qkv = joined([own.q_proj, own.k_proj, own.v_proj], layer.input_layernorm.weight)
            up = joined([mlp.gate_proj, mlp.up_proj], layer.post_attention_layernorm.weight)
            self.layers.append((qkv, scales, joined([own.o_proj]), up, joined([mlp.down_proj])))
        self.kept = 10 * len(self.norm) + 4 * mlp.down_proj.in_features  # numbers for the backward pass, of each token

    def states(self, tokens, places, attend: Callable):
        """What the output layer gets, [tokens, hidden]; places: the position of each token in its row.

        attend(i, q, k, v): attention of layer i over [tokens, heads, width], for all tokens or only the last ones.
        """
        angles = (places[:, None].float() * self.rope.inv_freq.float())[:, None]
        cos = torch.cat([angles.cos()] * 2, -1) * self.rope.attention_scaling
        sin = torch.cat([-angles.sin(), angles.sin()], -1) * self.rope.attention_scaling
        x = embedding(tokens, self.embedding.weight, self.embedding.padding_idx)
        for i in range(len(self.layers)):
            if torch.is_grad_enabled() and (i + 1) * len(tokens) * self.kept > ACTIVATIONS:
                x = checkpoint(self.layer, i, x, cos, sin, attend, use_reentrant=False)
            else:
                x = self.layer(i, x, cos, sin, attend)
        return rms_norm(x, x.shape[-1:], self.norm, self.eps)

    def layer(self, i: int, x, cos, sin, attend: Callable):
        qkv, scales, out, up, down = self.layers[i]
        y = qkv(rms_norm(x, x.shape[-1:], qkv.norm, self.eps))
        qk, v = y.view(len(x), -1, self.width).tensor_split([self.heads + self.kv_heads], 1)
        if self.normed:
            qk = rms_norm(qk, qk.shape[-1:], eps=self.eps)
        qk = qk * scales
        first, second = qk.chunk(2, -1)
        qk = qk * cos + torch.cat([second, first], -1) * sin
        seen = attend(i, *qk.tensor_split([self.heads], 1), v).flatten(1)
        x = out.added_to(x[-len(seen) :], seen)
        gate, value = up(rms_norm(x, x.shape[-1:], up.norm, self.eps)).chunk(2, -1)
        return down.added_to(x, silu(gate) * value)


def attention(q, k, v, mask):
    """Of q [batch, queries, heads, width] over k, v [batch, keys, kv heads, width]; q is scaled already."""
    group = q.shape[2] // k.shape[2]
    k = k.transpose(1, 2)[:, :, None].expand(-1, -1, group, -1, -1).flatten(1, 2)
    v = v.transpose(1, 2)[:, :, None].expand(-1, -1, group, -1, -1).flatten(1, 2)
    return scaled_dot_product_attention(q.transpose(1, 2), k, v, attn_mask=mask, scale=1.0).transpose(1, 2)


def causal(real):
    """The mask [batch, 1, queries, keys] of rows whose tokens are `real`; padding sees itself, so that none is NaN."""
    size = real.shape[1]
    before = torch.ones(size, size, dtype=torch.bool).tril() & real[:, None]
    return (before | torch.eye(size, dtype=torch.bool))[:, None]


def draw(logits, chance, temperature: float = 0.0, top_p: float = 1.0, top_k: int = 0) -> tuple:
    """(tokens, entropies before top_k and top_p) of rows of logits, by inverse transform; temperature 0 is greedy.

    chance: a number above 0 and at most 1 for each row.
    """
    if temperature == 0:
        return logits.argmax(-1), logits.new_zeros(len(logits))
    logits = logits / temperature
    p = logits.softmax(-1)
    candidates = p
    limited = top_k > 0 or top_p < 1
    if limited:
        candidates, order = p.topk(min(top_k or p.shape[-1], p.shape[-1]))
        excess = candidates.cumsum(-1) - candidates >= top_p * candidates.sum(-1, keepdim=True)
        candidates = candidates.masked_fill(excess, 0.0)
    total = candidates.cumsum(-1)
    tokens = torch.searchsorted(total, chance[:, None] * total[:, -1:])
    tokens = tokens.clamp_(max=candidates.shape[-1] - 1)  # NaN has no place
    if limited:
        tokens = order.gather(1, tokens)
    # A token's logit less the log of its probability is the log of the softmax's sum.
    normalizer = logits.gather(1, tokens) - p.gather(1, tokens).log()
    return tokens[:, 0], normalizer[:, 0] - (p * logits).sum(-1)


class Cache:
    """Keys and values of the rows of a batch, and attention over them: of the prompts, then of one token a row.

    real: [prompts, tokens], False where a prompt is padded on its left; which: the prompt of each row.
    """

    def __init__(self, weights: Weights, real, which, limit: int):
        self.real = real
        self.which = which
        self.end = self.room = real.shape[1]
        shape = len(weights.layers), len(which), weights.kv_heads, weights.width, self.room + limit
        self.keys = torch.zeros(shape)
        self.values = torch.zeros(shape).mT.contiguous()
        self.bias = torch.zeros(len(which), weights.kv_heads, 1, self.room + limit)
        self.bias[..., : self.room].masked_fill_(~real[which, None, None], -torch.inf)

    def read(self, i: int, q, k, v):
        q, k, v = (part.unflatten(0, self.real.shape) for part in (q, k, v))
        self.keys[i, ..., : self.room] = k.permute(0, 2, 3, 1)[self.which]
        self.values[i, :, :, : self.room] = v.transpose(1, 2)[self.which]
        return attention(q, k, v, causal(self.real)).flatten(0, 1)

    def write(self, i: int, q, k, v):
        self.keys[i, ..., self.end - 1] = k
        self.values[i, :, :, self.end - 1] = v
        bias = self.bias[..., : self.end].flatten(0, 1)
        keys = self.keys[i, ..., : self.end].flatten(0, 1)
        weight = torch.baddbmm(bias, q.reshape(len(keys), -1, keys.shape[1]), keys).softmax(-1)
        return torch.bmm(weight, self.values[i, :, :, : self.end].flatten(0, 1)).view(len(k), -1, keys.shape[1])

    def keep(self, rows) -> None:
        self.keys = self.keys[:, rows]
        self.values = self.values[:, rows]
        self.bias = self.bias[rows]


@torch.inference_mode()
def decode(model, prompts: Sequence, limit: int, ends: Sequence[int], sampling=()) -> list[Completion]:
    """A completion of at most `limit` tokens of each prompt, a list of ids; equal prompts are processed once.

    ends: tokens that end a completion. sampling: temperature, top_p, top_k as in draw(). Random numbers come from
    torch's default generator, for each row its own, whatever the other rows do.
    """
    weights = model if isinstance(model, Weights) else Weights(model, fold=True)
    rows = len(prompts)
    room = max(map(len, prompts))
    if rows > 1 and 2 * len(weights.layers) * rows * weights.kv_heads * weights.width * (room + limit) > CACHE:
        first = decode(weights, prompts[: rows // 2], limit, ends, sampling)
        return first + decode(weights, prompts[rows // 2 :], limit, ends, sampling)
    distinct = {ids: number for number, ids in enumerate(dict.fromkeys(map(tuple, prompts)))}
    which = torch.tensor([distinct[tuple(ids)] for ids in prompts])
    real = torch.arange(room) >= torch.tensor([[room - len(ids)] for ids in distinct])  # padded on the left
    cache = Cache(weights, real, which, limit)
    tokens = torch.zeros(real.shape, dtype=torch.long)
    tokens[real] = torch.cat([torch.tensor(ids, dtype=torch.long) for ids in distinct])
    places = real.cumsum(1) - 1
    state = weights.states(tokens.flatten(), places.flatten(), cache.read).unflatten(0, real.shape)[which, -1]
    places = places[which, -1]
    alive = torch.arange(rows)
    done = torch.zeros(rows, dtype=torch.bool)
    completions = torch.zeros(limit, rows, dtype=torch.long)
    states = torch.zeros(limit, rows, state.shape[-1])
    entropies = torch.zeros(limit, rows)
    lengths = torch.full((rows,), limit)
    chances = 1 - torch.rand(limit, rows)
    for number in range(limit):
        token, entropy = draw(weights.head(state), chances[number, alive], *sampling)
        completions[number, alive] = token
        states[number, alive] = state
        entropies[number, alive] = entropy * ~done
        ended = torch.isin(token, torch.tensor(ends)) & ~done
        lengths[alive[ended]] = number + 1
        done = done | ended
        if done.all():
            break
        if done.sum() >= FINISHED * len(done):
            token = token[~done]
            places = places[~done]
            alive = alive[~done]
            cache.keep(~done)
            done = done[~done]
        places = places + 1
        cache.end += 1
        state = weights.states(token, places, cache.write)
    results = []
    for row, (n, entropy) in enumerate(zip(lengths.tolist(), entropies.sum(0).tolist())):
        results.append(Completion(completions[:n, row].tolist(), entropy, states[:n, row]))
    return results


def token_log_probs(states, ids, head, temperature: float) -> tuple:
    """(log p, entropy) of ids, [tokens], for what the output layer gets; the entropy has no gradient."""
    every = (linear(states, head) / temperature).log_softmax(-1)
    log_p = every.gather(1, ids[:, None])[:, 0]
    every = every.detach()
    return log_p, -(every.exp() * every).sum(-1)


class FrozenHead(torch.autograd.Function):
    """token_log_probs() for an output layer that is not trained.

    The gradient of log p is known but for a factor as soon as the logits are: head[id] less the mean of head under p,
    over the temperature. So it is kept instead of the logits, and nothing is calculated twice.
    """

    @staticmethod
    def forward(ctx, states, ids, head, temperature):
        logits = linear(states, head).div_(temperature)
        normalizer = logits.logsumexp(-1, keepdim=True)
        log_p = logits.gather(1, ids[:, None]) - normalizer
        p = logits.sub(normalizer).exp_()
        entropy = normalizer - logits.mul_(p).sum(-1, keepdim=True)
        if ctx.needs_input_grad[0]:
            p.scatter_add_(1, ids[:, None], p.new_full((len(ids), 1), -1.0))
            ctx.save_for_backward((p @ head).div_(-temperature))
        ctx.mark_non_differentiable(entropy)
        return log_p[:, 0], entropy[:, 0]

    @staticmethod
    def backward(ctx, gradient, _):
        return ctx.saved_tensors[0] * gradient[:, None], None, None, None


def log_probs(model, ids, mask, start: int, temperature: float) -> tuple:
    """(log p, entropy) of the tokens from column `start` on, [batch, columns - start], 0 where mask is 0.

    ids, mask: [batch, columns], prompts padded on the left, completions on the right. Equal prompts are processed
    once, without their last token, which begins each completion. The entropy has no gradient.
    """
    weights = Weights(model, fold=False)
    head = weights.head.weight
    mask = mask.bool()
    prompts, which = torch.where(mask, ids, -1)[:, : start - 1].unique(dim=0, return_inverse=True)
    real = prompts >= 0
    written = mask[:, start:]
    count = int(real.sum())
    columns = written.shape[1]
    tokens = torch.cat([prompts[real], ids[:, start - 1 : -1][written]])
    places = real.sum(1)[which, None] + torch.arange(columns)
    places = torch.cat([(real.cumsum(1) - 1)[real], places[written]])
    own = torch.ones(len(ids), columns, columns, dtype=torch.bool).tril()
    seen = torch.cat([real[which, None].expand(-1, columns, -1), own], 2)[:, None]

    def padded(part, where):
        return part.new_zeros(*where.shape, *part.shape[1:]).masked_scatter(where[..., None, None], part)

    def attend(i, q, k, v):
        prompt_k = padded(k[:count], real)
        prompt_v = padded(v[:count], real)
        all_k = torch.cat([prompt_k[which], padded(k[count:], written)], 1)
        all_v = torch.cat([prompt_v[which], padded(v[count:], written)], 1)
        result = attention(padded(q[count:], written), all_k, all_v, seen)[written]
        if i == len(weights.layers) - 1:  # there nothing reads the states of the prompt
            return result
        prompt = attention(padded(q[:count], real), prompt_k, prompt_v, causal(real))[real]
        return torch.cat([prompt, result])

    size = max(1, LOGITS // len(head))
    score = FrozenHead.apply
    if head.requires_grad:
        score = token_log_probs
        if len(tokens) - count > size:  # the logits are calculated again rather than kept
            score = functools.partial(checkpoint, token_log_probs, use_reentrant=False)
    states = weights.states(tokens, places, attend).split(size)
    targets = ids[:, start:][written].split(size)
    scores = [score(*pair, head, temperature) for pair in zip(states, targets)]
    log_p, entropy = (torch.cat(part) for part in zip(*scores))
    zeros = log_p.new_zeros(written.shape)
    return zeros.masked_scatter(written, log_p), zeros.masked_scatter(written, entropy)
