"""How a user asks for a call: what values arguments take, and requests for each function in our own words.

requests.json holds {class: {function: requests}}: each request in the words that come after "please", with the names of
the arguments of its call. values.json holds lists of words, and what each argument takes ("function.argument" where one
means something else by it): a text with a {list} or a {range..of numbers}, or {kind of value: what it needs}.
"""

import functools
import json
import random
import re
import string
from pathlib import Path
from typing import NamedTuple

from BFCL.bfcl import official

VOCABULARY = json.loads(Path(__file__).with_name("values.json").read_text())
LISTS = VOCABULARY["lists"]
VALUES = {name: kind for names, kind in VOCABULARY["values"].items() for name in names.split()}
OPENINGS = ("{}.", "Please {}.", "Could you {}?", "I want you to {}.", "{}, please.", "Now {}.", "Can you {}?")
PLAIN = ("Please {0} with {1}.", "{0} for {1}.", "With {1}, {0}.", "I want to {0}: {1}.", "Use {1} to {0}.")


def filled(rng: random.Random, text: str) -> str:
    """A text with a word or a number drawn for each pair of braces; a capital list gives capital words."""

    def draw(match: re.Match) -> str:
        low, is_range, high = match[1].partition("..")
        if is_range:
            return str(rng.randint(int(low), int(high))).zfill(len(low) if low.startswith("0") else 0)
        word = rng.choice(LISTS[low.lower()])
        return word if low.islower() else word.capitalize()

    return re.sub(r"\{([^}]*)\}", draw, text)


def sentence(rng: random.Random) -> str:
    number = filled(rng, " {2..99}") if rng.random() < 0.5 else ""
    return f"the {rng.choice(LISTS['nouns'])}{number} {rng.choice(LISTS['states'])}"


def file(rng: random.Random) -> str:
    number = rng.choice(("", filled(rng, "_{1..99}")))
    return f"{rng.choice(LISTS['nouns'])}{number}.{rng.choice(LISTS['endings'])}"


def symbol(rng: random.Random) -> str:
    length = rng.choice((3, 4))
    return "".join(rng.choice(string.ascii_uppercase) for _ in range(length))


SPECIAL = {"sentence": sentence, "file": file, "symbol": symbol}


def value(rng: random.Random, kind: str | dict):
    """A value of a kind of values.json that a user could say."""
    if isinstance(kind, str):
        return filled(rng, kind)
    ((name, needed),) = kind.items()
    if name == "whole":
        return rng.randint(*needed)
    if name == "quotient":
        low, high, divisor = needed
        return rng.randint(low, high) / divisor
    if name == "decimal":  # half of the time with one decimal place
        return rng.randint(10, 10 * needed) / 10 if rng.random() < 0.5 else rng.randint(1, needed)
    if name == "one_of":
        return rng.choice(needed)
    if name == "special":
        return SPECIAL[needed](rng)
    size = rng.randint(2, 4)  # several: none twice
    values = []
    while len(values) < size:
        one = value(rng, needed)
        if one not in values:
            values.append(one)
    return values


class Request(NamedTuple):
    """A request for a function and the names of the arguments in it."""

    name: str
    text: str
    arguments: tuple[str, ...]


@functools.cache
def texts_by_class() -> dict[str, dict[str, list[str]]]:
    return json.loads(Path(__file__).with_name("requests.json").read_text())


@functools.cache
def requests_of(owner: str) -> list[Request]:
    """Every request for a function of a class, the arguments in the order of the function's description."""
    requests = []
    for name, texts in texts_by_class()[owner].items():
        fields = official.described(owner)[name]["parameters"]["properties"]
        for text in texts:
            arguments = [field for field in fields if f"{{{field}}}" in text]
            requests.append(Request(name, text, tuple(arguments)))
    return requests


def spoken(value) -> str:
    """A value as a user says it."""
    if isinstance(value, list):
        *parts, last = map(spoken, value)
        return f"{', '.join(parts)} and {last}" if parts else last
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def words(name: str) -> str:
    """close_ticket and fillFuelTank as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


def say(rng: random.Random, request: Request, arguments: dict, plain: float) -> str:
    """A sentence that asks for the call."""
    if rng.random() < plain:
        parts = [f"{words(name)} {spoken(value)}" for name, value in arguments.items()]
        rng.shuffle(parts)
        sentence = rng.choice(PLAIN).format(words(request.name), spoken(parts))
    else:
        opening = rng.choice(OPENINGS)
        values = {name: spoken(value) for name, value in arguments.items()}
        sentence = opening.format(request.text.format(**values))
    return sentence[0].upper() + sentence[1:]
