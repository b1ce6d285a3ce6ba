"""Data sets: where they come from, how they are split, and how a stage reads them.

A data set folder (outputs/data/<name>/) holds one JSONL file per split, each row with `question` and `solution`, in
`sft.jsonl` with `working` too, and run.json with the fingerprint of every split.
"""

import hashlib
import importlib.util
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from common import answers, prompts, runs

THINK_TAG = re.compile(r"</?think>")
CALCULATOR_NOTE = re.compile(r"<<[^<>]*>>")


def _openmath(row: dict) -> dict | None:
    solution = str(row["expected_answer"]).strip()
    if not answers.is_number(solution):
        return None
    working = THINK_TAG.sub("", row["generated_solution"]).strip()
    return {"question": row["problem"], "working": working, "solution": solution}


def _gsm8k(row: dict) -> dict:
    working, _, solution = row["answer"].rpartition("####")
    return {
        "question": row["question"],
        "working": CALCULATOR_NOTE.sub("", working).strip(),
        "solution": solution.strip().replace(",", ""),
    }


def _dapo(row: dict) -> dict:
    return {"question": row["prompt"], "solution": str(row["solution"])}


def _math500(row: dict) -> dict:
    return {"question": row["problem"], "solution": row["answer"]}


class Source(NamedTuple):
    """A data set of the hub: its name and configuration, the columns that are read, and a row made of them."""

    hub: str
    config: str | None
    columns: tuple[str, ...]
    convert: Callable[[dict], dict | None]


SOURCES = {
    "openmath": Source(
        "unsloth/OpenMathReasoning-mini", None, ("problem", "expected_answer", "generated_solution"), _openmath
    ),
    "gsm8k": Source("openai/gsm8k", "main", ("question", "answer"), _gsm8k),
    "dapo": Source("open-r1/DAPO-Math-17k-Processed", "en", ("prompt", "solution"), _dapo),
    "math500": Source("HuggingFaceH4/MATH-500", None, ("problem", "answer"), _math500),
}


def load_source(name: str, folder: str | None) -> dict[str, list[dict]]:
    """{"train": rows, "test": rows} of a source, from the hub or from a local folder with the same fields.

    Rows that say the same question twice are dropped. Where the source has no test split, "test" is empty; a source
    with nothing but a test split has an empty "train".
    """
    import datasets

    source = SOURCES[name]
    if folder and not runs.resolve(folder).is_dir():
        runs.fail(f"--{name} {folder}: no such folder")
    try:
        if folder:
            loaded = datasets.load_dataset(str(runs.resolve(folder)))
        else:
            loaded = datasets.load_dataset(source.hub, source.config)
    except Exception as error:  # the hub client raises a dozen kinds; all mean the same to the user
        runs.fail(
            f"cannot load {folder or source.hub} ({type(error).__name__}); pass a local copy with --{name} FOLDER"
        )
    found, seen = {"train": [], "test": []}, set()
    for split, rows in loaded.items():
        missing = [column for column in source.columns if column not in rows.column_names]
        if missing:
            runs.fail(f"{folder or source.hub} has no column {missing[0]}; its columns: {', '.join(rows.column_names)}")
        for row in rows.select_columns(list(source.columns)):
            row = source.convert(row)
            if row and row["solution"].strip() and row["question"] not in seen:
                seen.add(row["question"])
                found["test" if split in ("test", "validation") else "train"].append(row)
    return found


def split_rows(rows: dict[str, list[dict]], sizes: dict[str, int], seed: int) -> dict[str, list[dict]]:
    """Disjoint splits of the wanted sizes, drawn with the seed; a source's own test split stays the test split."""
    rng, splits = random.Random(seed), {}
    pool, test = list(rows["train"]), list(rows["test"])
    rng.shuffle(pool)
    rng.shuffle(test)
    if not test:
        test, pool = pool[: sizes["test"]], pool[sizes["test"] :]
    splits["test"] = test[: sizes["test"]]
    for name in ("validation", "train", "sft"):
        splits[name], pool = pool[: sizes[name]], pool[sizes[name] :]
    return splits


def rows_fingerprint(rows: list[dict]) -> str:
    """The first 16 hex digits of the SHA-256 of the rows in their order."""
    text = "\n".join(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_splits(folder: Path, splits: dict[str, list[dict]]) -> dict:
    """Write one JSONL file per split that has rows; returns what run.json says of them."""
    facts = {}
    for name, rows in splits.items():
        if rows:
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
            facts[name] = {"rows": len(rows), "fingerprint": rows_fingerprint(rows)}
    return facts


def dataset_folder(name: str) -> Path:
    """outputs/data/<name> for a name, or the folder itself for a path."""
    return runs.resolve(name) if "/" in name else runs.OUTPUTS / "data" / name


def bfcl_folder() -> Path:
    """The folder of BFCL's official data inside the installed bfcl_eval; ends the script when it is not installed."""
    found = importlib.util.find_spec("bfcl_eval")  # located, not imported: its import makes folders and takes seconds
    if not found:
        runs.fail("bfcl_eval is not installed; run: pip install -r requirements.txt, then requirements-bfcl.txt --no-deps")
    return Path(found.submodule_search_locations[0]) / "data"


def read_split(dataset: str, split: str, working: bool = False) -> tuple[list[dict], str]:
    """The rows of a split and its fingerprint; ends the script when the split is missing, empty or not as recorded."""
    folder = dataset_folder(dataset)
    facts = runs.require(folder, f"python SFT/dataset_creation.py --dataset {folder.name}")
    needed = ("question", "working", "solution") if working else ("question", "solution")
    path = folder / f"{split}.jsonl"
    rows = runs.read_jsonl(path) if path.exists() else []
    if not rows:
        runs.fail(
            f"data set {runs.shown(folder)} has no rows in its split {split}; splits: {', '.join(facts['splits'])}"
        )
    missing = [column for column in needed if any(column not in row for row in rows)]
    if missing:
        runs.fail(f"{runs.shown(path)} has rows without {missing[0]}; needed: {', '.join(needed)}")
    fingerprint = rows_fingerprint(rows)
    if fingerprint != facts["splits"].get(split, {}).get("fingerprint"):
        runs.fail(f"{runs.shown(path)} is not what its run.json records; make it again with SFT/dataset_creation.py")
    return rows, fingerprint


def to_prompts(rows: list[dict], tag_set: str, completions: bool = False):
    """A datasets.Dataset with `prompt`, `solution` and `tags` (the tag set's name, which rewards are told).

    completions: with `prompt` and `completion` instead, for SFT.
    """
    import datasets

    tags, made = prompts.TAG_SETS[tag_set], []
    for row in rows:
        prompt = prompts.build_prompt(row["question"], tags)
        if completions:
            made.append(
                {"prompt": prompt, "completion": prompts.build_completion(row["working"], row["solution"], tags)}
            )
        else:
            made.append({"prompt": prompt, "solution": row["solution"], "tags": tag_set})
    return datasets.Dataset.from_list(made)
