"""Test checkpoints on held-out problems of the kind they were trained on: any number of them in one call.

accuracy = share of replies whose answer is right, on the mean of `samples` sampled replies a problem and on one greedy
reply; interval: 95 % Wilson over the problems. Rows go to resources/results.csv, each reply to outputs/tests/.

Input: checkpoints and outputs/data/<dataset>/. Output: rows of resources/results.csv, outputs/tests/*.jsonl.
Command: python GRPO_indomain/GRPO_test.py --checkpoints resources/tiny-base outputs/SFT outputs/GRPO-1K-def
"""

import gc
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import data, evaluation, models, prompts, runs
from common.runs import setting


@dataclass
class Args(runs.ProfileArgs):
    checkpoints: list[str] = setting([], "folders or hub names [the base and all of outputs/]")
    dataset: list[str] = setting(["dapo"], "folders of outputs/data/, made by dataset_creation.py: dapo gsm8k math500")
    split: str = setting("test", "test, or validation to choose settings by")
    tags: str = setting("thesis", "tag set to ask a base for that carries none: thesis or think")
    base: str = setting("Qwen/Qwen3-4B-Base", "the base that leads the default list of checkpoints")
    rows: int = setting(0, "only the first rows of the split; 0 takes all")
    samples: int = setting(
        5, "sampled replies a problem, 0 for none; like the next three as in the linear-equations study"
    )
    temperature: float = setting(0.7, "as there")
    top_p: float = setting(0.8, "as there")
    top_k: int = setting(20, "as there")
    greedy: bool = setting(True, "one greedy reply a problem too")
    seed: int = setting(0, "of the sampling")
    max_new_tokens: int = setting(1536, "as in training")
    batch_size: int = setting(64, "replies in memory at once")
    use_vllm: bool = setting(False, "generate with vLLM; needs CUDA")
    show: int = setting(1, "replies to print for each checkpoint")
    interactive: bool = setting(False, "answer questions typed by you with the first checkpoint, and test nothing")


TINY = dict(dataset=["linear"], base="resources/tiny-base", max_new_tokens=160, batch_size=500)


def main(args):
    models.check_device(args)
    finished = sorted(str(path.parent) for path in runs.OUTPUTS.glob("*/run.json") if not path.match("*.partial/*"))
    names = args.checkpoints or [args.base, *finished]
    folders = [runs.require_base(name, "the script that makes it") for name in names]
    loaded = [models.load_tokenizer(folder, default=args.tags) for folder in folders]
    sets = {name: data.read_split(name, args.split)[0][: args.rows or None] for name in args.dataset}

    for folder, (tokenizer, tag_set) in zip(folders, loaded):
        generate = generator(folder, tokenizer, args)
        if args.interactive:
            return converse(generate, prompts.TAG_SETS[tag_set])
        for dataset, rows in sets.items():
            evaluation.save_results(test(generate, checkpoint_facts(folder, args), dataset, rows, tag_set, args))
        del generate  # and with it the model, before the next one takes its memory
        gc.collect()


def generator(folder: str, tokenizer, args):
    """A function from conversations and sampling settings to replies."""
    if args.use_vllm:
        from vllm import LLM

        llm = LLM(model=folder, seed=args.seed, max_model_len=args.max_new_tokens + 1024)
        return lambda asked, **how: evaluation.generate_vllm(llm, tokenizer, asked, args.max_new_tokens, **how)
    model = models.load_for_generation(folder)
    return lambda asked, **how: evaluation.generate(
        model, tokenizer, asked, args.max_new_tokens, args.batch_size, progress=Path(folder).name, **how
    )


def checkpoint_facts(folder: str, args) -> dict:
    """The first columns of a results row: which script made the checkpoint, with which seed, from which base."""
    names = runs.lineage(folder)
    if len(names) == 1:
        return {"script": "base", "seed": args.seed, "base": names[0]}
    facts = json.loads((runs.resolve(folder) / "run.json").read_text())
    return {"script": names[-1], "seed": facts["seed"], "base": names[0]}


def test(generate, facts: dict, dataset: str, rows: list[dict], tag_set: str, args) -> list[dict]:
    """Answer and score the rows, greedy and sampled; returns the results rows."""
    tags, results = prompts.TAG_SETS[tag_set], []
    asked = [prompts.build_prompt(row["question"], tags) for row in rows]
    sampling = {"temperature": args.temperature, "top_p": args.top_p, "top_k": args.top_k, "seed": args.seed}
    plans = [("greedy", 1, {})] * args.greedy + [("sampled", args.samples, sampling)] * (args.samples > 0)
    for decoding, samples, how in plans:
        started = time.time()
        replies = generate([conversation for conversation in asked for _ in range(samples)], **how)
        repeated = [row for row in rows for _ in range(samples)]
        scored = [evaluation.score(reply, row["solution"], tags) for reply, row in zip(replies, repeated)]
        figures = evaluation.summary(scored, len(rows))
        # A base's greedy replies hold nothing random: one row, whatever the seed of the sampling.
        seed = 0 if facts["script"] == "base" and decoding == "greedy" else facts["seed"]
        key = {**facts, "seed": seed, "dataset": Path(dataset).name, "split": args.split, "decoding": decoding}
        made = {"seconds": round(time.time() - started, 1), "commit": runs.commit(), "command": runs.command_line()}
        results.append({**key, **figures, **made})
        items = runs.OUTPUTS / "tests" / ("-".join(str(value) for value in key.values()) + ".jsonl")
        items.parent.mkdir(parents=True, exist_ok=True)
        lines = [{"question": row["question"], "truth": row["solution"], **s} for row, s in zip(repeated, scored)]
        items.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        print(
            f"{facts['script']:24} seed {facts['seed']} {dataset} {decoding:8} accuracy {figures['accuracy']:6.1%} "
            f"[{figures['ci_low']:.1%}, {figures['ci_high']:.1%}] of {figures['n']}; well-formed "
            f"{figures['format_rate']:.0%}, truncated {figures['truncated_rate']:.0%}, {made['seconds']} s"
        )
        for line in lines[: args.show if decoding == "greedy" else 0]:
            print(f"  question: {line['question']}\n  truth: {line['truth']}  correct: {line['correct']}")
            print(f"{line['text']}\n")
    return results


def converse(generate, tags: prompts.Tags) -> None:
    """Questions from the terminal, greedy replies, until an empty line."""
    while question := input("question (empty line ends): ").strip():
        reply = evaluation.score(generate([prompts.build_prompt(question, tags)])[0], "", tags)
        print(f"{reply['text']}\nanswer: {reply['solution']}")


if __name__ == "__main__":
    main(runs.parse(Args, TINY, __doc__))
