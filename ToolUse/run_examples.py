"""Show how a checkpoint answers questions with tools: question, calls, results, answer.

By default the test cases of configs/test_cases.json, each {"prompt", "expected_tool", "expected_params"}, with a
summary; expected_tool null: no call is wanted. --interactive: your own questions.

Input: a checkpoint. Output: on the screen.
Command: python ToolUse/run_examples.py --checkpoint outputs/DPO_tools
Command: python ToolUse/run_examples.py --interactive
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
from ToolUse.tooluse import conversations, episodes


@dataclass
class Args(settings.ProfileArgs):
    checkpoint: str = setting("outputs/DPO_tools", "folder or hub name")
    cases: str = setting("ToolUse/configs/test_cases.json", "JSON list of test cases")
    tools: str = setting("ToolUse/configs/tools.json", "JSON file with the schemas of the tools")
    interactive: bool = setting(False, "answer questions from the keyboard instead")
    max_new_tokens: int = setting(512, "tokens of a completion", tiny=80)
    max_turn_steps: int = setting(8, "completions of a conversation", tiny=4, low=1)
    prompt_room: int = setting(8192, "tokens of the longest prompt", low=1)


def read_cases(path: str, executor: ToolExecutor) -> list[dict]:
    """The test cases; ends the script for one that cannot be checked."""
    try:
        cases = json.loads(runs.resolve(path).read_text())
    except (OSError, ValueError) as error:
        runs.fail(f"--cases {path} cannot be read as JSON ({error})")
    if not isinstance(cases, list) or not cases:
        runs.fail(f"--cases {path} is no list of test cases")
    for number, case in enumerate(cases, 1):
        if not isinstance(case, dict) or not isinstance(case.get("prompt"), str) or "expected_tool" not in case:
            runs.fail(f"--cases {path}, case {number} needs prompt (text), expected_tool and expected_params")
        if case["expected_tool"] is not None and case["expected_tool"] not in executor.schemas:
            runs.fail(
                f"--cases {path}, case {number}: {case['expected_tool']} is none of {', '.join(executor.schemas)}"
            )
        if not isinstance(case.get("expected_params", {}), dict):
            runs.fail(f"--cases {path}, case {number}: expected_params is no object")
    return cases


def to_row(case: dict, executor: ToolExecutor) -> dict:
    """A test case as a row: the wanted call, if any, without a correct answer."""
    messages = [{"role": "user", "content": case["prompt"]}]
    if case.get("expected_tool"):
        made = conversations.called(case["expected_tool"], case.get("expected_params", {}))
        messages.append({"role": "assistant", "content": "", "tool_calls": [made]})
    messages.append({"role": "assistant", "content": "?"})
    tools = [{"type": "function", "function": schema} for schema in executor.schemas.values()]
    return conversations.unfold(conversations.make_row("case", messages, tools))


def answer_with(args, executor: ToolExecutor):
    """From rows to verdicts, with the checkpoint."""
    folder = runs.require_base(args.checkpoint, "python ToolUse/DPO_tools.py")
    tokenizer, _ = conversations.load_tokenizer(folder)
    model = models.load_for_generation(folder)
    complete = functools.partial(
        generation.generate, model, tokenizer, max_new_tokens=args.max_new_tokens, batch_size=16
    )
    complete = generation.within(complete, tokenizer, generation.context_length(folder, args) - args.max_new_tokens)
    return lambda rows: episodes.play(rows, complete, executor.execute, args.max_turn_steps)


def show(row: dict, verdict: dict) -> None:
    print(f"question: {row['question']}\n{verdict['text']}")


def main(args):
    models.check_device(args)
    executor = ToolExecutor(args.tools)
    cases = [] if args.interactive else read_cases(args.cases, executor)
    play = answer_with(args, executor)
    if args.interactive:
        print("Type a question; an empty line ends.")
        while question := sys.stdin.readline().strip():
            row = to_row({"prompt": question}, executor)
            show(row, play([row])[0])
            print()
        return
    rows = [to_row(case, executor) for case in cases]
    counts = {"tool": [], "arguments": [], "format": [], "execution": []}
    for case, row, verdict in zip(cases, rows, play(rows)):
        show(row, verdict)
        passed = {name: verdict["measures"][name] for name in counts}
        for name, value in passed.items():
            counts[name] += [value] if value is not None else []
        failed = [name for name, value in passed.items() if value is False]
        expected = json.dumps({"tool": case["expected_tool"], "params": case.get("expected_params", {})})
        print(f"expected: {expected}\n{'passed' if not failed else 'failed: ' + ', '.join(failed)}\n")
    for name, values in counts.items():
        print(f"{name:10} {sum(values)} of {len(values)}   {episodes.MEASURES[name]}")


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
