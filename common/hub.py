"""The hub: the model card of a finished output, and its push. No token is read here, so none can be shown or kept."""

import contextlib
import json
import os
import shlex
from pathlib import Path

from common import evaluation, prompts, runs

CARD = "README.md"
FILES = (  # what loads a model and its tokenizer; no adapter, optimizer, log or run.json, which holds local paths
    *("model*.safetensors", "model.safetensors.index.json", "config.json", "generation_config.json"),
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja"),
)
USE = """```python
from transformers import pipeline

messages = [{messages}]
answer = pipeline("text-generation", model="{name}")(messages, {how}max_new_tokens=512)
print(answer[0]["generated_text"][-1]["content"])
```"""


def repository(args) -> str:
    """The full name of the repository to push to, made unless it is there; ends the script where that is impossible."""
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        runs.fail("no token for the hub: log in with: hf auth login, or set HF_TOKEN; then repeat the command")
    with reached():
        name = args.hub_model_id or Path(args.output).name
        return HfApi().create_repo(name, private=args.hub_private_repo or None, exist_ok=True).repo_id


def push(folder: Path, repo: str, revision: str | None = None, rows: list[dict] = ()) -> None:
    """Push a finished output in one commit, all or nothing: FILES and the card. rows: of results.csv, for the card."""
    from huggingface_hub import CommitOperationAdd, HfApi

    added = [CommitOperationAdd(path.name, path) for path in files(folder)]
    added.append(CommitOperationAdd(CARD, card(folder, rows, repo).encode()))
    with reached(f"; {runs.shown(folder)} is whole, push it with: python demo/push_to_hub.py {runs.shown(folder)}"):
        done = HfApi().create_commit(repo, added, commit_message=f"{folder.name}, finished", revision=revision)
    print(f"pushed {runs.shown(folder)}: {done.repo_url}")


@contextlib.contextmanager
def reached(after: str = ""):
    """End the script in one line when the hub cannot be reached, or refuses."""
    import httpx
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        why = "the token may not write there" if code in (401, 403) else error.server_message or "no reason given"
        runs.fail(f"the hub refuses ({code}): {why}; check the token and --hub_model_id{after}")
    except errors.HFValidationError as error:
        runs.fail(f"--hub_model_id is no name of a repository: {error}")
    except (httpx.HTTPError, OSError) as error:  # no network, or HF_HUB_OFFLINE
        runs.fail(f"the hub cannot be reached ({type(error).__name__}); repeat when there is a network{after}")


def files(folder: Path) -> list[Path]:
    return sorted({path for pattern in FILES for path in folder.glob(pattern)})


def measured(folder: Path, args) -> list[dict]:
    """The rows of results.csv that were measured on this checkpoint, not on an earlier one of the same name."""
    facts = evaluation.checkpoint_facts(str(folder), args)
    facts = {name: str(facts[name]) for name in ("script", "seed", "base")}
    found = []
    for row in evaluation.read_rows(evaluation.results_path(args)):
        key = {name: row[name] for name in evaluation.KEY}
        if facts.items() <= row.items() and evaluation.is_tested(key, str(folder), args):
            correct = [line["correct"] for line in runs.read_jsonl(evaluation.completions_file(key, args))]
            if f"{sum(correct) / len(correct):.4f}" == row["accuracy"]:  # not a row that git put back
                found.append(row)
    return found


def public(words: str) -> str:
    """A command without the paths of this machine: of a path outside of the repo only its name is left."""

    def shown(word: str) -> str:
        option, sign, value = word.rpartition("=")
        if "://" in value:
            return f"{option}{sign}URL"
        path = Path(os.path.normpath(runs.ROOT / Path(value).expanduser()))
        return f"{option}{sign}{runs.shown(path) if path.is_relative_to(runs.ROOT) else path.name}"

    return shlex.join(map(shown, shlex.split(words)))


def stages(folder: Path) -> tuple[str, list[dict]]:
    """The model at the beginning of a lineage, a hub name or the name of a folder; and each run.json from there on.

    Without those of stages that were made again since: their commands need not be those that led here.
    """
    made, base, before = [], str(folder), float("inf")
    while (record := runs.resolve(base) / "run.json").exists() and "base" in (facts := json.loads(record.read_text())):
        if record.stat().st_mtime <= before:
            made, before = [facts, *made], record.stat().st_mtime
        base = facts["base"]
    return base if base.count("/") == 1 and not runs.resolve(base).exists() else Path(base).name, made


def card(folder: Path, rows: list[dict] = (), repo: str = "") -> str:
    """The model card of a finished output: figures with intervals and commands, base, data, limits."""
    first, made = stages(folder)
    facts, name = made[-1], folder.name
    final, seconds = facts["final"], facts["seconds"]
    took = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    head = ["library_name: transformers", "pipeline_tag: text-generation", "tags: [trl]"]
    head += [f"base_model: {first}"] if "/" in first else []
    table, commands = [], {}
    if "heldout_accuracy" in final:
        low, high, n = (final[f"heldout_{part}"] for part in ("ci_low", "ci_high", "n"))
        table.append(("validation, greedy, at the end of training", n, final["heldout_accuracy"], low, high))
    for row in rows:
        numbers = [float(row[part]) for part in ("accuracy", "ci_low", "ci_high")]
        table.append((f"{row['dataset']}, {row['split']}, {row['decoding']}", row["n"], *numbers))
        commands[public(row["command"])] = None
    lines = ["| measured on | problems | accuracy | 95 % interval |", "| --- | --- | --- | --- |"]
    lines += [f"| {what} | {n} | {p:.1%} | {low:.1%} to {high:.1%} |" for what, n, p, low, high in table]
    tested = ["", "All but the validation row were measured by", "", *(f"    {command}" for command in commands)]
    kept = facts.get("update_kept", 1)
    return "\n".join(
        [
            *("---", *head, "---", "", f"# {name}", ""),
            f"{' -> '.join(facts['lineage'])}, made in order by",
            *("", *(f"    {public(stage['command'])}" for stage in made), ""),
            f"The last of these took {took} on {facts['device']}.",
            f"Seed {facts['seed']}, commit {facts['commit'] or 'unknown'}, "
            + ", ".join(f"{package} {version}" for package, version in facts["versions"].items())
            + ".",
            *("", "## Figures", "", *lines, *(tested if commands else ())),
            *("", "## Base and data", "", f"Base: {first}."),
            f"Data set: {public(facts['dataset'])}, fingerprint {facts['fingerprint']}.",
            *("", "## Use", "", *usage(folder, facts, repo or name)),
            *("", "## Limits", "", "- One run with one seed; another seed ends elsewhere, often by several points."),
            "- The intervals are Wilson's, over the problems; they leave out the differences between seeds.",
            "- The validation problems were watched during training, so a setting may have been chosen by them.",
            *([f"- Rounded to bfloat16, the weights hold {kept:.0%} of the last update."] if kept < 1 else ()),
            "- Nothing else was measured: no other task or language, no safety. The licence is that of the base.",
            "",
        ]
    )


def usage(folder: Path, facts: dict, name: str) -> list[str]:
    """How to ask the model what it was trained on."""
    template = folder / "chat_template.jinja"
    if template.exists() and "if tools" in template.read_text():
        messages = '{"role": "user", "content": "What is 12 * 7?"}'
        use = USE.format(name=name, messages=messages, how="tools=[...], ")
        return ["The chat template shows the model the tools that it may call.", "", use]
    if facts.get("kind") in ("calls", "dialogue"):
        return ["The system prompt offers functions as Qwen's template does; a call is JSON between <tool_call> tags."]
    system = json.dumps(prompts.system_prompt(prompts.TAG_SETS[facts["tags"]]))
    messages = f'{{"role": "system", "content": {system}}},\n            {{"role": "user", "content": "..."}}'
    return [USE.format(name=name, messages=messages, how="")]
