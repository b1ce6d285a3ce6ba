"""What the page shows, without Gradio: checkpoints, questions, completions, rewards, runs, and text as safe HTML."""

import base64
import functools
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common import data, generation, kinds, models, prompts, runs
from GRPO_outdomain import certainty
from tiny import problems
from ToolUse.tooluse import conversations, episodes
from workbench import loading

MAX_CHARACTERS = 10_000  # of a question, and of a text that is shown
COLOURS = {"<tool_call>": "call", "</tool_call>": "", "<tool_response>": "result", "</tool_response>": ""}
for tags in prompts.TAG_SETS.values():  # tag: class of what follows it, see STYLE in app.py
    COLOURS |= {tags.work_open: "work", tags.work_close: "", tags.answer_open: "answer", tags.answer_close: ""}
TAG = re.compile("(" + "|".join(map(re.escape, COLOURS)) + ")")
CURVES = {"heldout_accuracy": "held-out accuracy", "reward": "reward", "entropy": "entropy, nats per token"}


def visible(text: str) -> str:
    """The text as HTML that shows every character: markup is escaped, a control character is named."""
    return html.escape("".join(c if c in "\n\t" or c.isprintable() else f"[U+{ord(c):04X}]" for c in text))


def coloured(text: str) -> str:
    """The text as HTML, each tag and what follows it in its colour; at most MAX_CHARACTERS of it."""
    colour, parts = "", []
    for part in TAG.split(text[:MAX_CHARACTERS]):
        if part in COLOURS:
            parts.append(f'<b class="{COLOURS[part] or colour}">{visible(part)}</b>')
            colour = COLOURS[part]
        else:
            parts.append(f'<span class="{colour}">{visible(part)}</span>')
    if len(text) > MAX_CHARACTERS:
        parts.append(f" ... and {len(text) - MAX_CHARACTERS:,} more characters")
    return f'<div class="text">{"".join(parts)}</div>'


def line(text: str) -> str:
    """A message as HTML, on one line."""
    return f'<div class="line">{visible(" ".join(text.split()))}</div>'


def table(rows: list[tuple]) -> str:
    """The rows as an HTML table, the first one as its head; numbers with three digits."""
    lines = []
    for row in rows:
        texts = [f"{value:.3g}" if isinstance(value, float) else visible(str(value)) for value in row]
        lines.append("<tr>" + "".join(f"<td>{text}</td>" for text in texts) + "</tr>")
    return f'<table class="rewards">{"".join(lines)}</table>'


def message(error: BaseException) -> str:
    """What went wrong; the line of runs.fail() where it ended the work."""
    if getattr(error, "__notes__", None):
        return error.__notes__[0]
    return runs.explain(error) or f"{type(error).__name__}: {error}"


def stamp(path: Path) -> int:
    """The time of a file's last change in ns; 0 where it is gone, as a working folder is renamed."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def checkpoints() -> list[str]:
    """The checkpoints of this folder: the embedded ones, then every finished output with weights."""
    folders = [runs.ROOT / "resources" / "tiny-base", runs.ROOT / "resources" / "tiny-grpo"]
    folders += sorted(path.parent for path in runs.OUTPUTS.glob("*/run.json") if path.parent.suffix != ".partial")
    return [runs.shown(f) for f in folders if (f / "config.json").exists() and any(f.glob("*.safetensors"))]


def kind_of(source: str) -> str:
    """The name of the kind of a data set."""
    path = data.dataset_folder(source) / "run.json"
    return json.loads(path.read_text()).get("kind", "math") if path.exists() else "math"


def best(names: list[str], kind: str = "math") -> str:
    """The checkpoint to compare with the base: one trained for this kind, else the embedded one, else the last."""
    beginning = "SFT_tools" if kind == "tools" else "GRPO-1K-def"
    for name in names:
        if Path(name).name.startswith(beginning):
            return name
    return "resources/tiny-grpo" if "resources/tiny-grpo" in names else names[-1]


class Checkpoint(NamedTuple):
    folder: str
    model: Any
    tokenizer: Any
    tag_set: str


_models = {}  # folder: (time of its config.json, model)


def load(name: str, beside: str, tools: bool) -> Checkpoint:
    """A checkpoint; keeps its model and that of the one beside it in memory, no other.

    Ends with SystemExit where it is gone or incomplete. tools: with the chat template of tool calls.
    """
    folder = runs.require_base(name, "the script that makes it")
    changed = stamp(Path(folder) / "config.json")
    for other in list(_models):
        if other not in (folder, str(runs.resolve(beside))) or (other == folder and _models[other][0] != changed):
            del _models[other]
    if tools:
        tokenizer, tag_set = conversations.load_tokenizer(folder)
    else:
        tokenizer, tag_set = models.load_tokenizer(folder, default="thesis")
    if folder not in _models:
        _models[folder] = changed, models.load_for_generation(folder)
    return Checkpoint(folder, _models[folder][1], tokenizer, tag_set)


def picture(path: Path) -> str:
    """A picture as HTML that needs no other file."""
    return f'<img src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" alt="{path.stem}">'


def sources() -> list[str]:
    """The data sets with test questions; linear systems are generated where there is no such data set."""
    return sorted({"linear", *(path.parent.name for path in (runs.OUTPUTS / "data").glob("*/test.jsonl"))})


def rows_of(source: str) -> tuple[list[dict], kinds.Kind]:
    """The test questions of a data set, and their kind."""
    if source == "linear" and not data.dataset_folder(source).exists():
        return problems.draw(problems.linear, "test", 100, seed=0), kinds.MATH
    split = data.read_split(source, "test")
    return split.rows, split.kind


def is_of(row: dict, question: str) -> bool:
    """Whether a question is that of a row; a browser changes line ends."""
    return question.split() == row["question"].split()


def truth_of(row: dict, question: str, truth: str) -> str:
    """The correct answer of a question: none where the question was edited and the answer is still that of the row."""
    return truth if is_of(row, question) or truth != row["solution"] else ""


def scripts() -> list[str]:
    """Every script with REWARDS, a user's own copies included."""
    paths = []
    for pattern in ("GRPO_indomain/GRPO-*.py", "GRPO_outdomain/GRPO-*.py", "BFCL/GRPO_*.py"):
        paths += sorted(runs.ROOT.glob(pattern))
    return [runs.shown(path) for path in paths if "\nREWARDS = " in path.read_text()]


def load_script(path: str):
    """A script as a module, read again when its file has changed."""
    return _load_script(path, stamp(runs.resolve(path)))


@functools.lru_cache(maxsize=32)
def _load_script(path: str, changed: int):
    return loading.load(runs.resolve(path))


def stream(checkpoint: Checkpoint, conversation: list[dict], args, temperature: float) -> Iterator[list[int]]:
    """Yield the ids of a completion each time it has grown by a token, until an end token or args.max_new_tokens.

    Nothing runs between two steps, so a reader that goes away ends the work. ValueError where a prompt leaves no room.
    """
    import torch

    from common import decode

    _, model, tokenizer, _ = checkpoint
    room = generation.context_length(checkpoint.folder, args) - args.max_new_tokens
    new = generation.token_ids(tokenizer, generation.rendered(tokenizer, [conversation]))[0]
    if len(new) > room:
        name = runs.shown(checkpoint.folder)
        raise ValueError(f"the prompt has {len(new):,} tokens; {name} has room for {room:,}")
    ends = models.stop_tokens(tokenizer)
    generator = torch.Generator().manual_seed(args.seed)
    cache, ids = None, []
    while len(ids) < args.max_new_tokens and not (ids and ids[-1] in ends):
        with torch.inference_mode():  # for each step, as each may run in another thread
            output = model(input_ids=torch.tensor([new], device=model.device), past_key_values=cache, use_cache=True)
            chance = 1 - torch.rand(1, generator=generator)
            token, *_ = decode.draw(output.logits[:, -1].float().cpu(), chance, temperature)
        cache = output.past_key_values
        new = token.tolist()
        ids = ids + new
        yield ids


def completion_of(tokenizer, ids: list[int]) -> dict:
    """A completion in the format of generation.generate()."""
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return {"text": text, "tokens": len(ids), "truncated": ids[-1] not in models.stop_tokens(tokenizer)}


def answer(
    name: str, beside: str, row: dict, kind: kinds.Kind, script: str, temperature: float, args
) -> Iterator[tuple[str, str]]:
    """Yield (completion, its rewards) as HTML while a checkpoint answers a question of mathematics or of BFCL."""
    checkpoint = load(name, beside, tools=False)
    conversation = kind.prompt(row, prompts.TAG_SETS[checkpoint.tag_set])
    for ids in stream(checkpoint, conversation, args, temperature):
        completion = completion_of(checkpoint.tokenizer, ids)
        yield coloured(completion["text"]), f"{len(ids)} tokens"
    lines = rewards(script, row, kind, completion["text"], ids, checkpoint)
    yield coloured(completion["text"]), verdict(completion, row, kind, checkpoint.tag_set) + table(lines)


def verdict(completion: dict, row: dict, kind: kinds.Kind, tag_set: str) -> str:
    """A line of HTML: answer, whether it is correct by each score and well-formed, length."""
    scored = kind.score(completion, row, prompts.TAG_SETS[tag_set])
    colour = "correct" if scored.get("flexible", scored["correct"]) else "incorrect"
    facts = ["well-formed" if scored["well_formed"] else "not well-formed", f"{completion['tokens']} tokens"]
    if completion["truncated"]:
        facts.append("cut at the limit")
    solution = "no answer" if scored["solution"] is None else f"answer {scored['solution']}"
    correct = colour
    if scored.get("flexible") and not scored["correct"]:
        correct = "correct, but not between its tags"
    if not row["solution"]:
        correct = "no correct answer given"
    return f'<div class="verdict">{visible(solution)}: <b class="{colour}">{correct}</b>, {", ".join(facts)}</div>'


def rewards(script: str, row: dict, kind: kinds.Kind, text: str, ids: list[int], checkpoint: Checkpoint) -> list[tuple]:
    """The rows of a table: each of a script's rewards, called as TRL's trainer calls it, with its weight; their sum.

    Confidence is measured with the model, as in training. A reward that needs what is not known says what.
    """
    _, model, tokenizer, tag_set = checkpoint
    columns = loading.columns_of([row], [text], kind, tag_set)
    columns["completion_ids"] = [ids]
    columns |= loading.trainer_columns(step=1, max_steps=1)  # as in the last step
    if not row["solution"]:
        del columns["solution"]
    module = load_script(script)
    is_choice = isinstance(module.REWARDS, dict)  # --reward takes one of them
    functions = list(module.REWARDS.values()) if is_choice else module.REWARDS
    if any("certainties" in loading.needs(function) for function in functions):
        prompt_ids = generation.token_ids(tokenizer, generation.rendered(tokenizer, columns["prompts"]))
        columns["certainties"] = certainty.measure(model, tokenizer, prompt_ids, [ids], [tag_set], batch_size=1)
    weights = loading.weights_of(module, len(functions))
    rows, values = [("reward", "weight", "value", "meaning")], []
    for function, weight in zip(functions, weights, strict=True):
        value = reward(function, columns)
        values.append(value)
        meaning = " ".join((function.__doc__ or "").partition("\n\n")[0].split())
        rows.append((function.__name__, "" if is_choice else f"{weight:g}", value, meaning))
    if is_choice or any(isinstance(value, str) for value in values):
        return rows
    total = sum(weight * (value or 0.0) for weight, value in zip(weights, values))
    return [*rows, ("total", "", total, "the sum that the policy learns from")]


def reward(function, columns: dict) -> float | str | None:
    """What a reward function gives one completion, or why it cannot be called."""
    missing = [name for name in loading.needs(function) if name not in columns]
    missing = ["the correct answer" if name == "solution" else name for name in missing]
    if missing:
        return f"needs {', '.join(missing)}"
    try:
        value = function(**columns)[0]
        return None if value is None else float(value)
    except Exception as error:  # a user's own reward, or one for another kind of question
        return f"not for this question ({type(error).__name__}: {error})"


def converse(name: str, beside: str, row: dict, known: bool, executor, temperature, args) -> Iterator[tuple[str, str]]:
    """Yield (conversation, what it is measured by) as HTML while a checkpoint answers with tools, which are executed.

    known: whether the correct calls are known.
    """
    checkpoint = load(name, beside, tools=True)
    episode = episodes.Episode(row, executor.execute)
    recorded = episode.recorded
    tools = [tool.get("function", tool)["name"] for tool in json.loads(row["tools"])]
    if set(tools) <= executor.schemas.keys():
        episode.recorded = {}  # executed here, although the row has its results
    conversation = ""
    while episode.going:
        completion = dict(generation.TOO_LONG)
        try:
            for ids in stream(checkpoint, episode.messages, args, temperature):
                completion = completion_of(checkpoint.tokenizer, ids)
                yield conversation + coloured(completion["text"]), f"{len(ids)} tokens"
        except ValueError:  # no room; the first prompt must have it
            if not conversation:
                raise
        episode.step(completion, args.max_turn_steps)
        conversation = "".join(coloured(message["content"]) for message in episode.messages[len(row["prompt"]) :])
    episode.recorded = recorded
    if not known:
        yield conversation, '<div class="verdict">the correct calls of a question of your own are not known</div>'
        return
    scored = episode.verdict()
    words = {True: "yes", False: "no", None: "does not apply"}
    rows = [("measure", "", "meaning")]
    for measure, meaning in episodes.MEASURES.items():
        rows.append((measure, words[scored["measures"][measure]], meaning))
    failure = "no failure"
    if scored["failure"]:
        failure = f"{scored['failure']}: {episodes.FAILURES[scored['failure']]}"
    correct = "correct" if scored["correct"] else "incorrect"
    head = f'<div class="verdict"><b class="{correct}">{correct}</b> {visible(failure)}</div>'
    yield conversation, head + table(rows)


def answer_or_line(parts: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The same, with one line in place of an error: the other checkpoint goes on."""
    try:
        yield from parts
    except (Exception, SystemExit) as error:
        yield line(message(error)), ""


def run_names() -> list[str]:
    """The runs with a log: those that train first, then the finished ones, each the newest first."""
    folders = [path.parent for path in sorted(runs.OUTPUTS.glob("*/metrics.jsonl"), key=stamp, reverse=True)]
    folders.sort(key=lambda folder: folder.suffix != ".partial")
    return list(dict.fromkeys(folder.name.removesuffix(".partial") for folder in folders))


def run_folder(name: str) -> Path:
    """Where a run logs now: its working folder, or its output when it is finished."""
    partial = runs.partial_of(runs.OUTPUTS / name)
    return partial if partial.exists() else runs.OUTPUTS / name


def read_log(path: Path) -> list[dict]:
    """The lines of a log that may be written to at this moment: one that is not whole yet is left out."""
    rows = []
    for text in path.read_bytes().split(b"\n") if path.exists() else []:
        try:
            row = json.loads(text)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of each of CURVES; empty where a run does not log it."""
    points = {name: [] for name in CURVES}
    for row in read_log(folder / "metrics.jsonl"):
        for name in CURVES:
            if isinstance(row.get(name), int | float):
                points[name].append((row["step"], row[name]))
    return points


def samples(folder: Path) -> str:
    """The newest sampled completions as HTML: those of highest and lowest advantage of one group."""
    parts = []
    for row in read_log(folder / "samples.jsonl")[-2:]:
        values = row.get("rewards")
        if isinstance(values, dict):
            values = ", ".join(f"{name} {value}" for name, value in values.items())
        head = f"step {row['step']}, advantage {row.get('advantage')}: {values}"
        question = f"{row.get('question')}\ncorrect: {row.get('truth')}"
        parts += [f'<div class="verdict">{visible(head)}</div>', coloured(question), coloured(str(row.get("text")))]
    return "".join(parts) or line("no sampled completions in this run")
