"""Generate answers and score them: the same functions for held-out accuracy during training and for every table.

Every measurement is one row of resources/results.csv, and one of resources/items.csv, which keeps for each item how
many of its replies were right: paired tests and pass@k need that.
"""

import csv
import gc
import json
import math
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from common import answers, data, judge, models, prompts, runs, steps, toolcalls

RESULTS = runs.ROOT / "resources" / "results.csv"
ITEMS = runs.ROOT / "resources" / "items.csv"
COLUMNS = (
    *("script", "seed", "base", "dataset", "split", "decoding", "n", "accuracy", "ci_low", "ci_high", "format_rate"),
    *("truncated_rate", "mean_tokens", "judge", "efficiency", "final", "seconds", "commit", "command", "reward"),
)
KEY = COLUMNS[:6]  # one row for each; a repeated measurement replaces it
ITEM_COLUMNS = (*KEY, "samples", "correct")
# The reward of a tool call in the tables: what GRPO_BFCL_v1.py pays by default. 1 is a perfect match.
CALL_WEIGHTS = {"valid": 0.5, "call": 0.1, "name": 0.1, "arguments": 0.2, "no_extra": 0.1}
PROMPT_ROOM = 4096  # tokens of a prompt that vLLM keeps room for


def generate(
    model,
    tokenizer,
    conversations: Sequence[list[dict]],
    max_new_tokens: int,
    batch_size: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    progress: str = "",
) -> list[dict]:
    """One reply per conversation, in their order: {"text", "tokens", "truncated"}.

    temperature 0 is greedy. Random numbers come from `seed` alone, and the generator of a training run around this
    call is left as it was. tokens counts the end token; truncated: no end token within max_new_tokens.
    """
    import torch
    from tqdm import tqdm
    from transformers import GenerationConfig

    sampling = {"do_sample": temperature > 0}
    if temperature > 0:
        sampling |= {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    ends, pad = [tokenizer.eos_token_id, tokenizer.pad_token_id], tokenizer.pad_token_id
    config = GenerationConfig(
        max_new_tokens=max_new_tokens, eos_token_id=ends, pad_token_id=pad, disable_compile=True, **sampling
    )
    texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    replies, was_training = [None] * len(texts), model.training
    cuda = [torch.cuda.current_device()] if model.device.type == "cuda" else []
    model.eval()
    with torch.random.fork_rng(devices=cuda), torch.inference_mode():
        torch.manual_seed(seed)
        for start in tqdm(range(0, len(order), batch_size), desc=progress, disable=not progress, leave=False):
            chosen = order[start : start + batch_size]
            inputs = tokenizer(
                [texts[i] for i in chosen], return_tensors="pt", padding=True, add_special_tokens=False
            ).to(model.device)
            output = model.generate(
                input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, generation_config=config
            )
            for i, ids in zip(chosen, output[:, inputs.input_ids.shape[1] :].tolist()):
                length = next((n for n, token in enumerate(ids, 1) if token in ends), None)
                text = tokenizer.decode(ids[:length], skip_special_tokens=True)
                replies[i] = {"text": text, "tokens": length or len(ids), "truncated": length is None}
    model.train(was_training)
    return replies


def generate_vllm(
    llm,
    tokenizer,
    conversations: Sequence[list[dict]],
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
) -> list[dict]:
    """What generate() does, on a vllm.LLM."""
    from vllm import SamplingParams

    sampling = SamplingParams(
        max_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        stop_token_ids=[tokenizer.eos_token_id, tokenizer.pad_token_id],
    )
    texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations]
    prompts_ids = [{"prompt_token_ids": tokenizer(text, add_special_tokens=False).input_ids} for text in texts]
    each, replies = [sampling.clone() for _ in texts], []
    for i, one in enumerate(each):
        one.seed = seed + i  # with one seed for all, every sample of a problem would be the same
    for request in llm.generate(prompts_ids, each):
        ids, reason = list(request.outputs[0].token_ids), request.outputs[0].finish_reason
        text = tokenizer.decode(ids, skip_special_tokens=True)
        replies.append({"text": text, "tokens": len(ids), "truncated": reason == "length"})
    return replies


def named_option(solution: str | None, options: Sequence[str]) -> str | None:
    """The letter alone of "(A)", "A." and "A) 6", the last only where 6 is the text of option A; else the solution.

    So an answer that names an option and contradicts it, or names several, stays as it is, which is no letter.
    """
    found = re.fullmatch(r"\(?([A-Z])[).:](?:\s+(.+))?", solution or "", re.DOTALL)
    meant = dict(zip(data.LETTERS, options)).get(found[1]) if found else None
    if meant is None:
        return solution
    said, meant = (" ".join((text or "").split()).rstrip(".").lower() for text in (found[2], meant))
    return found[1] if said in ("", meant) else solution


def score(reply: dict, truth: str, tags: prompts.Tags, options: Sequence[str] = ()) -> dict:
    """The reply with `solution`, `correct`, `well_formed` and `judge` beside it; the rewards call the same checkers.

    options: the texts of the options A, B, ... of a multiple choice. judge: 10 times the share of the arithmetic
    stated in the working that holds, 0 to 10; 0 where none is stated, as nothing shows that the answer was worked out.
    """
    solution, working = answers.extract_solution(reply["text"], tags), prompts.working(reply["text"], tags)
    return {
        **reply,
        "solution": solution,
        "correct": answers.is_correct(named_option(solution, options), truth),
        "well_formed": prompts.is_well_formed(reply["text"], tags),
        "judge": 10 * steps.share(reply["text"] if working is None else working),
    }


def score_calls(reply: dict, row: dict) -> dict:
    """The reply with the official verdict on its calls: `correct`, `well_formed` (calls and nothing else) and `reward`.

    Of a row of several turns the reply is that to the first one; all its calls are wanted, in any order.
    """
    truth, category = json.loads(row["solution"]), row["category"]
    if "turns" in row:
        calls = [toolcalls.parse_call(call) for call in truth[0]]
        truth, category = [{name: {key: [value] for key, value in args.items()}} for name, args in calls], "parallel"
        category = category if truth else "irrelevance"
    calls, kind = toolcalls.decode(reply["text"])
    verdict = toolcalls.score_single(calls, json.loads(row["functions"]), truth, category)
    return {
        **reply,
        "solution": json.dumps(calls) if calls else None,
        "correct": verdict["valid"],
        "well_formed": kind == "call",
        "reward": sum(weight * verdict[part] for part, weight in CALL_WEIGHTS.items()),
    }


def score_row(reply: dict, row: dict, tags: prompts.Tags) -> dict:
    """score_calls() for a row that offers functions, score() for any other; a reply that is scored stays as it is."""
    if "correct" in reply:
        return reply
    if "functions" in row:
        return score_calls(reply, row)
    return score(reply, row["solution"], tags, row.get("options", ()))


def wilson(p: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share p observed on n items (Wilson, JASA 22, 1927)."""
    if n == 0:
        return 0.0, 1.0
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def summary(scored: list[dict], items: int) -> dict:
    """Shares over all replies; the interval counts items, since several samples of one item are not independent."""
    n = len(scored)
    accuracy = sum(row["correct"] for row in scored) / n
    low, high = wilson(accuracy, items)
    judged = [row["judge"] for row in scored if row.get("judge") is not None]
    paid = [row["reward"] for row in scored if "reward" in row]
    return {
        "n": items,
        "accuracy": accuracy,
        "ci_low": low,
        "ci_high": high,
        "format_rate": sum(row["well_formed"] for row in scored) / n,
        "truncated_rate": sum(row["truncated"] for row in scored) / n,
        "mean_tokens": sum(row["tokens"] for row in scored) / n,
        **({"judge": sum(judged) / len(judged)} if judged else {}),
        **({"reward": sum(paid) / len(paid)} if paid else {}),
    }


def final_score(accuracy: float, judged: float, efficiency: float) -> float:
    """The thesis's one figure for a model: 0.4 accuracy (0 to 1) + 0.4 judge (0 to 10) / 10 + 0.2 efficiency.

    Not bounded by 1: a model that needs fewer tokens than SFT has an efficiency above 1.
    """
    return 0.4 * accuracy + 0.4 * judged / 10 + 0.2 * efficiency


def add_final(rows: list[dict]) -> None:
    """Fill in efficiency and final of rows of results.csv (values are strings); empty where SFT was not measured.

    efficiency = mean tokens of SFT / mean tokens of the row, both from the same seed, base, items and decoding.
    """

    def same_items(row):
        return tuple(row[name] for name in ("seed", "base", "dataset", "split", "decoding", "n"))

    tokens = {same_items(row): float(row.get("mean_tokens") or 0) for row in rows if row["script"] == "SFT"}
    for row in rows:
        reference, own = tokens.get(same_items(row), 0), float(row.get("mean_tokens") or 0)
        efficiency = reference / own if reference and own else None
        row["efficiency"] = "" if efficiency is None else f"{efficiency:.4f}"
        whole = efficiency is not None and row.get("judge") and row.get("accuracy")
        row["final"] = f"{final_score(float(row['accuracy']), float(row['judge']), efficiency):.4f}" if whole else ""


def read_results(path: Path = RESULTS) -> list[dict]:
    """The rows of results.csv or items.csv, every value a string."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def save_results(rows: list[dict], path: Path = RESULTS) -> None:
    """Put rows into results.csv, each in place of an older one with the same key, and keep the file sorted.

    Rows that carry `samples` and `correct` go into the items.csv beside it too. efficiency and final of all rows are
    calculated again, so that SFT may be tested after what it is compared with.
    """
    _put(rows, path, COLUMNS, add_final)
    if items := [row for row in rows if "correct" in row]:
        save_items(items, path.with_name(ITEMS.name))


def save_items(rows: list[dict], path: Path = ITEMS) -> None:
    """Put rows into items.csv in the same way: the key, `samples` (replies an item) and `correct`.

    correct: for every item, in the order of the data set, how many of its replies are right, separated by spaces.
    """
    _put(rows, path, ITEM_COLUMNS)


def _put(rows: list[dict], path: Path, columns: Sequence[str], complete: Callable | None = None) -> None:
    from filelock import FileLock

    with FileLock(f"{path}.lock"):  # make -j runs several tests at once
        kept = {tuple(row[name] for name in KEY): row for row in read_results(path)}
        for row in rows:
            row = {name: f"{value:.4f}" if isinstance(value, float) else str(value) for name, value in row.items()}
            kept[tuple(row[name] for name in KEY)] = row
        if complete:
            complete(list(kept.values()))
        beside = path.with_name(path.name + ".tmp")
        with open(beside, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept[key] for key in sorted(kept))
        os.replace(beside, path)


# What the test scripts share, from here on.


class Plan(NamedTuple):
    """One way of answering a set: its name in results.csv, replies an item, sampling settings, items (None: all)."""

    decoding: str
    samples: int
    sampling: dict
    rows: int | None = None


def plans(args) -> list[Plan]:
    """Greedy and sampled, as far as the arguments ask for them."""
    sampling = {"temperature": args.temperature, "top_p": args.top_p, "top_k": args.top_k, "seed": args.seed}
    return [Plan("greedy", 1, {})] * args.greedy + [Plan("sampled", args.samples, sampling)] * (args.samples > 0)


def checkpoints_of(args) -> tuple[list[str], list[tuple]]:
    """Folders or hub names to test, and (tokenizer, tag set) of each; ends the script when one is not whole."""
    finished = sorted(str(path.parent) for path in runs.OUTPUTS.glob("*/run.json") if not path.match("*.partial/*"))
    names = args.checkpoints or [args.base, *finished]
    folders = [runs.require_base(name, "the script that makes it") for name in names]
    return folders, [models.load_tokenizer(folder, default=args.tags) for folder in folders]


def context_length(folder: str, args) -> int:
    """Tokens of prompt and reply that a checkpoint can hold, as far as a test needs them."""
    from transformers import AutoConfig

    own = AutoConfig.from_pretrained(folder).get_text_config().max_position_embeddings
    return min(own, getattr(args, "prompt_room", PROMPT_ROOM) + args.max_new_tokens)


def prompt_lengths(tokenizer, conversations: Sequence[list[dict]]) -> list[int]:
    """Tokens of each conversation up to where the reply begins."""
    texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations]
    return [len(ids) for ids in tokenizer(texts, add_special_tokens=False).input_ids] if texts else []


def saved_to(args) -> dict:
    """The keyword that makes save_results() write where --results says."""
    return {"path": runs.resolve(args.results).absolute()} if args.results else {}


def fitting(rows: list[dict], folders: list[str], loaded: list[tuple], args) -> list[dict]:
    """The rows whose prompt leaves room for a whole reply in every checkpoint, so that all answer the same items."""
    for folder, (tokenizer, tag_set) in zip(folders, loaded):
        room = context_length(folder, args) - args.max_new_tokens
        lengths = prompt_lengths(tokenizer, [data.conversation(row, prompts.TAG_SETS[tag_set]) for row in rows])
        rows = [row for row, length in zip(rows, lengths) if length <= room]
    return rows


def generator(folder: str, tokenizer, args) -> Callable:
    """A function from conversations and sampling settings to replies."""
    if args.use_vllm:
        from vllm import LLM

        llm = LLM(model=folder, seed=args.seed, max_model_len=context_length(folder, args))
        return lambda asked, **how: generate_vllm(llm, tokenizer, asked, args.max_new_tokens, **how)
    model = models.load_for_generation(folder)
    return lambda asked, **how: generate(
        model, tokenizer, asked, args.max_new_tokens, args.batch_size, progress=Path(folder).name, **how
    )


def checkpoint_facts(folder: str, args) -> dict:
    """The first columns of a results row: which script made the checkpoint, with which seed, from which base."""
    names = runs.lineage(folder)
    if len(names) == 1:
        return {"script": "base", "seed": args.seed, "base": names[0]}
    facts = json.loads((runs.resolve(folder) / "run.json").read_text())
    return {"script": names[-1], "seed": facts["seed"], "base": names[0]}


def test_all(folders: list[str], loaded: list[tuple], sets: list[tuple[str, str, list[dict]]], plans, args) -> None:
    """Answer every set (name, split, rows) with every checkpoint in every planned way, and save what came out."""
    if not plans:
        runs.fail("nothing to test: --greedy is off and --samples is 0")
    for folder, (tokenizer, tag_set) in zip(folders, loaded):
        answer = generator(folder, tokenizer, args)
        for name, split, rows in sets:
            key = {**checkpoint_facts(folder, args), "dataset": name, "split": split}
            save_results([test(answer, key, rows, tag_set, plan, args) for plan in plans], **saved_to(args))
        del answer  # and with it the model, before the next one takes its memory
        gc.collect()


def test(answer: Callable, key: dict, rows: list[dict], tag_set: str, plan: Plan, args) -> dict:
    """Answer and score the rows as planned, keep the replies, print what came out; returns the results row."""
    started, tags, rows = time.time(), prompts.TAG_SETS[tag_set], rows[: plan.rows]
    asked = [data.conversation(row, tags) for row in rows for _ in range(plan.samples)]
    repeated = [row for row in rows for _ in range(plan.samples)]
    scored = [score_row(reply, row, tags) for reply, row in zip(answer(asked, **plan.sampling), repeated)]
    seconds = round(time.time() - started, 1)
    lines = [{"question": row["question"], "truth": row["solution"], **s} for row, s in zip(repeated, scored)]
    if getattr(args, "judge", ""):
        for line, verdict in zip(lines, judge.rate(lines, args.judge, args.judge_model)):
            line["judge"] = verdict
    figures = summary(lines, len(rows))
    # A base's greedy replies hold nothing random: one row, whatever the seed of the sampling.
    seed = 0 if key["script"] == "base" and plan.decoding == "greedy" else key["seed"]
    key = {**key, "seed": seed, "decoding": plan.decoding}
    folder = saved_to(args)["path"].parent / "tests" if args.results else runs.OUTPUTS / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    replies = folder / ("-".join(str(value) for value in key.values()) + ".jsonl")
    replies.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    print(
        f"{key['script']:24} seed {seed} {key['dataset']} {plan.decoding:8} accuracy {figures['accuracy']:6.1%} "
        f"[{figures['ci_low']:.1%}, {figures['ci_high']:.1%}] of {figures['n']}; well-formed "
        f"{figures['format_rate']:.0%}, truncated {figures['truncated_rate']:.0%}, "
        + "".join(f"{name} {figures[name]:.2f}, " for name in ("judge", "reward") if name in figures)
        + f"{seconds} s"
    )
    for line in lines[: args.show if plan.decoding == "greedy" else 0]:
        print(f"  question: {line['question']}\n  truth: {line['truth']}  correct: {line['correct']}")
        print(f"{line['text']}\n")
    groups = [lines[start : start + plan.samples] for start in range(0, len(lines), plan.samples)]
    correct = " ".join(str(sum(line["correct"] for line in group)) for group in groups)
    made = {"seconds": seconds, "commit": runs.commit(), "command": runs.command_line()}
    return {**key, **figures, **made, "samples": plan.samples, "correct": correct}
