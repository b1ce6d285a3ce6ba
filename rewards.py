"""What will a reward teach? Its figures on sampled completions and on probes, before anything is trained.

Calls the rewards of a GRPO script, or of your copy of one, as TRL's trainer calls them, in a process of its own.
The completions come from a JSONL file (outputs/<run>/samples.jsonl, outputs/tests/*.jsonl, or another program's with
--columns), or are sampled now from a checkpoint and kept in outputs/rewards/.

Output: one screen, a picture in outputs/rewards/, and with --html a page.
Command: python rewards.py GRPO_indomain/GRPO-1K.py --checkpoint outputs/SFT-brief --dataset linear
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import kinds, prompts, runs, settings
from common.settings import setting
from workbench import child, completions, loading, measures, probes, report

GIVEN = ("prompts", "completions", "solution", "tags", "row", "trainer_state", "log_metric", "log_extra")
OF_CHECKPOINT = ("certainties", "completion_ids")


@dataclass
class Args(settings.ProfileArgs):
    script: str = setting("", "GRPO script; may be the first word of the command, without --script")
    reward: str = setting("", "which reward, where the script has a choice of them")
    weights: list[float] = setting([], "other weights to try [reward_weights of the script]")
    completions: str = setting("", "JSONL file with question, solution (or truth) and text, several texts a question")
    columns: list[str] = setting([], "names in another program's file: question=prompt solution=label text=output")
    tags: str = setting(
        "", "tag set of the prompts [that of the checkpoint or the texts]", choices=("", *prompts.TAG_SETS)
    )
    checkpoint: str = setting("", "checkpoint to sample from, and to measure confidence with")
    dataset: str = setting("", "data set to sample from: a folder of outputs/data/, or a path")
    split: str = setting("train", "split of the data set; training sees train")
    problems: int = setting(32, "first problems of the split to sample", low=1)
    samples: int = setting(8, "completions of each problem", low=2)
    temperature: float = setting(1.0, "sampling temperature, as in training")
    max_new_tokens: int = setting(1536, "tokens of a completion, as in training", tiny=144)
    batch_size: int = setting(64, "completions in memory at once", tiny=256)
    seed: int = setting(0, "seed of the samples")
    limit: float = setting(30, "seconds that a reward may take for one call", low=0.1)
    picture: str = setting("", "where to draw the picture [outputs/rewards/ and the name of the script]")
    html: str = setting("", "also write a page, which needs no other file")


def main(args):
    script = runs.resolve(args.script)
    if script.suffix != ".py" or not script.is_file():
        runs.fail(f"{args.script or 'no script'}: name a GRPO script, such as GRPO_indomain/GRPO-1K.py")
    if not args.completions and not (args.checkpoint and args.dataset):
        runs.fail("pass --completions FILE.jsonl, or --checkpoint FOLDER and --dataset NAME")
    rewards = child.Rewards(script, args.reward, args.limit)
    weights = args.weights or rewards.weights
    if len(weights) != len(rewards.names):
        runs.fail(f"--weights takes {len(rewards.names)} numbers, for {', '.join(rewards.names)}")
    policy = completions.Policy(args) if args.checkpoint else None
    if args.completions:
        rows, source = completions.read(args), args.completions
        kind, tag_set = completions.kind_of(rows), args.tags or completions.tags_of(rows)
    else:
        rows, kind, source = policy.sample(args)
        tag_set = policy.tag_set
    tags = prompts.TAG_SETS[tag_set]
    groups = measures.groups_of([(row.get("step"), row["question"], row["solution"]) for row in rows])
    if not groups:
        runs.fail(f"{source} has one completion for each question; a reward needs several to compare, such as 8")
    check_columns(rewards, kind, policy)

    texts = [row["text"] for row in rows]
    pairs = probes.questions(rows)
    variants = []  # of each question, its probes
    for row, other in pairs:
        prompt = "\n".join(message["content"] for message in kind.prompt(row, tags))
        variants.append(probes.texts(row["solution"], other, prompt, tags))
    probed_rows = [row for row, _ in pairs]
    calls = [loading.columns_of(rows, texts, kind, tag_set)]
    for name in variants[0]:
        calls.append(loading.columns_of(probed_rows, [one[name] for one in variants], kind, tag_set))
    if policy and any(set(needs) & set(OF_CHECKPOINT) for needs in rewards.needs):
        for columns in calls:
            words = [completion[0]["content"] for completion in columns["completions"]]
            columns |= policy.columns(words, columns["prompts"], tag_set)
    (values, _), *results = rewards.call(calls)
    figures = measures.Figures(
        script=report.printable(runs.shown(script)),
        source=report.printable(runs.shown(source)),
        names=rewards.names,
        weights=weights,
        values=numbers(values),
        texts=texts,
        verdicts=np.array([measures.verdict(row, row, kind, tags) for row in rows]),
        groups=groups,
        tags=tags,
        probes={name: probe_of(*one, weights) for name, one in zip(variants[0], results)},
    )
    print(report.screen(figures))
    picture = Path(args.picture or runs.OUTPUTS / "rewards" / f"{script.stem}.png")
    report.draw(figures, picture)
    print(f"\npicture: {runs.shown(picture)}")
    if args.html:
        Path(args.html).parent.mkdir(parents=True, exist_ok=True)
        Path(args.html).write_text(report.page(figures, picture), encoding="utf-8")
        print(f"page: {args.html}")


def check_columns(rewards: child.Rewards, kind: kinds.Kind, policy: completions.Policy | None) -> None:
    """End the script where a reward needs what is not known here."""
    path = runs.shown(rewards.path)
    known = {*GIVEN, *kind.reward_columns, *(OF_CHECKPOINT if policy else ())}
    for name, needs in zip(rewards.names, rewards.needs):
        missing = [column for column in needs if column not in known]
        if missing and set(missing) <= set(OF_CHECKPOINT):
            runs.fail(f"{path}: reward {name} needs {', '.join(missing)}, so a checkpoint: pass --checkpoint FOLDER")
        if missing:
            runs.fail(f"{path}: reward {name} needs {', '.join(missing)}, which these completions do not have")


def numbers(values: list[list]) -> np.ndarray:
    """The values of rewards as an array; None counts 0, as in TRL's sum."""
    return np.nan_to_num(np.array(values, dtype=float))


def probe_of(values: list[list], seconds: list[float], weights: list[float]) -> probes.Probe:
    rewards = numbers(values)
    total = float(np.median(np.array(weights) @ rewards))
    return probes.Probe(np.median(rewards, axis=1).tolist(), total, sum(seconds) / rewards.shape[1])


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        sys.argv.insert(1, "--script")
    os.environ.setdefault("MPLBACKEND", "Agg")
    settings.run(main, Args, __doc__)
