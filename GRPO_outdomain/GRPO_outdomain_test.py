"""Test checkpoints on kinds of questions that they were not trained on: what is kept, and what is forgotten.

accuracy = fraction of questions with a correct answer, one greedy completion each, in two scores: flexible counts the
answer wherever it stands, strict (the column accuracy) only between the tags; intervals: 95 % Wilson. An answer is yes
or no, the letter of one option (with the text of that option or without), or a number. judge, efficiency and final as
in GRPO_test.py; the rows go into the same results.csv.

boolq, commonsense_qa, arc_challenge, gsm8k: from the hub, or from a local folder with the same fields (--boolq FOLDER).
yes_no, multiple_choice, word_problem: generated, of the same kinds; those of the tiny profile.

Input: checkpoints, the hub or none. Output: rows of resources/results.csv and items.csv, outputs/tests/*.jsonl.
Command: python GRPO_outdomain/GRPO_outdomain_test.py --checkpoints resources/tiny-base outputs/SFT outputs/GRPO-Hybrid
"""

import random
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import evaluation, judge, kinds, models, runs, settings
from common.settings import setting
from GRPO_outdomain import questions
from tiny import problems

SETS = (*questions.QUESTIONS, *problems.OTHER_SHAPES)


@dataclass
class Args(settings.ProfileArgs):
    checkpoints: list[str] = setting([], "folders or hub names [the base and all of outputs/]")
    dataset: list[str] = setting(
        list(questions.QUESTIONS), "sets of questions", tiny=list(problems.OTHER_SHAPES), choices=SETS
    )
    boolq: str = setting("", "local folder instead of google/boolq")
    commonsense_qa: str = setting("", "local folder instead of tau/commonsense_qa")
    arc_challenge: str = setting("", "local folder instead of allenai/ai2_arc, ARC-Challenge")
    gsm8k: str = setting("", "local folder instead of openai/gsm8k")
    tags: str = setting("thesis", "tag set for a base that carries none, thesis or think")
    base: str = setting("Qwen/Qwen3-4B-Base", "first of the default checkpoints", tiny="resources/tiny-base")
    rows: int = setting(0, "questions of each set, drawn with --draw; 0: all, of a generated set 200", tiny=200)
    draw: int = setting(3407, "seed of that draw; not --seed, so that checkpoints are compared on the same questions")
    greedy: bool = setting(True, "one greedy completion a question")
    samples: int = setting(0, "sampled completions a question; 0 for none")
    temperature: float = setting(0.7, "temperature of the samples")
    top_p: float = setting(0.8, "nucleus of the samples")
    top_k: int = setting(20, "likeliest tokens that samples are drawn from; 0 is no limit")
    seed: int = setting(0, "seed of the samples")
    max_new_tokens: int = setting(1536, "tokens of a completion, as in training", tiny=160)
    batch_size: int = setting(64, "completions in memory at once; passages are long", tiny=200)
    use_vllm: bool = setting(False, "generate with vLLM; needs CUDA")
    judge: str = setting("", "OpenAI-compatible server that scores completions, such as http://127.0.0.1:8000/v1")
    judge_model: str = setting("", "name of the judge's model; its key comes from the environment, OPENAI_API_KEY")
    results: str = setting("", "another results.csv, with items.csv and completions beside it [resources/results.csv]")
    resume: bool = setting(False, "skip checkpoints that are tested already")
    show: int = setting(1, "completions to print for each checkpoint", low=0)


def test_set(name: str, folders: list[str], loaded: list[tuple], args) -> evaluation.TestSet:
    """The questions of a set that fit into the context of every checkpoint, drawn with --draw; prints their number."""
    kind = kinds.of("choice" if name in questions.CHOICES else "math")
    if name in problems.OTHER_SHAPES:
        split = "test"
        rows = questions.generate(name, args.rows or 200, args.draw)
        unusable = 0
    else:
        split = questions.QUESTIONS[name].test
        rows, unusable = questions.load(name, getattr(args, name))
    fits = evaluation.fitting(rows, kind, folders, loaded, args)
    drawn = random.Random(f"{args.draw}-{name}").sample(fits, min(args.rows or len(fits), len(fits)))
    print(
        f"{name}, {split}: {len(drawn)} of {len(rows) + unusable} questions; dropped {unusable} without a usable "
        f"answer or options, {len(rows) - len(fits)} too long for a checkpoint's context"
    )
    if not drawn:
        runs.fail(f"{name} has no question left to ask")
    # GRPO_test.py has rows of gsm8k too, on other problems of it
    return evaluation.TestSet("gsm8k-outdomain" if name == "gsm8k" else name, split, drawn, kind)


def main(args):
    models.check_device(args)
    judge.check(args.judge, args.judge_model)
    folders, loaded = evaluation.checkpoints_of(args)
    sets = [test_set(name, folders, loaded, args) for name in args.dataset]
    evaluation.test_all(folders, loaded, sets, evaluation.plans(args), args)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
