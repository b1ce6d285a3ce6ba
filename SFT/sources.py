"""The data sets of the hub: how their rows become ours, and how they are split.

A source is loaded from the hub, or from a local folder with the same fields. A row that cannot be used is left out.
"""

import functools
import random
import re
from collections.abc import Callable
from typing import NamedTuple

from common import answers, models, runs

THINK_TAG = re.compile(r"</?think>")
CALCULATOR_NOTE = re.compile(r"<<[^<>]*>>")


class Source(NamedTuple):
    """A data set of the hub."""

    hub: str  # its name
    config: str | None
    columns: tuple[str, ...]  # the columns that convert reads
    convert: Callable[[dict], dict | None]  # from a row of the hub to ours; None where it cannot be used
    test: str = "test"  # a split with public answers
    feeds: str = "train"  # the split that it is made for, apart from validation: sft, train (GRPO) or test


def as_texts(row: dict) -> dict | None:
    """The row with its numbers as text; None where a value is missing, or neither text nor a number."""
    if not all(isinstance(value, (str, int, float)) for value in row.values()):
        return None
    return {name: str(value) for name, value in row.items()}


def openmath(row: dict) -> dict | None:
    solution = row["expected_answer"].strip()
    if not answers.is_number(solution):
        return None
    reasoning = THINK_TAG.sub("", row["generated_solution"]).strip()
    return {"question": row["problem"], "working": reasoning, "solution": solution}


def gsm8k(row: dict) -> dict | None:
    reasoning, mark, solution = row["answer"].rpartition("####")
    if not mark:
        return None
    reasoning = CALCULATOR_NOTE.sub("", reasoning).strip()
    return {"question": row["question"], "working": reasoning, "solution": solution.strip().replace(",", "")}


def dapo(row: dict) -> dict:
    return {"question": row["prompt"], "solution": row["solution"]}


def math500(row: dict) -> dict:
    return {"question": row["problem"], "solution": row["answer"]}


SOURCES = {
    "openmath": Source(
        "unsloth/OpenMathReasoning-mini",
        None,
        ("problem", "expected_answer", "generated_solution"),
        openmath,
        feeds="sft",
    ),
    "gsm8k": Source("openai/gsm8k", "main", ("question", "answer"), gsm8k),
    "dapo": Source("open-r1/DAPO-Math-17k-Processed", "en", ("prompt", "solution"), dapo),
    "math500": Source("HuggingFaceH4/MATH-500", None, ("problem", "answer"), math500, feeds="test"),
}


def hub_splits(hub: str, config: str | None, advice: str):
    """The splits of a data set of the hub, or of its copy in the cache where the hub does not answer."""
    import datasets
    import huggingface_hub

    models.ask_hub(functools.partial(huggingface_hub.HfApi().dataset_info, hub))
    datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE
    return load(hub, advice, config)


def load(place: str, advice: str, config: str | None = None):
    import datasets

    try:
        return datasets.load_dataset(place, config)
    except Exception as error:  # the hub client raises a dozen types; all mean the same to the user
        runs.fail(f"cannot load {place} ({type(error).__name__}: {str(error)[:300]}); {advice}")


def load_splits(source: Source, name: str, folder: str | None):
    """The splits of a source as `datasets` loads them, from the hub or a local folder with the same fields."""
    if folder and not runs.resolve(folder).is_dir():
        runs.fail(f"--{name} {folder}: no such folder")
    place = folder or source.hub
    advice = f"pass a local copy with --{name} FOLDER"
    if folder:
        splits = load(str(runs.resolve(folder)), advice)
    else:
        splits = hub_splits(source.hub, source.config, advice)
    for rows in splits.values():
        for column in source.columns:
            if column not in rows.column_names:
                runs.fail(f"{place} has no column {column}; its columns: {', '.join(rows.column_names)}")
    return splits


def load_source(name: str, folder: str | None) -> dict[str, list[dict]]:
    """{"train": rows, "test": rows} of a source, from the hub or a local folder with the same fields.

    A row without a usable question or answer is left out, and a question that repeats an earlier one; prints how many.
    "test" is empty for a source without a test split, "train" for a source with nothing else.
    """
    source = SOURCES[name]
    rows = {"train": [], "test": []}
    questions = set()
    unusable = 0
    repeated = 0
    for split, hub_rows in load_splits(source, name, folder).items():
        for hub_row in hub_rows.select_columns(list(source.columns)):
            texts = as_texts(hub_row)
            row = source.convert(texts) if texts else None
            if not row or not row["question"].strip() or not row["solution"].strip():
                unusable += 1
            elif row["question"] in questions:
                repeated += 1
            else:
                questions.add(row["question"])
                rows["test" if split in ("test", "validation") else "train"].append(row)
    print(
        f"{name}: {len(questions)} rows; left out {unusable} without a usable question or answer, "
        f"{repeated} that repeat a question"
    )
    return rows


def split_rows(
    rows: dict[str, list[dict]], sizes: dict[str, int], seed: int, feeds: str = "train"
) -> dict[str, list[dict]]:
    """Disjoint splits of at most the given sizes, drawn with the seed; a source's own test split stays the test split.

    A source that feeds SFT serves validation (at most a fifth of its rows) and sft before train and test: of long
    reasoning few rows are short enough, and GRPO and the tests have other sources.
    """
    rng = random.Random(seed)
    pool = list(rows["train"])
    rng.shuffle(pool)
    test = list(rows["test"])
    rng.shuffle(test)
    order = ["test", "validation", "train", "sft"]
    if feeds == "sft":
        sizes = sizes | {"validation": min(sizes["validation"], len(pool) // 5)}
        order = ["validation", "sft", "train", "test"]
    splits = {}
    if test:
        splits["test"] = test[: sizes["test"]]
        order.remove("test")
    for name in order:
        splits[name] = pool[: sizes[name]]
        pool = pool[sizes[name] :]
    return splits
