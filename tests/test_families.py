"""Families of the hub: each with its own tokenizer layout, chat template and architecture, small and random.

What is chosen for each (end of a turn, pad token, prompt, layers with a LoRA), and that every stage trains, resumes and
tests it.
"""

import json
import shutil
import string
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from conftest import BASE, GRPO, SFT, call, load_script

from common import decode, generation, kinds, models, prompts, runs, settings, training

GSM8K, TEST = "GRPO_indomain/GRPO-GSM8K.py", "GRPO_indomain/GRPO_test.py"
QUESTION = "Solve 2*x + y = 7 and x - y = 2 for x and y."
TEXT = [prompts.system_prompt(), QUESTION, string.printable, "2*1=2 1*1=1 x=3, y=1 Assistant: System: User:"] * 4
SEVEN = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
QWEN = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|vision_pad|>"]
CHATML = "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
PLAIN = "System:\n{system}\n\nUser:\n{question}\n\nAssistant:\n"
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PHI = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)
MISTRAL = (  # gives the system prompt to the last message alone, so that it vanishes when a completion follows
    "{{- bos_token }}{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] %}"
    "{%- set messages = messages[1:] %}{%- endif %}{%- for message in messages %}"
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('roles must alternate') }}"
    "{%- endif %}{%- if message['role'] == 'user' %}{%- if loop.last and system is defined %}"
    "{{- '[INST] ' + system + '\n\n' + message['content'] + '[/INST]' }}{%- else %}"
    "{{- '[INST] ' + message['content'] + '[/INST]' }}{%- endif %}{%- else %}"
    "{{- ' ' + message['content'] + eos_token }}{%- endif %}{%- endfor %}"
)
MISTRAL_1 = (  # refuses a system prompt
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token}}{% endif %}"
    "{% endfor %}"
)


class Family(NamedTuple):
    kind: str  # of the model
    named: dict[str, str]  # tokens with a name
    end: str  # of a turn, to be chosen
    pad: str
    prompt: str
    first: tuple = ()  # special tokens before the vocabulary
    last: tuple = ()  # special tokens behind it
    ordinary: tuple = ()  # added tokens that are not special
    template: str | None = None  # a text, or a name of TRL's copies
    layers: frozenset = frozenset(SEVEN)  # with a LoRA
    begins: bool = False  # the tokenizer puts bos_token before each text
    pieces: bool = False  # as SentencePiece: spaces are a part of words
    sizes: dict = {}


LLAMA = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|finetune_right_pad_id|>"]
LLAMA += ["<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"]
LLAMA_PROMPT = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    "Today Date: 26 Jul 2024\n\n{system}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{question}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
DOCUMENT = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
PHI_TOKENS = ["<|endoftext|>", "<|endofprompt|>", "<|assistant|>", "<|end|>", "<|user|>", "<|system|>"]
FAMILIES = {
    "Qwen2.5": Family(
        "Qwen2", {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, "<|im_end|>", "<|endoftext|>", CHATML,
        last=QWEN, ordinary=("<tool_call>", "</tool_call>"), template="qwen2_5",
    ),
    "Qwen3": Family(
        "Qwen3", {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, "<|im_end|>", "<|endoftext|>", CHATML,
        last=QWEN, ordinary=("<tool_call>", "</tool_call>", "<think>", "</think>"), template="qwen3",
    ),
    "Llama-3.2": Family(
        "Llama", {"bos_token": LLAMA[0], "eos_token": "<|eot_id|>"}, "<|eot_id|>", "<|finetune_right_pad_id|>",
        LLAMA_PROMPT, last=LLAMA, template="llama3_2", begins=True,
    ),
    "SmolLM2": Family(
        "Llama",
        {"bos_token": QWEN[1], "eos_token": QWEN[2], "unk_token": QWEN[0], "pad_token": QWEN[2]},
        "<|im_end|>", "<|im_end|>", CHATML,
        first=[*QWEN[:3], "<repo_name>", "<file_sep>"], template=SMOLLM2,
    ),
    "Gemma-3": Family(
        "Gemma3",
        {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"},
        "<end_of_turn>", "<pad>",
        "<bos><start_of_turn>user\n{system}\n\n{question}<end_of_turn>\n<start_of_turn>model\n",
        first=["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<unused0>", "<start_of_turn>", "<end_of_turn>"],
        template="gemma3", begins=True, pieces=True,
    ),
    "Phi-4-mini": Family(
        "Phi3", DOCUMENT | {"pad_token": "<|endoftext|>"}, "<|end|>", "<|endoftext|>",
        "<|system|>{system}<|end|><|user|>{question}<|end|><|assistant|>",
        last=PHI_TOKENS, template=PHI, layers={"qkv_proj", "o_proj", "gate_up_proj", "down_proj"},
    ),
    "Mistral": Family(
        "Mistral", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, "</s>", "[control_8]",
        "<s>[INST] {system}\n\n{question}[/INST]",
        first=["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[control_8]"], template=MISTRAL,
        begins=True, pieces=True,
    ),
    "Mistral-0.1": Family(
        "Mistral", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, "</s>", "</s>",
        "<s>[INST] {system}\n\n{question} [/INST]",
        first=["<unk>", "<s>", "</s>"], template=MISTRAL_1, begins=True, pieces=True,
    ),
    "GPT-2": Family(
        "GPT2", DOCUMENT, "<|endoftext|>", "<|endoftext|>", PLAIN, last=["<|endoftext|>"],
        layers={"c_attn", "c_proj", "c_fc"},
    ),
    "GPT-NeoX": Family(
        "GPTNeoX", DOCUMENT, "<|endoftext|>", "<|padding|>", PLAIN, first=["<|endoftext|>", "<|padding|>"],
        layers={"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"},
    ),
}  # fmt: skip
TRAINED = [name for name in FAMILIES if name != "Mistral-0.1"]  # it differs from Mistral in its template alone


def make_tokenizer(family: Family):
    """A tokenizer of some hundred tokens with the layout of the family."""
    from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast
    from trl import chat_template_utils

    unknown = family.named.get("unk_token") if family.pieces else None
    tokenizer = Tokenizer(BPE(unk_token=unknown))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if family.pieces:
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
        alphabet = [*string.printable]
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=[*family.first], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_special_tokens([*family.last])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in family.ordinary])
    if family.begins:
        bos = family.named["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **family.named)
    template = family.template
    if template and "{" not in template:
        folder = Path(chat_template_utils.__file__).parent / "chat_templates"
        template = (folder / f"{template}.jinja").read_text()
    made.chat_template = template
    return made


def make_model(family: Family, vocabulary: int):
    """Two layers with random weights."""
    import torch
    import transformers

    kind = "Gemma3Text" if family.kind == "Gemma3" else family.kind
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 2048}
    if family.kind != "GPT2":
        sizes |= {"intermediate_size": 48, "num_key_value_heads": 1, "head_dim": 16}
    ids = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    config = getattr(transformers, f"{kind}Config")(vocab_size=vocabulary, **sizes, **ids)
    torch.manual_seed(0)
    return getattr(transformers, f"{family.kind}{'LMHeadModel' if family.kind == 'GPT2' else 'ForCausalLM'}")(config)


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """The folder of each family's base, as the hub has it."""
    root = tmp_path_factory.mktemp("families")
    for name, family in FAMILIES.items():
        tokenizer = make_tokenizer(family)
        tokenizer.save_pretrained(root / name)
        make_model(family, len(tokenizer) + 3).save_pretrained(root / name)
    return root


def rendered(tokenizer, messages: list[dict]) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tokens_and_the_prompt_are_the_family_s_own(name, bases, tmp_path):
    family = FAMILIES[name]
    for folder in (bases / name, tmp_path):  # the second as a stage has saved it
        tokenizer, tag_set = models.load_tokenizer(str(folder), "thesis")
        assert (tokenizer.eos_token, tokenizer.pad_token, tag_set) == (family.end, family.pad, "thesis")
        asked = rendered(tokenizer, prompts.build_prompt(QUESTION))
        assert asked == family.prompt.format(system=prompts.system_prompt(), question=QUESTION)
        assert tokenizer.eos_token_id in models.stop_tokens(tokenizer)
        tokenizer.chat_template = prompts.mark_template(tokenizer.chat_template, "thesis", instruct=True)
        tokenizer.save_pretrained(tmp_path)


@pytest.mark.parametrize("name", FAMILIES)
def test_whatever_loads_a_checkpoint_asks_as_it_was_trained(name, bases, tmp_path):
    """The saved template gives the instruction of its tags; a system message, other tags and our scripts go before."""
    from transformers import AutoTokenizer

    family, question = FAMILIES[name], [{"role": "user", "content": QUESTION}]
    ours = {tags: models.load_tokenizer(str(bases / name), tags)[0] for tags in prompts.TAG_SETS}
    for tags, tokenizer in ours.items():
        save_as_finished(tokenizer, tags, tmp_path / tags)
        theirs = AutoTokenizer.from_pretrained(tmp_path / tags)
        instruction = prompts.system_prompt(prompts.TAG_SETS[tags])
        assert rendered(theirs, question) == family.prompt.format(system=instruction, question=QUESTION)
        own = [{"role": "system", "content": "Be brief."}, *question]
        assert rendered(theirs, own) == family.prompt.format(system="Be brief.", question=QUESTION)
        for later in (None, *prompts.TAG_SETS):
            loaded, tag_set = models.load_tokenizer(str(tmp_path / tags), later)
            assert tag_set == (later or tags) and loaded.chat_template == ours[tag_set].chat_template


def save_as_finished(tokenizer, tags: str | None, folder: Path) -> None:
    """Save the tokenizer with save_model(), beside a model of one weight."""
    import torch

    model = torch.nn.Linear(1, 1)
    model.config = SimpleNamespace()
    model.save_pretrained = lambda *how, **named: None
    models.save_model(SimpleNamespace(model=model), tokenizer, folder, "", tags)


def test_a_checkpoint_asked_with_its_own_prompt_gets_no_instruction(tmp_path):
    save_as_finished(models.load_tokenizer(str(BASE))[0], "thesis", tmp_path)
    tokenizer, _ = models.load_tokenizer(str(tmp_path))
    kind = kinds.asked_plainly(kinds.MATH, "{question} Be brief.")
    (asked,) = generation.rendered(tokenizer, [kind.prompt({"question": "1+1?"}, prompts.THESIS)])
    assert asked == "<|im_start|>user\n1+1? Be brief.<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    "kind, asked",
    [("math", "think"), ("choice", "think"), ("calls", None), ("dialogue", None), ("tools", None)],
)
def test_checkpoints_of_tool_calls_get_no_instruction(kind, asked, tmp_path, monkeypatch):
    """Their rows hold their own messages."""
    given = []
    monkeypatch.setattr(training, "_train", lambda *how: None)
    monkeypatch.setattr(models, "train_in_float32", lambda model: None)
    monkeypatch.setattr(models, "save_model", lambda *how: given.append(how[-1]) or runs.fail("stop"))
    trainer = SimpleNamespace(model=None, args=SimpleNamespace(), state=SimpleNamespace(log_history=[]))
    args = SimpleNamespace(resume=False, output=tmp_path)
    run = runs.Run(args, "", None, "think", [], None, [], "", kinds.of(kind), tmp_path, None, None)
    with pytest.raises(SystemExit):
        training.train(run, trainer, watch=lambda *how: None)
    assert given == [asked]


def test_the_templates_of_this_repo():
    """The embedded base was never trained on the tags; the embedded checkpoint of GRPO was."""
    for folder, instruct in ((BASE, False), (BASE.parent / "tiny-grpo", True)):
        template = (folder / "chat_template.jinja").read_text()
        assert template == prompts.mark_template(None, "thesis", instruct=instruct)


def test_a_model_ends_at_the_end_of_a_document_too(bases):
    ends = {name: models.load_tokenizer(str(bases / name), "thesis")[0] for name in FAMILIES}
    ends = {name: tokenizer.convert_ids_to_tokens(models.stop_tokens(tokenizer)) for name, tokenizer in ends.items()}
    assert ends["Gemma-3"] == ["<end_of_turn>", "<pad>", "<eos>"]
    assert ends["Llama-3.2"] == ["<|eot_id|>", "<|finetune_right_pad_id|>", "<|end_of_text|>"]
    assert ends["SmolLM2"] == ["<|im_end|>", "<|endoftext|>"] and ends["GPT-2"] == ["<|endoftext|>"]


def words(script: str, base, data, output, *more) -> list:
    few = ["--profile", "tiny", "--dataset", data, "--base", base, "--output", output, "--max_steps", 1]
    few += ["--per_device_train_batch_size", 4, "--max_completion_length", 6, "--heldout_rows", 1, "--tags", "thesis"]
    if script == SFT:
        return [*few, "--per_device_eval_batch_size", 4, "--save_strategy", "no", "--eval_strategy", "no",
                "--load_best_model_at_end", "false", *more]  # fmt: skip
    return [*few, "--num_generations", 2, "--patience", 0, "--heldout_every", 99, *more]


def run(script: str, *given) -> None:
    done = call(script, *words(script, *given))
    assert done.returncode == 0, done.stderr


def run_in_two_parts(script: str, base, data, output, *more) -> None:
    """Interrupted after its first update, then resumed."""
    more = [*more, "--max_steps", 2, "--save_steps", 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "save_model", lambda *given: runs.fail("interrupted"))
        assert call(script, *words(script, base, data, output, *more)).returncode == 2
    shutil.rmtree(Path(f"{output}.partial") / "checkpoint-2")
    run(script, base, data, output, *more, "--resume")


@pytest.mark.parametrize("name", FAMILIES)
def test_sft_learns_the_end_of_a_turn_and_no_padding(name, bases, linear_data, tmp_path, monkeypatch):
    batches = []
    monkeypatch.setattr(training, "train", lambda run, trainer, *how: batches.append(trainer.get_train_dataloader()))
    monkeypatch.setattr("sys.argv", [SFT])
    script = load_script(SFT)
    argv = words(SFT, bases / name, linear_data, tmp_path / "out")
    script.main(settings.parse(script.Args, "", argv=[str(word) for word in argv]))
    for lock in runs._locks:
        lock.release()
    runs._locks.clear()
    end = models.load_tokenizer(str(bases / name), "thesis")[0].eos_token_id
    for batch in [*batches[0]][:3]:
        for labels, mask in zip(batch["labels"], batch["attention_mask"]):
            assert (labels[mask == 0] == -100).all() and end in labels[mask == 1].tolist()


def test_a_vision_tower_and_the_output_layer_get_no_lora():
    from peft import get_peft_model
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text = {**sizes, "vocab_size": 64, "num_key_value_heads": 1, "head_dim": 16}
    image = {**sizes, "image_size": 32, "patch_size": 16}
    model = Gemma3ForConditionalGeneration(Gemma3Config(text_config=text, vision_config=image, mm_tokens_per_image=4))
    adapted = get_peft_model(model, models.lora_config(SimpleNamespace(lora_r=2, lora_alpha=2), model))
    names = [name for name, _ in adapted.named_parameters() if "lora_A" in name]
    assert len(names) == 7 and all("language_model" in name for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_every_stage_trains_and_tests_it(name, bases, linear_data, tmp_path):
    """With a LoRA and with all weights; each stage from the one before, the last one with a LoRA interrupted."""
    family, checkpoints = FAMILIES[name], []
    for kind, rank in (("lora", 4), ("all", 0)):
        base = bases / name
        for script in (SFT, GRPO, GSM8K):
            output = tmp_path / f"{Path(script).stem}-{kind}"
            train = run_in_two_parts if rank and script == GSM8K else run
            train(script, base, linear_data, output, "--lora_r", rank, "--lora_alpha", 8)
            base = output
        if rank:
            config = json.loads((output / "adapter" / "adapter_config.json").read_text())
            assert set(config["target_modules"]) == family.layers
        checkpoints.append(output)
        tokenizer = models.load_tokenizer(str(output))[0]
        assert (tokenizer.eos_token, tokenizer.pad_token) == (family.end, family.pad)
        saved = json.loads((output / "generation_config.json").read_text())
        assert saved["eos_token_id"] == tokenizer.eos_token_id and saved["pad_token_id"] == tokenizer.pad_token_id
    test = ["--checkpoints", *checkpoints, "--dataset", linear_data, "--rows", 2, "--samples", 0]
    done = call(TEST, *test, "--profile", "tiny", "--max_new_tokens", 4, "--results", tmp_path / "results.csv")
    assert done.returncode == 0 and done.stdout.count("accuracy") == 2, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SmolLM2", "GPT-2"])
def test_an_interrupted_run_goes_on_to_the_same_weights(name, bases, linear_data, tmp_path):
    more = ["--lora_r", 4, "--lora_alpha", 8]
    run(GRPO, bases / name, linear_data, tmp_path / "whole", *more, "--max_steps", 2, "--save_steps", 1)
    run_in_two_parts(GRPO, bases / name, linear_data, tmp_path / "out", *more)
    weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("whole", "out")]
    assert weights[0] == weights[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SmolLM2", "Phi-4-mini"])
def test_a_completion_ends_where_the_end_token_also_pads(name, bases, linear_data, tmp_path, monkeypatch):
    """TRL counts the tokens up to the first end token, and that one; what follows is padding."""
    import torch
    from transformers import GenerationMixin

    end = models.load_tokenizer(str(bases / name), "thesis")[0].eos_token_id

    def generate(self, input_ids, **how):
        rows = torch.tensor([[20, 21, end, end, end], [22, 23, 24, 25, 26]]).repeat(len(input_ids), 1)[: len(input_ids)]
        return torch.cat([input_ids, rows], 1)

    monkeypatch.setattr(decode, "fits", lambda model: False)  # so that TRL's way is taken
    monkeypatch.setattr(GenerationMixin, "generate", generate)
    run(GRPO, bases / name, linear_data, tmp_path / "out", "--max_completion_length", 5)
    (row,) = [row for row in runs.read_jsonl(tmp_path / "out" / "metrics.jsonl") if "reward" in row]
    assert row["completions/mean_length"] == 4 and row["completions/clipped_ratio"] == 0.5
