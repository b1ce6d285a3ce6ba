"""SFT on correct samples of its start, and a start that ends at an accuracy: what is kept, exact resume, bad input."""

import json

import pytest
from conftest import BASE, FEW, SFT, call, load_script, one_line

from common import data, evaluation, generation, kinds, models, prompts, runs, training

SCRIPT = "SFT/SFT_rejection.py"
FEW_SAMPLES = ["--rows", 16, "--samples", 4, "--keep", 2, "--max_steps", 4, "--save_steps", 2, "--heldout_rows", 4]


def scored(text, correct=True, truncated=False):
    return {"text": text, "correct": correct, "truncated": truncated}


def test_kept_are_the_correct_whole_and_different_ones():
    select = load_script(SCRIPT).select
    first = [scored("a"), scored("b", correct=False), scored("a"), scored("c", truncated=True), scored("d")]
    second = [scored("e", correct=False)] * 5
    third = [scored("a"), scored("f"), scored("g"), scored("g"), scored("h")]
    assert select(first + second + third, samples=5, keep=3) == [
        {"row": 0, "text": "a"},
        {"row": 0, "text": "d"},
        {"row": 2, "text": "a"},
        {"row": 2, "text": "f"},
        {"row": 2, "text": "g"},
    ]
    assert [one["text"] for one in select(third, samples=5, keep=1)] == ["a"]


def test_tags_are_put_around_what_the_own_prompt_gives():
    put_tags = load_script(SCRIPT).put_tags
    row = {"solution": "8"}
    text = "4x = 32, so x is \\boxed{8}."
    completion = {"text": f" {text}\n", "flexible": True, "correct": False}
    tagged = put_tags(completion, row, prompts.THESIS)
    assert tagged["correct"]
    assert tagged["text"] == f"<start_working_out>{text}<end_working_out><SOLUTION>8</SOLUTION>"
    assert not put_tags(completion | {"flexible": False}, row, prompts.THESIS)["correct"]
    hostile = completion | {"text": "<SOLUTION>8</SOLUTION> It is 8."}
    assert not put_tags(hostile, row, prompts.THESIS)["correct"]


def test_what_the_trainer_would_cut_is_not_trained_on(capsys):
    drop_long = load_script(SCRIPT).drop_long
    tokenizer, _ = models.load_tokenizer(str(BASE), "thesis")
    examples = []
    for times in (1, 40):
        text = prompts.build_completion("1 + 1 = 2 " * times, "2", prompts.THESIS)
        examples.append({"prompt": prompts.build_prompt("1 + 1?"), "completion": text})
    assert drop_long(examples, tokenizer, 1000) == examples
    assert drop_long(examples, tokenizer, 150) == examples[:1]
    assert "dropped 1 of the kept samples" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        drop_long(examples, tokenizer, 10)


@pytest.mark.slow
def test_it_samples_with_the_own_prompt(linear_data, sft, tmp_path):
    words = ["--dataset", linear_data, "--base", sft, *FEW_SAMPLES, "--output", tmp_path / "out", "--own_prompt"]
    one_line(call(SCRIPT, *words, "Solve it."), "{question}")
    done = call(SCRIPT, *words, "{question}")
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "out" / runs.SAMPLES).read_text())
    rows = data.read_split(str(linear_data), "train").rows
    assert content["selection"]
    for one in content["selection"]:
        assert one["text"].endswith(f"<SOLUTION>{rows[one['row']]['solution']}</SOLUTION>")


def interrupt(monkeypatch, module, name: str, after: bool = False) -> None:
    """Make a function of a module end the script as Ctrl-C does, before or after it has done its work."""
    original = getattr(module, name)

    def interrupted(*words, **more):
        if after:
            original(*words, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, interrupted)


@pytest.fixture(scope="module")
def words(linear_data, sft):
    return ["--dataset", linear_data, "--base", sft, *FEW_SAMPLES]


@pytest.fixture(scope="module")
def rejection(words, tmp_path_factory):
    """(the output of a whole run, what it printed)"""
    output = tmp_path_factory.mktemp("rejection") / "whole"
    done = call(SCRIPT, *words, "--output", output)
    assert done.returncode == 0, done.stderr
    return output, done.stdout


@pytest.mark.slow
def test_it_trains_on_correct_samples(rejection, linear_data):
    output, printed = rejection
    facts = json.loads((output / "run.json").read_text())
    content = json.loads((output / runs.SAMPLES).read_text())
    counts = facts["samples"]
    assert counts["sampled"] == 64 and 64 >= counts["correct"] >= counts["kept"] >= counts["problems"] > 0
    assert counts["kept"] == len(content["selection"])
    assert (
        f"64 sampled, {counts['correct']} correct; {counts['kept']} kept, of {counts['problems']} problems" in printed
    )
    assert facts["lineage"] == ["tiny-base", "SFT", "whole"] and facts["final"]["step"] == 4
    rows = data.read_split(str(linear_data), "train").rows
    for one in content["selection"]:
        assert kinds.MATH.score({"text": one["text"]}, rows[one["row"]], prompts.THESIS)["correct"]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["before training", "after a checkpoint"])
def test_an_interrupted_run_goes_on_with_its_samples(place, rejection, words, tmp_path, monkeypatch):
    output = ("--output", tmp_path / "whole")
    with monkeypatch.context() as patch:
        if place == "before training":
            interrupt(patch, training, "train")
        else:
            interrupt(patch, training, "write_manifest", after=True)
        one_line(call(SCRIPT, *words, *output), "interrupted; continue with", "--resume", code=130)
    one_line(call(SCRIPT, *words, *output), "interrupted run", "--resume")
    monkeypatch.setattr(generation, "generator", None)  # it must not sample again
    done = call(SCRIPT, *words, *output, "--resume")
    assert done.returncode == 0, done.stderr
    for name in ("model.safetensors", runs.SAMPLES):
        assert (tmp_path / "whole" / name).read_bytes() == (rejection[0] / name).read_bytes()
    counts = [json.loads((folder / "run.json").read_text())["samples"] for folder in (output[1], rejection[0])]
    assert counts[0] == counts[1]


def test_bad_input_is_one_line(linear_data, tmp_path):
    few = ["--dataset", linear_data, "--base", BASE, "--output", tmp_path / "out", "--rows", 2, "--samples", 2]
    one_line(call(SCRIPT, *few, "--max_new_tokens", 2, "--tags", "thesis"), "none of the 4 samples", "easier problems")
    assert not (tmp_path / "out").exists()
    one_line(call(SCRIPT, *few, "--max_length", 600), "--max_length", "--max_new_tokens")
    one_line(call(SCRIPT, *few, "--keep", 0), "--keep", "at least 1")
    one_line(call(SCRIPT, *few, "--base", "outputs/none"), "SFT_train.py")
    (tmp_path / "out.partial" / runs.SAMPLES).write_text('{"samp')
    settings = tmp_path / "out.partial" / "settings.json"
    assert settings.exists()  # of the same command
    one_line(call(SCRIPT, *few, "--max_new_tokens", 2, "--tags", "thesis", "--resume"), "kept.json is damaged")


@pytest.mark.slow
def test_sft_stops_above_an_accuracy(linear_data, tmp_path, monkeypatch):
    """At the first held-out accuracy above it, with the weights of that step; so it does where it was interrupted."""
    few = ["--dataset", linear_data, *FEW[SFT], "--heldout_every", 2, "--lr_scheduler_type", "constant"]
    summary = evaluation.summary
    accuracies = iter([0.9, 0.1, 0.3, 0.1, 0.9])  # at 0, 2, 4, ... updates; only from the second on it may stop

    def invented(scored, items):
        return summary(scored, items) | {"accuracy": next(accuracies)}

    stop = ["--stop_above", 0.2, "--output", tmp_path / "start"]
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "summary", invented)
        interrupt(patch, runs, "finish")
        one_line(call(SFT, *few, *stop), "interrupted", code=130)
    assert sorted(path.name for path in (tmp_path / "start.partial").glob("checkpoint-*"))[-1] == "checkpoint-4"
    done = call(SFT, *few, *stop, "--resume")  # nothing is left to train
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "start" / "run.json").read_text())
    assert facts["final"]["step"] == 4 and not facts["hyperparameters"]["load_best_model_at_end"]
    done = call(SFT, *few, "--max_steps", 4, "--load_best_model_at_end", "false", "--output", tmp_path / "four")
    assert done.returncode == 0, done.stderr
    folders = [tmp_path / "start", tmp_path / "four"]
    first, second = [(folder / "model.safetensors").read_bytes() for folder in folders]
    assert first == second
