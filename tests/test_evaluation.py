"""What a row of results.csv and items.csv says: the columns of the thesis, what replaces what, which answers count."""

import sys
import types

import pytest
from conftest import BASE, call, one_line

from common import evaluation, generation, judge, kinds, progress, prompts, runs

TEST = "GRPO_indomain/GRPO_test.py"
GREEDY = evaluation.Plan("greedy", 1, {})
A, B, C, D = prompts.THESIS
ROW = {
    "script": "GRPO-1K",
    "seed": 1,
    "base": "b",
    "dataset": "linear",
    "split": "test",
    "decoding": "greedy",
    "n": 200,
}


def row(**facts) -> dict:
    return {**ROW, "accuracy": 0.8, "mean_tokens": 50.0, "judge": 8.36, **facts}


def completion(text: str) -> dict:
    return {"text": text, "tokens": 1, "truncated": False}


@pytest.mark.parametrize(
    "accuracy, judged, efficiency, final",
    [(0.80, 8.36, 0.92, 0.838), (0.82, 8.38, 0.91, 0.845), (0.82, 8.31, 0.90, 0.840), (0.84, 8.48, 0.92, 0.859)],
)
def test_final_gives_what_the_thesis_published(accuracy, judged, efficiency, final):
    assert evaluation.final_score(accuracy, judged, efficiency) == pytest.approx(final, abs=1e-3)


@pytest.mark.parametrize("first", ["SFT", "GRPO-1K"])
def test_efficiency_does_not_depend_on_the_order_of_testing(first, tmp_path):
    path = tmp_path / "results.csv"
    tested = {"SFT": row(script="SFT", mean_tokens=46.0), "GRPO-1K": row()}
    for script in sorted(tested, key=lambda name: name != first):
        evaluation.save_rows([tested[script]], path)
    sft, grpo = sorted(evaluation.read_rows(path), key=lambda r: r["script"] != "SFT")
    assert grpo["efficiency"] == "0.9200" and grpo["final"] == "0.8384"
    assert sft["efficiency"] == "1.0000"
    evaluation.save_rows([row(script="SFT", mean_tokens=100.0)], path)
    assert evaluation.read_rows(path)[0]["efficiency"] == "2.0000"


def test_efficiency_is_empty_without_sft_on_the_same_items(tmp_path):
    path = tmp_path / "results.csv"
    others = [{"seed": 2}, {"base": "c"}, {"dataset": "gsm8k"}, {"split": "validation"}, {"decoding": "sampled"}]
    evaluation.save_rows([row(), row(script="SFT", n=100)] + [row(script="SFT", **other) for other in others], path)
    grpo = evaluation.read_rows(path)[0]
    assert grpo["script"] == "GRPO-1K" and grpo["efficiency"] == grpo["final"] == ""
    evaluation.save_rows([row(script="SFT", mean_tokens=0.0)], path)
    assert evaluation.read_rows(path)[0]["efficiency"] == ""
    evaluation.save_rows([row(script="SFT"), {name: row()[name] for name in row() if name != "judge"}], path)
    grpo = evaluation.read_rows(path)[0]
    assert grpo["efficiency"] == "1.0000" and grpo["judge"] == grpo["final"] == ""


def test_items_stand_beside_the_results_and_are_replaced(tmp_path):
    path = tmp_path / "results.csv"
    both = {"correct": "5 0 3", "flexible": "5 1 3"}
    evaluation.save_rows(
        [row(samples=5, flexible=0.6, counts=both), row(script="SFT", samples=1, counts={"correct": "1 0 1"})], path
    )
    evaluation.save_rows([row(samples=5, flexible=0.7, counts={**both, "correct": "4 1 3"})], path)
    items = evaluation.read_rows(tmp_path / "items.csv")
    assert list(items[0]) == [*evaluation.KEY, "samples", "correct", "flexible"]
    counts = [(item["script"], item["correct"], item["flexible"]) for item in items]
    assert counts == [("GRPO-1K", "4 1 3", "5 1 3"), ("SFT", "1 0 1", "")]
    results = evaluation.read_rows(path)
    assert list(results[0]) == list(evaluation.COLUMNS) and [one["flexible"] for one in results] == ["0.7000", ""]


def test_both_scores_of_a_completion():
    """Strict: the answer between its tags; flexible: the answer wherever it stands, of several the last."""

    def scores(text, truth="4", options=()):
        scored = kinds.score(completion(text), truth, prompts.THESIS, options)
        return scored["correct"], scored["flexible"]

    assert scores(f"{A}2+2=4{B}{C}4{D}") == (True, True)
    assert scores(f"{A}2+2=4{B}{C}5{D}") == (False, False)  # what stands between the tags counts
    assert scores("2+2=4") == scores("#### 4") == scores(f"{A}2+2=4{B}{C}4") == (False, True)
    assert scores("4 or 5 or 6") == scores("") == scores("four") == (False, False)
    assert scores("so the answer is (A).", "A", OPTIONS) == scores("Answer: A) 6", "A", OPTIONS) == (False, True)
    assert scores("A or B or C", "A", OPTIONS) == scores("Answer: B) a dog", "A", OPTIONS) == (False, False)
    assert scores(f"{A}w{B}{C}A) 6{D}", "A", OPTIONS) == (True, True)
    assert scores(f"{A}w{B}{C}A) 8{D}", "A", OPTIONS) == (False, False)


def test_a_summary_has_both_scores_where_all_completions_have_them():
    scored = [kinds.score(completion(text), "4", prompts.THESIS) for text in (f"{A}w{B}{C}4{D}", "4", "4", "5")]
    figures = evaluation.summary(scored, 4)
    assert (figures["accuracy"], figures["flexible"]) == (0.25, 0.75)
    assert (figures["flexible_low"], figures["flexible_high"]) == evaluation.wilson(0.75, 4)
    assert evaluation.scores_of(figures) == "75.0% [30.1%, 95.4%] flexible, 25.0% [4.6%, 69.9%] strict"
    assert evaluation.counts_of(scored, 2) == {"correct": "1 0", "flexible": "2 1"}
    strict = [{name: value for name, value in one.items() if name != "flexible"} for one in scored]
    figures = evaluation.summary(strict, 4)
    assert not [name for name in figures if "flexible" in name]
    assert evaluation.scores_of(figures) == "25.0% [4.6%, 69.9%]"
    assert evaluation.counts_of(strict, 2) == {"correct": "1 0"}


def test_the_judge_reads_the_reasoning():
    def judged(text):
        return kinds.score(completion(text), "4", prompts.THESIS)["judge"]

    assert judged(f"{A}2+2=4{B}{C}4{D}") == 10.0
    assert judged(f"{A}1+1=2\n2+2=5{B}{C}5{D} 3+3=6") == 5.0
    assert judged("2+2=4 and 3+3=7") == 5.0  # no tags: the whole text
    assert judged(f"{B}2+2=4{A}3+3=7") == 5.0
    assert judged(f"{A}the answer is obvious{B}{C}4{D}") == judged("") == 0.0


def test_summary_leaves_out_what_was_not_judged():
    scored = [kinds.score(completion(""), "4", prompts.THESIS) for _ in range(3)]
    scored[0]["judge"], scored[1]["judge"], scored[2]["judge"] = 4.0, None, 6.0
    assert evaluation.summary(scored, 3)["judge"] == 5.0
    assert "judge" not in evaluation.summary([{**one, "judge": None} for one in scored], 3)


OPTIONS = ["6", "a dog", "8"]


@pytest.mark.parametrize(
    "answer, correct",
    [
        ("A", True),
        ("a", True),
        ("(A)", True),
        ("A.", True),
        ("A)", True),
        ("A) 6", True),
        ("A. 6.", True),
        ("A: 6", True),
    ]
    + [("A) 8", False), ("A) 6 or B) a dog", False), ("A or B or C", False), ("A, B", False), ("A B", False)]
    + [("B", False), ("6", False), ("A 6", False), ("D) 6", False), ("Z)", False), ("AA", False), ("not A", False)]
    + [("Ａ", False), ("да", False), ("А", False), ("١", False), ("", False), (")" * 400, False), ("A) " * 100, False)],
)
def test_an_option_is_named_by_its_letter(answer, correct):
    text = f"{A}w{B}{C}{answer}{D}"
    assert kinds.score(completion(text), "A", prompts.THESIS, OPTIONS)["correct"] is correct


def test_a_letter_with_the_text_of_its_option():
    text = f"{A}w{B}{C}B)  A  Dog{D}"
    scored = kinds.score(completion(text), "B", prompts.THESIS, OPTIONS)
    assert scored["correct"] and scored["solution"] == "B)  A  Dog"
    assert not kinds.score(completion(text), "B", prompts.THESIS)["correct"]


@pytest.mark.parametrize("answer", ["да", "ДА", "ｙｅｓ", "نعم", "はい", "yes or no", "yes, it is", "true", "1"])
def test_yes_in_other_words_is_not_yes(answer):
    assert not kinds.score(completion(f"{A}w{B}{C}{answer}{D}"), "yes", prompts.THESIS)["correct"]
    assert kinds.score(completion(f"{A}w{B}{C}Yes.{D}"), "yes", prompts.THESIS)["correct"]


def test_numbers_in_other_digits_and_with_words_are_not_numbers():
    for answer in ("٤٢", "４２", "not 42 apples", "forty-two", "42 43"):
        assert not kinds.score(completion(f"{A}w{B}{C}{answer}{D}"), "42", prompts.THESIS)["correct"], answer


def test_samples_of_one_problem_have_seeds_of_their_own_in_vllm(monkeypatch):
    """On a stand-in for vllm, which is not installed everywhere: every request carries another seed."""

    class SamplingParams(types.SimpleNamespace):
        def clone(self):
            return SamplingParams(**vars(self))

    class LLM:
        def generate(self, asked, sampling, **named):
            self.seeds = [one.seed for one in sampling]
            output = types.SimpleNamespace(token_ids=[90, 91], finish_reason="length")
            return [types.SimpleNamespace(outputs=[output]) for _ in asked]

    monkeypatch.setitem(sys.modules, "vllm", types.SimpleNamespace(SamplingParams=SamplingParams))
    from transformers import AutoTokenizer

    tokenizer, llm = AutoTokenizer.from_pretrained(BASE), LLM()
    replies = generation.generate_vllm(llm, tokenizer, [prompts.build_prompt("?")] * 4, 2, temperature=1.0, seed=5)
    assert len(set(llm.seeds)) == 4 and all(one["truncated"] and one["tokens"] == 2 for one in replies)


def test_pass_k_samples_and_a_data_set_named_by_its_path(linear_data, tmp_path):
    path = tmp_path / "here" / "results.csv"
    words = ["--checkpoints", BASE, "--dataset", f"{linear_data}/", "--results", path]
    words += ["--samples", 2, "--pass_k", 6, "--pass_rows", 3, "--max_new_tokens", 40]
    assert call(TEST, *words).returncode == 0
    rows = {r["decoding"]: r for r in evaluation.read_rows(path)}
    items = {r["decoding"]: r for r in evaluation.read_rows(path.with_name("items.csv"))}
    assert rows.keys() == items.keys() == {"greedy", "sampled", "pass@k"}
    assert {r["dataset"] for r in rows.values()} == {"linear"}
    assert [rows[name]["n"] for name in ("greedy", "sampled", "pass@k")] == ["8", "8", "3"]
    for name, samples, n in (("greedy", 1, 8), ("sampled", 2, 8), ("pass@k", 6, 3)):
        correct = [int(count) for count in items[name]["correct"].split()]
        assert items[name]["samples"] == str(samples) and len(correct) == n and max(correct) <= samples
        assert float(rows[name]["accuracy"]) == pytest.approx(sum(correct) / (samples * n), abs=1e-4)
        flexible = [int(count) for count in items[name]["flexible"].split()]
        assert len(flexible) == n and all(many >= few for many, few in zip(flexible, correct))
        assert float(rows[name]["flexible"]) == pytest.approx(sum(flexible) / (samples * n), abs=1e-4)
        assert float(rows[name]["flexible_low"]) <= float(rows[name]["flexible"]) <= float(rows[name]["flexible_high"])
    replies = runs.read_jsonl(next((path.parent / "tests").glob("*pass@k.jsonl")))
    assert len(replies) == 18 and len({one["text"] for one in replies[:6]}) > 1
    assert rows["greedy"]["judge"] and not rows["greedy"]["efficiency"]


def test_a_base_with_its_own_prompt_has_rows_of_its_own(linear_data, tmp_path):
    path = tmp_path / "results.csv"
    words = [
        "--checkpoints",
        BASE,
        "--dataset",
        linear_data,
        "--results",
        path,
        "--max_new_tokens",
        160,
        "--samples",
        0,
    ]
    for own in ([], ["--own_prompt", "{question}\nAnswer in a \\boxed{}."]):
        assert call(TEST, *words, *own).returncode == 0
    rows = {row["script"]: row for row in evaluation.read_rows(path)}
    assert rows.keys() == {"base", "base-own-prompt"}
    for row in rows.values():
        assert (row["seed"], row["start"]) == ("0", "") and float(row["flexible"]) > float(row["accuracy"])
    one_line(call(TEST, *words, "--own_prompt", "Solve it."), "{question}")


def test_progress_and_metrics_have_both_scores(tmp_path, monkeypatch):
    """A held-out measurement on stand-ins for the trainer and its completions."""
    held_out = [{"question": "?", "solution": "4"}] * 2
    run = types.SimpleNamespace(
        partial=tmp_path, tag_set="thesis", heldout=held_out, kind=kinds.MATH, tokenizer=None, started=0.0
    )
    run.args = types.SimpleNamespace(max_completion_length=8)
    calls = types.SimpleNamespace(on_log=lambda args, state, control, logs: curves.append(logs))
    trainer = types.SimpleNamespace(
        args=types.SimpleNamespace(report_to=[]), callback_handler=calls, remove_callback=id, add_callback=id
    )
    texts = ["2+2=4", f"{A}2+2=4{B}{C}4{D}"]
    monkeypatch.setattr(generation, "generate_as_trained", lambda *words: list(map(completion, texts)))
    curves, lines = [], []
    watch = progress.Watch(trainer, run, kinds.MATH.score)
    watch.bar = types.SimpleNamespace(disable=True, write=lambda text, file: lines.append(text), set_postfix=id)
    watch.measure(types.SimpleNamespace(global_step=3, max_steps=9))
    (metrics,) = runs.read_jsonl(tmp_path / "metrics.jsonl")
    assert (metrics["heldout_flexible"], metrics["heldout_accuracy"]) == (1.0, 0.5)
    assert (curves[0]["eval_flexible"], curves[0]["eval_accuracy"]) == (1.0, 0.5)
    assert "held-out accuracy 100.0% [34.2%, 100.0%] flexible, 50.0% [9.5%, 90.5%] strict of n=2" in lines[0]


def test_the_own_prompt_is_the_text_alone():
    kind = kinds.asked_plainly(kinds.CHOICE, "Q: {question}\n{}")
    assert kind.prompt({"question": "1 {question} 2?"}, prompts.THESIS) == [
        {"role": "user", "content": "Q: 1 {question} 2?\n{}"}
    ]
    assert kind.score is kinds.CHOICE.score


def test_a_judge_that_is_down_does_not_end_the_evaluation(linear_data, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path / "outputs")
    monkeypatch.setattr(judge, "TRIES", 1)
    words = ["--checkpoints", BASE, "--dataset", linear_data, "--results", tmp_path / "results.csv", "--samples", 0]
    words += ["--max_new_tokens", 8, "--judge", "http://127.0.0.1:9/v1", "--judge_model", "m"]
    done = call(TEST, *words)
    assert done.returncode == 0 and "0 judged, 8 failed" in done.stdout
    (only,) = evaluation.read_rows(tmp_path / "results.csv")
    assert only["judge"] == only["final"] == "" and only["accuracy"]


def test_bad_input_ends_in_one_line(linear_data, tmp_path):
    words = ["--checkpoints", BASE, "--dataset", linear_data, "--results", tmp_path / "results.csv"]
    for more, said in (
        (["--greedy", "false", "--samples", 0], "nothing to test"),
        (["--judge", "ftp://x", "--judge_model", "m"], "address of a server"),
        (["--dataset", linear_data, f"{linear_data}/../linear"], "same folder name"),
        (["--dataset", tmp_path / "none"], "does not exist"),
    ):
        one_line(call(TEST, *words, *more), said)
    assert not (tmp_path / "results.csv").exists()


def test_wilson_matches_a_known_interval():
    low, high = evaluation.wilson(0.8, 100)
    assert low == pytest.approx(0.7112, abs=1e-3) and high == pytest.approx(0.8666, abs=1e-3)
    assert evaluation.wilson(0.0, 10)[0] == 0.0 and evaluation.wilson(1.0, 10)[1] == pytest.approx(1.0)


def test_a_score_is_found_by_key_and_a_base_answers_greedily_without_a_seed():
    sampled = evaluation.Plan("sampled", 5, {})
    base, trained = ({"script": name, "seed": 7, "base": "b"} for name in ("base", "SFT"))
    for facts, plan, seed in ((base, GREEDY, 0), (base, sampled, 7), (trained, GREEDY, 7), (trained, sampled, 7)):
        key = evaluation.key_of(facts, "linear", "test", plan)
        assert tuple(key) == evaluation.KEY and key["seed"] == seed and key["decoding"] == plan.decoding


def test_the_scorer_that_is_handed_over_decides(tmp_path):
    """Neither the columns of a row nor anything else chooses it; its reward is averaged and kept."""
    rows, args = [{"question": "?", "solution": "4", "functions": "[]"}] * 2, types.SimpleNamespace(results="", show=0)
    key = evaluation.key_of({"script": "SFT", "seed": 1, "base": "b"}, "linear", "test", GREEDY)
    args.results = str(tmp_path / "results.csv")

    def answer(conversations):
        assert conversations == [prompts.build_prompt("?")] * 2
        return [completion("even"), completion("odd")]

    def score(found, row, tags):
        assert row is rows[0] and tags == prompts.THESIS
        return {**found, "correct": found["text"] == "even", "well_formed": True, "solution": "", "reward": 0.25}

    tested = evaluation.TestSet("linear", "test", rows, kinds.MATH)
    figures = evaluation.test(answer, key, tested, "thesis", GREEDY, args, score)
    assert (figures["accuracy"], figures["reward"], figures["counts"]) == (0.5, 0.25, {"correct": "1 0"})
    assert "judge" not in figures and "flexible" not in figures
    (kept,) = (tmp_path / "tests").iterdir()
    assert [line["correct"] for line in runs.read_jsonl(kept)] == [True, False]


def test_a_row_says_what_the_training_started_from(tmp_path, monkeypatch):
    path, args = tmp_path / "results.csv", types.SimpleNamespace(seed=0)
    folder = tmp_path / "GRPO-1K"
    folder.mkdir()
    runs.write_json(folder / "run.json", {"lineage": ["b", "SFT", "GRPO-1K"], "seed": 1})
    facts = evaluation.checkpoint_facts(str(folder), args)
    assert facts == {"script": "GRPO-1K", "seed": 1, "base": "b", "start": "SFT"}
    assert evaluation.checkpoint_facts(str(BASE), args)["start"] == ""
    evaluation.save_rows([row()], path)
    path.write_text(path.read_text().replace("base,start,", "base,", 1).replace(",b,,linear", ",b,linear", 1))
    path.write_text(path.read_text().replace("flexible,flexible_low,flexible_high,", "", 1).replace(",,,,", ",", 1))
    (earlier,) = evaluation.read_rows(path)  # a file of an earlier version
    assert "start" not in earlier and "flexible" not in earlier and earlier["mean_tokens"] == "50.0000"
    evaluation.save_rows([{**row(dataset="gsm8k"), **facts}], path)
    assert [(one["start"], one["flexible"]) for one in evaluation.read_rows(path)] == [("SFT", ""), ("", "")]
