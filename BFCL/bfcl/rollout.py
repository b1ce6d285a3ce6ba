"""Whole dialogues as GRPO's rollouts: what the user and the tools say is masked in the loss."""

import functools
import os
from typing import NamedTuple

from BFCL.bfcl import dialogues
from BFCL.bfcl.sandbox import Sandbox
from common import generation

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


def sample(trainer, prompt_ids: list[list[int]], limit: int) -> tuple[list[list[int]], list[list[float]] | None]:
    """One completion of at most `limit` tokens a prompt, with its end token, and with vLLM its log-probabilities.

    It is the trainer's own sampling, as in any other stage, so both engines work.
    """
    if trainer.use_vllm:
        trainer.vllm_generation.max_completion_length = limit
    else:
        trainer.generation_config.max_new_tokens = limit
    return trainer._generate_single_turn(prompt_ids, None, {}, num_generations=1)


def rollout(prompts: list, trainer, rows: list[dict], sandbox: Sandbox, args) -> dict:
    """GRPOTrainer's rollout_func: plays an episode for each prompt, of the row that trainer.batch_rows says.

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

    def begin_or_go_on(dialogue: dialogues.Dialogue) -> bool:
        """Bring the record up to the next completion; False where that has no room."""
        if dialogue not in records:
            prompt = tokenizer.apply_chat_template(dialogue.messages, tokenize=False, add_generation_prompt=True)
            records[dialogue] = Record(encode(prompt), [], [], [])
            return True
        news = encode(between(tokenizer, dialogue.news))
        if len(news) >= room(records[dialogue]):
            return False
        records[dialogue].add(news, 0)
        return True

    def answer(active: list[dialogues.Dialogue]) -> list[dict]:
        completions = {dialogue: dict(generation.TOO_LONG) for dialogue in active}
        open_dialogues = [dialogue for dialogue in active if begin_or_go_on(dialogue)]
        if not open_dialogues:
            return list(completions.values())
        limit = min(args.max_reply_tokens, max(room(records[dialogue]) for dialogue in open_dialogues))
        contexts = [records[dialogue].prompt + records[dialogue].completion for dialogue in open_dialogues]
        completion_ids, logprobs = sample(trainer, contexts, limit)
        for place, dialogue in enumerate(open_dialogues):
            ids = list(completion_ids[place][: room(records[dialogue])])
            records[dialogue].add(ids, 1, logprobs and logprobs[place][: len(ids)])
            completions[dialogue]["tokens"] = len(ids)
            if ids[-1] in ends:
                text = tokenizer.decode(ids, skip_special_tokens=True)
                completions[dialogue] = {"text": text, "tokens": len(ids), "truncated": False}
        return list(completions.values())

    batch = [rows[number] for number in trainer.batch_rows]
    verdicts = dialogues.play(batch, answer, sandbox, args.max_turn_steps)
    prompt_ids, completion_ids, env_mask, logprobs = (list(column) for column in zip(*records.values()))
    return {
        "prompt_ids": prompt_ids,
        "completion_ids": completion_ids,
        "logprobs": logprobs if trainer.use_vllm else None,
        "env_mask": env_mask,
        "parts": [verdict["parts"] for verdict in verdicts],
        "kinds": [verdict["kinds"] for verdict in verdicts],
    }
