"""Test checkpoints on held-out problems of the kind that they were trained on, any number of them in one call.

accuracy = fraction of completions with a correct answer, as the mean of `samples` sampled completions a problem and of
one greedy completion, in two scores: flexible counts the answer wherever it stands (between the tags, in a box, after
"answer:", else the last value), strict counts it only between its tags, and is the column accuracy; intervals: 95 %
Wilson over the problems. A base was never told of our tags: --own_prompt asks it without our instruction, in rows
named base-own-prompt, where flexible is the score that counts. judge = 10 * fraction of the arithmetic stated in the
reasoning that is correct, or the mean score that a model gives (--judge). efficiency = mean tokens of SFT / mean tokens
of the checkpoint. final = 0.4 * accuracy + 0.4 * judge / 10 + 0.2 * efficiency. --pass_k 64 samples 64 completions more
of the first problems at temperature 1: whether any of k is correct tells a new skill from a sharpened one.

Input: checkpoints, outputs/data/<dataset>/. Output: rows of resources/results.csv and items.csv (how many completions
of each problem are correct), the completions in outputs/tests/*.jsonl.
Command: python GRPO_indomain/GRPO_test.py --checkpoints resources/tiny-base outputs/SFT outputs/GRPO-1K-def
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import data, evaluation, judge, kinds, models, runs, settings
from common.settings import setting


@dataclass
class Args(settings.ProfileArgs):
    checkpoints: list[str] = setting([], "folders or hub names [the base and all of outputs/]")
    dataset: list[str] = setting(["dapo"], "folders of outputs/data/: dapo gsm8k math500 linear", tiny=["linear_sum"])
    split: str = setting("test", "test, or validation to choose settings by")
    own_prompt: str = setting("", "ask with this text alone, not for tags; '{question}' stands for the question")
    tags: str = setting("thesis", "tag set for a base that carries none, thesis or think")
    base: str = setting("Qwen/Qwen3-4B-Base", "first of the default checkpoints", tiny="resources/tiny-base")
    rows: int = setting(0, "only the first rows of the split; 0 takes all")
    greedy: bool = setting(True, "one greedy completion a problem")
    samples: int = setting(5, "sampled completions a problem, as in the linear-equations study; 0 for none")
    temperature: float = setting(0.7, "temperature of the samples, as in the linear-equations study")
    top_p: float = setting(0.8, "nucleus of the samples, as in the linear-equations study")
    top_k: int = setting(20, "likeliest tokens that samples are drawn from; 0 is no limit")
    seed: int = setting(0, "seed of the samples")
    max_new_tokens: int = setting(1536, "tokens of a completion, as in training", tiny=160)
    pass_k: int = setting(0, "completions a problem for pass@k, for instance 64; 0 for none", low=0)
    pass_rows: int = setting(50, "first problems of the split, for pass@k", low=1)
    batch_size: int = setting(64, "completions in memory at once", tiny=500)
    use_vllm: bool = setting(False, "generate with vLLM; needs CUDA")
    judge: str = setting("", "OpenAI-compatible server that scores completions, such as http://127.0.0.1:8000/v1")
    judge_model: str = setting("", "name of the judge's model; its key comes from the environment, OPENAI_API_KEY")
    results: str = setting("", "another results.csv, with items.csv and completions beside it [resources/results.csv]")
    resume: bool = setting(False, "skip checkpoints that are tested already")
    show: int = setting(1, "completions to print for each checkpoint", low=0)


def main(args):
    models.check_device(args)
    judge.check(args.judge, args.judge_model)
    folders, loaded = evaluation.checkpoints_of(args)
    sets = [test_set(name, args) for name in args.dataset]
    if len({one.dataset for one in sets}) < len(sets):
        runs.fail("two data sets have the same folder name, and so the same rows of results.csv; rename one")
    plans = evaluation.plans(args)
    if args.pass_k:
        plain = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "seed": args.seed}
        plans.append(evaluation.Plan("pass@k", args.pass_k, plain, args.pass_rows))
    evaluation.test_all(folders, loaded, sets, plans, args)


def test_set(name: str, args) -> evaluation.TestSet:
    """The split of a data set to test on; its rows in results.csv have the name of the data set's folder."""
    split = data.read_split(name, args.split, ("math", "choice"))
    folder = Path(os.path.abspath(runs.dataset_folder(name)))
    kind = kinds.asked_plainly(split.kind, args.own_prompt) if args.own_prompt else split.kind
    return evaluation.TestSet(folder.name, args.split, split.rows[: args.rows or None], kind)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
