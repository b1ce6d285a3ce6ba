"""What bfcl-eval brings: its checkers, its executable classes and the descriptions of their methods."""

import functools
import importlib
import inspect
import os
import sys
import types

from common import data, runs

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

# bfcl-eval makes its folders when it is imported, among the installed packages unless it is told where.
os.environ.setdefault("BFCL_PROJECT_ROOT", str(runs.OUTPUTS / "bfcl"))


@functools.cache
def bfcl() -> types.SimpleNamespace:
    """The official functions that are safe for any text: ast_checker, find_description, simple_function_checker,
    load_dataset_entry, load_ground_truth_entry, Language. Ends the script where bfcl-eval is not installed.

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
        runs.fail(f"bfcl-eval cannot be imported ({error}); {data.INSTALL_BFCL}")
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
        runs.fail(f"bfcl-eval cannot be imported ({error}); {data.INSTALL_BFCL}")


@functools.cache
def described(name: str) -> dict[str, dict]:
    """The official descriptions of a class's methods by their names, in their order."""
    path = data.bfcl_folder() / "multi_turn_func_doc" / DOCUMENTS[name]
    return {method["name"]: method for method in runs.read_jsonl(path)}


@functools.cache
def documented() -> dict[str, dict[str, list[str]]]:
    """{class: {method: its parameters in order}} of the executable classes: the only methods that are ever called."""

    def parameters(name: str, method: str) -> list[str]:
        return list(inspect.signature(getattr(executable(name), method)).parameters)[1:]

    return {name: {method: parameters(name, method) for method in described(name)} for name in DOCUMENTS}
