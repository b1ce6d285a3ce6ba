"""README's commands are those of the scripts as they are, and its example of a reward of one's own trains."""

import re
import shlex
import shutil

import pytest
from conftest import FEW, GRPO, ROOT, call, load_script
from test_pipeline import parser_of

from common import settings

PAGES = {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")}
TARGETS = set(re.findall(r"^([a-z-]+): ", (ROOT / "Makefile").read_text(), re.M))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES["README.md"], re.M | re.S)


def commands() -> list[str]:
    lines = [line.partition("  #")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    inline = [text.replace("\n", " ") for page in PAGES.values() for text in re.findall(r"`(python [^`]*)`", page)]
    return sorted({line for line in [*lines, *inline] if line.startswith("python ") and "GRPO-short" not in line})


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one_that_its_script_takes(command):
    _, script, *words = shlex.split(command)
    assert (ROOT / script).is_file()
    module = load_script(script)
    if not hasattr(module, "Args"):
        return
    if script == "demo/push_to_hub.py":
        words = ["--folder", *words]
    args, unknown = parser_of(script, "tiny").parse_known_args([word for word in words if word != "N"])
    assert not unknown
    for name, field in settings.settings_of(module.Args).items():
        value = getattr(args, name)
        assert not field.choices or set(value if isinstance(value, list) else [value]) <= {*field.choices}


@pytest.mark.parametrize("page", PAGES)
def test_targets_and_links_are_there(page):
    text = PAGES[page]
    assert set(re.findall(r"`make ([a-z-]+)", text) + re.findall(r"^make ([a-z-]+) +#", text, re.M)) <= TARGETS
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("http") or (ROOT / page).parent.joinpath(link).exists(), link


@pytest.mark.slow
def test_a_reward_of_ones_own(tmp_path, linear_data, sft):
    """The copy that README describes, in a folder of its own beside the others, trains and logs the new reward."""
    weights, _, rewards = next(block for block in blocks("python") if "def short" in block).partition("...\n")
    text = (ROOT / GRPO).read_text()
    text = re.sub(r"^    reward_weights: .*\n", lambda _: weights, text, flags=re.M)
    text = re.sub(r"^REWARDS = .*\n", lambda _: rewards, text, flags=re.M)
    for name in ("common", "resources/tiny-base"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "GRPO_indomain").mkdir()
    script = tmp_path / "GRPO_indomain" / "GRPO-short.py"
    script.write_text(text)
    done = call(script, "--dataset", linear_data, "--base", sft, *FEW[GRPO], "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert '"rewards/short/mean"' in (tmp_path / "out" / "metrics.jsonl").read_text()
