"""Tool calls of a model: read them out of its text, score them, and execute them where nothing can go wrong.

Verdicts are those of the official BFCL functions (bfcl-eval). Around them stands what training needs: nothing raises or
hangs on any text, every rollout has instances of its own, and no text of a model reaches eval or exec. A call is a
name and literal arguments; it is executed by a worker process (common/tool_worker.py) that may be killed at any time.

A call is either {name: {argument: value}}, as decode() returns it, or Python text such as "mv(source='a',
destination='b')", as the ground truths of the multi-turn categories are written. Turns are lists of calls.
"""

import ast
import contextlib
import functools
import importlib
import inspect
import json
import os
import re
import socket
import subprocess
import sys
import types

from common import data, runs

MODEL = "Qwen/Qwen3-0.6B-FC"  # whose rules the checkers apply: function names keep their dots
OPEN, CLOSE = "<tool_call>\n", "\n</tool_call>"
# Kinds of replies that decode() tells apart in text; the first is what is wanted, the last what ends a turn.
KINDS = ("call", "text_around", "bad_json", "not_a_dict", "bad_call", "unclosed", "no_call")

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

# Bounds of a call that is executed; every ground truth lies far within them (the longest string has 6690 characters).
MAX_CHARS = 20_000  # of all strings of a call
MAX_ITEMS = 500  # of values in all lists and dictionaries of a call
MAX_DEPTH = 6
MAX_NUMBER = 10**18
MAX_CALLS = 200  # that are executed of one step, or of one turn when it is scored
# Arguments whose size is the cost of the call: the digits to compute, the power to raise to.
MAX_COST = dict.fromkeys(("precision", "exponent", "decimal_places"), 1000)

# Bounds of a Java or JavaScript argument, which the official checker takes apart with regular expressions that
# backtrack: the worst text that we found takes 0.2 s with these, without them for ever. The longest truth has 160.
MAX_CODE_CHARS, MAX_CODE_BRACKETS = 300, 12
LONG_GAP = re.compile(r"\s{9}")

ERROR = "Error during execution: "  # how the official executor begins what went wrong
KILLED = ERROR + "the call took too long or too much memory"
ANSWER_SECONDS = 60  # wall time for one answer; the worker's own limit, in CPU time, comes long before


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
def documented() -> dict[str, dict[str, list[str]]]:
    """{class: {method: its parameters in order}} of the executable classes: the only methods that are ever called."""
    folder = data.bfcl_folder() / "multi_turn_func_doc"
    return {
        name: {
            doc["name"]: list(inspect.signature(getattr(executable(name), doc["name"])).parameters)[1:]
            for doc in runs.read_jsonl(folder / file)
        }
        for name, file in DOCUMENTS.items()
    }


def decode(text: str) -> tuple[list[dict], str]:
    """The calls [{name: {argument: value}}] of a reply as the official Qwen handler reads them, and the kind of reply.

    What stands before `</think>` does not count. Where the official decoder raises, the calls are []; its scores are
    the same for both. Linear in the length of the text; never raises.

    kinds: "call" (calls and nothing else), "text_around" (calls and other text), "bad_json" (a block that is not JSON:
    dropped, the other calls count), "not_a_dict" and "bad_call" (a block that is JSON but no object, or without a name
    or a dictionary of arguments: no call counts), "unclosed" (`<tool_call>`, but no block between the exact tags and
    line ends), "no_call", "not_text".
    """
    if not isinstance(text, str):
        return [], "not_text"
    text = text.rpartition("</think>")[2]
    blocks, around, at = [], [], 0
    while (start := text.find(OPEN, at)) >= 0 and (end := text.find(CLOSE, start + len(OPEN))) >= 0:
        around.append(text[at:start])
        blocks.append(text[start + len(OPEN) : end])
        at = end + len(CLOSE)
    if not blocks:
        return [], "unclosed" if "<tool_call>" in text else "no_call"
    found = []
    for block in blocks:
        try:
            found.append(json.loads(block))
        except (ValueError, RecursionError):
            pass
    if not all(isinstance(call, dict) for call in found):
        return [], "not_a_dict"
    try:
        calls = [{call["name"]: dict(call["arguments"].items())} for call in found]
    except (KeyError, TypeError, AttributeError):
        return [], "bad_call"
    if len(found) < len(blocks):
        return calls, "bad_json"
    return calls, "text_around" if "".join(around).strip() or text[at:].strip() else "call"


def score_single(decoded: list[dict], functions: list[dict], possible_answer: list[dict] | None, category: str) -> dict:
    """The official verdict on the calls of a single-turn reply, and its parts for a graded reward.

    functions: the official documents of the entry; possible_answer: its ground truth, [{name: {argument: [values]}}],
    None or [] for the categories without one (irrelevance: right is no call; relevance: right is any call).
    category: an official name; "parallel", "multiple", "java", "javascript" and "irrelevance" in it matter.
    Java and JavaScript are checked against documents with their own types, as load_dataset_entry gives them with
    include_language_specific_hint=False; the prompt holds those that it gives without (every type is a string).

    Returns {"valid": bool, "call": 1.0 if there is a call where one is wanted, "name": share of the wanted functions
    that are called, "arguments": share of right ones among the arguments that are given or needed, mean over the
    wanted calls, "no_extra": wanted calls / calls where there are too many, else 1.0, and 0.0 without a call}. A valid
    reply has 1.0 in every part; each part lies in [0, 1]. Never raises, whatever is in `decoded`.
    """
    decoded = [call for call in decoded if isinstance(call, dict)] if isinstance(decoded, list) else []
    if not possible_answer:
        valid = bool(decoded) == ("irrelevance" not in category)
        return {"valid": valid} | dict.fromkeys(("call", "name", "arguments", "no_extra"), float(valid))
    if _is_valid(decoded, functions, possible_answer, category):
        return {"valid": True} | dict.fromkeys(("call", "name", "arguments", "no_extra"), 1.0)
    scores, language = [], _language(category)
    left = [pair for call in decoded[: 4 * len(possible_answer) + 4] for pair in list(call.items())[:1]]
    for answer in possible_answer:
        name, values = next(iter(answer.items()))
        function = bfcl().find_description(functions, name)
        rated = [(_arguments(p[1], name, values, function, language), p) for p in left if p[0] == name]
        if rated:
            score, best = max(rated, key=lambda pair: pair[0])
            scores.append(score)
            left.remove(best)
    wanted = len(possible_answer)
    return {
        "valid": False,
        "call": float(bool(decoded)),
        "name": len(scores) / wanted,
        "arguments": sum(scores) / wanted,
        "no_extra": min(1.0, wanted / len(decoded)) if decoded else 0.0,
    }


def _language(category: str):
    """The language whose literals the arguments are, as the official runner takes it from the category."""
    languages = bfcl().Language
    if "javascript" in category:
        return languages.JAVASCRIPT
    return languages.JAVA if "java" in category else languages.PYTHON


def _is_checkable(arguments, language) -> bool:
    """Whether the checker ends soon: Java and JavaScript text is bounded before its expressions see it."""
    if language == bfcl().Language.PYTHON or not isinstance(arguments, dict):
        return True
    texts = [value for value in arguments.values() if isinstance(value, str)]
    return all(
        len(text) <= MAX_CODE_CHARS and text.count("[") <= MAX_CODE_BRACKETS and not LONG_GAP.search(text)
        for text in texts
    )


def _is_valid(decoded: list[dict], functions: list[dict], possible_answer: list[dict], category: str) -> bool:
    """The verdict of the official checker; False where it raises."""
    language = _language(category)
    if not all(len(call) == 1 and _is_checkable(next(iter(call.values())), language) for call in decoded):
        return False
    try:
        return bfcl().ast_checker(functions, decoded, possible_answer, language, category, MODEL)["valid"]
    except Exception:  # noqa: BLE001  it indexes what a model gave without looking: whatever it raises is not valid
        return False


def _arguments(given, name: str, values: dict, function: dict | None, language) -> float:
    """The share of right arguments among those given or needed, each by the official checker; 1.0 for none needed."""
    if not isinstance(given, dict) or function is None or not _is_checkable(given, language):
        return 0.0
    needed = set(function["parameters"]["required"]) | {key for key, allowed in values.items() if "" not in allowed}
    right = 0
    for key in given.keys() & values.keys():
        document = {"name": name, "parameters": {**function["parameters"], "required": []}}
        try:
            verdict = bfcl().simple_function_checker(
                document, {name: {key: given[key]}}, {name: {key: values[key]}}, language, MODEL
            )
            right += verdict["valid"]
        except Exception:  # noqa: BLE001  as in _is_valid
            pass
    asked = len(needed | given.keys())
    return right / asked if asked else 1.0


class WorkerDied(Exception):
    """The worker was killed by its limits, or gave no answer in time."""


class Episodes:
    """Runs calls in a worker process, each episode on instances of its own.

        with toolcalls.Episodes() as worker:
            episode = worker.open(entry["initial_config"], entry["involved_classes"])
            results = worker.execute(episode, [{"cd": {"folder": "documents"}}, {"ls": {}}])

    Serves any number of episodes, one after the other (not for threads). A call that takes more than half a second of
    CPU time, or too much memory, ends the worker and its own episode, whose calls all give KILLED from then on. A new
    worker takes the place, and brings each other episode back to where it was by repeating its calls. `restarts`
    counts this.
    """

    def __init__(self):
        self.restarts, self._opened, self._worker = 0, 0, None
        self._settings, self._done = {}, {}  # of every open episode: its scenario, the calls it has made
        self._held, self._ended = set(), set()  # episodes that the worker holds, and those that were killed

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stop()

    def open(self, initial_config: dict, involved_classes: list[str], long_context: bool = False) -> int:
        """A new episode from an entry's scenario; its number. ValueError for a class that is not documented."""
        setting = _setting(initial_config, involved_classes, long_context)
        self._opened += 1
        self._settings[self._opened], self._done[self._opened] = setting, []
        return self._opened

    def execute(self, episode: int, calls: list[dict | str]) -> list[str]:
        """One result for each call, in order, worded as the official executor does. Never raises for any call: what
        is not a documented method with bounded literal arguments gives a result that begins with ERROR."""
        prepared, results = _prepare(calls), []
        try:
            self._bring_back(episode)
            for call, result in zip(prepared, self._ask(len(prepared), "execute", episode, prepared)):
                results.append(result)
                self._done[episode].append(call)
        except WorkerDied:
            self._ended.add(episode)
        return results + [KILLED] * (len(calls) - len(results))

    def state(self, episode: int) -> dict | None:
        """{class: {attribute: value}} of the public attributes, for records; None where it is too long or killed."""
        try:
            self._bring_back(episode)
            return next(self._ask(1, "state", episode))
        except WorkerDied:
            return None

    def close(self, episode: int) -> None:
        """Forget an episode."""
        del self._settings[episode], self._done[episode]
        self._ended.discard(episode)
        if episode in self._held:
            self._held.remove(episode)
            with contextlib.suppress(WorkerDied):
                next(self._ask(1, "close", episode))

    def score(self, setting: list, truth: list[list], turns: list[list]) -> list[dict] | None:
        """For score_multi: what the checkers say of each turn, on instances made for it; None if it was killed."""
        try:
            return next(self._ask(1, "score", setting, [_prepare(t) for t in truth], [_prepare(t) for t in turns]))
        except WorkerDied:
            return None

    def _ask(self, answers: int, *request):
        """The answers of the worker one by one; WorkerDied where one does not come."""
        if self._worker is None:
            self._start()
        try:
            self._pipe.write(json.dumps(request).encode() + b"\n")
            self._pipe.flush()
            for _ in range(answers):
                line = self._pipe.readline()
                if not line.endswith(b"\n"):
                    raise WorkerDied
                yield json.loads(line)
        except (OSError, WorkerDied):  # a time-out is an OSError too
            self._stop()
            self.restarts += 1
            raise WorkerDied from None

    def _bring_back(self, episode: int) -> None:
        """Let the worker hold the episode: where it does not, open it there and repeat its calls."""
        if episode in self._ended:
            raise WorkerDied
        if self._worker and self._worker.poll() is not None:  # someone else ended it, between two requests
            self._stop()
            self.restarts += 1
        if episode not in self._held:
            next(self._ask(1, "open", episode, *self._settings[episode]))
            done = self._done[episode]
            for _ in self._ask(len(done), "execute", episode, done):
                pass
            self._held.add(episode)

    def _start(self) -> None:
        documented()  # where bfcl-eval is missing, this is the place to say so
        ours, its = socket.socketpair()
        ours.settimeout(ANSWER_SECONDS)
        command = [sys.executable, "-m", "common.tool_worker"]
        self._worker = subprocess.Popen(command, cwd=runs.ROOT, stdin=its, stdout=its)
        its.close()
        self._pipe = ours.makefile("rwb")
        ours.close()
        if self._pipe.readline() != b'"ready"\n':
            self._stop()
            runs.fail(f"the worker for tool calls does not start (its message stands above); {data.INSTALL_BFCL}")

    def _stop(self) -> None:
        if self._worker:
            self._worker.kill()
            self._worker.wait()
            with contextlib.suppress(OSError):
                self._pipe.close()
        self._worker = None
        self._held.clear()


def _prepare(calls: list[dict | str]) -> list[list | str]:
    """The calls as the worker takes them; those beyond MAX_CALLS are refused."""
    return [parse_call(call) if i < MAX_CALLS else f"{ERROR}too many calls" for i, call in enumerate(calls)]


def _setting(initial_config: dict, involved_classes: list[str], long_context: bool) -> list:
    unknown = set(involved_classes) - set(DOCUMENTS)
    if unknown:
        raise ValueError(f"{sorted(unknown)[0]} is none of the executable classes: {', '.join(DOCUMENTS)}")
    return [json.dumps(initial_config), list(involved_classes), bool(long_context)]


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
    return {method: names for methods in documented().values() for method, names in methods.items()}


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


def score_multi(worker: Episodes, entry: dict, ground_truth: list[list[str]], turns: list[list]) -> dict:
    """The official verdict on a whole multi-turn episode, and its progress for a graded reward.

    entry: `initial_config`, `involved_classes` and `id` (a category with "long_context" in it loads the long one);
    ground_truth: its calls by turn; turns: the model's calls by turn, all steps of a turn in one list. Calls are
    executed again, on instances of their own, so nothing that happened before matters.

    As officially, only turns in whose ground truth there is a call are checked: there must be a call, every public
    attribute must equal the ground truth's after the turn, and its results must be among the results so far.
    Returns {"valid": bool, official; "turns": share of the checked turns that are right, each for itself; "prefix":
    share before the first wrong one; "state": share of the turns that change the state after which it is right (1.0 for
    none such, if valid, else 0.0); "responses": share of the ground truth's results that were seen, counted in turns
    with the right state; "extra": share of the calls beyond the number in the ground truth}. All in [0, 1]. Read off
    states and results, so repeating or undoing calls earns nothing. Never raises, whatever the calls are.
    """
    setting = _setting(entry["initial_config"], entry["involved_classes"], "long_context" in str(entry.get("id")))
    complete, wanted = len(turns) == len(ground_truth), sum(map(bool, ground_truth))
    turns = [list(calls) for calls in turns[: len(ground_truth)]]
    turns += [[]] * (len(ground_truth) - len(turns))
    rows = worker.score(setting, ground_truth, turns)
    if rows is None:
        return {"valid": False} | dict.fromkeys(("turns", "prefix", "state", "responses"), 0.0) | {"extra": 1.0}
    right = [row["called"] and row["state"] and row["responses"] == 1 for row in rows]
    valid = complete and all(right)
    moved = [row["state"] for row in rows if row["moved"]]
    calls, true_calls = sum(map(len, turns)), sum(map(len, ground_truth))
    return {
        "valid": valid,
        "turns": _share(right, wanted),
        "prefix": _share(right[: right.index(False)] if False in right else right, wanted),
        "state": _share(moved, len(moved)) if moved else float(valid),
        "responses": _share([row["responses"] for row in rows if row["called"] and row["state"]], wanted),
        "extra": max(0, calls - true_calls) / calls if calls else 0.0,
    }


def _share(values: list, of: int) -> float:
    return sum(values) / of if of else 1.0


def true_calls(possible_answer: list[dict], functions: list[dict], category: str) -> list[dict]:
    """What a right reply decodes to: the first allowed value of every argument that may not be left out.

    Arguments of Java and JavaScript functions are source text. Not every truth passes the official checker:
    tests/test_bfcl_environment.py names the seven entries.
    """
    calls, language = [], _language(category)
    for name, values in ((name, values) for answer in possible_answer for name, values in answer.items()):
        parameters, given = bfcl().find_description(functions, name)["parameters"], {}
        for key, allowed in values.items():
            if allowed and ("" not in allowed or key in parameters["required"]):
                value = _first(allowed)
                python = language == bfcl().Language.PYTHON
                given[key] = value if python else _source(value, parameters["properties"].get(key, {}), language)
        calls.append({name: given})
    return calls


def _first(allowed: list):
    """The first allowed value that is not "" (left out); dictionaries hold lists of allowed values again."""
    value = next((value for value in allowed if value != ""), "")
    if isinstance(value, dict):
        return {k: _first(v) if isinstance(v, list) else v for k, v in value.items() if v != [""]}
    return [_first([item]) for item in value] if isinstance(value, list) else value


def _source(value, document: dict, language) -> str:
    """A value as Java or JavaScript text, in a form that the official converters of the two read."""
    kind, java = document.get("type"), language == bfcl().Language.JAVA
    if isinstance(value, (bool, str)):
        return value if isinstance(value, str) else str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value}{({'float': 'f', 'long': 'L'} if java else {'Bigint': 'n'}).get(kind, '')}"

    def item(value) -> str:
        text = _source(value, document.get("items", {}), language)
        return f'"{text}"' if isinstance(value, str) and kind != "Array" else text  # its quotes would stay in the value

    if isinstance(value, dict):
        if java:
            return f"new HashMap<>() {{{{ {' '.join(f'put({item(k)}, {item(v)});' for k, v in value.items())} }}}}"
        return f"{{{', '.join(f'{k}: {item(v)}' for k, v in value.items())}}}"
    items = ", ".join(map(item, value))
    if not java:
        return f"[{items}]"
    if kind == "Array":
        return f"new Object[]{{{items}}}"
    return f"new ArrayList<>(Arrays.asList({items}))" if items else "new ArrayList<>()"
