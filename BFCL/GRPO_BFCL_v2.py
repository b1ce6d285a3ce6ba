"""GRPO on whole episodes of tool calls: the policy acts in BFCL's executable classes, turn after turn of the user.

reward = 0.5 * valid + 0.15 * prefix + 0.15 * turns + 0.1 * responses + 0.1 * concise; each from 0 to 1, all of them 1
for a perfect episode and 0 for one without calls. Differs from GRPO_BFCL_v1.py in what a rollout is: calls are executed
and their results shown, so that a mistake can be mended, and the state after each turn counts. The parts are read off
states and results: to repeat or undo a call earns nothing. What the user and the tools say is masked in the loss.

Input: outputs/data/<dataset>/ and the checkpoint to start from: outputs/GRPO-Hybrid and outputs/GRPO-1K-def are the
thesis's two, outputs/SFT-BFCL one that has seen calls. Output: outputs/GRPO_BFCL_v2/.
Command: python BFCL/GRPO_BFCL_v2.py --base outputs/SFT-BFCL
"""

import functools
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trl import GRPOConfig

from common import data, episodes, evaluation, models, runs, settings, toolcalls
from common.progress import Watch
from common.settings import setting


@dataclass
class Args(settings.RunArgs, GRPOConfig):
    base: str = setting(
        "outputs/GRPO-Hybrid", "checkpoint to start from: a folder or a hub name", tiny="outputs/SFT-BFCL"
    )  # the tiny base has no other checkpoint that calls functions often enough
    dataset: str = setting("bfcl_multi", "a folder of outputs/data/, made by BFCL_dataset_creation.py, or a path")
    tags: str = setting("", "tag set, thesis or think [the one that the base was trained on]")
    seed: int = setting(3407, "order of the tasks, sampling, initial LoRA weights; the thesis's")
    reward_weights: list[float] = setting(
        list(episodes.WEIGHTS.values()), f"of {', '.join(episodes.WEIGHTS)}; as in the tables"
    )
    lora_r: int = setting(
        32, "rank of LoRA, as in SFT; 0 trains every weight", tiny=0
    )  # a million weights need no adapter
    lora_alpha: int = setting(64, "twice the rank")
    load_in_4bit: bool = setting(False, "NF4 base: a quarter of the memory, slower, no vLLM")
    learning_rate: float = setting(
        3e-5, "for a LoRA; the thesis's 1e-6 would be lost to rounding when it is merged", tiny=1e-4
    )  # small models take larger steps
    lr_scheduler_type: str = setting("cosine", "the thesis's")
    warmup_steps: float = setting(0.05, "below 1 it is a share of all steps")
    num_train_epochs: float = setting(1, "each task once")
    per_device_train_batch_size: int = setting(
        2, "episodes in memory at once; they are long", tiny=32
    )  # 4 tasks an update
    gradient_accumulation_steps: int = setting(16, "32 episodes an update", tiny=1)
    num_generations: int = setting(8, "episodes of one task, compared with each other")
    temperature: float = setting(1.0, "sampling from the policy itself")
    max_reply_tokens: int = setting(
        512, "of one reply; a longer one ends the episode before its calls are made", tiny=80
    )  # the longest gold reply has 61
    max_turn_steps: int = setting(
        8, "replies with calls in one turn; one more ends the episode; officially 20", tiny=2
    )  # one is needed, one may mend it
    max_completion_length: int = setting(
        4096, "tokens of an episode after its prompt: replies, results, later turns", tiny=400
    )  # the longest gold episode has 268
    max_prompt_tokens: int = setting(
        3584, "longer prompts end the script before training; descriptions take room", tiny=512
    )
    beta: float = setting(0.0, "weight of the KL term; 0 needs no reference model in memory")
    use_vllm: bool = setting(True, "generate with vLLM in the same process; needs CUDA", tiny=False)
    vllm_mode: str = setting("colocate", "one GPU for both training and generation")
    vllm_max_model_length: int = setting(7680, "prompt and episode; the model's own length takes far more memory")
    vllm_gpu_memory_utilization: float = setting(0.3, "share of the GPU for vLLM")
    logging_steps: float = setting(1, "steps between two lines of metrics.jsonl")
    save_steps: float = setting(25, "steps between two checkpoints for --resume", tiny=6)
    save_total_limit: int = setting(1, "only the last one is needed")
    heldout_every: int = setting(25, "steps between two measurements of held-out accuracy", tiny=4)
    heldout_rows: int = setting(50, "validation rows for it", tiny=50)
    patience: int = setting(5, "end a run that has had no signal in so many steps from the start; 0 never does")


def valid(completions, parts, kinds, log_metric=None, **columns):
    """1 if state and responses of every turn are right by the official checker, and the episode was not cut; else 0.

    Logs the share of each kind of reply over all replies, and how many replies an episode has.
    """
    if log_metric:
        replies = [kind for episode in kinds for kind in episode]
        for kind in toolcalls.KINDS:
            log_metric(f"replies/{kind}", replies.count(kind) / max(1, len(replies)))
        log_metric("replies/per_episode", len(replies) / len(kinds))
    return [part["valid"] for part in parts]


def prefix(completions, parts, **columns):
    """The share of the turns that are right before the first wrong one: 0 to 1."""
    return [part["prefix"] for part in parts]


def turns(completions, parts, **columns):
    """The share of the turns that have a call, the right state after it and the right results: 0 to 1."""
    return [part["turns"] for part in parts]


def responses(completions, parts, **columns):
    """The share of the results of a right episode that were seen, in turns with a call and the right state: 0 to 1."""
    return [part["responses"] for part in parts]


def concise(completions, parts, **columns):
    """Of a valid episode the share of its calls that are not beyond the number of a right one's; else 0."""
    return [part["concise"] for part in parts]


REWARDS = [valid, prefix, turns, responses, concise]


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
    """What stands between the end token of a reply and the next reply when these messages are said in between."""
    start = [{"role": "user", "content": "?"}]
    render = functools.partial(tokenizer.apply_chat_template, tokenize=False, add_generation_prompt=True)
    whole = render([*start, {"role": "assistant", "content": "reply"}, *messages])
    return whole.removeprefix(f"{render(start)}reply{tokenizer.eos_token}")


def sample(trainer, asked: list[list[int]], limit: int) -> tuple[list[list[int]], list[list[float]] | None]:
    """One reply of at most `limit` tokens to each prompt, with its end token, and with vLLM their log-probabilities.

    It is the trainer's own sampling, as in any other stage, so both engines work.
    """
    if trainer.use_vllm:
        trainer.vllm_generation.max_completion_length = limit
    else:
        trainer.generation_config.max_new_tokens = limit
    return trainer._generate_single_turn(asked, None, {}, num_generations=1)


def rollout(prompts: list, trainer, rows: list[dict], worker: toolcalls.Episodes, args) -> dict:
    """GRPOTrainer's rollout_func: plays an episode for each prompt, whose last message is named after its row.

    Returns prompt_ids, completion_ids, logprobs and env_mask, and for the rewards parts and kinds. The policy sees its
    own tokens of earlier replies, as it wrote them; what the evaluation shows it is the calls in them, written anew.
    An episode ends before it outgrows args.max_completion_length, with a reply of the policy.
    """
    tokenizer, records = trainer.processing_class, {}
    ends = {*trainer.eos_token_ids, tokenizer.pad_token_id}

    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False).input_ids

    def room(record: Record) -> int:
        return args.max_completion_length - len(record.completion)

    def answer(playing: list[episodes.Game]) -> list[dict]:
        made = {game: {"text": "", "tokens": 0, "truncated": True, "too_long": True} for game in playing}
        asked = []
        for game in playing:
            if game not in records:
                prompt = tokenizer.apply_chat_template(game.messages, tokenize=False, add_generation_prompt=True)
                records[game] = Record(encode(prompt), [], [], [])
                asked.append(game)
            elif len(news := encode(between(tokenizer, game.news))) < room(records[game]):
                records[game].add(news, 0)
                asked.append(game)
        if not asked:
            return list(made.values())
        limit = min(args.max_reply_tokens, max(room(records[game]) for game in asked))
        replies, logprobs = sample(trainer, [records[game].prompt + records[game].completion for game in asked], limit)
        for place, game in enumerate(asked):
            ids = list(replies[place][: room(records[game])])
            records[game].add(ids, 1, logprobs and logprobs[place][: len(ids)])
            text = tokenizer.decode(ids, skip_special_tokens=True)
            whole = {"text": text, "tokens": len(ids), "truncated": False}
            made[game] = whole if ids[-1] in ends else made[game] | {"tokens": len(ids)}
        return list(made.values())

    chosen = [rows[int(prompt[-1]["name"])] for prompt in prompts]
    verdicts = episodes.play(chosen, answer, worker, args.max_turn_steps)
    prompt_ids, completion_ids, env_mask, logprobs = (list(column) for column in zip(*records.values()))
    return {
        "prompt_ids": prompt_ids,
        "completion_ids": completion_ids,
        "logprobs": logprobs if trainer.use_vllm else None,
        "env_mask": env_mask,
        "parts": [verdict["parts"] for verdict in verdicts],
        "kinds": [verdict["kinds"] for verdict in verdicts],
    }


class EpisodeWatch(Watch):
    """Shows and records a run; held-out accuracy is the share of whole episodes that are valid, played greedily."""

    def __init__(self, *what, worker: toolcalls.Episodes, args):
        self.worker, self.limits = worker, args
        super().__init__(*what, args)

    measured = "episodes valid"

    def answer_heldout(self) -> list[dict]:
        model, limits = self.trainer.accelerator.unwrap_model(self.trainer.model), self.limits

        def reply(asked):
            return evaluation.generate(model, self.tokenizer, asked, limits.max_reply_tokens, batch_size=128)

        room = limits.max_prompt_tokens + limits.max_completion_length - limits.max_reply_tokens
        reply = episodes.within(reply, self.tokenizer, room)
        return episodes.play(
            self.heldout, lambda games: reply([game.messages for game in games]), self.worker, limits.max_turn_steps
        )


def main(args):
    models.check_device(args)
    rows, fingerprint = data.read_split(args.dataset, "train")
    heldout, _ = data.read_split(args.dataset, "validation")
    if "turns" not in rows[0]:
        runs.fail(f"--dataset {args.dataset} has tasks of one turn; run: {data.creation_command('bfcl_multi')}")
    if args.use_vllm and args.vllm_max_model_length < args.max_prompt_tokens + args.max_completion_length:
        runs.fail("--vllm_max_model_length is less than --max_prompt_tokens and --max_completion_length together")
    base = runs.require_base(args.base, "the script of that name, for SFT-BFCL SFT/SFT_train.py --dataset bfcl_multi")
    tokenizer, tag_set = models.load_tokenizer(base, args.tags)
    # A rollout is given nothing but the prompt, and two tasks may share one: the name of its last message is the row.
    named = [[*row["prompt"][:-1], row["prompt"][-1] | {"name": str(place)}] for place, row in enumerate(rows)]
    dataset = data.to_prompts([row | {"prompt": prompt} for row, prompt in zip(rows, named)], tag_set)
    models.check_lengths(tokenizer, dataset, args.max_prompt_tokens, "--max_prompt_tokens")
    models.set_stop_tokens(args, tokenizer)
    partial = runs.start(args)

    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func is marked as experimental
    from trl import GRPOTrainer

    with toolcalls.Episodes() as worker:
        trainer = GRPOTrainer(
            model=models.load_model(base, args),
            reward_funcs=REWARDS,
            args=args,
            train_dataset=dataset,
            processing_class=tokenizer,
            peft_config=models.lora_config(args),
            rollout_func=functools.partial(rollout, rows=rows, worker=worker, args=args),
        )
        watch = EpisodeWatch(
            trainer, tokenizer, partial, dataset, heldout[: args.heldout_rows], worker=worker, args=args
        )
        with runs.disk_errors(partial):
            models.train(trainer, partial, args.resume)
            models.save_model(trainer, tokenizer, partial, base)
            runs.finish(args, base=base, tags=tag_set, fingerprint=fingerprint, **watch.results())


if __name__ == "__main__":
    main(settings.parse(Args, __doc__))
