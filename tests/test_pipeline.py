"""run.sh and study.sh with a python that only takes notes: is every command valid, and made of what came before it?
common/parallel.sh with toy commands: whole lines, failures, Ctrl-C."""

import functools
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, load_script

from common import settings

NOTES = """#!/bin/sh
if [ "$1" = benchmarks/memory_plan.py ]; then echo Qwen/Qwen3-1.7B-Base; exit; fi
echo "begin $*" >>"$NOTES"
{sleep} 0.02
echo "end $*" >>"$NOTES"
"""

# what happens now and then to a process that is only just being started
LOSES_ONE_SIGNAL = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
print("ready")
while True:
    time.sleep(0.1)
"""


def environment(folder: Path, profile: str, programs: dict[str, str] | None = None) -> dict[str, str]:
    """A PATH with these shell programs before all others, and an nvidia-smi that finds a GPU or none."""
    found = "echo 'GPU 0: any (UUID: GPU-0)'" if profile == "gpu" else "echo 'No devices found.'; exit 6"
    (folder / "bin").mkdir()
    for name, text in {"nvidia-smi": f"#!/bin/sh\n{found}\n", **(programs or {})}.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    return os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


@pytest.fixture
def toy(tmp_path):
    """A function that begins a bash script with common/parallel.sh loaded, on two cores, in a session of its own."""
    env = environment(tmp_path, "tiny") | {"CORES": "2"}

    def begin(script: str, **how) -> subprocess.Popen:
        (tmp_path / "toy.sh").write_text(f"set -euo pipefail\nsource '{ROOT}/common/parallel.sh'\n{script}")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(["bash", "toy.sh"], cwd=tmp_path, env=env, start_new_session=True, **pipes, **how)

    return begin


def test_lines_of_two_runs_stay_whole(toy):
    long = "for i in {{1..20}}; do printf '%09000d\\n' {}; done"
    script = f"""
stage "one"
start first bash -c "{long.format(1)}"
start second bash -c "{long.format(2)} >&2"
finish
stage "two"
run bar printf '10%%\\r100%%\\r\\nwindows\\r\\nno end'
"""
    out, _ = toy(script).communicate(timeout=60)
    one, two = re.fullmatch(r"\n\[1/2\] one\n(.*)\n\[2/2\] two\n(.*)", out, re.DOTALL).groups()
    expected = [f"first        | {1:09000}"] * 20 + [f"second       | {2:09000}"] * 20
    assert sorted(one.splitlines()) == expected
    assert two == "bar          | 100%\nbar          | windows\nbar          | no end\n"


def test_a_failed_run_ends_the_script_when_the_others_have_finished(toy):
    script = """
stage "one"
start slow bash -c "sleep 0.5; echo finished"
start broken bash -c "echo because; exit 3"
start never echo begun
finish
stage "two"
"""
    run = toy(script)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 1
    assert sorted(out.split("\n")) == ["", "", "[1/2] one", "broken       | because", "slow         | finished"]
    assert err == "error: failed: broken; see above, then give the same command again to go on\n"


def test_run_waits_for_its_own_run_alone(toy):
    script = """
stage "one"
start slow bash -c "until [ -e go ]; do sleep 0.05; done; echo last"
run quick echo first
touch go
finish
"""
    out, _ = toy(script).communicate(timeout=60)
    assert out.splitlines()[2:] == ["quick        | first", "slow         | last"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    "second", ['bash -c "sleep 300 & echo ready; wait"', f"'{sys.executable}' loses_one_signal.py"]
)
def test_a_signal_ends_every_run_and_what_it_started(toy, tmp_path, name, second):
    (tmp_path / "loses_one_signal.py").write_text(LOSES_ONE_SIGNAL)
    watched, held = os.pipe()  # held open by every process of the script, so its end tells that all are gone
    script = f"""
stage "one"
start first sleep 300
start second {second}
finish
"""
    run = toy(script, pass_fds=[held])
    os.close(held)
    while "ready" not in run.stdout.readline():
        pass
    if name == "SIGINT":
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does
    else:
        run.terminate()
    assert run.wait(timeout=30) == 130
    assert select.select([watched], [], [], 30)[0] and os.read(watched, 1) == b""
    os.close(watched)
    run.communicate()


@functools.cache
def parser_of(script: str, profile: str):
    """The parser of a script's settings with the values of a profile."""
    from transformers import HfArgumentParser

    known = load_script(script).Args
    parser = HfArgumentParser(known, allow_abbrev=False)
    tiny = {name: field.tiny for name, field in settings.settings_of(known).items() if field.tiny is not None}
    parser.set_defaults(profile="", **(tiny if profile == "tiny" else {}))
    parser.error = pytest.fail
    return parser


def output_of(script: str, args) -> str | None:
    """The folder that a command makes, from the root; None for tests and tables."""
    if getattr(args, "output", None):
        return args.output
    if script == "SFT/dataset_creation.py":
        return f"outputs/data/{args.dataset}"
    if script == "BFCL/BFCL_dataset_creation.py":
        return f"outputs/data/bfcl_{'split_' * (args.source == 'split')}{args.kind}"
    if script == "GRPO_indomain/GRPO-Control.py":
        return f"outputs/GRPO-Control-{args.reward}"
    return f"outputs/{Path(script).stem.removesuffix('_train')}" if hasattr(args, "output") else None


def inputs_of(script: str, args) -> list[str]:
    """The folders in outputs/ that a command reads."""
    if script.endswith("dataset_creation.py") or script.startswith("resources/"):
        return []
    checkpoints = args.checkpoints if hasattr(args, "checkpoints") else [args.base]
    sets = [] if script.endswith("outdomain_test.py") else args.dataset
    sets = [sets] if isinstance(sets, str) else sets
    folders = [f"outputs/data/{name}" for name in sets if name != "none"]
    return [name for name in checkpoints if name.startswith("outputs/")] + folders


@pytest.mark.parametrize("profile", ["tiny", "gpu"])
@pytest.mark.parametrize("pipeline", ["run.sh", "study.sh"])
def test_every_command_is_valid_and_has_its_inputs(tmp_path, pipeline, profile):
    programs = {"python": NOTES.format(sleep=shutil.which("sleep")), "sleep": "#!/bin/sh\n"}  # waits less for a core
    env = environment(tmp_path, profile, programs) | {"NOTES": str(tmp_path / "notes"), "CORES": "4"}
    command = ["bash", ROOT / pipeline, "--seed", "7"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    titles = re.findall(r"^\[(\d+)/(\d+)\]", done.stdout, re.MULTILINE)
    assert titles == [(str(i + 1), str(len(titles))) for i in range(len(titles))]

    begun, made, tested, running = [], set(), set(), []
    for note in (tmp_path / "notes").read_text().splitlines():
        event, script, *words = note.split()
        assert (ROOT / script).is_file()
        args, unknown = parser_of(script, profile).parse_known_args(words)
        assert not unknown, note
        for name, field in settings.settings_of(load_script(script).Args).items():
            value = getattr(args, name)
            assert not field.choices or set(value if isinstance(value, list) else [value]) <= {*field.choices}, note
        if event == "end":
            running.remove(words)
            made |= {output_of(script, args)} - {None}
            continue
        running.append(words)
        assert len(running) == 1 or profile == "tiny", "a GPU holds one run"
        assert {*inputs_of(script, args)} <= made, note
        assert output_of(script, args) not in made, note
        if not script.startswith("resources/"):
            assert args.resume and args.profile == profile, note
        if pipeline == "run.sh" and hasattr(args, "learning_rate"):
            assert args.seed == 7, "its options go to every training script"
            assert args.base in made | {"resources/tiny-base", "Qwen/Qwen3-1.7B-Base"}, "the base that fits"
        tested |= {*getattr(args, "checkpoints", [])}
        begun.append(script)
    assert tested >= {name for name in made if not name.startswith("outputs/data/")}, "all checkpoints are tested"
    assert "resources/make_tables.py" in begun[-2:]
