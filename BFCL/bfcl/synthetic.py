"""Tasks that code makes: requests in our own words for the functions of BFCL's classes, and the calls that answer them.

A task is a request for one of BFCL's real functions, shown with its official description. Its call is executed in the
class itself, in a scene made for it, and kept only if it succeeds. No call that stands in an official ground truth is
ever used, and which split a task belongs to follows from a hash of its calls.

A row holds `prompt` and `completion` (messages; one after the other they are the gold conversation), `question` (what
the user says), and as JSON text, since their types vary, `functions` (descriptions), `solution` (possible answers as
BFCL writes them, for several turns its call strings) and for several turns `turns`, `initial_config`,
`involved_classes`.
"""

import copy
import functools
import json
import random
import re
import zlib
from typing import NamedTuple

from BFCL.bfcl import official
from BFCL.bfcl.entries import NOTE, official_calls
from BFCL.bfcl.vocabulary import REQUESTS, VALUES, Request, requests, say
from common import data
from common.calls import call_key, call_string, call_text, offer, python_text, tool_message

DONE = {"role": "assistant", "content": "Done."}  # a completion without a call ends a turn


class Level(NamedTuple):
    """How hard a task is."""

    shown: tuple[int, ...]  # numbers of tools in the prompt to draw from; 0 shows all of the class
    characters: int  # of their descriptions together, at most
    arguments: int  # of a call, at most
    calls: int  # in one request, at most
    plain: float  # fraction of requests that name every argument as the schema does
    turns: int  # of the user, in tasks of several turns
    note: bool  # descriptions end with BFCL's note on the language, as in its own prompts


LEVELS = {
    "tiny": Level((1, 2), 1080, 3, 1, 0.3, 2, False),  # the note is 25 tokens of the tiny base's
    "easy": Level((1, 2, 3), 3000, 3, 1, 0.2, 2, True),
    "medium": Level((3, 5), 8000, 5, 2, 0.1, 3, True),
    "hard": Level((0,), 30000, 6, 3, 0.0, 4, True),
}


def scene(owner: str, calls: list[tuple[str, dict]]) -> dict:
    """A start for the class, as BFCL configures one, in which the things that the calls speak of exist."""

    def said(argument: str, *names: str) -> list:
        values = [args[argument] for name, args in calls if argument in args and (not names or name in names)]
        return list(dict.fromkeys(v for value in values for v in (value if isinstance(value, list) else [value])))

    called = {name for name, _ in calls}
    if owner == "TicketAPI":
        about = {"title": "request", "description": "", "status": "Open", "priority": 1, "created_by": "ana"}
        queue = [{"id": number, **about} for number in said("ticket_id")]
        return {"current_user": "ana", "ticket_counter": 10001, "ticket_queue": queue}
    if owner == "TwitterAPI":
        about = {"username": "ana", "content": "good morning", "tags": [], "mentions": []}
        return {
            "username": [*said("username", "authenticate_twitter"), "ana"][0],
            "password": [*said("password"), "secret"][0],
            "authenticated": "authenticate_twitter" not in called,
            "tweets": {str(number): {"id": number, **about} for number in said("tweet_id")},
            "following_list": said("username_to_unfollow"),
            "tweet_counter": 10001,
        }
    if owner == "MessageAPI":
        ids = dict.fromkeys([*said("receiver_id"), *said("user_id"), "USR900"])
        users = {f"User {number[3:]}": number for number in ids}
        users |= {name: f"USR0{place:02}" for place, name in enumerate(said("user"))}
        inbox = [{number: "good morning"} for number in said("receiver_id", "delete_message")]
        return {"user_map": users, "user_count": 900, "inbox": inbox, "current_user": "USR900"}
    if owner == "TradingBot":
        price = {"price": 25.5, "percent_change": 1.5, "volume": 2.5, "MA(5)": 25.0, "MA(20)": 24.5}
        order = {"order_type": "Buy", "symbol": "ABC", "price": 25.5, "amount": 2, "status": "Pending"}
        return {
            "authenticated": "trading_login" not in called,
            "market_status": "Open",
            "order_counter": 10001,
            "account_info": {"account_id": 1, "balance": 50000.0, "binding_card": 1},
            "orders": {str(number): {"id": number, **order} for number in said("order_id")},
            "stocks": {name: price for name in (*said("symbol"), *said("stock"), *said("stocks"))},
            "watch_list": said("symbol", "remove_stock_from_watchlist"),
        }
    if owner == "TravelAPI":
        flight = {"travel_from": "SFO", "travel_to": "LAX", "travel_date": "2026-05-05", "travel_class": "economy"}
        flight |= {"card_id": "100000000000", "travel_cost": 200.0, "transaction_id": "10000000"}
        return {
            "access_token": [*said("access_token"), "none"][0],
            "token_expires_in": 3600,
            "user_first_name": [*said("first_name"), "Ana"][0],
            "user_last_name": [*said("last_name"), "Lamp"][0],
            "credit_card_list": {card: {"balance": 50000.0} for card in (*said("card_id"), flight["card_id"])},
            "booking_record": {number: flight for number in said("booking_id")},
        }
    if owner == "VehicleControlAPI":
        return {"fuelLevel": 10.5}
    if owner == "GorillaFileSystem":
        written = "\n".join(["first line", *said("pattern"), "last line"])
        files = [*said("file_name1"), *said("file_name2"), *said("source")]
        files += said("file_name", *(called - {"touch"})) if called - {"touch"} else []
        contents = {name: {"type": "file", "content": written} for name in files}
        contents |= {n: {"type": "directory", "contents": {}} for n in (*said("folder"), *said("dir_name", "rmdir"))}
        return {"root": {"home": {"type": "directory", "contents": contents}}}
    return {}  # MathAPI has no state


def execute(owner: str, config: dict, calls: list[tuple[str, dict]]) -> list[tuple[str, bool]] | None:
    """For each call its result as BFCL hands it to a model, and whether it changed the class's public state.

    None when a call fails. Only for calls that are made here: what a model writes needs a Sandbox.
    """
    instance, results = official.executable(owner)(), []
    if owner != "MathAPI":
        instance._load_scenario(copy.deepcopy(config))

    def state():
        return copy.deepcopy({name: value for name, value in vars(instance).items() if not name.startswith("_")})

    for name, args in calls:
        before = state()
        try:
            result = getattr(instance, name)(**copy.deepcopy(args))
            shown = json.dumps(result) if isinstance(result, dict) else str(result)
        except Exception:  # whatever the class raises, the call is not one to learn from
            return None
        if "error" in shown.lower() or re.search(r'"(success|\w+_status)": false', shown):
            return None
        results.append((shown, state() != before))
    return results


def possible(function: dict, args: dict) -> dict:
    """The call as a possible answer: each argument with its one value; an optional one may be left at its default."""
    answer = {}
    for name, about in function["parameters"]["properties"].items():
        if name in args:
            answer[name] = [float(args[name]) if about["type"] == "float" else args[name]]
        else:
            answer[name] = [about["default"], ""] if about.get("default") not in (None, "None") else [""]
    return {function["name"]: answer}


def draw_call(rng: random.Random, request: Request, shared: dict) -> tuple[str, dict]:
    """(name, arguments); an access token, once said, stays the same for the whole task."""
    args = {name: VALUES.get(f"{request.name}.{name}", VALUES.get(name))(rng) for name in request.arguments}
    args |= {name: shared.setdefault(name, args[name]) for name in args if name == "access_token"}
    return request.name, args


@functools.cache
def fitting(owner: str, arguments: int, moving: bool) -> list[Request]:
    """The requests with at most so many arguments; moving: those alone whose call changes the state of the class."""

    def moves(request: Request) -> bool:
        call = draw_call(random.Random(0), request, {})
        return any(changed for _, changed in execute(owner, scene(owner, [call]), [call]) or ())

    return [r for r in requests(owner) if len(r.arguments) <= arguments and (not moving or moves(r))]


@functools.cache
def lengths(owner: str) -> dict[str, int]:
    """The characters of each description."""
    return {name: len(json.dumps(function)) for name, function in official.described(owner).items()}


def show(rng: random.Random, owner: str, needed: list[str], level: Level) -> list[dict] | None:
    """The tools of a prompt, the needed ones among others of the class in random order; None if they are too long."""
    length, chosen = lengths(owner), list(dict.fromkeys(needed))
    wanted, total = rng.choice(level.shown) or len(length), sum(length[name] for name in chosen)
    for name in rng.sample(list(length), len(length)):
        if len(chosen) < wanted and name not in chosen and total + length[name] <= level.characters:
            chosen.append(name)
            total += length[name]
    if len(chosen) < wanted or total > level.characters:
        return None
    return [official.described(owner)[name] for name in rng.sample(chosen, len(chosen))]


class Draw(NamedTuple):
    """What a task is made of: for each turn its calls, the sentences that ask for them, and their results."""

    owner: str
    calls: list[list[tuple[str, dict]]]
    said: list[str]
    results: list[list[str]]
    tools: list[dict]
    config: dict


def draw(rng: random.Random, split: str, level: Level, turns: int) -> Draw:
    """A task of the split whose calls are valid, and not official ones.

    In a task of several turns every call changes the state, so that the state tells whether a turn was served.
    """
    owners = [owner for owner in REQUESTS if fitting(owner, level.arguments, turns > 1)]
    while True:
        owner, shared = rng.choice(owners), {}
        sizes = [rng.randint(1, level.calls) for _ in range(turns)]
        chosen = rng.choices(fitting(owner, level.arguments, turns > 1), k=sum(sizes))
        calls = [draw_call(rng, request, shared) for request in chosen]
        keys = [call_key(*call) for call in calls]
        if data.split_of(tuple(keys)) != split or len(set(keys)) < len(keys) or official_calls() & set(keys):
            continue
        tools, config = show(rng, owner, [name for name, _ in calls], level), scene(owner, calls)
        results = execute(owner, config, calls) if tools else None
        if not results or (turns > 1 and not all(changed for _, changed in results)):
            continue
        said = [say(rng, request, args, level.plain) for request, (_, args) in zip(chosen, calls)]
        turn = [slice(sum(sizes[:n]), sum(sizes[: n + 1])) for n in range(turns)]
        shown = [[result for result, _ in results[part]] for part in turn]
        return Draw(owner, [calls[part] for part in turn], [" ".join(said[p]) for p in turn], shown, tools, config)


def noted(functions: list[dict], level: Level) -> list[dict]:
    return [{**function, "description": function["description"] + NOTE * level.note} for function in functions]


def gold_text(rng: random.Random, calls: list[tuple[str, dict]], python: float) -> str:
    """Calls as the official decoder wants them or, in a fraction `python` of the completions, in Python's syntax."""
    return call_text(calls) if rng.random() >= python else python_text(calls)


def single(rng: random.Random, split: str, level: Level = LEVELS["tiny"], python: float = 0.0) -> dict:
    """A task of one turn; python: see gold_text()."""
    task = draw(rng, split, level, turns=1)
    (calls,), (question,) = task.calls, task.said
    by_name = {tool["name"]: tool for tool in task.tools}
    kind = "parallel_multiple" if len(calls) > 1 else "multiple" if len(task.tools) > 1 else "simple"
    solution = json.dumps([possible(by_name[name], args) for name, args in calls])
    return {
        "id": f"synthetic_{kind}_{zlib.crc32(solution.encode())}",
        "category": f"synthetic_{kind}",
        "question": question,
        "prompt": offer([{"role": "user", "content": question}], noted(task.tools, level)),
        "completion": [{"role": "assistant", "content": gold_text(rng, calls, python)}],
        "functions": json.dumps(task.tools),
        "solution": solution,
    }


def multi(rng: random.Random, split: str, level: Level = LEVELS["tiny"], python: float = 0.0) -> dict:
    """A task of several turns in one class; python: see gold_text()."""
    task = draw(rng, split, level, turns=level.turns)
    turns, conversation = [[{"role": "user", "content": said}] for said in task.said], []
    for turn, calls, results in zip(turns, task.calls, task.results):
        completion = {"role": "assistant", "content": gold_text(rng, calls, python)}
        conversation += [*turn, completion, tool_message(results), DONE]
    solution = json.dumps([[call_string(*call) for call in calls] for calls in task.calls])
    return {
        "id": f"multi_turn_synthetic_{zlib.crc32(solution.encode())}",
        "category": "multi_turn_synthetic",
        "question": "\n".join(task.said),
        "prompt": offer(turns[0], noted(task.tools, level)),
        "completion": conversation[1:],
        "functions": json.dumps(task.tools),
        "solution": solution,
        "turns": json.dumps(turns),
        "initial_config": json.dumps({task.owner: task.config}),
        "involved_classes": json.dumps([task.owner]),
    }
