"""docs/serving.md: its commands as they stand there; many requests at once, malformed ones among them."""

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import BASE, ROOT

from common import calls, prompts
from ToolUse.tooluse import conversations

PAGE = (ROOT / "docs" / "serving.md").read_text()
MATHS, TOOLS = "outputs/GRPO-1K", "outputs/SFT_tools"


def block(start: str) -> str:
    """The block of code on the page whose first line begins so."""
    (found,) = [code for code in re.findall(r"```\w*\n(.*?)```", PAGE, re.DOTALL) if code.startswith(start)]
    return found


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


class Place:
    """A folder with outputs/ and a home of its own, in which commands of the page run with other ports."""

    def __init__(self, folder: Path):
        self.folder, self.ports = folder, {"8000": free_port(), "8001": free_port()}
        for name, checkpoint in (
            (MATHS, prompts.mark_template(None, "thesis", instruct=True)),
            (TOOLS, conversations.template("thesis")),
        ):
            shutil.copytree(BASE, folder / name)
            (folder / name / "chat_template.jinja").write_text(checkpoint)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
        self.environment = kept | {"HOME": str(folder), "PATH": path, "HF_HUB_OFFLINE": "1"}

    def start(self, code: str, **how) -> subprocess.Popen:
        for port, ours in self.ports.items():
            code = code.replace(port, ours)
        language = [sys.executable, "-c"] if code.startswith("from ") else ["bash", "-c"]
        code = re.sub(r"^(transformers|vllm)", r"exec \1", code, flags=re.MULTILINE)  # a signal to bash ends the server
        return subprocess.Popen([*language, code], cwd=self.folder, env=self.environment, **how)

    def run(self, code: str) -> str:
        done = self.start(code, stdout=subprocess.PIPE, text=True)
        out, _ = done.communicate(timeout=300)
        assert done.returncode == 0
        return out

    @contextlib.contextmanager
    def serving(self, code: str, port: str):
        with open(self.folder / f"{port}.log", "w") as log:
            server = self.start(code, stdout=log, stderr=log)
        try:
            while server.poll() is None:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{self.ports[port]}/health")
                    break
                time.sleep(0.1)
            assert server.poll() is None, (self.folder / f"{port}.log").read_text()
            yield f"http://127.0.0.1:{self.ports[port]}/v1"
        finally:
            server.terminate()
            server.wait(timeout=60)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def answer(url: str, body: bytes) -> int:
    """The status of a request."""
    request = urllib.request.Request(f"{url}/chat/completions", body, {"Content-Type": "application/json"})
    try:
        return urllib.request.urlopen(request, timeout=300).status
    except urllib.error.HTTPError as error:
        return error.code


def ask_twenty_at_once(place: Place, url: str, malformed: int, unknown: int, empty: int) -> None:
    """Ask the server of GRPO-1K as the page does, then twenty at once; the statuses of three refusals are given."""
    from openai import OpenAI

    reply = json.loads(place.run(block("curl")))
    assert reply["choices"][0]["message"]["content"] and 0 < reply["usage"]["completion_tokens"] <= 144

    client = OpenAI(base_url=url, api_key="none", max_retries=0)

    def ask(number: int):
        if number == 7:
            return answer(url, b'{"model": "outputs/GRPO-1K", "messages": [{"role": "us')
        messages = [{"role": "user", "content": f"What is {number} + 5?"}]
        done = client.chat.completions.create(model=MATHS, messages=messages, max_tokens=40, temperature=0)
        return done.choices[0].message.content

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        texts = list(pool.map(ask, range(20)))
    assert texts.pop(7) == malformed and all(isinstance(text, str) and text for text in texts)
    assert texts[:3] == [ask(number) for number in range(3)], "what comes at once changes an answer"
    assert answer(url, json.dumps({"model": "another", "messages": []}).encode()) == unknown
    assert answer(url, json.dumps({"model": MATHS}).encode()) == empty
    assert ask(1)
    assert urllib.request.urlopen(f"{url}/models").status == 200
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", place.ports["8000"]), timeout=5):
        pass


@pytest.mark.slow
def test_mathematics_and_twenty_requests_at_once(place):
    with place.serving(block("mkdir"), "8000") as url:
        ask_twenty_at_once(place, url, malformed=422, unknown=400, empty=500)


def teach(folder: Path, conversation: list[dict], tools: list[dict]) -> None:
    """Train the checkpoint until it gives the assistant's messages of one conversation, greedily."""
    import torch
    from transformers import AutoModelForCausalLM

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), conversations.load_tokenizer(str(folder))[0]
    places = [i for i, message in enumerate(conversation) if message["role"] == "assistant"]

    def shown(messages, **how):
        return tokenizer.apply_chat_template(messages, tools=tools, **how)["input_ids"]

    pairs = [(shown(conversation[:i], add_generation_prompt=True), shown(conversation[: i + 1])) for i in places]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(60):
        for before, whole in pairs:
            labels = torch.tensor([[-100] * len(before) + whole[len(before) :]])
            model(input_ids=torch.tensor([whole]), labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)


def hold_the_dialogue_of_the_page(place: Place, command: str) -> None:
    """The client of the page gets a call of its tool, sends the result, and gets the answer."""
    page = {}
    code = block("from openai").partition("messages = ")[0].replace("from openai import OpenAI", "")
    exec(code.replace("OpenAI(", "dict("), page)
    call = conversations.called("calculator", {"expression": "76 * 48"})
    conversation = [
        {"role": "user", "content": "Give me the product 76 * 48."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": '{"result": 3648}'},
        {"role": "assistant", "content": "The result is 3648."},
    ]
    teach(place.folder / TOOLS, conversation, page["how"]["tools"])
    with place.serving(command, "8001"):
        printed = place.run(block("from openai"))
    assert "name='calculator'" in printed and '{"expression": "76 * 48"}' in printed
    assert printed.splitlines()[-1] == "The result is 3648."


@pytest.mark.slow
def test_tools(place):
    hold_the_dialogue_of_the_page(place, block("transformers serve"))


def test_the_server_reads_the_calls_that_are_trained():
    from transformers.cli.serving.utils import parse_assistant_message

    tokenizer, _ = conversations.load_tokenizer(str(BASE))
    kind = SimpleNamespace(config=SimpleNamespace(model_type="qwen3"))
    made = [("calculator", {"expression": "12 * 7"}), ("weather", {"city": "Rome"})]
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "?"}], add_generation_prompt=True)["input_ids"]
    written = tokenizer(calls.call_text(made) + tokenizer.eos_token).input_ids
    content, _, found = parse_assistant_message(tokenizer, kind, written, asked)
    assert not content and [(call.name, json.loads(call.arguments)) for call in found] == made


def test_the_client_of_the_page_gets_the_prompt_of_training(place):
    """It sends the question alone; the saved template of GRPO-1K adds the instruction, that of SFT_tools nothing."""
    from transformers import AutoTokenizer

    question = json.loads(block("curl").partition("-d '")[2].rstrip().removesuffix("'"))["messages"]
    trained = {MATHS: prompts.build_prompt(question[0]["content"]), TOOLS: question}
    for name, conversation in trained.items():
        tokenizer = AutoTokenizer.from_pretrained(place.folder / name)
        shown = tokenizer.apply_chat_template(question, tokenize=False)
        assert shown == tokenizer.apply_chat_template(conversation, tokenize=False)
        assert shown.count("<|im_start|>") == len(conversation)
