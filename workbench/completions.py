"""Completions to look at: those of a file, or sampled now from a checkpoint."""

from collections import Counter
from pathlib import Path

from common import data, generation, kinds, models, prompts, runs
from GRPO_outdomain import certainty


def read(name: str, pairs: list[str]) -> list[dict]:
    """The completions of a file: rows with question, solution, text, group, and what else stands there.

    pairs: column=NAME of the file. In a file of GRPO_test.py `solution` is that of the model, `truth` the correct one.
    """
    path = runs.resolve(name)
    if not path.is_file():
        runs.fail(f"--completions {name}: no such file")
    rows = runs.read_jsonl(path)
    if not rows or not all(isinstance(row, dict) for row in rows):
        runs.fail(f"{name} has no rows that are JSON objects")
    columns = {"question": "question", "solution": "truth" if "truth" in rows[0] else "solution", "text": "text"}
    for pair in pairs:
        column, _, other = pair.partition("=")
        if column not in columns or not other:
            runs.fail(f"--columns {pair}: write question=NAME, solution=NAME or text=NAME")
        columns[column] = other
    for row in rows:
        for other in columns.values():
            if not isinstance(row.get(other), str | int | float):
                runs.fail(f"{name} has rows without a text {other}; one has {', '.join(row)}; see --columns")
        texts = {column: str(row[other]) for column, other in columns.items()}
        row |= texts
        row["group"] = f"{row.get('step')} {row['question']} {row['solution']}"
    if problem := kinds.problem(kind_of(rows), rows, completions=False):
        runs.fail(f"{name} {problem}")
    counts = Counter(row["group"] for row in rows)
    rows = [row for row in rows if counts[row["group"]] > 1]
    if not rows:
        runs.fail(f"{name} has one completion for each question; a reward needs several to compare, such as 8")
    return rows


def kind_of(rows: list[dict]) -> kinds.Kind:
    """The kind of the rows of a file, by its columns."""
    columns = set.intersection(*map(set, rows))
    if "functions" in columns:
        return kinds.of("calls")
    return kinds.of("choice" if "options" in columns else "math")


def tags_of(rows: list[dict]) -> str:
    """The tag set that most texts use."""
    text = "".join(row["text"] for row in rows)
    return max(prompts.TAG_SETS, key=lambda name: sum(map(text.count, prompts.TAG_SETS[name])))


class Policy:
    """A checkpoint that completions are sampled from, and that measures the confidence in them."""

    def __init__(self, args):
        models.check_device(args)
        self.args = args
        self.folder = runs.require_base(args.checkpoint, "the script that makes it")
        self.tokenizer, self.tag_set = models.load_tokenizer(self.folder, args.tags, "thesis", "--checkpoint")
        self.model = models.load_for_generation(self.folder)

    def sample(self) -> str:
        """The file with new completions of the first problems of the data set, beside the columns of their rows."""
        args = self.args
        split = data.read_split(args.dataset, "train", ("math", "choice", "calls"))
        rows = [row for row in split.rows[: args.problems] for _ in range(args.samples)]
        conversations = [split.kind.prompt(row, prompts.TAG_SETS[self.tag_set]) for row in rows]
        sampling = {"temperature": 1.0, "progress": "completions"}
        completions = generation.generate(
            self.model, self.tokenizer, conversations, args.max_new_tokens, args.batch_size, **sampling
        )
        names = (*Path(runs.shown(self.folder)).parts[1:], runs.dataset_folder(args.dataset).name)
        path = runs.OUTPUTS / "rewards" / f"{'-'.join(names)}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        for row, completion in zip(rows, completions):
            runs.append_json(path, row | completion)
        return runs.shown(path)

    def columns(self, texts: list[str], conversations: list[list[dict]], tag_set: str) -> dict[str, list]:
        """The tokens of completions, with the end token and at most max_new_tokens, and the confidence in each."""
        ids = []
        for tokens in generation.token_ids(self.tokenizer, texts):
            ids.append([*tokens, self.tokenizer.eos_token_id][: self.args.max_new_tokens])
        prompt_ids = generation.token_ids(self.tokenizer, generation.rendered(self.tokenizer, conversations))
        tag_sets = [tag_set] * len(texts)
        values = certainty.measure(self.model, self.tokenizer, prompt_ids, ids, tag_sets, self.args.batch_size)
        return {"completion_ids": ids, "certainties": values}
