"""What will a reward teach? Its figures on sampled completions and on probes, before anything is trained.

Calls the rewards of a GRPO script, or of your copy of one, as TRL's trainer calls them, in a process of its own.
The completions come from a JSONL file (outputs/<run>/samples.jsonl, outputs/tests/*.jsonl, or another program's with
--columns), or are sampled now from a checkpoint and kept in outputs/rewards/.

Output: one screen, a picture in outputs/rewards/, and with --html a page.
Command: python rewards.py GRPO_indomain/GRPO-1K.py --checkpoint outputs/SFT-brief --dataset linear
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import certainty, data, generation, kinds, models, prompts, runs, settings
from common.settings import setting
from workbench import child, loading, measures, probes, report

GIVEN = ("prompts", "completions", "solution", "tags", "row", "trainer_state", "log_metric", "log_extra")
OF_CHECKPOINT = ("certainties", "completion_ids")


@dataclass
class Args(settings.ProfileArgs):
    script: str = setting("", "GRPO script; may be the first word of the command, without --script")
    reward: str = setting("", "which reward, where the script has a choice of them")
    weights: list[float] = setting([], "other weights to try [reward_weights of the script]")
    completions: str = setting("", "JSONL file with question, solution (or truth) and text, several texts a question")
    columns: list[str] = setting([], "names in another program's file: question=prompt solution=label text=output")
    tags: str = setting("", "tag set of the prompts, thesis or think [that of the checkpoint or of the texts]")
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
    policy = Policy(args) if args.checkpoint else None
    if args.completions:
        rows, kind = read(args), None
        source = args.completions
    else:
        rows, kind, source = policy.sample(args)
    kind = kind or kind_of(rows)
    tag_set = args.tags or (policy.tag_set if policy else tags_of(rows))
    if tag_set not in prompts.TAG_SETS:
        runs.fail(f"--tags {tag_set}: choose {' or '.join(prompts.TAG_SETS)}")
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
    calls = [call_of(rows, texts, kind, tag_set, policy)]
    for name in variants[0]:
        calls.append(call_of([row for row, _ in pairs], [one[name] for one in variants], kind, tag_set, policy))
    (values, _), *probed = rewards.call(calls)
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
        probes={name: probe_of(*one, weights) for name, one in zip(variants[0], probed)},
    )
    print(report.screen(figures))
    picture = Path(args.picture or runs.OUTPUTS / "rewards" / f"{script.stem}.png")
    report.draw(figures, picture)
    print(f"\npicture: {runs.shown(picture)}")
    if args.html:
        Path(args.html).write_text(report.page(figures, picture), encoding="utf-8")
        print(f"page: {args.html}")


def read(args) -> list[dict]:
    """The completions of a file: rows with question, solution, text, and what else stands there."""
    path = runs.resolve(args.completions)
    if not path.is_file():
        runs.fail(f"--completions {args.completions}: no such file")
    rows = runs.read_jsonl(path)
    if not rows or not all(isinstance(row, dict) for row in rows):
        runs.fail(f"{args.completions} has no rows that are JSON objects")
    truth = "truth" if all("truth" in row for row in rows) else "solution"  # tests have a solution of the model too
    names = {"question": "question", "solution": truth, "text": "text"}
    for pair in args.columns:
        name, _, column = pair.partition("=")
        if name not in names or not column:
            runs.fail(f"--columns {pair}: write question=NAME, solution=NAME or text=NAME")
        names[name] = column
    for column in names.values():
        if not all(isinstance(row.get(column), str | int | float) for row in rows):
            known = ", ".join(sorted(set.union(*map(set, rows))))
            runs.fail(f"{args.completions} has rows without a text {column}; it has {known}; see --columns")
    return [row | {name: str(row[column]) for name, column in names.items()} for row in rows]


def kind_of(rows: list[dict]) -> kinds.Kind:
    """The kind of the rows of a file, by its columns."""
    columns = set.intersection(*map(set, rows))
    if "functions" in columns:
        return kinds.of("calls")
    return kinds.CHOICE if "options" in columns else kinds.MATH


def tags_of(rows: list[dict]) -> str:
    """The tag set that most texts use."""
    counts = {}
    for name, tags in prompts.TAG_SETS.items():
        counts[name] = sum(any(tag in row["text"] for tag in tags) for row in rows)
    return max(counts, key=counts.get)


class Policy:
    """A checkpoint that completions are sampled from, and that measures the confidence in them."""

    def __init__(self, args):
        models.check_device(args)
        self.folder = runs.require_base(args.checkpoint, "the script that makes it")
        self.tokenizer, self.tag_set = models.load_tokenizer(self.folder, args.tags, "thesis", "--checkpoint")
        self.model = models.load_for_generation(self.folder)
        self.batch_size, self.max_tokens = args.batch_size, args.max_new_tokens

    def sample(self, args) -> tuple[list[dict], kinds.Kind, str]:
        """(completions with the columns of their rows, kind, the file that keeps them)."""
        split = data.read_split(args.dataset, args.split, ("math", "choice", "calls"))
        rows = [row for row in split.rows[: args.problems] for _ in range(args.samples)]
        tags = prompts.TAG_SETS[self.tag_set]
        sampling = {"temperature": args.temperature, "seed": args.seed, "progress": Path(self.folder).name}
        completions = generation.generate(
            self.model,
            self.tokenizer,
            [split.kind.prompt(row, tags) for row in rows],
            self.max_tokens,
            self.batch_size,
            **sampling,
        )
        rows = [row | completion for row, completion in zip(rows, completions)]
        name = f"{Path(self.folder).name}-{data.dataset_folder(args.dataset).name}-{args.split}.jsonl"
        path = runs.OUTPUTS / "rewards" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return rows, split.kind, str(path)

    def ids(self, text: str) -> list[int]:
        """The tokens of a completion with the end token, at most max_new_tokens of them."""
        ids = self.tokenizer(text, add_special_tokens=False).input_ids + [self.tokenizer.eos_token_id]
        return ids[: self.max_tokens]

    def certainties(self, conversations: list, completion_ids: list, tag_set: str) -> list:
        prompt_ids = generation.token_ids(self.tokenizer, generation.rendered(self.tokenizer, conversations))
        tag_sets = [tag_set] * len(completion_ids)
        return certainty.measure(self.model, self.tokenizer, prompt_ids, completion_ids, tag_sets, self.batch_size)


def check_columns(rewards: child.Rewards, kind: kinds.Kind, policy: Policy | None) -> None:
    """End the script where a reward needs what is not known here."""
    known = {*GIVEN, *kind.reward_columns, *(OF_CHECKPOINT if policy else ())}
    for name, needs in zip(rewards.names, rewards.needs):
        missing = [column for column in needs if column not in known]
        if missing and set(missing) <= set(OF_CHECKPOINT):
            runs.fail(f"reward {name} needs a checkpoint, for {', '.join(missing)}: pass --checkpoint FOLDER")
        if missing:
            runs.fail(f"reward {name} needs {', '.join(missing)}, which these completions do not have")


def call_of(rows: list[dict], texts: list[str], kind: kinds.Kind, tag_set: str, policy: Policy | None) -> dict:
    """The columns for one call of the rewards."""
    columns = loading.columns_of(rows, texts, kind, tag_set)
    if policy:
        columns["completion_ids"] = [policy.ids(text) for text in texts]
        columns["certainties"] = policy.certainties(columns["prompts"], columns["completion_ids"], tag_set)
    return columns


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
