"""What bfcl-eval brings: its checkers, its executable classes with their descriptions, and its entries as rows."""

import functools
import importlib.util
import inspect
import json
import os
import re
import sys
import types
from pathlib import Path

from common import runs
from common.calls import call_text, offer

INSTALL = "pip install -r requirements/bfcl-imports.txt, then pip install --no-deps -r requirements/bfcl.txt"
MODEL = "Qwen/Qwen3-0.6B-FC"  # whose rules the checkers apply: function names keep their dots

# The classes of the multi-turn categories and the files that document their methods.
DOCUMENTS = {
    "GorillaFileSystem": "gorilla_file_system.json",
    "MathAPI": "math_api.json",
    "MessageAPI": "message_api.json",
    "TwitterAPI": "posting_api.json",
    "TicketAPI": "ticket_api.json",
    "TradingBot": "trading_bot.json",
    "TravelAPI": "travel_booking.json",
    "VehicleControlAPI": "vehicle_control.json",
}
SINGLE = (
    *("simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple", "irrelevance"),
    *("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance"),
)
MULTI = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
FILE = "BFCL_v4_{}.json"
NOTE = " Note that the provided function is in Python 3 syntax."  # load_dataset_entry() puts it behind a description
MORE = "I have updated some more functions you can choose from. What about now?"  # officially, where functions join
REFUSAL = "None of the functions can do this."

# Bounds of a Java or JavaScript argument, which the official checker takes apart with regular expressions that
# backtrack: the worst text that we found takes 0.2 s with these, without them for ever. The longest truth has 160.
MAX_CODE_CHARS = 300
MAX_CODE_BRACKETS = 12
LONG_GAP = re.compile(r"\s{9}")

# bfcl-eval makes its folders when it is imported, among the installed packages unless it is told where.
os.environ.setdefault("BFCL_PROJECT_ROOT", str(runs.OUTPUTS / "bfcl"))


def data_folder() -> Path:
    """The folder of BFCL's official data in the installed bfcl_eval; ends the script when it is not installed."""
    package = importlib.util.find_spec("bfcl_eval")  # not imported: importing makes folders and takes seconds
    if not package:
        runs.fail(f"bfcl-eval is not installed; {INSTALL}")
    return Path(package.submodule_search_locations[0]) / "data"


@functools.cache
def bfcl() -> types.SimpleNamespace:
    """The official functions: ast_checker, find_description, simple_function_checker, load_dataset_entry,
    load_ground_truth_entry, Language. Ends the script where bfcl-eval is not installed.

    The checker imports a table of a hundred model handlers (20 cloud clients, 10 s) to look one flag up, whether dots
    in function names were replaced; for the time of that import one row stands in for the table.
    """
    table = "bfcl_eval.constants.model_config"
    stand_in = types.ModuleType(table)
    stand_in.MODEL_CONFIG_MAPPING = {MODEL: types.SimpleNamespace(underscore_to_dot=False)}
    try:
        sys.modules.setdefault(table, stand_in)
        from bfcl_eval.constants.enums import Language
        from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker, find_description, simple_function_checker
        from bfcl_eval.utils import load_dataset_entry, load_ground_truth_entry
    except ImportError as error:
        runs.fail(f"bfcl-eval cannot be imported ({error}); {INSTALL}")
    finally:
        if sys.modules.get(table) is stand_in:
            del sys.modules[table]
    return types.SimpleNamespace(
        Language=Language,
        ast_checker=ast_checker,
        find_description=find_description,
        simple_function_checker=simple_function_checker,
        load_dataset_entry=load_dataset_entry,
        load_ground_truth_entry=load_ground_truth_entry,
    )


@functools.cache
def executable(name: str) -> type:
    """One of BFCL's classes. Imports nothing but its module; ends the script where bfcl-eval is not installed."""
    try:
        from bfcl_eval.constants.executable_backend_config import CLASS_FILE_PATH_MAPPING

        return getattr(importlib.import_module(CLASS_FILE_PATH_MAPPING[name]), name)
    except ImportError as error:
        runs.fail(f"bfcl-eval cannot be imported ({error}); {INSTALL}")


@functools.cache
def described(name: str) -> dict[str, dict]:
    """The official descriptions of a class's methods by their names, in their order."""
    path = data_folder() / "multi_turn_func_doc" / DOCUMENTS[name]
    return {method["name"]: method for method in runs.read_jsonl(path)}


@functools.cache
def documented() -> dict[str, dict[str, list[str]]]:
    """{class: {method: its parameters in order}} of the executable classes: the only methods that are ever called."""
    methods = {}
    for name in DOCUMENTS:
        methods[name] = {}
        for method in described(name):
            signature = inspect.signature(getattr(executable(name), method))
            methods[name][method] = list(signature.parameters)[1:]  # without self
    return methods


def language_of(category: str):
    """The language whose literals the arguments are, as the official runner takes it from the category."""
    if "javascript" in category:
        return bfcl().Language.JAVASCRIPT
    if "java" in category:
        return bfcl().Language.JAVA
    return bfcl().Language.PYTHON


def is_checkable(arguments, language) -> bool:
    """Whether the checker ends soon: Java and JavaScript text is bounded before its expressions see it."""
    if language == bfcl().Language.PYTHON or not isinstance(arguments, dict):
        return True
    for value in arguments.values():
        if not isinstance(value, str):
            continue
        if len(value) > MAX_CODE_CHARS or value.count("[") > MAX_CODE_BRACKETS or LONG_GAP.search(value):
            return False
    return True


def is_valid(calls: list[dict], functions: list[dict], answer: list[dict], category: str) -> bool:
    """The verdict of the official checker on calls of one turn, each a dictionary; False where it raises."""
    language = language_of(category)
    for call in calls:
        if len(call) != 1 or not is_checkable(next(iter(call.values())), language):
            return False
    try:
        return bfcl().ast_checker(functions, calls, answer, language, category, MODEL)["valid"]
    except Exception:  # noqa: BLE001  it indexes what a model gave without looking: whatever it raises is not valid
        return False


def gold_value(options):
    """The first of the possible values of an argument, "" for leaving it out. Deep inside, values have no list."""
    value = options
    if isinstance(options, list):
        value = options[0] if options else ""
    if isinstance(value, dict):
        return gold_arguments(value)
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        return [gold_arguments(part) for part in value]
    return value


def gold_arguments(possible: dict) -> dict:
    arguments = {}
    for name, options in possible.items():
        value = gold_value(options)
        if value != "":
            arguments[name] = value
    return arguments


def gold_completion(functions: list[dict], answer: list[dict], category: str) -> str | None:
    """A completion that the official checker accepts; None where the first possible values do not make one."""
    if "irrelevance" in category:
        return REFUSAL
    calls = []
    for name, possible in (pair for call in answer for pair in call.items()):
        arguments = gold_arguments(possible)
        if "java" in category:  # its arguments are the source text of a value, JavaScript's too
            for key, value in arguments.items():
                arguments[key] = value if isinstance(value, str) else json.dumps(value)
        calls.append((name, arguments))
    if calls and is_valid([{name: arguments} for name, arguments in calls], functions, answer, category):
        return call_text(calls)
    return None


def rows_of(category: str) -> list[dict]:
    """The rows of a category of BFCL, with the prompt that its evaluation sends and the descriptions that it checks by.

    Of one turn: with `completion`, where there is a gold one. Of several turns: without; a turn that has no message of
    the user brings functions along, which its official message offers.
    """
    entries = bfcl().load_dataset_entry(category)
    documents = entries  # several turns are not checked by descriptions
    if category not in MULTI:
        documents = bfcl().load_dataset_entry(category, include_language_specific_hint=False)
    truths = {}
    if (data_folder() / "possible_answer" / FILE.format(category)).exists():
        truths = {truth["id"]: truth["ground_truth"] for truth in bfcl().load_ground_truth_entry(category)}
    rows = []
    for entry, document in zip(entries, documents):
        turns = entry["question"]
        for turn, functions in entry.get("missed_function", {}).items():
            turns[int(turn)] = [{"role": "user", "content": f"{functions}\n{MORE}"}]
        messages = [message for turn in turns for message in turn]
        truth = truths.get(entry["id"], [])
        row = {
            "id": entry["id"],
            "category": category,
            "question": "\n".join(message["content"] for message in messages if message["role"] == "user"),
            "prompt": offer(turns[0], entry["function"]),
            "functions": json.dumps(document["function"]),
            "solution": json.dumps(truth),
        }
        if category in MULTI:
            row["turns"] = json.dumps(turns)
            row["initial_config"] = json.dumps(entry["initial_config"])
            row["involved_classes"] = json.dumps(entry["involved_classes"])
        elif text := gold_completion(document["function"], truth, category):
            row["completion"] = [{"role": "assistant", "content": text}]
        rows.append(row)
    return rows
