"""Training: what every stage does with its trainer: train, resume, merge, save, record."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

from common import checkpoints, evaluation, hub, memory, models, processes, runs

# At the end it warns that lm_head.weight is missing, which is stored once with the embeddings where the two are tied.
logging.getLogger("transformers.trainer").addFilter(lambda record: "missing keys" not in record.getMessage())


def begin(args, base: str, tokenizer, tag_set: str, each: int = 1, **data) -> runs.Run:
    """Plan the memory, open the output folder and load the model, when everything else is checked.

    data: rows, dataset, heldout and fingerprint of runs.Run. each: sequences that an example is made of.
    """
    repo = hub.repository(args) if args.push_to_hub and processes.IS_MAIN else ""
    partial = runs.start(args, memory.fit(base, args, each))
    args.push_to_hub = False  # the trainer would push the folder of a run that is not finished
    model = models.load_model(base, args)
    run = runs.Run(
        args=args,
        base=base,
        tokenizer=tokenizer,
        tag_set=tag_set,
        partial=partial,
        model=model,
        lora=models.lora_config(args, model),
        repo=repo,
        **data,
    )
    return run._replace(heldout=run.heldout[: args.heldout_rows])


def train(run: runs.Run, trainer, score: Callable = evaluation.score_answer, watch: Callable | None = None) -> None:
    """Train with progress and held-out accuracy, resume, merge, save, and rename the working folder to the output.

    score: the scorer of held-out completions. watch: makes the progress.Watch, for a stage that has one of its own.
    """
    from common.progress import Watch  # late: transformers takes seconds

    shown = (watch or Watch)(trainer, run, score)
    models.train_in_float32(trainer.model)
    trainer.args.logging_nan_inf_filter = False  # it would hide a loss that is not a number, and the run would go on
    _train(trainer, run.partial, run.args.resume)
    output = Path(run.args.output)
    with processes.whole_model(trainer):
        if processes.IS_MAIN:
            facts = models.save_model(trainer, run.tokenizer, run.partial, run.base) | shown.results()
            runs.finish(run.args, base=run.base, tags=run.tag_set, fingerprint=run.fingerprint, **facts)
            (output / hub.CARD).write_text(hub.card(output))  # in place of the trainer's
        processes.wait()
    if run.repo:  # the main process alone has it, and the others do not wait for its upload
        hub.push(output, run.repo, run.args.hub_revision)


def _train(trainer, partial: Path, resume: bool) -> None:
    """Train from the newest checkpoint if there is one; one that was saved at the last step is only loaded."""
    if not processes.IS_MAIN:
        processes.wait()  # until the main process has removed what is damaged
    checkpoint = checkpoints.newest(partial) if resume else None
    state = json.loads((checkpoint / "trainer_state.json").read_text()) if checkpoint else {"global_step": -1}
    if processes.IS_MAIN:
        runs.trim_logs(partial, state["global_step"])
        processes.wait()
    if checkpoint is None:
        trainer.train()
        return
    best = partial / Path(state["best_model_checkpoint"] or checkpoint).name
    if trainer.args.load_best_model_at_end and (file := checkpoints.damage(best)):
        checkpoints.fail_for(best, file)
    if state["global_step"] < state["max_steps"]:
        trainer.train(resume_from_checkpoint=str(checkpoint))
    else:
        trainer._load_from_checkpoint(str(best if trainer.args.load_best_model_at_end else checkpoint))
