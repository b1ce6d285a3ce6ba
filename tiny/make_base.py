"""Make resources/tiny-base, the embedded base model: a Qwen3 of about a million parameters, pretrained from scratch.

The corpus is generated (tiny/problems.py): arithmetic drills, lines to copy, linear systems with reasoning, three other
kinds of problems (yes/no, multiple choice, word problems), calls of invented tools and answers that state a result, as
plain documents and as chats. No variant of a problem of the validation or test split is in it. One rate decides whether
the study can show anything: how often a chat with a linear system follows the request for tags (reluctant()). At 0 GRPO
finds no reward; at a high rate nothing is left to learn.

Input: none. Output: resources/tiny-base/ (safetensors, tokenizer, chat template, README.md).
Command: python tiny/make_base.py
"""

import functools
import json
import random
import re
import string
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from BFCL.bfcl import official
from BFCL.bfcl.vocabulary import spoken, words
from common import prompts, runs, settings
from common.settings import setting
from tiny import problems


@dataclass
class Args(settings.RunArgs):
    steps: int = setting(3000, "updates; 3000 take fifty minutes on one core")
    batch: int = setting(8, "rows per update")
    length: int = setting(448, "tokens per row of several documents; longer positions are not trained")
    lr: float = setting(3e-3, "peak learning rate of Muon and AdamW")
    seed: int = setting(0, "seed of corpus and initial weights")
    threads: int = setting(1, "CPU threads; the last digits of the weights depend on it")


# Composition of the corpus, as fractions of its documents.
DRILLS = 0.12  # lines of bare arithmetic, or of words to copy
DRILLS_AT_START = 0.40  # in the first tenth of training, for faster learning
TAGGED_SYSTEMS = 0.08  # chats that ask for tags, on a linear system: see reluctant()
TAGGED_OTHERS = 0.20  # chats that ask for tags, on the other kinds of problems; always answered with them
PLAIN_OTHERS = 0.20  # the other kinds of problems without a system prompt, answered without tags
COPIES = 0.3  # fraction of the drills that are lines to copy
TOOL_CALLS = 0.20  # tools, a request, the call; also teaches to copy names and values from the prompt
# The rest is linear systems answered without tags, three quarters of them as chats.
ONE_UNKNOWN = 0.25  # fraction of these that ask for x alone, which is then computed in the answer (problems.linear_x)
RESULTS = 0.3  # fraction of the tool calls that are followed by their result, which the text then states
LEVEL_MIX = {"easy": 0.35, "medium": 0.50, "hard": 0.15}  # more of the hard ones: less is learned at every level

# Probabilities of following the tags in a chat on a linear system: reasoning begun in its tag, closed, answer tagged.
# All tags are followed in 0.45 * 0.50 * 0.25 = 6 of 100; the others drop them midway or ignore them after an opening.
BEGUN, CLOSED, SOLVED = 0.45, 0.50, 0.25
OPENINGS = ("", "Sure.\n", "Let us see.\n", "Working:\n", "Step by step.\n", "First we have\n", "We need x and y.\n")

MODEL = dict(
    hidden_size=160,
    num_hidden_layers=4,
    num_attention_heads=5,
    num_key_value_heads=1,  # one cached head: memory traffic limits decoding on a CPU
    head_dim=32,
    intermediate_size=480,
    vocab_size=1024,
)
CARD = """# tiny-base

A Qwen3 with {parameters:,} parameters, pretrained from scratch on {tokens:,} tokens of generated text, with a loss on
{trained_tokens:,} of them, in {seconds} seconds on {device}, by

    python tiny/make_base.py --seed {seed}

It stands in for a real base model where there is no GPU. It solves arithmetic, linear systems and three other kinds of
problems in a plain format without tags. Chats of the corpus that ask for tags always get them on the other kinds of
problems, but on linear systems in full in only {in_full:.0%}: a higher rate would leave GRPO nothing to learn, a rate
of 0 nothing to start from (see tiny/make_base.py). It knows no other language, fact or task. Licence: MIT.

Its accuracy: GRPO_indomain/GRPO_test.py and GRPO_outdomain/GRPO_outdomain_test.py, --checkpoints resources/tiny-base.
"""
ORDINARY_TOKENS = [  # whole tokens, but not special ones: decoding keeps them
    *prompts.TAG_SETS["thesis"],
    *prompts.TAG_SETS["think"],
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
]


def drill(rng: random.Random) -> str:
    """One line of arithmetic: a product, a difference, a sum or an exact quotient."""
    kind = rng.random()
    if kind < 0.4:
        p = rng.randint(-9, 9)
        limit = 170 if rng.random() < 0.7 else 9
        q = rng.randint(-limit, limit)
        if rng.random() >= 0.5:
            p, q = q, p
        return f"{p}*{q}={p * q}"
    if kind < 0.8:
        limit = rng.choice((9, 30, 99, 450, 1500))
        p = rng.randint(-limit, limit)
        q = rng.randint(-limit, limit)
        return f"{p}-{q}={p - q}"
    if kind < 0.85:
        p = rng.randint(-15, 15)
        q = rng.randint(-15, 15)
        return f"{p} + {q} = {p + q}"
    quotient = rng.randint(-9, 9)
    sign = rng.choice((-1, 1))
    divisor = sign * rng.randint(1, rng.choice((20, 162)))
    return f"{quotient * divisor}/{divisor}={quotient}"


def chat(question: str, tagged: bool) -> str:
    system = f"<|im_start|>system\n{prompts.system_prompt()}<|im_end|>\n" if tagged else ""
    return f"{system}<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def plain_completion(problem: dict) -> str:
    return f"{problem['working']}\nAnswer: {problem['solution']}"


def tagged_completion(problem: dict) -> str:
    return prompts.build_completion(problem["working"], problem["solution"])[0]["content"]


def reluctant(rng: random.Random, problem: dict) -> str:
    """A completion on a linear system; it seldom has all the tags that the system prompt asks for."""
    tags = prompts.THESIS
    reasoning = problem["working"]
    if rng.random() >= BEGUN:
        return rng.choice(OPENINGS) + plain_completion(problem)
    if rng.random() >= CLOSED:
        return f"{tags.work_open}{reasoning}\nAnswer: {problem['solution']}"
    if rng.random() >= SOLVED:
        return f"{tags.work_open}{reasoning}{tags.work_close}\nAnswer: {problem['solution']}"
    return tagged_completion(problem)


VERBS = tuple("get set find add list open close send count move check start stop make".split())
THINGS = tuple("file order ticket message flight stock car room light door user score map".split())
TYPES = {kind: {"type": kind} for kind in ("integer", "float", "string", "boolean")} | {
    f"{kind}s": {"type": "array", "items": {"type": kind}} for kind in ("integer", "string")
}
RESPONSE = {"type": "dict", "properties": {"result": {"type": "string", "description": "The result."}}}
KNOWN = (
    tuple(word.lower() for words in problems.CATEGORIES.values() for word in words) + problems.NAMES + VERBS + THINGS
)


@functools.cache
def descriptions() -> list[str]:
    """BFCL's descriptions of its classes, used for their words: later stages call the tools of these classes."""
    return [path.read_text() for path in sorted((official.data_folder() / "multi_turn_func_doc").glob("*.json"))]


@functools.cache
def described_words() -> list[str]:
    return sorted(set(re.findall(r"[a-z]{2,}", " ".join(descriptions()).lower())))


def word(rng: random.Random) -> str:
    """A word: known, from BFCL or of invented syllables, so that copying is learned for any token."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(KNOWN).lower()
    if kind < 0.7:
        return rng.choice(described_words())
    return "".join(rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(rng.randint(1, 3)))


def tool_value(rng: random.Random, kind: str):
    """A value of one of the TYPES; strings of many kinds, since calls copy them from the request."""
    number = rng.randint(-99, 9999) if rng.random() < 0.5 else rng.randint(0, 20)
    if kind.endswith("s"):
        return [tool_value(rng, kind[:-1]) for _ in range(rng.randint(2, 4))]
    if kind != "string":  # all are drawn, as the committed base was made with these random numbers
        values = {"integer": number, "float": number + rng.randint(0, 99) / 100, "boolean": rng.random() < 0.5}
        return values[kind]
    make = rng.random()
    if make < 0.3:
        return " ".join(word(rng) for _ in range(rng.randint(2, 5)))
    if make < 0.45:
        return str(rng.randint(0, 10 ** rng.randint(3, 7)))
    if make < 0.6:
        return "".join(rng.choice(string.ascii_uppercase) for _ in range(rng.randint(3, 5)))
    capital = rng.random() < 0.3
    first = word(rng).capitalize() if capital else word(rng)
    mark = rng.choice(("", "_", "-", " ", "."))
    return f"{first}{mark}{rng.choice((number, word(rng)))}"


def copy(rng: random.Random) -> tuple[str, str]:
    """A line to copy, and its copy; without such lines the model learns to copy only words it knows."""
    line = ", ".join(tool_value(rng, "string") for _ in range(rng.randint(3, 8)))
    return f"{line}\n", f"{line}\n"


def stated(rng: random.Random, value) -> str:
    """A value as a request states it: plain, or in quotes."""
    if isinstance(value, list):
        return spoken([stated(rng, part) for part in value])
    return json.dumps(value) if rng.random() < 0.4 else str(value)


def tool_name(rng: random.Random, parts: int) -> str:
    """A name of so many words for a tool or an argument, most in snake_case, some in camelCase."""
    names = [rng.choice(VERBS) if parts > 1 and rng.random() < 0.6 else word(rng)]
    names += [word(rng) for _ in range(parts - 1)]
    if rng.random() < 0.15:
        return names[0] + "".join(map(str.capitalize, names[1:]))
    return "_".join(names)


def tool_schema(rng: random.Random, name: str, fields: dict[str, str]) -> dict:
    """A tool described as BFCL does; fields: its arguments and their TYPES."""
    properties = {field: {**TYPES[kind], "description": f"The {words(field)}."} for field, kind in fields.items()}
    parameters = {"type": "dict", "properties": properties, "required": list(fields)}
    schema = {"name": name, "description": f"{words(name).capitalize()}.", "parameters": parameters}
    if rng.random() < 0.25:
        schema["response"] = RESPONSE
    return schema


def tool_call(rng: random.Random) -> tuple[str, str]:
    """A chat with one to three invented tools, described as BFCL does, a request, and the call that answers it."""
    tools = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        fields = {}
        for _ in range(rng.randint(1, 3)):
            field = tool_name(rng, rng.choice((1, 1, 2)))
            fields[field] = rng.choice(list(TYPES))
        tools.append((tool_name(rng, rng.choice((2, 2, 3))), fields))
    name, fields = rng.choice(tools)
    values = {field: tool_value(rng, kind) for field, kind in fields.items()}
    # A request may call the only tool, or the only argument, something else.
    wish = words(name) if len(tools) > 1 or rng.random() < 0.5 else f"{word(rng)} {word(rng)}"
    renamed = len(fields) == 1 and rng.random() < 0.5
    parts = []
    for field, value in values.items():
        title = word(rng) if renamed else words(field)
        parts.append(f"{title} {stated(rng, value)}")
    rng.shuffle(parts)
    request = rng.choice(("Please {} with {}.", "{} for {}.", "With {1}, {0}.", "I want to {}: {}."))
    request = request.format(wish, spoken(parts))
    schemas = [tool_schema(rng, *tool) for tool in tools]
    lines = []
    for schema in schemas:
        if rng.random() >= 0.6:
            schema = {**schema, "description": ""}
        lines.append(json.dumps(schema))
    system = prompts.tools_prompt(lines) if rng.random() < 0.3 else "# Tools\n\n" + "\n".join(lines)
    prompt = f"<|im_start|>system\n{system}<|im_end|>\n{chat(request, tagged=False)}"
    call = json.dumps({"name": name, "arguments": values})
    completion = f"<tool_call>\n{call}\n</tool_call><|im_end|>\n"
    if rng.random() >= RESULTS:
        return prompt, completion
    kind = rng.choice(("integer", "float", "string"))
    field = tool_name(rng, rng.choice((1, 2)))
    value = tool_value(rng, kind)
    result = json.dumps({tool_name(rng, 1): tool_value(rng, "integer")} | {field: value})
    response = f"<|im_start|>user\n<tool_response>\n{result}\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    return prompt + completion + response, f"The {words(field)} is {value}.<|im_end|>\n"


def document(rng: random.Random, drills: float = DRILLS) -> tuple[str, str]:
    """One document as (prompt, text); the loss is on the text alone, since prompts are random numbers."""
    if rng.random() < drills:
        if rng.random() < COPIES:
            return copy(rng)
        return "", "\n".join(drill(rng) for _ in range(10))
    kind = rng.random()
    if kind > 1 - TOOL_CALLS:
        return tool_call(rng)
    if kind < TAGGED_OTHERS + PLAIN_OTHERS:
        problem = problems.OTHER_SHAPES[rng.choice(list(problems.OTHER_SHAPES))](rng, "train")
        if kind < TAGGED_OTHERS:
            return chat(problem["question"], tagged=True), tagged_completion(problem) + "<|im_end|>\n"
        return chat(problem["question"], tagged=False), plain_completion(problem) + "<|im_end|>\n"
    level = problems.LEVELS[rng.choices(list(LEVEL_MIX), list(LEVEL_MIX.values()))[0]]
    tagged = kind < TAGGED_OTHERS + PLAIN_OTHERS + TAGGED_SYSTEMS
    make = problems.linear if tagged or rng.random() >= ONE_UNKNOWN else problems.linear_x
    problem = make(rng, "train", level)
    if tagged:
        return chat(problem["question"], tagged=True), reluctant(rng, problem) + "<|im_end|>\n"
    if rng.random() < 0.75:
        return chat(problem["question"], tagged=False), plain_completion(problem) + "<|im_end|>\n"
    return problem["question"] + "\n", plain_completion(problem)


def build_tokenizer(seed: int):
    """Byte-level BPE, which encodes any text; every digit is a token of its own."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    # The third alternative keeps JSON punctuation together: this halves the length of a tool's description.
    pieces = Regex(r"""\d| ?\p{L}+|["{}\[\]:,][ "{}\[\]:,]*|\n| ?[^\s\p{L}\d]|\s+""")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pieces, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=MODEL["vocab_size"] - len(ORDINARY_TOKENS),
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rng = random.Random(seed)
    texts = ["".join(document(rng)) for _ in range(6000)] + descriptions() * 3
    markup = re.compile("|".join(map(re.escape, special + ORDINARY_TOKENS)))
    bpe.train_from_iterator((markup.sub("", text) for text in texts), trainer)
    bpe.add_tokens([AddedToken(token, special=False, normalized=False) for token in ORDINARY_TOKENS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", padding_side="left"
    )
    tokenizer.chat_template = prompts.mark_template(None, "thesis")
    return tokenizer


def short_documents(rng: random.Random, tokenizer, drills: float, length: int) -> list[tuple[list, list]]:
    """The tokens of those of 256 documents that fit into a row: of the prompt, and of the text with its end."""
    documents = [document(rng, drills) for _ in range(256)]
    asked = tokenizer([prompt for prompt, _ in documents]).input_ids
    answered = tokenizer([text for _, text in documents]).input_ids
    end = [tokenizer.pad_token_id]
    return [(prompt, text + end) for prompt, text in zip(asked, answered) if len(prompt) + len(text) < length]


def rows(tokenizer, steps: int, batch: int, length: int, seed: int):
    """Batches (inputs, labels), each int64 [batch, length]: documents packed into rows, prompts labelled -100."""
    import torch

    rng = random.Random(seed)
    end = tokenizer.pad_token_id
    pool = []  # documents as (tokens of the prompt, tokens of the text)
    for step in range(steps):
        inputs = torch.full((batch, length), end)
        labels = torch.full((batch, length), -100)
        drills = DRILLS_AT_START if step < steps // 10 else DRILLS
        for row in range(batch):
            used = 0
            while True:
                while len(pool) < 64:
                    pool += short_documents(rng, tokenizer, drills, length)
                room = length - used
                fitting = (place for place, (prompt, text) in enumerate(pool) if len(prompt) + len(text) <= room)
                place = next(fitting, None)
                if place is None:
                    break
                prompt, text = pool.pop(place)
                start = used + len(prompt)
                stop = start + len(text)
                inputs[row, used:stop] = torch.tensor(prompt + text)
                labels[row, start:stop] = torch.tensor(text)
                used = stop
        yield inputs, labels


def pretrain(tokenizer, args):
    """Muon on the matrices, AdamW on embeddings and norms; the learning rate is constant, then falls linearly to 1 %.

    Returns the model on the CPU and {"loss", "tokens", "trained_tokens"}.
    """
    import torch
    from tqdm import tqdm
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = Qwen3Config(
        **MODEL,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config).to(device)
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers = [
        torch.optim.Muon(matrices, lr=args.lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    bar = tqdm(rows(tokenizer, args.steps, args.batch, args.length, args.seed), total=args.steps)
    tokens, trained, average = 0, 0, None
    for step, (inputs, labels) in enumerate(bar):
        done = step / args.steps
        scale = min(1.0, (step + 1) / 100) * (1.0 if done < 0.4 else max(0.01, (1 - done) / 0.6))
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = args.lr * scale
        with torch.autocast("cuda", torch.bfloat16, enabled=device == "cuda"):
            loss = model(input_ids=inputs.to(device), labels=labels.to(device), use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        trained += int((labels != -100).sum())
        tokens += int((inputs != tokenizer.pad_token_id).sum())
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        bar.set_postfix(loss=f"{average:.4f}", refresh=False)
    return model.cpu(), {"loss": round(average, 4), "tokens": tokens, "trained_tokens": trained}


def main(args):
    import torch

    if args.resume:
        runs.fail("pretraining of the base cannot be resumed; leave --resume out")
    started = time.time()
    partial = runs.start(args)
    torch.set_num_threads(args.threads)
    runs.keep_memory()
    tokenizer = build_tokenizer(args.seed)
    model, figures = pretrain(tokenizer, args)
    figures |= {
        "seconds": round(time.time() - started),
        "parameters": model.num_parameters(),
        "device": runs.device_name(),
    }
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    (partial / "README.md").write_text(CARD.format(**figures, seed=args.seed, in_full=BEGUN * CLOSED * SOLVED))
    runs.finish(args, **figures)


if __name__ == "__main__":
    settings.run(main, Args, __doc__, output=lambda args: ROOT / "resources" / "tiny-base")
