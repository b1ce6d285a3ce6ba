"""GRPO on conversations with tools of your own: the policy calls them, sees their results, and answers.

reward = 0.1 * clean_format + 0.1 * right_tool + 0.2 * right_arguments + 0.1 * executed + 0.1 * states_result
       + 0.1 * no_needless_call + 0.3 * no_failure
Each lies in 0 to 1; all of them are 1 for a perfect conversation, and where there is nothing to check. Calls are
executed while the policy generates (--tools: the schemas, --functions: a Python file with a function for each), each in
a process that is ended when it takes too long. What the user and the tools say is masked in the loss.

Input: outputs/data/<dataset>/, outputs/SFT_tools/. Output: outputs/GRPO_tools/.
Command: python ToolUse/GRPO_tools.py
Command: python ToolUse/GRPO_tools.py --tools my_tools.json --functions my_tools.py --dataset my_questions
"""

import functools
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from tool_executor import ToolExecutor

from common import grpo, settings, training
from common.settings import setting
from ToolUse.tooluse import conversations, episodes
from ToolUse.tooluse.rollout import rollout


@dataclass
class Args(grpo.Args):
    base: str = setting("outputs/SFT_tools", "initial policy: a folder or a hub name")
    dataset: str = setting("tools", "folder of outputs/data/, or a path")
    tools: str = setting("ToolUse/configs/tools.json", "JSON file with the schemas of the tools")
    functions: str = setting("", "Python file with the tools' functions by name [those of ToolUse/tool_executor.py]")
    seed: int = setting(3407, "order of the questions, sampling, initial LoRA weights")
    reward_weights: list[float] = setting(
        [0.1, 0.1, 0.2, 0.1, 0.1, 0.1, 0.3],
        "of clean_format, right_tool, right_arguments, executed, states_result, no_needless_call, no_failure",
    )
    learning_rate: float = setting(1e-5, "for LoRA; small models take larger steps", tiny=1e-4)
    lr_scheduler_type: str = setting("constant", "learning rate")
    warmup_steps: float = setting(0.05, "steps of rising learning rate; below 1 a fraction of all steps")
    num_train_epochs: float = setting(1, "passes over the questions")
    max_steps: int = setting(-1, "updates; -1: as many as the epochs have", tiny=96)
    num_generations: int = setting(8, "group size: conversations of one question, compared with each other")
    per_device_train_batch_size: int = setting(4, "conversations in memory at once", tiny=64)
    gradient_accumulation_steps: int = setting(8, "batches in one update", tiny=1)
    temperature: float = setting(1.0, "sampling temperature of the rollouts")
    max_reply_tokens: int = setting(512, "tokens of one completion; a longer one ends its conversation", tiny=80, low=1)
    max_turn_steps: int = setting(8, "completions of a conversation", tiny=4, low=1)
    max_completion_length: int = setting(2048, "tokens of a conversation after its prompt", tiny=320)
    max_prompt_tokens: int = setting(2048, "rows with a longer prompt are dropped; schemas take room", tiny=704)
    beta: float = setting(0.0, "weight of the KL term; 0 needs no reference model in memory")
    lora_r: int = setting(32, "rank of LoRA; 0 trains every weight, for small models", tiny=0)
    lora_alpha: int = setting(64, "scale of LoRA, twice the rank")
    vllm_max_model_length: int = setting(4096, "tokens of prompt and conversation that vLLM has room for", low=1)


def overlap(items: list[str], wanted: list[str]) -> float:
    """F1 of two multisets: 1 if they are equal, also if both are empty; 0 if they have nothing in common."""
    common = (Counter(items) & Counter(wanted)).total()
    return 2 * common / (len(items) + len(wanted)) if items or wanted else 1.0


def clean_format(completions, kinds, failures, log_metric=None, **columns):
    """Fraction of the completions that are calls alone or text alone; logs how often each failure occurs."""
    if log_metric:
        for name in episodes.FAILURES:
            log_metric(f"failures/{name}", failures.count(name) / len(failures))
    return [(episode.count("call") + episode.count("no_call")) / max(1, len(episode)) for episode in kinds]


def right_tool(completions, tools_called, tools_wanted, **columns):
    """Overlap of the names of the tools called and of those wanted."""
    return [overlap(*pair) for pair in zip(tools_called, tools_wanted)]


def right_arguments(completions, calls, calls_wanted, **columns):
    """Overlap of the calls and of those wanted, arguments included."""
    return [overlap(*pair) for pair in zip(calls, calls_wanted)]


def executed(completions, calls_wanted, errors, **columns):
    """Fraction of the calls without an error; without a call 0 where one is wanted, else 1."""
    rewards = []
    for wanted, failed in zip(calls_wanted, errors):
        rewards.append(failed.count(False) / len(failed) if failed else float(not wanted))
    return rewards


def states_result(completions, returned, answers, values, **columns):
    """Of the values in the correct answer, the fraction that a call returned and the answer states.

    Where the correct answer states none: 1 for an answer that is not empty.
    """
    rewards = []
    for results, answer, expected in zip(returned, answers, values):
        stated = [value for value in expected if value in results and episodes.states(answer, value)]
        rewards.append(len(stated) / len(expected) if expected else float(bool(answer.strip())))
    return rewards


def no_needless_call(completions, calls, calls_wanted, **columns):
    """Calls wanted by calls made, at most 1: 0 for a call where none is wanted."""
    rewards = []
    for made, wanted in zip(calls, calls_wanted):
        rewards.append(min(1.0, len(wanted) / len(made)) if made else 1.0)
    return rewards


def no_failure(completions, failures, **columns):
    """1 for a conversation that the evaluation counts as correct, else 0."""
    return [float(failure is None) for failure in failures]


REWARDS = [clean_format, right_tool, right_arguments, executed, states_result, no_needless_call, no_failure]


def main(args):
    from common.trainer import GRPOTrainer  # late: trl takes seconds
    from ToolUse.tooluse.watch import EpisodeWatch

    executor = ToolExecutor(args.tools, args.functions)
    run = grpo.prepare(
        args, "python ToolUse/SFT_tools.py", "thesis", ("tools",), load_tokenizer=conversations.load_tokenizer
    )
    trainer = GRPOTrainer(
        model=run.model,
        reward_funcs=REWARDS,
        args=args,
        train_dataset=run.dataset,
        processing_class=run.tokenizer,
        peft_config=run.lora,
        rollout_func=functools.partial(rollout, rows=run.rows, execute=executor.execute, args=args),
    )
    limits = {"max_tokens": args.max_reply_tokens, "room": args.max_prompt_tokens + args.max_completion_length}
    training.train(run, trainer, watch=functools.partial(EpisodeWatch, execute=executor.execute, **limits))


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
