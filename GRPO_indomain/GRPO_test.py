"""Test checkpoints on held-out problems of the kind they were trained on: any number of them in one call.

accuracy = share of replies whose answer is right, on the mean of `samples` sampled replies a problem and on one greedy
reply; interval: 95 % Wilson over the problems. judge = 10 * the share of the arithmetic stated in the working that
holds, or the mean score that a model gives (--judge). efficiency = mean tokens of SFT / mean tokens of the checkpoint.
final = 0.4 * accuracy + 0.4 * judge / 10 + 0.2 * efficiency. With --pass_k 64 the first problems are answered 64 times
more, at temperature 1: whether any of k replies is right tells a new skill from a sharpened one.

Input: checkpoints and outputs/data/<dataset>/. Output: rows of resources/results.csv and items.csv (how many replies
of each problem were right), each reply in outputs/tests/*.jsonl.
Command: python GRPO_indomain/GRPO_test.py --checkpoints resources/tiny-base outputs/SFT outputs/GRPO-1K-def
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import data, evaluation, judge, models, prompts, runs, settings
from common.settings import setting


@dataclass
class Args(settings.ProfileArgs):
    checkpoints: list[str] = setting([], "folders or hub names [the base and all of outputs/]")
    dataset: list[str] = setting(
        ["dapo"], "folders of outputs/data/, made by dataset_creation.py: dapo gsm8k math500", tiny=["linear"]
    )
    split: str = setting("test", "test, or validation to choose settings by")
    tags: str = setting("thesis", "tag set to ask a base for that carries none: thesis or think")
    base: str = setting(
        "Qwen/Qwen3-4B-Base", "the base that leads the default list of checkpoints", tiny="resources/tiny-base"
    )
    rows: int = setting(0, "only the first rows of the split; 0 takes all")
    samples: int = setting(
        5, "sampled replies a problem, 0 for none; like the next three as in the linear-equations study"
    )
    temperature: float = setting(0.7, "as there")
    top_p: float = setting(0.8, "as there")
    top_k: int = setting(20, "as there")
    greedy: bool = setting(True, "one greedy reply a problem too")
    seed: int = setting(0, "of the sampling")
    max_new_tokens: int = setting(1536, "as in training", tiny=160)
    pass_k: int = setting(0, "replies a problem for pass@k, for instance 64; 0 for none")
    pass_rows: int = setting(50, "problems for it, the first of the split")
    batch_size: int = setting(64, "replies in memory at once", tiny=500)
    use_vllm: bool = setting(False, "generate with vLLM; needs CUDA")
    judge: str = setting("", "OpenAI-compatible server that scores the replies, such as http://127.0.0.1:8000/v1")
    judge_model: str = setting("", "name of its model; a key is taken from the environment, OPENAI_API_KEY")
    results: str = setting("", "another results.csv, with items.csv and the replies beside it [resources/results.csv]")
    show: int = setting(1, "replies to print for each checkpoint")
    interactive: bool = setting(False, "answer questions typed by you with the first checkpoint, and test nothing")


def main(args):
    models.check_device(args)
    judge.check(args.judge, args.judge_model)
    folders, loaded = evaluation.checkpoints_of(args)
    sets = [(data.dataset_folder(name), data.read_split(name, args.split)[0]) for name in args.dataset]
    sets = [(Path(os.path.abspath(path)).name, args.split, rows[: args.rows or None]) for path, rows in sets]
    if len({name for name, *_ in sets}) < len(sets):
        runs.fail("two data sets have the same folder name, and so the same rows of results.csv; rename one")
    if args.interactive:
        tokenizer, tag_set = loaded[0]
        return converse(evaluation.generator(folders[0], tokenizer, args), prompts.TAG_SETS[tag_set])
    plain = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "seed": args.seed}
    pass_k = [evaluation.Plan("pass@k", args.pass_k, plain, args.pass_rows)] * (args.pass_k > 0)
    evaluation.test_all(folders, loaded, sets, evaluation.plans(args) + pass_k, args)


def converse(generate, tags: prompts.Tags) -> None:
    """Questions from the terminal, greedy replies, until an empty line."""
    while question := input("question (empty line ends): ").strip():
        reply = evaluation.score(generate([prompts.build_prompt(question, tags)])[0], "", tags)
        print(f"{reply['text']}\nanswer: {reply['solution']}")


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
