"""Whole dialogues as GRPO's rollouts: what the user and the tools say is masked in the loss."""

import functools
import os
from typing import NamedTuple

from BFCL.bfcl import dialogues
from BFCL.bfcl.sandbox import Sandbox
from common import data, generation

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func is marked as experimental


class Record(NamedTuple):
    """An episode as tokens. completion is all that follows the prompt; mask has a 1 and logprobs the log-probability as
    sampled for each token of it that the policy wrote, for the others 0."""

    prompt: list[int]
    completion: list[int]
    mask: list[int]
    logprobs: list[float]

    def add(self, ids: list[int], own: int, logprobs: list[float] | None = None) -> None:
        self.completion.extend(ids)
        self.mask.extend([own] * len(ids))
        self.logprobs.extend(logprobs or [0.0] * len(ids))


def between(tokenizer, messages: list[dict]) -> str:
    """The text from the end token of one completion to the start of the next, with these messages said in between."""
    start = [{"role": "user", "content": "?"}]
    render = functools.partial(tokenizer.apply_chat_template, tokenize=False, add_generation_prompt=True)
    whole = render([*start, {"role": "assistant", "content": "reply"}, *messages])
    return whole.removeprefix(f"{render(start)}reply{tokenizer.eos_token}")


def sample(trainer, asked: list[list[int]], limit: int) -> tuple[list[list[int]], list[list[float]] | None]:
    """One completion of at most `limit` tokens a prompt, with its end token, and with vLLM its log-probabilities.

    It is the trainer's own sampling, as in any other stage, so both engines work.
    """
    if trainer.use_vllm:
        trainer.vllm_generation.max_completion_length = limit
    else:
        trainer.generation_config.max_new_tokens = limit
    return trainer._generate_single_turn(asked, None, {}, num_generations=1)


def rollout(prompts: list, trainer, rows: list[dict], sandbox: Sandbox, args) -> dict:
    """GRPOTrainer's rollout_func: plays an episode for each prompt, of the row that its name says.

    Returns prompt_ids, completion_ids, logprobs and env_mask, and for the rewards parts and kinds. The policy sees its
    own tokens of earlier completions, as it wrote them; what the evaluation shows it is the calls in them, written
    anew. An episode ends before it outgrows args.max_completion_length, with a token of the policy.
    """
    tokenizer, records = trainer.processing_class, {}
    ends = {*trainer.eos_token_ids, tokenizer.pad_token_id}

    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False).input_ids

    def room(record: Record) -> int:
        return args.max_completion_length - len(record.completion)

    def answer(going: list[dialogues.Dialogue]) -> list[dict]:
        made, asked = {dialogue: dict(generation.TOO_LONG) for dialogue in going}, []
        for dialogue in going:
            if dialogue not in records:
                prompt = tokenizer.apply_chat_template(dialogue.messages, tokenize=False, add_generation_prompt=True)
                records[dialogue] = Record(encode(prompt), [], [], [])
                asked.append(dialogue)
            elif len(news := encode(between(tokenizer, dialogue.news))) < room(records[dialogue]):
                records[dialogue].add(news, 0)
                asked.append(dialogue)
        if not asked:
            return list(made.values())
        limit = min(args.max_reply_tokens, max(room(records[dialogue]) for dialogue in asked))
        contexts = [records[dialogue].prompt + records[dialogue].completion for dialogue in asked]
        completions, logprobs = sample(trainer, contexts, limit)
        for place, dialogue in enumerate(asked):
            ids = list(completions[place][: room(records[dialogue])])
            records[dialogue].add(ids, 1, logprobs and logprobs[place][: len(ids)])
            text = tokenizer.decode(ids, skip_special_tokens=True)
            whole = {"text": text, "tokens": len(ids), "truncated": False}
            made[dialogue] = whole if ids[-1] in ends else made[dialogue] | {"tokens": len(ids)}
        return list(made.values())

    chosen = [rows[data.row_of(prompt)] for prompt in prompts]
    verdicts = dialogues.play(chosen, answer, sandbox, args.max_turn_steps)
    prompt_ids, completion_ids, env_mask, logprobs = (list(column) for column in zip(*records.values()))
    return {
        "prompt_ids": prompt_ids,
        "completion_ids": completion_ids,
        "logprobs": logprobs if trainer.use_vllm else None,
        "env_mask": env_mask,
        "parts": [verdict["parts"] for verdict in verdicts],
        "kinds": [verdict["kinds"] for verdict in verdicts],
    }
