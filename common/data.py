"""Data sets: which split a problem belongs to, how splits are written and read, prompts and examples for a trainer.

A data set folder (outputs/data/<name>/) holds run.json, with the kind of its rows (common/kinds.py) and the fingerprint
of every split, and one JSONL file per split.
"""

import hashlib
import json
import zlib
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from common import kinds, prompts, runs

SPLITS = ("train", "validation", "test")
CREATION = "python SFT/dataset_creation.py --dataset"
MADE_BY = {  # the data sets by their names, and the command that makes each
    "bfcl_single": "python BFCL/BFCL_dataset_creation.py --kind single --source synthetic",
    "bfcl_multi": "python BFCL/BFCL_dataset_creation.py --kind multi --source synthetic",
    "bfcl_split_single": "python BFCL/BFCL_dataset_creation.py --kind single --source split",
    "bfcl_split_multi": "python BFCL/BFCL_dataset_creation.py --kind multi --source split",
    "tools": "python ToolUse/tool_dataset_creation.py --source templates",
}
for _name in ("openmath", "gsm8k", "dapo", "math500", "linear", "linear_x", "linear_sum"):
    MADE_BY[_name] = f"{CREATION} {_name}"
for _name in ("toolbench", "glaive", "messages", "teacher"):
    MADE_BY[f"tools_{_name}"] = f"python ToolUse/tool_dataset_creation.py --source {_name}"


class Split(NamedTuple):
    """A split of a data set as it was read."""

    rows: list[dict]
    fingerprint: str  # of the file's rows
    kind: kinds.Kind
    path: Path  # the file


def split_of(key) -> str:
    """The split of a problem, from a hash of the repr of its key, which must be stable."""
    bucket = zlib.crc32(repr(key).encode()) % 16
    if bucket == 0:
        return "test"
    return "validation" if bucket == 1 else "train"


def normalised(question: str) -> str:
    """A question without its capitals and with single spaces, so that what it asks is one text."""
    return " ".join(question.casefold().split())


def rows_fingerprint(rows: list[dict]) -> str:
    """The first 16 hex digits of the SHA-256 of the rows, in this order."""
    text = "\n".join(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_splits(folder: Path, splits: dict[str, list[dict]]) -> dict:
    """Write a JSONL file for each split with rows; returns name -> {"rows", "fingerprint"} for run.json."""
    facts = {}
    for name, rows in splits.items():
        if rows:
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
            facts[name] = {"rows": len(rows), "fingerprint": rows_fingerprint(rows)}
    return facts


def save(args, kind: str, splits: dict[str, list[dict]], sizes: dict[str, int], **facts) -> None:
    """Write a data set of this kind to args.output; prints the rows and the fingerprint of each split.

    sizes: the rows that each split was to have. facts: more for run.json.
    """
    written = write_splits(runs.start(args), splits)
    runs.finish(args, kind=kind, splits=written, **facts)
    for name, fact in written.items():
        less = f", {sizes[name]} were asked for" if fact["rows"] < sizes[name] else ""
        print(f"{name:11}{fact['rows']:6} rows{less}  fingerprint {fact['fingerprint']}")


def creation_command(folder: Path) -> str:
    """The command that makes a data set: the one that made it, or for one that is missing that of its name.

    What follows a hyphen in a name is free: linear-harder is made like linear.
    """
    try:
        return json.loads((folder / "run.json").read_text())["command"]
    except (OSError, ValueError, KeyError):
        name, hyphen, _ = folder.name.partition("-")
        if name in MADE_BY:
            return f"{MADE_BY[name]} --output outputs/data/{folder.name}" if hyphen else MADE_BY[name]
        own = f"{CREATION} {folder.name} --source FILE --columns question=NAME,solution=NAME"
        if folder.parent != runs.OUTPUTS / "data":
            own += f" --output {runs.shown(folder)}"
        return f"{own} (docs/data.md)"


def read_split(dataset: str, split: str, allowed: tuple[str, ...] = (), completions: bool = False) -> Split:
    """A split of a data set; ends the script when it is missing, empty, malformed or not as recorded.

    allowed: the kinds that the script can use [all]. completions: rows must have what SFT trains on.
    """
    folder = runs.dataset_folder(dataset)
    command = creation_command(folder)
    facts = runs.require(folder, command)
    if "splits" not in facts:
        runs.fail(f"{runs.shown(folder)} is not a data set; choose a folder of outputs/data/")
    if "kind" not in facts:
        runs.fail(f"{runs.shown(folder)} has no kind of rows in its run.json; make it again: {command} --overwrite")
    kind = kinds.of(facts["kind"])
    if allowed and kind.name not in allowed:
        runs.fail(
            f"--dataset {dataset} is of the kind {kind.name}, needed is {' or '.join(allowed)}; "
            f"run: {kinds.of(allowed[0]).made_by}"
        )
    path = folder / f"{split}.jsonl"
    rows = runs.read_jsonl(path) if path.exists() else []
    if not rows:
        names = ", ".join(facts["splits"])
        advice = "; SFT needs reasoning, in a column working" if split == "sft" else ""
        runs.fail(f"data set {runs.shown(folder)} has no rows in its split {split}; splits: {names}{advice}")
    if problem := kinds.problem(kind, rows, completions):
        runs.fail(f"{runs.shown(path)} {problem}; repeat: {command}")
    fingerprint = rows_fingerprint(rows)
    if fingerprint != facts["splits"].get(split, {}).get("fingerprint"):
        runs.fail(f"{runs.shown(path)} differs from what its run.json records; repeat: {command}")
    try:
        return Split([kind.read(row) for row in rows], fingerprint, kind, path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        runs.fail(f"{runs.shown(path)} has rows that cannot be read ({error!r}); repeat: {command}")


def token_lengths(rows: list[dict], kind: kinds.Kind, tokenizer, tag_set: str, completions: bool) -> list[int]:
    """Tokens of each row: of its prompt and the tokens that ask for a completion, or of prompt and completion."""
    tags = prompts.TAG_SETS[tag_set]
    texts = []
    for row in tqdm(rows, desc="counting tokens", unit=" rows", delay=2, disable=None):
        messages = kind.prompt(row, tags)
        if completions:
            messages = messages + kind.completion(row, tags)
        texts.append(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=not completions))
    lengths = []
    for start in range(0, len(texts), 256):  # the tokens of a whole data set take gigabytes
        ids = tokenizer(texts[start : start + 256], add_special_tokens=False).input_ids
        lengths += map(len, ids)
    return lengths


def drop_long(split: Split, tokenizer, tag_set: str, limit: int, completions: bool = False) -> Split:
    """The split without rows of more than `limit` tokens, as token_lengths() counts them.

    Prints how many are longer; ends the script when nothing is left.
    """
    lengths = token_lengths(split.rows, split.kind, tokenizer, tag_set, completions)
    rows = [row for row, length in zip(split.rows, lengths) if length <= limit]
    option = "--max_length" if completions else "--max_prompt_tokens"
    if not rows:
        runs.fail(
            f"nothing left: all rows of {runs.shown(split.path)} are longer than {limit} tokens (shortest "
            f"{min(lengths)}); raise {option}, or make shorter rows: {creation_command(split.path.parent)} --overwrite"
        )
    dropped = f"{split.path.stem}: dropped {len(split.rows) - len(rows)} of {len(split.rows)} rows longer than {limit}"
    if len(rows) < len(split.rows):
        print(f"{dropped} tokens (longest {max(lengths)}); {option} sets the limit")
    return split._replace(rows=rows)


def to_prompts(rows: list[dict], tag_set: str, kind: kinds.Kind = kinds.MATH):
    """A datasets.Dataset for GRPO: `prompt`, `solution`, and for rewards and rollouts `tags` and `row`.

    tags: the name of the tag set. row: the position in `rows`; two rows may have the same question. The reward
    columns of the kind stand beside them.
    """
    import datasets

    examples = []
    for place, row in enumerate(rows):
        example = {name: row[name] for name in kind.reward_columns}
        example["prompt"] = kind.prompt(row, prompts.TAG_SETS[tag_set])
        examples.append(example | {"solution": row["solution"], "tags": tag_set, "row": place})
    return datasets.Dataset.from_list(examples)


def to_examples(split: Split, tag_set: str):
    """A datasets.Dataset for SFT: `prompt` and `completion`, one example per assistant message of a row."""
    import datasets

    tags = prompts.TAG_SETS[tag_set]
    examples = []
    for row in split.rows:
        prompt = split.kind.prompt(row, tags)
        messages = prompt + split.kind.completion(row, tags)
        for place in range(len(prompt), len(messages)):
            if messages[place]["role"] == "assistant":
                examples.append({"prompt": messages[:place], "completion": [messages[place]]})
    return datasets.Dataset.from_list(examples)
