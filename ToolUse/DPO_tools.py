"""Direct Preference Optimization (DPO, Rafailov et al. 2023, arXiv 2305.18290) on tool calls.

loss = -log sigmoid(beta * (log-ratio of the chosen completion - log-ratio of the rejected one)) + 0.2 * cross-entropy
of the chosen one, log-ratio = log p(completion) under the policy - that under the initial policy. Chosen: the
completion of the data set. Rejected: the same completion with one of five failures (REJECTED), so that a pair differs
in nothing else that matters.

Input: outputs/data/<dataset>/, outputs/SFT_tools/. Output: outputs/DPO_tools/.
Command: python ToolUse/DPO_tools.py
Command: python ToolUse/DPO_tools.py --config ToolUse/configs/dpo.json
"""

import functools
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from tool_executor import ToolExecutor

from common import calls, data, models, runs, settings, training
from common.settings import setting
from ToolUse.tooluse import conversations, teacher

if settings.HELP:
    Config = object  # --help does not wait for trl, whose import takes seconds
else:
    from trl import DPOConfig as Config

KINDS = ("wrong_tool", "wrong_argument", "bad_json", "needless_call", "no_call")


@dataclass
class Args(settings.TrainArgs, Config):
    base: str = setting("outputs/SFT_tools", "initial policy: a folder or a hub name")
    dataset: str = setting("tools", "folder of outputs/data/, or a path")
    tools: str = setting("ToolUse/configs/tools.json", "JSON file with the schemas of the tools, for held-out accuracy")
    kinds: list[str] = setting(list(KINDS), "failures to reject, as many pairs of each", choices=KINDS)
    pairs: int = setting(4000, "pairs, at most", tiny=320, low=1)
    loss_type: list[str] = setting(["sigmoid", "sft"], "DPO's loss, and the cross-entropy of the chosen completion")
    loss_weights: list[float] = setting([1.0, 0.2], "their weights; with DPO's alone p of every call falls, see LOG.md")
    beta: float = setting(0.1, "how far the policy may move from the initial one; higher is less")
    seed: int = setting(3407, "draws the failures; order of the pairs and initial LoRA weights")
    learning_rate: float = setting(5e-6, "for LoRA; small models take larger steps", tiny=5e-5)
    lr_scheduler_type: str = setting("linear", "learning rate falls to 0")
    warmup_steps: float = setting(0.1, "steps of rising learning rate; below 1 a fraction of all steps")
    num_train_epochs: float = setting(1, "passes over the pairs")
    max_steps: int = setting(-1, "updates; -1: as many as the epochs have")
    per_device_train_batch_size: int = setting(2, "pairs in memory at once", tiny=8)
    gradient_accumulation_steps: int = setting(8, "batches in one update", tiny=1)
    max_length: int = setting(2048, "tokens of a conversation; longer rows are dropped", tiny=1024)
    lora_r: int = setting(32, "rank of LoRA; 0 trains every weight, for small models", tiny=0)
    lora_alpha: int = setting(64, "scale of LoRA, twice the rank")
    tags: str = setting("", "tag set that the checkpoint is marked with [that of the base, else thesis]")
    load_in_4bit: bool = setting(False, "NF4 base: a quarter of the memory, slower")
    gradient_checkpointing: bool = setting(True, "less memory for more time", tiny=False)
    bf16: bool = setting(True, "bfloat16 arithmetic; most CPUs emulate it slowly", tiny=False)
    dataloader_pin_memory: bool = setting(True, "faster copies to a GPU", tiny=False)
    logging_steps: float = setting(10, "steps between two lines of metrics.jsonl")
    save_strategy: str = setting("steps", "save a checkpoint every save_steps")
    save_steps: float = setting(0.25, "steps between two checkpoints; below 1 a fraction of all steps", tiny=0.5)
    save_total_limit: int = setting(2, "checkpoints to keep: the last one for --resume, and the one before it")
    heldout_every: int = setting(50, "steps between two measurements of held-out accuracy", tiny=256)
    heldout_rows: int = setting(50, "validation rows for held-out accuracy", tiny=64)
    max_completion_length: int = setting(512, "tokens of a held-out completion", tiny=80)
    max_turn_steps: int = setting(8, "completions of a held-out conversation", tiny=4, low=1)


class Pool:
    """What failures are made of: the tools, arguments and answers of all rows, and a random generator."""

    def __init__(self, rows: list[dict], seed: int):
        self.rng, self.tools, self.values, self.answers = random.Random(seed), {}, {}, []
        for row in rows:
            self.tools |= {tool["function"]["name"]: tool["function"] for tool in json.loads(row["tools"])}
            self.answers += [m["content"] for m in row["messages"] if m["role"] == "assistant" and m["content"]]
            for name, arguments in (tuple(call) for step in json.loads(row["solution"]) for call in step):
                for key, value in arguments.items():
                    self.values.setdefault((name, key), []).append(value)

    def words(self, text: str) -> str:
        """One to three words in a row of a text."""
        found = text.strip(" .?!").split() or [""]
        start = self.rng.randrange(len(found))
        return " ".join(found[start : start + self.rng.randint(1, 3)])

    def call_of(self, name: str, said: str) -> tuple[str, dict]:
        """A call of a tool with what was said as its required arguments."""
        parameters = self.tools[name].get("parameters") or {}
        wanted = parameters.get("required") or list(parameters.get("properties") or {})[:1]
        return name, dict.fromkeys(wanted, said)


# Failures. Each gets the calls of the chosen completion ([] for a text), the row, the messages before, and the pool.


def wrong_tool(made, row, before, pool) -> str | None:
    """Another tool, an offered one where there is any, with the same text as its argument."""
    offered = [tool["function"]["name"] for tool in json.loads(row["tools"])]
    name, arguments = pool.rng.choice(made)
    others = [other for other in offered if other != name] or [other for other in pool.tools if other != name]
    if not others:
        return None
    said = next((value for value in arguments.values() if isinstance(value, str)), row["question"])
    other = pool.call_of(pool.rng.choice(others), said)
    return calls.call_text([other if one[0] == name else one for one in made])


def wrong_argument(made, row, before, pool) -> str | None:
    """One argument of one call changed: a character of it, or the value that another question wants."""
    place = pool.rng.randrange(len(made))
    name, arguments = made[place]
    if not arguments:
        return None
    key = pool.rng.choice(list(arguments))
    value = pool.rng.choice(pool.values[name, key])
    if isinstance(arguments[key], str) and arguments[key] and pool.rng.random() < 0.5:
        value = changed(arguments[key], pool.rng)
    return calls.call_text([(name, {**arguments, key: value}) if i == place else one for i, one in enumerate(made)])


def changed(text: str, rng: random.Random) -> str:
    """A text with one digit, operator or letter changed."""
    place = rng.randrange(len(text))
    alike = next((known for known in ("0123456789", "+-*/", "aeiou") if text[place].lower() in known), "bcdfglmnprst")
    return text[:place] + rng.choice(alike.replace(text[place].lower(), "")) + text[place + 1 :]


def bad_json(made, row, before, pool) -> str | None:
    """A call that no parser reads: a bracket, a quote or the closing tag is missing, or another syntax."""
    text = calls.call_text(made)
    last = text.rindex("}")
    return pool.rng.choice(
        [
            text[:last] + text[last + 1 :],
            text.replace('": ', ": ", 1),
            text.replace('"', "'"),
            text.removesuffix(calls.CLOSE),
            calls.python_text(made),
        ]
    )


def needless_call(made, row, before, pool) -> str | None:
    """After results the last completion once more, else a call of an offered tool with words of the question."""
    if after_results(before):
        return before[-2]["content"]
    names = [tool["function"]["name"] for tool in json.loads(row["tools"])] or list(pool.tools)
    return calls.call_text([pool.call_of(pool.rng.choice(names), pool.words(row["question"]))]) if names else None


def no_call(made, row, before, pool) -> str | None:
    """An answer without a call: that of this question, as if the result were known, or of another one."""
    own = row["messages"][-1]["content"]
    return own if own and pool.rng.random() < 0.5 else pool.rng.choice(pool.answers or [own])


REJECTED = dict(zip(KINDS, (wrong_tool, wrong_argument, bad_json, needless_call, no_call)))


def after_results(before: list[dict]) -> bool:
    return before[-1]["content"].startswith("<tool_response>")


def completions_of(rows: list[dict]) -> dict[str, list[tuple]]:
    """Completions as (calls, row, messages before, text): those with a call, first texts, texts late, after results."""
    found = {"call": [], "text": [], "late": []}
    for row in rows:
        # Both lists tell the same conversation; in the plain one the results of a completion are one message.
        gold = [message for message in row["messages"] if message["role"] == "assistant"]
        whole = row["prompt"] + row["completion"]
        places = [i for i in range(len(row["prompt"]), len(whole)) if whole[i]["role"] == "assistant"]
        for place, message in zip(places, gold, strict=True):
            made, before = conversations.calls_of(message), whole[:place]
            kind = "call" if made else "late" if after_results(before) else "text"
            found[kind].append((made, row, before, whole[place]["content"]))
    return found


def make_pairs(rows: list[dict], kinds: list[str], most: int, seed: int) -> list[dict]:
    """At most `most` pairs, `prompt`, `chosen`, `rejected`, `kind`: as many of each kind.

    Half of those of needless_call are answers to results: without these, pairs of no_call teach to call without end.
    With more pairs of needless_call than of no_call the policy stops calling. Prints how many there are of each kind,
    and how many were equal or impossible and left out.
    """
    pool, spots = Pool(rows, seed), completions_of(rows)
    for part in spots.values():
        pool.rng.shuffle(part)
    of_calls = [kind for kind in kinds if kind != "needless_call"]
    of_texts = [part for part in ("text", "late") if "needless_call" in kinds and spots[part]]
    each = [len(spots["call"]) // len(of_calls)] if of_calls else []
    each += [len(spots[part]) * len(of_texts) for part in of_texts]
    each = min([max(1, most // max(1, len(kinds))), *each])
    slots = [("call", kind, each) for kind in of_calls]
    slots += [(part, "needless_call", -(-each // len(of_texts))) for part in of_texts]
    made, left_out = [], Counter()
    for part, kind, n in slots:
        for wanted, row, before, chosen in [spots[part].pop() for _ in range(n)]:
            rejected = REJECTED[kind](wanted, row, before, pool)
            if rejected in (None, chosen):
                left_out[kind] += 1
                continue
            pair = {"chosen": chosen, "rejected": rejected}
            pair = {name: [{"role": "assistant", "content": text}] for name, text in pair.items()}
            made.append({"prompt": before, **pair, "kind": kind})
    counts = Counter(pair["kind"] for pair in made)
    print(
        f"pairs: {teacher.told(counts) or 'none'}; left out as equal or impossible: {teacher.told(left_out) or 'none'}"
    )
    return made


def main(args):
    runs.check_output(args)
    models.check_device(args)
    executor = ToolExecutor(args.tools)
    rows, fingerprint = conversations.read_split(args.dataset, "train")
    heldout, _ = conversations.read_split(args.dataset, "validation")
    base = runs.require_base(args.base, "python ToolUse/SFT_tools.py")
    tokenizer, tag_set = conversations.load_tokenizer(base, args.tags)
    limit = args.max_length
    rows = data.drop_long(rows, tokenizer, tag_set, limit, args.dataset, "train", completions=True)
    heldout = data.drop_long(heldout, tokenizer, tag_set, limit, args.dataset, "validation", completions=True)
    pairs = make_pairs(rows, args.kinds, args.pairs, args.seed)
    if not pairs:
        runs.fail(f"no pairs: --kinds {' '.join(args.kinds)} fit no row of --dataset {args.dataset}; choose others")

    from datasets import Dataset
    from trl import DPOTrainer  # not needed for --help

    from ToolUse.tooluse.watch import EpisodeWatch

    dataset = Dataset.from_list(pairs)
    run = training.begin(
        args, base, tokenizer, tag_set, each=2, rows=rows, dataset=dataset, heldout=heldout, fingerprint=fingerprint
    )
    trainer = DPOTrainer(
        model=run.model,
        args=args,
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=run.lora,
    )
    training.train(run, trainer, watch=functools.partial(EpisodeWatch, execute=executor.execute))


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
