"""Test checkpoints on tool calls: our own test tasks, the held-out fifth of BFCL, and BFCL's official categories.

accuracy = fraction of perfect matches by the official checkers (several turns: state and responses after every turn);
reward = that of GRPO_BFCL_v1.py with its default weights, of several turns that of GRPO_BFCL_v2.py; interval: 95 %
Wilson. Beside the checkpoints stands what a model gets that never calls: on irrelevance that is everything. A prompt
that does not fit into the context counts as incorrect. The scores of groups are calculated as officially; of a sample
(--rows) they are estimates. --official leaves our scorer out: it serves each checkpoint and drives BFCL's own command
line against it; with --use_vllm a 16-bit LoRA is served as adapter/ on its root (--enable-lora --lora-modules), since
merged 16-bit weights lose small updates.

Input: checkpoints, outputs/data/<dataset>/, the data of the installed bfcl-eval. Output: rows of resources/results.csv
and items.csv, each completion in outputs/tests/*.jsonl; with --official outputs/bfcl/<checkpoint>/ (result, score).
Command: python BFCL/GRPO_BFCL_evaluate.py --checkpoints outputs/SFT-BFCL outputs/GRPO_BFCL_v1
"""

import dataclasses
import functools
import gc
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import GRPO_BFCL_v1
import GRPO_BFCL_v2

from BFCL.bfcl import dialogues, kinds, official, official_cli, scoring
from BFCL.bfcl.sandbox import Sandbox
from common import data, evaluation, generation, models, runs, settings
from common.settings import setting

GROUPS = {  # the official ones, without Java and JavaScript apart
    "non_live": ("simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple"),
    "live": ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple"),
    "irrelevance": ("irrelevance", "live_irrelevance"),
    "multi_turn": official.MULTI,
}
CATEGORIES = (*official.SINGLE, *official.MULTI)


@dataclass
class Args(settings.ProfileArgs):
    checkpoints: list[str] = setting([], "folders or hub names [the base and all of outputs/]")
    dataset: list[str] = setting(
        ["bfcl_single", "bfcl_multi", "bfcl_split_single", "bfcl_split_multi"],
        "folders of outputs/data/, made by BFCL_dataset_creation.py; none for the categories alone",
        tiny=["bfcl_single", "bfcl_multi"],
    )
    categories: list[str] = setting(
        ["all"],
        "official categories, the groups non_live live multi_turn, all or none",
        tiny=["simple_python", "multiple", "live_simple", "irrelevance"],
        choices=("all", "none", *dict.fromkeys((*GROUPS, *CATEGORIES))),
    )
    split: str = setting("test", "split of the data sets: test, or validation to choose settings by")
    tags: str = setting("thesis", "tag set of a base that carries none; no tag is asked for here")
    base: str = setting("Qwen/Qwen3-4B-Base", "first of the default checkpoints", tiny="resources/tiny-base")
    rows: int = setting(0, "rows of each data set and category, drawn with --draw; 0 takes all", tiny=100)
    draw: int = setting(3407, "seed of that draw; not --seed, so that checkpoints are compared on the same rows")
    greedy: bool = setting(True, "one greedy completion of each row, as in the official test")
    samples: int = setting(0, "sampled completions of each row of the data sets; 0 for none", tiny=5)
    temperature: float = setting(0.7, "temperature of the samples")
    top_p: float = setting(0.8, "nucleus of the samples")
    top_k: int = setting(20, "likeliest tokens that samples are drawn from; 0 is no limit")
    seed: int = setting(0, "seed of the samples")
    max_new_tokens: int = setting(1024, "tokens of a completion", tiny=100)
    max_turn_steps: int = setting(20, "completions with calls in one turn; 20 is the official limit", tiny=4, low=1)
    prompt_room: int = setting(
        12288, "tokens of the longest prompt; dialogues with every method of a class need most", low=1
    )
    batch_size: int = setting(64, "completions in memory at once", tiny=100)
    use_vllm: bool = setting(False, "generate with vLLM; needs CUDA")
    results: str = setting("", "another results.csv, with items.csv and completions beside it [resources/results.csv]")
    resume: bool = setting(False, "skip what is tested already; --official does not")
    show: int = setting(1, "completions to print for each checkpoint and set", low=0)
    official: bool = setting(False, "serve each checkpoint and run bfcl generate and bfcl evaluate on it instead")
    server: str = setting("", "for --official: use this server, such as http://127.0.0.1:8000, and start none")
    minutes: float = setting(240, "for --official: time limit for generating, and for evaluating", low=0)


def main(args):
    models.check_device(args)
    categories = chosen(args.categories)
    folders, loaded = evaluation.checkpoints_of(args)
    drawn = {name: sample(official.rows_of(name), args.rows, args.draw) for name in categories}
    if args.official:
        if not categories:
            runs.fail("--official tests categories; name some with --categories")
        ids = {name: [row["id"] for row in rows] for name, rows in drawn.items()}
        for folder in folders:
            evaluation.save_rows(official_cli.test(folder, ids, args), evaluation.results_path(args))
        return
    sets = []
    for name in args.dataset:
        if name != "none":
            split = data.read_split(name, args.split, ("calls", "dialogue"))
            rows = sample(split.rows, args.rows, args.draw)
            sets.append(evaluation.TestSet(runs.dataset_folder(name).name, args.split, rows, split.kind))
    for name, rows in drawn.items():
        kind = kinds.DIALOGUE if name in official.MULTI else kinds.CALLS
        sets.append(evaluation.TestSet(f"bfcl_{name}", "official", rows, kind))
    with Sandbox() as sandbox:
        floor = {"script": "never-calls", "seed": 0, "base": "none", "start": ""}
        few = dataclasses.replace(args, show=0, samples=0)
        test_checkpoint("never-calls", floor, lambda: silent, sets, sandbox, few)
        for folder, (tokenizer, _) in zip(folders, loaded):
            load = functools.partial(loaded_model, folder, tokenizer, args)
            test_checkpoint(folder, evaluation.checkpoint_facts(folder, args), load, sets, sandbox, args)
            gc.collect()  # the model, before the next one takes its memory


def chosen(names: list[str]) -> list[str]:
    """The categories of a list of categories and groups, none twice."""
    groups = GROUPS | {"all": CATEGORIES, "none": ()}
    categories = {}
    for name in names:
        members = (name,) if name in CATEGORIES else groups[name]  # irrelevance is the category alone
        categories |= dict.fromkeys(members)
    return list(categories)


def sample(rows: list[dict], n: int, seed: int) -> list[dict]:
    """n of the rows, drawn with the seed, in their order; all of them for 0."""
    if not 0 < n < len(rows):
        return rows
    places = random.Random(seed).sample(range(len(rows)), n)
    return [rows[place] for place in sorted(places)]


def silent(conversations: list, **sampling) -> list[dict]:
    """The completions of a model that never calls."""
    return [{"text": "", "tokens": 1, "truncated": False} for _ in conversations]


def loaded_model(folder: str, tokenizer, args) -> Callable:
    """From conversations to completions of a checkpoint; an empty one where the context leaves no room for any."""
    room = generation.context_length(folder, args) - args.max_new_tokens
    return generation.within(generation.generator(folder, tokenizer, args), tokenizer, room)


def test_checkpoint(
    folder: str, facts: dict, load: Callable, sets: list[evaluation.TestSet], sandbox: Sandbox, args
) -> None:
    """Test one checkpoint on every set, save the rows, print the scores of the groups. load: gives its answer()."""
    answer = None
    path = evaluation.results_path(args)
    keys = {}  # of the official categories, by their names in results.csv
    for test_set in sets:
        for plan in evaluation.plans(args):
            key = evaluation.key_of(facts, test_set.dataset, test_set.split, plan)
            if test_set.split == "official":
                if plan.decoding != "greedy":
                    continue
                keys[test_set.dataset] = evaluation.values_of(key)
            if args.resume and evaluation.is_tested(key, folder, args, len(test_set.rows[: plan.rows])):
                print(f"{facts['script']} on {test_set.dataset}, {plan.decoding}: already tested, skipped")
                continue
            answer = answer or load()
            complete, score = answer, GRPO_BFCL_v1.score
            if test_set.kind == kinds.DIALOGUE:
                repeated = [row for row in test_set.rows for _ in range(plan.samples)]
                complete, score = functools.partial(play, answer, repeated, sandbox, args), score_dialogue
            evaluation.save_rows([evaluation.test(complete, key, test_set, args.tags, plan, args, score)], path)
            lines = runs.read_jsonl(evaluation.completions_file(key, args))
            print(f"  {sum(line.get('too_long', False) for line in lines)} prompts do not fit into the context")
    rows = {evaluation.values_of(row): row for row in evaluation.read_rows(path)}
    measured = {name.removeprefix("bfcl_"): rows[key] for name, key in keys.items()}
    for group, value in group_scores(measured).items():
        print(f"{facts['script']:24} {group} {value:.1%}{' (estimated from a sample)' if args.rows else ''}")


def play(answer: Callable, rows: list[dict], sandbox: Sandbox, args, conversations: list, **sampling) -> list[dict]:
    """The scored dialogues of rows of several turns, whose completions come from answer(); all are played at once."""

    def complete(active: list[dialogues.Dialogue]) -> list[dict]:
        return answer([dialogue.messages for dialogue in active], **sampling)

    return dialogues.play(rows, complete, sandbox, args.max_turn_steps)


def score_dialogue(verdict: dict, row: dict, tags) -> dict:
    """The verdict on a dialogue with its reward: it was scored as it was played."""
    return scoring.with_reward(verdict, GRPO_BFCL_v2.WEIGHTS)


def group_scores(measured: dict[str, dict]) -> dict[str, float]:
    """The official score of each group whose categories were all tested: means over categories, live's over entries."""
    scores = {}
    for group, names in GROUPS.items():
        if not all(name in measured for name in names):
            continue
        values = [float(measured[name]["accuracy"]) for name in names]
        weights = [1] * len(names)
        if group == "live":
            weights = [int(measured[name]["n"]) for name in names]
        if group == "non_live":  # the three languages count as one category
            weights = [1, 1, 1, 3, 3, 3]
        scores[group] = sum(value * weight for value, weight in zip(values, weights)) / sum(weights)
    return scores


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
