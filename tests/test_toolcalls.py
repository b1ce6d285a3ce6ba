"""Tool calls: decoding, scores and the sandbox, against correct, incorrect, malformed and hostile text."""

import json
import math
from types import SimpleNamespace

import pytest

from BFCL.bfcl.official import documented
from BFCL.bfcl.sandbox import ERROR, KILLED, MAX_COST, MAX_NUMBER, Sandbox, parse_call
from BFCL.bfcl.scoring import score_multi, score_single
from common import runs
from common.calls import decode

FUNCTIONS = [
    {
        "name": "area.triangle",
        "description": "",
        "parameters": {
            "type": "dict",
            "properties": {
                "base": {"type": "integer", "description": ""},
                "height": {"type": "float", "description": ""},
                "unit": {"type": "string", "description": ""},
                "tags": {"type": "array", "items": {"type": "string"}, "description": ""},
            },
            "required": ["base", "height"],
        },
    },
    {
        "name": "weather",
        "description": "",
        "parameters": {
            "type": "dict",
            "properties": {"city": {"type": "string", "description": ""}},
            "required": ["city"],
        },
    },
]
TRIANGLE = {"area.triangle": {"base": [10], "height": [5.0], "unit": ["cm", ""], "tags": [["a", "b"], ""]}}
WEATHER = {"weather": {"city": ["Rome", "Roma"]}}
RIGHT = {"area.triangle": {"base": 10, "height": 5}}
SCENARIO = {
    "GorillaFileSystem": {
        "root": {
            "home": {
                "type": "directory",
                "contents": {
                    "notes.txt": {"type": "file", "content": "one\ntwo"},
                    "old": {"type": "directory", "contents": {}},
                },
            }
        }
    },
    "TwitterAPI": {"username": "ann", "password": "pw", "authenticated": True, "tweet_counter": 0},
}
CLASSES = ["GorillaFileSystem", "TwitterAPI", "MathAPI"]
LOOK = [
    "pwd()",
    "find()",
    "cat('notes.txt')",
    "posting_get_login_status()",
    "get_user_tweets('ann')",
]  # changes nothing
TRUTH = [["ls()", "mv(source='notes.txt', destination='old')"], ["cd(folder='old')", "cat(file_name='notes.txt')"], []]


def block(value) -> str:
    return f"<tool_call>\n{value if isinstance(value, str) else json.dumps(value)}\n</tool_call>"


CALL = {"name": "cd", "arguments": {"folder": "old"}}
TEXTS = {  # kind of completion by our decoder
    "call": [block(CALL), block(CALL) + "\n" + block({"name": "ls", "arguments": {}}) + "\n", block(CALL) * 3]
    + [f"<think>\n{block({'name': 'rm', 'arguments': {}})}\n</think>\n\n{block(CALL)}"]
    + [block({"name": None, "arguments": {}}), block({"name": 5, "arguments": {"a": [1, None, True]}})]
    + [block({"name": "ｃｄ", "arguments": {"größe": "\ud800 \0"}}), block({"name": "cd", "arguments": {}, "id": 1})]
    + [block('{"name": "a", "name": "b", "arguments": {"x": NaN, "y": -Infinity, "z": 1e999}}')],
    "text_around": [f"Sure. {block(CALL)}", f"{block(CALL)} Done.", f"<think> {block(CALL)}"]
    + [f"<tool_call>{block(CALL)}", block(CALL) + "</tool_call>"],
    "bad_json": [block("{'name': 'cd'}"), block('{"name": "cd", "arguments": {}'), block(""), block(CALL) + block("?")]
    + [block('{"name": "cd", "arguments": {"n": ' + "9" * 5000 + "}}"), block("[" * 10**5), block('{"a":' * 10**5)]
    + [f"<tool_call>\n{block(CALL)}", block("__import__('os').system('touch pwned')"), block('"' + "x" * 10**6)],
    "not_a_dict": [block("[]"), block("1"), block('"cd"'), block("null"), block([CALL]), block(CALL) + block("2")],
    "bad_call": [block("{}"), block({"name": "cd"}), block({"arguments": {}}), block({"name": ["cd"], "arguments": {}})]
    + [block({"name": {}, "arguments": {}}), block(CALL) + block({"name": "x", "arguments": []})]
    + [block({"name": "cd", "arguments": json.dumps({"folder": "old"})}), block({"name": "cd", "arguments": None})],
    "unclosed": ["<tool_call>\n" + json.dumps(CALL), "<tool_call>" + json.dumps(CALL) + "</tool_call>", "<tool_call>\n"]
    + ["<tool_call>\r\n" + json.dumps(CALL) + "\r\n</tool_call>", "<tool_call>\n\n</tool_call"]
    + ["<tool_call>\n" * 10**5, "<tool_call>\n</tool_call>"],
    "no_call": ["", "   ", "cd(folder='old')", json.dumps(CALL), "\n</tool_call>" * 10**5, block(CALL) + "</think>"]
    + ["x" * 10**6],
}


@pytest.mark.parametrize("kind", TEXTS)
def test_decode_tells_the_kind_of_completion(kind):
    for text in TEXTS[kind]:
        assert decode(text)[1] == kind, text[:200]


def test_decode_agrees_with_the_official_handler():
    """From the raw text of a completion: the handler first drops what stands before </think>, then decodes."""
    from bfcl_eval.model_handler.local_inference.qwen_fc import QwenFCHandler

    def official(text):
        raw = SimpleNamespace(
            choices=[SimpleNamespace(text=text)], usage=SimpleNamespace(prompt_tokens=0, completion_tokens=0)
        )
        response = QwenFCHandler._parse_query_response_prompting(QwenFCHandler, raw)["model_responses"]
        try:
            return QwenFCHandler.decode_ast(QwenFCHandler, response, None, False)
        except (ValueError, KeyError, TypeError, AttributeError):
            return []

    for text in (text for texts in TEXTS.values() for text in texts):
        if text.count("<tool_call>\n") < 1000:  # the official expression is quadratic in the number of openings
            assert repr(decode(text)[0]) == repr(official(text)), text[:200]
    assert decode(None) == ([], "not_text")


def score(decoded, answer=(TRIANGLE,), category="simple_python") -> dict:
    scored = score_single(decoded, FUNCTIONS, list(answer), category)
    assert set(scored) == {"valid", "call", "name", "arguments", "no_extra"} and isinstance(scored["valid"], bool)
    assert all(0 <= value <= 1 and math.isfinite(value) for value in scored.values())
    return scored


def test_score_single_gives_graded_parts():
    everything = {"valid": True, "call": 1, "name": 1, "arguments": 1, "no_extra": 1}
    assert score([RIGHT]) == everything
    assert score([{"area.triangle": {"base": 10, "height": 5.0, "unit": "CM", "tags": ["a", "b"]}}]) == everything
    assert score([]) == dict.fromkeys(everything, 0)
    assert score([{"area": RIGHT["area.triangle"]}]) == everything | {"valid": False, "name": 0, "arguments": 0}
    part = everything | {"valid": False}
    assert score([{"area.triangle": {"base": 10, "height": 6}}]) == part | {"arguments": 1 / 2}
    assert score([{"area.triangle": {"base": 10}}]) == part | {"arguments": 1 / 2}
    assert score([{"area.triangle": {"base": "10", "height": 5, "unit": "m"}}]) == part | {"arguments": 1 / 3}
    assert score([{"area.triangle": {"base": 10, "height": 5, "depth": 1}}]) == part | {"arguments": 2 / 3}
    assert score([{"area.triangle": {}}]) == part | {"arguments": 0}
    assert score([RIGHT, RIGHT]) == {"valid": False} | dict.fromkeys(("call", "name", "arguments", "no_extra"), 1 / 2)


def test_score_single_of_several_calls():
    both = (TRIANGLE, WEATHER)
    rome, oslo = {"weather": {"city": "roma"}}, {"weather": {"city": "Oslo"}}
    assert score([rome, RIGHT], both, "parallel_multiple")["valid"]
    assert score([rome], both, "parallel_multiple") == {
        **{"valid": False, "call": 1, "name": 1 / 2, "arguments": 1 / 2, "no_extra": 1}
    }
    assert score([rome, RIGHT, oslo], both, "live_parallel_multiple")["no_extra"] == 2 / 3
    assert score([oslo, RIGHT, rome], both, "parallel")["arguments"] == 2 / 3, "the best call counts, anywhere"
    assert score([oslo], (WEATHER,), "multiple") == {
        **{"valid": False, "call": 1, "name": 1, "arguments": 0, "no_extra": 1}
    }
    for category, called in (("irrelevance", False), ("live_irrelevance", False), ("live_relevance", True)):
        assert score([rome], (), category)["valid"] == called == score([rome], (), category)["call"]
        assert score([], (), category)["valid"] != called


HOSTILE_DECODED = [
    [{"area.triangle": value}]
    for value in (None, 1, "x" * 10**6, [], {"base": {}}, {"base": math.nan}, {"height": math.inf}, {"base": 10**400})
] + [
    *([{}], [{"area.triangle": {}, "weather": {}}], [None], ["x"], [{None: {}}], [{("a",): {}}], [{1.5: {"a": 1}}]),
    *([RIGHT] * 10**4, [{"area.triangle": {str(i): i for i in range(10**4)}}], None, "text", {}, 5),
    [{"area.triangle": {"base": json.loads("[" * 500 + "]" * 500), "height": {"a": [{}]}, "tags": [[], {}, None]}}],
    [{"area.triangle": {"tags": ["a"] * 10**5, "unit": ["cm"], None: 1, 7: 2}}],
]


@pytest.mark.parametrize("category", ["simple_python", "multiple", "parallel", "simple_java", "simple_javascript"])
def test_score_single_is_bounded_and_silent(category):
    for answer in ((TRIANGLE,), (TRIANGLE, WEATHER), ()):
        for decoded in HOSTILE_DECODED:
            scored = score(decoded, answer, category)
            assert answer == () or not scored["valid"]


@pytest.mark.parametrize("kind", ["ArrayList", "Array", "HashMap", "array", "dict"])
def test_source_text_cannot_make_the_checker_backtrack(kind):
    """The official expressions for the lists and maps of Java and JavaScript take years on some of these."""
    category = "simple_javascript" if kind.islower() else "simple_java"
    texts = ["[[]" + ",[]" * 10**4, "new Array([]" + ",[]" * 100 + "x", "[[" + "],[" * 100, "{" + "a: " * 10**4 + "}"]
    texts += ["new HashMap<>() {" + " " * 10**4, "new HashMap<" + "> () {" * 1000, "new ArrayList<>() {{" + "\t" * 500]
    texts += ["new ArrayList<>(Arrays.asList(" * 1000, "new int[] {" + "1," * 10**4, "[" * 10**5, "{a:" * 100]
    spec = {"type": kind, "items": {"type": "String"}, "description": ""}
    document = {"name": "f", "parameters": {"properties": {"x": spec}, "required": ["x"]}}
    for text in texts:
        for cut in (50, 390, None):
            scored = score_single([{"f": {"x": text[:cut]}}], [document], [{"f": {"x": [["a"]]}}], category)
            assert not scored["valid"]


# What must not be executed, as ground truths are written and as a model writes calls.
HOSTILE_CALLS = [
    *("", " ", "1", "cd", "cd.x", "cd()()", "a.b.c(1)", "GorillaFileSystem.cd(folder='old')", "self.cd(folder='old')"),
    *("().__class__.__base__.__subclasses__()", "cd.__globals__['x']()", "__import__('os').system('touch pwned')"),
    *("open('pwned', 'w').write('x')", "open('pwned', 'w')", "eval('1')", "exec('x=1')", "print(1)", "exit()"),
    *("(lambda: 1)()", "[x for x in (1,)]", "(x := 5)", "cd(folder=(x := 'old'))", "cd(folder=f'{1}')", "f'{cd}'"),
    *("cd(folder=cd(folder='old'))", "ls(ls())", "cd(folder=open('pwned', 'w'))", "cd(folder='o' + 'ld')"),
    *("cd(folder='old' * 10**9)", "cd(**{'folder': 'old'})", "cd(*['old'])", "cd(folder='old', folder='old')"),
    *("cd('old', folder='old')", "cd('old', 'old')", "cd(folder=b'old')", "cd(folder={'old'})", "cd(folder=1j)"),
    *("cd(folder='old'); rm(file_name='notes.txt')", "cd(folder='old')\nrm(file_name='notes.txt')", "cd(folder='old'"),
    *("_load_scenario(scenario={})", "__init__()", "_navigate_to_directory(path='/')", "__eq__(other=1)"),
    *("ｃｄ(folder='old')", "сd(folder='old')", "ls\u0000()", "await cd(folder='old')", "yield cd(folder='old')"),
    *("power(2, 10**9)", "power(base=10, exponent=1000000000)", "power(10, 1000000000)", "mean(numbers=[1e999])"),
    *("square_root(number=2, precision=10000000)", "square_root(2, 10000000)", "logarithm(10, 2, 10000000)"),
    *("round_number(number=5, decimal_places=-1000000000)", "mean(numbers=[" + "1," * 10**4 + "])", "add(1e300, 1)"),
    *("touch(file_name='" + "x" * 10**6 + "')", "ls(" * 5000 + ")" * 5000, "cd(folder=" + "[" * 200 + "]" * 200 + ")"),
    *("edit_ticket(1, {(1, 2): 3})", "edit_ticket(1, {1: 2})", "edit_ticket(1, ...)", "cd(folder=...)"),
    *("-" * 10**4 + "1", "(" * 10**4, "cd(folder=" + "-" * 10**4 + "1)"),
    "cd(folder=" + "(" * 90 + "'a'" + ")" * 89 + ")",
    *({}, {"cd": {"folder": "old"}, "rm": {"file_name": "notes.txt"}}, {"cd": None}, {"cd": ["old"]}, {"cd": "old"}),
    *({None: {}}, {1: {}}, {"": {}}, {"open": {"file": "pwned", "mode": "w"}}, {"__import__": {"name": "os"}}),
    *({"_load_scenario": {"scenario": {}}}, {"cd.__call__": {"folder": "old"}}, {"__class__": {}}),
    {"__eq__": {"a": 1}},
    *({"GorillaFileSystem.cd": {"folder": "old"}}, {"cd(folder='old') or cd": {"folder": "old"}}),
    {"ｃｄ": {"folder": "old"}},
    *({"power": {"base": 10, "exponent": 10**9}}, {"power": {"base": 10, "exponent": -1e9}}),
    *({"square_root": {"number": 2, "precision": 1e7}}, {"add": {"a": math.nan, "b": 1}}),
    {"add": {"a": math.inf, "b": 1}},
    *({"touch": {"file_name": "x" * 10**6}}, {"mean": {"numbers": [1] * 10**5}}, {"add": {"a": 10**400, "b": 1}}),
    *({"mean": {"numbers": json.loads("[" * 900 + "]" * 900)}}, {"x" * 10**6: {}}, {"touch": {"x" * 10**6: 1}}),
    *({"cd": {"folder": object()}}, None, 5, ["cd", {"folder": "old"}], b"cd(folder='old')", object()),
]
# Allowed, and wrong in a way that Python or the class itself reports.
HARMLESS = [
    *({"cd": {}}, {"cd": {"folder": 5}}, {"cd": {"dir": "old"}}, {"cd": {"self": "old"}}, {"ls": {"größe": 2}}),
    *({"get_stock_info": {"symbol": "AAPL"}}, {"power": {"base": 10**18, "exponent": 1000}}),
    {"touch": {"file_name": 5}},
    *({"power": {"base": 2.5, "exponent": 1000}}, {"mention": {"tweet_id": [], "mentioned_usernames": []}}),
]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


def opened(sandbox) -> int:
    return sandbox.open(SCENARIO, CLASSES)


def test_calls_are_executed(sandbox):
    episode = opened(sandbox)
    calls = [
        {"ls": {}},
        {"cat": {"file_name": "notes.txt"}},
        {"touch": {"file_name": "a\ud800"}},
        "mv('a\ud800', 'old')",
    ]
    calls += [{"cd": {"folder": "new"}}, {"add": {"a": 1, "b": 2.5}}, {"square_root": {"number": 2, "precision": 5}}]
    assert sandbox.execute(episode, [*calls, {"fly": {}}, {"cd": {}}]) == [
        '{"current_directory_content": ["notes.txt", "old"]}',
        '{"file_content": "one\\ntwo"}',
        "None",
        ERROR + "'utf-8' codec can't encode character '\\ud800' in position 5: surrogates not allowed",
        '{"error": "cd: \'new\': No such file or directory"}',
        '{"result": 3.5}',
        "{'result': Decimal('1.4142')}",
        ERROR + "name 'fly' is not defined",
        ERROR + "GorillaFileSystem.cd() missing 1 required positional argument: 'folder'",
    ]
    sandbox.close(episode)
    with pytest.raises(ValueError, match="MemoryAPI_kv"):
        sandbox.open({}, ["MemoryAPI_kv"])


def test_hostile_calls_are_refused(sandbox):
    """None gets through, none hangs, none kills the worker, and no state changes, of this episode or of another."""
    assert multi(sandbox, [[*HOSTILE_CALLS, *HARMLESS, *TRUTH[0]], *TRUTH[1:]]) == multi(sandbox, TRUTH) | {
        "extra": (len(HOSTILE_CALLS) + len(HARMLESS)) / (len(HOSTILE_CALLS) + len(HARMLESS) + 4)
    }
    mine, other = opened(sandbox), opened(sandbox)
    sandbox.execute(other, [{"cd": {"folder": "old"}}, {"post_tweet": {"content": "hello"}}])
    before = sandbox.execute(mine, LOOK), sandbox.execute(other, LOOK), sandbox.restarts
    for call in HOSTILE_CALLS:
        assert isinstance(parse_call(call), str), str(call)[:200]
        (result,) = sandbox.execute(mine, [call])
        assert result.startswith(ERROR) and len(result) < 300, str(call)[:200]
    for call in HARMLESS:
        assert sandbox.execute(mine, [call])[0].startswith(ERROR), call
    assert (sandbox.execute(mine, LOOK), sandbox.execute(other, LOOK), sandbox.restarts) == before
    assert not (runs.ROOT / "pwned").exists()
    assert sandbox.execute(other, [{"pwd": {}}]) == ['{"current_working_directory": "/home/old"}']


def test_text_and_dictionary_are_the_same_call():
    assert parse_call("mv('a', destination='b')") == ["mv", {"source": "a", "destination": "b"}]
    assert parse_call({"mv": {"source": "a", "destination": "b"}}) == parse_call("mv('a', 'b')")
    assert parse_call("ls(a=True)") == ["ls", {"a": True}]
    assert parse_call("mean(numbers=[1, -2.5, None])") == ["mean", {"numbers": [1, -2.5, None]}]


def test_only_documented_methods_can_be_called():
    names = [method for methods in documented().values() for method in methods]
    assert len(names) == len(set(names)) == 128 and not any(name.startswith("_") for name in names)
    assert parse_call("purchase_insurance('t', 'type', 'id', 5, 'card')")[1]["booking_id"] == "id"


def test_the_costliest_calls_within_the_bounds_are_quick(sandbox):
    """Every documented method of MathAPI, with every number at its bound, and one tree that holds much."""
    episode, before = opened(sandbox), sandbox.restarts
    for method, parameters in documented()["MathAPI"].items():
        for sign in (1, -1):
            value = {key: sign * MAX_COST.get(key, MAX_NUMBER - 1) for key in parameters}
            value |= {"numbers": [sign * 1e17] * 500} if "numbers" in parameters else {}
            sandbox.execute(episode, [{method: value}, {method: {k: v for k, v in value.items() if k != "numbers"}}])
    assert sandbox.restarts == before


def doubling(times: int) -> list[dict]:
    """Calls that let a tree of a few directories have 2 ** times paths, for cp copies directories by reference."""
    calls = [{"mkdir": {"dir_name": "d0"}}]
    for i in range(times):
        calls += [{"cp": {"source": f"d{i}", "destination": f"e{i}"}}, {"mkdir": {"dir_name": f"d{i + 1}"}}]
        calls += [{"mv": {"source": name, "destination": f"d{i + 1}"}} for name in (f"d{i}", f"e{i}")]
    return calls


def test_a_hang_ends_its_own_episode_alone(sandbox):
    mine, other, third, before = opened(sandbox), opened(sandbox), opened(sandbox), sandbox.restarts
    sandbox.execute(other, [{"cd": {"folder": "old"}}, {"touch": {"file_name": "b"}}, "post_tweet('x')"])
    state = sandbox.execute(other, LOOK)
    results = sandbox.execute(mine, [*doubling(26), {"du": {}}, {"ls": {}}])
    assert sandbox.restarts == before + 1 and results[-2:] == [KILLED] * 2
    assert not any(result.startswith(ERROR) for result in results[:-2])
    assert sandbox.execute(mine, [{"pwd": {}}]) == [KILLED]
    assert sandbox.execute(other, LOOK) == state
    assert sandbox.execute(other, [{"pwd": {}}]) == ['{"current_working_directory": "/home/old"}']
    assert sandbox.execute(third, LOOK) == sandbox.execute(opened(sandbox), LOOK) and sandbox.restarts == before + 1
    for episode in (mine, other, third):
        sandbox.close(episode)
    turns = [[*doubling(26), {"du": {}}], [], []]
    assert not any(value for name, value in multi(sandbox, turns).items() if name != "extra")
    assert multi(sandbox, TRUTH)["valid"] and sandbox.restarts == before + 2


def test_a_worker_that_someone_kills_is_replaced(sandbox):
    episode = opened(sandbox)
    sandbox.execute(episode, ["cd('old')", "touch('b')"])
    state = sandbox.execute(episode, LOOK)
    for _ in range(2):
        sandbox._worker.kill()
        sandbox._worker.wait()
        assert sandbox.execute(episode, ["ls()"]) == ['{"current_directory_content": ["b"]}']
        assert sandbox.execute(episode, LOOK) == state
    sandbox._worker.kill()
    sandbox.close(episode)


def test_a_tree_that_holds_itself(sandbox):
    """cp of a directory into itself makes an endless tree: no recursion reaches the caller."""
    episode = opened(sandbox)
    call = {"cp": {"source": "old", "destination": "old"}}
    results = sandbox.execute(episode, [call, {"find": {}}, {"du": {}}, {"ls": {}}])
    assert results[1].startswith(ERROR) and results[3].startswith("{")
    assert multi(sandbox, [[*TRUTH[0], call], *TRUTH[1:]])["turns"] == 0
    sandbox.close(episode)


def test_nothing_is_left_behind_for_the_next_episode(sandbox):
    """BFCL's own post_tweet keeps the lists of its defaults, and its long context the cards of its module."""
    calls = [{"post_tweet": {"content": "x"}}, {"mention": {"tweet_id": 0, "mentioned_usernames": ["@eve"]}}]
    first, second = opened(sandbox), opened(sandbox)
    sandbox.execute(first, calls)
    assert json.loads(sandbox.execute(first, ["get_tweet(0)"])[0])["mentions"] == ["@eve"]
    assert json.loads(sandbox.execute(second, calls[:1])[0])["mentions"] == []

    scenario = {"TravelAPI": {"access_token": "1", "token_expires_in": 2}}
    first, second = (sandbox.open(scenario, ["TravelAPI"], long_context=True) for _ in range(2))
    look = [{"get_all_credit_cards": {}}]
    cards = sandbox.execute(first, look)
    balances = json.loads(cards[0])["credit_card_list"]
    card = max(balances, key=lambda name: balances[name]["balance"])
    booking = {"card_id": card, "travel_from": "SFO", "travel_to": "LAX", "travel_date": "2024-01-01"}
    booking |= {"access_token": "1", "travel_class": "economy"}
    booked = sandbox.execute(first, [{"book_flight": booking}])[0]
    assert '"booking_status": true' in booked and sandbox.execute(first, look) != cards
    assert sandbox.execute(second, look) == cards


def multi(sandbox, turns, truth=TRUTH) -> dict:
    entry = {"id": "multi_turn_base_0", "initial_config": SCENARIO, "involved_classes": CLASSES}
    scored = score_multi(sandbox, entry, truth, turns)
    assert set(scored) == {"valid", "turns", "prefix", "responses", "extra"}
    assert all(0 <= value <= 1 for value in scored.values())
    return scored


def test_score_multi_counts_states_and_responses(sandbox):
    perfect = {"valid": True, "turns": 1, "prefix": 1, "responses": 1, "extra": 0}
    ls, mv, cat = {"ls": {}}, {"mv": {"source": "notes.txt", "destination": "old"}}, {"cat": {"file_name": "notes.txt"}}
    cd = {"cd": {"folder": "old"}}
    assert multi(sandbox, TRUTH) == multi(sandbox, [[ls, mv], [cd, cat], []]) == perfect
    assert multi(sandbox, [[mv, ls, cd], [cat], []])["valid"] is False, "ls gives another result after mv"
    assert multi(sandbox, [[ls, mv, cd], [cat], []])["valid"], "a result of an earlier turn counts"
    nothing = dict.fromkeys(perfect, 0)
    assert multi(sandbox, [[], [], []]) == multi(sandbox, []) == nothing
    assert multi(sandbox, [[ls, mv], [cd, cat]]) == perfect | {"valid": False}, "a turn is missing"
    half = {"valid": False, "turns": 1 / 2, "prefix": 1 / 2, "responses": 1 / 2}
    assert multi(sandbox, [[ls, mv], [], []]) == perfect | half
    late = multi(sandbox, [[mv], [cd, cat], []])
    assert late["turns"] == 1 / 2 and late["prefix"] == 0


def test_progress_cannot_be_farmed(sandbox):
    """Repeating, undoing and calling at random never score more than the same episode without them."""
    ls, mv = {"ls": {}}, {"mv": {"source": "notes.txt", "destination": "old"}}
    undo = [{"cd": {"folder": "old"}}, {"mv": {"source": "notes.txt", "destination": "x"}}, {"rm": {"file_name": "x"}}]
    parts = ("turns", "prefix", "responses")
    base = multi(sandbox, [[ls, mv], [], []])
    for turns in ([[ls, mv] * 9], [[ls, mv, ls, ls, ls]], [[ls, mv], [ls] * 50], [[ls, mv], [], [ls] * 50]):
        scored = multi(sandbox, turns)
        assert all(scored[name] <= base[name] for name in parts) and scored["extra"] > 0
    assert all(multi(sandbox, [[ls, mv, *undo], [], []])[name] == 0 for name in parts)
    nothing = multi(sandbox, [[], [], []])
    for turns in ([[{"pwd": {}}] * 50, [{"touch": {"file_name": "x"}}], []], [["nonsense("] * 9, [None], [{}]]):
        assert all(multi(sandbox, turns)[name] <= nothing[name] for name in parts)


def test_score_multi_never_raises(sandbox):
    before = sandbox.restarts
    for turns in ([HOSTILE_CALLS], [[call] for call in HOSTILE_CALLS], [[{"ls": {}}] * 10**4], [[]] * 50):
        assert not multi(sandbox, turns)["valid"]
    assert sandbox.restarts == before
