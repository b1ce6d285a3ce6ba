"""Tools that work offline, each a JSON schema in configs/tools.json and a function here: calculator, weather, search.

    ToolExecutor().execute("calculator", {"expression": "6 * 7"})   # {"result": 42}

The same call gives the same result on every machine. Whatever goes wrong is a result too, {"error": ...}; nothing
raises. Your own function runs in a process, which is ended after SECONDS with whatever it started. To add a tool, write
a schema and a function of the same name, each in a file of your own (--tools, --functions of every script); or hand
both to ToolExecutor.add(); or write a subclass with a method _<name>(self, parameters).
"""

import importlib.util
import json
import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import runs
from ToolUse.tooluse import calculator as arithmetic
from ToolUse.tooluse import limited, schemas

CONFIGS = Path(__file__).resolve().parent / "configs"
TOOLS = CONFIGS / "tools.json"
SECONDS = 2.0  # for one call


def calculator(expression: str) -> dict:
    """+ - * / // % **, parentheses, sqrt, abs, round, min, max, pi, and "15% of 200"."""
    return {"result": arithmetic.evaluate(expression)}


def weather(city: str = "", location: str = "") -> dict:
    """Invented weather that depends on the letters of the city alone."""
    letters = re.sub(r"\W+", "", city or location).lower()
    if not letters:
        raise ValueError("city is empty")
    drawn = zlib.crc32(letters.encode(errors="replace"))
    return {"temperature": drawn % 40 - 9, "sky": ("sun", "rain", "clouds", "snow", "fog")[drawn // 64 % 5]}


def search(query: str) -> dict:
    """The fact of configs/facts.json whose topic has most words in common with the query, at least two thirds."""
    words = set(re.findall(r"\w+", query.lower()))

    def match(topic: str) -> float:
        topic_words = topic.lower().split()
        return len([word for word in topic_words if word in words]) / len(topic_words)

    facts = json.loads((CONFIGS / "facts.json").read_text())
    topic = max(facts, key=match)
    if match(topic) <= 2 / 3:  # "capital of" alone names no country
        return {"result": f"no entry; this stand-in for a search engine knows {len(facts)} facts", "found": False}
    return {"result": facts[topic]}


FUNCTIONS = {"calculator": calculator, "weather": weather, "search": search}
BOUNDED = (calculator, weather, search)  # these always end and keep no state, so they need no process
SPELLINGS = {"weather": [("location", "city"), ("city", "location")]}  # names of an argument, in place of each other


def read_functions(path: str) -> dict[str, Callable]:
    """FUNCTIONS, and those of a Python file, which is run; ends the script where it cannot be."""
    file = runs.resolve(path)
    spec = importlib.util.spec_from_file_location("functions_of_tools", file)
    if spec is None:
        runs.fail(f"--functions {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file may raise
        runs.fail(f"--functions {path} cannot be run ({type(error).__name__}: {error})")
    own = {name: value for name, value in vars(module).items() if callable(value) and not name.startswith("_")}
    return FUNCTIONS | own


class ToolExecutor:
    """Executes calls of tools.

    tools: a JSON file {"tools": [schema, ...]}, or the list; a schema has a name, a description and the JSON schema of
    its parameters. functions: what each tool does, by name, or a Python file that defines them beside FUNCTIONS. A file
    with a tool at fault, or one without a function, ends the script; from a list such a tool is taken, and its calls
    give an error.
    """

    def __init__(self, tools: str | Path | list = TOOLS, functions: dict[str, Callable] | str | None = None):
        self.schemas = {}
        self.functions = {}
        self.faults = {}
        if isinstance(functions, str) and functions:
            functions = read_functions(functions)
        functions = functions or FUNCTIONS
        from_list = isinstance(tools, list)
        for number, schema in enumerate(tools if from_list else schemas.read_tools(tools), 1):
            if isinstance(schema, dict) and isinstance(schema.get("function"), dict):
                schema = schema["function"]  # as chat templates and the API of OpenAI have it
            name = schema.get("name") if isinstance(schema, dict) else None
            if isinstance(name, str):
                fault = "another tool has its name; rename one" if name in self.schemas else None
                fault = self.add(schema, self.method(name) or functions.get(name), fault)
            else:
                fault = schemas.fault_of(schema)
            if fault and not from_list:
                runs.fail(f"{runs.shown(tools)}, tool {number} ({str(name)[:50]}): {fault}")

    def add(self, schema: dict, function: Callable | None, fault: str | None = None) -> str | None:
        """Add a tool, or put it in place of one with the same name; returns what is wrong with it, or None."""
        name = schema["name"]
        fault = fault or schemas.fault_of(schema)
        if not function and not fault:
            fault = "it has no function; write one of its name in a Python file, --functions FILE"
        self.schemas[name] = schema
        self.functions[name] = function
        self.faults[name] = fault
        return fault

    def method(self, name: str) -> Callable | None:
        """What a subclass does for a tool: its method _name(self, parameters)."""
        if not hasattr(type(self), f"_{name}") or hasattr(ToolExecutor, f"_{name}"):
            return None
        method = getattr(self, f"_{name}")
        return lambda **parameters: method(parameters)

    def execute(self, name: str, arguments: dict) -> dict:
        """The result of a call, or {"error": ...}. Never raises, and takes SECONDS at most."""
        if not isinstance(name, str) or name not in self.schemas:
            return limited.failure("unknown tool", f"the tools are {', '.join(self.schemas)}")
        fault = self.faults[name] or schemas.json_fault(arguments)
        if fault:
            return limited.failure(name, fault)
        try:
            if self.functions[name] in BOUNDED:
                return self.answer(name, arguments)
            return limited.call(self.answer, name, arguments, SECONDS)
        except Exception as error:  # whatever happens is a result
            return limited.failure(name, error)

    execute_tool = execute

    def answer(self, name: str, arguments: dict) -> dict:
        """The result of a call without a limit of time; raises what the function raises."""
        problem = self.problem(name, arguments)
        if problem:
            raise ValueError(problem)
        result = self.functions[name](**self.spelled(name, arguments))
        if isinstance(result, dict):
            return result
        return {"result": result}

    def problem(self, name: str, arguments) -> str | None:
        """What is wrong with the arguments of a call, or None."""
        fault = schemas.json_fault(arguments)
        return fault or schemas.problem(self.spelled(name, arguments), self.schemas[name]["parameters"])

    def spelled(self, name: str, arguments: dict) -> dict:
        """The arguments of a call by the names that the schema has for them."""
        properties = self.schemas[name]["parameters"]["properties"]
        renamed = dict(arguments)
        for other, own in SPELLINGS.get(name, []):
            if other in renamed and other not in properties and own in properties and own not in renamed:
                renamed[own] = renamed.pop(other)
        return renamed
