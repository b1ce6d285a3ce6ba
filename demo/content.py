"""What the page shows, without Gradio: checkpoints, questions, completions, rewards, and text as safe HTML."""

import functools
import html
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common import data, generation, kinds, models, prompts, runs
from GRPO_outdomain import certainty
from tiny import problems
from workbench import loading

MAX_CHARACTERS = 10_000  # of a question, and of a text that is shown
COLOURS = {"<tool_call>": "call", "</tool_call>": ""}
for tags in prompts.TAG_SETS.values():  # tag: class of what follows it, see STYLE in app.py
    COLOURS |= {tags.work_open: "work", tags.work_close: "", tags.answer_open: "answer", tags.answer_close: ""}
TAG = re.compile("(" + "|".join(map(re.escape, COLOURS)) + ")")


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


def best(names: list[str]) -> str:
    """The checkpoint to compare with the base: a run of GRPO-1K-def, else the embedded one, else the last."""
    for name in names:
        if Path(name).name.startswith("GRPO-1K-def"):
            return name
    return "resources/tiny-grpo" if "resources/tiny-grpo" in names else names[-1]


class Checkpoint(NamedTuple):
    folder: str
    model: Any
    tokenizer: Any
    tag_set: str


_models = {}  # (folder, time of its config.json): model; the one that was used last stands last


def load(name: str) -> Checkpoint:
    """A checkpoint; two models stay in memory. Ends with SystemExit where the checkpoint is gone or incomplete."""
    folder = runs.require_base(name, "the script that makes it")
    tokenizer, tag_set = models.load_tokenizer(folder, default="thesis")
    key = folder, stamp(Path(folder) / "config.json")
    model = _models.pop(key, None)
    if model is None:
        while len(_models) > 1:
            del _models[next(iter(_models))]
        model = models.load_for_generation(folder)
    _models[key] = model
    return Checkpoint(folder, model, tokenizer, tag_set)


def sources() -> list[str]:
    """The data sets with test questions; linear systems are generated where there is no such data set."""
    return sorted({"linear", *(path.parent.name for path in (runs.OUTPUTS / "data").glob("*/test.jsonl"))})


def rows_of(source: str) -> tuple[list[dict], kinds.Kind]:
    """The test questions of a data set, and their kind."""
    if source == "linear" and not runs.dataset_folder(source).exists():
        return problems.draw(problems.linear, "test", 100, seed=0), kinds.MATH
    split = data.read_split(source, "test", ("math", "choice", "calls"))
    return split.rows, split.kind


def truth_of(row: dict, question: str, truth: str) -> str:
    """The correct answer of a question: none where the question was edited and the answer is still that of the row."""
    is_edited = question.split() != row["question"].split()  # a browser changes line ends
    return "" if is_edited and truth == row["solution"] else truth


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


def answer(name: str, row: dict, kind: kinds.Kind, script: str, temperature: float, args) -> Iterator[tuple[str, str]]:
    """Yield (completion, its rewards) as HTML while a checkpoint answers; one line in place of an error."""
    try:
        checkpoint = load(name)
        conversation = kind.prompt(row, prompts.TAG_SETS[checkpoint.tag_set])
        for ids in stream(checkpoint, conversation, args, temperature):
            completion = completion_of(checkpoint.tokenizer, ids)
            yield coloured(completion["text"]), f"{len(ids)} tokens"
        lines = rewards(script, row, kind, completion["text"], ids, checkpoint)
        yield coloured(completion["text"]), verdict(completion, row, kind, checkpoint.tag_set) + table(lines)
    except (Exception, SystemExit) as error:
        yield line(message(error)), ""


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
    has_sum = isinstance(module.REWARDS, list)  # of a dict --reward takes one
    functions = module.REWARDS if has_sum else list(module.REWARDS.values())
    if any("certainties" in loading.needs(function) for function in functions):
        prompt_ids = generation.token_ids(tokenizer, generation.rendered(tokenizer, columns["prompts"]))
        columns["certainties"] = certainty.measure(model, tokenizer, prompt_ids, [ids], [tag_set], batch_size=1)
    rows, total = [("reward", "weight", "value", "meaning")], 0.0
    for function, weight in zip(functions, loading.weights_of(module, len(functions))):
        value = reward(function, columns)
        if isinstance(value, str):
            has_sum = False
        else:
            total += weight * value
        meaning = " ".join((function.__doc__ or "").partition("\n\n")[0].split())
        rows.append((function.__name__, f"{weight:g}", value, meaning))
    return rows if not has_sum else [*rows, ("total", "", total, "the sum that the policy learns from")]


def reward(function, columns: dict) -> float | str:
    """What a reward function gives one completion, 0 for None, or why it cannot be called."""
    missing = [name for name in loading.needs(function) if name not in columns]
    if missing:
        return f"needs {', '.join(sorted(missing))}".replace("solution", "the correct answer")
    try:
        return float(function(**columns)[0] or 0)
    except Exception as error:  # a user's own reward, or one for another kind of question
        return f"not for this question ({type(error).__name__}: {error})"


def workbench(script: str, choice: str, checkpoint: str, source: str) -> str:
    """The page of rewards.py as HTML: a script's rewards on samples of a checkpoint; one line in place of an error."""
    path = runs.OUTPUTS / "rewards" / "page.html"
    path.unlink(missing_ok=True)
    words = ["--reward", choice, "--checkpoint", checkpoint, "--dataset", source, "--html", str(path)]
    command = [sys.executable, "rewards.py", script, *words]
    done = subprocess.run(command, cwd=runs.ROOT, capture_output=True, text=True)
    if not path.exists():
        return line(done.stderr.strip().rpartition("\n")[2])
    return f'<iframe sandbox srcdoc="{html.escape(path.read_text())}"></iframe>'
