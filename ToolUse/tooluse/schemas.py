"""JSON schemas of tools: reading them, what is wrong with one, and what is wrong with the arguments of a call."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match

from common import runs

MAX_ARGUMENTS = 10_000  # characters of the arguments of a call as JSON


def read_json(path: str | Path, what: str):
    """The content of a JSON file; ends the script where it cannot be read."""
    try:
        return json.loads(runs.resolve(path).read_text())
    except (OSError, ValueError, RecursionError) as error:
        runs.fail(f"{what} {runs.shown(path)} cannot be read as JSON ({type(error).__name__}: {error})")


def read_tools(path: str | Path) -> list:
    """The list "tools" of a JSON file; ends the script where there is none."""
    content = read_json(path, "the file of tools")
    tools = content.get("tools") if isinstance(content, dict) else None
    if not isinstance(tools, list) or not tools:
        runs.fail(f'{runs.shown(path)} has no key "tools" with a list of schemas')
    return tools


def fault_of(schema) -> str | None:
    """Why a schema cannot be offered to a model, or None."""
    name = schema.get("name") if isinstance(schema, dict) else None
    if not isinstance(name, str) or not name:
        return "it has no name; a tool needs name, description and parameters"
    parameters = schema.get("parameters")
    if not isinstance(parameters, dict) or not isinstance(parameters.get("properties"), dict):
        return 'its parameters need "properties", an object'
    try:
        text = json.dumps(schema, ensure_ascii=False)
        text.encode()  # not every text of JSON can be written: an escape may stand for half a character
        Draft202012Validator.check_schema(parameters, format_checker=Draft202012Validator.FORMAT_CHECKER)
    except SchemaError as error:
        return f"parameters{error.json_path[1:]}: {error.message}"[:300]
    except (TypeError, ValueError, RecursionError):
        return "it is not JSON, or nested too deep"
    if '"$ref":' in text or '"$dynamicRef":' in text:  # it may have no end
        return "its parameters refer to another schema; write that out in place of $ref"
    unknown = [name for name in parameters.get("required", []) if name not in parameters["properties"]]
    if unknown:
        return f"required {unknown[0][:50]} is no property"
    return None


def json_fault(arguments) -> str | None:
    """Why the arguments of a call are no JSON object of at most MAX_ARGUMENTS characters, or None."""
    if not isinstance(arguments, dict):
        return "the arguments are not an object"
    try:
        characters = len(json.dumps(arguments, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return "the arguments are not JSON"
    if characters > MAX_ARGUMENTS:
        return f"the arguments have more than {MAX_ARGUMENTS} characters"
    return None


def problem(arguments: dict, parameters: dict) -> str | None:
    """What is wrong with the arguments of a call by the schema of its parameters, or None.

    An argument that the schema does not name is wrong unless it says something else.
    """
    validator = Draft202012Validator({"additionalProperties": False, **parameters})
    error = best_match(validator.iter_errors(arguments))
    if error is None:
        return None
    return f"argument{error.json_path[1:]}: {error.message}"[:300]
