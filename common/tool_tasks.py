"""The tasks whose answer is a call: BFCL's own entries, and tasks that code makes with the functions of BFCL's classes.

A task made here is a request in our words for one of BFCL's real functions, shown with its official description. Its
call is executed in the class itself, in a scene made for it, and kept only if it succeeds. No call that stands in an
official ground truth is ever used, and which split a task belongs to follows from a hash of its calls.

A row holds `prompt` and `completion` (messages; one after the other they are the gold conversation), `question` (what
the user says), and as JSON text, since their types vary, `functions` (descriptions), `solution` (possible answers as
BFCL writes them, for several turns its call strings) and for several turns `turns`, `initial_config`,
`involved_classes`.
"""

import copy
import functools
import importlib
import json
import random
import re
import zlib
from collections.abc import Callable
from typing import NamedTuple

from common import data, prompts, runs, tasks, toolcalls

SINGLE = (
    *("simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple", "irrelevance"),
    *("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance"),
)
MULTI = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
FILE = "BFCL_v4_{}.json"
NOTE = " Note that the provided function is in Python 3 syntax."  # load_dataset_entry() puts it behind a description
MORE = "I have updated some more functions you can choose from. What about now?"  # officially, where functions join
REFUSAL = "None of the functions can do this."


class Level(NamedTuple):
    """How hard a task is."""

    shown: tuple[int, ...]  # numbers of tools in the prompt to draw from; 0 shows all of the class
    characters: int  # of their descriptions together, at most
    arguments: int  # of a call, at most
    calls: int  # in one request, at most
    plain: float  # share of requests that name every argument as the schema does
    turns: int  # of the user, in tasks of several turns
    note: bool  # descriptions end with BFCL's note on the language, as in its own prompts


LEVELS = {
    "tiny": Level((1, 2), 1080, 3, 1, 0.3, 2, False),  # the note is 25 tokens of the tiny base's
    "easy": Level((1, 2, 3), 3000, 3, 1, 0.2, 2, True),
    "medium": Level((3, 5), 8000, 5, 2, 0.1, 3, True),
    "hard": Level((0,), 30000, 6, 3, 0.0, 4, True),
}


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
    return lambda rng: rng.randint(10, 10 * high) / 10 if rng.random() < 0.5 else rng.randint(1, high)


def one_of(*options) -> Callable:
    return lambda rng: rng.choice(options)


def several(kind: Callable) -> Callable:
    """Two to four values of a kind, none twice."""

    def draw(rng):
        wanted, values = rng.randint(2, 4), []
        while len(values) < wanted:
            value = kind(rng)
            values += [] if value in values else [value]
        return values

    return draw


def text(rng):
    number = f" {rng.randint(2, 99)}" if rng.random() < 0.5 else ""
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
    return "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.choice((3, 4))))


def member(rng):
    return f"USR{rng.randint(100, 899)}"


def digits(n: int) -> Callable:
    return lambda rng: str(rng.randint(10 ** (n - 1), 10**n - 1))


def date(first: int, last: int) -> Callable:
    return lambda rng: f"{rng.randint(first, last)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def address(rng):
    return f"{rng.randint(1, 299)} {rng.choice(STREETS)}, {rng.choice(TOWNS)}"


KINDS = {  # of the arguments; where two functions mean different things by a name, "function.argument"
    name: kind
    for names, kind in {
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
    }.items()
    for name in names.split()
}

# Requests for each function, in the words that come after "please". A request names the arguments of its call.
REQUESTS = {
    "TicketAPI": """
close_ticket: close ticket {ticket_id} | mark ticket number {ticket_id} as closed | shut ticket {ticket_id}
get_ticket: show me ticket {ticket_id} | look up ticket number {ticket_id} | tell me what ticket {ticket_id} says
resolve_ticket: resolve ticket {ticket_id} with '{resolution}' |
  put down '{resolution}' as the resolution of ticket {ticket_id} |
  mark ticket {ticket_id} as resolved and note '{resolution}'
create_ticket: open a ticket of priority {priority} called '{title}' |
  create a ticket with the title '{title}' and priority {priority} |
  create a ticket '{title}' that says '{description}', with priority {priority} |
  file a ticket of priority {priority} with the description '{description}' and the title '{title}'
ticket_login: log me in to the ticket system as {username} with the password {password} |
  use the password {password} to sign in {username} for tickets
""",
    "TwitterAPI": """
retweet: retweet number {tweet_id} | share tweet {tweet_id} again | pass on the tweet with the ID {tweet_id}
comment: comment '{comment_content}' on tweet {tweet_id} |
  reply to tweet {tweet_id} with the comment '{comment_content}' | leave '{comment_content}' under tweet {tweet_id}
follow_user: follow {username_to_follow} | start following the user {username_to_follow}
unfollow_user: unfollow {username_to_unfollow} | stop following the user {username_to_unfollow}
post_tweet: tweet '{content}' | post a tweet that says '{content}'
get_tweet: show me tweet {tweet_id} | get the tweet with the number {tweet_id}
get_tweet_comments: list the comments on tweet {tweet_id} | show what people wrote under tweet {tweet_id}
get_user_stats: show the statistics of the user {username} | count the tweets and retweets of {username}
mention: mention {mentioned_usernames} in tweet {tweet_id} |
  add {mentioned_usernames} to the mentions of tweet {tweet_id}
authenticate_twitter: sign me in to Twitter as {username} with the password {password} |
  use the password {password} to log {username} in to Twitter
""",
    "MessageAPI": """
get_user_id: find the user ID of {user} | look up which ID {user} has | tell me the ID that belongs to {user}
message_login: log in to the messages as {user_id} | sign the user {user_id} in for messages
send_message: send '{message}' to {receiver_id} | message {receiver_id} that '{message}' |
  write to {receiver_id} that '{message}'
delete_message: delete my last message to {receiver_id} | take back what I sent to {receiver_id} last
add_contact: add {user_name} to the contacts | make a new contact for {user_name}
search_messages: search the messages for '{keyword}' | find messages in which '{keyword}' stands
""",
    "TradingBot": """
add_to_watchlist: add {stock} to the watchlist | put the stock {stock} on my watchlist | watch {stock} for me
remove_stock_from_watchlist: remove {symbol} from the watchlist | take the stock {symbol} off my watchlist |
  strike {symbol} from my watchlist
get_stock_info: show the details of the stock {symbol} | tell me how {symbol} is doing
cancel_order: cancel order {order_id} | call off the order with the number {order_id}
get_order_details: show me the details of order {order_id} | look up order number {order_id}
fund_account: pay {amount} dollars into my account | fund the account with {amount} | deposit {amount} dollars
withdraw_funds: take {amount} dollars out of my account | withdraw {amount} from the account
trading_login: log me in for trading as {username} with the password {password} |
  use the password {password} to sign {username} in to the trading system
place_order: place a {order_type} order for {amount} shares of {symbol} at {price} dollars |
  use the price {price} to place an order of type {order_type} for {symbol}, {amount} shares
filter_stocks_by_price: pick from the stocks {stocks} those that cost between {min_price} and {max_price} |
  keep those that cost at most {max_price} and at least {min_price} of the stocks {stocks}
notify_price_change: tell me if the price of {stocks} changed by {threshold} percent |
  use a threshold of {threshold} to notify me of price changes of {stocks}
""",
    "TravelAPI": """
cancel_booking: cancel the booking {booking_id}, my access token is {access_token} |
  use the access token {access_token} to cancel booking {booking_id}
set_budget_limit: set my budget limit to {budget_limit} dollars with the access token {access_token} |
  use the access token {access_token} to limit the budget to {budget_limit}
get_credit_card_balance: show the balance of the card {card_id}, the access token is {access_token} |
  use the access token {access_token} to look up what is left on the card {card_id}
compute_exchange_rate: change {value} {base_currency} into {target_currency} |
  work out how many {target_currency} I get for {value} {base_currency}
get_flight_cost: find out what a {travel_class} class flight from {travel_from} to {travel_to} costs on {travel_date} |
  price a flight to {travel_to} from {travel_from} on {travel_date} in {travel_class} class
contact_customer_support: tell the customer support '{message}', it is about booking {booking_id} |
  contact support about the booking {booking_id} and say '{message}'
register_credit_card: register the credit card {card_number} of {cardholder_name} that expires {expiration_date} and
  has the verification number {card_verification_number}, the access token is {access_token} |
  use the access token {access_token} to add the card {card_number}, verification number {card_verification_number},
  which expires {expiration_date} and belongs to {cardholder_name}
book_flight: book a {travel_class} class flight to {travel_to} from {travel_from} on {travel_date}, paid with the card
  {card_id}, the access token is {access_token} |
  use the access token {access_token} and the card {card_id} to book a flight from {travel_from} to {travel_to} in
  {travel_class} class on {travel_date}
verify_traveler_information: verify {first_name} {last_name}, born {date_of_birth}, passport {passport_number} |
  check the passport {passport_number} of {first_name} {last_name}, born {date_of_birth}
""",
    "VehicleControlAPI": """
fillFuelTank: fill {fuelAmount} gallons into the tank | add {fuelAmount} gallons of fuel to the car
set_navigation: navigate to {destination} | set {destination} as the destination of the car
liter_to_gallon: convert {liter} liters to gallons | work out how many gallons {liter} liters are
gallon_to_liter: convert {gallon} gallons to liters | work out how many liters {gallon} gallons are
estimate_drive_feasibility_by_mileage: check if the car can drive {distance} miles |
  tell me if there is enough fuel for {distance} miles
setHeadlights: switch the headlights to {mode} | set the headlights to the mode {mode}
activateParkingBrake: set the parking brake to {mode}
pressBrakePedal: press the brake pedal to the position {pedalPosition}
display_log: display the log messages {messages} | show {messages} in the log
lockDoors: set unlock to {unlock} for the doors {door} | treat the doors {door} with unlock {unlock}
adjustClimateControl: set the climate to {temperature} degrees celsius with fan speed {fanSpeed} in the mode {mode} |
  put the climate control to the mode {mode}, fan speed {fanSpeed}, {temperature} degrees celsius
""",
    "GorillaFileSystem": """
cat: show what is in {file_name} | print the file {file_name}
sort: sort the lines of {file_name} | put the lines of the file {file_name} in order
touch: create an empty file {file_name} | make a new file named {file_name}
rm: remove the file {file_name} | delete {file_name}
mkdir: make a folder {dir_name} | create a new directory called {dir_name}
rmdir: remove the empty folder {dir_name} | delete the directory {dir_name}
cd: go into the folder {folder} | change the directory to {folder}
grep: find the lines with '{pattern}' in {file_name} | search {file_name} for the pattern '{pattern}'
tail: show the last {lines} lines of {file_name} | print the end of {file_name}, {lines} lines
echo: write '{content}' into {file_name} | put into the file {file_name} the text '{content}'
diff: compare {file_name1} with {file_name2} | show how {file_name1} differs from {file_name2}
cp: copy {source} to {destination} | make a copy of {source} and name it {destination}
mv: rename {source} to {destination} | give {source} the new name {destination}
""",
    "MathAPI": """
add: add {a} and {b} | work out {a} plus {b}
subtract: subtract {b} from {a} | work out {a} minus {b} | take {b} away from {a}
multiply: multiply {a} by {b} | work out {a} times {b}
divide: divide {a} by {b} | find out how often {b} goes into {a}
power: raise {base} to the power of {exponent} | use the exponent {exponent} on {base}
percentage: work out what percentage of {whole} the part {part} is | tell me how many percent {part} is of {whole}
absolute_value: find the absolute value of {number} | drop the sign of the number {number}
round_number: round {number} to {decimal_places} decimal places | keep {decimal_places} decimal places of {number}
mean: find the mean of {numbers} | take {numbers} and tell me the mean
sum_values: find the sum of {numbers} | take {numbers} and tell me the sum
max_value: find the maximum of {numbers} | take {numbers} and tell me the maximum
min_value: find the minimum of {numbers} | take {numbers} and tell me the minimum
standard_deviation: find the standard deviation of {numbers} | take {numbers} and tell me the standard deviation
si_unit_conversion: convert {value} {unit_in} to {unit_out} |
  tell me how many {unit_out} there are in {value} {unit_in}
""",
}
OPENINGS = ("{}.", "Please {}.", "Could you {}?", "I want you to {}.", "{}, please.", "Now {}.", "Can you {}?")
PLAIN = ("Please {0} with {1}.", "{0} for {1}.", "With {1}, {0}.", "I want to {0}: {1}.", "Use {1} to {0}.")


class Wish(NamedTuple):
    """A request for a function and the names of the arguments in it."""

    name: str
    request: str
    arguments: tuple[str, ...]


@functools.cache
def wishes(owner: str) -> list[Wish]:
    """Every request for a function of a class, the arguments in the order of the function's description."""
    found = []
    for line in re.sub(r"\n  ", " ", REQUESTS[owner]).strip().splitlines():
        name, _, requests = line.partition(": ")
        fields = described(owner)[name]["parameters"]["properties"]
        for request in requests.split(" | "):
            found.append(Wish(name, request, tuple(field for field in fields if f"{{{field}}}" in request)))
    return found


def spoken(value) -> str:
    """A value as a user says it."""
    if isinstance(value, list):
        parts = [spoken(part) for part in value]
        return ", ".join(parts[:-1]) + (" and " if parts[:-1] else "") + parts[-1]
    return str(value).lower() if isinstance(value, bool) else str(value)


def words(name: str) -> str:
    """close_ticket and fillFuelTank as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


def say(rng: random.Random, wish: Wish, args: dict, plain: float) -> str:
    """A sentence that asks for the call."""
    if rng.random() < plain:
        parts = [f"{words(name)} {spoken(value)}" for name, value in args.items()]
        rng.shuffle(parts)
        said = rng.choice(PLAIN).format(words(wish.name), spoken(parts))
    else:
        said = rng.choice(OPENINGS).format(wish.request.format(**{name: spoken(args[name]) for name in args}))
    return said[0].upper() + said[1:]


def call_text(calls: list[tuple[str, dict]], ascii_only: bool = False) -> str:
    """Calls, each a name and arguments, as the official decoder wants them; its conversations hold ASCII alone."""
    made = [json.dumps({"name": name, "arguments": args}, ensure_ascii=ascii_only) for name, args in calls]
    return "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in made)


def reply_text(rng: random.Random, calls: list[tuple[str, dict]], python: float) -> str:
    """Calls as the official decoder wants them or, in `python` of the replies, in Python's syntax, which it refuses."""
    if rng.random() >= python:
        return call_text(calls)
    return "\n".join(f"<tool_call>\n{call_string(*call)}\n</tool_call>" for call in calls)


def call_string(name: str, args: dict) -> str:
    """A call as an official multi-turn ground truth writes it."""
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in args.items())})"


def call_key(name: str, args: dict) -> str:
    """What identifies a call: its function, and its arguments in any order."""
    return json.dumps([name, args], sort_keys=True)


@functools.cache
def described(owner: str) -> dict[str, dict]:
    """The official descriptions of a class's functions by name, in their order."""
    path = data.bfcl_folder() / "multi_turn_func_doc" / toolcalls.DOCUMENTS[owner]
    return {function["name"]: function for function in runs.read_jsonl(path)}


@functools.cache
def official_calls() -> frozenset[str]:
    """The key of every call in a ground truth of BFCL's multi-turn categories."""
    rows = [
        row for name in MULTI for row in runs.read_jsonl(data.bfcl_folder() / "possible_answer" / FILE.format(name))
    ]
    return frozenset(
        call_key(*toolcalls.parse_call(call)) for row in rows for turn in row["ground_truth"] for call in turn
    )


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

    None when a call fails. Only for calls that are made here: what a model writes needs common/toolcalls.py.
    """
    file = toolcalls.DOCUMENTS[owner].removesuffix(".json")
    module = importlib.import_module(f"bfcl_eval.eval_checker.multi_turn_eval.func_source_code.{file}")
    instance, results = getattr(module, owner)(), []
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


def draw_call(rng: random.Random, wish: Wish, shared: dict) -> tuple[str, dict]:
    """(name, arguments); an access token, once said, stays the same for the whole task."""
    args = {name: KINDS.get(f"{wish.name}.{name}", KINDS.get(name))(rng) for name in wish.arguments}
    args |= {name: shared.setdefault(name, args[name]) for name in args if name == "access_token"}
    return wish.name, args


@functools.cache
def fitting(owner: str, arguments: int, moving: bool) -> list[Wish]:
    """The requests with at most so many arguments; moving: those alone whose call changes the state of the class."""

    def moves(wish: Wish) -> bool:
        call = draw_call(random.Random(0), wish, {})
        return any(changed for _, changed in execute(owner, scene(owner, [call]), [call]) or ())

    return [w for w in wishes(owner) if len(w.arguments) <= arguments and (not moving or moves(w))]


@functools.cache
def lengths(owner: str) -> dict[str, int]:
    """The characters of each description."""
    return {name: len(json.dumps(function)) for name, function in described(owner).items()}


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
    return [described(owner)[name] for name in rng.sample(chosen, len(chosen))]


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
        calls = [draw_call(rng, wish, shared) for wish in chosen]
        keys = [call_key(*call) for call in calls]
        if tasks.split_of(tuple(keys)) != split or len(set(keys)) < len(keys) or official_calls() & set(keys):
            continue
        tools, config = show(rng, owner, [name for name, _ in calls], level), scene(owner, calls)
        results = execute(owner, config, calls) if tools else None
        if not results or (turns > 1 and not all(changed for _, changed in results)):
            continue
        said = [say(rng, wish, args, level.plain) for wish, (_, args) in zip(chosen, calls)]
        turn = [slice(sum(sizes[:n]), sum(sizes[: n + 1])) for n in range(turns)]
        shown = [[result for result, _ in results[part]] for part in turn]
        return Draw(owner, [calls[part] for part in turn], [" ".join(said[p]) for p in turn], shown, tools, config)


def offer(turn: list[dict], functions: list[dict]) -> list[dict]:
    """The messages of a first turn with the functions offered in the system prompt, as the official handler does."""
    if not functions:
        return turn
    offered = prompts.tools_prompt([json.dumps(function) for function in functions])
    own, rest = (turn[0]["content"] + "\n\n", turn[1:]) if turn[0]["role"] == "system" else ("", turn)
    return [{"role": "system", "content": own + offered}, *rest]


def noted(functions: list[dict], level: Level) -> list[dict]:
    return [{**function, "description": function["description"] + NOTE * level.note} for function in functions]


def single(rng: random.Random, split: str, level: Level = LEVELS["tiny"], python: float = 0.0) -> dict:
    """A task of one turn; python: see reply_text()."""
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
        "completion": [{"role": "assistant", "content": reply_text(rng, calls, python)}],
        "functions": json.dumps(task.tools),
        "solution": solution,
    }


def tool_message(results: list[str]) -> dict:
    """The results of a turn's calls as Qwen's template writes them: one user message."""
    return {"role": "user", "content": "\n".join(f"<tool_response>\n{result}\n</tool_response>" for result in results)}


DONE = {"role": "assistant", "content": "Done."}  # a reply without a call ends a turn


def multi(rng: random.Random, split: str, level: Level = LEVELS["tiny"], python: float = 0.0) -> dict:
    """A task of several turns in one class; python: see reply_text()."""
    task = draw(rng, split, level, turns=level.turns)
    turns, conversation = [[{"role": "user", "content": said}] for said in task.said], []
    for turn, calls, results in zip(turns, task.calls, task.results):
        reply = {"role": "assistant", "content": reply_text(rng, calls, python)}
        conversation += [*turn, reply, tool_message(results), DONE]
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


def gold_value(options):
    """The first of the possible values of an argument, "" for leaving it out. Deep inside, values have no list."""
    value = options if not isinstance(options, list) else options[0] if options else ""
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        return [gold_arguments(part) for part in value]
    return gold_arguments(value) if isinstance(value, dict) else value


def gold_arguments(possible: dict) -> dict:
    values = {name: gold_value(options) for name, options in possible.items()}
    return {name: value for name, value in values.items() if value != ""}


def gold_reply(functions: list[dict], answer: list[dict], category: str) -> str | None:
    """A reply that the official checker accepts; None where the first possible values do not make one."""
    if "irrelevance" in category:
        return REFUSAL
    calls = [(name, gold_arguments(possible)) for one in answer for name, possible in one.items()]
    if "java" in category:  # its arguments are the source text of a value, JavaScript's too
        source = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in args.items()} for _, args in calls]
        calls = [(name, args) for (name, _), args in zip(calls, source)]
    verdict = toolcalls.score_single([{name: args} for name, args in calls], functions, answer, category)
    return call_text(calls) if verdict["valid"] and calls else None


def official(category: str) -> list[dict]:
    """The rows of a category of BFCL, with the prompt that its evaluation sends and the descriptions that it checks by.

    Of one turn: with `completion` where there is a gold reply. Of several turns: without; a turn that has no message of
    the user brings functions along, which its official message offers.
    """
    bfcl = toolcalls.bfcl()
    shown = bfcl.load_dataset_entry(category)
    # Several turns are not checked by descriptions.
    plain = shown if category in MULTI else bfcl.load_dataset_entry(category, include_language_specific_hint=False)
    answered = (data.bfcl_folder() / "possible_answer" / FILE.format(category)).exists()
    truths = {row["id"]: row["ground_truth"] for row in bfcl.load_ground_truth_entry(category)} if answered else {}
    rows = []
    for entry, unnoted in zip(shown, plain):
        turns, truth = entry["question"], truths.get(entry["id"], [])
        for turn, functions in entry.get("missed_function", {}).items():
            turns[int(turn)] = [{"role": "user", "content": f"{functions}\n{MORE}"}]
        said = [message["content"] for turn in turns for message in turn if message["role"] == "user"]
        row = {
            "id": entry["id"],
            "category": category,
            "question": "\n".join(said),
            "prompt": offer(turns[0], entry["function"]),
            "functions": json.dumps(unnoted["function"]),
            "solution": json.dumps(truth),
        }
        if category in MULTI:
            named = {"turns": turns, "initial_config": entry["initial_config"]}
            named["involved_classes"] = entry["involved_classes"]
            row |= {name: json.dumps(value) for name, value in named.items()}
        elif reply := gold_reply(unnoted["function"], truth, category):
            row["completion"] = [{"role": "assistant", "content": reply}]
        rows.append(row)
    return rows
