"""Train as Tiny Tool Use does, from one configuration file: its data set is made, then a stage here trains on it.

training.method: sft (SFT_tools.py), dpo (DPO_tools.py), or teacher_mode (a model annotates texts, SFT_tools.py trains
on them). Sections: model (name, trust_remote_code, torch_dtype, device_map), training (num_epochs, learning_rate,
batch_size, use_lora), data (strategy, max_samples; or dataset, one that exists), tools (a list of schemas, or a JSON
file), functions (a Python file), evaluation. The stages' own names may stand there too; --help of each lists them.

Input: the file, a base. Output: DIR, and outputs/data/<name of DIR>/.
Command: python ToolUse/train.py --config ToolUse/configs/sft_config.json --outdir outputs/sft_results
Command: python ToolUse/train.py --config ToolUse/configs/dpo_config.json --outdir outputs/dpo_results
"""

import argparse
import importlib
import shlex
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from common import runs, settings
from ToolUse.tooluse import sections


def parser(description: str) -> argparse.ArgumentParser:
    """What the command lines of train.py and evaluate.py have in common."""
    formatter = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=description, formatter_class=formatter, allow_abbrev=False)
    options.error = lambda message: runs.fail(f"{message} (--help lists the options)")
    options.add_argument("--config", required=True, metavar="FILE", help="JSON or YAML file")
    options.add_argument("--profile", choices=("tiny", "gpu"), help="for settings that the file does not name")
    return options


def shared_words(config: sections.Config, profile: str | None) -> list[str]:
    """The words of a command line that every stage gets."""
    words = [f"--tools={config.tools}"]
    if config.functions:
        words.append(f"--functions={config.functions}")
    if profile:
        words.append(f"--profile={profile}")
    return words


def run(script: str, words: list[str]) -> None:
    """Run a stage as from the command line; its record names it. Ends the script where the stage fails."""
    module = importlib.import_module(script)
    sys.argv = [module.__file__, *words]
    print(f"python ToolUse/{script}.py {shlex.join(words)}")
    try:
        settings.run(module.main, module.Args, module.__doc__)
    except SystemExit as end:
        if end.code:
            raise


def main():
    options = parser(__doc__)
    options.add_argument("--outdir", "--output-dir", required=True, metavar="DIR", help="output folder")
    options.add_argument("--resume", action="store_true", help="continue an interrupted run")
    options.add_argument("--overwrite", action="store_true", help="replace an existing output")
    args = options.parse_args()
    output = runs.resolve(args.outdir).absolute()
    config = sections.read(args.config, output)
    shared = shared_words(config, args.profile)
    creation, training = config.options["creation"], config.options["training"]
    makes_data = "dataset" not in training
    training.setdefault("dataset", output.name)
    script = sections.METHODS[config.method]
    train_words = [*settings.words_of(training, args.config), *shared, f"--output={output}"]
    for flag in ("resume", "overwrite"):
        if getattr(args, flag):
            train_words.append(f"--{flag}")
    if config.method == "teacher_mode" and "base" in training:
        creation.setdefault("base", training["base"])
    data_words = [*settings.words_of(creation, args.config), *shared, f"--output={runs.dataset_folder(output.name)}"]
    data_words.append("--overwrite" if args.overwrite else "--resume")
    for name, words in (("tool_dataset_creation", data_words), (script, train_words)):
        settings.parse(importlib.import_module(name).Args, "", argv=words)  # before anything is made
    if makes_data:
        run("tool_dataset_creation", data_words)
    run(script, train_words)


if __name__ == "__main__":
    main()
