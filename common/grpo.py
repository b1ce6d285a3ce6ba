"""What every GRPO script would repeat: the settings that a machine needs, and all that stands before the trainer.

A script adds its rewards and what one tunes to compare them, and builds the trainer itself:

    run = grpo.prepare(args)
    trainer = GRPOTrainer(run.model, REWARDS, args, run.dataset, processing_class=run.tokenizer, peft_config=run.lora)
    training.train(run, trainer)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common import data, models, runs, settings, training
from common.settings import setting

if settings.HELP:
    Config = object  # --help does not wait for trl, whose import takes seconds
else:
    from trl import GRPOConfig as Config


# Options of SFT for the start of the tiny profile
TINY_START = "--config recipes/tiny/start.yaml --output outputs/SFT-start"


@dataclass
class Args(settings.TrainArgs, Config):
    tags: str = setting("", "tag set, thesis or think [that of the base]")
    max_prompt_tokens: int = setting(512, "rows with a longer prompt are dropped")
    skip_no_signal: bool = setting(
        False, "leave completions without advantage out of the backward pass: the same update in less time", tiny=True
    )
    use_vllm: bool = setting(True, "generate with vLLM in the same process; needs CUDA", tiny=False)
    vllm_mode: str = setting("colocate", "one GPU for both training and generation")
    vllm_max_model_length: int = setting(2048, "tokens of prompt and completion that vLLM has room for", low=1)
    vllm_gpu_memory_utilization: float = setting(0.0, "fraction of the GPU for vLLM; 0: what the run needs")
    vllm_importance_sampling_mode: str = setting(
        "token_truncate",
        "what bounds p(trainer) / p(vLLM): token_truncate cuts the ratio of a token; TRL's default, sequence_mask, "
        "drops whole completions",
        choices=("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"),
    )
    vllm_importance_sampling_clip_max: float = setting(3.0, "the bound of that ratio", low=1)
    logging_steps: float = setting(1, "steps between two lines of metrics.jsonl")
    save_steps: float = setting(25, "steps between two checkpoints for --resume", tiny=8)
    heldout_every: int = setting(25, "steps between two measurements of held-out accuracy", tiny=6)
    heldout_rows: int = setting(50, "validation rows for held-out accuracy", tiny=100)
    patience: int = setting(5, "end a run whose first steps, this many, have no signal; 0 never does", low=0)


def prepare(
    args: Args,
    made_by: str = "",
    default_tags: str | None = None,
    allowed: tuple[str, ...] = ("math", "choice"),
    load_tokenizer: Callable = models.load_tokenizer,
) -> runs.Run:
    """Check everything that can be checked, then open the output folder and load the model.

    made_by: the command that makes the base, for the message where it is missing [that of SFT]. default_tags: the tag
    set for a base that carries none. allowed: the kinds of data sets that the rewards can score. load_tokenizer: for a
    stage with a chat template of its own.
    """
    runs.check_output(args)
    models.check_device(args)
    train = data.read_split(args.dataset, "train", allowed)
    heldout = data.read_split(args.dataset, "validation", allowed)
    if args.use_vllm and args.vllm_max_model_length < args.max_prompt_tokens + args.max_completion_length:
        runs.fail("--vllm_max_model_length is less than --max_prompt_tokens and --max_completion_length together")
    if not made_by:
        made_by = "python SFT/SFT_train.py"
        if Path(args.base).name == "SFT-start":
            made_by += f" {TINY_START}"
    base = runs.require_base(args.base, made_by)
    tokenizer, tag_set = load_tokenizer(base, args.tags, default=default_tags)
    train = data.drop_long(train, tokenizer, tag_set, args.max_prompt_tokens)
    heldout = data.drop_long(heldout, tokenizer, tag_set, args.max_prompt_tokens)
    dataset = data.to_prompts(train.rows, tag_set, train.kind)
    run = training.begin(args, base, tokenizer, tag_set, train, heldout, dataset)
    models.set_stop_tokens(args, tokenizer, run.model)  # not before: --resume compares its record with the command
    return run


def log_means(log_metric: Callable, parts: dict[str, list]) -> None:
    """Log the mean of each part of a reward over the completions that have it (a value that is not None)."""
    for name, values in parts.items():
        known = [value for value in values if value is not None]
        if known:
            log_metric(f"parts/{name}", sum(known) / len(known))
