"""What a training run shows and writes down while it goes: progress bar, metrics.jsonl, samples.jsonl, held-out
accuracy, and a plain word when there is nothing to learn from."""

import math
from pathlib import Path

from tqdm import tqdm
from transformers import PrinterCallback, ProgressCallback, TrainerCallback

from common import data, evaluation, prompts, runs

SHOWN = {  # TRL's name of a metric, and ours on the progress bar
    "loss": "loss",
    "reward": "reward",
    "frac_reward_zero_std": "no signal",
    "completions/clipped_ratio": "truncated",
    "entropy": "entropy",
}


class Watch(TrainerCallback):
    """Shows and records a run.

    heldout: rows with `question` and `solution` that are answered greedily every args.heldout_every steps, at most
    args.max_completion_length tokens each; they are part of no training batch, and their generation leaves the run's
    random numbers untouched.
    """

    def __init__(self, trainer, tokenizer, partial: Path, dataset, heldout: list[dict], args):
        self.trainer, self.tokenizer, self.partial, self.heldout = trainer, tokenizer, partial, heldout
        self.name = partial.name.removesuffix(".partial")  # make runs several at once
        self.every, self.max_new_tokens = args.heldout_every, args.max_completion_length
        self.tags = prompts.TAG_SETS[prompts.tag_set_of(tokenizer.chat_template)]
        self.patience = getattr(args, "patience", 0)
        self.clock, self.bar, self.last, self.heard = runs.Clock(partial), None, {}, False
        rows = trainer.train_dataset
        self.rows = {r["prompt"][-1]["content"]: r for r in rows} if "solution" in rows.column_names else {}
        trainer.remove_callback(ProgressCallback)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(self)

    def on_train_begin(self, args, state, control, **kwargs):
        self.heard = state.global_step > 0
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self.name, dynamic_ncols=True)
        if state.global_step == 0:
            self.measure(state)

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.update(1)
        if state.global_step % self.every == 0 or state.global_step >= state.max_steps:
            self.measure(state)

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()

    def on_save(self, args, state, control, **kwargs):
        self.clock.save()

    def on_log(self, args, state, control, logs=None, **kwargs):
        numbers = {k: v for k, v in (logs or {}).items() if isinstance(v, (int, float))}
        if not math.isfinite(numbers.get("loss", 0)):
            self.bar.close()
            runs.fail(f"the loss is {numbers['loss']} at step {state.global_step}; lower --learning_rate")
        numbers = {name: value for name, value in numbers.items() if math.isfinite(value)}  # JSON knows no NaN
        if not {"loss", "eval_loss"} & set(numbers):
            return
        self.write(state, numbers)
        self.last |= {name: f"{numbers[key]:.3g}" for key, name in SHOWN.items() if key in numbers}
        self.bar.set_postfix(self.last)
        if "reward" in numbers:
            self.sample(state)
            self.check_signal(state, numbers)

    def write(self, state, facts: dict) -> None:
        row = {"step": state.global_step, "seconds": self.clock.seconds()} | facts
        runs.append_json(self.partial / "metrics.jsonl", row)

    def results(self) -> dict:
        """What run.json keeps of the run: wall time in seconds, peak memory in GiB, the last value of every metric."""
        final = {}
        for row in runs.read_jsonl(self.partial / "metrics.jsonl"):
            final |= row
        return {"seconds": self.clock.seconds(), "peak_memory_gib": runs.peak_memory_gib(), "final": final}

    measured = "accuracy"  # what the summary's accuracy is the share of

    def answer_heldout(self) -> list[dict]:
        """The held-out rows answered greedily by the policy as it is now, and scored."""
        conversations = [data.conversation(row, self.tags) for row in self.heldout]
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        replies = evaluation.generate(model, self.tokenizer, conversations, self.max_new_tokens, batch_size=128)
        return [evaluation.score_row(reply, row, self.tags) for reply, row in zip(replies, self.heldout)]

    def measure(self, state) -> None:
        """Held-out accuracy now, greedy."""
        scored = self.answer_heldout()
        facts = evaluation.summary(scored, len(scored))
        self.write(state, {f"heldout_{name}": round(value, 4) for name, value in facts.items()})
        self.last["held-out"] = f"{facts['accuracy']:.1%}"
        self.bar.write(
            f"{self.name} step {state.global_step}: held-out {self.measured} {facts['accuracy']:.1%} "
            f"[{facts['ci_low']:.1%}, {facts['ci_high']:.1%}] of n={facts['n']}, greedy; "
            + (f"reward {facts['reward']:.3f}, " if "reward" in facts else "")
            + f"well-formed {facts['format_rate']:.0%}, truncated {facts['truncated_rate']:.0%}"
        )

    def rollouts(self) -> list[dict]:
        """The last generation batch: each completion with its question, the truth, its advantage and its rewards."""
        logs, rows = self.trainer._logs, []
        for i, (prompt, completion) in enumerate(zip(logs["prompt"], logs["completion"])):
            question = prompt[-1]["content"]
            rows.append(
                {
                    "question": question,
                    "truth": self.rows.get(question, {}).get("solution"),
                    "text": prompts.completion_text(completion),
                    "rewards": {name: round(values[i], 3) for name, values in logs["rewards"].items()},
                    "advantage": round(logs["advantages"][i], 3),
                }
            )
        return rows

    def sample(self, state) -> None:
        """Keep the best and the worst completion of one group."""
        group = sorted(self.rollouts()[: self.trainer.num_generations], key=lambda row: row["advantage"])
        for row in (group[-1], group[0]):
            runs.append_json(self.partial / "samples.jsonl", {"step": state.global_step} | row)

    def check_signal(self, state, numbers: dict) -> None:
        """End a run whose first steps had no group with different rewards, and say why."""
        self.heard = self.heard or numbers["frac_reward_zero_std"] < 1
        if self.heard or not self.patience or state.global_step < self.patience:
            return
        rows = self.rollouts()
        scored = [evaluation.score_row(row, self.rows[row["question"]], self.tags) for row in rows]
        solved, right = [row["solution"] for row in scored], [row["correct"] for row in scored]
        expected = ("<tool_call>",) if "functions" in self.rows[rows[0]["question"]] else self.tags
        if numbers.get("completions/clipped_ratio") == 1:
            reason = "all completions are truncated; raise --max_completion_length"
        elif not any(tag in row["text"] for tag in expected for row in rows):
            reason = f"no completion holds any of the tags {' '.join(expected)}; start from an SFT checkpoint"
        elif not any(solved):
            reason = "no completion holds a solution between its tags; start from an SFT checkpoint"
        elif all(right):
            reason = "all completions are right; take harder problems"
        elif not any(right):
            reason = "all completions are wrong; take easier problems or a better start"
        else:
            reason = "right and wrong completions get the same reward; look at the reward functions"
        self.bar.close()
        runs.fail(
            f"{state.global_step} steps without two different rewards in any group, nothing can be learned: {reason}"
        )
