"""The names of run.sh and study.sh: the order of the tables, the start of each run, what the pictures show.

A script is compared with what it started from (reference_of): the one mapping of starts is STARTS.
"""

from collections.abc import Collection

STARTS = {  # script -> (start, note below the tables), in the order of the tables; other scripts come after these
    "never-calls": ("", "a model that never makes a call, the floor"),
    "base": ("", "no training; its seeds are those of the sampling"),
    "SFT-brief": ("base", "SFT on a few dozen rows, after which the format is half learned"),
    "SFT": ("base", "SFT on all rows"),
    "GRPO-1K": ("SFT-brief", "as run.sh trains it, like the three below: 24 updates"),
    "GRPO-1K-v2": ("SFT-brief", ""),
    "GRPO-1K-v3": ("SFT-brief", ""),
    "GRPO-1K-def": ("SFT-brief", ""),
    "GRPO-Hybrid": ("SFT-brief", ""),
    "GRPO-Intuitor": ("SFT-brief", "rewarded for its own confidence alone, not for answers"),
    "GRPO-DualHead": ("SFT-brief", ""),
    "GRPO-Linear": ("base", "no SFT"),
    "GRPO-GSM8K": ("SFT-brief", ""),
    "GRPO-1K-long": ("SFT-brief", "names with -long, -brief, -rate, -no- or -answer-: until the curves are flat"),
    "GRPO-1K-v2-long": ("SFT-brief", ""),
    "GRPO-1K-v3-long": ("SFT-brief", ""),
    "GRPO-1K-def-long": ("SFT-brief", ""),
    "GRPO-Linear-brief": (
        "SFT-brief",
        "the reward of GRPO-Linear: 1 for a correct answer, 0.1 for one that can be read",
    ),
    "GRPO-Hybrid-long": ("SFT-brief", ""),
    "GRPO-Intuitor-long": ("SFT-brief", "GRPO-Intuitor with more updates"),
    "GRPO-DualHead-long": ("SFT-brief", ""),
    "1K-answer-0.8": ("SFT-brief", "GRPO-1K with 0.2 for the format and 0.8 for the answer, not 0.6 and 0.4"),
    "1K-half-rate": ("SFT-brief", "GRPO-1K at half the learning rate"),
    "v3-half-rate": ("SFT-brief", "GRPO-1K-v3 at half the learning rate"),
    "def-half-rate": ("SFT-brief", "GRPO-1K-def at half the learning rate"),
    "def-no-near": ("SFT-brief", "GRPO-1K-def, but an answer close to the truth is rewarded as an incorrect one"),
    "def-no-penalties": ("SFT-brief", "GRPO-1K-def, but no component is below 0"),
    "def-no-number": ("SFT-brief", "GRPO-1K-def without its reward number"),
    "def-no-graded": ("SFT-brief", "GRPO-1K-def without its graded format"),
    "GRPO-Control-random": ("SFT-brief", "rewarded by a coin toss"),
    "GRPO-Control-format": ("SFT-brief", "rewarded for the format alone"),
    "GRPO-Control-random-long": ("SFT-brief", "rewarded by a coin toss"),
    "GRPO-Control-format-long": ("SFT-brief", "rewarded for the format alone"),
    "GRPO-1K-def-from-SFT": ("SFT", ""),
    "GRPO-Hybrid-from-SFT": ("SFT", ""),
    "GRPO-Intuitor-from-SFT": ("SFT", ""),
    "GRPO-DualHead-from-SFT": ("SFT", ""),
    "SFT-x": ("base", "SFT on linear_x: the last operation is done inside the solution"),
    "GRPO-1K-def-x": ("SFT-x", ""),
    "GRPO-Hybrid-x": ("SFT-x", ""),
    "GRPO-Intuitor-x": ("SFT-x", ""),
    "GRPO-DualHead-x": ("SFT-x", ""),
    "teach-level": ("SFT", "GRPO-1K-def, 300 updates on the same systems"),
    "ladder-1": ("SFT", "GRPO-1K-def, 100 updates on the same systems"),
    "ladder-2": ("ladder-1", "100 more on harder ones"),
    "ladder-3": ("ladder-2", "GRPO-1K-def up a ladder of three levels, 100 updates each"),
    "SFT-sum": ("base", "144 updates of SFT on linear_sum: x + y is asked for"),
    "teach-sum": ("SFT-sum", "the reward of GRPO-Linear, 300 updates on linear_sum"),
    "SFT-sum-early": ("base", "96 updates of SFT on linear_sum"),
    "teach-sum-early": ("SFT-sum-early", "as teach-sum"),
    "SFT-BFCL": ("base", "SFT on tool calls, half of them in a syntax that the checker does not read"),
    "GRPO_BFCL_v1": ("SFT-BFCL", ""),
    "SFT-BFCL-clean": ("base", "SFT on tool calls without that syntax"),
    "GRPO_BFCL_v1-clean": ("SFT-BFCL-clean", "five times as many updates"),
    "GRPO_BFCL_v1-from-GRPO-1K-def": ("GRPO-1K-def-long", "a start of the thesis, which was taught no calls"),
    "GRPO_BFCL_v1-from-GRPO-Hybrid": ("GRPO-Hybrid-long", "a start of the thesis, which was taught no calls"),
    "SFT-BFCL-multi": ("SFT-BFCL", "SFT on dialogues"),
    "GRPO_BFCL_v2": ("SFT-BFCL-multi", ""),
    "SFT-BFCL-multi-clean": ("SFT-BFCL-clean", "SFT on dialogues without that syntax"),
    "GRPO_BFCL_v2-clean": ("SFT-BFCL-multi-clean", "more updates"),
    "GRPO_BFCL_v2-from-GRPO-1K-def": ("GRPO-1K-def-long", "a start of the thesis, which was taught no calls"),
    "GRPO_BFCL_v2-from-GRPO-Hybrid": ("GRPO-Hybrid-long", "a start of the thesis, which was taught no calls"),
    "SFT_tools": ("base", "SFT on questions with tools"),
    "SFT_tools-more": ("SFT_tools", "trained on the rows that DPO_tools takes its pairs from, as many updates"),
    "DPO_tools": ("SFT_tools", "on pairs of all five failures"),
    "SFT_tools-few": ("base", "SFT on 64 questions with tools"),
    "SFT_tools-teacher": ("SFT_tools-few", "trained on texts that SFT_tools-few annotated with calls (teacher mode)"),
}
ORDER = list(STARTS)

# What run.sh trains with GRPO.
RUN_VARIANTS = ["GRPO-1K", "GRPO-1K-v2", "GRPO-1K-v3", "GRPO-1K-def"]
RUN_CONTROL = "GRPO-Control-format"

# Rewards.md: the variants with most seeds, then what is compared with one of them.
VARIANTS = ["GRPO-1K-long", "GRPO-1K-v2-long", "GRPO-1K-v3-long", "GRPO-1K-def-long", "GRPO-Linear-brief"]
VARIANTS += ["GRPO-Hybrid-long"]
ABLATIONS = {  # script -> the run that it changes in one thing
    "1K-half-rate": "GRPO-1K-long",
    "v3-half-rate": "GRPO-1K-v3-long",
    "def-half-rate": "GRPO-1K-def-long",
    "def-no-near": "GRPO-1K-def-long",
    "def-no-penalties": "GRPO-1K-def-long",
    "def-no-number": "GRPO-1K-def-long",
    "def-no-graded": "GRPO-1K-def-long",
    "1K-answer-0.8": "GRPO-1K-long",
}
CONTROLS = [f"GRPO-{name}-long" for name in ("Intuitor", "DualHead", "Control-random", "Control-format")]

# Teaching.md: data set -> script -> what it is compared with there, "" for a start.
TAUGHT = {
    "linear": {"SFT": "", "teach-level": "SFT", "ladder-3": "SFT"},
    "linear-harder": {"SFT": "", "teach-level": "SFT", "ladder-3": "SFT"},
    "linear_sum": {"SFT-sum": "", "teach-sum": "SFT-sum", "SFT-sum-early": "", "teach-sum-early": "SFT-sum-early"},
}
TEACHING = {script for of_set in TAUGHT.values() for script, start in of_set.items() if start}
CURVE_GROUPS = {  # the panels of Learning_curves.png
    "answer and format rewards, as in run.sh": [*RUN_VARIANTS, RUN_CONTROL],
    "from SFT on all rows": [f"GRPO-{name}-from-SFT" for name in ("1K-def", "Hybrid", "Intuitor", "DualHead")],
    "confidence in the reward": [f"GRPO-{name}-long" for name in ("Hybrid", "Intuitor", "DualHead")],
    "linear_x, from SFT-x": [f"GRPO-{name}-x" for name in ("1K-def", "Hybrid", "Intuitor", "DualHead")],
    "answer alone, and controls": [
        *("GRPO-Linear", "GRPO-Linear-brief", "GRPO-Control-random-long", "GRPO-Control-format-long")
    ],
    "tool calls, GRPO_BFCL_": [
        f"GRPO_BFCL_v{i}{start}" for i in (1, 2) for start in ("", "-clean", "-from-GRPO-1K-def")
    ],
}
PICTURED = {  # the scripts of a picture, most important first; the rest fills up, the Markdown has all
    "GRPO_reward": ["base", "SFT-brief", "SFT", *VARIANTS, "GRPO-Control-format-long"],
    "Out-domain": [
        *("base", "SFT-brief", "SFT", "GRPO-Linear", "GRPO-1K-def-long", "GRPO-Hybrid-long", "GRPO-1K-def-from-SFT"),
        *("GRPO-Intuitor-from-SFT", "GRPO-Control-random-long", "GRPO-Control-format-long", "SFT-x", "GRPO-1K-def-x"),
    ],
    "BFCL": [script for script in ORDER if "BFCL" in script or script == "base"],
    "ToolUse": [script for script in ORDER if "_tools" in script or script == "base"],
    "Pass_at_k": ["base", "SFT-brief", "SFT", "GRPO-1K-def-long", "GRPO-Intuitor-long", "GRPO-Linear"],
}


def rank(script: str) -> tuple:
    """Sorts scripts: those of ORDER in its order, then any other with SFT before GRPO."""
    return (ORDER.index(script) if script in ORDER else len(ORDER), not script.startswith("SFT"), script)


def start_of(script: str, dataset: str) -> str:
    """What a script starts from; for one that is not of run.sh or study.sh, what its data set is taught with."""
    if script in STARTS:
        return STARTS[script][0]
    if dataset.startswith("tools"):
        return "SFT_tools"
    if dataset.startswith("bfcl"):
        return "SFT-BFCL-multi" if "multi" in dataset else "SFT-BFCL"
    return "base" if script.startswith("SFT") else "SFT-brief"


def reference_of(script: str, dataset: str, tested: Collection[str]) -> str:
    """What a script is compared with: its start, or where that was not tested its start's start; "" for none.

    Where SFT-brief was not tested but SFT was, GRPO has started from SFT, as on a GPU.
    """
    start = start_of(script, dataset)
    while start and start not in tested:
        start = "SFT" if start == "SFT-brief" and "SFT" in tested else start_of(start, dataset)
    return start


def chosen(picture: str, scripts: Collection[str], most: int) -> list[str]:
    """At most so many of the scripts for a picture, in the order of the tables: those of one's own are among them."""
    wanted, own = PICTURED[picture], sorted(set(scripts) - set(ORDER))
    queue = dict.fromkeys([*wanted[:3], *own, *wanted, *sorted(scripts, key=rank)])
    return sorted([script for script in queue if script in scripts][:most], key=rank)


def short(script: str) -> str:
    """The name of a reward that was trained until its curve was flat."""
    return script.removesuffix("-long")
