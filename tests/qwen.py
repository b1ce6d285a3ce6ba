"""A base as Qwen3-4B-Base is, but for its size: the real tokenizer, Qwen3's chat template, random weights."""

import importlib.util
from pathlib import Path

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"]
SPECIAL += ["<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>"]
SPECIAL += ["<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
ORDINARY = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"]
ORDINARY += ["<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
VOCABULARY = 151936  # rows of the embedding, more than there are tokens


def tokenizer():
    """Qwen3's tokenizer, from the vocabulary that comes with qwen-agent."""
    from tokenizers import AddedToken
    from transformers import Qwen2Tokenizer
    from transformers.convert_slow_tokenizer import TikTokenConverter
    from trl.chat_template_utils import qwen3_chat_template

    found = importlib.util.find_spec("qwen_agent").submodule_search_locations[0]
    vocabulary, merges = TikTokenConverter().extract_vocab_merges_from_model(f"{found}/utils/qwen.tiktoken")
    added = {len(vocabulary) + i: (token, token in SPECIAL) for i, token in enumerate(SPECIAL + ORDINARY)}
    made = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        pad_token=SPECIAL[0],
        extra_special_tokens=SPECIAL[1:],
        added_tokens_decoder={i: AddedToken(text, normalized=False, special=own) for i, (text, own) in added.items()},
    )
    made.chat_template = qwen3_chat_template
    return made


def save_base(folder: Path) -> Path:
    """A folder as the hub has it; 5 million weights in bfloat16."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, head_dim=32)
    shape |= dict(num_key_value_heads=1, max_position_embeddings=32768, tie_word_embeddings=True)
    ids = dict(bos_token_id=151643, eos_token_id=151643)
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=VOCABULARY, **shape, **ids)).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
