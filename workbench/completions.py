"""Completions to look at: those of a file, or sampled now from a checkpoint."""

import json
from pathlib import Path

from common import data, generation, kinds, models, prompts, runs
from GRPO_outdomain import certainty


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
    rows = [row | {name: str(row[column]) for name, column in names.items()} for row in rows]
    if problem := kinds.problem(kind_of(rows), rows, completions=False):
        runs.fail(f"{args.completions} {problem}")
    return rows


def kind_of(rows: list[dict]) -> kinds.Kind:
    """The kind of the rows of a file, by its columns."""
    columns = set.intersection(*map(set, rows))
    if "functions" in columns:
        return kinds.of("calls")
    return kinds.of("choice" if "options" in columns else "math")


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
        sampling = {"temperature": args.temperature, "seed": args.seed, "progress": Path(self.folder).name}
        conversations = [split.kind.prompt(row, prompts.TAG_SETS[self.tag_set]) for row in rows]
        completions = generation.generate(
            self.model, self.tokenizer, conversations, self.max_tokens, self.batch_size, **sampling
        )
        rows = [row | completion for row, completion in zip(rows, completions)]
        name = f"{Path(self.folder).name}-{data.dataset_folder(args.dataset).name}-{args.split}.jsonl"
        path = runs.OUTPUTS / "rewards" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return rows, split.kind, str(path)

    def columns(self, texts: list[str], conversations: list[list[dict]], tag_set: str) -> dict[str, list]:
        """The tokens of completions, with the end token and at most max_new_tokens, and the confidence in each."""
        ends = [self.tokenizer.eos_token_id]
        ids = [(ids + ends)[: self.max_tokens] for ids in generation.token_ids(self.tokenizer, texts)]
        prompt_ids = generation.token_ids(self.tokenizer, generation.rendered(self.tokenizer, conversations))
        tag_sets = [tag_set] * len(texts)
        certainties = certainty.measure(self.model, self.tokenizer, prompt_ids, ids, tag_sets, self.batch_size)
        return {"completion_ids": ids, "certainties": certainties}
