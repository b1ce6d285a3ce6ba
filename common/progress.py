"""Progress of a training run: progress bar, metrics.jsonl, samples.jsonl, held-out accuracy, and an early end, with
the reason, when the rewards give no signal."""

import math
import sys
import time
from collections.abc import Callable

from tqdm import tqdm
from transformers import PrinterCallback, ProgressCallback, TrainerCallback, TrainerControl

from common import evaluation, generation, models, prompts, runs, training

SHOWN = {  # name of a metric in TRL: name on the progress bar
    "loss": "loss",
    "reward": "reward",
    "frac_reward_zero_std": "no signal",
    "completions/clipped_ratio": "truncated",
    "entropy": "entropy",
    "sampling/importance_sampling_ratio/mean": "p / p(vLLM)",
}
# Held-out figures for --report_to, named as TRL names the same thing in an evaluation; each gets eval_ before it.
CURVES = {
    "accuracy": "accuracy",
    "flexible": "flexible",
    "format_rate": "format_rate",
    "reward": "reward",
    "truncated_rate": "completions/clipped_ratio",
    "mean_tokens": "completions/mean_length",
}


class Watch(TrainerCallback):
    """Shows and records a run.

    score: the scorer of completions, score(completion, row, tags). Every args.heldout_every steps it evaluates greedy
    completions of the held-out rows, of at most args.max_completion_length tokens; this leaves the random state of the
    run unchanged.
    """

    measured = "accuracy"  # the name of the held-out figure

    def __init__(self, trainer, run: runs.Run, score: Callable):
        self.trainer, self.run, self.score = trainer, run, score
        self.name = run.partial.name.removesuffix(".partial")  # several runs may share a terminal
        self.tags = prompts.TAG_SETS[run.tag_set]
        self.seconds_before = 0.0  # of a run that goes on, until it was interrupted
        self.bar = None
        self.last: dict[str, str] = {}  # the metrics on the bar
        self.has_signal = False
        trainer.remove_callback(ProgressCallback)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(self)

    def on_train_begin(self, args, state, control, **kwargs):
        self.has_signal = state.global_step > 0
        metrics = self.run.partial / "metrics.jsonl"
        if metrics.exists():
            self.seconds_before = max((line["seconds"] for line in runs.read_jsonl(metrics)), default=0.0)
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=self.name,
            dynamic_ncols=True,
            disable=None,  # no bar if the output is not a terminal; measure() prints its lines anyway
        )
        if state.global_step == 0:
            self.measure(state)

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.update(1)
        self.check_before_saving(control)
        if state.global_step % self.run.args.heldout_every == 0 or state.global_step >= state.max_steps:
            figures = self.measure(state)
            if figures["accuracy"] > getattr(self.run.args, "stop_above", 1):
                state.max_steps = state.global_step  # a checkpoint saved here is one of the last step, for --resume
                control.should_training_stop = True

    def on_epoch_end(self, args, state, control, **kwargs):
        self.check_before_saving(control)

    def check_before_saving(self, control) -> None:
        if control.should_save:
            models.check_finite(self.trainer.model)

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()

    def on_save(self, args, state, control, **kwargs):
        training.write_manifest(self.run.partial / f"checkpoint-{state.global_step}")

    def on_log(self, args, state, control, logs=None, **kwargs):
        numbers = {name: value for name, value in (logs or {}).items() if isinstance(value, (int, float))}
        if not math.isfinite(numbers.get("loss", 0)):
            self.bar.close()
            runs.fail(f"the loss is {numbers['loss']} at step {state.global_step}; lower --learning_rate")
        numbers = {name: value for name, value in numbers.items() if math.isfinite(value)}  # JSON knows no NaN
        if "loss" not in numbers and "eval_loss" not in numbers:
            return
        self.write(state, numbers)
        self.last |= {name: f"{numbers[metric]:.3g}" for metric, name in SHOWN.items() if metric in numbers}
        self.bar.set_postfix(self.last)
        if "reward" in numbers:  # of GRPO
            rollouts = self.rollouts()
            self.sample(state, rollouts)
            self.check_signal(state, numbers, rollouts)

    def seconds(self) -> float:
        """Wall time of the run."""
        return round(self.seconds_before + time.time() - self.run.started, 1)

    def write(self, state, figures: dict) -> None:
        """Append a line to metrics.jsonl."""
        self.append("metrics.jsonl", {"step": state.global_step, "seconds": self.seconds()} | figures)

    def append(self, log: str, line: dict) -> None:
        runs.append_json(self.run.partial / log, line)

    def results(self) -> dict:
        """The facts for run.json: wall time in seconds, peak memory in GiB, the last value of every metric."""
        final = {}
        for line in runs.read_jsonl(self.run.partial / "metrics.jsonl"):
            final |= line
        seconds = max(self.seconds(), final.get("seconds", 0))
        return {"seconds": seconds, "peak_memory_gib": runs.peak_memory_gib(), "final": final}

    def answer(self, rows: list[dict]) -> list[dict]:
        """Scored greedy completions of held-out rows, by the current policy."""
        conversations = [self.run.kind.prompt(row, self.tags) for row in rows]
        limit = self.run.args.max_completion_length
        completions = generation.generate_as_trained(self.trainer, self.run.tokenizer, conversations, limit)
        return [self.score(completion, row, self.tags) for completion, row in zip(completions, rows)]

    def measure(self, state) -> dict:
        """Record, print and return held-out accuracy, greedy, flexible and strict, and the rest of a summary."""
        scored = self.answer(self.run.heldout)
        figures = evaluation.summary(scored, len(scored))
        self.write(state, {f"heldout_{name}": round(value, 4) for name, value in figures.items()})
        curves = {f"eval_{CURVES[name]}": value for name, value in figures.items() if name in CURVES}
        # The libraries of --report_to hear it as they hear the trainer; a control of its own, as this would change it.
        self.trainer.callback_handler.on_log(self.trainer.args, state, TrainerControl(), curves)
        parts = [
            f"{self.name} step {state.global_step} of {state.max_steps}: held-out {self.measured} "
            f"{evaluation.scores_of(figures)} of n={figures['n']}, greedy"
        ]
        rates = f"well-formed {figures['format_rate']:.0%}, truncated {figures['truncated_rate']:.0%}"
        if "reward" in figures:
            rates = f"reward {figures['reward']:.3f}, {rates}"
        parts.append(rates)
        if self.bar.disable and self.last:
            parts.append(f"training: {', '.join(f'{name} {value}' for name, value in self.last.items())}")
        self.bar.write("; ".join(parts), file=sys.stdout)
        leading = figures.get("flexible", figures["accuracy"])
        self.bar.set_postfix(self.last | {"held-out": f"{leading:.1%}"})
        return figures

    def rollouts(self) -> list[tuple[dict, dict]]:
        """The last generation batch: each completion in the format of samples.jsonl, and its row."""
        pairs = []
        for rollout in self.trainer.rollouts():
            row = self.run.rows[rollout["row"]]
            sample = {
                "question": rollout["prompt"][-1]["content"],
                "truth": row["solution"],
                "text": prompts.completion_text(rollout["completion"]),
                "rewards": {name: round(value, 3) for name, value in rollout["rewards"].items()},
                "advantage": round(rollout["advantage"], 3),
            }
            pairs.append((sample, row))
        return pairs

    def sample(self, state, rollouts: list[tuple[dict, dict]]) -> None:
        """Record the completions with the highest and the lowest advantage of one group."""
        group = [sample for sample, _ in rollouts[: self.trainer.num_generations]]
        group.sort(key=lambda sample: sample["advantage"])
        for sample in (group[-1], group[0]):
            self.append("samples.jsonl", {"step": state.global_step} | sample)

    def check_signal(self, state, numbers: dict, rollouts: list[tuple[dict, dict]]) -> None:
        """End a run, with the reason, if in its first args.patience steps no group had different rewards."""
        if numbers["frac_reward_zero_std"] < 1:
            self.has_signal = True
        patience = self.run.args.patience
        if self.has_signal or not patience or state.global_step < patience:
            return
        scored = [self.score(sample, row, self.tags) for sample, row in rollouts]
        correct = [row["correct"] for row in scored]
        if numbers.get("completions/clipped_ratio") == 1:
            reason = "all completions are truncated; raise --max_completion_length"
        elif all(correct):
            reason = "all completions are correct; take harder problems"
        elif not any(row["solution"] for row in scored):
            reason = "no completion has an answer in the required format; start from an SFT checkpoint"
        elif not any(correct):
            reason = "all completions are incorrect; take easier problems or a better initial policy"
        else:
            reason = "correct and incorrect completions get the same reward; check the reward functions"
        self.bar.close()
        steps = state.global_step
        runs.fail(f"{steps} steps without different rewards in any group, so nothing can be learned: {reason}")
