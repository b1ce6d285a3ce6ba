"""The hub: the model card of a finished output, and its push. No token is read here, so none can be shown or kept."""

import contextlib
import json
import os
import shlex
from pathlib import Path

from common import evaluation, prompts, runs

CARD = "README.md"
STRICT = ("accuracy", "ci_low", "ci_high")  # columns of results.csv: an accuracy and its interval
FLEXIBLE = ("flexible", "flexible_low", "flexible_high")
# What loads a model and its tokenizer; no adapter, optimizer, log or run.json, which holds local paths.
FILES = """
    model*.safetensors model.safetensors.index.json config.json generation_config.json tokenizer* vocab.json merges.txt
    special_tokens_map.json added_tokens.json chat_template.jinja"""
USE = """```python
from transformers import pipeline

messages = [{messages}]
answer = pipeline("text-generation", model="{name}")(messages, {options}max_new_tokens=512)
print(answer[0]["generated_text"][-1]["content"])
```"""
PAGE = """# {name}

{lineage}, made in order by

{commands}

The last of these took {seconds:.0f} seconds on {device}. Seed {seed}, commit {commit}, {versions}.

## Figures

{figures}

## Base and data

Base: {base}. Data set: {dataset}, fingerprint {fingerprint}.

## Use

{use}

## Limits

- One run with one seed; another seed ends elsewhere, often by several points.
- The intervals are Wilson's, over the problems; they leave out the differences between seeds.
- The validation problems were watched during training, so a setting may have been chosen by them.
- Rounded to bfloat16, the weights hold {update_kept:.0%} of the last update.
- Nothing else was measured: no other task or language, no safety. The licence is that of the base.
"""


def repository(args) -> str:
    """The full name of the repository to push to, made unless it is there; ends the script where that is impossible."""
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.utils import validate_repo_id

    if get_token() is None:
        runs.fail("no token for the hub: log in with: hf auth login, or set HF_TOKEN; then repeat the command")
    name = args.hub_model_id or Path(args.output).name
    with reached():
        validate_repo_id(name)
        return HfApi().create_repo(name, private=args.hub_private_repo or None, exist_ok=True).repo_id


def push(folder: Path, repo: str, revision: str | None = None, rows: list[dict] = ()) -> None:
    """Push a finished output in one commit, all or nothing: FILES and the card. rows: of results.csv, for the card."""
    from huggingface_hub import CommitOperationAdd, HfApi

    operations = [CommitOperationAdd(path.name, path) for path in files(folder)]
    operations.append(CommitOperationAdd(CARD, card(folder, rows, repo).encode()))
    name = runs.shown(folder)
    with reached(f"; {name} is whole, push it with: python demo/push_to_hub.py {name}"):
        commit = HfApi().create_commit(repo, operations, commit_message=f"{folder.name}, finished", revision=revision)
    print(f"pushed {name}: {commit.repo_url}")


@contextlib.contextmanager
def reached(after: str = ""):
    """End the script in one line when the hub cannot be reached, or refuses."""
    import httpx
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        reason = error.server_message or "no reason given"
        if code in (401, 403):
            reason = "the token may not write there"
        runs.fail(f"the hub refuses ({code}): {reason}; check the token and --hub_model_id{after}")
    except errors.HFValidationError as error:
        runs.fail(f"--hub_model_id is no name of a repository: {error}")
    except (httpx.HTTPError, OSError) as error:  # no network, or HF_HUB_OFFLINE
        runs.fail(f"the hub cannot be reached ({type(error).__name__}); repeat when there is a network{after}")


def files(folder: Path) -> list[Path]:
    return sorted({path for pattern in FILES.split() for path in folder.glob(pattern)})


def measured(folder: Path, args) -> list[dict]:
    """The rows of results.csv that were measured on this checkpoint, not on an earlier one of the same name."""
    facts = evaluation.checkpoint_facts(str(folder), args)
    facts = {name: str(facts[name]) for name in ("script", "seed", "base")}
    rows = []
    for row in evaluation.read_rows(evaluation.results_path(args)):
        key = {name: row[name] for name in evaluation.KEY}
        if facts.items() <= row.items() and evaluation.is_tested(key, str(folder), args, row["n"]):
            correct = [line["correct"] for line in runs.read_jsonl(evaluation.completions_file(key, args))]
            if f"{sum(correct) / len(correct):.4f}" == row["accuracy"]:  # not a row that git put back
                rows.append(row)
    return rows


def public(command: str) -> str:
    """A command without the paths of this machine: of a path outside of the repo only its name is left."""
    words = []
    for word in shlex.split(command):
        option, sign, value = word.rpartition("=")
        path = Path(os.path.normpath(runs.ROOT / Path(value).expanduser()))
        if "://" in value:
            value = "URL"
        elif path.is_relative_to(runs.ROOT):
            value = runs.shown(path)
        else:
            value = path.name
        words.append(f"{option}{sign}{value}")
    return shlex.join(words)


def stages(folder: Path) -> tuple[str, list[dict]]:
    """The model at the beginning of a lineage, a hub name or the name of a folder; and each run.json from there on.

    Without those of stages that were made again since: their commands need not be those that led here.
    """
    records = []
    base = str(folder)
    last_change = float("inf")
    while "base" in (facts := runs.read_record(runs.resolve(base)) or {}):
        changed = (runs.resolve(base) / "run.json").stat().st_mtime
        if changed <= last_change:
            records.insert(0, facts)
            last_change = changed
        base = facts["base"]
    is_hub_name = base.count("/") == 1 and not runs.resolve(base).exists()
    return base if is_hub_name else Path(base).name, records


def card(folder: Path, rows: list[dict] = (), repo: str = "") -> str:
    """The model card of a finished output: figures with intervals and commands, base, data, limits.

    rows: of results.csv. The figures stand in a table, and in the head as `model-index` for the hub's own pages.
    """
    from huggingface_hub import ModelCard, ModelCardData

    base, records = stages(folder)
    facts = records[-1]
    evaluations = []
    for row in (*validation_of(facts), *rows):
        evaluations += evaluations_of(row)
    head = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["trl"],
        base_model=base if "/" in base else None,
        model_name=folder.name,
        eval_results=evaluations,
    )
    figures = "| measured on | problems | accuracy | 95 % interval |\n| --- | --- | --- | --- |"
    for one in evaluations:
        low, high = one.metric_args["interval_95"]
        figures += f"\n| {one.dataset_name}, {one.dataset_split}, {one.metric_name} | {one.metric_args['problems']} "
        figures += f"| {one.metric_value:.1%} | {low:.1%} to {high:.1%} |"
    if any("flexible" in one.metric_name for one in evaluations):
        figures += "\n\nflexible: the answer wherever it stands in the completion; strict: the answer between its tags."
    if rows:
        figures += "\n\nAll but the validation row were measured by\n\n" + indented(row["command"] for row in rows)
    facts = {"update_kept": 1, **facts, "name": folder.name, "base": base, "dataset": public(facts["dataset"])}
    facts["lineage"] = " -> ".join(facts["lineage"])
    facts["versions"] = ", ".join(f"{package} {version}" for package, version in facts["versions"].items())
    commands = indented(record["command"] for record in records)
    page = PAGE.format(**facts, commands=commands, figures=figures, use=usage(folder, facts, repo or folder.name))
    return str(ModelCard(f"---\n{head.to_yaml()}\n---\n\n{page}"))


def validation_of(facts: dict) -> list[dict]:
    """The last held-out accuracy of a run as a row like those of results.csv; none where it has none."""
    final = facts["final"]
    if "heldout_accuracy" not in final:
        return []
    figures = {name: final.get(f"heldout_{name}", "") for name in ("n", *STRICT, *FLEXIBLE)}
    return [{"dataset": Path(facts["dataset"]).name, "split": "validation", "decoding": "greedy", **figures}]


def evaluations_of(row: dict) -> list:
    """The metrics of a row of results.csv: the flexible and the strict accuracy, or the one that there is."""
    from huggingface_hub import EvalResult

    scores = {row["decoding"]: STRICT}
    if row.get("flexible", "") != "":
        scores = {f"{row['decoding']}, flexible": FLEXIBLE, f"{row['decoding']}, strict": STRICT}
    results = []
    for name, columns in scores.items():
        value, low, high = (float(row[column]) for column in columns)
        measure = {"metric_type": "accuracy", "metric_name": name, "metric_value": value}
        measure["metric_args"] = {"problems": int(row["n"]), "interval_95": [low, high]}
        result = EvalResult("text-generation", row["dataset"], row["dataset"], dataset_split=row["split"], **measure)
        results.append(result)
    return results


def indented(commands) -> str:
    return "\n".join(f"    {command}" for command in dict.fromkeys(map(public, commands)))


def usage(folder: Path, facts: dict, name: str) -> str:
    """How to ask the model what it was trained on."""
    if facts.get("kind") == "tools":
        messages = '{"role": "user", "content": "What is 12 * 7?"}'
        return USE.format(name=name, messages=messages, options="tools=[...], ")
    if facts.get("kind") in ("calls", "dialogue"):
        return "The system prompt offers functions as Qwen's template does; a call is JSON between <tool_call> tags."
    system = json.dumps(prompts.system_prompt(prompts.TAG_SETS[facts["tags"]]))
    messages = f'{{"role": "system", "content": {system}}},\n            {{"role": "user", "content": "..."}}'
    return USE.format(name=name, messages=messages, options="")
