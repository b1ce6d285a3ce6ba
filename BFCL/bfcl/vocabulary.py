"""How a user asks for a call: what values arguments take, and requests for each function in our own words.

requests.json holds {class: {function: requests}}: each request in the words that come after "please", with the names of
the arguments of its call.
"""

import functools
import json
import random
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from BFCL.bfcl import official

# Values: functions from a random.Random to something a user could say.
PEOPLE = ("ana", "ben", "cleo", "dan", "eva", "finn", "gia", "hugo", "iris", "jon", "kim", "leo", "mia", "nils", "ole")
NOUNS = ("door", "lamp", "order", "report", "garden", "invoice", "printer", "boat", "kitchen", "server", "bike", "plan")
STATES = ("is late", "is ready", "needs paint", "was found", "is broken", "looks good", "will be moved", "is too loud")
FOLDERS = ("music", "letters", "photos", "drafts", "tools", "maps", "school", "recipes", "games", "taxes")
ENDINGS = ("txt", "md", "csv", "log", "pdf")
STREETS = ("Mill Lane", "Oak Road", "Hill Street", "Lake Avenue", "Park Row", "Station Road")
TOWNS = ("Fairview, Ohio", "Elmwood, Texas", "Harbor, Maine", "Lakeside, Iowa", "Milton, Utah")


def whole(low: int, high: int) -> Callable:
    return lambda rng: rng.randint(low, high)


def decimal(high: int) -> Callable:
    """A positive number, half of the time with one decimal place."""

    def draw(rng):
        if rng.random() < 0.5:
            return rng.randint(10, 10 * high) / 10
        return rng.randint(1, high)

    return draw


def one_of(*options) -> Callable:
    return lambda rng: rng.choice(options)


def several(kind: Callable) -> Callable:
    """Two to four values of a kind, none twice."""

    def draw(rng):
        size = rng.randint(2, 4)
        values = []
        while len(values) < size:
            value = kind(rng)
            if value not in values:
                values.append(value)
        return values

    return draw


def text(rng):
    number = ""
    if rng.random() < 0.5:
        number = f" {rng.randint(2, 99)}"
    return f"the {rng.choice(NOUNS)}{number} {rng.choice(STATES)}"


def title(rng):
    return f"{rng.choice(NOUNS)} {rng.choice(NOUNS)} {rng.randint(2, 99)}"


def user(rng):
    return f"{rng.choice(PEOPLE)}{rng.choice(('', '_', '.'))}{rng.randint(1, 999)}"


def person(rng):
    return f"{rng.choice(PEOPLE).capitalize()} {rng.choice(NOUNS).capitalize()}"


def keyword(rng):
    return f"{rng.choice(NOUNS)} {rng.randint(2, 99)}"


def secret(rng):
    return f"{rng.choice(NOUNS)}{rng.randint(10, 9999)}"


def file(rng):
    number = rng.choice(("", f"_{rng.randint(1, 99)}"))
    return f"{rng.choice(NOUNS)}{number}.{rng.choice(ENDINGS)}"


def folder(rng):
    return f"{rng.choice(FOLDERS)}_{rng.randint(1, 99)}"


def symbol(rng):
    length = rng.choice((3, 4))
    return "".join(rng.choice(string.ascii_uppercase) for _ in range(length))


def member(rng):
    return f"USR{rng.randint(100, 899)}"


def digits(n: int) -> Callable:
    return lambda rng: str(rng.randint(10 ** (n - 1), 10**n - 1))


def date(first: int, last: int) -> Callable:
    return lambda rng: f"{rng.randint(first, last)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def address(rng):
    return f"{rng.randint(1, 299)} {rng.choice(STREETS)}, {rng.choice(TOWNS)}"


KINDS = {  # of values, by the arguments that take them; "function.argument" where another means something else by it
    "ticket_id tweet_id order_id": whole(2, 9999),
    "title": title,
    "description resolution comment_content content message": text,
    "priority": whole(1, 5),
    "username username_to_follow username_to_unfollow": user,
    "mentioned_usernames": several(user),
    "password": secret,
    "user user_name cardholder_name": person,
    "user_id receiver_id": member,
    "keyword pattern": keyword,
    "stock symbol": symbol,
    "stocks": several(symbol),
    "order_type": one_of("Buy", "Sell"),
    "amount": decimal(5000),
    "place_order.amount": whole(2, 99),
    "price": decimal(90),
    "min_price": whole(1, 50),
    "max_price": whole(51, 900),
    "threshold": decimal(20),
    "access_token": secret,
    "booking_id": digits(7),
    "card_id": digits(12),
    "card_number": digits(16),
    "card_verification_number": whole(100, 999),
    "expiration_date": lambda rng: f"{rng.randint(1, 12):02}/{rng.randint(2027, 2039)}",
    "base_currency": one_of("USD"),
    "target_currency": one_of("RMB", "EUR", "JPY", "GBP", "CAD", "AUD", "INR", "BRL", "MXN"),
    "travel_from": one_of("SFO"),
    "travel_to": one_of("LAX", "JFK", "ORD", "BOS", "RMS", "SBK", "MPC", "SVP", "SHD", "OKD", "WLB", "CRH", "ATV"),
    "travel_date": date(2025, 2029),
    "travel_class": one_of("economy", "business", "first"),
    "first_name": one_of(*(name.capitalize() for name in PEOPLE)),
    "last_name": one_of(*(noun.capitalize() for noun in NOUNS)),
    "date_of_birth": date(1940, 2000),
    "passport_number": lambda rng: f"US{rng.randint(10000, 99999)}",
    "set_navigation.destination": address,
    "fuelAmount": decimal(38),
    "distance liter gallon value part": decimal(999),
    "a b whole budget_limit": decimal(9999),
    "temperature": decimal(28),
    "fanSpeed": whole(1, 100),
    "setHeadlights.mode": one_of("on", "off", "auto"),
    "activateParkingBrake.mode": one_of("engage", "release"),
    "adjustClimateControl.mode": one_of("auto", "cool", "heat", "defrost"),
    "pedalPosition": lambda rng: rng.randint(1, 9) / 10,
    "messages": several(text),
    "unlock": one_of(True, False),
    "door": several(one_of("driver", "passenger", "rear_left", "rear_right")),
    "file_name file_name1 file_name2 source destination": file,
    "dir_name folder": folder,
    "lines": whole(2, 60),
    "base": decimal(99),
    "exponent": whole(2, 9),
    "numbers": several(whole(-99, 999)),
    "absolute_value.number": whole(-9999, -2),
    "round_number.number": lambda rng: rng.randint(1000, 99999) / 1000,
    "decimal_places": whole(1, 2),
    "unit_in": one_of("km", "m", "cm"),
    "unit_out": one_of("mm", "um", "nm"),
}
VALUES: dict[str, Callable] = {}
for names, kind in KINDS.items():
    VALUES |= dict.fromkeys(names.split(), kind)

OPENINGS = ("{}.", "Please {}.", "Could you {}?", "I want you to {}.", "{}, please.", "Now {}.", "Can you {}?")
PLAIN = ("Please {0} with {1}.", "{0} for {1}.", "With {1}, {0}.", "I want to {0}: {1}.", "Use {1} to {0}.")


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
