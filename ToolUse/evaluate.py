"""Evaluate as Tiny Tool Use does: a checkpoint, the configuration file that it was trained with, and test cases.

Questions of the data set that the checkpoint was trained with (data.dataset names another one) are answered by
tools_evaluate.py; evaluation.metrics chooses among tool_accuracy, argument_accuracy, format_correctness,
execution_success and response_quality. --cases counts for each case whether the tool is correct, and how many
parameters are.

Input: a checkpoint, a configuration, outputs/data/<dataset>/. Output: evaluation_results.json beside results.csv and
the other files of tools_evaluate.py, in outputs/evaluation/<name of the checkpoint>/ or --output-dir.
Command: python ToolUse/evaluate.py --model-path outputs/dpo_results --config ToolUse/configs/dpo_config.json
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import run_examples
import tools_evaluate
from tool_executor import ToolExecutor
from train import parser, shared_words

from common import evaluation, runs, settings
from ToolUse.tooluse import sections


def main():
    options = parser(__doc__)
    options.add_argument("--model-path", required=True, metavar="DIR", help="checkpoint: a folder or a hub name")
    options.add_argument("--cases", default="", metavar="FILE", help="JSON list of test cases")
    options.add_argument("--output-dir", default="", metavar="DIR", help="where the files go")
    args = options.parse_args()
    folder = runs.resolve(args.model_path)
    output = runs.resolve(args.output_dir or runs.OUTPUTS / "evaluation" / folder.name).absolute()
    config = sections.read(args.config, output / "config")
    dataset = config.options["training"].get("dataset") or (runs.read_record(folder) or {}).get("dataset")
    if not dataset:
        runs.fail(f"{args.model_path} records no data set; name one in --config: data.dataset")
    shared = shared_words(config, args.profile)
    words = ["--checkpoints", args.model_path, "--dataset", dataset, f"--results={output / 'results.csv'}", *shared]
    words += settings.words_of(config.options["evaluation"], args.config)
    test_args = settings.parse(tools_evaluate.Args, "", argv=words)
    case_args = settings.parse(run_examples.Args, "", argv=[f"--checkpoint={args.model_path}", *shared])
    executor = ToolExecutor(config.tools, config.functions)
    cases = run_examples.read_cases(args.cases, executor) if args.cases else []
    output.mkdir(parents=True, exist_ok=True)
    tools_evaluate.main(test_args)
    metrics = metrics_of(output / "results.csv", config.metrics)
    results = {"model": args.model_path, "dataset": dataset, "metrics": metrics}
    if cases:
        results["cases"] = run_examples.check(cases, executor, case_args)
    runs.write_json(output / "evaluation_results.json", results)
    print(f"saved {runs.shown(output / 'evaluation_results.json')}")


def metrics_of(path: Path, names: list[str]) -> dict[str, dict]:
    """The figures of a results.csv, the mean and its interval, by the names of Tiny Tool Use."""
    rows = evaluation.read_rows(path)
    by_measure = {row["dataset"].partition(":")[2]: row for row in rows if row["decoding"] == "greedy"}
    metrics = {}
    for name in ("accuracy", *names):
        row = by_measure.get(sections.METRICS.get(name, ""))
        if row:
            metrics[name] = {key: float(row[key]) for key in ("accuracy", "ci_low", "ci_high")}
            metrics[name]["n"] = int(row["n"])
    return metrics


if __name__ == "__main__":
    main()
