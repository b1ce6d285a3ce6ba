"""Which calls may be executed: a documented method by its plain name, with bounded literal arguments.

Text of a model is taken apart as a syntax tree; none of it is evaluated.
"""

import ast
import functools

from BFCL.bfcl import official

# Bounds of a call that is executed; every ground truth lies far within them (the longest string has 6690 characters).
MAX_CHARS = 20_000  # of all strings of a call
MAX_ITEMS = 500  # of values in all lists and dictionaries of a call
MAX_DEPTH = 6
MAX_NUMBER = 10**18
# Arguments whose size is the cost of the call: the digits to compute, the power to raise to.
MAX_COST = dict.fromkeys(("precision", "exponent", "decimal_places"), 1000)

ERROR = "Error during execution: "  # how the official executor begins what went wrong


def parse_call(call: dict | str) -> list | str:
    """[name, {argument: value}] of a call that may be executed, else the error that is its result. Never raises.

    May be executed: a documented method by its plain name, with literal arguments within the bounds above.
    """
    try:
        name, arguments = _from_text(call) if isinstance(call, str) else next(iter(call.items()))
        if not isinstance(call, str) and len(call) != 1:
            raise ValueError("a call has one name")
        if not isinstance(name, str) or name not in _parameters():
            raise ValueError(f"name '{str(name)[:100]}' is not defined")
        if not isinstance(arguments, dict):
            raise ValueError("the arguments are not named")
        _check(arguments)
    except Exception as error:  # noqa: BLE001  the parser has a dozen ways to refuse a text
        return f"{ERROR}{str(error)[:200] or 'this is not a call'}"
    return [name, arguments]


@functools.cache
def _parameters() -> dict[str, list[str]]:
    """{method: its parameters in order} over all classes; no two of them share a name."""
    return {method: names for methods in official.documented().values() for method, names in methods.items()}


def _from_text(text: str) -> tuple[str, dict]:
    """Name and arguments of Python text: one call of a plain name with literal arguments, or an error."""
    if len(text) > MAX_CHARS:
        raise ValueError("the call is too long")
    call = ast.parse(text, mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError("only a plain function name can be called")
    name, keys = call.func.id, [keyword.arg for keyword in call.keywords]
    if not text.startswith(name):
        raise ValueError("the name is not written as it is")  # Python takes other letters for ASCII ones
    keys = _parameters().get(name, [])[: len(call.args)] + keys
    values = [ast.literal_eval(node) for node in (*call.args, *(keyword.value for keyword in call.keywords))]
    if None in keys or len(set(keys)) < len(values):
        raise ValueError("arguments are unpacked, repeated or too many")
    return name, dict(zip(keys, values))


def _check(arguments: dict) -> None:
    """ValueError unless the arguments are literals of JSON within the bounds."""
    for key, value in arguments.items():
        if key in MAX_COST and isinstance(value, (int, float)) and not abs(value) <= MAX_COST[key]:
            raise ValueError(f"{key} is too large")
    chars, level = 0, [arguments]
    for _ in range(MAX_DEPTH):
        below = []
        for value in level:
            if isinstance(value, dict):
                below += [key if isinstance(key, str) else ... for key in value]
                below += value.values()
            elif isinstance(value, (list, tuple)):
                below += value
            elif isinstance(value, str):
                chars += len(value)
            elif isinstance(value, (int, float)):
                if not abs(value) <= MAX_NUMBER:  # so that NaN is refused too
                    raise ValueError("a number is too large or none")
            elif value is not None:
                raise ValueError(f"{type(value).__name__} is no literal of JSON")
        level = below
        if chars > MAX_CHARS or len(level) > MAX_ITEMS:
            raise ValueError("the arguments are too long")
    if level:
        raise ValueError("the arguments are nested too deep")
