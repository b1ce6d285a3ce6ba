"""The tags, the prompts and the chat template of every stage.

A model is asked to write its reasoning between one pair of tags and its answer between another. It generates all four
tags itself: the template pre-fills none of them. None is a *special* token: decoding would drop it, and every reward
would be 0.
"""

import re
from typing import NamedTuple


class Tags(NamedTuple):
    """The four tags, in the order of a well-formed completion."""

    work_open: str
    work_close: str
    answer_open: str
    answer_close: str


TAG_SETS = {
    "thesis": Tags("<start_working_out>", "<end_working_out>", "<SOLUTION>", "</SOLUTION>"),
    "think": Tags("<think>", "</think>", "<answer>", "</answer>"),
}
THESIS = TAG_SETS["thesis"]

# ChatML, as Qwen writes it.
CHATML = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
# For a tokenizer without ChatML's tokens. The end token closes a completion.
PLAIN = (
    "{%- for message in messages %}"
    "{{- message['role'] | capitalize + ':\n' + message['content'] }}"
    "{{- eos_token + '\n' if message['role'] == 'assistant' else '\n\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'Assistant:\n' }}{%- endif %}"
)
BEGIN = "{{- bos_token }}"  # before PLAIN, where the tokenizer begins each text so
# Before a template without a system role: its text goes to the head of the question.
SYSTEM_IN_QUESTION = (
    "{%- if messages | length > 1 and messages[0]['role'] == 'system' %}"
    "{%- set question = messages[0]['content'] + '\n\n' + messages[1]['content'] %}"
    "{%- set messages = [{'role': 'user', 'content': question}] + messages[2:] %}"
    "{%- endif %}"
)
# Before a template that writes the date of today, with which prompts would change overnight.
FIXED_DATE = "{%- macro strftime_now(format) %}26 Jul 2024{% endmacro %}"
# A conversation to try a chat template on.
TURNS = [
    {"role": "system", "content": "instruction"},
    {"role": "user", "content": "question"},
    {"role": "assistant", "content": "answer"},
]
# Before the template of a finished checkpoint, so that a conversation without a system message gets its instruction.
INSTRUCTION = (
    "{%%- if messages and messages[0]['role'] != 'system' %%}"
    "{%%- set messages = [{'role': 'system', 'content': '%s'}] + messages %%}"
    "{%%- endif %%}{#- end of the instruction -#}"
)
# What this project has put before a template: the name of the tag set and, in a finished checkpoint, the instruction.
MARK = re.compile(r"^\{#- tags: (\w+) -#\}(\{%- if messages and .*?\{#- end of the instruction -#\})?")


def system_prompt(tags: Tags = THESIS) -> str:
    """The instruction that asks for the tags, the same in SFT, GRPO and every evaluation."""
    return (
        f"Think about the problem. Work it out between {tags.work_open} and {tags.work_close}, "
        f"then give the answer between {tags.answer_open} and {tags.answer_close}."
    )


def build_prompt(question: str, tags: Tags = THESIS) -> list[dict]:
    """The messages before the completion: system prompt and question."""
    return [{"role": "system", "content": system_prompt(tags)}, {"role": "user", "content": question}]


def build_completion(reasoning: str, answer: str, tags: Tags = THESIS) -> list[dict]:
    """The well-formed completion: reasoning and answer, each between its tags, with nothing around them."""
    text = f"{tags.work_open}{reasoning}{tags.work_close}{tags.answer_open}{answer}{tags.answer_close}"
    return [{"role": "assistant", "content": text}]


def tools_prompt(tools: list[str]) -> str:
    """The system prompt that offers tools, each as one line of JSON, worded as in Qwen's chat template."""
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
        + "\n".join(tools)
        + "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
        "<tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    )


def completion_text(completion) -> str:
    """The text of a TRL completion, which is a list of messages or a string."""
    if isinstance(completion, str):
        return completion
    return completion[-1]["content"] or ""


def texts(completions, tag_sets: list[str]) -> list[tuple[str, Tags]]:
    """The text of each completion and the tags that its prompt asks for; ValueError if the lengths differ."""
    return [(completion_text(c), TAG_SETS[name]) for c, name in zip(completions, tag_sets, strict=True)]


def mark_template(template: str | None, tag_set: str, instruct: bool = False) -> str:
    """The template (ChatML if the base has none) with the name of the tag set in a leading comment.

    instruct: a conversation without a system message gets the instruction, whatever program renders it. Finished
    checkpoints are saved so. Our own scripts load them without it: they say themselves what they ask.
    """
    instruction = INSTRUCTION % system_prompt(TAG_SETS[tag_set]) if instruct else ""
    return f"{{#- tags: {tag_set} -#}}" + instruction + MARK.sub("", template or CHATML)


def tag_set_of(template: str | None) -> str | None:
    """The name of the tag set in a checkpoint's chat template, or None."""
    mark = MARK.match(template or "")
    return mark[1] if mark and mark[1] in TAG_SETS else None


def special_tokens(tokenizer) -> list[str]:
    """The special tokens in the order of their ids; in transformers 5 all_special_tokens holds only the named ones."""
    added = tokenizer.added_tokens_decoder
    return [added[number].content for number in sorted(added) if added[number].special]


def choose_template(tokenizer) -> tuple[str, int | None]:
    """(chat template, its end of a turn): the base's own if it can be trained on, else ChatML, else a plain one."""
    template = MARK.sub("", tokenizer.chat_template or "")
    candidates = []
    if template:
        if "strftime_now" in template and FIXED_DATE not in template:
            template = FIXED_DATE + template
        candidates += [template, SYSTEM_IN_QUESTION + template]
    if {"<|im_start|>", "<|im_end|>"} <= set(special_tokens(tokenizer)):
        candidates.append(CHATML)
    begins = tokenizer.bos_token_id is not None and tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]
    candidates.append(BEGIN + PLAIN if begins else PLAIN)
    for template in candidates:
        end = end_of_turn(tokenizer, template)
        if end is not None:
            break
    return template, end


def end_of_turn(tokenizer, template: str) -> int | None:
    """The special token after a completion; None for a template that cannot be trained on.

    Such a template refuses or drops the system prompt, does not close a completion, or writes a finished conversation
    otherwise than its prompt: Qwen3's puts an empty think block before a completion, which SFT would teach.
    """
    from jinja2 import TemplateError

    try:
        asked = tokenizer.apply_chat_template(
            TURNS[:2], chat_template=template, tokenize=False, add_generation_prompt=True
        )
        whole = tokenizer.apply_chat_template(TURNS, chat_template=template, tokenize=False)
    except (TemplateError, TypeError):
        return None
    reply = whole.removeprefix(asked).lstrip()
    instruction, answer = TURNS[0]["content"], TURNS[2]["content"]
    if instruction not in asked or not whole.startswith(asked) or not reply.startswith(answer):
        return None
    ids = tokenizer(reply.removeprefix(answer).strip(), add_special_tokens=False).input_ids[:1]
    ends = ids and tokenizer.convert_ids_to_tokens(ids[0]) in special_tokens(tokenizer)
    return ids[0] if ends else None


def is_well_formed(text: str, tags: Tags = THESIS) -> bool:
    """Whether each of the four tags occurs exactly once, in order, with nothing but space after the last."""
    places = [text.find(tag) for tag in tags]
    rest = text[places[-1] + len(tags.answer_close) :]
    return all(tags_once(text, tags)) and places == sorted(places) and not rest.strip()


def reasoning(text: str, tags: Tags = THESIS) -> str | None:
    """The text between the two tags of the reasoning; None unless each of them occurs once, in order."""
    before, opened, rest = text.partition(tags.work_open)
    inside, closed, after = rest.partition(tags.work_close)
    once = text.count(tags.work_open) == text.count(tags.work_close) == 1
    return inside if once and closed else None


def tags_once(text: str, tags: Tags = THESIS) -> list[bool]:
    """For each of the four tags, whether it occurs exactly once."""
    return [text.count(tag) == 1 for tag in tags]
