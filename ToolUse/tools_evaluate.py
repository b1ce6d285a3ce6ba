"""Test checkpoints on questions with tools: calls are executed, until an answer is given.

accuracy of <dataset> = fraction of questions without a failure. Five measures beside it, each with a row of its own,
<dataset>:<measure>: tool (parsed names), arguments, format, execution, response (the answer states the results);
tooluse/episodes.py defines them, and the kinds of failure. Interval: 95 % Wilson over the questions that a measure
applies to. The measures by tool, and the failures by kind, are rows of toolcalls.csv.

Input: checkpoints, outputs/data/<dataset>/. Output: rows of resources/results.csv, items.csv and toolcalls.csv, each
conversation in outputs/tests/*.jsonl.
Command: python ToolUse/tools_evaluate.py --checkpoints resources/tiny-base outputs/SFT_tools outputs/DPO_tools
"""

import gc
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from tool_executor import ToolExecutor

from common import data, evaluation, generation, models, runs, settings
from common.settings import setting
from ToolUse.tooluse import conversations, episodes

ALL = "all"
GREEDY = evaluation.Plan("greedy", 1, {})


@dataclass
class Args(settings.ProfileArgs):
    checkpoints: list[str] = setting([], "folders or hub names [the base and all of outputs/]")
    dataset: list[str] = setting(["tools"], "folders of outputs/data/, made by tool_dataset_creation.py")
    split: str = setting("test", "split of the data sets: test, or validation to choose settings by")
    tools: str = setting("ToolUse/configs/tools.json", "JSON file with the schemas of the tools")
    functions: str = setting("", "Python file with the tools' functions by name [those of ToolUse/tool_executor.py]")
    tags: str = setting("thesis", "tag set of a base that carries none; no tag is asked for here")
    base: str = setting("Qwen/Qwen3-4B-Base", "first of the default checkpoints", tiny="resources/tiny-base")
    rows: int = setting(0, "first rows of each data set; 0 takes all")
    seed: int = setting(0, "of the row of a base, which was not trained with any")
    max_new_tokens: int = setting(512, "tokens of a completion", tiny=80)
    max_turn_steps: int = setting(8, "completions of a conversation", tiny=4, low=1)
    prompt_room: int = setting(8192, "tokens of the longest prompt", low=1)
    batch_size: int = setting(64, "completions in memory at once", tiny=100)
    use_vllm: bool = setting(False, "generate with vLLM; needs CUDA")
    results: str = setting("", "another results.csv, with the other files beside it [resources/results.csv]")
    resume: bool = setting(False, "skip what is tested already")
    show: int = setting(1, "conversations to print for each checkpoint", low=0)


def main(args):
    models.check_device(args)
    executor = ToolExecutor(args.tools, args.functions)
    folders, _ = evaluation.checkpoints_of(args)
    loaded = [conversations.load_tokenizer(folder) for folder in folders]
    sets = [test_set(name, folders, loaded, args) for name in args.dataset]
    for folder, (tokenizer, tag_set) in zip(folders, loaded):
        facts = evaluation.checkpoint_facts(folder, args)
        answer = None
        for one in sets:
            key = evaluation.key_of(facts, one.dataset, args.split, GREEDY)
            if args.resume and evaluation.is_tested(key, folder, args, len(one.rows)):
                print(f"{facts['script']} on {one.dataset}: already tested, skipped")
                continue
            answer = answer or generator(folder, tokenizer, args)
            test(answer, key, one, tag_set, executor, args)
        del answer  # frees the model's memory for the next one
        gc.collect()


def test_set(name: str, folders: list[str], loaded: list[tuple], args) -> evaluation.TestSet:
    """The questions of a data set that fit into the context of every checkpoint; ends the script where none does."""
    split = data.read_split(name, args.split, ("tools",))
    rows = split.rows[: args.rows or None]
    fitting_rows = evaluation.fitting(rows, split.kind, folders, loaded, args)
    left_out = len(rows) - len(fitting_rows)
    reason = f"{name}: {left_out} of {len(rows)} questions do not fit into the context of every checkpoint"
    if not fitting_rows:
        runs.fail(f"{reason}; raise --prompt_room, or lower --max_new_tokens")
    if left_out:
        print(f"{reason} (--prompt_room, --max_new_tokens); they are left out")
    return evaluation.TestSet(runs.dataset_folder(name).name, args.split, fitting_rows, split.kind)


def generator(folder: str, tokenizer, args):
    """From conversations to completions of a checkpoint; an empty one where the context leaves no room for any."""
    room = generation.context_length(folder, args) - args.max_new_tokens
    return generation.within(generation.generator(folder, tokenizer, args), tokenizer, room)


def test(answer, key: dict, one: evaluation.TestSet, tag_set: str, executor: ToolExecutor, args) -> None:
    """Play every question, save the rows of all measures, print them."""

    def play(prompts):
        return episodes.play(one.rows, answer, executor.execute, args.max_turn_steps)

    row = evaluation.test(play, key, one, tag_set, GREEDY, args)
    lines = runs.read_jsonl(evaluation.completions_file(key, args))
    saved = [row]
    parts = []
    for measure, meaning in episodes.MEASURES.items():
        lines_of_measure = []
        for line in lines:
            if line["measures"][measure] is not None:
                lines_of_measure.append(line | {"correct": line["measures"][measure]})
        if not lines_of_measure:
            continue
        figures = evaluation.summary(lines_of_measure, len(lines_of_measure))
        counts = evaluation.counts_of(lines_of_measure, 1)
        saved.append({**row, **figures, "dataset": f"{key['dataset']}:{measure}", "counts": counts})
        parts.append(part(key, measure, ALL, figures, meaning))
        for tool in dict.fromkeys(line["tool"] for line in lines_of_measure):
            of_tool = [line for line in lines_of_measure if line["tool"] == tool]
            parts.append(part(key, measure, tool, evaluation.summary(of_tool, len(of_tool))))
    for failure, meaning in episodes.FAILURES.items():
        failures = [line | {"correct": line["failure"] == failure} for line in lines]
        parts.append(part(key, failure, ALL, evaluation.summary(failures, len(lines)), meaning))
    cut = [line for line in lines if line["too_long"]]
    if cut:
        print(f"  {len(cut)} of {len(lines)} conversations ended without an answer: no room left, see --prompt_room")
    path = evaluation.results_path(args)
    evaluation.put_rows(parts, path.with_name("toolcalls.csv"), evaluation.PART_COLUMNS, evaluation.PART_KEY)
    evaluation.save_rows(saved, path)


def part(key: dict, measure: str, tool: str, figures: dict, meaning: str = "") -> dict:
    """A row of toolcalls.csv; printed where its meaning is given."""
    if meaning:
        print("  {:14} {accuracy:6.1%} [{ci_low:.1%}, {ci_high:.1%}] of {n}   {}".format(measure, meaning, **figures))
    rate = {"n": figures["n"], "rate": figures["accuracy"], "ci_low": figures["ci_low"], "ci_high": figures["ci_high"]}
    return {**key, "measure": measure, "tool": tool, **rate}


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
