"""Whether the confidence of a checkpoint in its solution tells correct from incorrect answers.

confidence = exp(mean log p) of the solution's tokens at temperature 1, as the rewards of this folder measure it
AUROC: the chance that of a correct and an incorrect answer the correct one has the higher confidence; 0.5: none tells
Completions are sampled at temperature 1; those without a solution have no confidence and are only counted.

Input: checkpoints, outputs/data/<dataset>/. Output: rows of resources/calibration.csv, completions in outputs/tests/.
Command: python GRPO_outdomain/calibration.py --dataset linear_x --checkpoints outputs/SFT-x outputs/GRPO-Hybrid-x
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import data, evaluation, generation, kinds, models, prompts, runs, settings
from common.settings import setting
from GRPO_outdomain import certainty

COLUMNS = (*evaluation.KEY, "n", "samples", "answered", "accuracy", "mean_confidence", "auroc", "commit", "command")


@dataclass
class Args(settings.ProfileArgs):
    checkpoints: list[str] = setting([], "folders or hub names [the base and all of outputs/]")
    dataset: str = setting("dapo", "folder of outputs/data/, or a path", tiny="linear_x")
    split: str = setting("test", "test, or validation to choose settings by")
    tags: str = setting("thesis", "tag set for a base that carries none, thesis or think")
    base: str = setting("Qwen/Qwen3-4B-Base", "first of the default checkpoints", tiny="resources/tiny-base")
    rows: int = setting(0, "only the first rows of the split; 0 takes all")
    samples: int = setting(5, "sampled completions a problem", low=1)
    seed: int = setting(0, "seed of the samples")
    max_new_tokens: int = setting(1536, "tokens of a completion, as in training", tiny=160)
    batch_size: int = setting(16, "completions in memory at once", tiny=250)
    results: str = setting("", "another calibration.csv [resources/calibration.csv]")
    resume: bool = setting(False, "skip checkpoints that are measured already")


def auroc(confidence: Sequence[float], correct: Sequence[bool]) -> float:
    """The area under the ROC curve by ranks, ties counting half (Mann and Whitney, 1947); NaN without both classes."""
    ranked, place, total = sorted(zip(confidence, correct)), 0, 0.0
    while place < len(ranked):
        ties = [right for value, right in ranked[place:] if value == ranked[place][0]]
        total += sum(ties) * (place + (len(ties) + 1) / 2)  # the mean rank of the ties
        place += len(ties)
    right = sum(correct)
    pairs = right * (len(ranked) - right)
    return (total - right * (right + 1) / 2) / pairs if pairs else math.nan


def measure(folder: str, tokenizer, tag_set: str, rows: list[dict], kind: kinds.Kind, args) -> list[dict]:
    """Completions of each row at temperature 1, with `correct`, and `confidence`, None where there is no solution."""
    tags, model = prompts.TAG_SETS[tag_set], models.load_for_generation(folder)
    samples = [row for row in rows for _ in range(args.samples)]
    conversations = [kind.prompt(row, tags) for row in samples]
    how = {"temperature": 1.0, "seed": args.seed, "progress": Path(folder).name}
    completions = generation.generate(model, tokenizer, conversations, args.max_new_tokens, args.batch_size, **how)
    prompt_ids = generation.token_ids(tokenizer, generation.rendered(tokenizer, conversations))
    # Encoded again: the end token, which has no part in a solution, is lost, and no other token differs in practice.
    ids = generation.token_ids(tokenizer, [completion["text"] for completion in completions])
    certainties = certainty.measure(model, tokenizer, prompt_ids, ids, [tag_set] * len(ids), args.batch_size)
    lines = []
    for completion, row, measured in zip(completions, samples, certainties, strict=True):
        scored = kind.score(completion, row, tags)
        lines.append({"question": row["question"], "truth": row["solution"], **scored, "confidence": measured.solution})
    return lines


def figures_of(lines: list[dict]) -> dict:
    """The columns of calibration.csv that are read off completions."""
    answered = [line for line in lines if line["confidence"] is not None]
    confidence = [line["confidence"] for line in answered]
    correct = [line["correct"] for line in answered]
    return {
        "answered": len(answered) / len(lines),
        "accuracy": evaluation.mean_of(lines, "correct"),
        "mean_confidence": evaluation.mean_of(answered, "confidence") if answered else math.nan,
        "auroc": auroc(confidence, correct),
    }


def main(args):
    models.check_device(args)
    table = evaluation.results_path(args, "calibration.csv")
    folders, loaded = evaluation.checkpoints_of(args)
    folder = runs.dataset_folder(args.dataset)
    split = data.read_split(args.dataset, args.split, ("math", "choice"))
    rows = split.rows[: args.rows or None]
    for name, (tokenizer, tag_set) in zip(folders, loaded):
        plan = evaluation.Plan("T 1", args.samples, {})
        key = evaluation.key_of(evaluation.checkpoint_facts(name, args), folder.name, args.split, plan)
        if args.resume and evaluation.is_tested(key, name, args, len(rows), table):
            print(f"{key['script']} on {folder.name}: already measured, skipped")
            continue
        lines = measure(name, tokenizer, tag_set, rows, split.kind, args)
        evaluation.save_completions(lines, key, args)
        figures = figures_of(lines)
        row = {**key, "n": len(rows), "samples": args.samples, **figures}
        evaluation.put_rows([row | {"commit": runs.commit(), "command": runs.command_line()}], table, COLUMNS)
        print(
            f"{key['script']:24} seed {key['seed']} {folder.name}: accuracy {figures['accuracy']:.1%}, mean confidence "
            f"{figures['mean_confidence']:.3f}, AUROC {figures['auroc']:.3f}; "
            f"{figures['answered']:.0%} of the completions have a solution"
        )


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
