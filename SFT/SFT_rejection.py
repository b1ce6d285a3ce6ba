"""Rejection-sampled SFT: sample completions, keep those that are correct and different, train on them.

loss = mean cross-entropy of the completion's tokens, as in SFT_train.py. As GRPO it takes problems and answers, without
worked solutions; it learns from the correct samples of its start alone. A gain of GRPO has to be compared with it. Also
called rejection sampling fine-tuning (Yuan et al. 2023, arXiv 2308.01825); one round of STaR (Zelikman et al. 2022,
arXiv 2203.14465) without its hints. With --own_prompt it teaches an instruct model the tags on its own reasoning, where
worked solutions of others would change how it reasons.

Input: outputs/data/<dataset>/train.jsonl, a base. Output: outputs/SFT_rejection/, with the samples in kept.json.
Command: python SFT/SFT_rejection.py --base outputs/SFT
"""

import gc
import json
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import data, generation, kinds, models, prompts, runs, settings, training
from common.settings import setting

if settings.HELP:
    Config = object  # --help does not wait for trl, whose import takes seconds
else:
    from trl import SFTConfig as Config


@dataclass
class Args(settings.TrainArgs, Config):
    base: str = setting("outputs/SFT", "model to sample from and to train: a folder or a hub name")
    dataset: str = setting("dapo", "folder of outputs/data/, or a path", tiny="linear_sum")
    rows: int = setting(0, "only the first problems of the split train; 0 takes all")
    samples: int = setting(4, "completions to sample for each problem", low=1)
    keep: int = setting(4, "correct and different completions to keep of a problem, at most", low=1)
    own_prompt: str = setting("", "sample with this text for {question}, and put the tags around what is kept")
    temperature: float = setting(1.0, "temperature of the samples, that of GRPO's rollouts")
    top_p: float = setting(1.0, "nucleus of the samples; 1 is no limit")
    top_k: int = setting(0, "likeliest tokens that samples are drawn from; 0 is no limit")
    max_new_tokens: int = setting(1536, "tokens of a sample; one that is cut is not kept", tiny=160)
    batch_size: int = setting(64, "samples in memory at once", tiny=500)
    use_vllm: bool = setting(True, "sample with vLLM; needs CUDA", tiny=False)
    seed: int = setting(3407, "samples, order of the rows and initial LoRA weights")
    learning_rate: float = setting(2e-4, "that of SFT_train.py", tiny=5e-4)
    lr_scheduler_type: str = setting("linear", "learning rate falls to 0")
    warmup_steps: float = setting(0.05, "steps of rising learning rate; below 1 a fraction of all steps")
    num_train_epochs: float = setting(2, "passes over the samples")
    max_steps: int = setting(-1, "updates; -1: as many as the epochs have")
    per_device_train_batch_size: int = setting(4, "examples in memory at once")
    gradient_accumulation_steps: int = setting(1, "batches in one update")
    max_prompt_tokens: int = setting(512, "rows with a longer prompt are dropped")
    max_length: int = setting(2048, "tokens of prompt and completion", tiny=1024)
    lora_r: int = setting(32, "rank of LoRA; 0 trains every weight, for small models", tiny=0)
    lora_alpha: int = setting(64, "scale of LoRA, twice the rank")
    tags: str = setting("", "tag set, thesis or think [that of the base]")
    heldout_every: int = setting(200, "steps between two measurements of held-out accuracy", tiny=256)
    heldout_rows: int = setting(50, "validation rows for held-out accuracy", tiny=100)
    max_completion_length: int = setting(1536, "tokens of a held-out completion", tiny=160)


def draw(base: str, tokenizer, conversations: list[list[dict]], args) -> list[dict]:
    """A completion of each conversation by the base."""
    generate = generation.generator(base, tokenizer, args)
    sampling = {"temperature": args.temperature, "top_p": args.top_p, "top_k": args.top_k, "seed": args.seed}
    completions = generate(conversations, **sampling)
    del generate  # frees the memory of its model for training
    gc.collect()
    return completions


def put_tags(completion: dict, row: dict, tags: prompts.Tags) -> dict:
    """A completion of --own_prompt as a well-formed one: its text is the reasoning, and the correct answer follows."""
    text = prompts.build_completion(completion["text"].strip(), row["solution"], tags)[0]["content"]
    return completion | {"text": text, "correct": completion["flexible"] and prompts.is_well_formed(text, tags)}


def select(scored: list[dict], samples: int, keep: int) -> list[dict]:
    """Of each problem the first `keep` correct completions that differ: {"row": number of the problem, "text"}.

    scored: `samples` scored completions of each problem, one problem after the other. One that was cut is never kept.
    """
    selection = []
    for start in range(0, len(scored), samples):
        texts = []
        for completion in scored[start : start + samples]:
            if completion["correct"] and not completion["truncated"] and completion["text"] not in texts:
                texts.append(completion["text"])
        selection += [{"row": start // samples, "text": text} for text in texts[:keep]]
    return selection


def drop_long(examples: list[dict], tokenizer, limit: int) -> list[dict]:
    """The examples of at most `limit` tokens: of a longer one the trainer would cut the end, with its last tag."""
    fitting = []
    for example in examples:
        text = tokenizer.apply_chat_template(example["prompt"] + example["completion"], tokenize=False)
        if len(tokenizer(text, add_special_tokens=False).input_ids) <= limit:
            fitting.append(example)
    if len(fitting) < len(examples):
        print(f"dropped {len(examples) - len(fitting)} of the kept samples, longer than --max_length {limit}")
    if not fitting:
        runs.fail("none of the kept samples is short enough; raise --max_length")
    return fitting


def sample(run: runs.Run, asked: kinds.Kind) -> dict:
    """The samples to train on, and how many there were: {"sampled", "correct", "problems", "selection"}.

    asked: the kind whose prompt is sampled with; that of the data, or with --own_prompt one that asks for no tags.
    """
    args = run.args
    tags = prompts.TAG_SETS[run.tag_set]
    rows = [row for row in run.rows for _ in range(args.samples)]
    completions = draw(run.base, run.tokenizer, [asked.prompt(row, tags) for row in rows], args)
    scored = [asked.score(completion, row, tags) for completion, row in zip(completions, rows)]
    if args.own_prompt:
        scored = [put_tags(completion, row, tags) for completion, row in zip(scored, rows)]
    selection = select(scored, args.samples, args.keep)
    if not selection:
        runs.fail(
            f"none of the {len(scored)} samples is whole and correct, so there is nothing to train on; take easier "
            "problems, a better --base, or more --samples"
        )
    correct = sum(completion["correct"] for completion in scored)
    problems = {one["row"] for one in selection}
    return {"sampled": len(scored), "correct": correct, "problems": len(problems), "selection": selection}


def read_or_sample(run: runs.Run, asked: kinds.Kind) -> dict:
    """sample(), from the working folder where an interrupted run left it."""
    path = run.partial / runs.SAMPLES
    if path.exists():
        try:
            return json.loads(path.read_text())
        except ValueError:
            runs.fail(f"{runs.shown(path)} is damaged; delete {runs.shown(run.partial)} to start again")
    content = sample(run, asked)
    runs.write_json(path, content)
    return content


def main(args):
    runs.check_output(args)
    models.check_device(args)
    if args.max_prompt_tokens + args.max_new_tokens > args.max_length:
        runs.fail("--max_length is less than --max_prompt_tokens and --max_new_tokens together")
    train = data.read_split(args.dataset, "train", ("math", "choice"))
    train = train._replace(rows=train.rows[: args.rows or None])
    heldout = data.read_split(args.dataset, "validation", ("math", "choice"))
    asked = kinds.asked_plainly(train.kind, args.own_prompt) if args.own_prompt else train.kind
    base = runs.require_base(args.base, "python SFT/SFT_train.py")
    tokenizer, tag_set = models.load_tokenizer(base, args.tags)
    train = data.drop_long(train, tokenizer, tag_set, args.max_prompt_tokens)
    heldout = data.drop_long(heldout, tokenizer, tag_set, args.max_prompt_tokens)

    from datasets import Dataset
    from trl import SFTTrainer  # not needed for --help

    run = training.begin(args, base, tokenizer, tag_set, train, heldout, None)
    content = read_or_sample(run, asked)
    selection = content.pop("selection")
    counts = content | {"kept": len(selection)}
    print("{sampled} sampled, {correct} correct; {kept} kept, of {problems} problems".format(**counts))
    examples = []
    for one in selection:
        prompt = run.kind.prompt(run.rows[one["row"]], prompts.TAG_SETS[tag_set])
        examples.append({"prompt": prompt, "completion": [{"role": "assistant", "content": one["text"]}]})
    examples = drop_long(examples, tokenizer, args.max_length)
    trainer = SFTTrainer(
        model=run.model,
        args=args,
        train_dataset=Dataset.from_list(examples),
        processing_class=tokenizer,
        peft_config=run.lora,
    )
    training.train(run, trainer, samples=counts)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
