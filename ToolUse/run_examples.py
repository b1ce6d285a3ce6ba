"""Show how a checkpoint answers test cases with tools: question, calls, results, answer; and how many it gets right.

A case is {"prompt", "expected_tool", "expected_params"}; expected_tool null: no call is wanted. For your own questions:
python chat.py.

Input: a checkpoint. Output: on the screen.
Command: python ToolUse/run_examples.py --checkpoint outputs/DPO_tools
"""

import functools
import json
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from tool_executor import ToolExecutor

from common import generation, models, runs, settings
from common.settings import setting
from ToolUse.tooluse import conversations, episodes, schemas


@dataclass
class Args(settings.ProfileArgs):
    checkpoint: str = setting("outputs/DPO_tools", "folder or hub name")
    cases: str = setting("ToolUse/configs/test_cases.json", "JSON list of test cases")
    tools: str = setting("ToolUse/configs/tools.json", "JSON file with the schemas of the tools")
    functions: str = setting("", "Python file with the tools' functions by name [those of ToolUse/tool_executor.py]")
    max_new_tokens: int = setting(512, "tokens of a completion", tiny=80)
    max_turn_steps: int = setting(8, "completions of a conversation", tiny=4, low=1)
    prompt_room: int = setting(8192, "tokens of the longest prompt", low=1)


def read_cases(path: str, executor: ToolExecutor) -> list[dict]:
    """The test cases, arguments by the names of the schemas; ends the script for one that cannot be checked."""
    cases = schemas.read_json(path, "--cases")
    if not isinstance(cases, list) or not cases:
        runs.fail(f"--cases {path} is no list of test cases")
    for number, case in enumerate(cases, 1):
        fault = fault_of(case, executor)
        if fault:
            runs.fail(f"--cases {path}, case {number}: {fault}")
    return cases


def fault_of(case, executor: ToolExecutor) -> str | None:
    """Why a test case cannot be checked, or None. Gives its arguments the names that the schema has for them."""
    if not isinstance(case, dict) or not isinstance(case.get("prompt"), str) or "expected_tool" not in case:
        return "it needs prompt (text), expected_tool and expected_params"
    tool, arguments = case["expected_tool"], case.setdefault("expected_params", {})
    if tool is not None:
        if not isinstance(tool, str) or tool not in executor.schemas:
            return f"expected_tool {str(tool)[:50]} is none of {', '.join(executor.schemas)}"
        fault = executor.problem(tool, arguments)
        if fault:
            return f"expected_params: {fault}"
        case["expected_params"] = executor.spelled(tool, arguments)
    elif arguments != {}:
        return "expected_params without expected_tool"
    return conversations.problem(to_row(case, executor))


def to_row(case: dict, executor: ToolExecutor) -> dict:
    """A test case as a row: the wanted call, if any, without a correct answer."""
    messages = [{"role": "user", "content": case["prompt"]}]
    if case["expected_tool"]:
        call = conversations.called(case["expected_tool"], case["expected_params"])
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
    messages.append({"role": "assistant", "content": "?"})
    tools = conversations.offered(executor.schemas.values())
    return conversations.unfold(conversations.make_row("case", messages, tools))


def play(cases: list[dict], executor: ToolExecutor, args) -> list[dict]:
    """The verdict on a conversation of the checkpoint about each case."""
    folder = runs.require_base(args.checkpoint, "python ToolUse/DPO_tools.py")
    tokenizer, _ = conversations.load_tokenizer(folder)
    model = models.load_for_generation(folder)
    how = {"max_new_tokens": args.max_new_tokens, "batch_size": 16}
    complete = functools.partial(generation.generate, model, tokenizer, **how)
    complete = generation.within(complete, tokenizer, generation.context_length(folder, args) - args.max_new_tokens)
    rows = [to_row(case, executor) for case in cases]
    return episodes.play(rows, complete, executor.execute, args.max_turn_steps)


def check(cases: list[dict], executor: ToolExecutor, args) -> list[dict]:
    """Of each case whether the tool is correct, and how many parameters are; prints the conversations and the sums."""
    counts = {name: [] for name in ("tool", "arguments", "format", "execution")}
    lines = []
    for case, verdict in zip(cases, play(cases, executor, args)):
        print(f"question: {case['prompt']}\n{verdict['text']}")
        if verdict["too_long"]:
            print("no room for another completion; raise --prompt_room, or lower --max_new_tokens")
        print(f"expected: {json.dumps({'tool': case['expected_tool'], 'params': case['expected_params']})}")
        measures = verdict["measures"]
        for name, values in counts.items():
            if measures[name] is not None:
                values.append(measures[name])
        failed = [name for name in counts if measures[name] is False]
        print(f"failed: {', '.join(failed)}\n" if failed else "passed\n")
        called = {}
        for name, arguments in json.loads(verdict["solution"] or "[]"):
            if name == case["expected_tool"]:
                called = episodes.normal(arguments)
        expected = episodes.normal(case["expected_params"])
        correct = [name for name in expected if name in called and called[name] == expected[name]]
        line = {"prompt": case["prompt"], "tool": measures["tool"]}
        lines.append(line | {"parameters_correct": len(correct), "parameters": len(expected)})
    for name, values in counts.items():
        print(f"{name:10} {sum(values)} of {len(values)}   {episodes.MEASURES[name]}")
    correct = sum(line["parameters_correct"] for line in lines)
    print(f"parameters {correct} of {sum(line['parameters'] for line in lines)}")
    return lines


def main(args):
    models.check_device(args)
    executor = ToolExecutor(args.tools, args.functions)
    check(read_cases(args.cases, executor), executor, args)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
