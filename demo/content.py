"""What the page shows, without Gradio: checkpoints, questions, completions, rewards, runs, and text as safe HTML."""

import base64
import contextlib
import dataclasses
import functools
import html
import importlib.util
import inspect
import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

from common import certainty, data, evaluation, generation, models, prompts, runs
from tiny import problems
from ToolUse.tooluse import conversations, episodes

MAX_CHARACTERS = 10_000  # of a question, and of a text that is shown
KINDS = {  # tag: class of what follows it, see STYLE in app.py
    **{tag: kind for tags in prompts.TAG_SETS.values() for tag, kind in zip(tags, ("work", "", "answer", ""))},
    **{"<tool_call>": "call", "</tool_call>": "", "<tool_response>": "result", "</tool_response>": ""},
}
TAG = re.compile("(" + "|".join(map(re.escape, KINDS)) + ")")
CURVES = {"heldout_accuracy": "held-out accuracy", "reward": "reward", "entropy": "entropy, nats per token"}


def visible(text: str) -> str:
    """The text as HTML that shows every character: markup is escaped, a control character is named."""
    return html.escape("".join(c if c in "\n\t" or c.isprintable() else f"[U+{ord(c):04X}]" for c in text))


def coloured(text: str) -> str:
    """The text as HTML, each tag and what follows it in the colour of its kind; at most MAX_CHARACTERS of it."""
    kind, parts = "", []
    for part in TAG.split(text[:MAX_CHARACTERS]):
        if part in KINDS:
            parts.append(f'<b class="{KINDS[part] or kind}">{visible(part)}</b>')
            kind = KINDS[part]
        else:
            parts.append(f'<span class="{kind}">{visible(part)}</span>')
    rest = f" ... and {len(text) - MAX_CHARACTERS:,} more characters" if len(text) > MAX_CHARACTERS else ""
    return f'<div class="text">{"".join(parts)}{rest}</div>'


def line(text: str) -> str:
    """A message as HTML, on one line."""
    return f'<div class="line">{visible(" ".join(text.split()))}</div>'


def table(rows: list[tuple]) -> str:
    """The rows as an HTML table, the first one as its head; numbers with three digits."""

    def cell(value) -> str:
        return f"{value:.3g}" if isinstance(value, float) else visible(str(value))

    lines = ["".join(f"<td>{cell(value)}</td>" for value in row) for row in rows]
    return f'<table class="rewards">{"".join(f"<tr>{line}</tr>" for line in lines)}</table>'


def message(error: BaseException) -> str:
    """What went wrong; the line of runs.fail() where it ended the work."""
    notes = getattr(error, "__notes__", None) or [runs.explain(error) or f"{type(error).__name__}: {error}"]
    return notes[0]


def checkpoints() -> list[str]:
    """The checkpoints of this folder: the embedded ones, then every finished output with weights."""
    embedded = [runs.ROOT / "resources" / name for name in ("tiny-base", "tiny-grpo")]
    finished = sorted(path.parent for path in runs.OUTPUTS.glob("*/run.json") if path.parent.suffix != ".partial")
    return [runs.shown(f) for f in embedded + finished if (f / "config.json").exists() and any(f.glob("*.safetensors"))]


def best(names: list[str], source: str = "linear") -> str:
    """The checkpoint to compare with the base: one trained for this data set, else the embedded one, else the last."""
    wanted = "SFT_tools" if source.startswith("tools") else "GRPO-1K-def"
    trained = [name for name in names if Path(name).name.startswith(wanted)]
    return [*trained, *(name for name in names if name.endswith("tiny-grpo")), names[-1]][0]


_models = {}  # (folder, time of its config.json): model


def load(name: str, beside: str, tools: bool) -> tuple:
    """(folder, model, tokenizer, tag set) of a checkpoint; keeps it and the one beside it in memory, no other.

    Ends with SystemExit where it is gone or incomplete. tools: with the chat template of tool calls.
    """
    folder = runs.require_base(name, "the script that makes it")
    config, beside = Path(folder) / "config.json", str(runs.resolve(beside))
    key = folder, config.stat().st_mtime_ns if config.exists() else 0
    for old in [old for old in _models if old != key and old[0] != beside]:
        del _models[old]
    if tools:
        tokenizer, tag_set = conversations.load_tokenizer(folder)
    else:
        tokenizer, tag_set = models.load_tokenizer(folder, default="thesis")
    if key not in _models:
        _models[key] = models.load_for_generation(folder)
    return folder, _models[key], tokenizer, tag_set


def picture(path: Path) -> str:
    """A picture as HTML that needs no other file."""
    return f'<img src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" alt="{path.stem}">'


def sources() -> list[str]:
    """The data sets with test questions; linear systems are generated where there is no such data set."""
    found = sorted(path.parent.name for path in (runs.OUTPUTS / "data").glob("*/test.jsonl"))
    return found if "linear" in found else ["linear", *found]


def rows_of(source: str) -> list[dict]:
    """The test questions of a data set."""
    if source == "linear" and not data.dataset_folder(source).exists():
        return problems.draw(problems.linear, "test", 100, seed=0)
    rows, _ = data.read_split(source, "test")
    return [conversations.unfold(row) if "messages" in row else row for row in rows]


def is_of(row: dict, question: str) -> bool:
    """Whether a question is that of a row; a browser changes line ends."""
    return question.split() == row["question"].split()


def truth_of(row: dict, question: str, truth: str) -> str:
    """The correct answer of a question: none where the question was edited and the answer is still that of the row."""
    return truth if is_of(row, question) or truth != row["solution"] else ""


def scripts() -> list[str]:
    """Every script with REWARDS, a user's own copies included."""
    found = (
        runs.ROOT.glob(f"{folder}*.py") for folder in ("GRPO_indomain/GRPO-", "GRPO_outdomain/GRPO-", "BFCL/GRPO_")
    )
    return [runs.shown(path) for path in sorted(itertools.chain(*found)) if "\nREWARDS = " in path.read_text()]


def load_script(path: str):
    """A script as a module, read again when its file has changed."""
    return _load_script(path, runs.resolve(path).stat().st_mtime_ns)


@functools.lru_cache(maxsize=32)
def _load_script(path: str, changed: int):
    name = f"demo_{Path(path).stem.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, runs.resolve(path))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def stream(model, tokenizer, conversation: list[dict], limit: int, temperature: float, seed: int) -> Iterator[list]:
    """Yield the ids of a completion each time it has grown by a token, until an end token or the limit.

    Nothing runs between two steps, so a reader that goes away ends the work.
    """
    import torch

    from common import decode

    ends, chance = models.stop_tokens(tokenizer), torch.Generator().manual_seed(seed)
    new = generation.token_ids(tokenizer, generation.rendered(tokenizer, [conversation]))[0]
    cache, ids = None, []
    while len(ids) < limit and not (ids and ids[-1] in ends):
        with torch.inference_mode():  # for each step, as each may run in another thread
            seen = model(input_ids=torch.tensor([new], device=model.device), past_key_values=cache, use_cache=True)
            logits, drawn = seen.logits[:, -1].float().cpu(), 1 - torch.rand(1, generator=chance)
            token, *_ = decode.draw(logits, drawn, temperature)
        cache, new = seen.past_key_values, token.tolist()
        ids = ids + new
        yield ids


def completion_of(tokenizer, ids: list[int]) -> dict:
    """A completion in the format of generation.generate()."""
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return {"text": text, "tokens": len(ids), "truncated": ids[-1] not in models.stop_tokens(tokenizer)}


def too_long(folder: str, tokenizer, conversation: list[dict], args) -> str | None:
    """Why a prompt does not fit into the context of a checkpoint, or None."""
    room = generation.context_length(folder, args) - args.max_new_tokens
    length = generation.prompt_lengths(tokenizer, [conversation])[0]
    return f"the prompt has {length:,} tokens; {runs.shown(folder)} has room for {room:,}" if length > room else None


def answer(name: str, beside: str, row: dict, script: str, temperature: float, args) -> Iterator[tuple[str, str]]:
    """Yield (completion, its rewards) as HTML while a checkpoint answers a question of mathematics or of BFCL."""
    folder, model, tokenizer, tag_set = load(name, beside, tools=False)
    conversation = data.conversation(row, prompts.TAG_SETS[tag_set])
    if problem := too_long(folder, tokenizer, conversation, args):
        raise ValueError(problem)
    for ids in stream(model, tokenizer, conversation, args.max_new_tokens, temperature, args.seed):
        completion = completion_of(tokenizer, ids)
        yield coloured(completion["text"]), f"{len(ids)} tokens"
    lines = rewards(script, row, completion["text"], ids, model, tokenizer, tag_set)
    yield coloured(completion["text"]), verdict(completion, row, tag_set) + table(lines)


def verdict(completion: dict, row: dict, tag_set: str) -> str:
    """A line of HTML: answer, whether it is correct and well-formed, length."""
    if "functions" in row:
        from BFCL.bfcl import scoring

        found = scoring.score_calls(completion, row, prompts.TAG_SETS[tag_set])
    else:
        found = evaluation.score_answer(completion, row, prompts.TAG_SETS[tag_set])
    correct = "correct" if found["correct"] else "incorrect"
    facts = [correct if row["solution"] else "no correct answer given"]
    facts += ["well-formed" if found["well_formed"] else "not well-formed", f"{completion['tokens']} tokens"]
    facts += ["cut at the limit"] * completion["truncated"]
    said = "no answer" if found["solution"] is None else f"answer {found['solution']}"
    return f'<div class="verdict">{visible(said)}: <b class="{correct}">{facts[0]}</b>, {", ".join(facts[1:])}</div>'


def rewards(script: str, row: dict, text: str, ids: list[int], model, tokenizer, tag_set: str) -> list[tuple]:
    """The rows of a table: each of a script's rewards, called as TRL's trainer calls it, with its weight; their sum.

    Confidence is measured with the model, as in training. A reward that needs what is not known says what.
    """
    module = load_script(script)
    chosen = isinstance(module.REWARDS, dict)  # --reward takes one of them
    functions = list(module.REWARDS.values()) if chosen else module.REWARDS
    default = next((f.default_factory for f in dataclasses.fields(module.Args) if f.name == "reward_weights"), None)
    weights = default() if callable(default) else [1.0] * len(functions)
    columns = {name: [value] for name, value in data.to_prompts([row], tag_set)[0].items()}
    given = {"prompts": columns.pop("prompt"), "completions": [[{"role": "assistant", "content": text}]], **columns}
    given |= {"completion_ids": [ids], "trainer_state": SimpleNamespace(global_step=1, max_steps=1)}  # the last step
    given |= {"log_metric": lambda *metric: None, "log_extra": lambda *extra: None}
    if not row["solution"]:
        del given["solution"]
    if any("certainties" in inspect.signature(function).parameters for function in functions):
        plain = SimpleNamespace(bf16=False, fp16=False, per_device_train_batch_size=1, chat_template_kwargs=None)
        given["certainties"] = certainty.measure(model, tokenizer, plain, given["prompts"], [ids], [tag_set])
    rows, total = [("reward", "weight", "value", "meaning")], 0.0
    for function, weight in zip(functions, weights, strict=True):
        value = reward(function, given)
        total = None if total is None or isinstance(value, str) else total + weight * (value or 0.0)
        about = (function.__doc__ or "").partition("\n\n")[0]
        rows.append((function.__name__, "" if chosen else f"{weight:g}", value, " ".join(about.split())))
    sum_of = "one of them, by --reward" if chosen else "the sum that the policy learns from"
    return rows if chosen or total is None else [*rows, ("total", "", total, sum_of)]


def reward(function, given: dict) -> float | str | None:
    """What a reward function gives one completion, or why it cannot be called."""
    asked = inspect.signature(function).parameters.values()
    needed = [p.name for p in asked if p.default is p.empty and p.kind is not p.VAR_KEYWORD and p.name not in given]
    if needed:
        names = ["the correct answer" if name == "solution" else name for name in needed]
        return f"needs {', '.join(names)}"
    try:
        value = function(**given)[0]
        return None if value is None else float(value)
    except Exception as error:  # a user's own reward, or one for another kind of question
        return f"not for this question ({type(error).__name__}: {error})"


def converse(name: str, beside: str, row: dict, known: bool, executor, temperature, args) -> Iterator[tuple[str, str]]:
    """Yield (conversation, what it is measured by) as HTML while a checkpoint answers with tools, which are executed.

    known: whether the correct calls are known.
    """
    folder, model, tokenizer, _ = load(name, beside, tools=True)
    episode, written = episodes.Episode(row, executor.execute), len(row["prompt"])
    recorded, offered = episode.recorded, [tool.get("function", tool)["name"] for tool in json.loads(row["tools"])]
    if set(offered) <= executor.schemas.keys():
        episode.recorded = {}  # executed here, although the row has its results

    def shown(said: list[dict]) -> str:
        return "".join(coloured(one["content"]) for one in said)

    while episode.going:
        before, completion = episode.messages[written:], dict(generation.TOO_LONG)
        if problem := too_long(folder, tokenizer, episode.messages, args):
            if not before:
                raise ValueError(problem)
        else:
            for ids in stream(model, tokenizer, episode.messages, args.max_new_tokens, temperature, args.seed):
                completion = completion_of(tokenizer, ids)
                yield shown(before) + coloured(completion["text"]), f"{len(ids)} tokens"
        episode.step(completion, args.max_turn_steps)
    episode.recorded = recorded
    found, said = episode.verdict(), shown(episode.messages[written:])
    if not known:
        yield said, '<div class="verdict">the correct calls of a question of your own are not known</div>'
        return
    words = {True: "yes", False: "no", None: "does not apply"}
    rows = [(name, words[found["measures"][name]], about) for name, about in episodes.MEASURES.items()]
    failure = found["failure"] and f"{found['failure']}: {episodes.FAILURES[found['failure']]}"
    correct = "correct" if found["correct"] else "incorrect"
    head = f'<div class="verdict"><b class="{correct}">{correct}</b> {visible(failure or "no failure")}</div>'
    yield said, head + table([("measure", "", "meaning"), *rows])


def answer_or_line(made: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The same, with one line in place of an error: the other checkpoint goes on."""
    try:
        yield from made
    except (Exception, SystemExit) as error:
        yield line(message(error)), ""


def stamp(path: Path) -> tuple[int, int]:
    """(time of the last change in ns, bytes) of a file; zeros where it is gone, as a working folder is renamed."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def run_names() -> list[str]:
    """The runs with a log: those that train first, then the finished ones, each the newest first."""
    names = [path.parent.name for path in sorted(runs.OUTPUTS.glob("*/metrics.jsonl"), key=stamp, reverse=True)]
    going = [name.removesuffix(".partial") for name in names if name.endswith(".partial")]
    return list(dict.fromkeys(going + [name for name in names if not name.endswith(".partial")]))


def run_folder(name: str) -> Path:
    """Where a run logs now: its working folder, or its output when it is finished."""
    partial = runs.partial_of(runs.OUTPUTS / name)
    return partial if partial.exists() else runs.OUTPUTS / name


def read_log(path: Path) -> list[dict]:
    """The lines of a log that may be written to at this moment: one that is not whole yet is left out."""
    rows = []
    for text in path.read_bytes().split(b"\n") if path.exists() else []:
        with contextlib.suppress(ValueError):
            row = json.loads(text)
            rows += [row] if isinstance(row, dict) and isinstance(row.get("step"), int) else []
    return rows


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of each of CURVES; empty where a run does not log it."""
    rows = read_log(folder / "metrics.jsonl")
    return {
        name: [(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float)] for name in CURVES
    }


def samples(folder: Path) -> str:
    """The newest sampled completions as HTML: those of highest and lowest advantage of one group."""
    parts = []
    for row in read_log(folder / "samples.jsonl")[-2:]:
        found = row.get("rewards")
        given = ", ".join(f"{name} {value}" for name, value in found.items()) if isinstance(found, dict) else found
        head = f"step {row['step']}, advantage {row.get('advantage')}: {given}"
        asked = f"{row.get('question')}\ncorrect: {row.get('truth')}"
        parts += [f'<div class="verdict">{visible(head)}</div>', coloured(asked), coloured(str(row.get("text")))]
    return "".join(parts) or line("no sampled completions in this run")
