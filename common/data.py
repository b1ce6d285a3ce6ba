"""Data sets: sources, splits, and how a stage reads them.

A data set folder (outputs/data/<name>/) holds run.json, with the fingerprint of every split, and one JSONL file per
split. A row has `question` and `solution`; in sft.jsonl also `working`, the reasoning.
"""

import hashlib
import importlib.util
import json
import random
import re
import string
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from common import answers, prompts, runs

INSTALL_BFCL = "pip install -r requirements/bfcl-imports.txt, then pip install --no-deps -r requirements/bfcl.txt"
LETTERS = string.ascii_uppercase
OPTION = re.compile(r"^([A-Z])\) (.+)$", re.MULTILINE)
THINK_TAG = re.compile(r"</?think>")
CALCULATOR_NOTE = re.compile(r"<<[^<>]*>>")


def _texts(row: dict) -> dict | None:
    """The row with its numbers as text; None where a value is missing, or neither text nor a number."""
    whole = all(isinstance(value, (str, int, float)) for value in row.values())
    return {name: str(value) for name, value in row.items()} if whole else None


def _openmath(row: dict) -> dict | None:
    solution = row["expected_answer"].strip()
    if not answers.is_number(solution):
        return None
    working = THINK_TAG.sub("", row["generated_solution"]).strip()
    return {"question": row["problem"], "working": working, "solution": solution}


def _gsm8k(row: dict) -> dict | None:
    working, mark, solution = row["answer"].rpartition("####")
    if not mark:
        return None
    return {
        "question": row["question"],
        "working": CALCULATOR_NOTE.sub("", working).strip(),
        "solution": solution.strip().replace(",", ""),
    }


def _dapo(row: dict) -> dict:
    return {"question": row["prompt"], "solution": row["solution"]}


def _math500(row: dict) -> dict:
    return {"question": row["problem"], "solution": row["answer"]}


def _boolq(row: dict) -> dict | None:
    if not row["passage"] or not row["question"] or not isinstance(row["answer"], bool):
        return None
    question = f"{row['passage'].strip()}\nQuestion: {row['question'].strip().rstrip('?')}? Answer yes or no."
    return {"question": question, "solution": "yes" if row["answer"] else "no"}


def _multiple_choice(row: dict) -> dict | None:
    """In the format of problems.multiple_choice, lettered by position: some rows of ARC number their options 1 to 4."""
    choices = row["choices"] or {}
    labels = choices.get("label") or []
    options = [" ".join((text or "").split()) for text in choices.get("text") or []]
    whole = row["question"] and all(options) and 2 <= len(options) == len(labels) <= len(LETTERS)
    if not whole or labels.count(row["answerKey"]) != 1:
        return None
    lines = [" ".join(row["question"].split()), *(f"{letter}) {option}" for letter, option in zip(LETTERS, options))]
    letter = LETTERS[labels.index(row["answerKey"])]
    return {"question": "\n".join(lines), "solution": letter, "options": options}


def _word_problem(row: dict) -> dict | None:
    texts = _texts(row)
    made = _gsm8k(texts) if texts else None
    return made if made and answers.is_number(made["solution"]) else None


class Source(NamedTuple):
    """A data set of the hub."""

    hub: str  # its name
    config: str | None
    columns: tuple[str, ...]  # the columns that convert reads
    convert: Callable[[dict], dict | None]  # from a row of the hub to ours; None where it cannot be used
    test: str = "test"  # a split with public answers
    feeds: str = "train"  # the split that it is made for, apart from validation: sft, train (GRPO) or test


SOURCES = {
    "openmath": Source(
        "unsloth/OpenMathReasoning-mini",
        None,
        ("problem", "expected_answer", "generated_solution"),
        _openmath,
        feeds="sft",
    ),
    "gsm8k": Source("openai/gsm8k", "main", ("question", "answer"), _gsm8k),
    "dapo": Source("open-r1/DAPO-Math-17k-Processed", "en", ("prompt", "solution"), _dapo),
    "math500": Source("HuggingFaceH4/MATH-500", None, ("problem", "answer"), _math500, feeds="test"),
}


# Questions of the out-domain tests: kinds that no in-domain stage trains on.
CHOICE_COLUMNS = ("question", "choices", "answerKey")
QUESTIONS = {
    "boolq": Source("google/boolq", None, ("question", "passage", "answer"), _boolq, "validation"),
    "commonsense_qa": Source("tau/commonsense_qa", None, CHOICE_COLUMNS, _multiple_choice, "validation"),
    "arc_challenge": Source("allenai/ai2_arc", "ARC-Challenge", CHOICE_COLUMNS, _multiple_choice),
    "gsm8k": Source("openai/gsm8k", "main", ("question", "answer"), _word_problem),
}


def load_splits(source: Source, name: str, folder: str | None):
    """The splits of a source as `datasets` loads them, from the hub or a local folder with the same fields."""
    import datasets

    if folder and not runs.resolve(folder).is_dir():
        runs.fail(f"--{name} {folder}: no such folder")
    try:
        if folder:
            loaded = datasets.load_dataset(str(runs.resolve(folder)))
        else:
            loaded = datasets.load_dataset(source.hub, source.config)
    except Exception as error:  # the hub client raises a dozen types; all mean the same to the user
        runs.fail(
            f"cannot load {folder or source.hub} ({type(error).__name__}); pass a local copy with --{name} FOLDER"
        )
    for rows in loaded.values():
        missing = [column for column in source.columns if column not in rows.column_names]
        if missing:
            runs.fail(f"{folder or source.hub} has no column {missing[0]}; its columns: {', '.join(rows.column_names)}")
    return loaded


def load_source(name: str, folder: str | None) -> dict[str, list[dict]]:
    """{"train": rows, "test": rows} of a source, from the hub or a local folder with the same fields.

    A row without a usable question or answer is left out, and a question that repeats an earlier one; prints how many.
    "test" is empty for a source without a test split, "train" for a source with nothing else.
    """
    source = SOURCES[name]
    found, seen, unusable, repeated = {"train": [], "test": []}, set(), 0, 0
    for split, rows in load_splits(source, name, folder).items():
        for row in rows.select_columns(list(source.columns)):
            texts = _texts(row)
            row = source.convert(texts) if texts else None
            if not row or not row["question"].strip() or not row["solution"].strip():
                unusable += 1
            elif row["question"] in seen:
                repeated += 1
            else:
                seen.add(row["question"])
                found["test" if split in ("test", "validation") else "train"].append(row)
    print(
        f"{name}: {len(seen)} rows; left out {unusable} without a usable question or answer, "
        f"{repeated} that repeat a question"
    )
    return found


def load_questions(name: str, folder: str | None) -> tuple[list[dict], int]:
    """The usable rows of the test split of an out-domain source, and the number of unusable ones.

    Unusable: the true answer is missing or not among the options, or an option is missing.
    """
    source = QUESTIONS[name]
    loaded = load_splits(source, name, folder)
    if source.test not in loaded:
        runs.fail(f"{folder or source.hub} has no split {source.test}; its splits: {', '.join(loaded)}")
    rows = [source.convert(row) for row in loaded[source.test].select_columns(list(source.columns))]
    return [row for row in rows if row], rows.count(None)


def options_of(question: str) -> list[str]:
    """The texts of the options A, B, ... of a question that lists one per line."""
    return [option for _, option in OPTION.findall(question)]


def split_rows(
    rows: dict[str, list[dict]], sizes: dict[str, int], seed: int, feeds: str = "train"
) -> dict[str, list[dict]]:
    """Disjoint splits of at most the given sizes, drawn with the seed; a source's own test split stays the test split.

    A source that feeds SFT serves validation (at most a fifth of its rows) and sft before train and test: of long
    reasoning few rows are short enough, and GRPO and the tests have other sources.
    """
    rng, splits = random.Random(seed), {}
    pool, test = list(rows["train"]), list(rows["test"])
    rng.shuffle(pool)
    rng.shuffle(test)
    order = ["test", "validation", "train", "sft"]
    if feeds == "sft":
        sizes = sizes | {"validation": min(sizes["validation"], len(pool) // 5)}
        order = ["validation", "sft", "train", "test"]
    if test:
        splits["test"] = test[: sizes["test"]]
        order.remove("test")
    for name in order:
        splits[name], pool = pool[: sizes[name]], pool[sizes[name] :]
    return splits


SPLITS = ("train", "validation", "test")


def split_of(key) -> str:
    """The split of a problem, from a hash of the repr of its key, which must be stable."""
    bucket = zlib.crc32(repr(key).encode()) % 16
    return "test" if bucket == 0 else "validation" if bucket == 1 else "train"


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


def dataset_folder(name: str) -> Path:
    """outputs/data/<name> for a name, the folder itself for a path."""
    return runs.resolve(name) if "/" in name else runs.OUTPUTS / "data" / name


def bfcl_folder() -> Path:
    """The folder of BFCL's official data in the installed bfcl_eval; ends the script when it is not installed."""
    found = importlib.util.find_spec("bfcl_eval")  # not imported: importing makes folders and takes seconds
    if not found:
        runs.fail(f"bfcl-eval is not installed; {INSTALL_BFCL}")
    return Path(found.submodule_search_locations[0]) / "data"


def creation_command(name: str) -> str:
    """The command that makes the data set of this name."""
    if name.startswith("tools"):
        source = name.removeprefix("tools").removeprefix("_").partition("-")[0]
        source = source if source in ("toolbench", "glaive", "messages", "teacher") else "templates"
        return f"python ToolUse/tool_dataset_creation.py --source {source}"
    if not name.startswith("bfcl"):
        source, mark, _ = name.partition("-")
        return f"python SFT/dataset_creation.py --dataset {source}{f' --output outputs/data/{name}' if mark else ''}"
    kind, source = "multi" if "multi" in name else "single", "split" if "split" in name else "synthetic"
    return f"python BFCL/BFCL_dataset_creation.py --kind {kind} --source {source}"


MESSAGES = ("prompt", "completion", "messages")  # columns that are lists of messages


def _fits(column: str, value) -> bool:
    """Whether a value has the type of its column: messages for prompt, completion and messages, else text."""
    if column not in MESSAGES:
        return isinstance(value, str)
    messages = value if isinstance(value, list) else []
    return bool(messages) and all(
        isinstance(message, dict) and all(isinstance(message.get(name), str) for name in ("role", "content"))
        for message in messages
    )


def read_split(dataset: str, split: str, working: bool = False) -> tuple[list[dict], str]:
    """The rows of a split and its fingerprint; ends the script when it is missing, empty, malformed or not as recorded.

    working: rows must have the reasoning (or the completion) to train on.
    """
    folder = dataset_folder(dataset)
    recorded = runs.require(folder, creation_command(folder.name)).get("splits")
    if recorded is None:
        runs.fail(f"{runs.shown(folder)} is not a data set; choose a folder of outputs/data/")
    path = folder / f"{split}.jsonl"
    rows = runs.read_jsonl(path) if path.exists() else []
    if not rows:
        runs.fail(f"data set {runs.shown(folder)} has no rows in its split {split}; splits: {', '.join(recorded)}")
    if not all(isinstance(row, dict) for row in rows):
        runs.fail(f"{runs.shown(path)} has lines that are not JSON objects; repeat: {creation_command(folder.name)}")
    own = "prompt" in rows[0]  # rows with their own messages, as for BFCL
    needed = ("question", *(("prompt",) if own else ()), "solution")
    needed += (("completion" if own else "working"),) if working else ()
    if "messages" in rows[0]:  # with tools
        needed = ("question", "messages", "tools", "solution")
    for column in needed:
        if any(column not in row for row in rows):
            runs.fail(f"{runs.shown(path)} has rows without {column}; needed: {', '.join(needed)}")
        if not all(_fits(column, row[column]) for row in rows):
            kind = "a list of messages with role and content" if column in MESSAGES else "text"
            runs.fail(f"{runs.shown(path)} has rows whose {column} is not {kind}")
    fingerprint = rows_fingerprint(rows)
    if fingerprint != recorded.get(split, {}).get("fingerprint"):
        runs.fail(f"{runs.shown(path)} differs from what its run.json records; repeat: {creation_command(folder.name)}")
    return rows, fingerprint


def conversation(row: dict, tags: prompts.Tags) -> list[dict]:
    """The messages before the completion: the row's own, or its question with the system prompt of the tags."""
    return row["prompt"] if "prompt" in row else prompts.build_prompt(row["question"], tags)


def completion(row: dict, tags: prompts.Tags) -> list[dict]:
    """The messages to train on in SFT: the row's own, or its reasoning and solution between the tags."""
    return row.get("completion") or prompts.build_completion(row["working"], row["solution"], tags)


def token_lengths(rows: list[dict], tokenizer, tag_set: str, completions: bool) -> list[int]:
    """Tokens of each row: of its prompt and the tokens that ask for a completion, or of prompt and completion."""
    tags = prompts.TAG_SETS[tag_set]
    whole = [conversation(row, tags) + (completion(row, tags) if completions else []) for row in rows]
    texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=not completions) for c in whole]
    lengths = []
    for start in range(0, len(texts), 256):  # the tokens of a whole data set take gigabytes
        lengths += map(len, tokenizer(texts[start : start + 256], add_special_tokens=False).input_ids)
    return lengths


def drop_long(
    rows: list[dict], tokenizer, tag_set: str, limit: int, dataset: str, split: str, completions: bool = False
) -> list[dict]:
    """The rows with at most `limit` tokens, as token_lengths() counts them: --max_prompt_tokens, --max_length.

    Prints how many are longer; ends the script when nothing is left.
    """
    lengths = token_lengths(rows, tokenizer, tag_set, completions)
    kept = [row for row, length in zip(rows, lengths) if length <= limit]
    option, folder = "--max_length" if completions else "--max_prompt_tokens", dataset_folder(dataset)
    if not kept:
        runs.fail(
            f"nothing left: all rows of {runs.shown(folder / split)}.jsonl are longer than {limit} tokens (shortest "
            f"{min(lengths)}); raise {option}, or make shorter rows: {creation_command(folder.name)} "
            f"{_shorter(folder.name, completions)} --overwrite"
        )
    if len(kept) < len(rows):
        print(
            f"{split}: dropped {len(rows) - len(kept)} of {len(rows)} rows longer than {limit} tokens "
            f"(longest {max(lengths)}); {option} sets the limit"
        )
    return kept


def _shorter(name: str, completions: bool) -> str:
    """The option of creation_command() that makes the rows of the data set of this name shorter."""
    source = SOURCES.get(name)
    if source and source.feeds == "sft":
        return "--max_length N"
    if source and completions:
        return "--max_working_characters N"
    return "--max_characters N" if source or "split" in name else "--level easy"


def to_prompts(rows: list[dict], tag_set: str):
    """A datasets.Dataset for GRPO: `prompt`, `solution` and `tags`, the name of the tag set, for the rewards.

    Rows with their own messages keep their other columns. The `name` of the last message of a prompt is the position of
    its row: a rollout gets only the prompt, and two rows may have the same question. Chat templates ignore that name.
    """
    import datasets

    made = []
    for place, row in enumerate(rows):
        own = {name: value for name, value in row.items() if name != "completion"} if "prompt" in row else {}
        *before, last = conversation(row, prompts.TAG_SETS[tag_set])
        prompt = [*before, last | {"name": str(place)}]
        made.append(own | {"prompt": prompt, "solution": row["solution"], "tags": tag_set})
    return datasets.Dataset.from_list(made)


def row_of(prompt: list[dict]) -> int:
    """The position of the row that to_prompts() made the prompt from."""
    return int(prompt[-1]["name"])


def to_examples(rows: list[dict], tag_set: str):
    """A datasets.Dataset for SFT: `prompt` and `completion`, one example per assistant message of a row."""
    import datasets

    tags, made = prompts.TAG_SETS[tag_set], []
    for row in rows:
        prompt = conversation(row, tags)
        whole = prompt + completion(row, tags)
        places = [i for i in range(len(prompt), len(whole)) if whole[i]["role"] == "assistant"]
        made += [{"prompt": whole[:i], "completion": [whole[i]]} for i in places]
    return datasets.Dataset.from_list(made)
