"""How a user asks for a call: what values arguments take, and requests for each function in our own words."""

import functools
import random
import re
from collections.abc import Callable
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


VALUES = {  # of the arguments; where two functions mean different things by a name, "function.argument"
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


class Request(NamedTuple):
    """A request for a function and the names of the arguments in it."""

    name: str
    text: str
    arguments: tuple[str, ...]


@functools.cache
def requests(owner: str) -> list[Request]:
    """Every request for a function of a class, the arguments in the order of the function's description."""
    found = []
    for line in re.sub(r"\n  ", " ", REQUESTS[owner]).strip().splitlines():
        name, _, texts = line.partition(": ")
        fields = official.described(owner)[name]["parameters"]["properties"]
        for text in texts.split(" | "):
            found.append(Request(name, text, tuple(field for field in fields if f"{{{field}}}" in text)))
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


def say(rng: random.Random, request: Request, args: dict, plain: float) -> str:
    """A sentence that asks for the call."""
    if rng.random() < plain:
        parts = [f"{words(name)} {spoken(value)}" for name, value in args.items()]
        rng.shuffle(parts)
        said = rng.choice(PLAIN).format(words(request.name), spoken(parts))
    else:
        said = rng.choice(OPENINGS).format(request.text.format(**{name: spoken(args[name]) for name in args}))
    return said[0].upper() + said[1:]
