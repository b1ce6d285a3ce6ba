"""Data of one's own: rows of a file, a folder or a hub data set, checked, and divided into splits by a hash.

The hash of a question decides its split, so it stays there when the source grows or another seed draws the rows. Where
the source has a test or validation split, that stays what it is, and none of its questions is trained on. Rows are read
one by one, and only as many as the splits take are in memory.
"""

import csv
import hashlib
import itertools
import json
import math
import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common import answers, data, runs
from common.kinds import LETTERS, lettered
from SFT import sources

CALLED = {"answer": "solution", "reasoning": "working"}  # other names that --columns takes
NEEDED = {"math": ("question", "solution"), "choice": ("question", "options", "solution")}
HELD_OUT = {"test": "test", **dict.fromkeys(("validation", "valid", "val", "dev"), "validation")}
LEAK = "question is in the test split of another data set"
BEYOND = "solution is an index beyond the options, which count from 0"
PROSE = 4  # words; so many without a mark are no answer that a checker could compare


class Fault(ValueError):
    """Why a row is left out; rows are counted by this text."""


def columns_of(text: str, kind: str) -> dict[str, str]:
    """{our column: column of the source} of "question=problem,solution=answer"; ends the script for another text."""
    allowed = (*NEEDED[kind], "working")
    columns = {}
    for part in text.split(","):
        ours, equals, name = (word.strip() for word in part.partition("="))
        ours = CALLED.get(ours, ours)
        if ours not in allowed or not name or ours in columns:
            runs.fail(f"--columns {text}: give {', '.join(f'{one}=NAME' for one in allowed)}, the last only for SFT")
        columns[ours] = name
    for ours in NEEDED[kind]:
        if ours not in columns:
            runs.fail(f"--columns {text} lacks {ours}=NAME, which --kind {kind} needs")
    return columns


def jsonl_rows(path: Path) -> Iterator[dict | None]:
    """The rows of a JSONL file; None for a line that is no JSON object."""
    with open(path, "rb") as lines:
        for line in filter(bytes.strip, lines):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield row if isinstance(row, dict) else None


def csv_rows(path: Path) -> Iterator[dict]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        try:
            yield from csv.DictReader(lines)
        except csv.Error as error:
            runs.fail(f"{path} cannot be read as CSV ({error})")


def parquet_rows(path: Path) -> Iterator[dict]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(1000):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        runs.fail(f"{path} cannot be read as Parquet ({error})")


READERS = {".jsonl": jsonl_rows, ".csv": csv_rows, ".parquet": parquet_rows}


def held_out_as(name: str) -> str:
    """test or validation for the name of a file or split that says so, else train."""
    words = re.split("[^a-z]+", name.lower())
    return next((split for word, split in HELD_OUT.items() if word in words), "train")


def open_source(source: str) -> dict[str, Iterator[dict | None]]:
    """The rows of a source under train, validation and test; those of a single file under "all"."""
    path = runs.resolve(source)
    if path.is_file():
        if path.suffix not in READERS:
            runs.fail(f"--source {source}: choose a file {', '.join(READERS)}, a folder of these, or a hub name")
        return {"all": READERS[path.suffix](path)}
    parts = {}
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in READERS)
        if not files:
            runs.fail(f"--source {source}: the folder has no file {', '.join(READERS)}")
        for file in files:
            name = file.relative_to(path).with_suffix("").as_posix()
            parts.setdefault(held_out_as(name), []).append(READERS[file.suffix](file))
    else:
        if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+(:[\w.-]+)?", source) or Path(source).suffix in READERS:
            runs.fail(f"--source {source}: no such file or folder, and not a hub name (owner/name)")
        hub, _, config = source.partition(":")
        splits = sources.hub_splits(hub, config or None, "pass a local copy, or a part of it as OWNER/NAME:PART")
        for name, rows in splits.items():
            parts.setdefault(held_out_as(name), []).append(iter(rows))
    return {split: itertools.chain(*rows) for split, rows in parts.items()}


def text_of(value, name: str) -> str:
    """The stripped text of a value that is text or a number."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise Fault(f"{name} is null")
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise Fault(f"{name} is neither text nor a number")
    text = str(value).strip()
    if not text:
        raise Fault(f"{name} is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Fault(f"{name} has a character that no file can hold (a lone surrogate)") from None
    return text


def readable(text: str) -> str | None:
    r"""The answer in a text, if it can be checked: 18 of "18", "#### 18", "\boxed{18}" and "The answer is 18."."""
    marked = answers.extract_flexible(text, truth="")  # of no kind: what follows the mark of an answer
    for candidate in filter(None, (marked, text)):
        first = re.split(r"[,;.]\s+(?=[A-Za-z]{2})", candidate)[0]
        if candidate == marked and answers.is_number(first):  # "18, because 3 * 6 = 18"
            return first.removesuffix(".")
        words = re.findall(r"(?<![\\A-Za-z])[A-Za-z]{2,}", candidate)
        if len(words) < PROSE and answers.is_correct(candidate, candidate):
            return candidate.removesuffix(".")
        number = answers.number_among_words(candidate)
        if number is not None:
            return str(number)
    return None


def options_of(row: dict, column: str) -> tuple[list[str], list[str]]:
    """The labels and texts of the options: {"label", "text"}, {label: text}, texts, or columns joined by +."""
    value = row.get(column)
    if "+" in column:
        value = [row.get(name) for name in column.split("+")]
    if isinstance(value, str):  # a cell of CSV
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Fault("options are neither a list nor JSON") from None
    labels = []
    if isinstance(value, dict) and "text" in value:
        labels, value = value.get("label") or [], value["text"]
    elif isinstance(value, dict):
        labels, value = list(value), list(value.values())
    elif isinstance(value, list) and all(isinstance(option, dict) for option in value):
        labels = [option.get("label") for option in value]
        value = [option.get("text") for option in value]
    if not isinstance(value, list) or not 2 <= len(value) <= len(LETTERS) or len(labels) not in (0, len(value)):
        raise Fault(f"options are no list of 2 to {len(LETTERS)}, each with its label or none")
    return [str(label).strip() for label in labels], [" ".join(text_of(text, "an option").split()) for text in value]


def letter(answer, labels: list[str], options: list[str]) -> str:
    """The letter of the answer, which is a label, a letter, an index from 0 or the text of an option."""
    text = " ".join(text_of(answer, "solution").split())
    places = {place for place, label in enumerate(labels) if label == text}
    if not places and not isinstance(answer, int):
        places = {place for place, option in enumerate(options) if option == text}
        short = text.strip("().: ").upper()
        if not labels and len(short) == 1 and short in LETTERS[: len(options)]:
            places.add(LETTERS.index(short))
    if not labels and re.fullmatch("[0-9]{1,2}", text):
        if int(text) >= len(options) and not places:
            raise Fault(BEYOND)
        places.add(int(text))
    if len(places) != 1:
        raise Fault("solution could be more than one option" if places else "solution is none of the options")
    return LETTERS[places.pop()]


def convert(row: dict | None, columns: dict[str, str], args) -> tuple[str, dict]:
    """The question without its options, by which rows are divided, and the row as ours; raises Fault."""
    if row is None:
        raise Fault("a line is no JSON object")
    question = stem = text_of(row.get(columns["question"]), "question")
    if args.kind == "choice":
        labels, options = options_of(row, columns["options"])
        question = lettered(" ".join(stem.split()), options)  # as the out-domain tests ask
        ours = {"solution": letter(row.get(columns["solution"]), labels, options), "options": options}
    else:
        ours = {"solution": readable(text_of(row.get(columns["solution"]), "solution"))}
    if ours["solution"] is None:
        raise Fault("solution cannot be read as anything that can be checked")
    if len(question) > args.max_characters:
        raise Fault("question is longer than --max_characters")
    if "working" in columns:
        reasoning = text_of(row.get(columns["working"]), "working")
        if columns["working"] == columns["solution"]:  # as in GSM8K, where the answer follows its reasoning
            reasoning = reasoning.rpartition("####")[0]
        reasoning = sources.CALCULATOR_NOTE.sub("", sources.THINK_TAG.sub("", reasoning))
        ours = {"working": text_of(reasoning, "working")} | ours
        if len(ours["working"]) > args.max_working_characters:
            raise Fault("working is longer than --max_working_characters")
    return stem, {"question": question, **ours}


def with_columns(parts: dict[str, Iterator], columns: dict[str, str], source: str) -> dict[str, Iterator]:
    """The rows again, read as far as it takes to see that the columns exist; ends the script where one does not."""
    heads = {split: list(itertools.islice(rows, 100)) for split, rows in parts.items()}
    rows = [row for head in heads.values() for row in head if row]
    known = dict.fromkeys(str(name) for row in rows for name in row if name)
    for name in ",".join(columns.values()).replace("+", ",").split(","):
        if name not in known:
            runs.fail(f"{source} has no column {name}; its columns: {', '.join(known) or 'none'}")
    return {split: itertools.chain(heads[split], rows) for split, rows in parts.items()}


def number_of(text: str) -> int:
    """A stable hash of 64 bits."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def divide(
    args, columns: dict[str, str], sizes: dict[str, int], tested: Collection[str]
) -> tuple[dict[str, list[dict]], int, Counter]:
    """The splits of args.source, the number of rows read, and of those left out by fault.

    Of each split the rows with the smallest hash of seed and question are taken. tested: questions of other data sets'
    test splits (data.normalised), for which no row of the others is taken.
    """
    parts = with_columns(open_source(args.source), columns, args.source)
    drawn = {name: {} for name in ("sft", "train", "validation", "test")}
    faults = Counter()
    own = set()  # the splits that the source has of its own
    held_out = set()  # hashes of the questions in them
    hashes = array("Q")  # of the other questions, eight bytes each, to count what is repeated
    read = 0
    for part in ("test", "validation", "train", "all"):
        # A validation split beside a test split without answers, or without one, is what there is for tests.
        split = "test" if part == "validation" and "test" not in own else part
        for row in tqdm(parts.get(part, ()), desc=f"{args.source} {part}", unit=" rows", disable=None):
            read += 1
            try:
                stem, ours = convert(row, columns, args)
            except Fault as fault:
                faults[str(fault)] += 1
                continue
            question = data.normalised(ours["question"])
            key = number_of(f"{args.seed} {question}")
            if key in held_out:
                faults["question is repeated"] += 1
                continue
            if part in ("test", "validation"):
                held_out.add(key)
                own.add(split)
                name = split
            else:
                name = data.split_of(data.normalised(stem))
                name = "train" if name in own else name
                if name == "train" and "working" in ours and number_of(data.normalised(stem)) % 2:
                    name = "sft"
            if name != "test" and question in tested:
                faults[LEAK] += 1
                continue
            if part in ("train", "all"):
                hashes.append(key)
            drawn[name].setdefault(key, ours)
            if len(drawn[name]) > 2 * sizes[name] + 1000:
                drawn[name] = smallest(drawn[name], sizes[name])
    if repeated := len(hashes) - len(np.unique(np.asarray(hashes))):
        faults["question is repeated"] += repeated
    return {name: list(smallest(rows, sizes[name]).values()) for name, rows in drawn.items()}, read, faults


def smallest(rows: dict[int, dict], size: int) -> dict[int, dict]:
    """The rows with the smallest keys, in their order."""
    return {key: rows[key] for key in sorted(rows)[:size]}
