"""The executor of tools: exact results, errors as results, functions that raise or never return, schemas at fault."""

import json
import os
import sys
import time

import pytest
from conftest import ROOT
from tooluse import ToolExecutor, error_of, executor

from ToolUse.tooluse.limited import LimitedFunctions

script = sys.modules["tool_executor"]


@pytest.mark.parametrize(
    "expression, value",
    [("6*7", 42), ("0.1 + 0.2", 0.3), ("1/3", 0.333333), ("(1+2)*-3", -9), ("2^10", 1024), ("7 % 4", 3), (" 1 ", 1)],
)
def test_the_calculator_is_exact(expression, value):
    assert executor().execute("calculator", {"expression": expression}) == {"result": value}


@pytest.mark.parametrize(
    "expression",
    [
        "1/0",
        "7 % 0",
        "0**-1",
        "9**9**9",
        "2**0.5",
        "1e999",
        "10**18*10",
        "(" * 150,
        "1j",
        "True+1",
        "x",
        "1+",
        "",
        "1;2",
    ]
    + ["__import__('os').system('touch pwned')", "[1]*9", "'a'*9", "abs(1)", "1<2", "1//2", "9" * 201, "\0", "٣+x"],
)
def test_the_calculator_refuses_everything_else(expression):
    result = executor().execute("calculator", {"expression": expression})
    assert list(result) == ["error"] and len(result["error"]) < 300
    assert not (ROOT / "pwned").exists()


@pytest.mark.parametrize(
    "name, arguments, said",
    [
        ("nothing", {}, "unknown tool"),
        (None, {}, "unknown tool"),
        (["weather"], {}, "unknown tool"),
        ("x" * 10**5, {}, "unknown tool"),
        ("weather", {}, "city is missing"),
        ("weather", None, "not an object"),
        ("weather", {"city": None}, "not of type string"),
        ("weather", {"city": 5}, "not of type string"),
        ("weather", {"city": True}, "not of type string"),
        ("weather", {"city": "Rome", "unit": "C"}, "unknown argument unit"),
        ("weather", {"city": "x" * 10**5}, "more than"),
        ("weather", {"city": float("nan")}, "not JSON"),
        ("weather", {"city": {1, 2}}, "not JSON"),
        ("weather", {"city": "  "}, "city is empty"),
        ("search", {"query": "capital of"}, "nothing found"),
        ("search", {"query": "?"}, "nothing found"),
    ],
)
def test_errors_are_results(name, arguments, said):
    result = executor().execute(name, arguments)
    assert list(result) == ["error"] and said in result["error"] and len(result["error"]) < 300


def test_the_same_call_gives_the_same_result():
    """In another executor, hence another process: nothing depends on a hash seed or the time."""
    wanted = {"temperature": 25, "sky": "sun"}
    assert ToolExecutor().execute("weather", {"city": "Oslo"}) == wanted
    assert ToolExecutor().execute("weather", {"city": " oslo"}) == wanted
    assert ToolExecutor().execute("search", {"query": "what is the Capital of PERU?"}) == {"result": "Lima"}


def test_a_user_adds_a_tool(tmp_path):
    """As README shows it: a schema in the file and a function; or both by add()."""
    schema = {"name": "reverse", "description": "Turn a text around.", "parameters": {"type": "object"}}
    schema["parameters"] |= {"properties": {"text": {"type": "string"}}, "required": ["text"]}
    tools = json.loads((ROOT / "ToolUse" / "configs" / "tools.json").read_text())
    (tmp_path / "tools.json").write_text(json.dumps({"tools": [*tools["tools"], schema]}))

    def reverse(text: str) -> dict:
        return {"result": text[::-1]}

    own = ToolExecutor()
    own.add(schema, reverse)
    for each in (own, ToolExecutor(tmp_path / "tools.json", script.FUNCTIONS | {"reverse": reverse})):
        assert each.execute("reverse", {"text": "abc"}) == {"result": "cba"}
        assert each.execute("reverse", {}) == {"error": "reverse: argument text is missing"}
        assert each.execute("calculator", {"expression": "1+1"}) == {"result": 2}


def test_a_function_may_raise_hang_exit_or_print(monkeypatch, capfd):
    monkeypatch.setattr(script, "SECONDS", 0.3)
    own, none = ToolExecutor(), {"type": "object", "properties": {}}

    def endless():
        while True:
            time.sleep(0.01)

    def raises():
        raise RuntimeError("x" * 10**5)

    def prints():
        print('["not a result"]')
        return {"result": 1}

    for name, function, said in (
        ("endless", endless, "no result within 0.3 seconds"),
        ("raises", raises, "raises: xxx"),
        ("exits", lambda: exit(3), "exits: 3"),
        ("object", object, "not JSON serializable"),
        ("nan", lambda: float("nan"), "not JSON compliant"),
        ("long", lambda: "x" * 10**5, "too long"),
    ):
        own.add({"name": name, "parameters": none}, function)
        result = own.execute(name, {})
        assert said in result["error"] and len(result["error"]) < 300, result
    own.add({"name": "prints", "parameters": none}, prints)
    assert own.execute("prints", {}) == {"result": 1}
    assert own.execute("calculator", {"expression": "1+1"}) == {"result": 2}


def test_the_process_of_a_tool_ends_with_its_executor():
    limited = LimitedFunctions({"pid": os.getpid}, 1)
    child = limited.call("pid", {})["result"]
    del limited
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.parametrize(
    "content, said",
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"tools": []}', "not a list of schemas"),
        ('{"tools": [{"description": "d"}]}', "tool 1 has no name"),
        ('{"tools": [5]}', "tool 1 has no name"),
        ('{"tools": [{"name": "weather"}]}', 'parameters need "properties"'),
        ('{"tools": [{"name": "new", "parameters": {"properties": {}}}]}', "new has no function"),
        ('{"tools": [{"name": "weather", "parameters": {"properties": {}, "required": ["x"]}}]}', "x is no property"),
        ('{"tools": [{"name": "weather", "parameters": {"properties": {"x": {"type": "text"}}}}]}', "type text"),
    ],
)
def test_a_bad_schema_ends_the_script(content, said, tmp_path, capsys):
    (tmp_path / "tools.json").write_text(content)
    assert said in error_of(capsys, ToolExecutor, tmp_path / "tools.json")
