"""Rewards of GRPO_BFCL_v1.py, and that our evaluation says of stored completions what BFCL's own command line says."""

import csv
import json
import random
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import HOSTILE, ROOT, load_script, run_script

from BFCL.bfcl import official, official_cli
from BFCL.bfcl.sandbox import Sandbox, parse_call
from BFCL.bfcl.scoring import score_single
from common import generation, models, prompts, runs, settings
from common.calls import KINDS, call_text, decode

V1 = load_script("BFCL/GRPO_BFCL_v1.py")
EVALUATE = load_script("BFCL/GRPO_BFCL_evaluate.py")
BASE = ROOT / "resources" / "tiny-base"
FUNCTION = {
    "name": "send_message",
    "description": "Send a message.",
    "parameters": {
        "type": "dict",
        "properties": {"receiver_id": {"type": "string"}, "message": {"type": "string"}},
        "required": ["receiver_id", "message"],
    },
}
COLUMNS = {
    "functions": json.dumps([FUNCTION]),
    "solution": json.dumps([{"send_message": {"receiver_id": ["USR101"], "message": ["the lamp is late"]}}]),
    "category": "synthetic_simple",
}


def written(name: str = "send_message", **arguments) -> str:
    return call_text([(name, {"receiver_id": "USR101", "message": "the lamp is late"} | arguments)])


RIGHT = written()


def rated(text: str, **columns) -> dict[str, float]:
    asked = {name: [value] for name, value in (COLUMNS | columns).items()}
    completions = [[{"role": "assistant", "content": text}]]
    return {reward.__name__: reward(completions=completions, **asked, tags=["thesis"])[0] for reward in V1.REWARDS}


@pytest.mark.parametrize("kind", HOSTILE)
def test_bounded_and_silent_on_hostile_text(kind):
    rewards = rated(HOSTILE[kind])
    assert all(0 <= value <= 1 for value in rewards.values())
    assert rewards["valid"] == 0


def test_random_edits_are_bounded():
    rng = random.Random(0)
    for _ in range(300):
        text = list(RIGHT)
        for _ in range(rng.randint(1, 6)):
            text[rng.randrange(len(text))] = rng.choice(["", "{", '"', "\n", "<", "x", "}", "\\"])
        assert all(0 <= value <= 1 for value in rated("".join(text)).values())


def test_each_part_is_rewarded():
    assert set(rated(RIGHT).values()) == {1.0}
    assert set(rated("Let me see.\n" + RIGHT).values()) == {1.0}, "the official decoder reads calls among other text"
    assert set(rated("no call").values()) == {0.0}
    wrong = {"valid": 0, "call": 1, "name": 1, "arguments": 0.5, "no_extra": 1}
    assert rated(written(receiver_id="USR102")) == wrong
    assert rated(written("send_mail")) == {"valid": 0, "call": 1, "name": 0, "arguments": 0, "no_extra": 1}
    assert rated(f"{RIGHT}\n{RIGHT}") == {"valid": 0, "call": 0.5, "name": 0.5, "arguments": 0.5, "no_extra": 0.5}
    none = {"solution": "[]", "category": "irrelevance"}
    assert set(rated("I cannot do this.", **none).values()) == {1.0} and set(rated(RIGHT, **none).values()) == {0.0}


@pytest.mark.parametrize("wanted, offered", [(n, m) for n in (1, 2, 3) for m in range(n + 1, 7)])
def test_one_incorrect_argument_costs_less_than_calling_everything(wanted, offered):
    parameters = {"type": "dict", "properties": {"x": {"type": "integer", "description": ""}}, "required": ["x"]}
    functions = [{"name": f"f{i}", "description": "", "parameters": parameters} for i in range(offered)]
    answer = [{f"f{i}": {"x": [i]}} for i in range(wanted)]

    def reward(*values):
        calls = [{f"f{i}": {"x": value}} for i, value in enumerate(values)]
        parts = score_single(calls, functions, answer, "multiple" if wanted == 1 else "parallel_multiple")
        return sum(weight * parts[name] for name, weight in V1.WEIGHTS.items())

    assert reward(*range(offered)) < reward(99, *range(1, wanted)) < reward(*range(wanted)) == pytest.approx(1)


def test_kinds_of_completions_are_logged():
    logged, texts = {}, [RIGHT, "no", HOSTILE["call that is not JSON"], HOSTILE["unclosed call"]]
    columns = {name: [value] * 4 for name, value in COLUMNS.items()}
    V1.valid(completions=texts, **columns, log_metric=logged.__setitem__)
    assert set(logged) == {f"completions/{kind}" for kind in KINDS} and sum(logged.values()) == 1
    assert logged["completions/call"] == logged["completions/bad_json"] == logged["completions/unclosed"] == 0.25
    assert {decode(text)[1] for text in HOSTILE.values()} <= set(KINDS)


def test_the_reward_of_the_tables_is_that_of_v1():
    weights = V1.Args.__dataclass_fields__["reward_weights"].default_factory()
    assert list(V1.WEIGHTS) == [reward.__name__ for reward in V1.REWARDS]
    assert weights == list(V1.WEIGHTS.values()) and sum(weights) == pytest.approx(1)
    for text in (RIGHT, written(receiver_id="USR102"), f"{RIGHT}\n{RIGHT}", "no call"):
        reward = V1.score({"text": text}, COLUMNS, prompts.THESIS)["reward"]
        assert reward == pytest.approx(sum(w * value for w, value in zip(weights, rated(text).values())))


def test_columns_must_be_as_many_as_completions():
    with pytest.raises(ValueError):
        V1.valid(completions=["a", "b"], **{name: [value] for name, value in COLUMNS.items()})


def run(script: str, *words) -> None:
    """A script's own parser and main() in this process."""
    module = load_script(script)
    module.main(settings.parse(module.Args, "", argv=["--profile", "tiny", *map(str, words)]))


@pytest.mark.slow
def test_sft_grpo_and_evaluation_run_on_calls(tmp_path, capsys):
    """The real trainers for a few steps, and the evaluation of what they leave."""
    sizes = ("--sft_rows", 16, "--train_rows", 16, "--validation_rows", 4, "--test_rows", 4)
    single, multi = sets = [tmp_path / f"bfcl_{kind}" for kind in ("single", "multi")]
    for folder in sets:
        run("BFCL/BFCL_dataset_creation.py", "--kind", folder.name[5:], "--output", folder, *sizes)
    few = ("--heldout_every", 2, "--heldout_rows", 2, "--max_completion_length", 8, "--max_steps", 2)
    sft, v1 = tmp_path / "SFT-BFCL", tmp_path / "GRPO_BFCL_v1"
    saved = ("--eval_steps", 2, "--save_steps", 2)
    run("SFT/SFT_train.py", "--dataset", multi, "--output", sft, "--max_length", 2048, *saved, *few)
    words = ("--dataset", single, "--base", sft, "--output", v1, "--max_prompt_tokens", 1500, "--patience", 0)
    run("BFCL/GRPO_BFCL_v1.py", *words, "--per_device_train_batch_size", 8, "--num_generations", 4, *few)
    assert json.loads((v1 / "run.json").read_text())["lineage"] == ["tiny-base", "SFT-BFCL", "GRPO_BFCL_v1"]
    rows = runs.read_jsonl(v1 / "metrics.jsonl")
    assert any("completions/no_call" in row for row in rows) and "heldout_reward" in rows[0]

    results = tmp_path / "results.csv"
    words = ("--checkpoints", v1, "--dataset", *sets, "--categories", "irrelevance", "multi_turn_base", "--rows", 2)
    words += ("--max_new_tokens", 8, "--results", results)
    done = run_script("BFCL/GRPO_BFCL_evaluate.py", *words, "--profile", "tiny")
    assert done.returncode == 0, done.stderr
    assert "do not fit into the context" in done.stdout
    rows = list(csv.DictReader(open(results)))
    sampled = [(row["script"], row["dataset"]) for row in rows if row["decoding"] == "sampled"]
    assert sorted(sampled) == [("GRPO_BFCL_v1", "bfcl_multi"), ("GRPO_BFCL_v1", "bfcl_single")]
    found = {(row["script"], row["dataset"]): row for row in rows if row["decoding"] == "greedy"}
    names = ("bfcl_single", "bfcl_multi", "bfcl_irrelevance", "bfcl_multi_turn_base")
    assert set(found) == {(script, name) for script in ("never-calls", "GRPO_BFCL_v1") for name in names}
    floor = {name: float(found["never-calls", name]["accuracy"]) for name in names}
    assert floor == {"bfcl_single": 0, "bfcl_multi": 0, "bfcl_irrelevance": 1, "bfcl_multi_turn_base": 0}
    assert all(row["n"] == "2" and row["reward"] and row["ci_high"] for row in rows)
    items = list(csv.DictReader(open(tmp_path / "items.csv")))
    assert len(items) == 10 and all(len(row["correct"].split()) == 2 for row in items)

    results.write_text("".join(line for line in open(results) if "bfcl_irrelevance" not in line))
    capsys.readouterr()
    run("BFCL/GRPO_BFCL_evaluate.py", *words, "--resume", "true")
    assert capsys.readouterr().out.count("already tested") == 8
    again = list(csv.DictReader(open(results)))
    assert len(again) == 10 and [row["accuracy"] for row in again] == [row["accuracy"] for row in rows]
    assert [row["seconds"] for row in again if row["dataset"] != "bfcl_irrelevance"] == [
        row["seconds"] for row in rows if row["dataset"] != "bfcl_irrelevance"
    ]


def test_a_prompt_that_does_not_fit_is_incorrect(monkeypatch):
    """Also where no call is wanted, and in a later turn; what fits is answered."""
    tokenizer, _ = models.load_tokenizer(str(BASE))
    monkeypatch.setattr(generation, "context_length", lambda folder, args: 100)
    monkeypatch.setattr(generation, "generator", lambda *what: EVALUATE.silent)
    asked = [[{"role": "user", "content": "1+1"}], [{"role": "user", "content": "1+1 " * 200}]]
    completions = EVALUATE.loaded_model("", tokenizer, EVALUATE.Args(max_new_tokens=50))(asked)
    assert ["too_long" in one for one in completions] == [False, True]
    row = COLUMNS | {"solution": "[]", "category": "irrelevance"}
    scored = [V1.score(one, row, prompts.THESIS) for one in completions]
    assert [one["correct"] for one in scored] == [True, False]
    assert [one["reward"] for one in scored] == [pytest.approx(1), 0]


def test_group_scores_are_the_official_means():
    found = {name: {"accuracy": 0.0, "n": 100} for name in (*official.SINGLE, *official.MULTI)}
    found["simple_java"]["accuracy"] = 0.9
    found["parallel"]["accuracy"] = 0.4
    found["live_simple"] = {"accuracy": 1.0, "n": 300}
    found["live_irrelevance"]["accuracy"] = 0.5
    scores = EVALUATE.group_scores(found)
    assert scores["non_live"] == pytest.approx((0.3 + 0.4) / 4) and scores["live"] == pytest.approx(0.5)
    assert scores["irrelevance"] == 0.25 and scores["multi_turn"] == 0
    assert set(EVALUATE.group_scores({"irrelevance": found["irrelevance"]})) == set()


CATEGORIES, ROWS, DRAW = ("simple_python", "live_multiple", "irrelevance", "multi_turn_base"), 6, 1


class Stub:
    """Answers from the ground truth: every third entry correctly, every third incorrectly, every third malformed."""

    def __init__(self):
        self.asked, self.single, self.multi = 0, {}, []
        for category in CATEGORIES:
            rows = EVALUATE.sample(official.rows_of(category), ROWS, DRAW)
            for place, row in enumerate(rows):
                prompt = self.rendered(row["prompt"])
                if category == "multi_turn_base":
                    self.multi.append((prompt, place % 3, row))
                else:
                    self.single[prompt] = self.variant(row["completion"][0]["content"], place % 3)

    @staticmethod
    def rendered(messages: list[dict]) -> str:
        turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
        return turns + "<|im_start|>assistant\n"

    @staticmethod
    def variant(text: str, kind: int) -> str:
        wrong, malformed = text.replace('"arguments": {', '"arguments": {"x": 1, '), text.replace("<tool_call>\n", "")
        return (text, wrong, malformed)[kind]

    def complete(self, prompt: str) -> str:
        self.asked += 1
        if prompt in self.single:
            return self.single[prompt]
        begin, kind, row = next(one for one in self.multi if prompt.startswith(one[0].removesuffix("assistant\n")))
        turns = prompt.count("<|im_start|>user\n") - prompt.count("<|im_start|>user\n<tool_response>")
        if prompt.endswith("</tool_response><|im_end|>\n<|im_start|>assistant\n"):
            return "Done."
        calls = [tuple(parse_call(one)) for one in json.loads(row["solution"])[turns - 1]]
        calls = calls[:-1] if kind == 1 and turns == 2 else calls
        return self.variant(call_text(calls), 2 if kind == 2 else 0)


@pytest.fixture
def server():
    """An OpenAI-compatible server on 127.0.0.1 in front of the stub."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, value):
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer({"object": "list", "data": []})

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            choice = {"index": 0, "text": stub.complete(asked["prompt"]), "finish_reason": "stop", "logprobs": None}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            head = {"id": "1", "object": "text_completion", "created": 0, "model": asked["model"]}
            self.answer({**head, "choices": [choice], "usage": usage})

        def log_message(self, *words):
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield stub, f"http://127.0.0.1:{listener.server_port}"
    listener.shutdown()
    listener.server_close()


@pytest.mark.slow
def test_the_official_command_line_says_the_same(server, tmp_path, monkeypatch):
    """The same completions through `bfcl generate` and `bfcl evaluate`, and through our own scorer, entry by entry."""
    stub, url = server
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path)
    results = tmp_path / "results.csv"
    words = {"profile": "tiny", "checkpoints": [str(BASE)], "dataset": [], "categories": list(CATEGORIES)}
    args = EVALUATE.Args(**words, rows=ROWS, draw=DRAW, official=True, server=url, minutes=10, results=str(results))
    EVALUATE.main(args)
    measured = {row["dataset"]: row for row in csv.DictReader(open(results))}
    assert stub.asked > ROWS * len(CATEGORIES)
    for category in CATEGORIES:
        score = next((tmp_path / "bfcl").rglob(f"BFCL_v4_{category}_score.json"))
        incorrect = {json.loads(line)["id"] for line in score.read_text().splitlines()[1:]}
        rows = EVALUATE.sample(official.rows_of(category), ROWS, DRAW)

        def answer(asked, **how):
            return [{"text": stub.complete(stub.rendered(one)), "tokens": 1, "truncated": False} for one in asked]

        rows_asked = [row["prompt"] for row in rows]
        with Sandbox() as sandbox:
            turns = category in official.MULTI
            made = EVALUATE.play(answer, rows, sandbox, args, rows_asked) if turns else answer(rows_asked)
        score = EVALUATE.score_dialogue if turns else V1.score
        scored = [score(one, row, prompts.THESIS) for one, row in zip(made, rows)]
        verdicts = [one["correct"] for one in scored]
        assert {row["id"] for row, correct in zip(rows, verdicts) if not correct} == incorrect, category
        assert float(measured[f"bfcl_{category}"]["accuracy"]) == pytest.approx(sum(verdicts) / ROWS, abs=1e-4)
        assert measured[f"bfcl_{category}"]["n"] == str(ROWS)
        assert 0 < sum(verdicts) < ROWS or category == "irrelevance"


def test_a_server_that_dies_ends_the_script(tmp_path, monkeypatch, capsys):
    """One line, nothing left running, and no other process touched."""
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path)
    monkeypatch.setattr(official_cli.sys, "executable", str(tmp_path / "python"))
    program = tmp_path / "transformers"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    args = EVALUATE.Args(profile="tiny", checkpoints=[str(BASE)], dataset=[], categories=["irrelevance"], rows=1)
    args.official = True
    with pytest.raises(SystemExit):
        EVALUATE.main(args)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "ended with code 3" in errors[0]


def test_the_server_has_the_update_of_a_16_bit_lora(tmp_path, capsys):
    """vLLM takes root and adapter/; transformers takes the merged weights, and a line says so."""
    root, folder = tmp_path / "root", tmp_path / "out"
    shutil.copytree(BASE, root)
    (folder / "adapter").mkdir(parents=True)
    shutil.copy(BASE / "config.json", folder)
    runs.write_json(folder / "adapter" / "adapter_config.json", {"r": 12})
    runs.write_json(folder / "run.json", {"root": str(root), "root_made": runs.made(str(root)), "update_kept": 0.6})
    words = official_cli.server_command(str(folder), EVALUATE.Args(profile="gpu", use_vllm=True))
    assert words[2] == str(root) and words[words.index("--max-lora-rank") + 1] == "16" and "--enable-lora" in words
    assert words[words.index("--lora-modules") + 1] == f"{folder}={folder / 'adapter'}"
    assert not capsys.readouterr().out
    words = official_cli.server_command(str(folder), EVALUATE.Args())
    assert words[2] == str(folder) and "merged weights" in capsys.readouterr().out
    words = official_cli.server_command(str(BASE), EVALUATE.Args(use_vllm=True))
    assert words[2] == str(BASE) and "--enable-lora" not in words and not capsys.readouterr().out


def test_bad_input(capsys):
    with pytest.raises(SystemExit):
        settings.parse(EVALUATE.Args, "", argv=["--categories", "sonnets"])
    assert "choose all, none, non_live" in capsys.readouterr().err
    assert EVALUATE.chosen(["irrelevance"]) == ["irrelevance"]
    assert EVALUATE.chosen(["live", "live_simple"]) == list(EVALUATE.GROUPS["live"])
    assert len(EVALUATE.chosen(["all"])) == 17 and EVALUATE.chosen(["none"]) == []
