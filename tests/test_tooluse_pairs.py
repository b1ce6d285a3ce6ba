"""The pairs of DPO: each rejected completion has the failure that it was made for."""

import json
import re
from collections import Counter

from tool_questions import play_one, rows

from ToolUse.tooluse import conversations, pairs


def test_every_pair_has_the_failure_of_its_kind(capsys):
    """The chosen completion is the row's, and the rejected one, played, has the failure that it was made for."""
    found = rows()["train"]
    made = pairs.make_pairs(found, list(pairs.KINDS), 300, 1)
    counts = Counter(pair["kind"] for pair in made)
    few = min(counts[kind] for kind in pairs.KINDS)
    assert set(counts) == set(pairs.KINDS) and few >= 20 and max(counts.values()) <= few + 3
    by_question = {row["question"]: row for row in found}
    for pair in made:
        row = by_question[pair["prompt"][1]["content"]]
        chosen, rejected = pair["chosen"][0]["content"], pair["rejected"][0]["content"]
        assert chosen != rejected
        gold = [m["content"] for m in row["completion"] if m["role"] == "assistant"]
        step = sum(m["role"] == "assistant" for m in pair["prompt"])
        assert gold[step] == chosen
        verdict = play_one(row, iter([*gold[:step], rejected, *gold[step + 1 :]]))
        failures = {pair["kind"]}
        if pair["kind"] == "wrong_tool" and len(json.loads(row["solution"])[step]) > 1:
            failures.add("wrong_argument")
        assert verdict["failure"] in failures, (pair, verdict)
    assert "left out as equal or impossible" in capsys.readouterr().out


def test_equal_pairs_are_counted_and_left_out(monkeypatch, capsys):
    monkeypatch.setitem(pairs.REJECTED, "no_call", lambda completion, pool: completion.text)
    assert pairs.make_pairs(rows()["train"], ["no_call"], 300, 1) == []
    said = capsys.readouterr().out
    assert re.search(r"pairs: none; left out as equal or impossible: \d+ no_call", said)


def test_pairs_of_rows_without_tools_or_arguments():
    bare = conversations.unfold(
        conversations.make_row("x", [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi"}], [])
    )
    assert pairs.make_pairs([bare], list(pairs.KINDS), 10, 0) == []
    tool = {"type": "function", "function": {"name": "now", "parameters": {"properties": {}}}}
    messages = [
        {"role": "user", "content": "Now?"},
        {"role": "assistant", "content": "", "tool_calls": [conversations.called("now", {})]},
    ]
    row = conversations.unfold(conversations.make_row("x", messages, [tool]))
    for seed in range(6):
        for pair in pairs.make_pairs([row], ["wrong_argument", "wrong_tool", "bad_json", "no_call"], 10, seed):
            assert pair["chosen"] != pair["rejected"]
