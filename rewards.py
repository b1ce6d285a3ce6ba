"""What will a reward teach? Its figures on sampled completions and on probes, before anything is trained.

Calls the rewards of a GRPO script, or of your copy of one, as TRL's trainer calls them, in a process of its own.
The completions come from JSONL files (outputs/<run>/samples.jsonl, outputs/tests/*.jsonl, or another program's with
--columns), or are sampled now from a checkpoint and kept in outputs/rewards/. Several files, of several checkpoints,
get a line each; the last one is reported.

Output: one screen, a picture in outputs/rewards/, and with --html a page.
Command: python rewards.py GRPO_indomain/GRPO-1K.py --checkpoint outputs/SFT-start --dataset linear_sum
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common import prompts, runs, settings
from common.settings import setting
from workbench import completions, loading, measures, probes, report


@dataclass
class Args(settings.ProfileArgs):
    script: str = setting("", "GRPO script; may be the first word of the command, without --script")
    reward: str = setting("", "which reward, where the script has a choice of them")
    weights: list[float] = setting([], "other weights to try [reward_weights of the script]")
    completions: list[str] = setting([], "JSONL files with question, solution (or truth) and text, several a question")
    columns: list[str] = setting([], "names in another program's file: question=prompt solution=label text=output")
    tags: str = setting("", "tag set [that of the checkpoint or the texts]", choices=["", *prompts.TAG_SETS])
    checkpoint: str = setting("", "checkpoint to sample from, and to measure confidence with")
    dataset: str = setting("", "data set to sample from: a folder of outputs/data/, or a path")
    problems: int = setting(32, "first problems of the training split to sample", low=1)
    samples: int = setting(8, "completions of each problem", low=2)
    max_new_tokens: int = setting(1536, "tokens of a completion, as in training", tiny=144)
    batch_size: int = setting(64, "completions in memory at once", tiny=256)
    limit: float = setting(30, "seconds that a reward may take for one call", low=0.1)
    html: str = setting("", "also write a page, which needs no other file")


def main(args):
    script = runs.resolve(args.script)
    if script.suffix != ".py" or not script.is_file():
        runs.fail(f"{args.script or 'no script'}: name a GRPO script, such as GRPO_indomain/GRPO-1K.py")
    if not args.completions and not (args.checkpoint and args.dataset):
        runs.fail("pass --completions FILE.jsonl, or --checkpoint FOLDER and --dataset NAME")
    rewards = loading.Rewards(script, args.reward, args.limit)
    policy = completions.Policy(args) if args.checkpoint else None
    files = args.completions or [policy.sample()]
    reports = [figures_of(file, args, rewards, policy) for file in files]
    rewards.end()
    if len(reports) > 1:
        print(f"{report.along_training(reports)}\n")
    print(report.screen(reports[-1]))
    picture = runs.OUTPUTS / "rewards" / f"{script.stem}.png"
    report.draw(reports[-1], picture)
    print(f"\npicture: {runs.shown(picture)}")
    if args.html:
        Path(args.html).parent.mkdir(parents=True, exist_ok=True)
        Path(args.html).write_text(report.page(reports[-1], picture), encoding="utf-8")
        print(f"page: {args.html}")


def figures_of(file: str, args: Args, rewards: loading.Rewards, policy: completions.Policy | None) -> measures.Figures:
    """Call the rewards on the completions of a file and on the probes."""
    weights = args.weights or rewards.weights
    if len(weights) != len(rewards.names):
        runs.fail(f"--weights takes {len(rewards.names)} numbers, for {', '.join(rewards.names)}")
    rows = completions.read(file, args.columns)
    kind = completions.kind_of(rows)
    tag_set = args.tags or (policy.tag_set if policy else completions.tags_of(rows))
    tags = prompts.TAG_SETS[tag_set]

    def call(rows: list[dict], texts: list[str]) -> tuple[np.ndarray, float]:
        columns = loading.columns_of(rows, texts, kind, tag_set)
        if policy and "certainties" in rewards.source:
            columns |= policy.columns(texts, columns["prompts"], tag_set)
        return rewards.call(columns)

    texts = [row["text"] for row in rows]
    values, _ = call(rows, texts)
    for name, column in zip(rewards.names, values.T):
        if np.isnan(column).all():
            runs.fail(f"{rewards.name}: reward {name} returns None for every completion")
    variants = []
    pairs = probes.questions(rows)
    for row, other in pairs:
        prompt = "\n".join(message["content"] for message in kind.prompt(row, tags))
        variants.append(probes.texts(row["solution"], other, prompt, tags))
    table = {}
    for name, variant in pd.DataFrame(variants, dtype=object).items():
        of_probe, seconds = call([row for row, _ in pairs], list(variant))
        of_probe = np.nan_to_num(of_probe)
        sums = of_probe @ weights
        facts = {"sum": np.median(sums), "is_fixed": np.ptp(sums) <= measures.EQUAL}
        facts |= dict(zip(rewards.names, np.median(of_probe, axis=0)))
        table[name] = facts | {"ms": 1000 * seconds / len(pairs)}
    return measures.Figures(
        script=report.printable(rewards.name),
        source=report.printable(runs.shown(file)),
        names=rewards.names,
        weights=weights,
        values=np.nan_to_num(values),  # None counts 0, as in TRL's sum
        texts=texts,
        verdicts=np.array([measures.verdict(row, row, kind, tags) for row in rows]),
        groups=pd.Series([row["group"] for row in rows], dtype=object).factorize()[0],
        tags=tags,
        probes=pd.DataFrame.from_dict(table, orient="index"),
    )


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        sys.argv.insert(1, "--script")
    os.environ.setdefault("MPLBACKEND", "Agg")
    settings.run(main, Args, __doc__)
