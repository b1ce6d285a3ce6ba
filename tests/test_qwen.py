"""What depends on the real tokenizer of the GPU profile: its ids, the limits of length, the spans of solutions."""

import random

import pytest
from conftest import SFT, load_script
from transformers.convert_slow_tokenizer import bytes_to_unicode

from benchmarks import random_base
from common import answers, data, kinds, models, prompts, settings
from GRPO_outdomain import certainty
from tiny import problems

pytestmark = pytest.mark.slow  # to build the tokenizer takes seconds
GRPO, V1, V2 = "GRPO_indomain/GRPO-1K.py", "BFCL/GRPO_BFCL_v1.py", "BFCL/GRPO_BFCL_v2.py"


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """As the scripts load it."""
    folder = tmp_path_factory.mktemp("qwen")
    random_base.tokenizer().save_pretrained(folder)
    return models.load_tokenizer(str(folder), "thesis")[0]


def test_it_is_the_tokenizer_of_qwen3(tokenizer):
    ids = {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645, "<tool_call>": 151657}
    ids |= {"<think>": 151667, "</think>": 151668, "Hello": 9707}
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in ids} == ids and len(tokenizer) == 151669


def test_a_completion_ends_with_its_turn_and_keeps_its_tags(tokenizer):
    """Qwen3's template would put an empty think block before a completion, and its base ends documents, not turns."""
    assert models.stop_tokens(tokenizer) == [151645, 151643]
    asked = tokenizer.apply_chat_template(prompts.build_prompt("1+1?"), tokenize=False, add_generation_prompt=True)
    assert "<think>" not in asked and asked.endswith("<|im_start|>assistant\n")
    for tags in prompts.TAG_SETS.values():
        text = prompts.build_completion("1+1=2", "2", tags)[0]["content"]
        ids = tokenizer(text + "<|im_end|>", add_special_tokens=False).input_ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text and ids[-1] == tokenizer.eos_token_id


def of_gpu(script: str, *words):
    """The settings of a script with the values of the GPU profile."""
    return settings.parse(load_script(script).Args, "", argv=["--profile", "gpu", "--use_cpu", "true", *words])


@pytest.mark.parametrize("kind, script", [("linear", GRPO), ("single", V1), ("multi", V2)])
def test_made_rows_fit_the_limits(kind, script, tokenizer):
    """Of what code makes for the GPU profile, at most one row in forty is too long for GRPO's prompts, or for SFT."""
    if kind == "linear":
        rows = dict.fromkeys(("train", "sft"), problems.draw(problems.linear, "train", 40, 1))
        of_rows = kinds.MATH
    else:
        creation = load_script("BFCL/BFCL_dataset_creation.py")
        args = settings.parse(creation.Args, "", argv=["--profile", "gpu", "--kind", kind])
        of_rows = kinds.of("calls" if kind == "single" else "dialogue")
        rows = creation.synthetic_splits(args, dict.fromkeys(("sft", "train", "validation", "test"), 40))
    args, longest = of_gpu(script), of_gpu(SFT).max_length
    prompt = data.token_lengths(rows["train"], of_rows, tokenizer, "thesis", completions=False)
    whole = data.token_lengths(rows["sft"], of_rows, tokenizer, "thesis", completions=True)
    assert sum(length > args.max_prompt_tokens for length in prompt) <= 1, max(prompt)
    assert sum(length > longest for length in whole) <= 1, max(whole)
    assert args.max_prompt_tokens + args.max_completion_length <= args.vllm_max_model_length


def token_bytes(tokenizer, token: int) -> bytes:
    """The bytes that a token stands for in decoded text; none for a special one."""
    if token in tokenizer.all_special_ids:
        return b""
    if token in tokenizer.added_tokens_decoder:
        return tokenizer.added_tokens_decoder[token].content.encode()
    bytes_of = {character: number for number, character in bytes_to_unicode().items()}
    return bytes(bytes_of[character] for character in tokenizer.convert_ids_to_tokens(token))


def test_the_tokens_of_a_solution_are_those_that_hold_its_bytes(tokenizer):
    """For any way to cut a text into tokens, as a policy that samples may write it."""
    rng, checked = random.Random(0), 0
    solutions = [
        "½",
        "数学 5",
        "🙂 3",
        " 12 ",
        "x=2, y=-3",
        "\\frac{1}{2}",
        "1,000",
        "５",
        "é́",
        "<5>",
        "5\n",
        "$12$",
        "a<b",
    ]
    for _ in range(300):
        tags = prompts.TAG_SETS[rng.choice([*prompts.TAG_SETS])]
        text = prompts.build_completion(rng.choice(["so x = 5", "2*21=42\n", ""]), rng.choice(solutions), tags)[0]
        rest, ids = text["content"] + rng.choice(["", "<|im_end|>", " more 🙂"]), []
        while rest:
            n = rng.choice([rng.randint(1, 9), len(rest)])
            ids, rest = ids + tokenizer(rest[:n], add_special_tokens=False).input_ids, rest[n:]
        decoded, parts = tokenizer.decode(ids, skip_special_tokens=True), [token_bytes(tokenizer, i) for i in ids]
        found, solution = certainty.solution_tokens(tokenizer, ids, tags), answers.extract_solution(decoded, tags)
        assert (found is None) == (solution is None)
        if solution is None or b"".join(parts) != decoded.encode():  # a part of a character decodes to something else
            continue
        first = len(decoded[: decoded.index(solution, decoded.index(tags.answer_open))].encode())
        last, place, held = first + len(solution.encode()), 0, []
        for n, part in enumerate(parts):
            held += [n] if part and place < last and place + len(part) > first else []
            place += len(part)
        assert [*range(len(ids))[found]] == held, (decoded, found)
        checked += 1
    assert checked > 200
