"""One training with its times taken, in a process of its own: ours, or what a user of TRL alone would write.

ours: the real script, first line to last; only its trainer is replaced, by a subclass of it that takes times.
plain: TRL's trainer on the same base, problems and rewards, with the settings that the script itself lists (learning
rate, batch, group size, lengths, updates) and TRL's defaults for everything else. Started by step.py, through Peer.
"""

import collections
import importlib.util
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from common import runs

NOT_TRLS = ("base", "dataset", "lora_r", "lora_alpha", "patience", "reward")  # settings of our scripts, not of TRL


class Peer:
    """A training process that makes one update whenever it is asked to."""

    def __init__(self, script: str, words: list[str], plain: dict | None):
        """words: the command line of the script. plain: fields of TRL's config that differ from TRL's defaults, or
        None for our own script."""
        reading, writing = os.pipe()
        command = [sys.executable, __file__, json.dumps([script, words, plain]), str(writing)]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, pass_fds=[writing], **streams)
        os.close(writing)
        self.pipe = os.fdopen(reading)
        self.hear()  # it is ready

    def hear(self) -> dict:
        """What the process says next; ends this script with its error if it has ended."""
        line = self.pipe.readline()
        if line:
            return json.loads(line)
        last = self.process.communicate()[1].strip().splitlines()[-1:]
        runs.fail(f"a run of the benchmark ended: {' '.join(last) or self.process.returncode}", code=1)

    def update(self) -> dict:
        """Seconds of the parts of one update, and its mean number of tokens."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.hear()


def timed(trainer_class, say: Callable):
    """The trainer class with times of its parts, which waits for its turn before each update."""
    from machine import now
    from transformers import TrainerCallback

    seconds = collections.Counter()
    tokens = []

    def timing(part: str, function: Callable) -> Callable:
        def timed_function(*given, **named):
            began = now()
            result = function(*given, **named)
            seconds[part] += now() - began
            return result

        return timed_function

    class Turns(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 0:
                say({"ready": True})
            if not sys.stdin.readline():  # who asked has ended
                raise SystemExit(1)
            seconds.clear()
            self.began = now()

        def on_step_end(self, args, state, control, **kwargs):
            whole = now() - self.began
            parts = {**seconds, "rest": whole - seconds.total()}
            say({"seconds": whole, "parts": parts, "peak_memory_gib": runs.peak_memory_gib(), "tokens": tokens[-1]})

    class Timed(trainer_class):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            self.add_callback(Turns())
            self._get_per_token_logps_and_entropies = timing("log-probs", self._get_per_token_logps_and_entropies)
            self._calculate_rewards = timing("rewards", self._calculate_rewards)
            self._generate = timing("generation", self._generate)
            self.accelerator.backward = timing("backward", self.accelerator.backward)

        def _generate_and_score_completions(self, inputs):
            batch = super()._generate_and_score_completions(inputs)
            tokens.append(batch["completion_mask"].sum(1).float().mean().item())
            return batch

    return Timed


def plain(script: str, words: list[str], changes: dict) -> None:
    """TRL's GRPOTrainer as its documentation uses it, on the script's problems and rewards."""
    import torch
    import trl

    from common import data, models, settings

    spec = importlib.util.spec_from_file_location("recipe", script)
    module = importlib.util.module_from_spec(spec)
    sys.modules["recipe"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    args = settings.parse(module.Args, "", argv=words)
    recipe = {name: getattr(args, name) for name in module.Args.__annotations__ if name not in NOT_TRLS}
    recipe |= {"max_steps": args.max_steps, "use_vllm": args.use_vllm, "use_cpu": not torch.cuda.is_available()}
    recipe |= {"report_to": "none", "logging_steps": 1, "save_strategy": "no", "disable_tqdm": True}
    tokenizer, tag_set = models.load_tokenizer(args.base, args.tags)
    trainer = trl.GRPOTrainer(
        model=args.base,
        reward_funcs=module.REWARDS,
        args=trl.GRPOConfig(output_dir=args.output, **recipe | changes),
        train_dataset=data.to_prompts(data.read_split(args.dataset, "train").rows, tag_set),
        processing_class=tokenizer,
        peft_config=models.lora_config(args),
    )
    trainer.train()


def main() -> None:
    script, words, changes = json.loads(sys.argv[1])
    pipe = os.fdopen(int(sys.argv[2]), "w", buffering=1)
    sys.argv = [script, *words]
    import trl

    from common import trainer

    def say(facts: dict) -> None:
        pipe.write(json.dumps(facts) + "\n")

    if changes is None:
        trainer.GRPOTrainer = timed(trainer.GRPOTrainer, say)
        runpy.run_path(script, run_name="__main__")
    else:
        trl.GRPOTrainer = timed(trl.GRPOTrainer, say)
        plain(script, words, changes)


if __name__ == "__main__":
    main()
