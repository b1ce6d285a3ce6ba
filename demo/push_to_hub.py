"""Push a finished output to the hub: merged weights, tokenizer, chat template, and a model card with its figures.

The card states the run's command, seed, base and data, and the rows of results.csv that were measured on it, with
intervals. Log in before with: hf auth login. --dry_run writes nothing and shows what would be pushed.

Input: a folder of outputs/. Output: a repository on the hub.
Command: python demo/push_to_hub.py outputs/GRPO-1K
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import evaluation, hub, models, runs, settings
from common.settings import setting


@dataclass
class Args(settings.ProfileArgs):
    folder: str = setting("", "the output to push; also without its name, as the first word")
    hub_model_id: str = setting("", "repository on the hub [name of the folder]")
    hub_private_repo: bool = setting(False, "make a new repository private")
    hub_revision: str = setting("", "branch to push to, one that is there [main]")
    results: str = setting("", "another results.csv [resources/results.csv]")
    dry_run: bool = setting(False, "show the files and the card, push nothing")


def main(args):
    if not args.folder:
        runs.fail("which output? for example: python demo/push_to_hub.py outputs/GRPO-1K")
    folder = runs.resolve(args.folder)
    name = runs.shown(folder)
    if "lineage" not in runs.require(folder, "the script that makes it"):
        runs.fail(f"{name} is not the output of a training script")
    if args.results and not evaluation.results_path(args).exists():
        runs.fail(f"--results {args.results}: no such file")
    models.load_tokenizer(str(folder), default="thesis")
    models.load_for_generation(str(folder))  # what is pushed can be loaded
    args.output = folder
    try:
        rows = hub.measured(folder, args)
        card = hub.card(folder, rows)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        runs.fail(f"{name}/run.json is damaged ({type(error).__name__}: {error}); train once more with --overwrite")
    if args.dry_run:
        for path in hub.files(folder):
            print(f"{path.stat().st_size:12,} {path.name}")
        print(card)
        return
    hub.push(folder, hub.repository(args), args.hub_revision or None, rows)


if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        sys.argv.insert(1, "--folder")
    settings.run(main, Args, __doc__)
