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
from BFCL.bfcl.sandbox import parse_call
from BFCL.bfcl.vocabulary import VALUES, Request, requests_of, say, texts_by_class, value
from common import data, runs
from common.calls import call_key, call_string, call_text, offer, python_text, tool_message

DONE = {"role": "assistant", "content": "Done."}  # a completion without a call ends a turn


class Level(NamedTuple):
    """How hard a task is."""

    tools: tuple[int, ...]  # numbers of tools in the prompt to draw from; 0 offers all of the class
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


@functools.cache
def official_calls() -> frozenset[str]:
    """The key of every call in a ground truth of BFCL's multi-turn categories."""
    keys = set()
    for category in official.MULTI:
        path = official.data_folder() / "possible_answer" / official.FILE.format(category)
        for row in runs.read_jsonl(path):
            calls = [call for turn in row["ground_truth"] for call in turn]
            keys |= {call_key(*parse_call(call)) for call in calls}
    return frozenset(keys)


def scene(owner: str, calls: list[tuple[str, dict]]) -> dict:
    """A start for the class, as BFCL configures one, in which the things that the calls speak of exist."""
    functions = {name for name, _ in calls}

    def values_of(argument: str, *names: str) -> list:
        """The different values of an argument, in the calls of these functions or of all; of a list, its parts."""
        values = {}
        for name, arguments in calls:
            if argument in arguments and (not names or name in names):
                value = arguments[argument]
                values |= dict.fromkeys(value if isinstance(value, list) else [value])
        return list(values)

    def first(argument: str, default, *names: str):
        return [*values_of(argument, *names), default][0]

    if owner == "TicketAPI":
        ticket = {"title": "request", "description": "", "status": "Open", "priority": 1, "created_by": "ana"}
        queue = [{"id": number, **ticket} for number in values_of("ticket_id")]
        return {"current_user": "ana", "ticket_counter": 10001, "ticket_queue": queue}
    if owner == "TwitterAPI":
        tweet = {"username": "ana", "content": "good morning", "tags": [], "mentions": []}
        return {
            "username": first("username", "ana", "authenticate_twitter"),
            "password": first("password", "secret"),
            "authenticated": "authenticate_twitter" not in functions,
            "tweets": {str(number): {"id": number, **tweet} for number in values_of("tweet_id")},
            "following_list": values_of("username_to_unfollow"),
            "tweet_counter": 10001,
        }
    if owner == "MessageAPI":
        ids = dict.fromkeys([*values_of("receiver_id"), *values_of("user_id"), "USR900"])
        users = {f"User {number[3:]}": number for number in ids}
        users |= {name: f"USR0{place:02}" for place, name in enumerate(values_of("user"))}
        inbox = [{number: "good morning"} for number in values_of("receiver_id", "delete_message")]
        return {"user_map": users, "user_count": 900, "inbox": inbox, "current_user": "USR900"}
    if owner == "TradingBot":
        stock = {"price": 25.5, "percent_change": 1.5, "volume": 2.5, "MA(5)": 25.0, "MA(20)": 24.5}
        order = {"order_type": "Buy", "symbol": "ABC", "price": 25.5, "amount": 2, "status": "Pending"}
        symbols = [*values_of("symbol"), *values_of("stock"), *values_of("stocks")]
        return {
            "authenticated": "trading_login" not in functions,
            "market_status": "Open",
            "order_counter": 10001,
            "account_info": {"account_id": 1, "balance": 50000.0, "binding_card": 1},
            "orders": {str(number): {"id": number, **order} for number in values_of("order_id")},
            "stocks": dict.fromkeys(symbols, stock),
            "watch_list": values_of("symbol", "remove_stock_from_watchlist"),
        }
    if owner == "TravelAPI":
        flight = {"travel_from": "SFO", "travel_to": "LAX", "travel_date": "2026-05-05", "travel_class": "economy"}
        flight |= {"card_id": "100000000000", "travel_cost": 200.0, "transaction_id": "10000000"}
        return {
            "access_token": first("access_token", "none"),
            "token_expires_in": 3600,
            "user_first_name": first("first_name", "Ana"),
            "user_last_name": first("last_name", "Lamp"),
            "credit_card_list": {card: {"balance": 50000.0} for card in [*values_of("card_id"), flight["card_id"]]},
            "booking_record": dict.fromkeys(values_of("booking_id"), flight),
        }
    if owner == "VehicleControlAPI":
        return {"fuelLevel": 10.5}
    if owner == "GorillaFileSystem":
        text = "\n".join(["first line", *values_of("pattern"), "last line"])
        files = [*values_of("file_name1"), *values_of("file_name2"), *values_of("source")]
        if functions - {"touch"}:
            files += values_of("file_name", *(functions - {"touch"}))
        contents = {name: {"type": "file", "content": text} for name in files}
        for name in [*values_of("folder"), *values_of("dir_name", "rmdir")]:
            contents[name] = {"type": "directory", "contents": {}}
        return {"root": {"home": {"type": "directory", "contents": contents}}}
    return {}  # MathAPI has no state


def public_state(instance) -> dict:
    return copy.deepcopy({name: value for name, value in vars(instance).items() if not name.startswith("_")})


def execute(owner: str, config: dict, calls: list[tuple[str, dict]]) -> list[tuple[str, bool]] | None:
    """For each call its result as BFCL hands it to a model, and whether it changed the class's public state.

    None when a call fails. Only for calls that are made here: what a model writes needs a Sandbox.
    """
    instance = official.executable(owner)()
    if owner != "MathAPI":
        instance._load_scenario(copy.deepcopy(config))
    results = []
    for name, arguments in calls:
        before = public_state(instance)
        try:
            result = getattr(instance, name)(**copy.deepcopy(arguments))
            text = json.dumps(result) if isinstance(result, dict) else str(result)
        except Exception:  # whatever the class raises, the call is not one to learn from
            return None
        if "error" in text.lower() or re.search(r'"(success|\w+_status)": false', text):
            return None
        results.append((text, public_state(instance) != before))
    return results


def possible_answer(function: dict, arguments: dict) -> dict:
    """The call as a possible answer: each argument with its one value; an optional one may be left at its default."""
    answer = {}
    for name, description in function["parameters"]["properties"].items():
        if name not in arguments:
            default = description.get("default")
            answer[name] = [""] if default in (None, "None") else [default, ""]
        elif description["type"] == "float":
            answer[name] = [float(arguments[name])]
        else:
            answer[name] = [arguments[name]]
    return {function["name"]: answer}


def draw_call(rng: random.Random, request: Request, tokens: dict) -> tuple[str, dict]:
    """(name, arguments); the access token, kept in `tokens`, stays the same for the whole task."""
    arguments = {}
    for name in request.arguments:
        kind = VALUES.get(f"{request.name}.{name}") or VALUES[name]
        arguments[name] = value(rng, kind)
        if name == "access_token":
            arguments[name] = tokens.setdefault(name, arguments[name])
    return request.name, arguments


@functools.cache
def fitting(owner: str, limit: int, changing: bool) -> list[Request]:
    """The requests with at most `limit` arguments; changing: those alone whose call changes the state of the class."""
    requests = []
    for request in requests_of(owner):
        if len(request.arguments) > limit:
            continue
        if changing:
            call = draw_call(random.Random(0), request, {})
            results = execute(owner, scene(owner, [call]), [call])
            if not results or not results[0][1]:
                continue
        requests.append(request)
    return requests


@functools.cache
def lengths_of(owner: str) -> dict[str, int]:
    """The characters of each description."""
    return {name: len(json.dumps(function)) for name, function in official.described(owner).items()}


def draw_tools(rng: random.Random, owner: str, needed: list[str], level: Level) -> list[dict] | None:
    """The tools of a prompt, the needed ones among others of the class in random order; None if they are too long."""
    lengths = lengths_of(owner)
    names = list(dict.fromkeys(needed))
    count = rng.choice(level.tools) or len(lengths)
    total = sum(lengths[name] for name in names)
    for name in rng.sample(list(lengths), len(lengths)):
        if len(names) < count and name not in names and total + lengths[name] <= level.characters:
            names.append(name)
            total += lengths[name]
    if len(names) < count or total > level.characters:
        return None
    return [official.described(owner)[name] for name in rng.sample(names, len(names))]


class Turn(NamedTuple):
    """The user asks for some calls."""

    question: str
    calls: list[tuple[str, dict]]
    results: list[str]


class Task(NamedTuple):
    owner: str  # the class
    tools: list[dict]  # descriptions
    config: dict  # the start of the class
    turns: list[Turn]

    @property
    def question(self) -> str:
        return "\n".join(turn.question for turn in self.turns)


def draw_task(rng: random.Random, split: str, level: Level, turns: int) -> Task:
    """A task of the split whose calls are valid, and not official ones.

    In a task of several turns every call changes the state, so that the state tells whether a turn was served.
    """
    changing = turns > 1
    owners = [owner for owner in texts_by_class() if fitting(owner, level.arguments, changing)]
    while True:
        owner = rng.choice(owners)
        sizes = [rng.randint(1, level.calls) for _ in range(turns)]
        requests = rng.choices(fitting(owner, level.arguments, changing), k=sum(sizes))
        tokens = {}
        calls = [draw_call(rng, request, tokens) for request in requests]
        keys = [call_key(*call) for call in calls]
        if data.split_of(tuple(keys)) != split or len(set(keys)) < len(keys) or official_calls() & set(keys):
            continue
        tools = draw_tools(rng, owner, [name for name, _ in calls], level)
        if tools is None:
            continue
        config = scene(owner, calls)
        results = execute(owner, config, calls)
        if not results or (changing and not all(changed for _, changed in results)):
            continue
        sentences = [say(rng, request, call[1], level.plain) for request, call in zip(requests, calls)]
        task = Task(owner, tools, config, [])
        start = 0
        for size in sizes:
            part = slice(start, start + size)
            texts = [text for text, _ in results[part]]
            task.turns.append(Turn(" ".join(sentences[part]), calls[part], texts))
            start += size
        return task


def prompt_of(task: Task, level: Level) -> list[dict]:
    """The messages before the first completion."""
    tools = task.tools
    if level.note:
        tools = [tool | {"description": tool["description"] + official.NOTE} for tool in tools]
    return offer([{"role": "user", "content": task.turns[0].question}], tools)


def gold_text(rng: random.Random, calls: list[tuple[str, dict]], python: float) -> str:
    """Calls as the official decoder wants them or, in a fraction `python` of the completions, in Python's syntax."""
    if rng.random() < python:
        return python_text(calls)
    return call_text(calls)


def single(rng: random.Random, split: str, level: Level = LEVELS["tiny"], python: float = 0.0) -> dict:
    """A task of one turn; python: see gold_text()."""
    task = draw_task(rng, split, level, turns=1)
    calls = task.turns[0].calls
    functions = {tool["name"]: tool for tool in task.tools}
    solution = json.dumps([possible_answer(functions[name], arguments) for name, arguments in calls])
    kind = "simple"
    if len(calls) > 1:
        kind = "parallel_multiple"
    elif len(task.tools) > 1:
        kind = "multiple"
    return {
        "id": f"synthetic_{kind}_{zlib.crc32(solution.encode())}",
        "category": f"synthetic_{kind}",
        "question": task.question,
        "prompt": prompt_of(task, level),
        "completion": [{"role": "assistant", "content": gold_text(rng, calls, python)}],
        "functions": json.dumps(task.tools),
        "solution": solution,
    }


def multi(rng: random.Random, split: str, level: Level = LEVELS["tiny"], python: float = 0.0) -> dict:
    """A task of several turns in one class; python: see gold_text()."""
    task = draw_task(rng, split, level, turns=level.turns)
    messages = []  # of the user, one a turn
    conversation = []
    truth = []
    for turn in task.turns:
        messages.append({"role": "user", "content": turn.question})
        gold = {"role": "assistant", "content": gold_text(rng, turn.calls, python)}
        conversation += [messages[-1], gold, tool_message(turn.results), DONE]
        truth.append([call_string(*call) for call in turn.calls])
    solution = json.dumps(truth)
    return {
        "id": f"multi_turn_synthetic_{zlib.crc32(solution.encode())}",
        "category": "multi_turn_synthetic",
        "question": task.question,
        "prompt": prompt_of(task, level),
        "completion": conversation[1:],
        "functions": json.dumps(task.tools),
        "solution": solution,
        "turns": json.dumps([[message] for message in messages]),
        "initial_config": json.dumps({task.owner: task.config}),
        "involved_classes": json.dumps([task.owner]),
    }
