"""The executor of tools: exact results, errors as results, functions that raise or never return, schemas at fault."""

import json
import os
import sys
import time

import pytest
from conftest import ROOT
from tool_questions import ToolExecutor, error_of, executor

script = sys.modules["tool_executor"]
NONE = {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    "expression, value",
    [("6*7", 42), ("0.1 + 0.2", 0.3), ("1/3", 0.333333), ("(1+2)*-3", -9), ("2^10", 1024), ("7 % 4", 3), (" 1 ", 1)]
    + [("-7 // 2", -4), ("7 % -4", -1), ("144 ** 0.5", 12), ("2**0.5", 1.414214), ("2**-2", 0.25), ("0**5", 0)]
    + [("1.01**100", 2.704814), ("0.5**200", 0), ("15% of 200", 30), ("50 / 25%", 200), ("50% - 5", -4.5)]
    + [("sqrt(144)", 12), ("sqrt(2)*sqrt(3)*sqrt(5)", 5.477226), ("abs(-3.5)", 3.5), ("round(2.567, 2)", 2.57)]
    + [("min(3, 1, 2)", 1), ("max(1, 2) * pi", 6.283185)],
)
def test_the_calculator_is_exact(expression, value):
    assert executor().execute("calculator", {"expression": expression}) == {"result": value}


HUGE = [
    "9**9**9",
    "1e999",
    "10**18*10",
    "9" * 201,
    "(" * 150,
    "2**100",
    "10**17 ** 1.5",
    "round(1, 10**9)",
    "round(1, pi)",
]


@pytest.mark.parametrize(
    "expression",
    ["1/0", "7 % 0", "7 // 0", "0**-1", "0**-0.5", "sqrt(-1)", "(-8)**(1/3)", "1j", "True+1", "x", "1+", "", "1;2"]
    + ["__import__('os').system('touch pwned')", "[1]*9", "'a'*9", "1<2", "\0", "٣+x", "min()", "sqrt(1, 2)", "f(1)"]
    + ["min(*[1])", "round(1, ndigits=1)", "round(1, pi)", *HUGE],
)
def test_the_calculator_refuses_everything_else(expression):
    result = executor().execute("calculator", {"expression": expression})
    assert list(result) == ["error"] and len(result["error"]) < 300
    assert not (ROOT / "pwned").exists()


@pytest.mark.parametrize(
    "name, arguments, said",
    [
        *[(name, {}, "unknown tool") for name in ("nothing", None, ["weather"], "x" * 10**5)],
        ("weather", {}, "'city' is a required property"),
        ("weather", None, "not an object"),
        *[("weather", {"city": city}, "not of type 'string'") for city in (None, 5, True)],
        ("weather", {"city": "Rome", "unit": "C"}, "'unit' was unexpected"),
        ("weather", {"city": "x" * 10**5}, "more than"),
        *[("weather", {"city": city}, "not JSON") for city in (float("nan"), {1, 2})],
        ("weather", {"city": "  "}, "city is empty"),
    ],
)
def test_errors_are_results(name, arguments, said):
    result = executor().execute(name, arguments)
    assert list(result) == ["error"] and said in result["error"] and len(result["error"]) < 300


def test_the_same_call_gives_the_same_result():
    wanted = {"temperature": 25, "sky": "sun"}
    for arguments in ({"city": "Oslo"}, {"city": " oslo"}, {"location": "Oslo"}):
        assert executor().execute("weather", arguments) == wanted
    other = [{"name": "weather", "parameters": {"properties": {"location": {"type": "string"}}}}]
    assert ToolExecutor(other).execute("weather", {"location": "Oslo"}) == wanted
    assert executor().execute_tool("search", {"query": "what is the Capital of PERU?"}) == {"result": "Lima"}
    for query in ("neural networks", "capital of", ""):
        assert "stand-in" in executor().execute("search", {"query": query})["result"]


@pytest.mark.parametrize(
    "schema, good, bad",
    [
        ({"type": ["string", "null"]}, ["x", None], [5]),
        ({"type": "array", "items": {"type": "integer", "minimum": 2}}, [[], [2, 3]], [[1], ["2"], 2]),
        ({"type": "object", "properties": {"x": {"type": "integer"}}}, [{"x": 1}], [{"x": "1"}, []]),
        ({"enum": [1, 2]}, [1, 2], [True, 3, "1"]),
        ({"enum": ["y" * 10**6]}, [], ["x"]),
    ],
)
def test_arguments_are_checked_by_the_schema(schema, good, bad):
    own = ToolExecutor([{"name": "weather", "parameters": {"properties": {"x": schema}}}])
    for value in good:
        assert own.problem("weather", {"x": value}) is None
    for value in bad:
        assert len(own.execute("weather", {"x": value})["error"]) < 300


def test_a_user_adds_a_tool(tmp_path):
    """A schema in the file and a function; both by add(); or a method of a subclass."""
    schema = {"name": "reverse", "parameters": {"properties": {"text": {"type": "string"}}, "required": ["text"]}}
    tools = json.loads((ROOT / "ToolUse" / "configs" / "tools.json").read_text())["tools"]
    (tmp_path / "tools.json").write_text(json.dumps({"tools": [*tools, schema]}))

    def reverse(text: str) -> dict:
        return {"result": text[::-1]}

    class Own(ToolExecutor):
        def _reverse(self, parameters):
            return parameters["text"][::-1]

    added = ToolExecutor()
    added.add(schema, reverse)
    functions = script.FUNCTIONS | {"reverse": reverse}
    for own in (added, ToolExecutor(tmp_path / "tools.json", functions), Own([*tools, {"function": schema}])):
        assert own.execute("reverse", {"text": "abc"}) == {"result": "cba"}
        assert "'text' is a required" in own.execute("reverse", {})["error"]
        assert own.execute("calculator", {"expression": "1+1"}) == {"result": 2}


@pytest.fixture
def tools(monkeypatch):
    """tools(function): the result of a tool with that function."""
    monkeypatch.setattr(script, "SECONDS", 1.0)
    own = ToolExecutor()

    def result(function, name="own"):
        own.add({"name": name, "parameters": NONE}, function)
        return own.execute(name, {})

    return result


def test_a_function_may_raise_hang_exit_or_print(tools):
    def endless():
        while True:
            time.sleep(0.01)

    def raises():
        raise RuntimeError("x" * 10**5)

    def prints():
        print('["not a result"]')
        return {"result": 1}

    for function, said in (
        (endless, "no result within 1 seconds"),
        (raises, "own: xxx"),
        (lambda: exit(3), "own: 3"),
        (lambda: os._exit(0), "no result"),
        (object, "not JSON serializable"),
        (lambda: float("nan"), "not JSON compliant"),
        (lambda: "x" * 10**7, "too long"),
    ):
        result = tools(function)
        assert said in result["error"] and len(result["error"]) < 300, result
    assert len(tools(raises, "y" * 10**6)["error"]) < 300
    assert tools(prints) == {"result": 1}


def test_a_call_leaves_nothing_behind(tools, tmp_path):
    """No process that it started, and no state of its own."""
    calls = []

    def starts():
        child = os.fork()
        if child:
            (tmp_path / "child").write_text(str(child))
        time.sleep(60)

    def counts():
        calls.append(1)
        return len(calls)

    assert "no result" in tools(starts)["error"]
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{child}") and "Z" not in open(f"/proc/{child}/stat").read().split()[2]:
        assert time.monotonic() < deadline
    assert [tools(counts) for _ in range(3)] == [{"result": 1}] * 3


FAULTS = [
    ({"description": "d"}, "no name"),
    (5, "no name"),
    ({"name": "weather"}, "properties"),
    ({"name": "new", "parameters": NONE}, "no function"),
    *[({"name": "weather", "parameters": NONE | {"required": required}}, "required") for required in (["x"], 3, None)],
    *[
        ({"name": "weather", "parameters": {"properties": {"x": schema}}}, "x")
        for schema in ({"type": "text"}, {"enum": None}, {"enum": 5}, {"pattern": "("}, 5)
    ],
    ({"name": "weather", "parameters": {"properties": {"x": {"$ref": "#"}}}}, "$ref"),
]


@pytest.mark.parametrize("schema, said", FAULTS)
def test_a_bad_schema_ends_the_script_that_reads_it_and_is_an_error_in_a_list(schema, said, tmp_path, capsys):
    (tmp_path / "tools.json").write_text(json.dumps({"tools": [schema]}))
    assert said in error_of(capsys, ToolExecutor, tmp_path / "tools.json")
    name = schema.get("name") if isinstance(schema, dict) else None
    assert said in ToolExecutor([schema]).execute(name, {"x": 1})["error"] or not name


@pytest.mark.parametrize("content", ["{", "[]", '{"tools": []}', "[" * 10**5, '{"tools": [%s, %s]}'])
def test_a_bad_file_of_tools_ends_the_script(content, tmp_path, capsys):
    (tmp_path / "tools.json").write_text(content.replace("%s", json.dumps({"name": "weather", "parameters": NONE})))
    error_of(capsys, ToolExecutor, tmp_path / "tools.json")
