"""Models and tokenizers: loading, checking and saving them."""

import contextlib
import functools
import importlib.metadata
import importlib.util
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from common import lora, prompts, runs

RESERVED = re.compile(r"\bpad|pad_id|reserved|unused|control")  # special tokens that no text needs
DOCUMENT_ENDS = ("<|endoftext|>", "<|end_of_text|>", "<eos>", "</s>")
TOWER = re.compile(r".*(vision|visual|audio|multi_modal).*")  # modules of a model that also takes images or sound
DRIVER = 580  # the oldest of NVIDIA's drivers for CUDA 13.0, which torch and vLLM are built with
KEPT = 0.9  # where merged weights hold a smaller fraction of an update, a line says so
LARGEST = 1e5  # of a weight that was trained: a larger one is ruined, though still finite


def ask_hub(question: Callable) -> None:
    """Use the copies in the cache where the hub does not answer: its client would try again for a minute.

    question: a short one to the hub, which takes a timeout.
    """
    import httpx
    import huggingface_hub

    try:
        question(timeout=10)
    except (httpx.TransportError, huggingface_hub.errors.OfflineModeIsEnabled):
        print("the hub does not answer; looking for a copy in its cache")
        huggingface_hub.constants.HF_HUB_OFFLINE = True
    except (httpx.HTTPError, ValueError):
        pass  # loading says more about it


def load_tokenizer(base: str, tag_set: str | None = None, default: str | None = None, option: str = "--base"):
    """(tokenizer, name of its tag set): the chat template names the set, padding is on the left.

    tag_set: the set to train on; None takes the one that the checkpoint names, else the default. Ends the script when
    there is none, when decoding loses a tag (special token, unknown character), or when the template pre-fills one.
    """
    from transformers import AutoConfig, AutoTokenizer

    if not Path(base).exists():
        from huggingface_hub import HfApi

        ask_hub(functools.partial(HfApi().model_info, base))
    try:
        tokenizer = AutoTokenizer.from_pretrained(base)
    except Exception as error:
        runs.fail(f"cannot load the tokenizer of {runs.shown(base)} ({type(error).__name__}); check {option}")
    if isinstance(tokenizer.chat_template, dict):  # several, by name
        tokenizer.chat_template = tokenizer.chat_template.get("default")
    tag_set = tag_set or prompts.tag_set_of(tokenizer.chat_template) or default
    if tag_set and tag_set not in prompts.TAG_SETS:
        runs.fail(f"--tags {tag_set}: choose {' or '.join(prompts.TAG_SETS)}")
    if not tag_set:
        runs.fail(f"{runs.shown(base)} does not say which tags it was trained on; pass --tags thesis or --tags think")
    template, end = prompts.choose_template(tokenizer)
    if end is None:
        runs.fail(f"the tokenizer of {runs.shown(base)} has no end token; set eos_token in its config")
    tokenizer.chat_template = prompts.mark_template(template, tag_set)
    tokenizer.padding_side = "left"
    # The eos token of a base model ends a document; a completion has to end with the token that closes a turn.
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    if tokenizer.pad_token is None:
        reserved = [token for token in prompts.special_tokens(tokenizer) if RESERVED.search(token)]
        tokenizer.pad_token = min(reserved, key=lambda token: "pad" not in token, default=tokenizer.eos_token)
    with contextlib.suppress(OSError, ValueError, KeyError, AttributeError):  # a folder with a tokenizer alone
        size = AutoConfig.from_pretrained(base).get_text_config().vocab_size
        # Gemma's tokenizer has tokens for images, for which a model of text alone has no weights.
        spare = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        used = set(tokenizer.get_vocab().values()) - spare | {end, tokenizer.pad_token_id}
        largest = max(used)
        if largest >= size:
            runs.fail(
                f"the tokenizer of {runs.shown(base)} has token {largest}, its model only {size} tokens; "
                "put the tokenizer and the weights of one model together"
            )
    tags = prompts.TAG_SETS[tag_set]
    text = "".join(tags)
    if tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids, skip_special_tokens=True) != text:
        runs.fail(f"the tokenizer of {runs.shown(base)} loses the tags {text}; add them as tokens with special=False")
    asked = tokenizer.apply_chat_template(prompts.TURNS[:2], tokenize=False, add_generation_prompt=True)
    if any(tag in asked for tag in tags):
        runs.fail(f"the chat template of {runs.shown(base)} pre-fills a tag; the model has to generate all four")
    return tokenizer, tag_set


def check_device(args) -> None:
    """End the script, before a model loads, when this machine cannot run these settings."""
    import torch

    if getattr(args, "use_vllm", False):
        if not torch.cuda.is_available():
            runs.fail(f"{no_cuda()}; pass --use_vllm false to generate with transformers")
        if importlib.util.find_spec("vllm") is None:
            runs.fail("vLLM is not installed; pip install -r requirements/cuda.txt, or pass --use_vllm false")
    check_curves(getattr(args, "report_to", None) or [])
    if torch.cuda.device_count() > 1:
        runs.fail("more than one GPU: choose one with CUDA_VISIBLE_DEVICES=0")
    if getattr(args, "load_in_4bit", False):
        if getattr(args, "use_vllm", False):
            runs.fail("vLLM cannot load a 4-bit base; add --use_vllm false to --load_in_4bit")
        if not args.lora_r:
            runs.fail("a 4-bit base is trained with LoRA; pass for instance --lora_r 32")
        try:
            import bitsandbytes  # noqa: F401
        except Exception as error:
            runs.fail(f"--load_in_4bit needs bitsandbytes, which cannot be imported ({error}); leave it out")


def no_cuda() -> str:
    """Why vLLM cannot run on a machine without CUDA: NVIDIA's driver is too old, or there is no GPU."""
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with contextlib.suppress(OSError, ValueError):
        version = subprocess.run(ask, capture_output=True, text=True).stdout.strip().partition("\n")[0]
        if int(version.partition(".")[0]) < DRIVER:
            return f"vLLM needs NVIDIA's driver {DRIVER} or newer, for CUDA 13.0, and {version} is installed; update it"
    return "vLLM needs a CUDA GPU"


def check_curves(libraries: list[str]) -> None:
    """End the script when a library of --report_to is not installed, or wandb has no key and is not offline."""
    for name in libraries:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            runs.fail(f"--report_to {name} needs the package {name}; pip install -r requirements/demo.txt")
    if "wandb" in libraries:
        import wandb

        if wandb.setup().settings.mode == "online" and not wandb.login(prompt=False):
            runs.fail("--report_to wandb needs its key: log in with: wandb login, or set WANDB_MODE=offline")


def lora_config(args, model=None):
    """LoRA on all linear layers but the output layer, of the language model alone; None for --lora_r 0: every weight.

    model: the one that gets the LoRA, which may have a tower for images.
    """
    if not args.lora_r:
        return None
    from peft import LoraConfig

    towers = model is not None and any(TOWER.fullmatch(name) for name, _ in model.named_modules())
    return LoraConfig(
        r=args.lora_r,
        lora_alpha=args.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        exclude_modules=TOWER.pattern if towers else None,
        task_type="CAUSAL_LM",
    )


def stop_tokens(tokenizer) -> list[int]:
    """What ends a completion in every engine: the end of a turn, the pad token, and the end of a document."""
    ends = [token for token in prompts.special_tokens(tokenizer) if token in DOCUMENT_ENDS]
    ids = [tokenizer.eos_token_id, tokenizer.pad_token_id, *tokenizer.convert_tokens_to_ids(ends)]
    return list(dict.fromkeys(ids))


def set_stop_tokens(args, tokenizer, model) -> None:
    """Make rollouts end at stop_tokens() in both engines; else each reads them from other files of the base."""
    model.generation_config.eos_token_id = stop_tokens(tokenizer)
    if args.use_vllm:
        args.generation_kwargs = {"stop_token_ids": stop_tokens(tokenizer)}


def _load(base: str, **how):
    """The model of a folder or hub name, its LoRA updates as lora.add() keeps them.

    Ends the script where the weights cannot be loaded, for instance when a file is truncated.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    runs.keep_memory()
    root = base
    try:
        root, adapter = lora.source(base)
        model = AutoModelForCausalLM.from_pretrained(root, **how)
        if adapter:
            lora.add(model, lora.read(adapter))
        return model
    except (OSError, SafetensorError, ValueError, ImportError, RuntimeError) as error:
        also = f" on {runs.shown(root)}" if root != base else ""
        runs.fail(f"cannot load the weights of {runs.shown(base)}{also} ({error}); make or download them again")


def load_model(base: str, args):
    """The policy to train: with LoRA bfloat16 where --bf16 asks for such arithmetic, 4-bit on request, else float32.

    Where every weight is trained, bfloat16 would round small updates away. --model_init_kwargs go to from_pretrained.
    """
    import torch
    from transformers import BitsAndBytesConfig

    how = {"dtype": torch.bfloat16 if args.lora_r and args.bf16 else torch.float32}
    if args.load_in_4bit:
        nf4 = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.bfloat16}
        how["quantization_config"] = BitsAndBytesConfig(load_in_4bit=True, **nf4)
    own = getattr(args, "model_init_kwargs", None) or {}
    args.model_init_kwargs = None  # TRL would warn that it ignores them
    model = _load(base, **how | own)
    if torch.cuda.is_available() and not args.lora_r:
        count = model.num_parameters()
        print(
            f"--lora_r 0 trains {count / 1e9:.2f} billion weights in float32: {16 * count / 1e9:.1f} GB for weights, "
            "gradients and AdamW's two means, before activations and vLLM; --lora_r 32 needs a fraction of that"
        )
    if args.load_in_4bit and not torch.cuda.is_available():
        # After a forward pass without gradient the CPU kernel packs the weights, and later LoRA gradients are wrong.
        for module in model.modules():
            if type(module).__name__ == "Linear4bit":
                module.support_avx512bf16_for_cpu = False
    return model


def train_in_float32(model) -> None:
    """Turn what is trained back to float32: TRL makes the LoRA of a 4-bit base bfloat16, which loses small updates."""
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def load_for_generation(folder: str):
    """A checkpoint for generation: bfloat16 on CUDA if available, else float32 on the CPU."""
    import torch

    cuda = torch.cuda.is_available()
    model = _load(folder, dtype=torch.bfloat16 if cuda else torch.float32)
    return model.to("cuda" if cuda else "cpu").eval()


def check_finite(model) -> None:
    """End the script when a weight that is trained is not a finite number, before such weights are saved."""
    for name, weight in model.named_parameters():
        if weight.requires_grad and not weight.isfinite().all():
            runs.fail(f"training diverged: {name} is not finite any more; lower --learning_rate, then --overwrite")
        if weight.requires_grad and weight.abs().max() > LARGEST:
            runs.fail(f"training diverged: {name} has grown above {LARGEST:g}; lower --learning_rate, then --overwrite")


def save_model(trainer, tokenizer, folder: Path, base: str, tag_set: str | None = None) -> dict:
    """Save a folder that from_pretrained, vLLM and the hub can load: LoRA merged, and kept apart in adapter/.

    tag_set: that of the instruction which the saved chat template gives a conversation without a system message.
    Returns the facts for run.json: with a LoRA `update_kept`, the fraction of the update that the merged weights hold,
    and where they are in bfloat16 the root that adapter/ belongs to.
    """
    import torch
    from transformers import GenerationConfig

    model, facts = trainer.model, {}
    check_finite(model)
    if hasattr(model, "merge_and_unload"):
        update, total, root = lora.trained(model), lora.total(model), lora.source(base)[0]
        if getattr(model.get_base_model(), "is_quantized", False):  # merge into the 16-bit base, not the 4-bit one
            model = _load(base, dtype=torch.bfloat16)
        else:
            model = model.unload()
        facts = {"update_kept": round(lora.merge(model, update), 4)}
        if model.dtype == torch.float32:
            root = base
        else:
            facts |= {"root": runs.shown(root), "root_made": runs.made(root)}
        lora.save(total, folder / "adapter", root)
        if facts["update_kept"] < KEPT:
            print(
                f"rounded to bfloat16, the merged weights hold {facts['update_kept']:.0%} of the update; the next "
                "stage and the tests take all of it from adapter/, other programs do not"
            )
    model.config.use_cache = True  # the trainer turns it off
    model.config.eos_token_id, model.config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    model.save_pretrained(str(folder), safe_serialization=True)
    tokenizer.save_pretrained(str(folder))
    if tag_set:
        saved = prompts.mark_template(tokenizer.chat_template, tag_set, instruct=True)
        (folder / "chat_template.jinja").write_text(saved)
    return facts
