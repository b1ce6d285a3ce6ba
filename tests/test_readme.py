"""The commands and links of the pages hold: scripts take those options, recipes fit, a reward of one's own trains."""

import os
import re
import shlex
import shutil
import subprocess
import textwrap

import pytest
from conftest import FEW, GRPO, ROOT, SFT, call, load_script

from common import settings

PATHS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in PATHS}
TARGETS = set(re.findall(r"^([a-z-]+): ", (ROOT / "Makefile").read_text(), re.M))
RECIPES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("recipes/*/*.yaml"))


def blocks(text: str, language: str) -> list[str]:
    return [textwrap.dedent(block) for block in re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.M | re.S)]


def commands() -> list[str]:
    lines = []
    for text in PAGES.values():
        for block in blocks(text, "bash"):
            for name, options in re.findall(r'^([A-Z]+)="(.*)"$', block, re.M):  # a variable of the block
                block = block.replace(f"${name}", options)
            lines += [line.partition("  #")[0].strip() for line in block.splitlines()]
        lines += [code.replace("\n", " ") for code in re.findall(r"`(python [^`]*)`", text)]
    return sorted({line for line in lines if line.startswith("python ") and "GRPO-short" not in line})


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one_that_its_script_takes(command):
    _, script, *words = shlex.split(command)
    module = load_script(script)
    if not hasattr(module, "Args"):
        return
    first = {"demo/push_to_hub.py": "--folder", "chat.py": "--checkpoint", "rewards.py": "--script"}.get(script)
    if first:
        words = [first, *words]
    settings.parse(module.Args, "", argv=["--profile", "tiny", *(word for word in words if word != "N")])


@pytest.mark.parametrize("pipeline", ["run.sh", "study.sh", "real.sh"])
def test_a_pipeline_gives_its_scripts_what_they_take(pipeline, tmp_path):
    """A mistake in a late stage would end a study after hours."""
    log = tmp_path / "commands"
    (tmp_path / "python").write_text(f"""#!/bin/sh\nline=$(printf '%s\\t' "$@")\nprintf '%s\\n' "$line" >> {log}\n""")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 1\n")  # the pipeline of a CPU, whatever this machine has
    for stand_in in ("python", "nvidia-smi"):
        (tmp_path / stand_in).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(["bash", ROOT / pipeline], env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = {re.sub(r"(seed|--seed\t)\d", r"\g<1>1", line) for line in log.read_text().splitlines()}
    assert len(lines) >= 10
    for line in lines:
        script, *words = line.removesuffix("\t").split("\t")
        module = load_script(script)
        if hasattr(module, "Args"):
            settings.parse(module.Args, "", argv=words)


SCRIPTS_OF = {"sft.yaml": [SFT], "start.yaml": [SFT], "sft-own.yaml": ["SFT/SFT_rejection.py"]}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_fits_its_scripts(recipe):
    for script in SCRIPTS_OF.get(recipe.rpartition("/")[2], [GRPO, "GRPO_indomain/GRPO-GSM8K.py"]):
        argv = ["--profile", "tiny", "--config", str(ROOT / recipe)]
        args = settings.parse(load_script(script).Args, "", argv=argv)
        for name, value in settings.read_config(str(ROOT / recipe)).items():
            assert getattr(args, name) == value


@pytest.mark.parametrize("page", PAGES)
def test_targets_and_links_are_there(page):
    text = PAGES[page]
    assert set(re.findall(r"`make ([a-z-]+)", text) + re.findall(r"^make ([a-z-]+) +#", text, re.M)) <= TARGETS
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("http") or (ROOT / page).parent.joinpath(link).exists(), link


@pytest.mark.slow
@pytest.mark.parametrize("name", ["short", "brief"])
def test_a_reward_of_ones_own(name, tmp_path, linear_data, sft):
    """The copy that docs/rewards.md describes, in a folder of its own, trains and logs the new reward."""
    short, brief = [block for block in blocks(PAGES["docs/rewards.md"], "python") if "REWARDS" in block]
    weights, _, rewards = short.partition("...\n")
    if name == "brief":
        rewards = brief
    text = (ROOT / GRPO).read_text()
    text = re.sub(r"^    reward_weights: .*\n", lambda _: textwrap.indent(weights.lstrip(), "    "), text, flags=re.M)
    text = re.sub(r"^REWARDS = .*\n", lambda _: rewards, text, flags=re.M)
    for folder in ("common", "resources/tiny-base"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "GRPO_indomain").mkdir()
    script = tmp_path / "GRPO_indomain" / "GRPO-short.py"
    script.write_text(text)
    words = ["--dataset", linear_data, "--base", sft, *FEW[GRPO], "--max_steps", 2, "--output", tmp_path / "out"]
    done = call(script, *words)
    assert done.returncode == 0, done.stderr
    assert f'"rewards/{name}/mean"' in (tmp_path / "out" / "metrics.jsonl").read_text()
