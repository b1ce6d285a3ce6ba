"""A base with the shape and the tokenizer of a Qwen3 model, and random weights: for speed and memory, without the hub.

The vocabulary is the one that comes with qwen-agent, the chat template TRL's copy of Qwen3's.

Output: a folder as the hub has it, in bfloat16.
Command: python benchmarks/random_base.py --shape Qwen/Qwen3-4B-Base --output outputs/random-4B
"""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import memory, runs, settings
from common.settings import setting

SPECIAL = """
    <|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|>
    <|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|>""".split()
ORDINARY = """
    <tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|>
    <tool_response> </tool_response> <think> </think>""".split()
SMALL = memory.Shape(layers=2, hidden=32, heads=2, kv_heads=1, head=32, feedforward=64)  # 5 million weights, for tests


@dataclass
class Args(settings.RunArgs):
    shape: str = setting("Qwen/Qwen3-4B-Base", "model whose shape it has", choices=[*memory.QWEN3, "small"])
    kind: str = setting("qwen3", "qwen3, or qwen2 with its biases in attention", choices=["qwen3", "qwen2"])
    seed: int = setting(0, "of the weights")


def tokenizer():
    """Qwen3's tokenizer."""
    from tokenizers import AddedToken
    from transformers import Qwen2Tokenizer
    from transformers.convert_slow_tokenizer import TikTokenConverter
    from trl.chat_template_utils import qwen3_chat_template

    package = importlib.util.find_spec("qwen_agent")
    if package is None:
        runs.fail("the vocabulary comes with qwen-agent: pip install -r requirements/bfcl-imports.txt")
    file = f"{package.submodule_search_locations[0]}/utils/qwen.tiktoken"
    vocabulary, merges = TikTokenConverter().extract_vocab_merges_from_model(file)
    added_tokens = {}
    for number, token in enumerate(SPECIAL + ORDINARY, len(vocabulary)):
        added_tokens[number] = AddedToken(token, normalized=False, special=token in SPECIAL)
    special = {"pad_token": SPECIAL[0], "extra_special_tokens": SPECIAL[1:], "added_tokens_decoder": added_tokens}
    qwen = Qwen2Tokenizer(vocab=vocabulary, merges=merges, **special)
    qwen.chat_template = qwen3_chat_template
    return qwen


def save(folder: Path, shape: memory.Shape, seed: int = 0, kind: str = "qwen3") -> Path:
    """Write the base to a folder, which is returned."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        kind,
        vocab_size=shape.vocabulary,  # rows of the embedding, more than there are tokens
        hidden_size=shape.hidden,
        intermediate_size=shape.feedforward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head if kind == "qwen3" else shape.hidden // shape.heads,
        max_position_embeddings=32768,
        tie_word_embeddings=shape.tied,
        bos_token_id=151643,
        eos_token_id=151643,
        dtype="bfloat16",
    )
    torch.manual_seed(seed)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def main(args):
    partial = runs.start(args)
    save(partial, SMALL if args.shape == "small" else memory.QWEN3[args.shape], args.seed, args.kind)
    runs.finish(args)


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
