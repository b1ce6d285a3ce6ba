"""Generation: completions for conversations, with transformers or with vLLM."""

import collections
import functools
import hashlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common import lora, memory, models, runs

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func is marked as experimental
PROMPT_ROOM = 4096  # tokens that vLLM reserves for a prompt
TOO_LONG = {"text": "", "tokens": 0, "truncated": True, "too_long": True}  # in place of a completion without room
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of a LoRA that vLLM can be asked to hold


def generate(
    model,
    tokenizer,
    conversations: Sequence[list[dict]],
    max_new_tokens: int,
    batch_size: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    progress: str = "",
    begun: str = "",
) -> list[dict]:
    """One completion per conversation, in the same order: {"text", "tokens", "truncated"}; begun: its first words.

    temperature 0 is greedy. Random numbers come from `seed` alone; the random state of a training run stays unchanged.
    tokens counts the end token; truncated: no end token within max_new_tokens. batch_size: completions at once, fewer
    where a GPU has no room for them. progress: the title of a bar; where the output is no terminal, of a line a minute.
    """
    import torch
    from tqdm import tqdm
    from transformers import GenerationConfig

    from common import decode

    ends = models.stop_tokens(tokenizer)
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
        disable_compile=True,
        do_sample=temperature > 0,
    )
    if temperature > 0:
        config.update(temperature=temperature, top_p=top_p, top_k=top_k)
    texts = [text + begun for text in rendered(tokenizer, conversations)]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    devices = []
    if model.device.type == "cuda":
        devices.append(torch.cuda.current_device())
        longest = max(map(len, token_ids(tokenizer, texts)), default=0)
        batch_size = min(batch_size, fitting(model.config, model.dtype, longest + max_new_tokens))
    completions = [None] * len(texts)
    was_training = model.training
    model.eval()
    fast = decode.fits(model)
    if not fast:
        say_slow(type(model).__name__)
    hidden = None if progress else True  # None: no bar where the output is not a terminal
    spoken = time.monotonic()
    with torch.random.fork_rng(devices=devices), torch.inference_mode():
        torch.manual_seed(seed)
        for start in tqdm(range(0, len(order), batch_size), desc=progress, disable=hidden, leave=False):
            batch = order[start : start + batch_size]
            prompts = [texts[i] for i in batch]
            if fast:
                ids = token_ids(tokenizer, prompts)
                sequences = decode.decode(model, ids, max_new_tokens, ends, (temperature, top_p, top_k))
                outputs = [sequence.ids for sequence in sequences]
            else:
                inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
                inputs = inputs.to(model.device)
                outputs = model.generate(
                    input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, generation_config=config
                )[:, inputs.input_ids.shape[1] :].tolist()
            for i, ids in zip(batch, outputs):
                completions[i] = completion_of(tokenizer, ids, ends, begun)
            if progress and not sys.stderr.isatty() and time.monotonic() - spoken > 60:
                print(f"{progress}: {start + len(batch)} of {len(order)} completions", flush=True)
                spoken = time.monotonic()
    model.train(was_training)
    return completions


def completion_of(tokenizer, ids: list[int], ends: list[int], begun: str = "") -> dict:
    """A completion as generate() returns it, from its tokens, of which those after the first end token do not count."""
    length = next((n for n, token in enumerate(ids, 1) if token in ends), None)
    text = begun + tokenizer.decode(ids[:length], skip_special_tokens=True)
    return {"text": text, "tokens": length or len(ids), "truncated": length is None}


@functools.cache  # once
def say_slow(kind: str) -> None:
    families = "Llama, Mistral, Qwen2 and Qwen3"
    print(f"{kind} generates with transformers: the faster decode is for {families} in float32 on the CPU")


def fitting(config, dtype, tokens: int) -> int:
    """How many completions have room in the GPU's free memory, by the key-value cache of prompt and completion.

    A layer's cache is copied as it grows, and activations need room too: half of the memory is left for that.
    """
    import torch

    free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return max(1, free // 2 // (memory.Shape.of(config).cache(dtype.itemsize) * tokens))


def generate_as_trained(trainer, tokenizer, conversations: Sequence[list[dict]], max_new_tokens: int) -> list[dict]:
    """Greedy completions by the policy of a trainer as it is now, with the engine of its rollouts; else as generate().

    So no second engine needs memory for a cache; and vLLM has the weights that it needs for the next rollouts.
    """
    import numpy

    if not getattr(trainer, "use_vllm", False):
        return generate(trainer.model, tokenizer, conversations, max_new_tokens, batch_size=128)
    engine = trainer.vllm_generation
    if trainer.state.global_step != trainer._last_loaded_step:  # as the trainer does
        engine.sync_weights()
        trainer._last_loaded_step = trainer.state.global_step
    temperature, length = engine.temperature, engine.max_completion_length
    engine.temperature, engine.max_completion_length = 0.0, max_new_tokens
    prompt_ids = token_ids(tokenizer, rendered(tokenizer, conversations))
    state = numpy.random.get_state()  # vLLM's Model Runner V2 draws the seed of each request from it, greedy ones too
    try:
        _, outputs, *_ = engine.generate(prompt_ids, None, num_generations=1)
    finally:
        engine.temperature, engine.max_completion_length = temperature, length
        numpy.random.set_state(state)
    ends = models.stop_tokens(tokenizer)
    return [completion_of(tokenizer, ids, ends) for ids in outputs]


class Transcript(NamedTuple):
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


class Transcripts:
    """The episodes of a generation batch while they are played, as GRPO's rollouts.

    An episode has `messages`, at the start the prompt, and `news`, the messages since its last completion. The policy
    sees its own tokens of earlier completions, as it wrote them. An episode ends before it outgrows
    args.max_completion_length, with a token of the policy; a completion has at most args.max_reply_tokens.
    """

    def __init__(self, trainer, args):
        self.trainer = trainer
        self.args = args
        self.tokenizer = trainer.processing_class
        self.transcripts: dict[Any, Transcript] = {}  # by episode

    def between(self, messages: list[dict]) -> str:
        """The text from the end token of a completion to the start of the next, with these messages in between."""
        start = [{"role": "user", "content": "?"}]
        whole = [*start, {"role": "assistant", "content": "reply"}, *messages]
        before, text = rendered(self.tokenizer, [start, whole])
        return text.removeprefix(f"{before}reply{self.tokenizer.eos_token}")

    def room(self, transcript: Transcript) -> int:
        return self.args.max_completion_length - len(transcript.completion)

    def prepare(self, episode) -> bool:
        """Bring the transcript up to the next completion; False where that has no room."""
        if episode not in self.transcripts:
            (prompt,) = token_ids(self.tokenizer, rendered(self.tokenizer, [episode.messages]))
            self.transcripts[episode] = Transcript(prompt, [], [], [])
            return True
        transcript = self.transcripts[episode]
        (news,) = token_ids(self.tokenizer, [self.between(episode.news)])
        if len(news) >= self.room(transcript):
            return False
        transcript.add(news, 0)
        return True

    def complete(self, episodes: list) -> list[dict]:
        """A completion of each episode, as generate() returns it; TOO_LONG where it has no room or is cut."""
        completions = {episode: dict(TOO_LONG) for episode in episodes}
        active = [episode for episode in episodes if self.prepare(episode)]
        if not active:
            return list(completions.values())
        transcripts = [self.transcripts[episode] for episode in active]
        limit = min(self.args.max_reply_tokens, max(map(self.room, transcripts)))
        contexts = [transcript.prompt + transcript.completion for transcript in transcripts]
        # The trainer's own sampling, as in any other stage; with vLLM it gives log-probabilities too.
        if self.trainer.use_vllm:
            self.trainer.vllm_generation.max_completion_length = limit
        else:
            self.trainer.generation_config.max_new_tokens = limit
        completion_ids, logprobs = self.trainer._generate_single_turn(contexts, None, {}, num_generations=1)
        ends = {*self.trainer.eos_token_ids, self.tokenizer.pad_token_id}
        for place, (episode, transcript) in enumerate(zip(active, transcripts)):
            ids = list(completion_ids[place][: self.room(transcript)])
            transcript.add(ids, 1, logprobs and logprobs[place][: len(ids)])
            completions[episode]["tokens"] = len(ids)
            if ids[-1] in ends:
                text = self.tokenizer.decode(ids, skip_special_tokens=True)
                completions[episode] = {"text": text, "tokens": len(ids), "truncated": False}
        return list(completions.values())

    def columns(self) -> dict:
        """What GRPOTrainer wants of a rollout_func: the tokens of each episode, and which are the policy's."""
        prompt_ids, completion_ids, env_mask, logprobs = map(list, zip(*self.transcripts.values()))
        return {
            "prompt_ids": prompt_ids,
            "completion_ids": completion_ids,
            "logprobs": logprobs if self.trainer.use_vllm else None,
            "env_mask": env_mask,
        }


def generate_vllm(
    llm,
    tokenizer,
    conversations: Sequence[list[dict]],
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    adapter=None,
) -> list[dict]:
    """generate() with a vllm.LLM; a completion's random numbers come from seed, prompt and number of the sample.

    adapter: the vllm.lora.request.LoRARequest to add to its model.
    """
    from vllm import SamplingParams

    ends = models.stop_tokens(tokenizer)
    sampling = SamplingParams(
        max_tokens=max_new_tokens, temperature=temperature, top_p=top_p, top_k=top_k, stop_token_ids=ends
    )
    texts = rendered(tokenizer, conversations)
    samplings = []
    samples = collections.Counter()  # of each prompt so far
    for text in texts:
        samplings.append(sampling.clone())
        samplings[-1].seed = request_seed(seed, text, samples[text])
        samples[text] += 1
    prompts = [{"prompt_token_ids": ids} for ids in token_ids(tokenizer, texts)]
    bar = "TQDM_DISABLE" not in os.environ  # vLLM divides by the time that its bar measures, 0 where bars are off
    completions = []
    for request in llm.generate(prompts, samplings, use_tqdm=bar, lora_request=adapter):
        completions.append(completion_of(tokenizer, list(request.outputs[0].token_ids), ends))
    return completions


def request_seed(seed: int, prompt: str, sample: int) -> int:
    """56 bits of a hash: no two samples, prompts or seeds share a draw, as they would with seed + position."""
    return int.from_bytes(hashlib.sha256(f"{seed} {sample} {prompt}".encode()).digest()[:7])


def context_length(folder: str, args) -> int:
    """Tokens of prompt and completion that fit into a checkpoint's context, at most what a test needs."""
    from transformers import AutoConfig

    length = AutoConfig.from_pretrained(folder).get_text_config().max_position_embeddings
    return min(length, getattr(args, "prompt_room", PROMPT_ROOM) + args.max_new_tokens)


def rendered(tokenizer, conversations: Sequence[list[dict]]) -> list[str]:
    """The text of each conversation before the completion."""
    return [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations]


def token_ids(tokenizer, texts: list[str]) -> list[list[int]]:
    return tokenizer(texts, add_special_tokens=False).input_ids if texts else []


def prompt_lengths(tokenizer, conversations: Sequence[list[dict]]) -> list[int]:
    """Tokens of each conversation before the completion."""
    return list(map(len, token_ids(tokenizer, rendered(tokenizer, conversations))))


def within(answer: Callable, tokenizer, room: int) -> Callable:
    """answer(conversations, **sampling), with TOO_LONG for every prompt of more than `room` tokens."""

    def bounded(conversations, **sampling):
        lengths = prompt_lengths(tokenizer, conversations)
        short = [conversation for conversation, length in zip(conversations, lengths) if length <= room]
        completions = iter(answer(short, **sampling) if short else [])
        return [next(completions) if length <= room else dict(TOO_LONG) for length in lengths]

    return bounded


def generator(folder: str, tokenizer, args) -> Callable:
    """A function from conversations and sampling settings to completions."""
    if args.use_vllm:
        return vllm_generator(folder, tokenizer, args)
    settings = {"max_new_tokens": args.max_new_tokens, "batch_size": args.batch_size, "progress": Path(folder).name}
    return functools.partial(generate, models.load_for_generation(folder), tokenizer, **settings)


def vllm_generator(folder: str, tokenizer, args) -> Callable:
    """generator() with vLLM; a checkpoint that is a LoRA is added to its base."""
    # CUDA is in use by now (is_available() is enough), and an engine forked from such a process dies.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    from vllm import LLM

    root, adapter = lora.source(folder)
    settings = {"seed": args.seed, "max_model_len": context_length(folder, args)}
    request = None
    if adapter:
        from vllm.lora.request import LoRARequest

        rank = next((rank for rank in VLLM_RANKS if rank >= lora.rank(adapter)), None)
        if rank is None:
            runs.fail(f"the rank of {runs.shown(adapter)} is above {VLLM_RANKS[-1]}; leave --use_vllm out")
        settings |= {"enable_lora": True, "max_lora_rank": rank}
        request = LoRARequest(Path(folder).name, 1, str(adapter))
    llm = LLM(model=root, **settings)
    return functools.partial(generate_vllm, llm, tokenizer, max_new_tokens=args.max_new_tokens, adapter=request)
