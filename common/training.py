"""Training: what every stage does with its trainer: begin, train, resume, merge, save, record.

A checkpoint of a run gets a manifest, written last: the size and the SHA-256 of every other file. A checkpoint without
one was cut off while it was saved. One whose files differ from it is damaged: training would stop, or continue with
other weights.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from common import hub, kinds, memory, models, runs
from common.data import Split

MANIFEST = "manifest.json"
# At the end it warns that lm_head.weight is missing, which is stored once with the embeddings where the two are tied.
logging.getLogger("transformers.trainer").addFilter(lambda record: "missing keys" not in record.getMessage())


def begin(
    args, base: str, tokenizer, tag_set: str, train: Split, heldout: Split, dataset, sequences: int = 1
) -> runs.Run:
    """Plan the memory, open the output folder and load the model, when everything else is checked.

    dataset: what the trainer gets of the rows of train. sequences: how many an example is made of.
    """
    repo = hub.repository(args) if args.push_to_hub else ""
    started = time.time()
    inputs = runs.inputs_of(args)
    partial = runs.start(args, memory.fit(base, args, sequences), inputs)
    args.push_to_hub = False  # the trainer would push the folder of a run that is not finished
    model = models.load_model(base, args)
    return runs.Run(
        args=args,
        base=base,
        tokenizer=tokenizer,
        tag_set=tag_set,
        rows=train.rows,
        dataset=dataset,
        heldout=heldout.rows[: args.heldout_rows],
        fingerprint=train.fingerprint,
        inputs=inputs,
        started=started,
        kind=train.kind,
        partial=partial,
        model=model,
        lora=models.lora_config(args, model),
        repo=repo,
    )


def train(run: runs.Run, trainer, score: Callable | None = None, watch: Callable | None = None, **facts) -> None:
    """Train with progress and held-out accuracy, resume, merge, save, and rename the working folder to the output.

    score: the scorer of held-out completions [that of the data set's kind]. watch: makes the progress.Watch, for a
    stage that has one of its own. facts: more for run.json.
    """
    from common.progress import Watch  # late: transformers takes seconds

    progress = (watch or Watch)(trainer, run, score or run.kind.score)
    models.train_in_float32(trainer.model)
    trainer.args.logging_nan_inf_filter = False  # it would hide a loss that is not a number, and the run would go on
    _train(trainer, run.partial, run.args.resume)
    say_ruined(trainer.state.log_history)
    output = Path(run.args.output)
    asked = run.tag_set if run.kind.name in kinds.KINDS else None  # other kinds hold their own messages
    facts |= models.save_model(trainer, run.tokenizer, run.partial, run.base, asked) | progress.results()
    facts |= {"tags": run.tag_set, "kind": run.kind.name, "fingerprint": run.fingerprint, "inputs": run.inputs}
    runs.finish(run.args, base=run.base, **facts)
    (output / hub.CARD).write_text(hub.card(output))  # in place of the trainer's
    if run.repo:
        hub.push(output, run.repo, run.args.hub_revision)


def _train(trainer, partial: Path, resume: bool) -> None:
    """Train from the newest checkpoint if there is one; one that was saved at the last step is only loaded."""
    checkpoint, state = None, {"global_step": -1}
    if resume:
        checkpoint = newest(partial)
    if checkpoint:
        state = json.loads((checkpoint / "trainer_state.json").read_text())
    runs.trim_logs(partial, state["global_step"])
    if checkpoint is None:
        trainer.train()
        return
    last = checkpoint
    if trainer.args.load_best_model_at_end and state["best_model_checkpoint"]:
        last = partial / Path(state["best_model_checkpoint"]).name
        if file := damage(last):
            _fail(last, file)
    if state["global_step"] < state["max_steps"]:
        trainer.train(resume_from_checkpoint=str(checkpoint))
    else:
        trainer._load_from_checkpoint(str(last))


def say_ruined(log: list[dict]) -> None:
    """Say it where the loss of SFT or DPO ends far above its start; the loss of GRPO is near 0 whatever happens."""
    losses = [line["loss"] for line in log if "loss" in line]
    if losses and losses[-1] > 2 * losses[0] + 1:
        print(
            f"the loss rose from {losses[0]:.3g} to {losses[-1]:.3g}: this training has done harm; lower "
            "--learning_rate, then --overwrite"
        )


def write_manifest(checkpoint: Path) -> None:
    """Record the files of a checkpoint."""
    files = {}
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            files[path.relative_to(checkpoint).as_posix()] = _fingerprint(path)
    runs.write_json(checkpoint / MANIFEST, files)


def _fingerprint(path: Path) -> list:
    """[size in bytes, SHA-256 in hex] of a file."""
    with open(path, "rb") as file:
        return [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]


def damage(checkpoint: Path) -> str | None:
    """The first file of a checkpoint that is missing or not as its manifest says, or None."""
    try:
        for name, fingerprint in json.loads((checkpoint / MANIFEST).read_text()).items():
            path = checkpoint / name
            # The size first: it needs no reading.
            if not path.is_file() or path.stat().st_size != fingerprint[0] or _fingerprint(path) != fingerprint:
                return name
    except (OSError, ValueError, AttributeError):
        return MANIFEST
    return None


def newest(partial: Path) -> Path | None:
    """The newest intact checkpoint of an interrupted run, or None where none was ever saved whole.

    Removes those that were cut off, and damaged ones that an older one can replace. Ends the script where all of them
    are damaged.
    """
    damaged = {}
    for folder in sorted(partial.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True):
        if not (folder / MANIFEST).exists():
            shutil.rmtree(folder)
        elif file := damage(folder):
            damaged[folder] = file
        else:
            for other, file in damaged.items():
                print(f"{other.name} is damaged ({file}); continuing from {folder.name}")
                shutil.rmtree(other)
            return folder
    for folder, file in damaged.items():
        _fail(folder, file)
    return None


def _fail(checkpoint: Path, file: str) -> None:
    """End the script for a damaged checkpoint that nothing can replace."""
    runs.fail(
        f"{runs.shown(checkpoint)} is damaged ({file}) and no older checkpoint can replace it; "
        f"delete {runs.shown(checkpoint.parent)} to start again"
    )
