"""The time that certainty takes: a whole batch against one sample at a time, and as a fraction of a GRPO step.

ratio = median seconds one at a time / median seconds of common/certainty.py, on the same completions, in turns
    kept states: common/decode.py generated them, and the states of generation are known
    one batch: vLLM or transformers generated them, and they go through the model in one forward pass
    one at a time: a forward pass for each sample; three times: one each for the solution, the response and the entropy,
    as in the thesis
share = median over the steps of a real run of (seconds in common/certainty.py / seconds of the step)
All ways must give the same figures: to 1e-5 in float32 on the CPU; for bfloat16 the largest difference is reported.

Input: outputs/data/<dataset>/ and a checkpoint. Output: benchmarks/results/certainty.json.
Command: python benchmarks/certainty.py
"""

import importlib.util
import math
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import answers, certainty, data, models, prompts, runs, settings
from common.settings import setting

RESULTS = runs.ROOT / "benchmarks" / "results" / "certainty.json"


@dataclass
class Args(settings.ProfileArgs):
    base: str = setting("outputs/SFT", "checkpoint that writes the completions: a folder or a hub name")
    dataset: str = setting("dapo", "folder of outputs/data/, or a path", tiny="linear")
    tags: str = setting("", "tag set, thesis or think [that of the base]")
    completions: int = setting(64, "completions to measure, eight of each problem", low=8)
    repeats: int = setting(7, "measurements of each way; the median counts", low=1)
    steps: int = setting(6, "steps of each run; the first one is not counted", low=2)
    scripts: list[str] = setting(["GRPO-Intuitor", "GRPO-Hybrid"], "scripts whose steps are timed")
    use_vllm: bool = setting(False, "generate with vLLM in the runs of these scripts; needs CUDA")


def one_at_a_time(model, tokenizer, prompt_ids, completion_ids, tag_set: str, forwards: int = 1) -> list:
    """The plain way to a Certainty of each completion: no batch, no cache, all logits of prompt and completion."""
    import torch

    found, tags = [], prompts.TAG_SETS[tag_set]
    for prompt, completion in zip(prompt_ids, completion_ids, strict=True):
        ids = torch.tensor([[*prompt, *completion]], device=model.device)
        with torch.no_grad():
            for _ in range(forwards):
                logp = model(ids).logits[0].float().log_softmax(-1)[len(prompt) - 1 : -1]
        taken = [logp[place, token].item() for place, token in enumerate(completion)]
        text = tokenizer.decode(completion, skip_special_tokens=True)
        solution, own = answers.extract_solution(text, tags), []
        if solution is not None:
            start = text.index(solution, text.index(tags.answer_open) + len(tags.answer_open))
            ends = [len(tokenizer.decode(completion[:n], skip_special_tokens=True)) for n in range(len(completion) + 1)]
            places = range(len(completion))
            own = [taken[n] for n in places if ends[n] < start + len(solution) and ends[n + 1] > start]
        entropy = -(logp.exp() * logp).sum(1).mean().item() / math.log(logp.shape[1])
        divergence = -math.log(logp.shape[1]) - logp.mean().item()
        confidence = math.exp(statistics.fmean(own)) if solution is not None else None
        found.append(certainty.Certainty(confidence, math.exp(statistics.fmean(taken)), entropy, divergence))
    return found


def difference(ours: list, theirs: list) -> float:
    """The largest difference of any figure; infinite where only one of them has a solution."""
    pairs = [pair for row, other in zip(ours, theirs, strict=True) for pair in zip(row, other) if pair != (None, None)]
    return max(math.inf if None in pair else abs(pair[0] - pair[1]) for pair in pairs)


def now() -> float:
    """Seconds on a clock that stands still for other programs where it can: the process's own on one CPU thread."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.process_time() if clock() == "process" else time.perf_counter()


def clock() -> str:
    import torch

    return "wall" if torch.cuda.is_available() or torch.get_num_threads() > 1 else "process"


def compare(base: str, tokenizer, tag_set: str, rows: list[dict], config, args) -> dict:
    """Every way on the same completions: medians, ratios and the largest difference."""
    import torch

    model = models.load_for_generation(base)
    tags = prompts.TAG_SETS[tag_set]
    asked = [prompts.build_prompt(row["question"], tags) for row in rows[: args.completions // 8] for _ in range(8)]
    torch.manual_seed(1)
    ids, states = written(model, tokenizer, asked, config.max_completion_length)
    rendered = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=True)
    model.eval()
    prompt_ids, tag_sets, size = rendered["input_ids"], [tag_set] * len(ids), config.per_device_train_batch_size

    def from_states() -> list:
        figures = certainty.state_figures(model, states, ids)
        return certainty.of_figures(model, tokenizer, figures, ids, tag_sets)

    found = {}
    ways = {
        "kept states": from_states,
        "one batch": lambda: certainty.measure(model, tokenizer, prompt_ids, ids, tag_sets, size),
        "one at a time": lambda: one_at_a_time(model, tokenizer, prompt_ids, ids, tag_set),
        "three times": lambda: one_at_a_time(model, tokenizer, prompt_ids, ids, tag_set, 3),
    }
    if states is None:
        del ways["kept states"]
    took = {name: [] for name in ways}
    for turn in range(args.repeats + 1):
        for name, way in ways.items():
            started = now()
            found[name] = way()
            took[name] += [now() - started] * (turn > 0)
    medians = {name: statistics.median(values) for name, values in took.items()}
    ours, theirs = [name for name in ("kept states", "one batch") if name in ways], ("one at a time", "three times")
    return {
        "completions": len(ids),
        "mean_prompt_tokens": statistics.fmean(map(len, rendered["input_ids"])),
        "mean_completion_tokens": statistics.fmean(map(len, ids)),
        "dtype": str(model.dtype).removeprefix("torch."),
        "seconds": medians,
        "all_seconds": took,
        "ratio": {name: {way: medians[way] / medians[name] for way in theirs} for name in ours},
        "largest_difference": max(difference(found[name], found["one at a time"]) for name in ours),
    }


def written(model, tokenizer, asked: list, limit: int) -> tuple[list[list[int]], list | None]:
    """(ids, states) of a completion of each prompt, sampled at temperature 1; states None where decode() cannot run."""
    from common import decode  # late: torch

    texts = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    end = tokenizer.eos_token_id
    if decode.fits(model):
        prompt_ids = tokenizer(texts, add_special_tokens=False).input_ids
        ids, _, states = zip(*decode.decode(model, prompt_ids, limit, [end], (1.0,)))
        return list(ids), list(states)
    given = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    how = {"do_sample": True, "top_k": 0, "max_new_tokens": limit, "disable_compile": True}
    made = model.generate(**given.to(model.device), **how, eos_token_id=end, pad_token_id=tokenizer.pad_token_id)
    rows = made[:, given.input_ids.shape[1] :].tolist()
    return [row[: row.index(end) + 1] if end in row else row for row in rows], None


def script_and_config(name: str, folder: str, args):
    """The script as a module, and the settings that it would be run with."""
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), runs.ROOT / "GRPO_outdomain" / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script
    spec.loader.exec_module(script)
    words = ["--profile", args.profile, "--base", args.base, "--dataset", args.dataset, "--output", folder]
    words += ["--use_vllm", str(args.use_vllm), "--max_steps", str(args.steps), "--save_strategy", "no"]
    config = settings.parse(script.Args, "", argv=words)
    config.output_dir = folder
    return script, config


def share(name: str, base: str, tokenizer, dataset, args) -> dict:
    """Seconds of each step of a real run, and the fraction of them that common/certainty.py takes."""
    from transformers import PrinterCallback, ProgressCallback, TrainerCallback

    from common.trainer import GRPOTrainer

    took = {"certainty": [], "step": []}

    class Timed(GRPOTrainer):
        def certainties(self, *given):
            started = now()
            values = super().certainties(*given)
            took["certainty"].append(now() - started)
            return values

    class Steps(TrainerCallback):
        def on_step_begin(self, *_, **__):
            took["step"].append(now())

        def on_step_end(self, *_, **__):
            took["step"][-1] = now() - took["step"][-1]

    with tempfile.TemporaryDirectory() as folder:
        script, config = script_and_config(name, folder, args)
        rewards = script.REWARDS if isinstance(script.REWARDS, list) else [script.REWARDS[config.reward]]
        model = models.load_model(base, config)
        models.set_stop_tokens(config, tokenizer, model)
        trainer = Timed(
            model=model,
            reward_funcs=rewards,
            args=config,
            train_dataset=dataset,
            processing_class=tokenizer,
            peft_config=models.lora_config(config),
            callbacks=[Steps()],
        )
        trainer.remove_callback(ProgressCallback)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    shares = [spent / step for spent, step in zip(took["certainty"][1:], took["step"][1:], strict=True)]
    return {"share": statistics.median(shares), "seconds": took, "completions": config.generation_batch_size}


def machine() -> dict:
    """What the figures were measured on."""
    import torch
    import transformers
    import trl

    cpu = Path("/proc/cpuinfo")
    lines = [line for line in cpu.read_text().splitlines() if line.startswith("model name")] if cpu.exists() else []
    return {
        "cpu": lines[0].split(":")[1].strip() if lines else platform.processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "clock": clock(),
        "python": platform.python_version(),
        **{package.__name__: package.__version__ for package in (torch, transformers, trl)},
    }


def main(args):
    rows = data.read_split(args.dataset, "train").rows
    base = runs.require_base(args.base, "python SFT/SFT_train.py")
    tokenizer, tag_set = models.load_tokenizer(base, args.tags)
    dataset = data.to_prompts(rows, tag_set)
    with tempfile.TemporaryDirectory() as folder:
        _, config = script_and_config(args.scripts[0], folder, args)
    compared = compare(base, tokenizer, tag_set, rows, config, args)
    if compared["dtype"] == "float32" and not compared["largest_difference"] <= 1e-5:
        runs.fail(f"the ways differ by {compared['largest_difference']:.2g}: common/certainty.py is wrong")
    steps = {name: share(name, base, tokenizer, dataset, args) for name in args.scripts}
    RESULTS.parent.mkdir(exist_ok=True)
    facts = {"command": runs.command_line(), "commit": runs.commit(), "machine": machine(), "base": args.base}
    runs.write_json(RESULTS, {**facts, "compared": compared, "steps": steps})

    n, spent = compared["completions"], compared["seconds"]
    print(f"{n} completions, largest difference {compared['largest_difference']:.1e}, {compared['dtype']}")
    for name, value in spent.items():
        ratios = compared["ratio"].get(name, {})
        print(f"{name:16} {value:8.3f} s" + "".join(f"  {ratios[way]:5.1f} times faster than {way}" for way in ratios))
    for name, figures in steps.items():
        counted = {part: statistics.median(values[1:]) for part, values in figures["seconds"].items()}
        print(f"{name:16} {counted['certainty']:8.3f} s of a step of {counted['step']:.3f} s: {figures['share']:.1%}")


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
