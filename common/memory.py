"""Memory plan: what a training run needs, in bytes, and the micro-batch and vLLM fraction that fit.

Calculated, not measured. Sizes of tensors are exact for the family of Qwen3 and an upper bound for others; the reserve
for what cannot be counted is named below. A smaller micro-batch with more accumulation gives the same update, only more
slowly. On a CPU the free memory decides, as that of the card does on a GPU.
"""

import math
import sys
from typing import NamedTuple

import psutil

from common import runs

GB = 1e9
RESERVE = 2.5 * GB  # CUDA context, kernels' workspaces, pieces of the output layer
FRAGMENTS = 1.05  # of the allocator, over all tensors
ENGINE = 2.5 * GB  # vLLM's own activations and CUDA graphs
ASLEEP = 1.0 * GB  # what an engine in sleep mode keeps
UNPLANNED = 0.3  # of a GPU, for a vLLM without a plan; TRL's default
SMALL = 20e6  # weights: a smaller model keeps its batch on a CPU, so that its results do not depend on free memory
OPTIONS = (  # who gives one of these knows his memory, and is not refused
    *("per_device_train_batch_size", "gradient_accumulation_steps", "load_in_4bit", "lora_r", "gradient_checkpointing"),
    *("use_vllm", "vllm_gpu_memory_utilization", "vllm_enable_sleep_mode"),
)
FEWEST = 8  # completions that vLLM should have room for at once; more are faster


def _first(config, *names: str, default: int = 0) -> int:
    """The first of these attributes that a config has with a value; AttributeError where none has one."""
    values = [getattr(config, name, None) for name in names]
    known = [value for value in values if value] or [default]
    if not known[0]:
        raise AttributeError(names[0])
    return known[0]


class Shape(NamedTuple):
    """The dimensions of a transformer with grouped-query attention and a gated feed-forward layer, as Qwen3 is."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head: int
    feedforward: int
    vocabulary: int = 151936
    tied: bool = True

    @classmethod
    def of(cls, config):
        """The shape of a model from its transformers config, whatever names its family gives the numbers."""
        text = config.get_text_config()
        hidden = _first(text, "hidden_size", "n_embd", "d_model")
        heads = _first(text, "num_attention_heads", "n_head", "num_heads")
        return cls(
            layers=_first(text, "num_hidden_layers", "n_layer", "num_layers"),
            hidden=hidden,
            heads=heads,
            kv_heads=_first(text, "num_key_value_heads", default=heads),
            head=_first(text, "head_dim", default=hidden // heads),
            feedforward=_first(text, "intermediate_size", "n_inner", "ffn_dim", default=4 * hidden),
            vocabulary=text.vocab_size,
            tied=bool(getattr(text, "tie_word_embeddings", False)),
        )

    def projections(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of the seven projections of a layer."""
        attention, shared = self.heads * self.head, self.kv_heads * self.head
        into = [(self.hidden, width) for width in (attention, shared, shared, self.feedforward, self.feedforward)]
        return [*into, (attention, self.hidden), (self.feedforward, self.hidden)]

    def linear(self) -> int:
        """Number of weights in the projections of all layers."""
        return self.layers * sum(i * o for i, o in self.projections())

    def embeddings(self) -> int:
        """Number of weights in the embeddings and the output layer."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    def lora(self, rank: int) -> int:
        """Number of weights of LoRA on all projections."""
        return self.layers * rank * sum(i + o for i, o in self.projections())

    def cache(self, width: int = 2) -> int:
        """Bytes of keys and values for one token; width: bytes of a number, 2 in bfloat16."""
        return 2 * width * self.layers * self.kv_heads * self.head

    def activations(self, checkpointing: bool, width: int = 2) -> int:
        """Bytes for one token in a forward and backward pass; width: bytes of a number, 2 in bfloat16.

        A layer keeps the inputs of its operations, and the backward pass as much again for the gradients of one layer.
        With checkpointing the other layers keep their inputs alone.
        """
        layer = width * (10 * self.hidden + 4 * self.heads * self.head + 4 * self.kv_heads * self.head)
        layer += width * 4 * self.feedforward
        kept = width * self.hidden if checkpointing else layer
        return self.layers * kept + 2 * layer


QWEN3 = {  # the family's shapes, for tables and advice
    "Qwen/Qwen3-0.6B-Base": Shape(28, 1024, 16, 8, 128, 3072),
    "Qwen/Qwen3-1.7B-Base": Shape(28, 2048, 16, 8, 128, 6144),
    "Qwen/Qwen3-4B-Base": Shape(36, 2560, 32, 8, 128, 9728),
    "Qwen/Qwen3-8B-Base": Shape(36, 4096, 32, 8, 128, 12288, tied=False),
    "Qwen/Qwen3-14B-Base": Shape(40, 5120, 40, 8, 128, 17408, tied=False),
}


class Settings(NamedTuple):
    """What of a script's settings memory depends on."""

    tokens: int  # of the longest prompt and completion together
    batch: int  # examples in memory at once
    accumulation: int  # batches in one update
    lora_r: int = 32
    load_in_4bit: bool = False
    checkpointing: bool = True
    generates: bool = True  # GRPO; SFT only trains
    use_vllm: bool = True
    fraction: float = 0.0  # of the GPU for vLLM; 0: to be chosen
    sleep: bool | None = None  # whether vLLM sleeps while the policy trains; None: to be chosen
    width: int = 2  # bytes of a number in arithmetic, 2 in bfloat16

    @classmethod
    def of(cls, args, each: int = 1):
        """Those of a script's arguments; each: sequences that an example is made of."""
        generates = hasattr(args, "num_generations")
        use_vllm = generates and args.use_vllm and args.vllm_mode == "colocate"
        return cls(
            tokens=args.max_prompt_tokens + args.max_completion_length if generates else each * args.max_length,
            batch=args.per_device_train_batch_size,
            accumulation=args.gradient_accumulation_steps,
            lora_r=args.lora_r,
            load_in_4bit=args.load_in_4bit,
            checkpointing=args.gradient_checkpointing,
            generates=generates,
            use_vllm=use_vllm,
            fraction=args.vllm_gpu_memory_utilization if generates else 0.0,
            sleep=args.vllm_enable_sleep_mode if use_vllm and is_given("vllm_enable_sleep_mode") else None,
            width=2 if args.bf16 else 4,
        )


class Plan(NamedTuple):
    batch: int  # examples in memory at once
    accumulation: int
    fraction: float  # of the GPU for vLLM, 0 without it
    sleep: bool  # vLLM gives its memory back while the policy trains
    parts: dict[str, float]  # bytes of each part at the run's peak

    def total(self) -> float:
        return sum(self.parts.values())

    def line(self, budget: float) -> str:
        asleep = " (asleep while the policy trains)" if self.sleep else ""
        vllm = f"; vLLM gets {self.fraction:.2f} of the GPU{asleep}" if self.fraction else ""
        return (
            f"memory, calculated: {self.total() / GB:.1f} of {budget / GB:.1f} GB ({listed(self.parts)}); "
            f"{self.accumulation} batches of {self.batch} an update{vllm}"
        )


def listed(parts: dict[str, float]) -> str:
    """The parts in GB, for a message."""
    return ", ".join(f"{name} {size / GB:.1f}" for name, size in parts.items() if size)


def needs(shape: Shape, asked: Settings, batch: int, room: int, sleep: bool) -> dict[str, float]:
    """Bytes of each part at the peak of a run with micro-batches of `batch`; room: completions in vLLM's cache."""
    whole = shape.linear() + shape.embeddings()
    # 4-bit: half a byte a weight and a float32 scale for each 64; embeddings stay in bfloat16. Every weight trained:
    # float32. Each trained weight has a gradient and AdamW's two means, in float32; LoRA's are in float32 themselves.
    if asked.load_in_4bit:
        weights = (0.5 + 4 / 64) * shape.linear() + 2 * shape.embeddings()
    else:
        weights = (asked.width if asked.lora_r else 4) * whole
    trained = 16 * shape.lora(asked.lora_r) if asked.lora_r else 12 * whole
    training = batch * asked.tokens * shape.activations(asked.checkpointing, asked.width)
    generation, engine = 0.0, 0.0
    if asked.use_vllm:
        engine = 2 * whole + ENGINE + room * asked.tokens * shape.cache()
    elif asked.generates:  # transformers generates the whole batch at once
        generation = asked.batch * asked.accumulation * asked.tokens * shape.cache(asked.width)
    if sleep:
        engine, training = max((engine, 0.0), (ASLEEP, training), key=sum)
    parts = {"weights": weights, "optimizer and LoRA": trained, "activations": max(training, generation)}
    reserve = (FRAGMENTS - 1) * sum(parts.values()) + RESERVE
    return parts | {"vLLM": engine, "reserve": reserve}


def modes(asked: Settings) -> tuple[bool, ...]:
    """Whether vLLM sleeps while the policy trains: what may be chosen."""
    if not asked.use_vllm:
        return (False,)
    return (False, True) if asked.sleep is None else (asked.sleep,)


def plan(shape: Shape, asked: Settings, budget: float) -> Plan | None:
    """The fastest plan that fits into `budget` bytes, or None.

    Keeps vLLM awake if possible, then takes the largest micro-batch, then the most room for completions.
    """
    everything = asked.batch * asked.accumulation
    for sleep in modes(asked):
        for batch in (asked.batch // 2**n for n in range(asked.batch.bit_length()) if asked.batch % 2**n == 0):
            fewest = min(FEWEST, everything) if asked.use_vllm else 0
            parts = needs(shape, asked, batch, fewest, sleep)
            free = budget - sum(parts.values())
            if free < 0:
                continue
            fraction = 0.0
            if asked.use_vllm:
                each = asked.tokens * shape.cache()
                room = min(everything, fewest + int(free / each))
                parts = needs(shape, asked, batch, room, sleep)
                engine = needs(shape, asked, batch, room, False)["vLLM"]
                fraction = asked.fraction or engine / budget
            return Plan(batch, asked.accumulation * (asked.batch // batch), fraction, sleep, parts)
    return None


def smallest(shape: Shape, asked: Settings) -> dict[str, float]:
    """The parts of the run with the least memory that these settings allow."""
    fewest = min(FEWEST, asked.batch * asked.accumulation)
    cases = [needs(shape, asked, 1, fewest, sleep) for sleep in modes(asked)]
    return min(cases, key=lambda parts: sum(parts.values()))


def advice(shape: Shape, asked: Settings, budget: float) -> list[str]:
    """Options with which a run that does not fit would fit, most faithful first."""
    lora = ""
    if not asked.lora_r:
        lora, asked = "--lora_r 32 ", asked._replace(lora_r=32)
    alone = "--use_vllm false" if asked.use_vllm else ""
    plain = asked._replace(use_vllm=False)
    cases = {
        lora: asked,
        f"{lora}--gradient_checkpointing true": asked._replace(checkpointing=True),
        f"{lora}{alone}": plain,
        f"{lora}--load_in_4bit {alone}": plain._replace(load_in_4bit=True),
    }
    options = [words.strip() for words, case in cases.items() if plan(shape, case, budget)]
    for name, other in reversed(QWEN3.items()):
        if other.linear() < shape.linear() and plan(other, asked, budget):
            options.append(f"{lora}--base {name}")
    return options


def is_given(*names: str) -> bool:
    """Whether the command line names one of these settings."""
    options = {word.partition("=")[0] for word in sys.argv[1:]}
    return any(f"--{name}" in options for name in names)


def check_context(config, args) -> None:
    """End the script where prompt and completion are longer than the base's context."""
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    options = ["max_length"]
    if hasattr(args, "num_generations"):
        options = ["max_prompt_tokens", "max_completion_length"]
    longest = sum(getattr(args, name) for name in options)
    if limit and longest > limit:
        words = " and ".join(f"--{name}" for name in options)
        runs.fail(f"{words} ask for {longest} tokens, and the base has a context of {limit}; lower them")


def fit(base: str, args, each: int = 1) -> dict:
    """Settings to change so that a run fits: micro-batch, accumulation, vLLM's fraction, sleep mode.

    For runs.start(), which records the settings as they were asked for. Prints the plan.

    each: sequences that an example is made of, 2 for a pair. Ends the script where nothing fits on a GPU, with options
    that would, unless the command line names such options; then they are tried. Leaves the settings as they are for a
    small model on a CPU.
    """
    import torch
    from transformers import AutoConfig

    unplanned = {}
    if getattr(args, "vllm_gpu_memory_utilization", None) == 0:
        unplanned["vllm_gpu_memory_utilization"] = UNPLANNED
    try:
        config = AutoConfig.from_pretrained(base)
    except (OSError, ValueError):
        return unplanned  # a damaged folder: loading the model says so
    check_context(config, args)
    try:
        shape = Shape.of(config)
    except AttributeError as error:
        print(f"memory: no plan for a {config.model_type}, whose config has no {error}")
        return unplanned
    if torch.cuda.is_available() and not args.use_cpu:
        free, total = torch.cuda.mem_get_info()
        return apply(shape, args, free, total, each)
    if shape.linear() + shape.embeddings() < SMALL or getattr(args, "use_vllm", False):
        return unplanned
    machine = psutil.virtual_memory()
    return unplanned | apply(shape, args, machine.available, machine.total, each, "CPU")


def apply(shape: Shape, args, free: float, total: float, each: int = 1, device: str = "GPU") -> dict:
    """fit() for a device that has `free` of its `total` bytes left."""
    asked = Settings.of(args, each)
    chosen = plan(shape, asked, free)
    if chosen:
        print(chosen.line(free))
    else:
        parts = smallest(shape, asked)
        what = " or ".join(advice(shape, asked, free)[:3]) or f"a {device} with more memory"
        line = (
            f"this needs at least {sum(parts.values()) / GB:.1f} GB, and {free / GB:.1f} GB of the {device} are free "
            f"(calculated: {listed(parts)}); what fits: {what}"
        )
        if device == "GPU" and not is_given(*OPTIONS):
            runs.fail(line)
        print(f"warning: {line}; tried as it is")
        batch = asked.batch if is_given("per_device_train_batch_size") else 1
        fraction = UNPLANNED if asked.use_vllm else 0.0
        chosen = Plan(batch, asked.accumulation * (asked.batch // batch), fraction, modes(asked)[-1], parts)
    changes = {"per_device_train_batch_size": chosen.batch, "gradient_accumulation_steps": chosen.accumulation}
    if asked.generates:  # the generation batch stays as it is
        changes["steps_per_generation"] = args.steps_per_generation * (asked.batch // chosen.batch)
    if asked.use_vllm:
        fraction = asked.fraction or math.ceil(100 * chosen.fraction * free / total) / 100
        changes |= {"vllm_gpu_memory_utilization": fraction, "vllm_enable_sleep_mode": chosen.sleep}
    return changes
