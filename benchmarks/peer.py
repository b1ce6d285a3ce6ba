"""One training with its times taken, in a process of its own: ours, or what a user of TRL alone would write.

ours: the real script, first line to last; only its trainer is replaced, by a subclass of it that takes times.
plain: TRL's trainer on the same base, problems and rewards, with the settings that the script itself lists (learning
rate, batch, group size, lengths, updates) and TRL's defaults for everything else, apart from what the caller changes.

Started by step.py and time_to_accuracy.py, through Peer; nothing to call by hand.
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

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from certainty import now

from common import runs

NOT_TRLS = ("base", "dataset", "lora_r", "lora_alpha", "patience", "reward")  # settings of our scripts, not of TRL
DEFAULTS = ("temperature", "beta", "seed")  # what stays of the recipe where TRL's own hyperparameters are asked for


class Peer:
    """A training process that makes one update whenever it is asked to."""

    def __init__(self, setup: dict):
        """setup: `script`, `words` (its command line), `plain` (None for ours, else fields of TRL's config),
        `recipe` (False: TRL's own hyperparameters), `heldout` (0, or updates between two held-out accuracies)."""
        if not Path(setup["script"]).is_file():
            runs.fail(f"{runs.shown(setup['script'])}: no such script")
        told, tell = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(setup), str(tell)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, pass_fds=[tell],
        )  # fmt: skip
        os.close(tell)
        self.told = os.fdopen(told)
        self.ready = self.hear()

    def hear(self) -> dict:
        """What the process says next; ends this script with its error if it has ended."""
        if line := self.told.readline():
            return json.loads(line)
        last = self.process.communicate()[1].strip().splitlines()[-1:]
        runs.fail(f"a run of the benchmark ended: {' '.join(last) or self.process.returncode}", code=1)

    def update(self) -> dict:
        """Seconds of the parts of one update, and its mean number of tokens."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def timed(trainer_class, setup: dict, say: Callable):
    """The trainer class with times of its parts, which waits for its turn before each update."""
    from transformers import TrainerCallback

    spent, facts = collections.Counter(), {}

    def timing(part: str, function: Callable) -> Callable:
        def timed_function(*given, **named):
            began = now()
            try:
                return function(*given, **named)
            finally:
                spent[part] += now() - began

        return timed_function

    class Turns(TrainerCallback):
        def __init__(self, trainer):
            self.trainer, self.total = trainer, 0.0

        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 0:
                say({"ready": True, "accuracy": self.accuracy(0)})
            if not sys.stdin.readline():  # who asked has ended
                raise SystemExit(1)
            spent.clear()
            self.began = now()

        def on_step_end(self, args, state, control, **kwargs):
            whole = now() - self.began
            self.total += whole
            parts = {part: round(seconds, 4) for part, seconds in spent.items()}
            parts["rest"] = round(whole - sum(spent.values()), 4)
            memory = {"peak_memory_gib": runs.peak_memory_gib()}
            told = {"step": state.global_step, "seconds": whole, "sum": self.total, "parts": parts, **memory, **facts}
            say(told | {"accuracy": self.accuracy(state.global_step)})

        def accuracy(self, step: int) -> float | None:
            if not setup.get("heldout") or step % setup["heldout"]:
                return None
            return heldout_accuracy(self.trainer, setup)

    class Timed(trainer_class):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            self.add_callback(Turns(self))
            self._get_per_token_logps_and_entropies = timing("log-probs", self._get_per_token_logps_and_entropies)
            self._calculate_rewards = timing("rewards", self._calculate_rewards)
            self.accelerator.backward = timing("backward", self.accelerator.backward)

        def _generate(self, prompts):
            began = now()
            made = super()._generate(prompts)
            spent["generation"] += now() - began
            facts["tokens"] = sum(map(len, made[1])) / len(made[1])
            return made

        def _generate_and_score_completions(self, inputs):
            made = super()._generate_and_score_completions(inputs)
            groups = made["advantages"].view(-1, self.num_generations)
            facts["no_signal"] = (groups.abs().amax(1) < 0.01).float().mean().item()
            return made

    Timed.__name__ = trainer_class.__name__
    return Timed


def heldout_accuracy(trainer, setup: dict) -> float:
    """Greedy accuracy on validation problems, by the same functions whoever trains."""
    from common import data, generation, kinds, prompts

    rows = data.read_split(setup["dataset"], "validation").rows[: setup["heldout_rows"]]
    tags = prompts.TAG_SETS[prompts.tag_set_of(trainer.processing_class.chat_template)]
    model = trainer.accelerator.unwrap_model(trainer.model)
    asked = [kinds.MATH.prompt(row, tags) for row in rows]
    found = generation.generate(model, trainer.processing_class, asked, setup["tokens"], batch_size=128)
    return sum(kinds.MATH.score(one, row, tags)["correct"] for one, row in zip(found, rows)) / len(rows)


def load(script: str):
    """A stage script as a module; its name may hold hyphens."""
    spec = importlib.util.spec_from_file_location("recipe", script)
    module = importlib.util.module_from_spec(spec)
    sys.modules["recipe"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def plain(setup: dict) -> None:
    """TRL's GRPOTrainer as its documentation uses it, on the script's problems and rewards."""
    import torch
    import trl

    from common import data, models, settings

    module = load(setup["script"])
    args = settings.parse(module.Args, "", argv=setup["words"])
    own = [name for name in module.Args.__annotations__ if name not in NOT_TRLS]
    recipe = {name: getattr(args, name) for name in own if setup["recipe"] or name in DEFAULTS}
    recipe["max_steps"] = args.max_steps
    if not setup["recipe"] and "reward_weights" in own:
        recipe["reward_weights"] = args.reward_weights  # part of the reward
    machine = {"report_to": "none", "logging_steps": 1, "save_strategy": "no", "use_vllm": args.use_vllm}
    machine |= {"use_cpu": not torch.cuda.is_available()}
    config = trl.GRPOConfig(output_dir=args.output, disable_tqdm=True, **{**machine, **recipe, **setup["plain"]})
    tokenizer, tag_set = models.load_tokenizer(args.base, args.tags)
    rewards = module.REWARDS[args.reward] if isinstance(module.REWARDS, dict) else module.REWARDS
    dataset = data.to_prompts(data.read_split(args.dataset, "train").rows, tag_set)
    trainer = trl.GRPOTrainer(
        model=args.base,
        reward_funcs=rewards,
        args=config,
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=models.lora_config(args),
    )
    trainer.train()


def main() -> None:
    setup, pipe = json.loads(sys.argv[1]), os.fdopen(int(sys.argv[2]), "w", buffering=1)
    sys.argv = [setup["script"], *setup["words"]]
    import trl

    from common import trainer

    def say(facts: dict) -> None:
        pipe.write(json.dumps(facts) + "\n")

    if setup["plain"] is None:
        trainer.GRPOTrainer = timed(trainer.GRPOTrainer, setup, say)
        runpy.run_path(setup["script"], run_name="__main__")
    else:
        trl.GRPOTrainer = timed(trl.GRPOTrainer, setup, say)
        plain(setup)


if __name__ == "__main__":
    main()
