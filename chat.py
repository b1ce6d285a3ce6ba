"""Chat with a checkpoint in the terminal: about mathematics, or with tools whose calls are executed and shown.

A checkpoint that was trained on tool calls is offered tools; any other one is asked for reasoning and an answer between
its tags. With --history it sees the conversation so far, without the oldest questions where its context has no room for
them; /new begins another one. An empty line or Ctrl-D ends.

Input: a checkpoint. Output: on the screen.
Command: python chat.py outputs/GRPO-1K
Command: python chat.py outputs/SFT_tools --temperature 0.7
"""

import contextlib
import json
import os
import re
import sys
from dataclasses import dataclass

from common import calls, generation, kinds, models, prompts, runs, settings
from common.settings import setting
from ToolUse.tool_executor import TOOLS, ToolExecutor
from ToolUse.tooluse import conversations, episodes

with contextlib.suppress(ImportError):  # not on every system
    import readline  # noqa: F401  arrow keys in input()


@dataclass
class Args(settings.ProfileArgs):
    checkpoint: str = setting("", "folder or hub name; also without its name, as the first word")
    tools: str = setting("", "JSON file with the schemas of tools [the built-in ones, for one trained on tool calls]")
    functions: str = setting("", "Python file with the tools' functions by name [those of ToolUse/tool_executor.py]")
    tags: str = setting("thesis", "tag set for a base that carries none, thesis or think")
    history: bool = setting(True, "show it earlier questions too; the embedded models know single ones", tiny=False)
    temperature: float = setting(0.0, "sampling temperature; 0 is greedy", low=0)
    seed: int = setting(0, "seed of the samples")
    max_new_tokens: int = setting(1536, "tokens of a completion", tiny=160)
    max_turn_steps: int = setting(8, "completions that answer a question with tools", tiny=4, low=1)
    prompt_room: int = setting(8192, "tokens of the longest prompt", low=1)
    batch_size: int = setting(1, "completions in memory at once")
    use_vllm: bool = setting(False, "generate with vLLM; needs CUDA; also --vllm")


COLOURS = dict.fromkeys(conversations.SPECIAL, "\033[33m")  # yellow for calls and results, cyan for the tags
for tags in prompts.TAG_SETS.values():
    COLOURS |= dict.fromkeys(tags, "\033[36m")
PATTERN = re.compile("|".join(map(re.escape, COLOURS)))


def visible(text: str) -> str:
    """A text without control characters, which could rewrite the terminal; on a terminal its tags are coloured."""
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", text)
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return PATTERN.sub(lambda tag: f"{COLOURS[tag[0]]}{tag[0]}\033[0m", text)


def ask() -> str:
    """The next question; empty at the end."""
    try:
        return input("> ").strip().encode(errors="replace").decode()
    except (EOFError, KeyboardInterrupt):
        return ""


def answer(head: list[dict], turns: list[list[dict]], complete, executor: ToolExecutor | None, args) -> None:
    """Complete the last turn, [question, completion, results, completion, ...], and print it.

    complete: from conversations to completions, generation.TOO_LONG for a prompt that has no room; then the oldest turn
    is removed, and the last one where it is alone.
    """
    for _ in range(args.max_turn_steps):
        completion = complete([head + sum(turns, [])])[0]
        while completion.get("too_long") and len(turns) > 1:
            turns.pop(0)
            completion = complete([head + sum(turns, [])])[0]
        if completion.get("too_long"):
            print("the question is too long for the context; ask a shorter one, or raise --prompt_room")
            turns.pop()
            return
        text = completion["text"]
        print(visible(text))
        if completion["truncated"]:
            print(f"[cut after {args.max_new_tokens} tokens; --max_new_tokens allows more]")
        turns[-1].append({"role": "assistant", "content": text})
        objects, _ = calls.decode(text) if executor else ([], "")
        if not objects:
            return
        pairs = [pair for call in objects for pair in call.items()]
        message = calls.tool_message([episodes.result_text(executor.execute(*pair)) for pair in pairs])
        print(visible(message["content"]))
        turns[-1].append(message)
    print(f"[no answer within {args.max_turn_steps} completions]")


def main(args):
    if not args.checkpoint:
        runs.fail("which checkpoint? for example: python chat.py outputs/GRPO-1K")
    models.check_device(args)
    folder = runs.require_base(args.checkpoint, "python SFT/SFT_train.py, or the script that makes it")
    executor = None
    if args.tools or (runs.read_record(runs.resolve(folder)) or {}).get("kind") in kinds.MODULES:
        executor = ToolExecutor(args.tools or TOOLS, args.functions)
        tokenizer, _ = conversations.load_tokenizer(folder)
        tools = conversations.offered(executor.schemas.values())
        offer = prompts.tools_prompt([json.dumps(tool, ensure_ascii=False) for tool in tools])
        head = [{"role": "system", "content": offer}]
        print(f"tools: {', '.join(executor.schemas)}")
    else:
        tokenizer, tag_set = models.load_tokenizer(folder, default=args.tags)
        head = prompts.build_prompt("", prompts.TAG_SETS[tag_set])[:1]
    generate = generation.generator(folder, tokenizer, args)

    def sample(conversation, **sampling):
        return generate(conversation, temperature=args.temperature, seed=args.seed, **sampling)

    complete = generation.within(sample, tokenizer, generation.context_length(folder, args) - args.max_new_tokens)
    turns = []
    print("Type a question; /new begins another conversation, an empty line ends.")
    while question := ask():
        if question == "/new" or not args.history:
            turns = []
        if question == "/new":
            continue
        turns.append([{"role": "user", "content": question}])
        answer(head, turns, complete, executor, args)


if __name__ == "__main__":
    sys.argv[1:] = ["--use_vllm" if word == "--vllm" else word for word in sys.argv[1:]]
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        sys.argv.insert(1, "--checkpoint")
    settings.run(main, Args, __doc__)
