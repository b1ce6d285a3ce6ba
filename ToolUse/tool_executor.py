"""Tools that work offline, each a JSON schema in configs/tools.json and a function here: calculator, weather, search.

    ToolExecutor().execute("calculator", {"expression": "6 * 7"})   # {"result": 42}

The same call gives the same result on every machine. Whatever goes wrong is a result too, {"error": ...}; nothing
raises. A function that does not return is killed after SECONDS. To add a tool, write a schema and a function, and add
the function to FUNCTIONS; or hand both to ToolExecutor.add().
"""

import ast
import json
import math
import operator
import re
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import runs
from ToolUse.tooluse.limited import LimitedFunctions

CONFIGS = Path(__file__).resolve().parent / "configs"
TOOLS = CONFIGS / "tools.json"
SECONDS = 2.0  # for one call
MAX_CHARACTERS = 10_000  # of the arguments as JSON
MAX_EXPRESSION = 200  # characters
MAX_NUMBER = 10**18  # of every operand and result of the calculator
MAX_EXPONENT = 64

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def calculator(expression: str) -> dict:
    """The value of an arithmetic expression: an integer, or a number with at most 6 decimals.

    The expression is taken apart as a syntax tree of numbers and OPERATORS; nothing is evaluated as code.
    """
    if len(expression) > MAX_EXPRESSION:
        raise ValueError(f"the expression has more than {MAX_EXPRESSION} characters")
    try:
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError("the expression is not arithmetic") from None
    value = number(tree.body)
    return {"result": int(value) if value.denominator == 1 else round(float(value), 6)}


def number(node: ast.expr) -> Fraction:
    """The exact value of a syntax tree; ValueError for what is not arithmetic or too large."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float) and math.isfinite(node.value):
        value = Fraction(str(node.value))
    elif isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        value = OPERATORS[type(node.op)](number(node.operand))
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = number(node.left), number(node.right)
        if isinstance(node.op, ast.Div | ast.Mod) and not right:
            raise ValueError("division by zero")
        if isinstance(node.op, ast.Pow) and (right.denominator > 1 or abs(right) > MAX_EXPONENT or not left):
            raise ValueError(f"a power needs a base other than 0 and a whole exponent of at most {MAX_EXPONENT}")
        value = OPERATORS[type(node.op)](left, right)
    else:
        raise ValueError("the expression is not arithmetic")
    if max(abs(value.numerator), value.denominator) > MAX_NUMBER**2 or abs(value) > MAX_NUMBER:
        raise ValueError("a number is too large")
    return value


def weather(city: str) -> dict:
    """Invented weather that depends on the letters of the city alone."""
    letters = re.sub(r"\W+", "", city).lower()
    if not letters:
        raise ValueError("city is empty")
    drawn = zlib.crc32(letters.encode(errors="replace"))
    return {"temperature": drawn % 40 - 9, "sky": ("sun", "rain", "clouds", "snow", "fog")[drawn // 64 % 5]}


def search(query: str) -> dict:
    """The fact of configs/facts.json whose topic has most words in common with the query, at least two thirds."""
    asked = set(re.findall(r"\w+", query.lower()))

    def match(topic: str) -> float:
        words = topic.lower().split()
        return sum(word in asked for word in words) / len(words)

    facts = json.loads((CONFIGS / "facts.json").read_text())
    topic = max(facts, key=match)
    if match(topic) <= 2 / 3:  # "capital of" alone names no country
        raise ValueError("nothing found")
    return {"result": facts[topic]}


FUNCTIONS = {"calculator": calculator, "weather": weather, "search": search}


class ToolExecutor:
    """Executes calls of tools.

    tools: JSON file {"tools": [schema, ...]}; a schema has a name, a description and the JSON schema of its parameters.
    functions: what each tool does, by name. Ends the script where a schema is incomplete or has no function.
    """

    def __init__(self, tools: str | Path = TOOLS, functions: dict[str, Callable] | None = None):
        self.schemas, self.functions = {}, {}
        functions = FUNCTIONS if functions is None else functions
        self.limited = LimitedFunctions(self.functions, SECONDS)
        for place, schema in enumerate(read_tools(tools), 1):
            where = f"{runs.shown(tools)}, tool {place}"
            check_schema(schema, where)
            if schema["name"] not in functions:
                runs.fail(
                    f"{where}: {schema['name']} has no function; add one to FUNCTIONS in ToolUse/tool_executor.py"
                )
            if schema["name"] in self.schemas:
                runs.fail(f"{where}: there are two tools named {schema['name']}; rename one")
            self.add(schema, functions[schema["name"]])

    def add(self, schema: dict, function: Callable) -> None:
        """Add a tool, or put it in place of one with the same name."""
        check_schema(schema, "the new tool")
        self.limited.stop()  # its process knows the old functions alone
        self.schemas[schema["name"]], self.functions[schema["name"]] = schema, function

    def execute(self, name: str, arguments: dict) -> dict:
        """The result of a call, or {"error": ...}. Never raises, and takes SECONDS at most."""
        if not isinstance(name, str) or name not in self.schemas:
            return {"error": f"unknown tool {str(name)[:50]}; tools: {', '.join(self.schemas)}"}
        if error := problem(arguments, self.schemas[name]["parameters"]):
            return {"error": f"{name}: {error}"}
        return self.limited.call(name, arguments)


def read_tools(path: str | Path) -> list:
    """The schemas of a JSON file; ends the script where there are none."""
    path = runs.resolve(path)
    try:
        schemas = json.loads(path.read_text())["tools"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        runs.fail(f'{runs.shown(path)} cannot be read as JSON with the key "tools" ({type(error).__name__}: {error})')
    if not isinstance(schemas, list) or not schemas:
        runs.fail(f'{runs.shown(path)}: "tools" is not a list of schemas')
    return schemas


def check_schema(schema, where: str) -> None:
    """End the script for a schema that cannot be offered to a model."""
    if not isinstance(schema, dict) or not isinstance(schema.get("name"), str) or not schema["name"]:
        runs.fail(f"{where} has no name; a tool needs name, description and parameters")
    parameters = schema.get("parameters")
    fields = parameters.get("properties") if isinstance(parameters, dict) else None
    if not isinstance(fields, dict) or not all(isinstance(field, dict) for field in fields.values()):
        runs.fail(f'{where}, {schema["name"]}: parameters need "properties", an object of objects')
    unknown = [name for name in parameters.get("required", []) if name not in fields]
    kinds = [field.get("type") for field in fields.values() if field.get("type") not in (None, *TYPES)]
    if unknown or kinds:
        fault = f"required {unknown[0]} is no property" if unknown else f"type {kinds[0]} is none of {', '.join(TYPES)}"
        runs.fail(f"{where}, {schema['name']}: {fault}")


TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}


def problem(arguments, parameters: dict) -> str | None:
    """What is wrong with the arguments of a call by the schema of its parameters, or None."""
    if not isinstance(arguments, dict):
        return "the arguments are not an object"
    try:
        if len(json.dumps(arguments, allow_nan=False)) > MAX_CHARACTERS:
            return f"the arguments have more than {MAX_CHARACTERS} characters"
    except (TypeError, ValueError, RecursionError):
        return "the arguments are not JSON"
    fields = parameters["properties"]
    for name in parameters.get("required", ()):
        if name not in arguments:
            return f"argument {name} is missing"
    for name, value in arguments.items():
        if name not in fields:
            return f"unknown argument {str(name)[:50]}; arguments: {', '.join(fields)}"
        kind = fields[name].get("type")
        # For Python True is an integer too.
        fits = isinstance(value, TYPES.get(kind, object)) and not (isinstance(value, bool) and kind != "boolean")
        if kind and not fits:
            return f"argument {name} is not of type {kind}"
        if "enum" in fields[name] and value not in fields[name]["enum"]:
            return f"argument {name} is none of {', '.join(map(str, fields[name]['enum']))}"
    return None
